//! The strategy of a scan that lets matrix units look at codes first, where many queries look into the same lists.
//!
//! A query's first codes are looked up in its table as ever; the worst of the k best so far is the query's limit. For the codes
//! behind them, products of f16 tell which codes are certainly beyond the limit, rounding counted in. What is
//! left are candidates, whose distances come from the table again, so that the result is the same to the bit. A query without
//! k results among its first codes, or with more candidates than there is room for, is looked up in full.

use half::f16;

use faiss_core::quantize::ProductQuantizer;

use crate::error::Result;
use crate::launchers;
use crate::memory::{DeviceBuffer, MemorySpace, Ptr};
use crate::ops::pq::{Found, PqProbes, PqScan, Strategy};
use crate::ops::probe;
use crate::ops::select::Best;
use crate::resources::Context;

/// Candidates that a query may have.
const CAPACITY: usize = 4096;
/// Pairs of a tile.
const TILE_PAIRS: usize = 128;
/// A query's first codes, which give its limit: so many for each result, and this part of all, so that few candidates are left.
const SEEN_PER_RESULT: usize = 32;
const SEEN_PART: usize = 64;

// What the strategies take, in microseconds of one multiprocessor of an H200, from which one is chosen: numbers looked up in
// tables, codes that pass the filter's units, a tile of the filter, and its launches on all multiprocessors together. Where both
// are near each other, the table's time is the surer one.
const LOOKED_UP: f64 = 15_700.0;
const FILTERED: f64 = 7_000.0;
const TILE_TIME: f64 = 10.0;
const LAUNCHES_TIME: f64 = 1_000.0;
const MARGIN: f64 = 1.5;

/// The widest vectors that the kernels hold in registers.
const MOST_DIMS: usize = 128;

/// Codebooks as f16, scaled.
pub struct Halves {
    centroids: DeviceBuffer<f16>,
    /// The power of two that they are scaled by.
    scale: f32,
    /// No decoded vector is longer than this, before scaling.
    longest: f32,
}

impl Halves {
    /// `None` for quantizers that the filter does not know.
    pub fn new(context: &Context<'_>, pq: &ProductQuantizer) -> Result<Option<Halves>> {
        let largest = pq.centroids.iter().fold(0f32, |m, v| m.max(v.abs()));
        let finite = pq.centroids.iter().all(|v| v.is_finite());
        if pq.nbits != 8
            || !pq.dsub.is_multiple_of(2)
            || pq.d > MOST_DIMS
            || !finite
            || !launchers::available::pq_filter(context.properties.capability())
        {
            return Ok(None);
        }
        // Below 2^14, as the kernels scale queries.
        let exponent = if largest > 0.0 { 13 - largest.log2().floor() as i32 } else { 0 };
        let scale = 2f32.powi(exponent.clamp(-100, 100));
        let norm = |c: &[f32]| c.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let longest_part = |part: &[f32]| part.chunks(pq.dsub).map(norm).fold(0.0, f64::max);
        let squares: f64 = pq.centroids.chunks(pq.ksub * pq.dsub).map(longest_part).sum();
        let halves: Vec<f16> = pq.centroids.iter().map(|v| f16::from_f32(v * scale)).collect();
        let mut centroids = DeviceBuffer::new(context.device, halves.len(), MemorySpace::Device)?;
        context.upload_to(&halves, centroids.ptr_mut())?;
        Ok(Some(Halves { centroids, scale, longest: squares.sqrt() as f32 * 1.0001 }))
    }
}

