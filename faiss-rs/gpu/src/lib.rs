//! The CUDA part of faiss.
//!
//! | module | what it holds |
//! |---|---|
//! | [`sys`] | CUDA's C functions, found at first GPU use; nothing touches CUDA before |
//! | [`error`] | what can go wrong, in words |
//! | [`device`], [`memory`], [`module`] | GPUs, owned memory, loaded kernels |
//! | [`launchers`] | a typed function for each kernel of kernels.toml |
//!
//! Sees faiss-core; knows nothing of Python. `unsafe` only where a C function or a device address is used, with its reason.

pub mod bf_knn;
pub mod blas;
pub mod config;
pub mod device;

pub mod error;
pub mod launchers;
pub mod memory;
pub mod module;
pub mod ops;
pub mod resources;
pub mod sys;
pub mod vectors;

pub use device::{DeviceProperties, check_gpus, device_properties, get_num_gpus};
pub use error::{Error, Result};
pub use memory::MemorySpace;
pub use module::launch_count;
pub use sys::set_library_dir;
