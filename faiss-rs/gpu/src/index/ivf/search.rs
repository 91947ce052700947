//! Searches: first in the quantizer, then in the lists that it names.

use faiss_core::base::object::Object;
use faiss_core::base::{Error, Result, Shared};
use faiss_core::distance::worst;
use faiss_core::index::ivf::params::{SearchParametersIVF, of_search};
use faiss_core::index::{RangeSearchResult, selector};
use faiss_core::storage::direct_map;

use super::coarse::{Coarse, check_lists};
use super::{GpuIndexIVF, GpuInvertedFile};
use crate::given::{Input, Output};
use crate::lists::DeviceLists;
use crate::memory::{Ptr, PtrMut};
use crate::ops::knn::Strategy;
use crate::ops::probe::{self, Queries, Scan, Search};
use crate::ops::select::Best;
use crate::replay::Key;
use crate::resources::Context;

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
    index.ivf().queries(x, k, distances, labels)?;
    search_for(index, Input::Host(x), k, params, false, &mut Output::Host(distances, labels), None)
}

/// As [`search`], with queries and results of the host or of the device, on a given stream where there is one; with `store_pairs`, labels are places
/// in lists instead of ids.
pub(in crate::index) fn search_for(
    index: &dyn GpuInvertedFile,
    x: Input<'_>,
    k: usize,
    params: Option<&dyn Object>,
    store_pairs: bool,
    out: &mut Output<'_>,
    stream: Option<usize>,
) -> Result<()> {
    let ivf = index.ivf();
    let n = x.rows(ivf.dim())?;
    Error::check(k > 0 && n.checked_mul(k) == Some(out.room()), "k > 0 && distances.size() == n * k")?;
    let plan = Plan::new(ivf, of_search(params)?)?;
    let handle = ivf.quantizer()?.clone();
    let quantizer = handle.read();
    let coarse = Coarse::of(ivf, &*quantizer)?;
    let given = lists_from_host(ivf, &coarse, x, &plan, params, stream)?;
    let given = given.as_ref().map(|(coarse, labels)| Given { coarse, labels });
    let wanted = Wanted { k, params, store_pairs, stream };
    search_lists(index, &coarse, x, &plan, given.as_ref(), wanted, out)
}

/// The lists nearest to each query and the distances to their centroids, where they are not found on the device.
fn lists_from_host(
    ivf: &GpuIndexIVF,
    coarse: &Coarse<'_>,
    x: Input<'_>,
    plan: &Plan,
    params: Option<&dyn Object>,
    stream: Option<usize>,
) -> Result<Option<(Vec<f32>, Vec<i64>)>> {
    let own = of_search(params)?.and_then(|params| params.quantizer_params.as_ref());
    if own.is_none() && matches!(coarse, Coarse::Device(_)) {
        return Ok(None);
    }
    let x = match x {
        Input::Host(x) => x.into(),
        Input::Device(..) => ivf.with_on(stream, |context| x.on_host(context))?,
    };
    Shared::with(own, |params: Option<&dyn Object>| coarse.probe_on_host(&x, plan.nprobe, params))
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
    let wanted = Wanted { k, params, store_pairs, stream: None };
    let mut out = Output::Host(distances, labels);
    search_lists(index, &coarse, Input::Host(x), &plan, Some(&given), wanted, &mut out)
}

/// What a search is to give.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    k: usize,
    params: Option<&'a dyn Object>,
    /// Labels are places in lists instead of ids.
    store_pairs: bool,
    stream: Option<usize>,
}

/// The most bytes of a page for the pairs of query and list, as part of the temporary memory.
const PAIRS_SHARE: usize = 6;
const PAIR_BYTES: usize = 24;

/// A byte for each entry of the arena, 1 for those that the selector of the parameters lets pass. It may be the user's code, so it is asked
/// while no lane of the device is held.
fn marks(ivf: &GpuIndexIVF, lists: &DeviceLists, params: Option<&dyn Object>) -> Result<Option<Vec<u8>>> {
    let Some(selector) = selector(params) else { return Ok(None) };
    let ids = ivf.with(|context| lists.arena_ids(context))?;
    let selector = selector.read();
    Ok(Some(lists.marks(&ids, |id| selector.is_member(id))))
}