impl PqScan<'_> {
    pub fn choose(&self, context: &Context<'_>, nq: usize, probes: &PqProbes, k: usize) -> Strategy {
        let (units, pairs) = (f64::from(context.properties.multiprocessors), nq * probes.nprobe);
        let codes = nq as f64 * probes.visits as f64;
        let tiles = pairs / TILE_PAIRS + pairs.min(self.lists.nlist);
        let table = codes * self.codebooks.m as f64 / LOOKED_UP / units;
        let filter = LAUNCHES_TIME + (tiles as f64 * TILE_TIME + codes / FILTERED) / units;
        // Most of the work should be behind the first codes.
        let mostly = 4 * first_codes(probes, k) <= probes.visits;
        if table > MARGIN * filter && mostly && self.filter(context, k).is_some() {
            Strategy::Filter
        } else {
            Strategy::Table
        }
    }

    /// What the filter needs, if it knows such codes and distances and its memory is there.
    pub(super) fn filter(&self, context: &Context<'_>, k: usize) -> Option<&Halves> {
        let halves = self.codebooks.halves.as_ref()?;
        let (k_size, buffer) = Self::key_sizes(k);
        let table = 8 * (k_size + buffer) + 4 * self.codebooks.table_size();
        // The kernels have a few numbers of their own in shared memory.
        let fits = table.max(self.filter_shared()) + 1024 <= context.properties.shared_bytes;
        (fits && (self.residual_l2() || self.metric.is_similarity())).then_some(halves)
    }

    /// Sixteens of numbers of a vector, as the kernel has them.
    fn steps(&self) -> usize {
        if self.codebooks.dim() <= 64 { 4 } else { 8 }
    }

    fn filter_shared(&self) -> usize {
        512 * self.codebooks.dim() + TILE_PAIRS * (2 * (16 * self.steps() + 8) + 12)
    }

    /// As many queries at a time as the temporary memory has room for candidates.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn best_filtered(
        &self,
        context: &Context<'_>,
        halves: &Halves,
        queries: Ptr<f32>,
        nq: usize,
        probes: &PqProbes,
        k: usize,
        out: Best,
    ) -> Result<()> {
        let room = context.room / 4 / (4 * CAPACITY + 24 * probes.nprobe + 12 * k + 256);
        let page = nq.div_ceil(nq.div_ceil(room.max(512)));
        for first in (0..nq).step_by(page) {
            let (count, x) = (page.min(nq - first), queries.at(first * self.codebooks.dim()));
            self.filtered_page(context, halves, x, count, &probes.skip(first), k, out.at(first * k))?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn filtered_page(
        &self,
        context: &Context<'_>,
        halves: &Halves,
        queries: Ptr<f32>,
        nq: usize,
        probes: &PqProbes,
        k: usize,
        out: Best,
    ) -> Result<()> {
        let (nprobe, seen) = (probes.nprobe, first_codes(probes, k));
        let (d, width, codebooks) = (self.codebooks.dim(), 16 * self.steps(), self.codebooks);
        let similarity = self.metric.is_similarity();
        let (negate, coarse_scale) = (u32::from(similarity), if similarity { -1.0 } else { 1.0 });
        let coarse = if self.by_residual { probes.coarse } else { Ptr::null() };
        let terms = if self.residual_l2() { self.terms } else { Ptr::null() };
        let allowed = self.allowed.unwrap_or(Ptr::null());
        let scale = self.table().scale;

        let (mut values, mut ids) = (context.take(nq * k)?, context.take(nq * k)?);
        let first = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
        self.launch(context, queries, nq, probes, Found::Best(k, 1, first), seen)?;

        let mut rows = context.take::<f16>(nq * width)?;
        let (mut factors, mut limits) = (context.take::<f32>(nq)?, context.take::<f32>(nq)?);
        let (mut counts, mut candidates) = (context.take::<u32>(nq)?, context.take::<u32>(nq * CAPACITY)?);
        launchers::pq_filter_queries(
            context.stride(nq, 8),
            queries,
            self.origin(),
            nq as u32,
            d as u32,
            width as u32,
            scale,
            halves.scale,
            halves.longest,
            values.ptr(),
            ids.ptr(),
            k as u32,
            negate,
            CAPACITY as u32,
            rows.ptr_mut(),
            factors.ptr_mut(),
            limits.ptr_mut(),
            counts.ptr_mut(),
        )?;
        let pairs = nq * nprobe;
        let mut keys = context.take::<i32>(pairs)?;
        launchers::pq_filter_keys(
            context.stride(pairs, 1024),
            probes.lists,
            probes.places,
            counts.ptr(),
            nprobe as u32,
            seen as u32,
            CAPACITY as u32,
            keys.ptr_mut(),
            pairs as i64,
        )?;
        let tiles = probe::tiles(context, keys.ptr(), pairs, self.lists.nlist, TILE_PAIRS)?;
        // Blocks take tiles in turn and keep the codebooks.
        let mut launch = context.launch(tiles.bound.min(2 * context.properties.multiprocessors as usize));
        launch.shared = self.filter_shared() as u32;
        let four = codebooks.dsub == 4 && codebooks.m.is_multiple_of(4);
        launchers::pq_filter(
            launch,
            self.steps() as u32,
            if four { 4 } else { 0 },
            rows.ptr(),
            factors.ptr(),
            limits.ptr(),
            halves.centroids.ptr(),
            codebooks.m as u32,
            codebooks.dsub as u32,
            tiles.pairs.order.ptr(),
            tiles.pairs.offsets.ptr(),
            tiles.lists.ptr(),
            tiles.firsts.ptr(),
            tiles.count.ptr(),
            probes.places,
            nprobe as u32,
            coarse,
            coarse_scale,
            self.lists.offsets,
            self.lists.lengths,
            self.lists.codes,
            codebooks.code_size() as u32,
            terms,
            allowed,
            seen as u32,
            CAPACITY as u32,
            counts.ptr_mut(),
            candidates.ptr_mut(),
        )?;
        let (k_size, buffer) = Self::key_sizes(k);
        let mut launch = context.launch(nq);
        launch.shared = (8 * (k_size + buffer) + 4 * codebooks.table_size()) as u32;
        launchers::pq_finish(
            launch,
            queries,
            self.origin(),
            codebooks.transposed.ptr(),
            scale,
            d as u32,
            codebooks.m as u32,
            codebooks.dsub as u32,
            probes.lists,
            coarse,
            coarse_scale,
            probes.places,
            nprobe as u32,
            seen as u32,
            self.lists.offsets,
            self.lists.codes,
            codebooks.code_size() as u32,
            codebooks.unit(),
            terms,
            allowed,
            counts.ptr(),
            candidates.ptr(),
            CAPACITY as u32,
            values.ptr(),
            ids.ptr(),
            k as u32,
            k_size as u32,
            buffer as u32,
            negate,
            out.values,
            out.ids,
        )
    }
}

/// Codes of a query that give it its limit.
fn first_codes(probes: &PqProbes, k: usize) -> usize {
    (SEEN_PER_RESULT * k).max(probes.visits / SEEN_PART)
}
