//! The k best vectors of many queries by matrix units: products in split precision are never written, only what beats the
//! best so far; exact values of a few candidates more than are wanted then decide, and prove that none was missed.

use faiss_core::base::MetricType;
use half::f16;

use crate::error::{Result, check_interrupt};
use crate::launchers;
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::knn::Vectors;
use crate::ops::rows::{self, Rows};
use crate::ops::select::{self, BLOCK_K, Best, Compared};
use crate::ops::split::{self, Met, Norms, ROW_CHUNK_BYTES, TILE};
use crate::resources::Context;

/// From so many vectors and numbers a vector on it pays.
const VECTORS_FROM: usize = 1 << 15;
const DIM_FROM: usize = 16;
/// From so many queries on it pays to split the vectors anew for them.
const QUERIES_FROM: usize = 256;
/// Candidates more than are wanted, beside a part of these, and the least that there are: the fewer, the more the limit that they
/// give may be off.
const SPARE: usize = 16;
const SPARE_PART: usize = 16;
const LEAST_WIDE: usize = 32;
/// What is expected to be found of a row at a time fits this often into its places.
const SAFETY: f64 = 3.0;

/// Whether [`search`] is for such a search.
pub fn applies(context: &Context<'_>, queries: Rows, vectors: &Vectors, metric: MetricType, k: usize) -> bool {
    matches!(metric, MetricType::L2 | MetricType::InnerProduct)
        && context.properties.major >= 8
        && matches!((queries, vectors.rows), (Rows::F32(_), Rows::F32(_)) | (Rows::F16(_), Rows::F16(_)))
        && vectors.allowed.is_none()
        && (VECTORS_FROM..u32::MAX as usize).contains(&vectors.count)
        && vectors.d >= DIM_FROM
        && k <= BLOCK_K
}

/// Whether it is the fastest for so many queries.
pub fn pays(query_count: usize) -> bool {
    query_count >= QUERIES_FROM
}

/// Sizes of a search.
struct Plan {
    k: usize,
    wide: usize,
    /// Places of what is found of a row at a time.
    capacity: usize,
    chunks: usize,
    /// Queries and vectors at a time.
    rows: usize,
    columns: usize,
    /// Vectors are met in an order by which any run of them is spread over all.
    step: u64,
}

impl Plan {
    fn new(context: &Context<'_>, vectors: &Vectors, query_count: usize, k: usize) -> Plan {
        let wide = (k + SPARE + k / SPARE_PART).max(LEAST_WIDE);
        let capacity = if wide <= 128 { 1024 } else { 4096 };
        let chunks = split::chunks(vectors.d, matches!(vectors.rows, Rows::F16(_)));
        let a_row = 8 * capacity + 20 * wide + 8 * wide.next_power_of_two() + chunks * ROW_CHUNK_BYTES + 64;
        let rows = (context.temp.size() / 2 / a_row / TILE * TILE).max(TILE).min(query_count);
        let columns = (context.temp.size() / 4 / (chunks * ROW_CHUNK_BYTES + 4) / TILE * TILE).max(capacity);
        Plan { k, wide, capacity, chunks, rows, columns, step: spreading_step(vectors.count as u64) }
    }

