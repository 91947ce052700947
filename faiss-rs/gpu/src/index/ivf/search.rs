//! Searches: first in the quantizer, then in the lists that it names.

use faiss_core::base::object::Object;
use faiss_core::base::{Error, Result, Shared};
use faiss_core::distance::worst;
use faiss_core::index::ivf::params::{SearchParametersIVF, of_search};
use faiss_core::index::selector;
use faiss_core::storage::direct_map;

use super::coarse::{Coarse, check_lists};
use super::{GpuIndexIVF, GpuInvertedFile};
use crate::lists::DeviceLists;
use crate::ops::probe::{Probes, Search};
use crate::ops::select::Best;

/// What a search was asked for, by parameters or by the index itself.
struct Plan {
    nprobe: usize,
    max_codes: usize,
}

impl Plan {
    fn new(ivf: &GpuIndexIVF, params: Option<&SearchParametersIVF>) -> Result<Plan> {
        if !ivf.is_trained {
            return Err(Error::failed("!(is_trained)", "IVF index is not trained"));
        }
        let nprobe = params.map_or(ivf.nprobe, |p| p.nprobe).min(ivf.nlist);
        Error::check(nprobe > 0, "cur_nprobe > 0")?;
        let limit = params.map_or(ivf.max_codes, |p| p.max_codes);
        Ok(Plan {
            nprobe: params.filter(|p| p.max_lists_num > 0).map_or(nprobe, |p| nprobe.min(p.max_lists_num)),
            max_codes: if limit == 0 || params.is_some_and(|p| p.ensure_topk_full) { usize::MAX } else { limit },
        })
    }
}

/// The lists that queries look into, where they do not come from a quantizer on the device: `nprobe` a query.
struct Given<'a> {
    coarse: &'a [f32],
    labels: &'a [i64],
}

/// The `k` best of the lists nearest to each query.
pub fn search(
    index: &dyn GpuInvertedFile,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
) -> Result<()> {
    let ivf_params = of_search(params)?;
    let ivf = index.ivf();
    ivf.queries(x, k, distances, labels)?;
    let plan = Plan::new(ivf, ivf_params)?;
    let handle = ivf.quantizer()?.clone();
    let quantizer = handle.read();
    let coarse = Coarse::of(ivf, &*quantizer)?;
    let probe = |params: Option<&dyn Object>| coarse.probe_on_host(x, plan.nprobe, params);
    let given = match ivf_params {
        Some(params) => Shared::with(params.quantizer_params.as_ref(), probe)?,
        None => probe(None)?,
    };
    let given = given.as_ref().map(|(coarse, labels)| Given { coarse, labels });
    search_lists(index, &coarse, x, k, &plan, given.as_ref(), params, false, distances, labels)
}

/// The `k` best of the given lists: `list_nos` and the distances to their centroids `coarse_distances` hold `n * nprobe`; negative
/// numbers are none. With `store_pairs`, labels are places in lists instead of ids.
#[allow(clippy::too_many_arguments)]
pub fn search_preassigned(
    index: &dyn GpuInvertedFile,
    x: &[f32],
    k: usize,
    list_nos: &[i64],
    coarse_distances: &[f32],
    params: Option<&dyn Object>,
    store_pairs: bool,
    distances: &mut [f32],
    labels: &mut [i64],
) -> Result<()> {
    let ivf = index.ivf();
    let n = ivf.queries(x, k, distances, labels)?;
    let mut plan = Plan::new(ivf, of_search(params)?)?;
    let agree = list_nos.len() == coarse_distances.len() && (n == 0 || list_nos.len().is_multiple_of(n));
    Error::check(agree, "assign.size() == n * nprobe")?;
    check_lists(list_nos, ivf.nlist)?;
    plan.nprobe = list_nos.len().checked_div(n).unwrap_or(0);
    let handle = ivf.quantizer()?.clone();
    let quantizer = handle.read();
    let coarse = Coarse::of(ivf, &*quantizer)?;
    let given = Given { coarse: coarse_distances, labels: list_nos };
    search_lists(index, &coarse, x, k, &plan, Some(&given), params, store_pairs, distances, labels)
}

