//! The k best vectors of few queries by one read of the vectors: matrix units tell which may be among them, by bounds, and exact values decide.
//! Family `few`, whose source says how.

use faiss_core::base::MetricType;

use crate::device::DeviceProperties;
use crate::error::Result;
use crate::launchers::{self, FewSearch};
use crate::memory::Ptr;
use crate::ops::knn::Vectors;
use crate::ops::rows::{self, Rows};
use crate::ops::select::Best;
use crate::ops::split;
use crate::resources::Context;

/// The first id of a query whose result is not known: there were more candidates than places.
pub const UNPROVEN: i64 = -2;

/// The queries whose results are not known, by the ids of `k` results of each.
pub fn unproven(ids: &[i64], k: usize) -> Vec<usize> {
    (0..ids.len() / k).filter(|query| ids[query * k] == UNPROVEN).collect()
}

/// The most results: a limit is the k-th of 256 groups of vectors.
const MOST_K: usize = 128;
/// Kernels count vectors by 32 bits.
const MOST_VECTORS: usize = 1 << 31;
/// Queries of a tile of the matrix units, and tiles of a pass at most.
const TILE: usize = 8;
const MOST_TILES: usize = 16;
/// Up to so many tiles a warp has twice as many vectors at a time.
const FEW_TILES: usize = 4;
/// Vectors that a warp has at a time.
const WARP_ROWS: usize = 16;
/// Numbers of a chunk, to which rows are filled up, and halves behind a row, so that rows begin in different banks.
const CHUNK: usize = 32;
const APART: usize = 8;
/// Bytes of shared memory beside: limits, ratios and errors of a query.
const QUERY_BYTES: usize = 12;
const RESERVED_SHARED: usize = 1024;
/// Vectors of a sample: at least so many, and a part of all by which a query has about so many candidates.
const LEAST_SAMPLE: usize = 8192;
const CANDIDATES: usize = 800;
const PARTS: std::ops::RangeInclusive<usize> = 4..=32;
/// Places of a query's candidates.
const PLACES: std::ops::RangeInclusive<usize> = 512..=4096;

fn shared(d: usize, tiles: usize) -> usize {
    let width = d.next_multiple_of(CHUNK);
    TILE * tiles * (2 * (width + APART) + QUERY_BYTES) + 4 * width
}

/// Passes over the vectors that so many queries take, and the tiles of each; none where not even one tile fits.
fn passes(properties: &DeviceProperties, queries: usize, d: usize) -> Option<(usize, usize)> {
    let fit = (1..=MOST_TILES).rev().find(|t| shared(d, *t) + RESERVED_SHARED <= properties.shared_bytes)?;
    let all = queries.div_ceil(TILE);
    let passes = all.div_ceil(fit);
    Some((passes, all.div_ceil(passes)))
}

/// How often the vectors are read for so many queries; none where there is no such way.
pub fn reads(
    properties: &DeviceProperties,
    metric: MetricType,
    queries: usize,
    (count, d): (usize, usize),
    k: usize,
) -> Option<usize> {
    let linear = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
    let possible = linear && k <= MOST_K && launchers::available::few_filter(properties.capability());
    if possible && queries > 0 && d > 0 && (1..=MOST_VECTORS).contains(&count) {
        passes(properties, queries, d).map(|(passes, _)| passes)
    } else {
        None
    }
}

/// The `k` best of each query, as `knn` gives them, but for queries whose first id is [`UNPROVEN`]: those are to be searched otherwise. Waits for
/// nothing. There must be such a way ([`reads`]), and queries and vectors of one type.
pub fn launch(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    (metric, k): (MetricType, usize),
    first_id: i64,
    out: Best,
) -> Result<()> {
    let (d, total) = (vectors.d, vectors.count);
    let Some((passes, tiles)) = passes(context.properties, query_count, d) else {
        return Err(crate::Error::invalid(format!("vectors of {d} numbers are too long for few queries at once")));
    };
    let n = if tiles <= FEW_TILES { FEW_TILES } else { MOST_TILES };
    let a_warp = if n == FEW_TILES { 2 * WARP_ROWS } else { WARP_ROWS };
    let sample = (total / (CANDIDATES / k).clamp(*PARTS.start(), *PARTS.end())).max(LEAST_SAMPLE).min(total);
    let (step, groups) = (total / sample, sample.div_ceil(a_warp));
    let capacity = (2 * k * step + 256).clamp(*PLACES.start(), *PLACES.end()).next_power_of_two();

    let (mut center, mut spreads) = (context.take::<f32>(d)?, context.take::<f32>(d)?);
    split::columns(context, vectors.rows, total, d, center.ptr_mut(), spreads.ptr_mut())?;
    let mut minima = context.take::<f32>(query_count * groups)?;
    let (mut limits, mut counts) = (context.take::<f32>(query_count)?, context.take::<u32>(query_count)?);
    let (mut found, mut keys) =
        (context.take::<u32>(query_count * capacity)?, context.take::<u64>(query_count * capacity)?);

    let inner = u32::from(metric.is_similarity());
    let of = FewSearch {
        center: center.ptr(),
        spreads: spreads.ptr(),
        allowed: vectors.allowed.unwrap_or(Ptr::null()),
        query_count: query_count as u32,
        d: d as u32,
        inner,
    };
    let blocks = (context.properties.multiprocessors as usize / passes).max(1) * passes;
    let aligned = u32::from(vectors.rows.wide_aligned(d));
    let (sampled, at_most) = (minima.ptr_mut(), capacity as u32);
    let (counted, candidates) = (counts.ptr_mut(), found.ptr_mut());
    let filter = |count: usize, step: usize, limits: Ptr<f32>| {
        let mut launch = context.launch(blocks);
        launch.shared = shared(d, tiles) as u32;
        let (count, step, passes, tiles) = (count as u32, step as u32, passes as u32, tiles as u32);
        rows::with_both_rows!(queries, vectors.rows, (x, y) => launchers::few_filter(
            launch, n as u32, of, x, y, count, step, aligned, passes, tiles, limits, sampled, at_most, counted, candidates
        ))
    };
    filter(sample, step, Ptr::null())?;
    let (one_each, groups, k_wanted) = (context.launch(query_count), groups as u32, k as u32);
    launchers::few_limits(one_each, minima.ptr(), groups, k_wanted, at_most, limits.ptr_mut(), counts.ptr_mut())?;
    filter(total, 1, limits.ptr())?;
    let launch = context.stride(query_count * capacity, 8);
    let (counts, found, keys_at) = (counts.ptr(), found.ptr(), keys.ptr_mut());
    rows::with_both_rows!(queries, vectors.rows, (x, y) => launchers::few_keys(
        launch, of, x, y, at_most, counts, found, keys_at
    ))?;
    let mut launch = context.launch(query_count);
    launch.shared = (8 * capacity) as u32;
    launchers::few_best(launch, keys.ptr(), at_most, counts, k_wanted, inner, first_id, out.values, out.ids)
}
