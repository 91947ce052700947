//! The plan: a frozen list of steps, each with its inputs, its outputs and a key that is the hash of all of them.
//!
//! `sources` reads what a plan depends on, once; `build` turns it into steps without a clock, a network or another file;
//! `show` renders plans, compares two of them, and explains a step. Knows no engine: engines know plans.

mod build;
pub mod show;
mod sources;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::audit::Expected;
use crate::digest;
use crate::failure::{Failure, Result};
use crate::lock::File;
use crate::wheel::{Metadata, WheelName};

pub use build::{OPENBLAS, build};
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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub action: Action,
    /// Names of steps whose outputs this one reads.
    pub needs: Vec<String>,
    pub inputs: Vec<Input>,
    /// Names of files; empty when only the step knows.
    pub outputs: Vec<String>,
    pub key: String,
}

/// Something outside the plan that a step reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Input {
    /// A file of the checkout.
    Source { path: String, sha256: String },
    /// A file that versions.lock names.
    Pin { package: String, version: String, file: String, sha256: String },
    /// What NVRTC gets for a kernel family: its sources put together for one architecture.
    Unit { family: String, arch: String, sha256: String },
}

impl Input {
    pub fn name(&self) -> String {
        match self {
            Input::Source { path, .. } => path.clone(),
            Input::Pin { package, version, .. } => format!("{package} {version}"),
            Input::Unit { family, arch, .. } => format!("unit of {family} for {arch}"),
        }
    }

    pub fn sha256(&self) -> &str {
        match self {
            Input::Source { sha256, .. } | Input::Pin { sha256, .. } | Input::Unit { sha256, .. } => sha256,
        }
    }
}

/// What a step does, with every setting that changes what it makes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Downloads a pinned wheel and unpacks the members whose names hold one of `keep`.
    Fetch { file: File, python: u32, glibc: (u32, u32), machine: String, keep: Vec<String> },
    /// Gives OpenBLAS a SONAME of its own.
    Openblas { fetch: String, patchelf: String, soname: String },
    /// Compiles one kernel family for one architecture: `sm_90a` or `compute_90`.
    Compile { family: String, arch: String, ptx: bool, nvrtc: String, headers: Vec<String> },
    /// Packs the images of one family into a fatbin.
    Pack { family: String, nvfatbin: String, images: Vec<Image> },
    /// Builds the Rust extension, once for all wheels.
    Extension { zig: String, zigbuild: String, openblas: String, target: String, blas: String, prefix: String },
    /// Builds the library that alone needs CUDA's.
    Shim { zig: String, target: String, version: u32, minimum_driver: u32, needed: Vec<String>, runpath: String },
    /// Lays out the package as the wheel has it.
    Stage(Box<Stage>),
    /// Packs the archive.
    Archive { stage: String, name: WheelName },
    /// Proves what the wheel holds.
    Verify { archive: String, file_name: String, expected: Box<Expected> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub arch: String,
    pub ptx: bool,
    pub step: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    pub name: WheelName,
    pub metadata: Metadata,
    /// Files of the package: path in the checkout, path in the wheel.
    pub package: Vec<(String, String)>,
    pub extension: String,
    pub openblas: String,
    pub shim: Option<String>,
    pub fatbins: Vec<String>,
    /// Package, version and hash of what is inside, for the SBOM.
    pub components: Vec<File>,
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

    pub fn by_name(&self) -> BTreeMap<&str, &Step> {
        self.steps.iter().map(|step| (step.name.as_str(), step)).collect()
    }

    pub fn load(path: &Path) -> Result<Plan> {
        let text = std::fs::read(path).map_err(Failure::io("cannot read", path))?;
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
