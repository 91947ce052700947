//! Searches: first in the quantizer, then in the lists that it names.

use std::time::Instant;

use parking_lot::Mutex;

use super::Search;
use super::codec::CodecSearcher;
use super::params::{self, SearchParametersIVF};
use super::scan::{Buffers, Lists};
use super::{InvertedFile, PARALLEL_MODE_NO_HEAP_INIT, edit};
use crate::base::object::Object;
use crate::base::{Error, Result, Shared, interrupt, threads};
use crate::distance::collect::{Best1, Collector, Hit, InRange, Reservoir, merge_parts};
use crate::distance::results::{InRadius, TopK};
use crate::index::stats::{INDEX_IVF_STATS, IndexIVFStats};
use crate::index::{RangeSearchResult, selector};
use crate::storage::direct_map;

/// Pairs of query and list that are searched for in the quantizer at a time.
const MAX_PAIRS: usize = 1 << 22;
/// Queries of one task.
const MAX_QUERIES: usize = 512;
/// Queries that look into the same list and are worth being compared with it together.
const MIN_TILE: usize = 3;
/// Codes of a query that are worth being shared among threads, and their bytes: either is enough.
const MIN_SHARED_CODES: usize = 1 << 14;
const MIN_SHARED_BYTES: usize = 1 << 20;

/// What a search was asked for, by parameters or by the index itself.
pub struct Plan {
    /// Lists that a query looks into.
    pub nprobe: usize,
    /// Codes that it looks at, at most.
    pub max_codes: usize,
    /// Lists without results after which a range search ends.
    pub max_empty: usize,
    /// So many results are wanted even where that takes more codes than `max_codes`.
    pub fill: usize,
}

/// Refuses a mode of threads beyond the last that a search has.
fn check_mode(mode: i32, last: i32) -> Result<()> {
    if (0..=last).contains(&mode) {
        return Ok(());
    }
    Err(Error::failed("", format!("parallel_mode {mode} not supported")))
}

impl Plan {
    fn new(index: &dyn InvertedFile, k: usize, params: Option<&SearchParametersIVF>) -> Result<Plan> {
        let ivf = index.ivf();
        if !ivf.is_trained {
            return Err(Error::failed("!(is_trained)", "IVF index is not trained"));
        }
        let nprobe = params.map_or(ivf.nprobe, |p| p.nprobe).min(ivf.nlist);
        Error::check(nprobe > 0, "cur_nprobe > 0")?;
        check_mode(ivf.parallel_mode & !PARALLEL_MODE_NO_HEAP_INIT, 3)?;
        let limit = params.map_or(ivf.max_codes, |p| p.max_codes);
        Ok(Plan {
            nprobe: params.filter(|p| p.max_lists_num > 0).map_or(nprobe, |p| nprobe.min(p.max_lists_num)),
            max_codes: if limit == 0 { usize::MAX } else { limit },
            max_empty: params.map_or(0, |p| p.max_empty_result_buckets),
            fill: if params.is_some_and(|p| p.ensure_topk_full) { k } else { 0 },
        })
    }
}

/// The number of lists that search parameters ask for, where there are some.
pub fn nprobe_of(params: Option<&dyn Object>) -> Result<Option<usize>> {
    Ok(params::of_search(params)?.map(|p| p.nprobe))
}

/// The lists nearest to each query and the distances to their centroids.
pub(super) fn probe(
    index: &dyn InvertedFile,
    x: &[f32],
    nprobe: usize,
    params: Option<&SearchParametersIVF>,
) -> Result<(Vec<f32>, Vec<i64>)> {
    let start = Instant::now();
    let n = index.ivf().rows(x)?;
    let (mut coarse, mut list_nos) = (vec![0f32; n * nprobe], vec![-1i64; n * nprobe]);
    let quantizer = index.ivf().quantizer()?.read();
    let mut search = |p: Option<&dyn Object>| quantizer.search(x, nprobe, p, &mut coarse, &mut list_nos);
    match params {
        Some(params) => Shared::with(params.quantizer_params.as_ref(), search)?,
        None => search(None)?,
    }
    INDEX_IVF_STATS.write().quantization_time += start.elapsed().as_secs_f64() * 1e3;
    Ok((coarse, list_nos))
}

