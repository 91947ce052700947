//! Adding, removing, moving and reading back vectors.

use super::train::compute_residuals;
use super::{IndexIVF, InvertedFile};
use crate::base::view::{seen_as, seen_as_mut};
use crate::base::{Error, Result, interrupt, progress};
use crate::index::Index;
use crate::index::flat_codes::check_same_type;
use crate::selector::IDSelector;
use crate::selector::sets::IDSelectorArray;
use crate::storage::direct_map::{self, DirectMap};

/// Vectors that are encoded at a time.
const BLOCK: usize = 1 << 16;

/// Assigns vectors to lists, after a check that the quantizer gives numbers of lists only.
pub fn assign(ivf: &IndexIVF, x: &[f32]) -> Result<Vec<i64>> {
    let mut list_nos = vec![-1i64; ivf.rows(x)?];
    ivf.quantizer()?.read().assign(x, 1, &mut list_nos)?;
    check_list_nos(ivf, &list_nos)?;
    Ok(list_nos)
}

pub(crate) fn check_list_nos(ivf: &IndexIVF, list_nos: &[i64]) -> Result<()> {
    match list_nos.iter().find(|list| **list >= ivf.nlist as i64) {
        Some(list) => Err(Error::failed("list_no < nlist", format!("there is no list {list} among {}", ivf.nlist))),
        None => Ok(()),
    }
}

/// Adds vectors; without `ids`, theirs count up from `ntotal`.
pub fn add(index: &mut dyn InvertedFile, x: &[f32], ids: Option<&[i64]>) -> Result<()> {
    let ivf = index.ivf();
    Error::check(ivf.is_trained, "is_trained")?;
    let (d, n) = (ivf.dim(), ivf.rows(x)?);
    Error::check(ids.is_none_or(|ids| ids.len() == n), "ids.size() == n")?;
    ivf.direct_map.check_can_add(ids)?;
    ivf.lists()?.check_can_write()?;
    progress::report("adding vectors", 0, n);
    let before = Before::of(ivf)?;
    for first in (0..n).step_by(BLOCK) {
        let end = (first + BLOCK).min(n);
        let x = &x[first * d..end * d];
        let added = interrupt::check().and_then(|()| {
            let list_nos = assign(index.ivf(), x)?;
            add_core(index, x, ids.map(|ids| &ids[first..end]), &list_nos)
        });
        if let Err(error) = added {
            // All vectors or none, so that who has ids beside this index is never behind.
            if first > 0 {
                before.restore(index.ivf_mut())?;
            }
            return Err(error);
        }
        progress::report("adding vectors", end, n);
    }
    Ok(())
}

/// What there was before vectors were added.
struct Before {
    ntotal: i64,
    sizes: Vec<usize>,
}

impl Before {
    fn of(ivf: &IndexIVF) -> Result<Before> {
        let lists = ivf.lists()?;
        Ok(Before { ntotal: ivf.ntotal, sizes: (0..ivf.nlist).map(|list| lists.list_size(list)).collect() })
    }

    /// Takes away what came after.
    fn restore(self, ivf: &mut IndexIVF) -> Result<()> {
        let lists = ivf.lists_handle()?.clone();
        let mut lists = lists.write();
        for (list, size) in self.sizes.into_iter().enumerate() {
            if lists.list_size(list) > size {
                lists.resize(list, size)?;
            }
        }
        let ntotal = usize::try_from(self.ntotal).unwrap_or(0);
        let mut map = DirectMap::default();
        map.set_type(ivf.direct_map.kind, &*lists, ntotal)?;
        (ivf.direct_map, ivf.base.ntotal) = (map, self.ntotal);
        Ok(())
    }
}

/// Adds vectors to the given lists; a negative one means that the vector is counted but in no list.
pub fn add_core(index: &mut dyn InvertedFile, x: &[f32], ids: Option<&[i64]>, list_nos: &[i64]) -> Result<()> {
    let ivf = index.ivf();
    Error::check(ivf.is_trained, "is_trained")?;
    let n = ivf.rows(x)?;
    Error::check(
        list_nos.len() == n && ids.is_none_or(|ids| ids.len() == n),
        "coarse_idx.size() == n && ids.size() == n",
    )?;
    check_list_nos(ivf, list_nos)?;
    ivf.direct_map.check_can_add(ids)?;
    let codes = index.codes_of(x, list_nos)?;
    append(index.ivf_mut(), ids, list_nos, &codes)
}

