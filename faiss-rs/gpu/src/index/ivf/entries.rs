//! Entries one by one: vectors by their ids or places, removal, and what moves from one index to another.

use std::collections::HashMap;

use faiss_core::base::object::Object;
use faiss_core::base::view::seen_as;
use faiss_core::base::{Error, Result};
use faiss_core::index::Index;
use faiss_core::selector::IDSelector;
use faiss_core::selector::sets::IDSelectorBatch;
use faiss_core::storage::direct_map::{lo_build, lo_listno, lo_offset};
use faiss_core::storage::lists::{ArrayInvertedLists, InvertedLists};

use super::{GpuInvertedFile, search};
use crate::given::{Input, Output};
use crate::lists::DeviceLists;

/// The vectors at these places, as their codes stand for them: `list << 32 | offset` each.
fn decode(index: &dyn GpuInvertedFile, places: &[i64], out: &mut [f32]) -> Result<()> {
    let (ivf, d, size) = (index.ivf(), index.base().dim(), index.code_size());
    let Some(lists) = ivf.lists()? else { return Error::check(places.is_empty(), "the index has vectors") };
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|i| places[*i]);
    let quantizer = ivf.quantizer()?.read();
    for run in order.chunk_by(|a, b| lo_listno(places[*a]) == lo_listno(places[*b])) {
        let list = lo_listno(places[run[0]]);
        // Few entries of a long list are not worth all of it.
        let (first, last) = (lo_offset(places[run[0]]), lo_offset(places[run[run.len() - 1]]));
        let stored = ivf.with(|context| lists.read_codes(context, list, first..last + 1))?;
        let mut codes = Vec::with_capacity(run.len() * size);
        for i in run {
            let at = (lo_offset(places[*i]) - first) * size;
            codes.extend_from_slice(&stored[at..at + size]);
        }
        let mut rows = vec![0f32; run.len() * d];
        index.decode_on_host(&codes, &mut rows)?;
        if index.by_residual() {
            let mut centroid = vec![0f32; d];
            quantizer.reconstruct(list as i64, &mut centroid)?;
            rows.chunks_exact_mut(d).for_each(|row| row.iter_mut().zip(&centroid).for_each(|(x, c)| *x += c));
        }
        for (i, row) in run.iter().zip(rows.chunks_exact(d)) {
            out[i * d..(i + 1) * d].copy_from_slice(row);
        }
    }
    Ok(())
}

/// Calls `found` with the place in `wanted` and the place in the lists of each id that is there; an id that stands in several lists is found in
/// the first. All ids go through the host once.
fn find(
    index: &dyn GpuInvertedFile,
    wanted: &HashMap<i64, Vec<usize>>,
    mut found: impl FnMut(usize, i64),
) -> Result<()> {
    let ivf = index.ivf();
    let Some(lists) = ivf.lists()? else { return Ok(()) };
    let ids = ivf.with(|context| lists.arena_ids(context))?;
    let mut seen = std::collections::HashSet::new();
    for (list, ids) in lists.entries(&ids).enumerate() {
        for (offset, id) in ids.iter().enumerate() {
            if let Some(at) = wanted.get(id).filter(|_| seen.insert(*id)) {
                at.iter().for_each(|at| found(*at, lo_build(list, offset)));
            }
        }
    }
    Ok(())
}

/// The vectors with these ids.
pub fn reconstruct_batch(index: &dyn GpuInvertedFile, keys: &[i64], out: &mut [f32]) -> Result<()> {
    let d = index.base().dim();
    Error::check(keys.len().checked_mul(d) == Some(out.len()), "recons.size() == n * d")?;
    let mut wanted: HashMap<i64, Vec<usize>> = HashMap::new();
    keys.iter().enumerate().for_each(|(i, key)| wanted.entry(*key).or_default().push(i));
    let mut places = vec![-1; keys.len()];
    find(index, &wanted, |at, place| places[at] = place)?;
    if let Some(at) = places.iter().position(|place| *place < 0) {
        return Err(Error::failed("", format!("key {} not found", keys[at])));
    }
    decode(index, &places, out)
}

