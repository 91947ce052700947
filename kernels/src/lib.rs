//! The CUDA kernels of faiss: their catalogue and what turns them into fatbins.
//!
//! The folder above holds CUDA C++ on raw pointers (`*.cu`, `*.cuh`) and `kernels.toml`, which lists every kernel that is
//! built: its parameters, the types and tile sizes it is instantiated for, and the architectures that want it. From that
//! one list come
//!
//! - the [translation unit](Family::translation_unit) of a family for an architecture: all of its sources and one
//!   `extern "C"` entry an instance, one string without a path of this machine, so that its hash is a cache key;
//! - [`launchers`]: Rust functions with the very parameters, so that a wrong argument does not compile.
//!
//! [`compile`] runs NVRTC and [`pack`] runs nvFatbin; both are libraries of NVIDIA's toolkit, opened by path, and neither
//! needs a GPU, a driver or a host compiler. The crate may use those two libraries and nothing else of CUDA. [`fatbin`]
//! reads what was packed.

mod arch;
mod catalogue;
pub mod fatbin;
mod launcher;
mod nvfatbin;
mod nvrtc;
mod unit;

pub use arch::{Arch, Target};
pub use catalogue::{Axis, Catalogue, Family, Instance, Kernel, Param, Struct, Value};
pub use launcher::launchers;
pub use nvfatbin::pack;
pub use nvrtc::{CompileError, Compiled, Spill, compile, supported_archs, version};

/// What can go wrong outside a kernel's own code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    /// `path:line: what is wrong` in `kernels.toml` or an `#include` of a source.
    #[error("{path}:{line}: {message}")]
    Catalogue { path: String, line: usize, message: String },
    #[error("'{0}' is no GPU architecture; it is written MAJOR.MINOR with an optional letter, as in 9.0 or 9.0a")]
    Arch(String),
    #[error("cannot open {path}: {message}")]
    Library { path: String, message: String },
    #[error("nvFatbin: {call} failed: {message}")]
    NvFatbin { call: &'static str, message: String },
}