/// Calls `work` with the queries of one page after the other, probed, and the number of the first.
fn by_pages(
    context: &Context<'_>,
    ivf: &GpuIndexIVF,
    coarse: &Coarse<'_>,
    x: Input<'_>,
    page: usize,
    plan: &Plan,
    given: Option<&Given<'_>>,
    mut work: impl FnMut(&Queries, usize) -> crate::Result<()>,
) -> crate::Result<()> {
    let (d, nprobe) = (ivf.dim(), plan.nprobe);
    let n = x.len() / d.max(1);
    let strategy = coarse.strategy(n, nprobe)?;
    let pairs = context.room / PAIRS_SHARE / (PAIR_BYTES * nprobe);
    let page = page.min(pairs).max(64);
    for first in (0..n).step_by(page) {
        let count = page.min(n - first);
        let (queries, _kept) = x.bring(context, first * d, count * d)?;
        let (coarse_distances, list_nos) = match given {
            Some(given) => {
                let own = first * nprobe..(first + count) * nprobe;
                (context.upload(&given.coarse[own.clone()])?, context.upload(&given.labels[own])?)
            }
            None => {
                let (mut values, mut ids) = (context.take(count * nprobe)?, context.take(count * nprobe)?);
                let best = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
                coarse.probe(context, queries, count, nprobe, strategy, best)?;
                (values, ids)
            }
        };
        let probed = Queries {
            queries,
            count,
            d,
            nprobe,
            labels: list_nos.ptr(),
            coarse: coarse_distances.ptr(),
            max_codes: plan.max_codes,
        };
        work(&probed, first)?;
    }
    Ok(())
}

/// Entries of a query's lists together, at most. Lists that are given may be the same several times.
fn longest_row(lists: &DeviceLists, plan: &Plan, given: Option<&Given<'_>>) -> usize {
    let Some(given) = given else { return lists.largest(plan.nprobe) };
    let known = |list: &i64| usize::try_from(*list).ok().and_then(|list| lists.lengths().get(list));
    let length = |list: &i64| known(list).map_or(0, |n| *n as usize);
    let rows = given.labels.chunks(plan.nprobe.max(1)).map(|row| row.iter().map(length).sum());
    rows.max().unwrap_or(0)
}

/// What a recording of a search of few queries depends on; none where it can't be one.
fn recorded_as(
    index: &dyn GpuInvertedFile,
    coarse: &Coarse<'_>,
    x: Input<'_>,
    plan: &Plan,
    wanted: Wanted<'_>,
    lists: &DeviceLists,
) -> Result<Option<Key>> {
    let ivf = index.ivf();
    let n = x.rows(ivf.dim())?;
    let (Coarse::Device(flat), Some(generation)) = (coarse, index.scan_generation()) else { return Ok(None) };
    // Other ways wait for the device in between.
    let direct = n > 0 && coarse.strategy(n, plan.nprobe)? == Strategy::Scan;
    let (Some(vectors), true) = (flat.stored()?, direct) else { return Ok(None) };
    let other = ivf.centroids.as_ref().map_or(0, |centroids| centroids.rows().address());
    Ok(Some([
        lists.view().generation,
        generation,
        vectors.rows().address(),
        vectors.count() as u64,
        u64::from(vectors.is_half()),
        flat.metric_type as u64,
        u64::from(flat.metric_arg.to_bits()),
        ivf.metric_type as u64,
        u64::from(index.by_residual()),
        n as u64,
        wanted.k as u64,
        plan.nprobe as u64,
        plan.max_codes as u64,
        u64::from(wanted.store_pairs),
        other,
        ivf.d as u64,
    ]))
}

