//! The plan: a frozen list of steps, each with its inputs, its outputs and a key that is the hash of all of them.
//!
//! `sources` reads what a plan depends on, once; `build` turns it into steps without a clock, a network or another file;
//! `describe` is what a wheel says of itself, `expect` what it has to hold; `show` renders plans, compares two of them, and explains a step. Knows no engine: engines know plans.

mod build;
pub mod describe;
pub mod expect;
pub mod show;
mod sources;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use ci_step::digest;
use ci_step::failure::{Failure, Result};
use ci_step::task::Task;
pub use ci_step::task::{Action, Image, Input, Kernels, Stage, Step};

pub use build::{build, local_version};
pub use sources::Sources;

/// Raised when steps come to mean something else than their inputs say.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    /// Each step comes after those that it needs.
    pub steps: Vec<Step>,
    pub wheels: Vec<WheelPlan>,
}

/// One wheel that a plan leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelPlan {
    /// `cuda12` or `cpu`
    pub name: String,
    /// None for the CPU wheel.
    pub cuda_major: Option<u32>,
    pub file_name: String,
    /// The steps that make and verify it.
    pub archive: String,
    pub verify: String,
    /// Where it goes, below the wheelhouse: `gpu/cuda12`.
    pub folder: String,
    /// Whether it holds every architecture of versions.toml.
    pub complete: bool,
}

impl Plan {
    pub fn step(&self, name: &str) -> Result<&Step> {
        self.steps.iter().find(|step| step.name == name).ok_or_else(|| {
            let close: Vec<&str> =
                self.steps.iter().map(|step| step.name.as_str()).filter(|known| known.contains(name)).collect();
            let todo = if close.is_empty() {
                "`cargo ci plan` lists the steps.".to_owned()
            } else {
                let more = if close.len() > 5 { ", ..." } else { "" };
                format!("Did you mean {}{more}?", close[..close.len().min(5)].join(", "))
            };
            Failure::usage(format!("The plan has no step {name}."), todo)
        })
    }

    /// What the worker is told to run the step `name`.
    pub fn task(&self, name: &str, root: &Path, store: &Path) -> Result<Task> {
        let step = self.step(name)?.clone();
        let mut needs = BTreeMap::new();
        for need in &step.needs {
            needs.insert(need.clone(), self.step(need)?.key.clone());
        }
        Ok(Task { step, needs, root: root.to_owned(), store: store.to_owned(), kept: None })
    }

    pub fn by_name(&self) -> BTreeMap<&str, &Step> {
        self.steps.iter().map(|step| (step.name.as_str(), step)).collect()
    }

    pub fn load(path: &Path) -> Result<Plan> {
        let text = std::fs::read(path).map_err(Failure::named("cannot read", path))?;
        let plan: Plan = serde_json::from_slice(&text).map_err(|error| {
            Failure::usage(
                format!("{} is not a plan: {error}.", path.display()),
                "Write one with `cargo ci plan --format json`.",
            )
        })?;
        if plan.format != FORMAT {
            return Err(Failure::usage(
                format!(
                    "{} is a plan of format {}, and this program reads format {FORMAT}.",
                    path.display(),
                    plan.format
                ),
                "Write it anew with `cargo ci plan --format json`.",
            ));
        }
        Ok(plan)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data serializes") + "\n"
    }
}

/// The hash of everything that decides what a step makes. Paths of this machine are no part of it.
fn key(action: &Action, inputs: &[Input], needs: &[(&str, &str)]) -> String {
    let action = serde_json::to_string(action).expect("plain data serializes");
    let inputs = serde_json::to_string(inputs).expect("plain data serializes");
    let mut parts = vec![FORMAT.to_string(), action, inputs];
    for (name, key) in needs {
        parts.push((*name).to_owned());
        parts.push((*key).to_owned());
    }
    digest::of_parts(parts)
}
