//! Every query against every code, by whatever compares them: the one loop behind the searches of flat codes.

use parking_lot::Mutex;

use super::flat_codes::IndexFlatCodes;
use super::selector;
use crate::base::object::Object;
use crate::base::{Error, Result, interrupt, threads};
use crate::distance::collect::{Best1, Collector, Hit, InRange, Reservoir, merge_parts};
use crate::distance::results::{InRadius, TopK};
use crate::quantize::CodeDistances;
use crate::selector::IDSelector;
use crate::simd;

/// Codes whose keys are computed at a time.
const BLOCK: usize = 1024;
/// Fewer codes than this are not worth a task of their own.
const MIN_PART: usize = 1 << 14;

/// Queries that are worth being compared together, how many they are at most, and the codes that they are compared with at a time: decoded,
/// those stay in the cache.
const MIN_TILE: usize = 4;
const TILE_QUERIES: usize = 128;
const TILE_CODES: usize = 128;

/// Queries against the codes of an index.
pub struct Scan<'a> {
    index: &'a IndexFlatCodes,
    /// The number of codes.
    total: usize,
    x: &'a [f32],
    params: Option<&'a dyn Object>,
    /// Makes what compares, one a task.
    distances: Box<Distances<'a>>,
}

type Distances<'a> = dyn Fn() -> Result<Box<dyn CodeDistances + 'a>> + Sync + 'a;

impl<'a> Scan<'a> {
    /// `x` holds whole queries.
    pub fn new(
        index: &'a IndexFlatCodes,
        x: &'a [f32],
        params: Option<&'a dyn Object>,
        distances: impl Fn() -> Result<Box<dyn CodeDistances + 'a>> + Sync + 'a,
    ) -> Result<Self> {
        Error::check(index.is_trained, "is_trained")?;
        Ok(Scan { index, total: index.count()?, x, params, distances: Box::new(distances) })
    }

    /// The best of each query, written to `out`, whose rows have `k`.
    pub fn search(&self, k: usize, out: &TopK<'_>) -> Result<()> {
        let done = |q: usize, hits: Vec<Hit>| out.write(q, &hits);
        if k == 1 {
            self.run(out.len(), Best1::default, Some(1), done)
        } else {
            self.run(out.len(), || Reservoir::new(k), Some(k), done)
        }
    }

    /// All within the radius of each of `n` queries.
    pub fn range_search(&self, n: usize, radius: f32, out: &InRadius) -> Result<()> {
        let limit = out.limit(radius);
        self.run(n, || InRange::new(limit), None, |q, hits| out.put(q, hits))
    }

    fn run<C: Collector>(
        &self,
        n: usize,
        collector: impl Fn() -> C + Sync,
        keep: Option<usize>,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        let sel = selector(self.params);
        let sel = sel.as_ref().map(|sel| sel.read());
        let sel = sel.as_deref();
        if n >= MIN_TILE && (self.distances)()?.tile(&[], None, &[], &mut []) {
            return self.run_tiles(n, sel, collector, keep, done);
        }
        let (d, threads) = (self.index.dim(), threads::available());
        // With fewer queries than threads, the codes are shared out too.
        let parts = if n < threads { threads.div_ceil(n.max(1)).min(self.total / MIN_PART).max(1) } else { 1 };
        let share = n.div_ceil(threads * 8).max(1);
        let size = self.total.div_ceil(parts);
        let partial: Vec<Mutex<Vec<Hit>>> =
            (0..if parts > 1 { n * parts } else { 0 }).map(|_| Mutex::default()).collect();
        threads::parallel_for(n.div_ceil(share) * parts, |task| {
            let (piece, part) = (task / parts, task % parts);
            let rows = (part * size).min(self.total)..((part + 1) * size).min(self.total);
            let mut distances = (self.distances)()?;
            let (mut keys, mut hits) = (vec![0f32; BLOCK], vec![0u32; BLOCK]);
            for q in piece * share..((piece + 1) * share).min(n) {
                distances.set_query(&self.x[q * d..(q + 1) * d])?;
                let mut own = collector();
                self.scan(&*distances, rows.clone(), sel, &mut own, &mut keys, &mut hits)?;
                if parts == 1 {
                    done(q, own.finish());
                } else {
                    *partial[q * parts + part].lock() = own.finish();
                }
            }
            Ok(())
        })?;
        if parts > 1 {
            for q in 0..n {
                done(
                    q,
                    merge_parts(&mut (0..parts).map(|p| std::mem::take(&mut *partial[q * parts + p].lock())), keep),
                );
            }
        }
        Ok(())
    }