/// Appends codes to their lists.
pub fn append(ivf: &mut IndexIVF, ids: Option<&[i64]>, list_nos: &[i64], codes: &[u8]) -> Result<()> {
    let n = list_nos.len();
    let counted: Vec<i64>;
    let ids = match ids {
        Some(ids) => ids,
        None => {
            counted = (ivf.ntotal..ivf.ntotal + n as i64).collect();
            &counted
        }
    };
    let mut offsets = vec![-1i64; n];
    let before = Before::of(ivf)?;
    {
        let handle = ivf.lists_handle()?.clone();
        let mut lists = handle.write();
        if let Err(error) = lists.add_many(list_nos, ids, codes, &mut offsets) {
            drop(lists);
            before.restore(ivf)?;
            return Err(error);
        }
    }
    ivf.direct_map.add(ids, list_nos, &offsets);
    ivf.ntotal += n as i64;
    Ok(())
}

pub(crate) fn reset(index: &mut dyn InvertedFile) -> Result<()> {
    let ivf = index.ivf_mut();
    ivf.lists_handle()?.write().reset()?;
    ivf.direct_map.clear();
    ivf.ntotal = 0;
    Ok(())
}

/// Makes a direct map of that kind, or drops it.
pub fn set_direct_map_type(ivf: &mut IndexIVF, kind: i32) -> Result<()> {
    let lists = ivf.lists_handle()?.clone();
    let ntotal = usize::try_from(ivf.ntotal).unwrap_or(0);
    ivf.direct_map.set_type(kind, &*lists.read(), ntotal)
}

/// The vector of an entry, decoded.
pub fn reconstruct_from_offset(index: &dyn InvertedFile, list: i64, offset: i64, out: &mut [f32]) -> Result<()> {
    let ivf = index.ivf();
    Error::check(out.len() == ivf.dim(), "recons.size() == d")?;
    let lists = ivf.lists()?;
    let (at, offset) = lists.check_entry(list, offset)?;
    index.decode_vectors(&lists.single_code(at, offset)?, &[list], out)
}

pub(crate) fn reconstruct(index: &dyn InvertedFile, key: i64, out: &mut [f32]) -> Result<()> {
    let lo = index.ivf().direct_map.get(key)?;
    reconstruct_from_offset(index, direct_map::lo_listno(lo) as i64, direct_map::lo_offset(lo) as i64, out)
}

/// The vectors `i0` to `i0 + ni - 1`, found by going through all lists, so that no direct map is needed. Those of ids that do not exist
/// are left as they are.
pub fn reconstruct_n(index: &dyn InvertedFile, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
    let ivf = index.ivf();
    let d = ivf.dim();
    ivf.checked_range(i0, ni, out)?;
    let lists = ivf.lists()?;
    for list in 0..ivf.nlist {
        let (ids, codes) = (lists.ids(list), lists.codes(list));
        for (offset, id) in ids.iter().enumerate() {
            let Some(at) = id.checked_sub(i0).and_then(|at| usize::try_from(at).ok()).filter(|at| *at < ni) else {
                continue;
            };
            let code = &codes[offset * ivf.code_size..(offset + 1) * ivf.code_size];
            index.decode_vectors(code, &[list as i64], &mut out[at * d..(at + 1) * d])?;
        }
    }
    Ok(())
}

pub(crate) fn remove_ids(index: &mut dyn InvertedFile, sel: &dyn IDSelector) -> Result<usize> {
    let ivf = index.ivf_mut();
    let lists = ivf.lists_handle()?.clone();
    lists.read().check_can_write()?;
    let removed = ivf.direct_map.remove_ids(sel, &mut *lists.write())?;
    ivf.ntotal -= removed as i64;
    Ok(removed)
}

