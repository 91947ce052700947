//! From CPU indexes to GPU indexes and back. What a type becomes, its own file says ([`Cloner`](crate::kind::Cloner)); here is what holds
//! for all of them, and indexes around other indexes.

use std::sync::Arc;

use faiss_core::base::object::cast;
use faiss_core::base::view::{seen_as, seen_as_mut};
use faiss_core::base::{Error, Handle, Result, Shared};
use faiss_core::binary::IndexBinary;
use faiss_core::binary::flat::IndexBinaryFlat;
use faiss_core::index::Index;
use faiss_core::index::flat::IndexFlat;
use faiss_core::index::id_map::{IndexIDMap, IndexIDMap2};
use faiss_core::index::ivf::flat::IndexIVFFlat;
use faiss_core::index::ivf::pq::IndexIVFPQ;
use faiss_core::index::ivf::scalar::IndexIVFScalarQuantizer;
use faiss_core::index::ivf::{IndexIVF, InvertedFile};
use faiss_core::index::pretransform::{Chain, IndexPreTransform};
use faiss_core::index::refine::{IndexRefine, IndexRefineFlat};
use faiss_core::index::shards::{IndexReplicas, IndexShards};
use faiss_core::storage::lists::{ArrayInvertedLists, InvertedLists};

use crate::config::{GpuClonerOptions, GpuIndexBinaryFlatConfig, GpuIndexConfig, GpuMultipleClonerOptions};
use crate::index::binary_flat::GpuIndexBinaryFlat;
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

/// A copy of a CPU index on several GPUs: on each all of it, or with `shard` a part.
pub fn index_cpu_to_gpu_multiple(
    resources: &[Arc<GpuResources>],
    devices: &[i32],
    index: &dyn Index,
    options: &GpuMultipleClonerOptions,
) -> Result<Handle> {
    Error::check(resources.len() == devices.len(), "provider.size() == devices.size()")?;
    let targets: Vec<Target<'_>> = resources
        .iter()
        .zip(devices)
        .map(|(resources, device)| Target { resources, device: *device, options: &options.base })
        .collect();
    match &targets[..] {
        [] => Err(Error::failed("devices.size() > 0", "an index on no GPU")),
        [target] => to_gpu(target, index),
        targets => to_gpus(targets, index, options),
    }
}