fn search_lists(
    index: &dyn GpuInvertedFile,
    coarse: &Coarse<'_>,
    x: Input<'_>,
    plan: &Plan,
    given: Option<&Given<'_>>,
    wanted: Wanted<'_>,
    out: &mut Output<'_>,
) -> Result<()> {
    let (ivf, k) = (index.ivf(), wanted.k);
    let lists = ivf.lists()?.filter(|lists| lists.count() > 0 && plan.nprobe > 0);
    let Some(lists) = lists else {
        let (values, ids) = (vec![worst(ivf.metric_type); out.room()], vec![-1; out.room()]);
        return ivf.with_on(wanted.stream, |context| out.put_host(context, &values, &ids));
    };
    let centroids = coarse.centroids(ivf)?;
    let marks = marks(ivf, lists, wanted.params)?;
    let on_host = lists.has_host_ids() && !wanted.store_pairs;
    let plain = given.is_none() && marks.is_none() && !on_host;
    let recorded = if plain { recorded_as(index, coarse, x, plan, wanted, lists)? } else { None };
    ivf.with_on(wanted.stream, |context| {
        let allowed = marks.map(|marks| context.upload(&marks)).transpose()?;
        let search = Search {
            stored: lists.view(),
            centroids,
            longest_row: longest_row(lists, plan, given),
            allowed: allowed.as_ref().map(|marks| marks.ptr()),
            k,
            descending: ivf.metric_type.is_similarity(),
            store_pairs: wanted.store_pairs,
        };
        if let (Some(key), Input::Host(host), Output::Host(distances, labels)) = (&recorded, x, &mut *out) {
            let work = |queries: Ptr<f32>, values: PtrMut<f32>, ids: PtrMut<i64>| {
                let queries = Input::Device(queries, host.len());
                let best = Best { values, ids };
                by_pages(context, ivf, coarse, queries, host.len(), plan, None, |probed, _| {
                    index.best(context, probed, &search, best)
                })
            };
            if context.replay(key, host, (distances, labels), work)? {
                return Ok(());
            }
        }
        by_pages(context, ivf, coarse, x, ivf.gpu.page_of_queries(k), plan, given, |probed, first| {
            let count = probed.count * k;
            let (mut values, mut ids) = (context.take(count)?, context.take(count)?);
            let best = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
            out.while_made(first * k, count, || index.best(context, probed, &search, best))?;
            if on_host {
                let (mut host_values, mut host_ids) = (vec![0f32; count], vec![-1i64; count]);
                context.download_both((values.ptr(), &mut host_values), (ids.ptr(), &mut host_ids))?;
                look_up(lists, &mut host_ids);
                context.upload_to(&host_ids, ids.ptr_mut())?;
            }
            out.put(context, first * k, count, values.ptr(), ids.ptr())
        })
    })
}

/// All entries within a radius, of the lists nearest to each query.
pub fn range_search(
    index: &dyn GpuInvertedFile,
    x: &[f32],
    radius: f32,
    params: Option<&dyn Object>,
) -> Result<RangeSearchResult> {
    let ivf = index.ivf();
    let n = ivf.rows(x)?;
    let plan = Plan::new(ivf, of_search(params)?)?;
    let mut found = RangeSearchResult { lims: vec![0], distances: Vec::new(), labels: Vec::new() };
    let lists = ivf.lists()?.filter(|lists| lists.count() > 0 && plan.nprobe > 0);
    let Some(lists) = lists else {
        found.lims.resize(n + 1, 0);
        return Ok(found);
    };
    let handle = ivf.quantizer()?.clone();
    let quantizer = handle.read();
    let coarse = Coarse::of(ivf, &*quantizer)?;
    let centroids = coarse.centroids(ivf)?;
    let x = Input::Host(x);
    let given = lists_from_host(ivf, &coarse, x, &plan, params, None)?;
    let given = given.as_ref().map(|(coarse, labels)| Given { coarse, labels });
    let marks = marks(ivf, lists, params)?;
    ivf.with(|context| {
        let allowed = marks.map(|marks| context.upload(&marks)).transpose()?;
        let search = Search {
            stored: lists.view(),
            centroids,
            longest_row: longest_row(lists, &plan, given.as_ref()),
            allowed: allowed.as_ref().map(|marks| marks.ptr()),
            k: 1,
            descending: ivf.metric_type.is_similarity(),
            store_pairs: false,
        };
        let page = ivf.gpu.page_of_queries(1);
        by_pages(context, ivf, &coarse, x, page, &plan, given.as_ref(), |probed, _| {
            let compute = |scan: &Scan| index.scan(context, scan);
            probe::within(context, probed, &search, radius, &compute, |offsets, values, labels| {
                let before = found.labels.len();
                found.lims.extend(offsets.iter().skip(1).map(|at| before + at));
                let count = *offsets.last().unwrap_or(&0);
                found.distances.resize(before + count, 0.0);
                found.labels.resize(before + count, -1);
                context.download_both((values, &mut found.distances[before..]), (labels, &mut found.labels[before..]))
            })
        })
    })?;
    if lists.has_host_ids() {
        look_up(lists, &mut found.labels);
    }
    Ok(found)
}

/// The ids that the host keeps, for places in lists.
fn look_up(lists: &DeviceLists, labels: &mut [i64]) {
    for label in labels.iter_mut().filter(|label| **label >= 0) {
        *label = lists.host_id(direct_map::lo_listno(*label), direct_map::lo_offset(*label)).unwrap_or(-1);
    }
}