/// Gives existing ids other vectors.
pub fn update_vectors(index: &mut dyn InvertedFile, ids: &[i64], x: &[f32]) -> Result<()> {
    let ivf = index.ivf();
    Error::check(ivf.is_trained, "is_trained")?;
    Error::check(ivf.rows(x)? == ids.len(), "x.size() == n * d")?;
    match ivf.direct_map.kind {
        direct_map::HASHTABLE => {
            // Faiss removes first and counts then; here nothing is removed when an id is unknown.
            if ids.iter().any(|id| ivf.direct_map.get(*id).is_err()) {
                let message = "did not find all entries to remove";
                return Err(Error::failed("!(nremove == static_cast<size_t>(n))", message));
            }
            remove_ids(index, &IDSelectorArray::new(ids.to_vec()))?;
            add(index, x, Some(ids))
        }
        direct_map::ARRAY => {
            let list_nos = assign(ivf, x)?;
            let codes = index.codes_of(x, &list_nos)?;
            let ivf = index.ivf_mut();
            let lists = ivf.lists_handle()?.clone();
            ivf.direct_map.update_codes(&mut *lists.write(), ids, &list_nos, &codes)
        }
        _ => Err(Error::failed("direct_map.type != NoMap", "update_vectors needs a direct map")),
    }
}

pub(crate) fn sa_encode(index: &dyn InvertedFile, x: &[f32], codes: &mut [u8]) -> Result<()> {
    let ivf = index.ivf();
    Error::check(ivf.is_trained, "is_trained")?;
    let list_nos = assign(ivf, x)?;
    encode_with_list_nos(index, x, &list_nos, codes)
}

/// Codes that begin with the list's number.
fn encode_with_list_nos(index: &dyn InvertedFile, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
    let ivf = index.ivf();
    let (coarse, size) = (ivf.coarse_code_size(), ivf.code_size);
    Error::check(codes.len() == list_nos.len() * (coarse + size), "codes.size() == n * sa_code_size()")?;
    let fine = index.codes_of(x, list_nos)?;
    for (i, code) in codes.chunks_exact_mut(coarse + size).enumerate() {
        ivf.encode_listno(list_nos[i].max(0) as usize, &mut code[..coarse]);
        code[coarse..].copy_from_slice(&fine[i * size..(i + 1) * size]);
    }
    Ok(())
}

/// Splits codes into numbers of lists and the codes within them.
fn split_codes(ivf: &IndexIVF, codes: &[u8]) -> Result<(Vec<i64>, Vec<u8>)> {
    let (coarse, size) = (ivf.coarse_code_size(), ivf.code_size);
    Error::check(coarse + size > 0 && codes.len().is_multiple_of(coarse + size), "codes.size() % sa_code_size() == 0")?;
    let (mut list_nos, mut fine) = (Vec::new(), Vec::new());
    for code in codes.chunks_exact(coarse + size) {
        list_nos.push(ivf.decode_listno(&code[..coarse])? as i64);
        fine.extend_from_slice(&code[coarse..]);
    }
    Ok((list_nos, fine))
}

pub(crate) fn sa_decode(index: &dyn InvertedFile, codes: &[u8], x: &mut [f32]) -> Result<()> {
    let (list_nos, fine) = split_codes(index.ivf(), codes)?;
    Error::check(x.len() == list_nos.len() * index.ivf().dim(), "x.size() == n * d")?;
    index.decode_vectors(&fine, &list_nos, x)
}

pub(crate) fn add_sa_codes(index: &mut dyn InvertedFile, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
    let ivf = index.ivf_mut();
    let (list_nos, fine) = split_codes(ivf, codes)?;
    Error::check(ids.is_none_or(|ids| ids.len() == list_nos.len()), "ids.size() == n")?;
    ivf.direct_map.check_can_add(ids)?;
    append(ivf, ids, &list_nos, &fine)
}