/// Searches of given lists take no time in the statistics, as in Faiss's.
fn count_time(start: Instant) {
    INDEX_IVF_STATS.write().search_time += start.elapsed().as_secs_f64() * 1e3;
}

/// The `k` best of the lists nearest to each query. With `store_pairs`, labels are places in lists instead of ids.
pub fn search(
    index: &dyn InvertedFile,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
    store_pairs: bool,
) -> Result<()> {
    let ivf_params = params::of_search(params)?;
    let ivf = index.ivf();
    let start = Instant::now();
    let n = ivf.queries(x, k, distances, labels)?;
    let plan = Plan::new(index, k, ivf_params)?;
    let (d, block) = (ivf.dim(), (MAX_PAIRS / plan.nprobe).max(1));
    for first in (0..n).step_by(block) {
        let end = (first + block).min(n);
        let x = &x[first * d..end * d];
        let (coarse, list_nos) = probe(index, x, plan.nprobe, ivf_params)?;
        let (distances, labels) = (&mut distances[first * k..end * k], &mut labels[first * k..end * k]);
        search_lists(index, x, k, &plan, &list_nos, &coarse, params, distances, labels, store_pairs)?;
    }
    count_time(start);
    Ok(())
}

/// The `k` best of the given lists: `list_nos` and the distances to their centroids `coarse` hold `n * nprobe`; negative numbers are none.
pub fn search_preassigned(
    index: &dyn InvertedFile,
    x: &[f32],
    k: usize,
    list_nos: &[i64],
    coarse: &[f32],
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
    store_pairs: bool,
) -> Result<()> {
    let ivf_params = params::of_search(params)?;
    let n = index.ivf().queries(x, k, distances, labels)?;
    let mut plan = Plan::new(index, k, ivf_params)?;
    plan.nprobe = preassigned(index, n, list_nos, coarse)?;
    search_lists(index, x, k, &plan, list_nos, coarse, params, distances, labels, store_pairs)
}

/// How many lists are given for each of `n` queries, after a check of their numbers.
fn preassigned(index: &dyn InvertedFile, n: usize, list_nos: &[i64], coarse: &[f32]) -> Result<usize> {
    Error::check(
        list_nos.len() == coarse.len() && (n == 0 || list_nos.len().is_multiple_of(n)),
        "assign.size() == n * nprobe",
    )?;
    if let Some(list) = list_nos.iter().find(|list| **list >= index.ivf().nlist as i64) {
        let message = format!("Invalid key={list} nlist={}", index.ivf().nlist);
        return Err(Error::failed("key < (idx_t)nlist", message));
    }
    Ok(list_nos.len().checked_div(n).unwrap_or(0))
}

fn search_lists(
    index: &dyn InvertedFile,
    x: &[f32],
    k: usize,
    plan: &Plan,
    list_nos: &[i64],
    coarse: &[f32],
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
    store_pairs: bool,
) -> Result<()> {
    let ivf = index.ivf();
    let merges = ivf.parallel_mode & PARALLEL_MODE_NO_HEAP_INIT != 0;
    let out = TopK::new(ivf.metric_type, k, distances, labels).merging(merges);
    let done = |q: usize, hits: Vec<Hit>| out.write(q, &hits);
    let pairs = Pairs { x, n: out.len(), plan, list_nos, coarse, params, store_pairs };
    if index.search_pairs(&pairs, k, &out)? {
        return Ok(());
    }
    if k == 1 {
        pairs.visit(index, Best1::default, Some(1), done)
    } else {
        pairs.visit(index, || Reservoir::new(k), Some(k), done)
    }
}