    /// As [`Scan::run`], several queries beside each other, for which blocks of codes are decoded once.
    fn run_tiles<C: Collector>(
        &self,
        n: usize,
        sel: Option<&dyn IDSelector>,
        collector: impl Fn() -> C + Sync,
        keep: Option<usize>,
        done: impl Fn(usize, Vec<Hit>) + Sync,
    ) -> Result<()> {
        let (d, size, threads) = (self.index.dim(), self.index.code_size, threads::available());
        let share = n.div_ceil(n.div_ceil(TILE_QUERIES).next_multiple_of(threads)).max(MIN_TILE);
        let pieces = n.div_ceil(share);
        let parts = if pieces < threads { threads.div_ceil(pieces).min(self.total / MIN_PART).max(1) } else { 1 };
        let length = self.total.div_ceil(parts);
        let codes = self.index.codes.as_slice();
        let partial: Vec<Mutex<Vec<Vec<Hit>>>> = (0..pieces * parts).map(|_| Mutex::default()).collect();
        threads::parallel_for(pieces * parts, |task| {
            let (piece, part) = (task / parts, task % parts);
            let queries = piece * share..((piece + 1) * share).min(n);
            let end = ((part + 1) * length).min(self.total);
            let distances = (self.distances)()?;
            let mut collectors: Vec<C> = queries.clone().map(|_| collector()).collect();
            let (mut keys, mut hits) = (vec![0f32; collectors.len() * TILE_CODES], vec![0u32; TILE_CODES]);
            for first in ((part * length).min(end)..end).step_by(TILE_CODES) {
                interrupt::check()?;
                let rows = (end - first).min(TILE_CODES);
                let keys = &mut keys[..collectors.len() * rows];
                let x = &self.x[queries.start * d..queries.end * d];
                distances.tile(x, None, &codes[first * size..(first + rows) * size], keys);
                for (keys, own) in keys.chunks_exact(rows).zip(&mut collectors) {
                    offer(keys, first, sel, own, &mut hits);
                }
            }
            let found: Vec<Vec<Hit>> = collectors.into_iter().map(C::finish).collect();
            if parts == 1 {
                queries.zip(found).for_each(|(q, hits)| done(q, hits));
            } else {
                *partial[task].lock() = found;
            }
            Ok(())
        })?;
        if parts > 1 {
            for q in 0..n {
                let own = |part: usize| std::mem::take(&mut partial[q / share * parts + part].lock()[q % share]);
                done(q, merge_parts(&mut (0..parts).map(own), keep));
            }
        }
        Ok(())
    }

    /// Some codes for one query.
    fn scan<C: Collector>(
        &self,
        distances: &dyn CodeDistances,
        rows: std::ops::Range<usize>,
        sel: Option<&dyn IDSelector>,
        own: &mut C,
        keys: &mut [f32],
        hits: &mut [u32],
    ) -> Result<()> {
        let (codes, size) = (self.index.codes.as_slice(), self.index.code_size);
        for first in rows.clone().step_by(BLOCK) {
            interrupt::check()?;
            let end = (first + BLOCK).min(rows.end);
            let keys = &mut keys[..end - first];
            distances.keys(&codes[first * size..end * size], keys);
            offer(keys, first, sel, own, hits);
        }
        Ok(())
    }
}

/// Offers keys of the codes from `first` on to a collector.
#[inline]
fn offer<C: Collector>(keys: &[f32], first: usize, sel: Option<&dyn IDSelector>, own: &mut C, hits: &mut [u32]) {
    let count = simd::below(keys, own.threshold(), hits);
    for hit in hits[..count].iter().map(|hit| *hit as usize) {
        let id = (first + hit) as i64;
        if keys[hit] < own.threshold() && sel.is_none_or(|sel| sel.is_member(id)) {
            own.push(keys[hit], id);
        }
    }
}
