//! manifest.json beside each wheel: what it is, what is inside, what it was made from, and how long that took.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::plan::{Input, Plan, WheelPlan};
use crate::run::Outcome;
use ci_step::audit::Inventory;
use ci_step::failure::{Failure, Result};
use ci_step::steps::verify::Verified;
use ci_step::store::{Found, Store};

#[derive(Debug, Serialize)]
pub struct Manifest {
    pub wheel: String,
    pub sha256: String,
    pub bytes: u64,
    /// Whether it holds every architecture of versions.toml.
    pub complete: bool,
    /// The checks that it passed.
    pub checks: Vec<String>,
    /// Bytes by part, by architecture and by kernel family.
    pub inventory: Inventory,
    /// Every file from outside the checkout that took part.
    pub pins: Vec<Pin>,
    pub steps: BTreeMap<String, StepFigures>,
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
    /// How long it took, in this run or the one that made what was found.
    pub seconds: f64,
    pub cached: bool,
}

pub fn of(plan: &Plan, wheel: &WheelPlan, store: &Store, outcome: &Outcome) -> Result<Manifest> {
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
            Some(done) => (done.seconds, done.cached),
            None => match store.look(&step.key)? {
                Found::Entry(entry) => (entry.seconds, true),
                _ => continue,
            },
        };
        steps.insert(name.to_owned(), StepFigures { key: step.key.clone(), seconds, cached });
    }
    Ok(Manifest {
        wheel: wheel.file_name.clone(),
        sha256: inventory.sha256.clone(),
        bytes: inventory.bytes,
        complete: wheel.complete,
        checks: report.checks.iter().map(|check| check.name.to_string()).collect(),
        inventory,
        pins: pins.into_iter().collect(),
        steps,
    })
}
