//! Every query against every vector, block by block: the one loop behind all exhaustive searches.
//!
//! A block of queries against a block of vectors gives a tile of keys, which stays in the processor's cache; each row of it goes to the
//! query's collector, which looks only at keys below its threshold.

use parking_lot::Mutex;

use super::collect::{Collector, Hit, merge_parts};
use super::panels::{self, Sink};
use super::{Database, Thresholds, extra};
use crate::base::{MetricType, Result, interrupt, threads};
use crate::{blas, simd};

/// Queries of one task: a block of vectors is loaded, or copied by BLAS, once for all of them.
const MAX_QUERIES: usize = 512;
const MAX_DIRECT_QUERIES: usize = 128;
/// Bytes of a tile of keys, or of the vectors of a direct tile, which stay in a second-level cache.
const TILE_BYTES: usize = 1 << 20;
const DIRECT_BYTES: usize = 128 << 10;
/// A database up to here stays in a second-level cache from one search to the next; a larger one comes from memory, and is hinted at.
const NEAR_BYTES: usize = 384 << 10;
/// From how many queries on, or for several below which dimension, vectors are laid out in panels: it costs as much as two or three queries do.
const MIN_PANEL_QUERIES: usize = 8;
const MAX_PANEL_DIMENSION: usize = 16;
/// Fewer vectors than this are not worth a task of their own.
const MIN_PART: usize = 4096;

/// How the work is cut: blocks of `queries`, each against `parts` parts of the database, in blocks of `rows`.
struct Plan {
    queries: usize,
    parts: usize,
    rows: usize,
    way: Way,
}

/// How a block of queries meets a block of vectors.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Products by BLAS, to a tile.
    Blas,
    /// Coordinate by coordinate, without a tile.
    Panels,
    /// Pair by pair, to a tile.
    Rows,
}

impl Plan {
    fn new(nq: usize, db: &Database<'_>, metric: MetricType) -> Plan {
        let limits = Thresholds::get();
        let threads = threads::available();
        let has_matrix_path = matches!(metric, MetricType::L2 | MetricType::InnerProduct) && db.d > 0;
        let few = nq == 1 || nq < MIN_PANEL_QUERIES && db.d >= MAX_PANEL_DIMENSION;
        let way = match metric {
            _ if has_matrix_path && nq.saturating_mul(db.d) >= limits.blas_threshold => Way::Blas,
            MetricType::L2 | MetricType::InnerProduct | MetricType::L1 if db.d > 0 && !few => Way::Panels,
            _ => Way::Rows,
        };
        // Blocks of one size, as many for each thread; few queries stay together, and the database is shared out instead.
        let (max, rows) = if way == Way::Blas {
            (MAX_QUERIES.min(limits.blas_query_bs.max(1)), TILE_BYTES / 4 / nq.clamp(1, MAX_QUERIES))
        } else {
            (MAX_DIRECT_QUERIES, DIRECT_BYTES / 4 / db.d.max(1))
        };
        let rows = rows.clamp(16, limits.blas_database_bs.max(16));
        let queries =
            if nq <= MAX_DIRECT_QUERIES { nq.max(1) } else { nq.div_ceil(nq.div_ceil(max).next_multiple_of(threads)) };
        let blocks = nq.div_ceil(queries).max(1);
        // With fewer blocks of queries than threads, the database is shared out too.
        let parts = if blocks >= threads { 1 } else { (threads * 2).div_ceil(blocks) };
        let parts = if threads == 1 { 1 } else { parts.min(db.n.div_ceil(MIN_PART)).max(1) };
        Plan { queries, parts, rows, way }
    }
}