    /// How many vectors come after the first `met`.
    fn next(&self, met: usize) -> usize {
        match met {
            0 => self.capacity,
            _ => {
                let expected = self.capacity as f64 / (SAFETY * self.wide as f64);
                ((met as f64 * expected) as usize).clamp(TILE, self.columns)
            }
        }
    }
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

/// The `k` best of each query, as `knn` gives them. The queries whose result is not proven, and may lack a vector; or none at
/// all where the order of the vectors let too many of them look good, and `out` holds nothing.
pub fn search(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    (metric, k): (MetricType, usize),
    first_id: i64,
    out: Best,
) -> Result<Option<Vec<usize>>> {
    let plan = Plan::new(context, vectors, query_count, k);
    let (mut center, mut at) = (None, Ptr::null());
    let largest = match vectors.rows {
        Rows::F32(stored) => {
            if metric == MetricType::L2 {
                center = Some(split::mean(context, stored, vectors.count, vectors.d)?);
                at = center.as_ref().map_or(at, Temp::ptr);
            }
            split::largest(context, stored, at, vectors.count, vectors.d)?
        }
        Rows::F16(_) => unscaled(context)?,
    };
    let from = Searched { vectors, center: at, largest: largest.ptr(), metric, first_id };
    let mut unproven = Vec::new();
    for first in (0..query_count).step_by(plan.rows) {
        let now = plan.rows.min(query_count - first);
        match batch(context, &plan, &from, queries.skip(first, vectors.d), now, out.at(first * k))? {
            Some(rows) => unproven.extend(rows.into_iter().map(|row| first + row)),
            None => return Ok(None),
        }
    }
    drop(center);
    Ok(Some(unproven))
}

/// What f16 numbers are split by: nothing.
fn unscaled<'a>(context: &'a Context<'_>) -> Result<Temp<'a, f32>> {
    let mut largest = context.take::<f32>(1)?;
    rows::fill(context, largest.ptr_mut(), split::UNSCALED, 1)?;
    Ok(largest)
}

struct Searched<'a> {
    vectors: &'a Vectors,
    center: Ptr<f32>,
    largest: Ptr<f32>,
    metric: MetricType,
    first_id: i64,
}

impl Searched<'_> {
    /// Queries or vectors as the products want them.
    fn split(
        &self,
        context: &Context<'_>,
        rows: Rows,
        largest: Ptr<f32>,
        (met, count): (Met, usize),
        out: PtrMut<f16>,
        norms: Norms,
    ) -> Result<()> {
        let d = self.vectors.d;
        match rows {
            Rows::F32(rows) => {
                let from = split::Source { rows, center: self.center, largest, d };
                split::split(context, from, met, count, out, Some(norms))
            }
            Rows::F16(rows) => split::copy(context, rows, met, (count, d), out, norms),
        }
    }
}

fn batch(
    context: &Context<'_>,
    plan: &Plan,
    from: &Searched<'_>,
    queries: Rows,
    count: usize,
    out: Best,
) -> Result<Option<Vec<usize>>> {
    let (d, total, wide) = (from.vectors.d, from.vectors.count, plan.wide);
    let inner = from.metric.is_similarity();
    let half = matches!(queries, Rows::F16(_));
    let query_largest = match queries {
        Rows::F32(x) => split::largest(context, x, from.center, count, d)?,
        Rows::F16(_) => unscaled(context)?,
    };
    let a_row = plan.chunks * ROW_CHUNK_BYTES / size_of::<f16>();
    let (mut halves, mut query_norms) = (context.take::<f16>(count * a_row)?, context.take::<f32>(count)?);
    let (other, out_norms, farthest) = (query_largest.ptr(), query_norms.ptr_mut(), PtrMut::null());
    let norms = Norms { other, padded: count, inner: false, out: out_norms, farthest };
    from.split(context, queries, other, (Met::all(count), count), halves.ptr_mut(), norms)?;
    let mut counts = context.take::<i32>(count)?;
    rows::fill(context, counts.ptr_mut(), 0, count)?;
    // One mark a query that its result is not proven, and one that too many were found.
    let mut marks = context.take::<i32>(count + 1)?;
    rows::fill(context, marks.ptr_mut(), 0, count + 1)?;
    let (counts_at, marks_at) = (unsigned(counts.ptr_mut()), unsigned(marks.ptr_mut()));
    let mut farthest = context.take::<f32>(1)?;
    rows::fill(context, farthest.ptr_mut(), 0.0, 1)?;
    let (mut best, mut limits) = (context.take::<u64>(count * wide)?, context.take::<f32>(count)?);
    {
        let columns = plan.columns.min(total);
        let mut found = context.take::<u64>(count * plan.capacity)?;
        let mut column_halves = context.take::<f16>(columns * a_row)?;
        let mut norms = context.take::<f32>(columns.next_multiple_of(TILE))?;
        let mut met = 0;
        while met < total {
            let now = plan.next(met).min(total - met);
            let part = Met { begin: met, step: plan.step, total };
            let norms = Norms {
                other: query_largest.ptr(),
                padded: now.next_multiple_of(TILE),
                inner,
                out: norms.ptr_mut(),
                farthest: farthest.ptr_mut(),
            };
            from.split(context, from.vectors.rows, from.largest, (part, now), column_halves.ptr_mut(), norms)?;
            let (tiles, row_blocks) = (now.div_ceil(TILE), count.div_ceil(TILE));
            // Two blocks share a multiprocessor: not quite so many as fill all of them four times.
            let splits = (context.properties.multiprocessors as usize * 8 / row_blocks).clamp(1, tiles);
            let (shared, resident) = split::shared(context, plan.chunks);
            let mut launch = context.launch(row_blocks * splits);
            launch.shared = shared;
            let dense = u32::from(met == 0);
            launchers::split_found(
                launch,
                u32::from(!half),
                halves.ptr(),
                column_halves.ptr(),
                norms.out.read(),
                limits.ptr(),
                count as i64,
                now as u32,
                tiles as u32,
                plan.chunks as u32,
                resident,
                splits as u32,
                dense,
                plan.capacity as u32,
                counts_at,
                found.ptr_mut(),
            )?;
            let mut launch = context.launch(count);
            launch.shared = (8 * (wide + plan.capacity).next_power_of_two()) as u32;
            launchers::merge_found(
                launch,
                found.ptr(),
                plan.capacity as u32,
                dense * now as u32,
                met as u64,
                plan.step,
                total as u64,
                wide as u32,
                counts_at,
                best.ptr_mut(),
                limits.ptr_mut(),
                marks_at.at(count),
            )?;
            met += now;
            if met < total && count as f64 * now as f64 * d as f64 > INTERRUPTIBLE {
                context.sync()?;
                check_interrupt()?;
            }
        }
    }
    let bounds = Bounds { norms: query_norms.ptr(), largest: query_largest.ptr(), farthest: farthest.ptr() };
    finish(context, plan, from, (queries, count), best.ptr(), &bounds, marks_at, out)?;
    let mut host = vec![0i32; count + 1];
    context.download(marks.ptr(), &mut host)?;
    let overflown = host.pop() != Some(0);
    Ok((!overflown).then(|| (0..count).filter(|row| host[*row] != 0).collect()))
}