/// All entries of the lists nearest to each query that are nearer than `radius`; for a similarity, more similar.
pub fn range_search(
    index: &dyn InvertedFile,
    x: &[f32],
    radius: f32,
    params: Option<&dyn Object>,
) -> Result<RangeSearchResult> {
    let ivf_params = params::of_search(params)?;
    let start = Instant::now();
    let plan = Plan::new(index, 0, ivf_params)?;
    let n = index.ivf().rows(x)?;
    let (coarse, list_nos) = probe(index, x, plan.nprobe, ivf_params)?;
    let result = range_search_lists(index, x, radius, n, &plan, &list_nos, &coarse, params)?;
    count_time(start);
    Ok(result)
}

/// As [`range_search`], in the given lists; see [`search_preassigned`].
pub fn range_search_preassigned(
    index: &dyn InvertedFile,
    x: &[f32],
    radius: f32,
    list_nos: &[i64],
    coarse: &[f32],
    params: Option<&dyn Object>,
) -> Result<RangeSearchResult> {
    let mut plan = Plan::new(index, 0, params::of_search(params)?)?;
    let n = index.ivf().rows(x)?;
    plan.nprobe = preassigned(index, n, list_nos, coarse)?;
    range_search_lists(index, x, radius, n, &plan, list_nos, coarse, params)
}

fn range_search_lists(
    index: &dyn InvertedFile,
    x: &[f32],
    radius: f32,
    n: usize,
    plan: &Plan,
    list_nos: &[i64],
    coarse: &[f32],
    params: Option<&dyn Object>,
) -> Result<RangeSearchResult> {
    let found = InRadius::new(index.ivf().metric_type, n);
    let limit = found.limit(radius);
    let pairs = Pairs { x, n, plan, list_nos, coarse, params, store_pairs: false };
    if !index.range_search_pairs(&pairs, radius, &found)? {
        // The flag is of searches for neighbours alone.
        check_mode(index.ivf().parallel_mode, 2)?;
        pairs.visit(index, || InRange::new(limit), None, |q, hits| found.put(q, hits))?;
    }
    Ok(found.finish())
}

/// A search, and the vectors found as their codes give them; NaN where there is no result.
pub fn search_and_reconstruct(
    index: &dyn InvertedFile,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
    recons: &mut [f32],
) -> Result<()> {
    let d = index.ivf().dim();
    Error::check(labels.len().checked_mul(d) == Some(recons.len()), "recons.size() == n * k * d")?;
    search(index, x, k, params, distances, labels, true)?;
    let lists = index.ivf().lists()?;
    for (label, out) in labels.iter_mut().zip(recons.chunks_exact_mut(d.max(1))) {
        if *label < 0 {
            out.fill(f32::from_bits(u32::MAX));
            continue;
        }
        let (list, offset) = (direct_map::lo_listno(*label), direct_map::lo_offset(*label));
        edit::reconstruct_from_offset(index, list as i64, offset as i64, out)?;
        *label = lists.ids(list)[offset];
    }
    Ok(())
}

/// Queries and the lists that each looks into.
pub struct Pairs<'a> {
    /// `n` queries of `d` numbers.
    pub x: &'a [f32],
    /// How many queries there are.
    pub n: usize,
    /// What limits them.
    pub plan: &'a Plan,
    /// The lists of each query and the distances to their centroids, `n * plan.nprobe` each; a negative number is no list.
    pub list_nos: &'a [i64],
    /// The distances to the lists' centroids.
    pub coarse: &'a [f32],
    /// The parameters that the search was given.
    pub params: Option<&'a dyn Object>,
    /// Results are places in lists instead of ids.
    pub store_pairs: bool,
}