/// As [`index_cpu_to_gpu_multiple`], on two GPUs or more. Indexes around others stay, with those on the GPUs.
fn to_gpus(targets: &[Target<'_>], index: &dyn Index, options: &GpuMultipleClonerOptions) -> Result<Handle> {
    if Cloner::of_cpu(index.info()).is_none()
        && let Some(made) = around(index, &|index| to_gpus(targets, index, options))
    {
        return made;
    }
    let d = index.base().d.into();
    if !options.shard {
        let mut replicas = IndexReplicas::new(d, true)?;
        replicas.parts.own_indices = true;
        for target in targets {
            replicas.add_replica(to_gpu(target, index)?.view()?)?;
        }
        return Ok(Handle::new(replicas));
    }
    let ivf = seen_as::<dyn InvertedFile>(index);
    // Parts of inverted files have the ids of the whole; those of a flat index count on from one to the next.
    let mut shards = IndexShards::new(d, true, ivf.is_none())?;
    shards.parts.own_indices = true;
    for (i, target) in targets.iter().enumerate() {
        let part = match ivf {
            Some(ivf) => ivf_part(ivf, options.shard_type, (i, targets.len()))?,
            None => flat_part(index, (i, targets.len()))?,
        };
        shards.add_shard(to_gpu(target, &*part.read())?.view()?)?;
    }
    Ok(Handle::new(shards))
}

/// Part `i` of `n` of a flat index: a range of its vectors.
fn flat_part(index: &dyn Index, (i, n): (usize, usize)) -> Result<Shared<dyn Index>> {
    let flat = cast::<IndexFlat>(index).ok_or_else(|| {
        Error::failed(
            "",
            format!("This index type is not implemented on several GPUs by shards: {}", index.info().name),
        )
    })?;
    let x = flat.get_xb();
    let (count, d) = (flat.rows(x)?, flat.dim());
    let mut part = IndexFlat::new(flat.d.into(), flat.metric_type)?;
    part.metric_arg = flat.metric_arg;
    part.add(&x[i * count / n * d..(i + 1) * count / n * d])?;
    Ok(Shared::new(part))
}

/// Part `i` of `n` of an inverted file, with all of its lists: entries by their ids modulo n (type 1), by ranges of ids (2), or whole lists by
/// their numbers modulo n (4).
fn ivf_part(index: &dyn InvertedFile, kind: i32, (i, n): (usize, usize)) -> Result<Shared<dyn Index>> {
    let ivf = index.ivf();
    let whole = ivf.lists()?;
    let ntotal = ivf.ntotal.max(0) as usize;
    let range = (i * ntotal / n) as i64..((i + 1) * ntotal / n) as i64;
    let own = |list: usize, id: i64| match kind {
        1 => Ok(id.rem_euclid(n as i64) as usize == i),
        2 => Ok(range.contains(&id)),
        4 => Ok(list % n == i),
        _ => Err(Error::value(format!("shard_type {kind} is not known: 1, 2 and 4 are"))),
    };
    let mut lists = ArrayInvertedLists::new(ivf.nlist, ivf.code_size)?;
    let mut count = 0;
    for list in 0..ivf.nlist {
        let (ids, codes) = (whole.ids(list), whole.codes(list));
        let (mut part_ids, mut part_codes) = (Vec::new(), Vec::new());
        for (id, code) in ids.iter().zip(codes.chunks_exact(ivf.code_size.max(1))) {
            if own(list, *id)? {
                part_ids.push(*id);
                part_codes.extend_from_slice(code);
            }
        }
        count += part_ids.len() as i64;
        lists.add_entries(list, &part_ids, &part_codes)?;
    }
    drop(whole);
    // A copy would take all lists along: the fields are set one by one.
    let handle = copy_without_lists(index)?;
    {
        let mut part = handle.write();
        let part: &mut dyn InvertedFile = seen_as_mut::<dyn InvertedFile>(&mut *part)
            .ok_or_else(|| Error::failed("", "the copy is no inverted file"))?;
        let ivf = part.ivf_mut();
        (ivf.ntotal, ivf.invlists, ivf.own_invlists) = (count, Some(Shared::new(lists)), true);
    }
    handle.view()
}

/// A copy of an inverted file with empty lists.
fn copy_without_lists(index: &dyn InvertedFile) -> Result<Handle> {
    let empty = |ivf: &IndexIVF| -> Result<IndexIVF> {
        let lists = ArrayInvertedLists::new(ivf.nlist, ivf.code_size)?;
        Ok(IndexIVF { invlists: Some(Shared::new(lists)), ..ivf.clone() })
    };
    if let Some(index) = cast::<IndexIVFFlat>(index) {
        return Ok(Handle::new(IndexIVFFlat { ivf: empty(&index.ivf)? }));
    }
    if let Some(index) = cast::<IndexIVFPQ>(index) {
        return Ok(Handle::new(IndexIVFPQ { ivf: empty(&index.ivf)?, ..index.clone() }));
    }
    if let Some(index) = cast::<IndexIVFScalarQuantizer>(index) {
        return Ok(Handle::new(IndexIVFScalarQuantizer { ivf: empty(&index.ivf)?, sq: index.sq.clone() }));
    }
    Err(Error::failed("", format!("This index type is not implemented on GPU: {}", index.info().name)))
}

/// A copy of a binary index on GPU `device`.
pub fn index_binary_cpu_to_gpu(resources: &Arc<GpuResources>, device: i32, index: &dyn IndexBinary) -> Result<Handle> {
    let Some(flat) = cast::<IndexBinaryFlat>(index) else {
        return Err(Error::failed("", format!("This index type is not implemented on GPU: {}", index.info().name)));
    };
    let config = GpuIndexBinaryFlatConfig { base: GpuIndexConfig { device, ..Default::default() } };
    Ok(Handle::new(GpuIndexBinaryFlat::from_cpu(resources.clone(), flat, &config)?))
}

/// A copy of a binary index on one GPU of a list.
pub fn index_binary_cpu_to_gpu_multiple(
    resources: &[Arc<GpuResources>],
    devices: &[i32],
    index: &dyn IndexBinary,
) -> Result<Handle> {
    Error::check(resources.len() == devices.len(), "provider.size() == devices.size()")?;
    match (resources, devices) {
        ([resources], [device]) => index_binary_cpu_to_gpu(resources, *device, index),
        _ => Err(Error::not_implemented("a binary index on several GPUs is not implemented")),
    }
}

/// A copy of a binary GPU index on the CPU.
pub fn index_binary_gpu_to_cpu(index: &dyn IndexBinary) -> Result<Handle> {
    match cast::<GpuIndexBinaryFlat>(index) {
        Some(flat) => Ok(Handle::new(flat.to_cpu()?)),
        None => Err(Error::failed("", format!("This index type is not a GPU index: {}", index.info().name))),
    }
}

/// A copy of a GPU index on the CPU.
pub fn index_gpu_to_cpu(index: &dyn Index) -> Result<Handle> {
    if let Some(cloner) = Cloner::of_gpu(index.info()) {
        return (cloner.to_cpu)(index);
    }
    match around(index, &to_cpu).or_else(|| gathered(index)) {
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
    match around(index, &to_cpu).or_else(|| gathered(index)) {
        Some(made) => made,
        None => faiss_core::base::object::copy(index),
    }
}

/// What replicas have in common, or what shards have together, on the CPU.
fn gathered(index: &dyn Index) -> Option<Result<Handle>> {
    let merged = |parts: &[Shared<dyn Index>], together: bool| -> Result<Handle> {
        let [first, rest @ ..] = parts else { return Err(Error::failed("count() > 0", "there are no indexes")) };
        let made = to_cpu(&*first.read())?;
        if together {
            let view: Shared<dyn Index> = made.view()?;
            for part in rest {
                let part: Shared<dyn Index> = to_cpu(&*part.read())?.view()?;
                view.write().merge_from(&mut *part.write(), 0)?;
            }
        }
        Ok(made)
    };
    if let Some(shards) = cast::<IndexShards>(index) {
        return Some(merged(shards.parts.parts(), true));
    }
    Some(merged(cast::<IndexReplicas>(index)?.parts.parts(), false))
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