/// Runs `x` against the database. `collector` makes one for each query and part; `done` gets each query's results, in any order of queries.
pub fn scan<C: Collector>(
    x: &[f32],
    nq: usize,
    db: &Database<'_>,
    metric: MetricType,
    arg: f32,
    collector: impl Fn() -> C + Sync,
    keep: Option<usize>,
    done: impl Fn(usize, Vec<Hit>) + Sync,
) -> Result<()> {
    let plan = Plan::new(nq, db, metric);
    let blocks = nq.div_ceil(plan.queries);
    let part_rows = db.n.div_ceil(plan.parts).max(1);
    // Only where the database is shared out are results put together.
    let tasks = if plan.parts > 1 { blocks * plan.parts } else { 0 };
    let partial: Vec<Mutex<Vec<Vec<Hit>>>> = (0..tasks).map(|_| Mutex::new(Vec::new())).collect();
    let finished: Vec<Mutex<usize>> = (0..tasks.min(blocks)).map(|_| Mutex::new(0)).collect();
    threads::parallel_for(blocks * plan.parts, |task| {
        let (block, part) = (task / plan.parts, task % plan.parts);
        let (q0, q1) = (block * plan.queries, ((block + 1) * plan.queries).min(nq));
        let rows = (part * part_rows).min(db.n)..((part + 1) * part_rows).min(db.n);
        let mut collectors: Vec<C> = (q0..q1).map(|_| collector()).collect();
        scan_block(&x[q0 * db.d..q1 * db.d], db, rows, metric, arg, &plan, &mut collectors)?;
        let hits: Vec<Vec<Hit>> = collectors.into_iter().map(C::finish).collect();
        if plan.parts == 1 {
            hits.into_iter().enumerate().for_each(|(i, hits)| done(q0 + i, hits));
            return Ok(());
        }
        *partial[task].lock() = hits;
        let mut count = finished[block].lock();
        *count += 1;
        if *count == plan.parts {
            let mut parts: Vec<_> =
                (0..plan.parts).map(|p| std::mem::take(&mut *partial[block * plan.parts + p].lock())).collect();
            for i in 0..q1 - q0 {
                // Parts are in order of ids, so concatenation keeps that order for range searches.
                let all = merge_parts(&mut parts.iter_mut().map(|p| std::mem::take(&mut p[i])), keep);
                done(q0 + i, all);
            }
        }
        Ok(())
    })
}

/// A block of queries against some rows of the database.
fn scan_block<C: Collector>(
    x: &[f32],
    db: &Database<'_>,
    rows: std::ops::Range<usize>,
    metric: MetricType,
    arg: f32,
    plan: &Plan,
    collectors: &mut [C],
) -> Result<()> {
    let (d, nq) = (db.d, collectors.len());
    let width = plan.rows.min(rows.len());
    let with_norms = plan.way == Way::Blas && metric == MetricType::L2;
    let mut tile = vec![0f32; if plan.way == Way::Panels { 0 } else { nq * width }];
    let mut hits = vec![0u32; width];
    let (mut panels, mut thresholds) = (Vec::new(), vec![0f32; nq]);
    let mut gathered = Gathered::default();
    let mut norms = vec![0f32; if with_norms { width } else { 0 }];
    let mut x_norms = vec![0f32; if with_norms { nq } else { 0 }];
    simd::fvec_norms_L2sqr(&mut x_norms, x, d);

    let mut start = rows.start;
    while start < rows.end {
        interrupt::check()?;
        let end = (start + width).min(rows.end);
        let block = gathered.rows(db, start..end);
        let n = block.n;
        if n == 0 {
            start = end;
            continue;
        }
        if with_norms {
            match db.norms {
                Some(stored) if block.ids.is_none() => norms[..n].copy_from_slice(&stored[start..end]),
                _ => simd::fvec_norms_L2sqr(&mut norms[..n], block.y, d),
            }
        }
        if plan.way == Way::Panels {
            thresholds.iter_mut().zip(&*collectors).for_each(|(t, collector)| *t = collector.threshold());
            let sink = &mut Offers { collectors: &mut *collectors, start, ids: block.ids };
            let block = panels::Block { x, y: block.y, d, thresholds: &mut thresholds, sink, panels: &mut panels };
            match metric {
                MetricType::InnerProduct => block.scan_products(),
                MetricType::L1 => block.scan_l1(),
                _ => block.scan_l2(),
            }
            start = end;
            continue;
        }
        let tile = &mut tile[..nq * n];
        if plan.way == Way::Blas {
            let alpha = if metric == MetricType::L2 { -2.0 } else { -1.0 };
            blas::sgemm_nt(nq, n, d, alpha, x, block.y, tile);
        } else {
            if nq == 1 && size_of_val(db.y) > NEAR_BYTES {
                extra::distances_ny(metric, arg, tile, x, block.y);
            } else {
                extra::distances_tile(metric, arg, tile, x, block.y, d);
            }
            if metric.is_similarity() {
                simd::fvec_scale(tile, -1.0);
            }
        }
        for (q, collector) in collectors.iter_mut().enumerate() {
            let row = &mut tile[q * n..(q + 1) * n];
            if with_norms && C::BEST_ONLY {
                let (at, key) = simd::nearest_of_products(row, x_norms[q], &norms[..n]);
                let key = key.max(0.0);
                if at < n && key < collector.threshold() {
                    collector.push(key, block.ids.map_or((start + at) as i64, |ids| ids[at]));
                }
                continue;
            }
            if with_norms {
                simd::products_to_L2sqr(row, x_norms[q], &norms[..n]);
            }
            collect(row, start, block.ids, collector, &mut hits);
        }
        start = end;
    }
    Ok(())
}