impl Pairs<'_> {
    /// Looks into the lists. `collector` makes one for each query, or several whose results are put together, the best `keep` of them if
    /// that is given; `done` gets each query's results.
    pub(super) fn visit<C: Collector>(
        &self,
        index: &dyn InvertedFile,
        collector: impl Fn() -> C + Sync,
        keep: Option<usize>,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        let ivf = index.ivf();
        let (n, nprobe) = (self.n, self.plan.nprobe);
        let guard = ivf.lists()?;
        let sel = selector(self.params);
        let sel = sel.as_ref().map(|sel| sel.read());
        guard.prefetch_lists(self.list_nos);
        let quantizer = ivf.quantizer()?.read();
        let searcher = match index.searcher(Search {
            quantizer: &*quantizer,
            lists: &*guard,
            visits: n * nprobe,
            params: self.params,
        })? {
            Some(searcher) => searcher,
            None => Box::new(CodecSearcher::new(index, &*quantizer)?),
        };
        let refines = searcher.refines();
        let lists = Lists { lists: &*guard, sel: sel.as_deref(), store_pairs: self.store_pairs, refines };
        let threads = threads::available();
        let unlimited = self.plan.max_codes == usize::MAX && self.plan.max_empty == 0;
        let counts = Mutex::new(IndexIVFStats { nq: n, ..Default::default() });
        let count = |nlist: usize, ndis: usize, nheap_updates: usize| {
            counts.lock().add(&IndexIVFStats { nlist, ndis, nheap_updates, ..Default::default() });
        };

        let codes_a_query = (ivf.ntotal.max(0) as usize / ivf.nlist.max(1)).saturating_mul(nprobe);
        let much = codes_a_query >= MIN_SHARED_CODES || codes_a_query.saturating_mul(ivf.code_size) >= MIN_SHARED_BYTES;
        if n < threads && unlimited && much && !refines {
            // Fewer queries than threads: each query's lists are shared among them.
            let parts = threads.div_ceil(n.max(1)).min(nprobe);
            let partial: Vec<Mutex<Vec<Hit>>> = (0..n * parts).map(|_| Mutex::new(Vec::new())).collect();
            threads::parallel_for(n * parts, |task| {
                let (q, part) = (task / parts, task % parts);
                let mut own = collector();
                let (mut scanner, mut buffers) = (searcher.scanner()?, Buffers::default());
                scanner.set_query(self.query(ivf.dim(), q))?;
                let probes = part * nprobe / parts..(part + 1) * nprobe / parts;
                let (visited, codes) = self.scan_query(&lists, &mut *scanner, q, probes, &mut own, &mut buffers)?;
                count(visited, codes, own.updates());
                *partial[task].lock() = own.finish();
                Ok(())
            })?;
            for q in 0..n {
                done(
                    q,
                    merge_parts(&mut (0..parts).map(|p| std::mem::take(&mut *partial[q * parts + p].lock())), keep),
                );
            }
        } else {
            let by_list = searcher.list_by_list() && unlimited;
            let share = n.div_ceil(threads * if by_list { 1 } else { 8 }).clamp(1, MAX_QUERIES);
            threads::parallel_for(n.div_ceil(share), |task| {
                let queries = task * share..((task + 1) * share).min(n);
                let (mut scanner, mut buffers) = (searcher.scanner()?, Buffers::default());
                if by_list && queries.len() * nprobe >= ivf.nlist {
                    let mut own: Vec<C> = queries.clone().map(|_| collector()).collect();
                    let (visited, codes) = self.scan_by_list(
                        &lists,
                        &mut *scanner,
                        ivf.nlist,
                        ivf.dim(),
                        queries.clone(),
                        &mut own,
                        &mut buffers,
                    )?;
                    count(visited, codes, own.iter().map(C::updates).sum());
                    queries.zip(own).for_each(|(q, own)| done(q, own.finish()));
                    return Ok(());
                }
                for q in queries {
                    interrupt::check()?;
                    let mut own = collector();
                    scanner.set_query(self.query(ivf.dim(), q))?;
                    let (visited, codes) =
                        self.scan_query(&lists, &mut *scanner, q, 0..nprobe, &mut own, &mut buffers)?;
                    count(visited, codes, own.updates());
                    done(q, own.finish());
                }
                Ok(())
            })?;
        }
        INDEX_IVF_STATS.write().add(&counts.into_inner());
        Ok(())
    }

    /// A query of `d` numbers.
    pub fn query(&self, d: usize, q: usize) -> &[f32] {
        &self.x[q * d..(q + 1) * d]
    }

    /// Some of one query's lists, nearest first. Returns the numbers of lists and of codes.
    fn scan_query<C: Collector>(
        &self,
        lists: &Lists<'_>,
        scanner: &mut dyn super::Scanner,
        q: usize,
        probes: std::ops::Range<usize>,
        collector: &mut C,
        buffers: &mut Buffers,
    ) -> Result<(usize, usize)> {
        let (mut visited, mut codes, mut empty) = (0, 0, 0);
        for at in probes.map(|p| q * self.plan.nprobe + p) {
            let Ok(list) = usize::try_from(self.list_nos[at]) else { continue };
            if lists.lists.list_size(list) == 0 {
                continue;
            }
            if let Some(next) = self.list_nos.get(at + 1).and_then(|next| usize::try_from(*next).ok()) {
                lists.prefetch(next);
            }
            scanner.set_list(list, self.coarse[at])?;
            let before = collector.count();
            let most = if collector.updates() < self.plan.fill {
                usize::MAX
            } else {
                self.plan.max_codes.saturating_sub(codes)
            };
            codes += lists.scan(list, scanner, most, collector, buffers)?;
            visited += 1;
            empty = if collector.count() == before { empty + 1 } else { 0 };
            let limited = codes >= self.plan.max_codes && collector.updates() >= self.plan.fill;
            if limited || (self.plan.max_empty > 0 && empty >= self.plan.max_empty) {
                break;
            }
        }
        Ok((visited, codes))
    }

    /// List after list, and for each the queries that look into it.
    fn scan_by_list<C: Collector>(
        &self,
        lists: &Lists<'_>,
        scanner: &mut dyn super::Scanner,
        nlist: usize,
        d: usize,
        queries: std::ops::Range<usize>,
        collectors: &mut [C],
        buffers: &mut Buffers,
    ) -> Result<(usize, usize)> {
        let nprobe = self.plan.nprobe;
        let pairs = queries.start * nprobe..queries.end * nprobe;
        // A list's pairs, by counting.
        let mut ends = vec![0u32; nlist + 1];
        self.list_nos[pairs.clone()].iter().filter(|l| **l >= 0).for_each(|l| ends[*l as usize + 1] += 1);
        (0..nlist).for_each(|l| ends[l + 1] += ends[l]);
        let mut next = ends.clone();
        let mut sorted = vec![0u32; ends[nlist] as usize];
        for at in pairs.clone().filter(|at| self.list_nos[*at] >= 0) {
            let list = self.list_nos[at] as usize;
            sorted[next[list] as usize] = (at - pairs.start) as u32;
            next[list] += 1;
        }
        let (mut visited, mut codes) = (0, 0);
        let (mut x, mut coarse, mut tiles) = (Vec::new(), Vec::new(), true);
        for list in 0..nlist {
            interrupt::check()?;
            let own = &sorted[ends[list] as usize..ends[list + 1] as usize];
            let size = lists.lists.list_size(list);
            if tiles && own.len() >= MIN_TILE && size > 0 {
                // Queries beside each other, against a list that is decoded once.
                x.clear();
                coarse.clear();
                let mut numbers = Vec::with_capacity(own.len());
                for at in own.iter().map(|at| *at as usize) {
                    x.extend_from_slice(self.query(d, queries.start + at / nprobe));
                    coarse.push(self.coarse[pairs.start + at]);
                    numbers.push(at / nprobe);
                }
                tiles = lists.scan_tile(list, scanner, &x, &coarse, &numbers, collectors, buffers)?;
                if tiles {
                    (visited, codes) = (visited + own.len(), codes + own.len() * size);
                    continue;
                }
            }
            for at in own.iter().map(|at| *at as usize) {
                let q = at / nprobe;
                scanner.set_query(self.query(d, queries.start + q))?;
                scanner.set_list(list, self.coarse[pairs.start + at])?;
                let seen = lists.scan(list, scanner, usize::MAX, &mut collectors[q], buffers)?;
                (visited, codes) = (visited + usize::from(seen > 0), codes + seen);
            }
        }
        Ok((visited, codes))
    }
}