/// The vectors `i0` to `i0 + ni - 1`. Those of ids that do not exist are left as they are.
pub fn reconstruct_n(index: &dyn GpuInvertedFile, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
    let d = index.base().dim();
    index.base().checked_range(i0, ni, out)?;
    let wanted = (0..ni).map(|i| (i0 + i as i64, vec![i])).collect();
    let mut there = Vec::new();
    find(index, &wanted, |at, place| there.push((at, place)))?;
    let places: Vec<i64> = there.iter().map(|(_, place)| *place).collect();
    let mut rows = vec![0f32; places.len() * d];
    decode(index, &places, &mut rows)?;
    for ((at, _), row) in there.iter().zip(rows.chunks_exact(d.max(1))) {
        out[at * d..(at + 1) * d].copy_from_slice(row);
    }
    Ok(())
}

/// A search, and the vectors found: NaN where there is no result.
pub fn search_and_reconstruct(
    index: &dyn GpuInvertedFile,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
    recons: &mut [f32],
) -> Result<()> {
    let d = index.base().dim();
    Error::check(labels.len().checked_mul(d) == Some(recons.len()), "recons.size() == n * k * d")?;
    index.ivf().queries(x, k, distances, labels)?;
    search::search_for(index, Input::Host(x), k, params, true, &mut Output::Host(distances, labels), None)?;
    let there: Vec<usize> = (0..labels.len()).filter(|i| labels[*i] >= 0).collect();
    let places: Vec<i64> = there.iter().map(|i| labels[*i]).collect();
    let mut rows = vec![0f32; places.len() * d];
    decode(index, &places, &mut rows)?;
    recons.fill(f32::from_bits(u32::MAX));
    for (i, row) in there.iter().zip(rows.chunks_exact(d.max(1))) {
        recons[i * d..(i + 1) * d].copy_from_slice(row);
    }
    let ivf = index.ivf();
    if let Some(lists) = ivf.lists()?.filter(|lists| lists.has_ids() && !there.is_empty()) {
        let ids = ivf.with(|context| lists.arena_ids(context))?;
        let of: Vec<&[i64]> = lists.entries(&ids).collect();
        for i in there {
            labels[i] = of[lo_listno(labels[i])][lo_offset(labels[i])];
        }
    }
    Ok(())
}

/// The same lists on the host.
fn on_host(index: &dyn GpuInvertedFile) -> Result<ArrayInvertedLists> {
    let ivf = index.ivf();
    match ivf.lists()? {
        Some(lists) => ivf.with(|context| Ok(lists.download(context)))?,
        None => ArrayInvertedLists::new(ivf.nlist, index.code_size()),
    }
}

/// Takes the host's lists in place of the index's.
fn replace(index: &mut dyn GpuInvertedFile, lists: &ArrayInvertedLists) -> Result<()> {
    let ivf = index.ivf();
    let (space, indices) = (ivf.config().base.memory_space, ivf.config().indices_options);
    let mut made = ivf.with(|context| DeviceLists::upload(context, space, lists, indices))?;
    made.report_to(ivf.hold_lists());
    index.ivf_mut().lists = Some(made);
    Ok(())
}

/// Removes what the selector names, by way of the host; how many entries that were.
pub fn remove_ids(index: &mut dyn GpuInvertedFile, sel: &dyn IDSelector) -> Result<usize> {
    let all = on_host(index)?;
    let mut kept = ArrayInvertedLists::new(index.ivf().nlist, index.code_size())?;
    let (mut removed, size) = (0, index.code_size());
    for list in 0..index.ivf().nlist {
        let (ids, codes) = (all.ids(list), all.codes(list));
        let stays: Vec<usize> = (0..ids.len()).filter(|i| !sel.is_member(ids[*i])).collect();
        removed += ids.len() - stays.len();
        let kept_ids: Vec<i64> = stays.iter().map(|i| ids[*i]).collect();
        let kept_codes: Vec<u8> = stays.iter().flat_map(|i| &codes[i * size..(i + 1) * size]).copied().collect();
        kept.add_entries(list, &kept_ids, &kept_codes)?;
    }
    if removed > 0 {
        replace(index, &kept)?;
        index.ivf_mut().ntotal -= removed as i64;
    }
    Ok(removed)
}

