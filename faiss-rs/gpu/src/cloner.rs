//! From CPU indexes to GPU indexes and back.

use std::sync::Arc;

use faiss_core::base::object::cast;
use faiss_core::base::{Error, Handle, Result};
use faiss_core::index::Index;
use faiss_core::index::flat::IndexFlat;

use crate::config::{GpuClonerOptions, GpuIndexConfig, GpuIndexFlatConfig, GpuMultipleClonerOptions};
use crate::index::flat::GpuIndexFlat;
use crate::memory::MemorySpace;
use crate::resources::GpuResources;

/// A copy of a CPU index on GPU `device`.
pub fn index_cpu_to_gpu(
    resources: &Arc<GpuResources>,
    device: i32,
    index: &dyn Index,
    options: &GpuClonerOptions,
) -> Result<Handle> {
    if let Some(flat) = cast::<IndexFlat>(index) {
        let base = GpuIndexConfig { device, memory_space: MemorySpace::Device, use_cuvs: options.use_cuvs };
        let config =
            GpuIndexFlatConfig { base, use_float16: options.use_float16, store_transposed: options.store_transposed };
        let mut made = GpuIndexFlat::new(resources.clone(), flat.d.into(), flat.metric_type, &config)?;
        made.copy_from(flat)?;
        return Ok(Handle::index(made));
    }
    Err(Error::failed("", format!("This index type is not implemented on GPU: {}", index.info().name)))
}

/// A copy of a CPU index on several GPUs: so far on exactly one.
pub fn index_cpu_to_gpu_multiple(
    resources: &[Arc<GpuResources>],
    devices: &[i32],
    index: &dyn Index,
    options: &GpuMultipleClonerOptions,
) -> Result<Handle> {
    Error::check(resources.len() == devices.len(), "provider.size() == devices.size()")?;
    match (resources, devices) {
        ([resources], [device]) => index_cpu_to_gpu(resources, *device, index, options),
        _ => Err(Error::not_implemented(format!(
            "an index on {} GPUs: replicas and shards are not there yet, use index_cpu_to_gpu with one device",
            devices.len()
        ))),
    }
}

/// A copy of a GPU index on the CPU.
pub fn index_gpu_to_cpu(index: &dyn Index) -> Result<Handle> {
    if let Some(flat) = cast::<GpuIndexFlat>(index) {
        let mut made = IndexFlat::default();
        flat.copy_to(&mut made)?;
        return Ok(Handle::index(made));
    }
    Err(Error::failed("", format!("This index type is not a GPU index: {}", index.info().name)))
}
