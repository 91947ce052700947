//! The k best vectors of many queries by matrix units, proven: products of f16 are never written, only what may beat the best so
//! far, by bounds that count in every rounding; exact values of a few candidates more than are wanted then decide, and prove that
//! none was missed. Family `found`, whose source says how.

use faiss_core::base::MetricType;
use half::f16;

use crate::device::DeviceProperties;
use crate::error::{Result, check_interrupt};
use crate::launchers;
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::knn::Vectors;
use crate::ops::rows::{self, Rows};
use crate::ops::select::{self, Best, Compared};
use crate::ops::split::{self, ROW_CHUNK_BYTES, TILE};
use crate::resources::Context;

/// Candidates more than are wanted, beside a part of these, and the least that there are: the fewer, the less of what is near the
/// last one may be rounded.
const SPARE: usize = 16;
const SPARE_PART: usize = 16;
const LEAST_WIDE: usize = 32;
/// How many standard deviations more may be found of a row at a time than is expected.
const DEVIATIONS: f64 = 7.0;
/// Bytes of split vectors at a time: as many as the cache of a large device holds, and little beside what is searched.
const COLUMN_BYTES: usize = 64 << 20;
/// Places of a block's queue of what it found.
const QUEUE: usize = 1024;
/// Shared memory that kernels keep for themselves.
const RESERVED_SHARED: usize = 2048;

/// How many f16 a number is split into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// One product; enough for all but vectors that are almost equally near.
    Single,
    /// Three products of high and low halves.
    Double,
}

impl Precision {
    fn low(self) -> u32 {
        u32::from(self == Precision::Double)
    }

    /// Chunks of a row.
    fn chunks(self, d: usize) -> usize {
        d.div_ceil(if self == Precision::Double { split::CHUNK } else { 2 * split::CHUNK })
    }

    /// Products of 16 numbers that are summed for a row and a column.
    fn products(self, d: usize) -> usize {
        self.chunks(d) * if self == Precision::Double { 6 } else { 4 }
    }
}

/// Places of what is found of a row at a time.
fn capacity(wide: usize) -> usize {
    match wide {
        0..=256 => 1024,
        257..=4096 => 4096,
        _ => 8192,
    }
}

fn wide(k: usize) -> usize {
    (k + SPARE + k / SPARE_PART).max(LEAST_WIDE)
}

fn merge_shared(wide: usize) -> usize {
    8 * (wide + capacity(wide)).next_power_of_two()
}

/// Whether [`search`] finds so many on such a device.
pub fn possible(properties: &DeviceProperties, k: usize) -> bool {
    launchers::available::found_filter(properties.capability())
        && merge_shared(wide(k)) + RESERVED_SHARED <= properties.shared_bytes
}

/// Whether [`search`] is for such a search.
pub fn applies(context: &Context<'_>, queries: Rows, vectors: &Vectors, metric: MetricType, k: usize) -> bool {
    matches!(metric, MetricType::L2 | MetricType::InnerProduct)
        && possible(context.properties, k)
        && matches!((queries, vectors.rows), (Rows::F32(_), Rows::F32(_)) | (Rows::F16(_), Rows::F16(_)))
        && vectors.count < u32::MAX as usize
}

/// Sizes of a search.
struct Plan {
    k: usize,
    wide: usize,
    capacity: usize,
    precision: Precision,
    chunks: usize,
    /// Queries and vectors at a time.
    rows: usize,
    columns: usize,
    /// Vectors that are met for each one that was met before.
    growth: f64,
    /// Vectors are met in an order by which any run of them is spread over all.
    step: u64,
}

impl Plan {
    fn new(context: &Context<'_>, vectors: &Vectors, query_count: usize, k: usize, precision: Precision) -> Plan {
        let wide = wide(k);
        let capacity = capacity(wide);
        let chunks = precision.chunks(vectors.d);
        let a_row = 8 * capacity + 20 * wide + 8 * wide.next_power_of_two() + chunks * ROW_CHUNK_BYTES + 64;
        let rows = (context.room / 2 / a_row / TILE * TILE).max(TILE).min(query_count);
        let columns = (COLUMN_BYTES / (chunks * ROW_CHUNK_BYTES + 12) / TILE * TILE).max(capacity);
        let (growth, step) = (growth(wide, capacity), spreading_step(vectors.count as u64));
        Plan { k, wide, capacity, precision, chunks, rows, columns, growth, step }
    }

    /// How many vectors come after the first `met`.
    fn next(&self, met: usize) -> usize {
        match met {
            0 => self.capacity,
            _ => ((met as f64 * self.growth) as usize).clamp(TILE, self.columns),
        }
    }
}

/// How many times as many vectors may come as were met, so that those that beat the `wide` best of these have their places. In any
/// order of equal chance, r times as many bring wide * r, with a variance of wide * r * (1 + r).
fn growth(wide: usize, capacity: usize) -> f64 {
    let (wide, capacity) = (wide as f64, capacity as f64);
    let mut growth = 0.125f64;
    while {
        let next = growth * 1.1;
        wide * next + DEVIATIONS * (wide * next * (1.0 + next)).sqrt() <= capacity
    } {
        growth *= 1.1;
    }
    growth
}

