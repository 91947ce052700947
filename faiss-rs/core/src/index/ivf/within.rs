//! Functions on the inverted file inside an index: behind transforms, id maps and refinement.

use std::time::Instant;

use faiss_derive::functions;

use super::methods::{Found, preassigned, ranges};
use super::params;
use super::search::{probe, range_search_preassigned, search, search_preassigned};
use super::{IndexIVF, InvertedFile};
use crate::base::declare::Shaped;
use crate::base::object::{Object, cast};
use crate::base::view::{seen_as, seen_as_mut};
use crate::base::{Error, Result, Shared};
use crate::index::Index;
use crate::index::id_map::IndexIDMap;
use crate::index::pretransform::IndexPreTransform;
use crate::index::refine::IndexRefine;
use crate::index::stats::INDEX_IVF_STATS;
use crate::storage::direct_map::{lo_listno, lo_offset};
use crate::storage::lists::{ArrayInvertedLists, InvertedLists};

pub use declared::*;

fn missing<T>(index: &dyn Index) -> Result<T> {
    Err(Error::failed("ivf", format!("there is no IndexIVF in {}", index.info().name)))
}

/// What an index stands before.
fn inner(index: &dyn Index) -> Option<&Shared<dyn Index>> {
    let object: &dyn Object = index;
    let (chain, map) = (cast::<IndexPreTransform>(object), cast::<IndexIDMap>(object));
    let refine = || cast::<IndexRefine>(object).and_then(|refine| refine.base_index.as_ref());
    chain.and_then(|chain| chain.index.as_ref()).or(map.and_then(|map| map.index.as_ref())).or_else(refine)
}

/// All that an index stands before, one behind the other.
fn around(index: &dyn Index) -> Vec<Shared<dyn Index>> {
    std::iter::successors(inner(index).cloned(), |next| inner(&*next.read()).cloned()).collect()
}

/// Does something with the inverted file in an index and with vectors as that gets them.
pub fn with_ivf<T>(
    index: &dyn Index,
    x: &[f32],
    work: &mut dyn FnMut(&dyn InvertedFile, &[f32]) -> Result<T>,
) -> Result<T> {
    if let Some(ivf) = seen_as::<dyn InvertedFile>(index) {
        return work(ivf, x);
    }
    let Some(inner) = inner(index) else { return missing(index) };
    match cast::<IndexPreTransform>(index) {
        Some(chain) => with_ivf(&*inner.read(), &chain.apply_chain(x)?, work),
        None => with_ivf(&*inner.read(), x, work),
    }
}

/// As [`with_ivf`], to change it; then all indexes around it have as many vectors.
pub fn with_ivf_mut<T>(index: &mut dyn Index, work: &mut dyn FnMut(&mut dyn InvertedFile) -> Result<T>) -> Result<T> {
    if let Some(ivf) = seen_as_mut::<dyn InvertedFile>(index) {
        return work(ivf);
    }
    let Some(inner) = inner(index).cloned() else { return missing(index) };
    let mut inner = inner.write();
    let done = with_ivf_mut(&mut *inner, work);
    index.base_mut().ntotal = inner.base().ntotal;
    done
}

/// The lists `i0` to before `i1` of an inverted file.
fn check_range(ivf: &IndexIVF, i0: usize, i1: usize) -> Result<()> {
    let message = format!("there are {} lists", ivf.nlist);
    if i0 <= i1 && i1 <= ivf.nlist { Ok(()) } else { Err(Error::failed("0 <= i0 && i0 <= i1 && i1 <= nlist", message)) }
}

/// The vectors (n, d) at the beginning of `x`.
fn rows<'a>(index: &dyn Index, x: &'a [f32], n: usize) -> Result<&'a [f32]> {
    let size = n.checked_mul(index.base().dim());
    size.and_then(|size| x.get(..size)).ok_or_else(|| Error::value(format!("{n} vectors are more than there are")))
}

/// What a search took: milliseconds of the transforms, of the quantizer and of the scan of the lists, and distances computed.
pub type Took = [f64; 4];

/// Does `scan` with the lists nearest to each vector and the distances to their centroids.
fn in_stages<T>(
    index: &dyn Index,
    x: &[f32],
    params: Option<&dyn Object>,
    scan: impl Fn(&dyn InvertedFile, &[f32], &[i64], &[f32]) -> Result<T>,
) -> Result<(T, Took)> {
    let started = Instant::now();
    let since = |time: Instant| time.elapsed().as_secs_f64() * 1e3;
    with_ivf(index, x, &mut |ivf, x| {
        let (transforms, asked) = (since(started), Instant::now());
        let own = params::of_search(params)?;
        let nprobe = own.map_or(ivf.ivf().nprobe, |own| own.nprobe).min(ivf.ivf().nlist);
        let (distances, lists) = probe(ivf, x, nprobe, own)?;
        let (coarse, scanned, before) = (since(asked), Instant::now(), INDEX_IVF_STATS.read().ndis);
        let found = scan(ivf, x, &lists, &distances)?;
        let ndis = INDEX_IVF_STATS.read().ndis.saturating_sub(before);
        Ok((found, [transforms, coarse, since(scanned), ndis as f64]))
    })
}

