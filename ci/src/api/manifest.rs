//! manifest.json beside each wheel: what it is, what is inside, what it was made from, and how long that took.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::Context;
use crate::plan::{Input, Plan, WheelPlan};
use crate::run::Outcome;
use ci_step::audit::Inventory;
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::steps::verify::Verified;
use ci_step::store::Store;

#[derive(Debug, Serialize)]
pub struct Manifest {
    pub wheel: String,
    pub sha256: String,
    pub bytes: u64,
    /// Whether it holds every architecture of versions.toml.
    pub complete: bool,
    /// The checkout that it was made from; none where there is no git.
    pub commit: Option<Commit>,
    /// Release and commit of the compiler of the extension.
    pub rustc: String,
    /// SHA-256 of versions.lock and Cargo.lock.
    pub locks: BTreeMap<String, String>,
    /// The checks that it passed.
    pub checks: Vec<String>,
    /// Bytes by part, by architecture and by kernel family.
    pub inventory: Inventory,
    /// Every file from outside the checkout that took part.
    pub pins: Vec<Pin>,
    pub steps: BTreeMap<String, StepFigures>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    pub id: String,
    /// No file that git knows differs from it, and there is none that git does not know.
    pub clean: bool,
}

impl Commit {
    fn of(root: &Path) -> Option<Commit> {
        let git = |arguments: &[&str]| {
            let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        // A checkout that is only a folder in somebody else's repository has no commit of its own.
        let top = git(&["rev-parse", "--show-toplevel"])?;
        if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
            return None;
        }
        let id = git(&["rev-parse", "HEAD"])?;
        Some(Commit { id, clean: git(&["status", "--porcelain"])?.is_empty() })
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pin {
    pub package: String,
    pub version: String,
    pub file: String,
    pub sha256: String,
}

#[derive(Debug, Serialize)]
pub struct StepFigures {
    pub key: String,
    /// How long it took, in this run or the one that made what was found; none where the cache has lost it.
    pub seconds: Option<f64>,
    pub cached: bool,
}

pub fn of(context: &Context, plan: &Plan, wheel: &WheelPlan, store: &Store, outcome: &Outcome) -> Result<Manifest> {
    let report = store.output(&plan.step(&wheel.verify)?.key).join("report.json");
    let text = std::fs::read(&report).map_err(Failure::io("cannot read", &report))?;
    let Verified { report, inventory } = serde_json::from_slice(&text).map_err(|error| {
        Failure::build(format!("report.json can't be read: {error}."), "Run the same command again.")
    })?;
    let mut pins = BTreeSet::new();
    let mut steps = BTreeMap::new();
    let by_name = plan.by_name();
    let mut wanted = vec![wheel.verify.as_str()];
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name) {
            continue;
        }
        let step = by_name[name];
        wanted.extend(step.needs.iter().map(String::as_str));
        for input in &step.inputs {
            if let Input::Pin { package, version, file, sha256 } = input {
                let (package, version) = (package.clone(), version.clone());
                pins.insert(Pin { package, version, file: file.clone(), sha256: sha256.clone() });
            }
        }
        // The engine did not look at what lies behind a step that it found; its figures are in the store.
        let (seconds, cached) = match outcome.get(name) {
            Some(done) => (Some(done.seconds), done.cached),
            None => (store.seconds(&step.key), true),
        };
        steps.insert(name.to_owned(), StepFigures { key: step.key.clone(), seconds, cached });
    }
    let mut locks = BTreeMap::new();
    for name in ["versions.lock", "Cargo.lock"] {
        let path = context.root.join(name);
        locks.insert(name.to_owned(), digest::of_file(&path).map_err(Failure::io("cannot read", &path))?);
    }
    Ok(Manifest {
        wheel: wheel.file_name.clone(),
        sha256: inventory.sha256.clone(),
        bytes: inventory.bytes,
        complete: wheel.complete,
        commit: Commit::of(&context.root),
        rustc: context.versions()?.rust.to_string(),
        locks,
        checks: report.checks.iter().map(|check| check.name.to_string()).collect(),
        inventory,
        pins: pins.into_iter().collect(),
        steps,
    })
}