/// A number near the golden section of `total`, without a common divisor.
fn spreading_step(total: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let start = (total as f64 * 0.618_033_988_75) as u64;
    (start.max(1)..).find(|step| gcd(*step, total) == 1).unwrap_or(1)
}

/// The `k` best of each query, as `knn` gives them, and the queries whose result is not proven and may lack a vector.
#[allow(clippy::too_many_arguments)]
pub fn search(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    (metric, k): (MetricType, usize),
    precision: Precision,
    first_id: i64,
    out: Best,
) -> Result<Vec<usize>> {
    if vectors.count == 0 || vectors.d == 0 {
        return Ok((0..query_count).collect());
    }
    let plan = Plan::new(context, vectors, query_count, k, precision);
    // Distances are those of the centred, whose norms and products cancel less; inner products with a center are the same for all.
    let center = split::mean(context, vectors.rows, vectors.count, vectors.d)?;
    let from = Searched { vectors, center: center.ptr(), inner: metric.is_similarity(), first_id };
    let mut unproven = Vec::new();
    for first in (0..query_count).step_by(plan.rows) {
        let now = plan.rows.min(query_count - first);
        let rows = batch(context, &plan, &from, queries.skip(first, vectors.d), now, out.at(first * k))?;
        unproven.extend(rows.into_iter().map(|row| first + row));
    }
    Ok(unproven)
}

struct Searched<'a> {
    vectors: &'a Vectors,
    center: Ptr<f32>,
    inner: bool,
    first_id: i64,
}

/// Queries as products want them.
struct Queries<'a> {
    halves: Temp<'a, f16>,
    scales: Temp<'a, f32>,
    squares: Temp<'a, f32>,
    centers: Temp<'a, f32>,
    /// The most of their lengths, errors, low halves and scales.
    most: PtrMut<f32>,
}

impl<'a> Queries<'a> {
    /// `most` is four zeros.
    fn new(
        context: &'a Context<'_>,
        plan: &Plan,
        from: &Searched<'_>,
        queries: Rows,
        count: usize,
        most: PtrMut<f32>,
    ) -> Result<Queries<'a>> {
        let mut made = Queries {
            halves: context.take(split::halves_len(count, plan.chunks))?,
            scales: context.take(count)?,
            squares: context.take(count)?,
            centers: context.take(2 * count)?,
            most,
        };
        let launch = context.stride(count.next_multiple_of(TILE), 8);
        let (scales, squares, centers) = (made.scales.ptr_mut(), made.squares.ptr_mut(), made.centers.ptr_mut());
        let (n, d, inner) = (count as u32, from.vectors.d as u32, u32::from(from.inner));
        let (low, center, out) = (plan.precision.low(), from.center, made.halves.ptr_mut());
        rows::with_rows!(queries, x => launchers::found_queries(
            launch, low, x, center, n, d, inner, out, scales, squares, centers, most
        ))?;
        Ok(made)
    }
}

fn batch(
    context: &Context<'_>,
    plan: &Plan,
    from: &Searched<'_>,
    queries: Rows,
    count: usize,
    out: Best,
) -> Result<Vec<usize>> {
    let (d, total, wide) = (from.vectors.d, from.vectors.count, plan.wide);
    // Zeros: how many were found of each query, whether it is not proven, and the most of all queries.
    let mut zeros = context.take::<i32>(2 * count + 4)?;
    rows::fill(context, zeros.ptr_mut(), 0, 2 * count + 4)?;
    let (counts, unproven) = (unsigned(zeros.ptr_mut()), unsigned(zeros.ptr_mut().at(count)));
    let most = PtrMut::new(zeros.ptr_mut().at(2 * count).raw().cast());
    let split = Queries::new(context, plan, from, queries, count, most)?;
    let (mut best, mut limits) = (context.take::<u64>(count * wide)?, context.take::<f32>(count)?);
    {
        let columns = plan.columns.min(total);
        let mut found = context.take::<u64>(count * plan.capacity)?;
        let mut halves = context.take::<f16>(split::halves_len(columns, plan.chunks))?;
        let mut terms = context.take::<f32>(3 * columns.next_multiple_of(TILE))?;
        let mut met = 0;
        while met < total {
            let now = plan.next(met).min(total - met);
            let (tiles, row_blocks) = (now.div_ceil(TILE), count.div_ceil(TILE));
            split_vectors(context, plan, from, &split, (met, now), halves.ptr_mut(), terms.ptr_mut())?;
            // Two blocks share a multiprocessor: not quite so many as fill all of them four times.
            let splits = (context.properties.multiprocessors as usize * 8 / row_blocks).clamp(1, tiles);
            let (shared, resident) = split::shared(context, plan.chunks, 3, split::DEEP);
            let mut launch = context.launch(row_blocks * splits);
            // A queue of what is found, where there is room beside.
            let queued = shared as usize + 8 * QUEUE + split::STATIC_SHARED <= context.properties.shared_bytes;
            let places = if queued { QUEUE } else { 0 };
            launch.shared = shared + 8 * places as u32;
            let dense = u32::from(met == 0);
            launchers::found_filter(
                launch,
                plan.precision.low(),
                split.halves.ptr(),
                halves.ptr(),
                terms.ptr(),
                limits.ptr(),
                split.scales.ptr(),
                count as i64,
                now as u32,
                tiles as u32,
                plan.chunks as u32,
                resident,
                splits as u32,
                dense,
                places as u32,
                plan.capacity as u32,
                counts,
                found.ptr_mut(),
            )?;
            let mut launch = context.launch(count);
            launch.shared = merge_shared(wide) as u32;
            launchers::found_merge(
                launch,
                found.ptr(),
                plan.capacity as u32,
                dense * now as u32,
                met as u64,
                plan.step,
                total as u64,
                wide as u32,
                counts,
                best.ptr_mut(),
                limits.ptr_mut(),
                unproven,
            )?;
            met += now;
            if met < total && count as f64 * now as f64 * d as f64 > INTERRUPTIBLE {
                context.sync()?;
                check_interrupt()?;
            }
        }
    }
    finish(context, plan, from, (queries, count), best.ptr(), &split, unproven, out)?;
    let mut host = vec![0i32; count];
    context.download(zeros.ptr().at(count), &mut host)?;
    Ok((0..count).filter(|row| host[*row] != 0).collect())
}