/// As the index's `search`, with what it took.
pub fn search_with_parameters(
    index: &dyn Index,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
) -> Result<(Found, Took)> {
    index.base().rows(x)?;
    in_stages(index, x, params, |ivf, x, lists, coarse| {
        preassigned(ivf.ivf().rows(x)?, k, |distances, labels| {
            search_preassigned(ivf, x, k, lists, coarse, params, distances, labels, false)
        })
    })
}

#[functions]
mod declared {
    use super::*;

    /// Moves the vectors of index1 to index0; both are inverted files, behind the same transforms perhaps.
    ///
    /// shift_ids: whether ntotal of index0 is added to the ids of index1.
    pub fn merge_into(index0: &mut dyn Index, index1: &mut dyn Index, shift_ids: bool) -> Result<()> {
        index0.check_compatible_for_merge(index1)?;
        let (ours, theirs) = (around(index0), around(index1));
        if ours.iter().any(|index| theirs.iter().any(|other| index.same(other))) {
            return Err(Error::value("both indexes are around the same one"));
        }
        with_ivf_mut(index0, &mut |to| {
            let shift = if shift_ids { to.ivf().ntotal } else { 0 };
            with_ivf_mut(index1, &mut |from| to.merge_from(from, shift))
        })
    }

    /// The list that each of n vectors belongs to.
    pub fn search_centroid(
        index: &dyn Index,
        #[len] x: &[f32],
        n: usize,
        #[len = n] centroid_ids: &mut [i64],
    ) -> Result<()> {
        with_ivf(index, rows(index, x, n)?, &mut |ivf, x| ivf.ivf().quantizer()?.read().assign(x, 1, centroid_ids))
    }

    /// The k best of each of n vectors, with the list nearest to the vector (n) and the list of each result (n * k), where they are wanted.
    pub fn search_and_return_centroids(
        index: &dyn Index,
        n: usize,
        #[len] xin: &[f32],
        k: usize,
        #[len = n * k] distances: &mut [f32],
        #[len = n * k] labels: &mut [i64],
        #[len = n] query_centroid_ids: Option<&mut [i64]>,
        #[len = n * k] result_centroid_ids: Option<&mut [i64]>,
    ) -> Result<()> {
        Error::check(k > 0, "k > 0")?;
        let (mut nearest, mut lists_of) = (query_centroid_ids, result_centroid_ids);
        with_ivf(index, rows(index, xin, n)?, &mut |ivf, x| {
            search(ivf, x, k, None, distances, labels, true)?;
            let lists = ivf.ivf().lists()?;
            for (i, label) in labels.iter_mut().enumerate() {
                let list = if *label < 0 { None } else { Some(lo_listno(*label)) };
                if let Some(out) = &mut lists_of {
                    out[i] = list.map_or(-1, |list| list as i64);
                }
                if let Some(list) = list {
                    *label = lists.ids(list)[lo_offset(*label)];
                }
            }
            match &mut nearest {
                Some(out) => ivf.ivf().quantizer()?.read().assign(x, 1, out),
                None => Ok(()),
            }
        })
    }

    /// A copy of the lists i0 to before i1.
    pub fn get_invlist_range(index: &dyn Index, i0: usize, i1: usize) -> Result<Shared<ArrayInvertedLists>> {
        with_ivf(index, &[], &mut |ivf, _| {
            check_range(ivf.ivf(), i0, i1)?;
            let (lists, mut made) = (ivf.ivf().lists()?, ArrayInvertedLists::new(i1 - i0, ivf.ivf().code_size)?);
            for list in i0..i1 {
                made.add_entries(list - i0, &lists.ids(list), &lists.codes(list))?;
            }
            Ok(Shared::new(made))
        })
    }

    /// Replaces the lists i0 to before i1 by copies of others.
    pub fn set_invlist_range(
        index: &mut dyn Index,
        i0: usize,
        i1: usize,
        src: Shared<dyn InvertedLists>,
    ) -> Result<()> {
        with_ivf_mut(index, &mut |ivf| {
            let ivf = ivf.ivf_mut();
            check_range(ivf, i0, i1)?;
            let own = ivf.lists_handle()?.clone();
            if own.same(&src) {
                return Err(Error::value("the lists are the index's own"));
            }
            let (from, mut to) = (src.read(), own.write());
            let fits = from.base().nlist == i1 - i0 && from.base().code_size == to.base().code_size;
            Error::check(fits, "src->nlist == i1 - i0 && src->code_size == ivf->invlists->code_size")?;
            for list in i0..i1 {
                to.resize(list, 0)?;
                to.add_entries(list, &from.ids(list - i0), &from.codes(list - i0))?;
            }
            ivf.ntotal = to.compute_ntotal() as i64;
            Ok(())
        })
    }

