//! The strategy of a scan that lets matrix units look at codes first, where many queries look into the same lists.
//!
//! The first lists of a query are looked up in its table as ever; the worst of the k best so far is the query's limit. For all
//! other pairs of query and list, products of f16 tell which codes are certainly beyond the limit, rounding counted in. What is
//! left are candidates, whose distances come from the table again, so that the result is the same to the bit. A query without
//! k results in its first lists, or with more candidates than there is room for, is looked up in full.

use half::f16;

use faiss_core::quantize::ProductQuantizer;

use crate::error::Result;
use crate::launchers;
use crate::memory::{DeviceBuffer, MemorySpace, Ptr};
use crate::ops::pq::{Found, Probes, Scan, Strategy};
use crate::ops::probe;
use crate::ops::select::Best;
use crate::resources::Context;

/// Candidates that a query may have.
const CAPACITY: usize = 2048;
/// Pairs of a tile.
const TILE_PAIRS: usize = 128;
/// Codes for each result that a query's first lists should have, about: fewer candidates are left then.
const SEEN_PER_RESULT: usize = 16;
/// Queries for each list from which on the filter is worth its launches.
const QUERIES_A_LIST: usize = 4;
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
        if pq.nbits != 8 || !pq.dsub.is_multiple_of(2) || pq.d > MOST_DIMS || !finite || context.properties.major < 8 {
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

impl Scan<'_> {
    pub fn choose(&self, context: &Context<'_>, nq: usize, probes: &Probes, k: usize) -> Strategy {
        let shared = nq * probes.nprobe >= QUERIES_A_LIST * self.lists.nlist;
        // Most of the work should be behind the first lists.
        if shared && 4 * first_lists(probes, k) <= probes.nprobe && self.filter(context, k).is_some() {
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

    #[allow(clippy::too_many_arguments)]
    pub(super) fn best_filtered(
        &self,
        context: &Context<'_>,
        halves: &Halves,
        queries: Ptr<f32>,
        nq: usize,
        probes: &Probes,
        k: usize,
        out: Best,
    ) -> Result<()> {
        let (nprobe, looked) = (probes.nprobe, first_lists(probes, k));
        let (d, width, codebooks) = (self.codebooks.dim(), 16 * self.steps(), self.codebooks);
        let similarity = self.metric.is_similarity();
        let (negate, coarse_scale) = (u32::from(similarity), if similarity { -1.0 } else { 1.0 });
        let coarse = if self.by_residual { probes.coarse } else { Ptr::null() };
        let terms = if self.residual_l2() { self.terms } else { Ptr::null() };
        let allowed = self.allowed.unwrap_or(Ptr::null());
        let scale = self.table().scale;

        let (mut values, mut ids) = (context.take(nq * k)?, context.take(nq * k)?);
        let first = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
        self.launch(context, queries, nq, probes, Found::Best(k, 1, first), looked)?;

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
            counts.ptr(),
            nprobe as u32,
            looked as u32,
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
            looked as u32,
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

/// Lists whose codes give a query its limit.
fn first_lists(probes: &Probes, k: usize) -> usize {
    let wanted = (SEEN_PER_RESULT * k * probes.nprobe).div_ceil(probes.visits.max(1));
    wanted.clamp(1, probes.nprobe.max(1))
}