/// Launches only queue work: after so many products the host waits, so that it can be interrupted.
const INTERRUPTIBLE: f64 = 1e12;

fn unsigned(at: PtrMut<i32>) -> PtrMut<u32> {
    PtrMut::new(at.raw().cast())
}

/// What bounds the error of the queries' split products.
struct Bounds {
    /// The queries' squared norms, as they are split, and their largest magnitude.
    norms: Ptr<f32>,
    largest: Ptr<f32>,
    /// The vectors' largest squared norm.
    farthest: Ptr<f32>,
}

/// Exact values of the candidates, and what they prove.
#[allow(clippy::too_many_arguments)]
fn finish(
    context: &Context<'_>,
    plan: &Plan,
    from: &Searched<'_>,
    (queries, count): (Rows, usize),
    best: Ptr<u64>,
    bounds: &Bounds,
    unproven: PtrMut<u32>,
    out: Best,
) -> Result<()> {
    let (d, k, wide) = (from.vectors.d, plan.k, plan.wide);
    let inner = from.metric.is_similarity();
    let (mut values, mut ids) = (context.take(count * wide)?, context.take(count * wide)?);
    let candidates = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
    select::unpack(context, best, count, wide, wide, false, from.first_id, candidates)?;
    let (vectors, first_id) = (from.vectors.rows, from.first_id);
    let compared = Compared { queries, query_count: count, vectors, d, inner, first_id };
    select::refine(context, compared, candidates, wide, k, out)?;
    launchers::certify(
        context.stride(count, 256),
        best,
        wide as u32,
        bounds.norms,
        out.values.read(),
        out.ids.read(),
        k as u32,
        d as u32,
        u32::from(inner),
        bounds.largest,
        from.largest,
        bounds.farthest,
        u32::from(matches!(queries, Rows::F16(_))),
        count as u32,
        unproven,
    )
}

#[cfg(test)]
mod tests {
    use super::spreading_step;

    #[test]
    fn a_spreading_step_meets_every_vector_once() {
        for total in [1u64, 2, 3, 10, 12, 1000, 4099] {
            let step = spreading_step(total);
            let mut met: Vec<u64> = (0..total).map(|i| i * step % total).collect();
            met.sort_unstable();
            assert!(met.into_iter().eq(0..total), "{total}: {step}");
        }
    }
}
