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

/// Queries against the codes of an index.
pub struct Scan<'a, F> {
    index: &'a IndexFlatCodes,
    /// The number of codes.
    total: usize,
    x: &'a [f32],
    params: Option<&'a dyn Object>,
    /// Makes what compares, one a task.
    distances: F,
}

impl<'a, F: Fn() -> Result<Box<dyn CodeDistances + 'a>> + Sync> Scan<'a, F> {
    /// `x` holds whole queries.
    pub fn new(index: &'a IndexFlatCodes, x: &'a [f32], params: Option<&'a dyn Object>, distances: F) -> Result<Self> {
        Error::check(index.is_trained, "is_trained")?;
        Ok(Scan { index, total: index.count()?, x, params, distances })
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
                done(q, merge_parts((0..parts).map(|p| std::mem::take(&mut *partial[q * parts + p].lock())), keep));
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
            let count = simd::below(keys, own.threshold(), hits);
            for hit in hits[..count].iter().map(|hit| *hit as usize) {
                let id = (first + hit) as i64;
                if keys[hit] < own.threshold() && sel.is_none_or(|sel| sel.is_member(id)) {
                    own.push(keys[hit], id);
                }
            }
        }
        Ok(())
    }
}
