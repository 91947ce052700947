//! From CPU indexes to GPU indexes and back. What a type becomes, its own file says ([`Cloner`](crate::kind::Cloner)); here is what holds
//! for all of them, and indexes around other indexes.

use std::sync::Arc;

use faiss_core::base::object::cast;
use faiss_core::base::{Error, Handle, Result, Shared};
use faiss_core::index::Index;
use faiss_core::index::id_map::{IndexIDMap, IndexIDMap2};
use faiss_core::index::pretransform::{Chain, IndexPreTransform};
use faiss_core::index::refine::{IndexRefine, IndexRefineFlat};

use crate::config::{GpuClonerOptions, GpuMultipleClonerOptions};
use crate::kind::{Cloner, Target};
use crate::resources::GpuResources;

/// A copy of a CPU index on GPU `device`.
pub fn index_cpu_to_gpu(
    resources: &Arc<GpuResources>,
    device: i32,
    index: &dyn Index,
    options: &GpuClonerOptions,
) -> Result<Handle> {
    to_gpu(&Target { resources, device, options }, index)
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
    if let Some(cloner) = Cloner::of_gpu(index.info()) {
        return (cloner.to_cpu)(index);
    }
    match around(index, &to_cpu) {
        Some(made) => made,
        None => Err(Error::failed("", format!("This index type is not a GPU index: {}", index.info().name))),
    }
}

/// As [`index_cpu_to_gpu`], in one piece.
pub fn to_gpu(target: &Target<'_>, index: &dyn Index) -> Result<Handle> {
    if let Some(cloner) = Cloner::of_cpu(index.info()) {
        return (cloner.to_gpu)(target, index);
    }
    match around(index, &|index| to_gpu(target, index)) {
        Some(made) => made,
        None => Err(Error::failed("", format!("This index type is not implemented on GPU: {}", index.info().name))),
    }
}

/// As [`index_gpu_to_cpu`], for parts of an index, which may be on the CPU already: a copy then.
pub fn to_cpu(index: &dyn Index) -> Result<Handle> {
    if Cloner::of_gpu(index.info()).is_some() {
        return index_gpu_to_cpu(index);
    }
    match around(index, &to_cpu) {
        Some(made) => made,
        None => faiss_core::base::object::copy(index),
    }
}

/// A copy of an index around another one, with that converted; nothing for any other index.
fn around(index: &dyn Index, convert: &dyn Fn(&dyn Index) -> Result<Handle>) -> Option<Result<Handle>> {
    let inner = |inner: &Option<Shared<dyn Index>>| match inner {
        Some(inner) => convert(&*inner.read())?.view().map(Some),
        None => Ok(None),
    };
    let map = |map: &IndexIDMap| Ok(IndexIDMap { index: inner(&map.index)?, own_fields: true, ..map.clone() });
    if let Some(index) = cast::<IndexIDMap2>(index) {
        return Some(map(&index.map).map(|map| Handle::new(IndexIDMap2::from(map))));
    }
    if let Some(index) = cast::<IndexIDMap>(index) {
        return Some(map(index).map(Handle::new));
    }
    if let Some(index) = cast::<IndexPreTransform>(index) {
        return Some((|| {
            let chain = Chain(index.chain.0.iter().map(Shared::copy).collect::<Result<_>>()?);
            let (base, index) = (index.base.clone(), inner(&index.index)?);
            Ok(Handle::new(IndexPreTransform { base, chain, index, own_fields: true }))
        })());
    }
    // Full vectors, of which each search needs a few, stay on the CPU.
    let refine = cast::<IndexRefine>(index)?;
    Some((|| {
        let base_index = inner(&refine.base_index)?;
        let refine_index = refine.refine_index.as_ref().map(Shared::copy).transpose()?;
        let made = IndexRefine { base_index, refine_index, own_fields: true, own_refine_index: true, ..refine.clone() };
        Ok(match cast::<IndexRefineFlat>(index) {
            Some(_) => Handle::new(IndexRefineFlat { refine: made }),
            None => Handle::new(made),
        })
    })())
}
