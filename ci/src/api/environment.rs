//! Virtual environments of pinned, hashed wheels, kept in the store and made anew when their pins change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Context;
use crate::pins::lock::{File, environment_set};
use crate::pins::versions::{Python, Versions};
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::pip;
use ci_step::python::Interpreter;
use ci_step::store::{Store, touch};

/// A virtual environment: the folder with its `bin`.
#[derive(Clone, Debug)]
pub struct Environment {
    pub folder: PathBuf,
}

impl Environment {
    pub fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    pub fn python(&self) -> PathBuf {
        self.bin().join("python")
    }
}

/// The environment `name` of versions.toml under `interpreter`, with exactly the wheels that versions.lock names.
pub fn locked(context: &Context, versions: &Versions, name: &str, interpreter: &Interpreter) -> Result<Environment> {
    let store = context.store()?;
    let lock = context.lock()?;
    let set = environment_set(name, interpreter.python);
    let files = lock.set(&set)?;
    let paths = fetch(&store, versions, &files, interpreter.python)?;
    let mut parts = vec![interpreter.full.clone(), interpreter.path.display().to_string()];
    parts.extend(files.iter().map(|file| file.sha256.clone()));
    let folder = store.root().join("environments").join(format!("{set}-{}", &digest::of_parts(parts)[..16]));
    // The mark is written last: without it, the environment was interrupted while it was made.
    let mark = folder.join("complete");
    if !mark.is_file() {
        let _alone = alone(&store)?;
        if !mark.is_file() {
            if folder.exists() {
                fs::remove_dir_all(&folder).map_err(Failure::io("cannot remove", &folder))?;
            }
            create(interpreter, &folder)?;
            install(&folder, &paths)?;
            fs::write(&mark, "").map_err(Failure::io("cannot write", &mark))?;
        }
    }
    touch(&mark);
    Ok(Environment { folder })
}

/// Who has this makes environments; another thread or program that wants to waits until it is dropped.
fn alone(store: &Store) -> Result<fs::File> {
    let folder = store.root().join("environments");
    fs::create_dir_all(&folder).map_err(Failure::io("cannot create", &folder))?;
    let file = fs::File::open(&folder).map_err(Failure::io("cannot open", &folder))?;
    file.lock().map_err(Failure::io("cannot lock", &folder))?;
    Ok(file)
}

/// The files of a set, downloaded when they are not here yet.
pub fn fetch(store: &Store, versions: &Versions, files: &[&File], python: Python) -> Result<Vec<PathBuf>> {
    let floor = versions.python_floor();
    store.fetch(files, python, versions.wheel.glibc, &versions.wheel.platforms[0], || ci_step::python::for_pip(floor))
}

/// An empty environment with pip in it.
pub fn create(interpreter: &Interpreter, folder: &Path) -> Result<()> {
    let output = Command::new(&interpreter.path).args(["-m", "venv"]).arg(folder).output();
    let output = output.map_err(Failure::io("cannot run", &interpreter.path))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let what = format!("CPython {} can't make a virtual environment.", interpreter.full);
    Err(Failure::machine(what, "Install its venv module (Debian: python3-venv).").with_log(words))
}

/// Installs wheels as they are, without a network; what they need must be among them or there already. What is imported of them
/// gets its bytecode then: all of it at once takes longer than the rest.
pub fn install(folder: &Path, wheels: &[PathBuf]) -> Result<()> {
    let mut command = Command::new(folder.join("bin/python"));
    command.args(["-m", "pip", "install", "--no-deps", "--no-index", "--no-compile"]).args(wheels);
    pip_of(folder, &mut command)
}

/// Runs a pip command of the environment, quietly.
pub fn pip_of(folder: &Path, command: &mut Command) -> Result<()> {
    command.args(["--quiet", "--no-input", "--disable-pip-version-check"]);
    let output = command.output().map_err(Failure::io("cannot run", folder))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(pip::reason(&format!("Cannot install into {}", folder.display()), &words))
}