/// Gives existing ids other vectors, which may go to other lists. Of an id that is named twice the last vector stays. Adding comes after removing,
/// so an error of the device, and nothing else, may leave ids without a vector.
pub fn update_vectors(index: &mut dyn GpuInvertedFile, keys: &[i64], x: &[f32]) -> Result<()> {
    let (n, d) = (index.ivf().rows(x)?, index.base().dim());
    Error::check(keys.len() == n, "keys.size() == n")?;
    let last: HashMap<i64, usize> = keys.iter().enumerate().map(|(i, key)| (*key, i)).collect();
    let mut missing = last.clone();
    find(index, &last.keys().map(|key| (*key, vec![last[key]])).collect(), |at, _| {
        missing.remove(&keys[at]);
    })?;
    if let Some(key) = missing.keys().min() {
        return Err(Error::failed("", format!("key {key} not found")));
    }
    let mut places: Vec<usize> = last.into_values().collect();
    places.sort_unstable();
    let kept: Vec<i64> = places.iter().map(|i| keys[*i]).collect();
    let rows: Vec<f32> = places.iter().flat_map(|i| &x[i * d..(i + 1) * d]).copied().collect();
    remove_ids(index, &IDSelectorBatch::new(&kept))?;
    super::edit::add_host(index, &rows, Some(&kept))
}

/// An error that says why `other`'s vectors can't be moved here.
pub fn check_compatible_for_merge(index: &dyn GpuInvertedFile, other: &dyn Index) -> Result<()> {
    if !std::ptr::eq(index.info(), other.info()) {
        return Err(Error::failed("", "can only merge indexes of the same type"));
    }
    let theirs = seen_as::<dyn GpuInvertedFile>(other).ok_or_else(|| Error::type_error("no inverted file"))?;
    Error::check(other.base().d == index.base().d, "other->d == d")?;
    Error::check(theirs.ivf().nlist == index.ivf().nlist, "other->nlist == nlist")?;
    Error::check(theirs.code_size() == index.code_size(), "other->code_size == code_size")?;
    Error::check(theirs.by_residual() == index.by_residual(), "other->by_residual == by_residual")?;
    Error::check(theirs.base().metric_type == index.base().metric_type, "other->metric_type == metric_type")?;
    let same = index.same_codes(theirs) && centroids(index)? == centroids(theirs)?;
    Error::check(same, "the centroids and the encoders of both are the same")
}

/// The bits of the centroids of lists; none of an index that has no quantizer yet.
fn centroids(index: &dyn GpuInvertedFile) -> Result<Vec<u32>> {
    let quantizer = index.ivf().quantizer()?.read();
    let count = usize::try_from(quantizer.base().ntotal).unwrap_or(0);
    let mut x = vec![0f32; count * quantizer.base().dim()];
    quantizer.reconstruct_n(0, count, &mut x)?;
    Ok(x.into_iter().map(f32::to_bits).collect())
}

/// Moves all vectors of `other` here, by way of the host, and leaves it empty; `add_id` is added to their ids.
pub fn merge_from(index: &mut dyn GpuInvertedFile, other: &mut dyn Index, add_id: i64) -> Result<()> {
    check_compatible_for_merge(index, other)?;
    let theirs = seen_as::<dyn GpuInvertedFile>(other).ok_or_else(|| Error::type_error("no inverted file"))?;
    let (mut all, more) = (on_host(index)?, on_host(theirs)?);
    for list in 0..index.ivf().nlist {
        let ids: Option<Vec<i64>> = more.ids(list).iter().map(|id| id.checked_add(add_id)).collect();
        let ids = ids.ok_or_else(|| Error::overflow("an id plus add_id is out of range"))?;
        all.add_entries(list, &ids, &more.codes(list))?;
    }
    replace(index, &all)?;
    index.ivf_mut().ntotal += other.base().ntotal;
    other.reset()
}
