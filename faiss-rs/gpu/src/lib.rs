//! The CUDA part of faiss.
//!
//! | module | what it holds |
//! |---|---|
//! | [`sys`] | CUDA's C functions, found at first GPU use; nothing touches CUDA before |
//! | [`error`] | what can go wrong, in words |
//! | [`device`], [`memory`], [`module`], [`blas`] | GPUs, owned memory, loaded kernels, matrix products |
//! | [`launchers`] | a typed function for each kernel of kernels.toml |
//! | `stream`, `staging`, `lanes` | owned streams and events; host memory to the device by several threads and pinned slots; what one call has for itself |
//! | [`resources`], `replay` | settings, and a call's hold on a lane of a device; small calls recorded and launched again |
//! | [`ops`] | operations on device memory: distances, selection, grouping, assignment, k-means, conversion |
//! | `virtual_memory` | device memory that grows in place |
//! | [`given`] | what a call is given: memory of the host or of the device |
//! | [`vectors`], [`lists`], [`index`] | vectors and inverted lists on a GPU that grow, and the indexes made of them |
//! | [`bf_knn`], [`kind`], [`cloner`] | search without an index; CPU to GPU and back, by what each type says of itself |
//! | [`icm`], [`progressive`] | what quantizers and clusterings of the CPU may leave to GPUs |
//! | [`proof`] | a hash by the wheel's own kernels |
//! | [`config`], [`standard`], [`registry`] | options, `StandardGpuResources`, and one row a type for Python |
//!
//! Each sees only what stands before it, and faiss-core; nothing here knows of Python. `unsafe` only where a C function or
//! an address is used, with its reason.

// Parameters carry the names that Faiss gives them.
#![allow(non_snake_case)]

pub mod bf_knn;
pub mod blas;
pub mod cloner;
pub mod config;
pub mod device;
pub mod error;
pub mod given;
pub mod icm;
pub mod index;
pub mod kind;
mod lanes;
pub mod launchers;
pub mod lists;
pub mod memory;
pub mod module;
pub mod ops;
pub mod progressive;
pub mod proof;
pub mod registry;
mod replay;
pub mod resources;
mod staging;
pub mod standard;
mod stream;
pub mod sys;
pub mod vectors;
mod virtual_memory;

pub use bf_knn::{GpuDistanceParams, bf_knn, bf_knn_on, bf_knn_tiling, knn_gpu};
pub use cloner::{
    index_binary_cpu_to_gpu, index_binary_cpu_to_gpu_multiple, index_binary_gpu_to_cpu, index_cpu_to_gpu,
    index_cpu_to_gpu_multiple, index_gpu_to_cpu,
};
pub use config::{
    DistanceDataType, GpuClonerOptions, GpuIndexBinaryFlatConfig, GpuIndexConfig, GpuIndexFlatConfig,
    GpuIndexIVFConfig, GpuIndexIVFFlatConfig, GpuIndexIVFPQConfig, GpuIndexIVFScalarQuantizerConfig,
    GpuMultipleClonerOptions, IndicesDataType, IndicesOptions,
};
pub use device::{DeviceProperties, check_gpus, device_properties, get_num_gpus};
pub use error::{Error, Result};
pub use index::GpuIndex;
pub use index::binary_flat::GpuIndexBinaryFlat;
pub use index::flat::GpuIndexFlat;
pub use index::flat_ip::GpuIndexFlatIP;
pub use index::flat_l2::GpuIndexFlatL2;
pub use index::ivf::flat::GpuIndexIVFFlat;
pub use index::ivf::pq::GpuIndexIVFPQ;
pub use index::ivf::scalar::GpuIndexIVFScalarQuantizer;
pub use index::ivf::{GpuIndexIVF, GpuInvertedFile};
pub use memory::MemorySpace;
pub use module::{KernelLaunches, launch_count, launches};
pub use resources::GpuResources;
pub use standard::{GpuResourcesProvider, StandardGpuResources};
pub use sys::set_library_dir;
