//! Writes wheels, and opens them again: the file name and its tags, core metadata, RECORD, the SBOM and the archive.
//!
//! The bytes of a wheel depend on the bytes of its members and on nothing else: not on the clock, the umask, the order
//! in which a folder is listed, nor on a system library. Sees no other part of the pipeline.
//!
//! ```text
//! WheelName ─┐
//! Metadata  ─┼─ stage() writes NAME-VERSION.dist-info beside the package
//! Licenses  ─┘
//! staged folder ── pack() adds RECORD and writes the archive ── Reader opens it
//! ```

mod archive;
mod error;
pub mod license;
mod metadata;
mod name;
mod pack;
mod reader;
pub mod record;
pub mod requirements;
pub mod sbom;
mod stage;

pub use error::Error;
pub use metadata::Metadata;
pub use name::{WheelName, normalize};
pub use pack::{Packed, PackedMember, pack};
pub use reader::{Member, Reader};
pub use requirements::CudaRequirement;
pub use stage::{DistInfoFile, stage};

/// What `WHEEL` names as the program that wrote the wheel.
pub const GENERATOR: &str = concat!("faiss-ci ", env!("CARGO_PKG_VERSION"));
