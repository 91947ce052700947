//! What a step is told and what it answers: plain data, as JSON between processes and containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::audit::Expected;
use crate::failure::{Failure, Result};
use crate::pip::File;
use crate::wheel::{Metadata, WheelName};

/// The library that OpenBLAS becomes.
pub const OPENBLAS: &str = "libfaiss_openblas.so";

/// One run of the program: a step, and where everything lies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    pub step: Step,
    /// Keys of the steps that this one needs, by name.
    pub needs: BTreeMap<String, String>,
    /// The checkout; of its files, those that the step names.
    pub root: PathBuf,
    /// The store that has what the needed steps made, and gets what this one makes.
    pub store: PathBuf,
    /// A store that outlives the other: taken from where it has the step, and given what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
}

impl Task {
    pub fn key_of(&self, step: &str) -> Result<&str> {
        self.needs.get(step).map(String::as_str).ok_or_else(|| {
            let what = format!("The step {} reads what {step} made, and does not say so.", self.step.name);
            Failure::usage(what, "Write the plan anew.")
        })
    }
}

/// The last line of standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    Made { seconds: f64 },
    Failed { failure: Failure },
}

impl Answer {
    /// From what the program wrote on standard output. None when it was killed, or crashed, before it answered.
    pub fn parse(output: &str) -> Option<Answer> {
        serde_json::from_str(output.lines().next_back()?).ok()
    }
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
    /// Compiles one kernel family for every architecture of a toolkit, and packs the images into a fatbin.
    Kernels(Kernels),
    /// Builds the Rust extension, once for all wheels, with the compiler `rust`: release and commit.
    Extension {
        zig: String,
        zigbuild: String,
        openblas: String,
        target: String,
        blas: String,
        prefix: String,
        rust: String,
    },
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
pub struct Kernels {
    pub family: String,
    pub images: Vec<Image>,
    /// The steps that brought the compiler, the packer and the headers.
    pub nvrtc: String,
    pub nvfatbin: String,
    pub headers: Vec<String>,
}

/// Machine code for `9.0a`, or PTX for `9.0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub arch: String,
    pub ptx: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    pub name: WheelName,
    pub metadata: Metadata,
    /// Files of the package: path in the checkout, path in the wheel.
    pub package: Vec<(String, String)>,
    pub extension: String,
    /// The compiler of the extension: release and commit.
    pub rust: String,
    pub openblas: String,
    /// The step that has zig, whose runtime parts are linked in.
    pub zig: String,
    pub shim: Option<String>,
    pub fatbins: Vec<String>,
    /// What is inside and what made it, besides crates, for the SBOM.
    pub components: Vec<Component>,
}

/// A pinned file that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub file: File,
    /// An SPDX expression.
    pub license: String,
    /// It made something that is in the wheel, and is not in it.
    pub tool: bool,
}
