//! manifest.json beside each wheel: what it is, what is inside, what it was made from, and how long that took.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Context;
use crate::plan::{Input, Plan, WheelPlan};
use crate::run::Outcome;
use ci_step::audit::Inventory;
use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::steps::verify::Verified;
use ci_step::store::Store;
use ci_step::wheel::Reader;

#[derive(Debug, Serialize, Deserialize)]
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
    /// SHA-256 of every member.
    pub members: BTreeMap<String, String>,
    /// Bytes by part, by architecture and by kernel family.
    pub inventory: Inventory,
    /// Every file from outside the checkout that took part.
    pub pins: Vec<Pin>,
    pub steps: BTreeMap<String, StepFigures>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub id: String,
    /// No file that git knows differs from it, and there is none that git does not know.
    pub clean: bool,
}

impl Commit {
    pub fn of(root: &Path) -> Option<Commit> {
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

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pin {
    pub package: String,
    pub version: String,
    pub file: String,
    pub sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct StepFigures {
    pub key: String,
    /// How long it took, in this run or the one that made what was found; none where the cache has lost it.
    pub seconds: Option<f64>,
    pub cached: bool,
}

impl Manifest {
    pub fn load(path: &Path) -> Result<Manifest> {
        let text = std::fs::read(path).map_err(Failure::named("cannot read", path))?;
        serde_json::from_slice(&text).map_err(|error| {
            let what = format!("{} is no manifest of a wheel: {error}.", path.display());
            Failure::usage(what, "A build of this version writes it beside the wheel.")
        })
    }
}

pub fn of(context: &Context, plan: &Plan, wheel: &WheelPlan, store: &Store, outcome: &Outcome) -> Result<Manifest> {
    let report = store.output(&plan.step(&wheel.verify)?.key).join("report.json");
    let text = std::fs::read(&report).map_err(Failure::io("cannot read", &report))?;
    let Verified { report, inventory } = serde_json::from_slice(&text).map_err(|error| {
        Failure::build(format!("report.json can't be read: {error}."), "Run the same command again.")
    })?;
    let (pins, keys) = inputs(plan, wheel);
    let mut steps = BTreeMap::new();
    for (name, key) in keys {
        // The engine did not look at what lies behind a step that it found; its figures are in the store.
        let (seconds, cached) = match outcome.get(name) {
            Some(done) => (Some(done.seconds), done.cached),
            None => (store.seconds(key), true),
        };
        steps.insert(name.to_owned(), StepFigures { key: key.to_owned(), seconds, cached });
    }
    let archive = store.output(&plan.step(&wheel.archive)?.key).join(&wheel.file_name);
    Ok(Manifest {
        wheel: wheel.file_name.clone(),
        sha256: inventory.sha256.clone(),
        bytes: inventory.bytes,
        complete: wheel.complete,
        commit: Commit::of(&context.root),
        rustc: context.versions()?.rust.to_string(),
        locks: locks(&context.root)?,
        members: members(&archive)?,
        checks: report.checks.iter().map(|check| check.name.to_string()).collect(),
        inventory,
        pins,
        steps,
    })
}

/// The pins behind a wheel, and the keys of all its steps by name.
pub fn inputs<'a>(plan: &'a Plan, wheel: &'a WheelPlan) -> (Vec<Pin>, BTreeMap<&'a str, &'a str>) {
    let mut pins = BTreeSet::new();
    let mut keys = BTreeMap::new();
    let by_name = plan.by_name();
    let mut wanted = vec![wheel.verify.as_str()];
    while let Some(name) = wanted.pop() {
        let step = by_name[name];
        if keys.insert(name, step.key.as_str()).is_some() {
            continue;
        }
        wanted.extend(step.needs.iter().map(String::as_str));
        for input in &step.inputs {
            if let Input::Pin { package, version, file, sha256 } = input {
                let (package, version) = (package.clone(), version.clone());
                pins.insert(Pin { package, version, file: file.clone(), sha256: sha256.clone() });
            }
        }
    }
    (pins.into_iter().collect(), keys)
}

/// SHA-256 of the files that say which versions take part.
pub fn locks(root: &Path) -> Result<BTreeMap<String, String>> {
    let hashed = |name: &str| {
        let path = root.join(name);
        Ok((name.to_owned(), digest::of_file(&path).map_err(Failure::io("cannot read", &path))?))
    };
    ["versions.lock", "Cargo.lock"].into_iter().map(hashed).collect()
}

/// SHA-256 of every member of a wheel.
pub fn members(wheel: &Path) -> Result<BTreeMap<String, String>> {
    let bad = |error: ci_step::wheel::Error| {
        Failure::check(format!("{} can't be read: {error}.", wheel.display()), "Build it again.")
    };
    let mut reader = Reader::open(wheel).map_err(bad)?;
    let names: Vec<String> = reader.members().iter().map(|member| member.name.clone()).collect();
    names.into_iter().map(|name| Ok((name.clone(), digest::of_bytes(&reader.read(&name).map_err(bad)?)))).collect()
}