pub(crate) fn check_compatible_for_merge(index: &dyn InvertedFile, other: &dyn Index) -> Result<()> {
    check_same_type(index, other)?;
    let not_ivf = || Error::type_error(format!("{} is no inverted file", other.info().name));
    let theirs = seen_as::<dyn InvertedFile>(other).ok_or_else(not_ivf)?;
    let (ours, its) = (index.ivf(), theirs.ivf());
    Error::check(its.nlist == ours.nlist, "other->nlist == nlist")?;
    Error::check(its.code_size == ours.code_size, "other->code_size == code_size")?;
    Error::check(its.by_residual == ours.by_residual, "other->by_residual == by_residual")?;
    if !ours.direct_map.no() || !its.direct_map.no() {
        return Err(Error::failed(
            "this->direct_map.no() && other->direct_map.no()",
            "direct map copy not implemented",
        ));
    }
    check_same_centroids(ours, its)?;
    index.check_same_codes(theirs)
}

/// An error where lists of the same number are of different centroids, whose codes would mean something else.
fn check_same_centroids(ours: &IndexIVF, theirs: &IndexIVF) -> Result<()> {
    let (ours, theirs) = (ours.quantizer()?, theirs.quantizer()?);
    if ours.same(theirs) {
        return Ok(());
    }
    let (ours, theirs) = (ours.read(), theirs.read());
    let differ = || Error::failed("!(v == v2)", "coarse quantizers should be the same");
    let (d, n) = (ours.base().dim(), ours.base().ntotal);
    if theirs.base().dim() != d || theirs.base().ntotal != n {
        return Err(differ());
    }
    let (mut one, mut two) = (vec![0f32; d], vec![0f32; d]);
    for list in 0..n {
        ours.reconstruct(list, &mut one)?;
        theirs.reconstruct(list, &mut two)?;
        if one != two {
            return Err(differ());
        }
    }
    Ok(())
}

pub(crate) fn merge_from(index: &mut dyn InvertedFile, other: &mut dyn Index, add_id: i64) -> Result<()> {
    check_compatible_for_merge(index, other)?;
    let not_ivf = Error::type_error("the other index is no inverted file");
    let theirs = seen_as_mut::<dyn InvertedFile>(other).ok_or(not_ivf)?.ivf_mut();
    let ours = index.ivf_mut();
    let (from, to) = (theirs.lists_handle()?.clone(), ours.lists_handle()?.clone());
    if from.same(&to) {
        return Err(Error::value("both indexes have the same lists"));
    }
    to.write().merge_from(&mut *from.write(), add_id)?;
    ours.ntotal += theirs.ntotal;
    theirs.ntotal = 0;
    Ok(())
}

/// Copies entries to another index, chosen by one of the `SUBSET_TYPE`s.
pub fn copy_subset_to(ivf: &IndexIVF, other: &mut IndexIVF, subset_type: i32, a1: i64, a2: i64) -> Result<()> {
    Error::check(ivf.nlist == other.nlist, "nlist == other.nlist")?;
    Error::check(ivf.code_size == other.code_size, "code_size == other.code_size")?;
    Error::check(other.direct_map.no(), "other.direct_map.no()")?;
    let (from, to) = (ivf.lists_handle()?.clone(), other.lists_handle()?.clone());
    if from.same(&to) {
        return Err(Error::value("both indexes have the same lists"));
    }
    other.ntotal += from.read().copy_subset_to(&mut *to.write(), subset_type, a1, a2)? as i64;
    Ok(())
}

/// What is encoded: the vectors, or their residuals.
pub fn to_encode<'a>(ivf: &IndexIVF, x: &'a [f32], list_nos: &[i64]) -> Result<std::borrow::Cow<'a, [f32]>> {
    if !ivf.by_residual {
        return Ok(x.into());
    }
    let mut residuals = vec![0f32; x.len()];
    compute_residuals(&*ivf.quantizer()?.read(), x, list_nos, &mut residuals)?;
    Ok(residuals.into())
}

/// Adds the centroids of the lists to vectors.
pub fn add_centroids(ivf: &IndexIVF, list_nos: &[i64], x: &mut [f32]) -> Result<()> {
    let quantizer = ivf.quantizer()?.read();
    let mut centroid = vec![0f32; ivf.dim()];
    for (list, row) in list_nos.iter().zip(x.chunks_exact_mut(ivf.dim().max(1))) {
        quantizer.reconstruct(*list, &mut centroid)?;
        row.iter_mut().zip(&centroid).for_each(|(v, c)| *v += c);
    }
    Ok(())
}