/// The most bytes of a page for the pairs of query and list, as part of the temporary memory.
const PAIRS_SHARE: usize = 6;
const PAIR_BYTES: usize = 24;

#[allow(clippy::too_many_arguments)]
fn search_lists(
    index: &dyn GpuInvertedFile,
    coarse: &Coarse<'_>,
    x: &[f32],
    k: usize,
    plan: &Plan,
    given: Option<&Given<'_>>,
    params: Option<&dyn Object>,
    store_pairs: bool,
    distances: &mut [f32],
    labels: &mut [i64],
) -> Result<()> {
    let ivf = index.ivf();
    let lists = ivf.lists()?.filter(|lists| lists.count() > 0 && plan.nprobe > 0);
    let Some(lists) = lists else {
        distances.fill(worst(ivf.metric_type));
        labels.fill(-1);
        return Ok(());
    };
    let (d, nprobe) = (ivf.dim(), plan.nprobe);
    let centroids = coarse.centroids(ivf)?;
    // The selector may be the user's code, so it is asked while no lock of the device is held.
    let marks = match selector(params) {
        Some(selector) => {
            let ids = ivf.with(|context| lists.arena_ids(context))?;
            let selector = selector.read();
            Some(lists.marks(&ids, |id| selector.is_member(id)))
        }
        None => None,
    };
    let strategy = coarse.strategy(x.len() / d.max(1), nprobe)?;
    ivf.with(|context| {
        let allowed = marks.map(|marks| context.upload(&marks)).transpose()?;
        let search = Search {
            stored: lists.view(),
            centroids,
            longest_row: lists.largest(nprobe),
            allowed: allowed.as_ref().map(|marks| marks.ptr()),
            k,
            descending: ivf.metric_type.is_similarity(),
            store_pairs,
        };
        let pairs = context.room / PAIRS_SHARE / (PAIR_BYTES * nprobe);
        let page = ivf.gpu.page_of_queries(k).min(pairs).max(64);
        let results = distances.chunks_mut(page * k).zip(labels.chunks_mut(page * k));
        for ((i, x), (distances, labels)) in x.chunks(page * d).enumerate().zip(results) {
            let count = x.len() / d;
            let queries = context.upload(x)?;
            let (coarse_distances, list_nos) = match given {
                Some(given) => {
                    let own = i * page * nprobe..(i * page + count) * nprobe;
                    (context.upload(&given.coarse[own.clone()])?, context.upload(&given.labels[own])?)
                }
                None => {
                    let (mut values, mut ids) = (context.take(count * nprobe)?, context.take(count * nprobe)?);
                    let best = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
                    coarse.probe(context, queries.ptr(), count, nprobe, strategy, best)?;
                    (values, ids)
                }
            };
            let probes = Probes {
                queries: queries.ptr(),
                count,
                d,
                nprobe,
                labels: list_nos.ptr(),
                coarse: coarse_distances.ptr(),
                max_codes: plan.max_codes,
            };
            let (mut values, mut ids) = (context.take(count * k)?, context.take(count * k)?);
            let best = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
            index.best(context, &probes, &search, best)?;
            context.download_both((values.ptr(), distances), (ids.ptr(), labels))?;
        }
        Ok(())
    })?;
    if lists.has_host_ids() && !store_pairs {
        look_up(lists, labels);
    }
    Ok(())
}

/// The ids that the host keeps, for places in lists.
fn look_up(lists: &DeviceLists, labels: &mut [i64]) {
    for label in labels.iter_mut().filter(|label| **label >= 0) {
        *label = lists.host_id(direct_map::lo_listno(*label), direct_map::lo_offset(*label)).unwrap_or(-1);
    }
}
