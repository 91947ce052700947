//! What a wheel has to be. The pipeline fills it from versions.toml; for a foreign wheel its name has to do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Image;
use crate::wheel::{Metadata, WheelName};

/// What is expected of a wheel. A part that is `None` is not compared, because nothing is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expected {
    pub name: WheelName,
    /// No symbol may need a newer glibc than this.
    pub glibc: Option<(u32, u32)>,
    /// Every field is compared; the long description too.
    pub metadata: Option<Metadata>,
    /// Every ELF file of the wheel: both a missing and a surplus one is a finding.
    pub libraries: Option<Vec<Library>>,
    /// By member (`faiss/kernels/flat.fatbin`): every fatbin, with all of its images.
    pub fatbins: Option<BTreeMap<String, BTreeSet<Image>>>,
    #[serde(default)]
    pub budget: Budget,
}

/// How a shared library in the wheel has to be linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// `faiss/_faiss.abi3.so`
    pub member: String,
    pub soname: Option<String>,
    /// Must be NEEDED. Beyond these only parts of glibc and libgcc_s may be.
    pub needed: Vec<String>,
    /// Exactly so; `None` is no RUNPATH at all.
    pub runpath: Option<String>,
    /// Symbols that it must export: `PyInit__faiss`, `scipy_cblas_sgemm`.
    pub exports: Vec<String>,
}

/// The most bytes that a wheel may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub wheel_bytes: Option<u64>,
    /// Bytes as stored in all fatbins together, by image.
    pub by_image: BTreeMap<Image, u64>,
}

impl Expected {
    /// What the wheel's name promises, and nothing else.
    pub fn from_name(name: WheelName) -> Expected {
        let glibc = name.glibc();
        Expected { name, glibc, metadata: None, libraries: None, fatbins: None, budget: Budget::default() }
    }
}
