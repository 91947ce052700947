//! What each step of a plan does, one file a kind. A step reads the outputs of the steps it needs, its sources and nothing
//! else, and writes into a folder of its own; the store makes that folder an entry when the step has ended well.

mod archive;
pub mod extension;
mod fetch;
mod kernels;
mod openblas;
mod shim;
pub mod stage;
mod tool;
pub mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::digest;
use crate::failure::{Failure, Result};
use crate::store::{Entry, Found, Store};
use crate::task::{Action, Input, Step, Task};

/// A step at work.
struct Work<'a> {
    task: &'a Task,
    root: &'a Path,
    store: &'a Store,
    /// Where what the step makes goes.
    out: PathBuf,
    /// For what is only needed meanwhile.
    scratch: PathBuf,
}

impl Work<'_> {
    /// What another step made.
    fn need(&self, step: &str) -> Result<PathBuf> {
        Ok(self.store.output(self.task.key_of(step)?))
    }

    /// The store that outlives this step's container, where there is one.
    fn lasting(&self) -> Result<Store> {
        self.task.kept.as_ref().map_or_else(|| Ok(self.store.clone()), |kept| Store::open(kept))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.out.join(name);
        fs::write(&path, bytes).map_err(Failure::io("cannot write", &path))
    }
}

/// Runs a step whose needs are in the store, and puts what it made there.
pub fn run(task: &Task) -> Result<Entry> {
    let store = Store::open(&task.store)?;
    let key = &task.step.key;
    if let Found::Entry(entry) = store.look(key)? {
        return Ok(entry);
    }
    let Some(kept) = &task.kept else { return make(task, &store) };
    let kept = Store::open(kept)?;
    if let Found::Entry(entry) = kept.look(key)? {
        return store.copy(&kept, key, &entry);
    }
    let entry = make(task, &store)?;
    kept.copy(&store, key, &entry)
}

fn make(task: &Task, store: &Store) -> Result<Entry> {
    let Task { step, root, .. } = task;
    for need in &step.needs {
        if !matches!(store.look(task.key_of(need)?)?, Found::Entry(_)) {
            return Err(Failure::usage(
                format!("It needs what {need} makes, which has not run."),
                format!("Run `cargo ci step {need}` first, or the whole plan with `cargo ci build-gpu-wheels`."),
            ));
        }
    }
    let scratch = store.scratch(&step.name)?;
    let (out, extra) = (scratch.path().join("out"), scratch.path().join("scratch"));
    for folder in [&out, &extra] {
        fs::create_dir(folder).map_err(Failure::io("cannot create", folder))?;
    }
    let started = Instant::now();
    act(step, &Work { task, root, store, out, scratch: extra.clone() })?;
    unchanged(step, root)?;
    fs::remove_dir_all(&extra).map_err(Failure::io("cannot remove", &extra))?;
    store.commit(&step.key, &step.name, scratch, started.elapsed().as_secs_f64())
}

/// Someone may edit files while a build runs: what was made of the new ones must not be kept under the old ones' key.
/// (Kernels are compared before they are compiled.)
fn unchanged(step: &Step, root: &Path) -> Result<()> {
    if !matches!(step.action, Action::Extension { .. } | Action::Stage(_)) {
        return Ok(());
    }
    for input in &step.inputs {
        // The pipeline's own files say how this program was built, and it runs already.
        let Input::Source { path, sha256 } = input else { continue };
        if !path.starts_with("ci/") && digest::of_file(&root.join(path)).ok().as_ref() != Some(sha256) {
            let what = format!("{path} changed after the plan was made.");
            return Err(Failure::build(what, "Run the command again; it plans anew."));
        }
    }
    Ok(())
}

fn act(step: &Step, work: &Work) -> Result<()> {
    match &step.action {
        Action::Fetch { file, python, glibc, machine, keep } => fetch::run(work, file, *python, *glibc, machine, keep),
        Action::Openblas { fetch, patchelf, soname } => openblas::run(work, fetch, patchelf, soname),
        Action::Kernels(kernels) => kernels::run(work, kernels),
        Action::Extension { zig, zigbuild, openblas, target, blas, prefix, rust } => {
            extension::run(work, &extension::Tools { zig, zigbuild, openblas }, target, blas, prefix, rust)
        }
        Action::Shim { zig, target, version, minimum_driver, needed, runpath } => {
            shim::run(work, zig, target, (*version, *minimum_driver), needed, runpath)
        }
        Action::Stage(stage) => stage::run(work, stage),
        Action::Archive { stage, name } => archive::run(work, stage, name),
        Action::Verify { archive, file_name, expected } => verify::run(work, archive, file_name, expected),
    }
}