/// The vectors met from `first` on as halves, with their terms.
fn split_vectors(
    context: &Context<'_>,
    plan: &Plan,
    from: &Searched<'_>,
    queries: &Queries<'_>,
    (first, count): (usize, usize),
    halves: PtrMut<f16>,
    terms: PtrMut<f32>,
) -> Result<()> {
    let padded = count.next_multiple_of(TILE);
    let launch = context.stride(padded, 8);
    let (low, d, inner) = (plan.precision.low(), from.vectors.d as u32, u32::from(from.inner));
    let (n, padded, products) = (count as u32, padded as u32, plan.precision.products(from.vectors.d) as u32);
    let (begin, step, total) = (first as u64, plan.step, from.vectors.count as u64);
    let (center, allowed) = (from.center, from.vectors.allowed.unwrap_or(Ptr::null()));
    let most = queries.most.read();
    rows::with_rows!(from.vectors.rows, y => launchers::found_vectors(
        launch, low, y, center, allowed, n, padded, d, inner, products, begin, step, total, most, halves, terms
    ))
}

/// Launches only queue work: after so many products the host waits, so that it can be interrupted.
const INTERRUPTIBLE: f64 = 1e12;

fn unsigned(at: PtrMut<i32>) -> PtrMut<u32> {
    PtrMut::new(at.raw().cast())
}

/// Exact values of the candidates, and what they prove.
#[allow(clippy::too_many_arguments)]
fn finish(
    context: &Context<'_>,
    plan: &Plan,
    from: &Searched<'_>,
    (queries, count): (Rows, usize),
    best: Ptr<u64>,
    split: &Queries<'_>,
    unproven: PtrMut<u32>,
    out: Best,
) -> Result<()> {
    let (d, k, wide, inner) = (from.vectors.d, plan.k, plan.wide, from.inner);
    let (mut values, mut ids) = (context.take(count * wide)?, context.take(count * wide)?);
    let candidates = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
    select::unpack(context, best, count, wide, wide, false, from.first_id, candidates)?;
    let (vectors, first_id) = (from.vectors.rows, from.first_id);
    let compared = Compared { queries, query_count: count, vectors, d, inner, first_id };
    select::refine(context, compared, candidates, wide, k, out)?;
    launchers::found_proof(
        context.stride(count, 256),
        best,
        wide as u32,
        split.squares.ptr(),
        split.scales.ptr(),
        split.centers.ptr(),
        out.values.read(),
        out.ids.read(),
        k as u32,
        d as u32,
        u32::from(inner),
        count as u32,
        unproven,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreading_step_meets_every_vector_once() {
        for total in [1u64, 2, 3, 10, 12, 1000, 4099] {
            let step = spreading_step(total);
            let mut met: Vec<u64> = (0..total).map(|i| i * step % total).collect();
            met.sort_unstable();
            assert!(met.into_iter().eq(0..total), "{total}: {step}");
        }
    }

    #[test]
    fn every_round_has_places_for_what_it_brings() {
        for k in [1, 10, 100, 200, 1000, 3000, 7000] {
            let wide = wide(k);
            let growth = growth(wide, capacity(wide));
            assert!(growth > 0.12 && wide as f64 * growth < capacity(wide) as f64, "{k}: {growth}");
            assert!(wide <= capacity(wide), "{k}");
        }
    }
}