    /// As the index's search, for an inverted file behind transforms too. Returns distances (n, k), ids (n, k), and what it took: milliseconds of
    /// the transforms, of the quantizer and of the scan of the lists, and the number of distances.
    #[name = "_search_with_parameters"]
    pub fn search_with_parameters_and_stats(
        index: &dyn Index,
        d: usize,
        n: usize,
        #[len = n * d] x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
    ) -> Result<(Shaped<f32>, Shaped<i64>, Vec<f64>)> {
        let ((distances, labels), took) = search_with_parameters(index, x, k, params)?;
        Ok((distances, labels, took.to_vec()))
    }

    /// As the index's range_search; otherwise as `_search_with_parameters`. Returns lims, distances and ids, and what it took.
    #[name = "_range_search_with_parameters"]
    pub fn range_search_with_parameters(
        index: &dyn Index,
        d: usize,
        n: usize,
        #[len = n * d] x: &[f32],
        radius: f32,
        params: Option<&dyn Object>,
    ) -> Result<((Vec<i64>, Vec<f32>, Vec<i64>), Vec<f64>)> {
        index.base().rows(x)?;
        let (found, took) = in_stages(index, x, params, |ivf, x, lists, coarse| {
            range_search_preassigned(ivf, x, radius, lists, coarse, params).map(ranges)
        })?;
        Ok((found, took.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::index_factory;

    fn filled(description: &str, x: &[f32]) -> Shared<dyn Index> {
        let index: Shared<dyn Index> =
            index_factory(8, description, crate::base::MetricType::L2).unwrap().view().unwrap();
        index.write().train(x).unwrap();
        index.write().add(x).unwrap();
        index
    }

    #[test]
    fn searches_by_stages_are_searches() {
        let mut x = vec![0f32; 500 * 8];
        crate::random::float_rand(&mut x, 1).unwrap();
        for description in ["IVF10,Flat", "L2norm,IVF10,Flat", "PCA6,IVF10,SQ8", "IVF10,Flat,RFlat"] {
            let index = filled(description, &x);
            let index = index.read();
            let q = &x[..8 * 20];
            let ((distances, labels), took) = search_with_parameters(&*index, q, 3, None).unwrap();
            assert!(took.iter().all(|part| *part >= 0.0), "{description}");
            if !description.contains("RFlat") {
                let (mut d, mut l) = (vec![0f32; 60], vec![0i64; 60]);
                index.search(q, 3, None, &mut d, &mut l).unwrap();
                assert_eq!((&d, &l), (&distances.0, &labels.0), "{description}");
                let (mut d2, mut l2, mut near, mut of) = (d.clone(), l.clone(), vec![0; 20], vec![0; 60]);
                search_and_return_centroids(&*index, 20, q, 3, &mut d2, &mut l2, Some(&mut near), Some(&mut of))
                    .unwrap();
                assert_eq!((&d2, &l2), (&d, &l));
                let mut lists = vec![0i64; 20];
                search_centroid(&*index, q, 20, &mut lists).unwrap();
                assert_eq!(lists, near);
                // With one probe, what is found is in the nearest list.
                assert!((0..60).all(|i| of[i] == if l[i] < 0 { -1 } else { near[i / 3] }));
            }
            assert!(search_centroid(&*index, q, 21, &mut [0; 21]).is_err());
        }
        let flat = filled("Flat", &x);
        let error = search_with_parameters(&*flat.read(), &x[..8], 1, None).err().unwrap().to_string();
        assert!(error.contains("IndexFlat"), "{error}");
    }

    #[test]
    fn lists_are_copied_and_merged() {
        let mut x = vec![0f32; 300 * 8];
        crate::random::float_rand(&mut x, 2).unwrap();
        let one = filled("L2norm,IVF6,Flat", &x);
        let two = one.copy().unwrap();
        let part = get_invlist_range(&*one.read(), 2, 5).unwrap();
        assert_eq!(part.read().base().nlist, 3);
        let size = part.read().compute_ntotal() as i64;
        set_invlist_range(&mut *two.write(), 2, 5, part.view().unwrap()).unwrap();
        assert_eq!(two.read().base().ntotal, 300);
        assert!(get_invlist_range(&*one.read(), 5, 7).is_err() && get_invlist_range(&*one.read(), 3, 2).is_err());
        assert!(set_invlist_range(&mut *two.write(), 2, 4, part.view().unwrap()).is_err());
        merge_into(&mut *one.write(), &mut *two.write(), true).unwrap();
        assert_eq!((one.read().base().ntotal, two.read().base().ntotal), (600, 0));
        set_invlist_range(&mut *two.write(), 0, 3, part.view().unwrap()).unwrap();
        assert_eq!(two.read().base().ntotal, size);
    }
}