/// The collectors of a block of queries, and where the block of vectors starts.
struct Offers<'a, C> {
    collectors: &'a mut [C],
    start: usize,
    ids: Option<&'a [i64]>,
}

impl<C: Collector> Sink for Offers<'_, C> {
    fn take(&mut self, query: usize, key: f32, row: usize) -> f32 {
        let collector = &mut self.collectors[query];
        collector.push(key, self.ids.map_or((self.start + row) as i64, |ids| ids[row]));
        collector.threshold()
    }
}

/// Offers a row of keys to a collector.
#[inline]
fn collect<C: Collector>(row: &[f32], start: usize, ids: Option<&[i64]>, collector: &mut C, hits: &mut [u32]) {
    // Short pieces, so that the threshold is not long behind what has been seen.
    const PIECE: usize = 256;
    for (p, piece) in row.chunks(PIECE).enumerate() {
        let count = simd::below(piece, collector.threshold(), hits);
        for hit in &hits[..count] {
            let (i, key) = (p * PIECE + *hit as usize, piece[*hit as usize]);
            if key < collector.threshold() {
                collector.push(key, ids.map_or((start + i) as i64, |ids| ids[i]));
            }
        }
    }
}

/// Some rows of the database, dense.
struct Block<'a> {
    y: &'a [f32],
    n: usize,
    /// Their ids; without them, the rows are consecutive.
    ids: Option<&'a [i64]>,
}

/// The selected rows of a block, copied together, so that only they are compared.
#[derive(Default)]
struct Gathered {
    y: Vec<f32>,
    ids: Vec<i64>,
}

impl Gathered {
    fn rows<'a>(&'a mut self, db: &Database<'a>, rows: std::ops::Range<usize>) -> Block<'a> {
        let d = db.d;
        let all = Block { y: &db.y[rows.start * d..rows.end * d], n: rows.len(), ids: None };
        let Some(selected) = db.selected else { return all };
        if selected[rows.clone()].iter().all(|s| *s) {
            return all;
        }
        self.y.clear();
        self.ids.clear();
        for i in rows.filter(|i| selected[*i]) {
            self.y.extend_from_slice(&db.y[i * d..(i + 1) * d]);
            self.ids.push(i as i64);
        }
        Block { y: &self.y, n: self.ids.len(), ids: Some(&self.ids) }
    }
}
