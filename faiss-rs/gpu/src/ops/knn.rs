//! Exhaustive search: distances of queries to vectors by tiles, and the k best of them.

use faiss_core::base::MetricType;

use half::f16;

use crate::device::DeviceProperties;
use crate::error::{Result, check_interrupt};
use crate::launchers::{self, Metric};
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::few;
use crate::ops::found::{self, Precision};
use crate::ops::rows::{self, Rows};
use crate::ops::select::{self, BLOCK_K, Best, Compared, Values};
use crate::ops::split::TILE;
use crate::resources::Context;

/// What is searched: `count` vectors of `d` numbers.
#[derive(Clone, Copy)]
pub struct Vectors {
    pub rows: Rows,
    pub count: usize,
    pub d: usize,
    /// A byte for each vector: only those that are not 0 are found.
    pub allowed: Option<Ptr<u8>>,
}

/// How the best are found. One chooser, [`Strategy::choose`]; the tests run all of them against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One query by L2 or inner product, or few vectors: one read of the vectors for every eight queries.
    Scan,
    /// Few queries by L2 or inner product: one read of the vectors for a hundred and more ([`few`]).
    Few,
    /// Many queries by L2 or inner product: candidates by matrix units, and a proof ([`found`]).
    Found,
    /// Any metric, number by number.
    Pairwise,
}

/// From this many queries on, matrix units beat reading the vectors once for every eight.
const FOUND_FROM: usize = 24;
/// From so many bytes of vectors on, so many that queries meet, and up to so many reads of them, [`few`] pays.
const FEW_BYTES: usize = 16 << 20;
const FEW_MET: usize = 512 << 20;
const FEW_READS: usize = 4;

impl Strategy {
    pub const ALL: [Strategy; 4] = [Strategy::Scan, Strategy::Few, Strategy::Found, Strategy::Pairwise];

    /// For `count` vectors of `bytes` each and `d` numbers.
    pub fn choose(
        properties: &DeviceProperties,
        metric: MetricType,
        queries: usize,
        (count, d, bytes): (usize, usize, usize),
        k: usize,
    ) -> Strategy {
        let all = count.saturating_mul(bytes);
        let worth = queries > 1 && all >= FEW_BYTES && all.saturating_mul(queries) >= FEW_MET;
        if worth && few::reads(properties, metric, queries, (count, d), k).is_some_and(|reads| reads <= FEW_READS) {
            return Strategy::Few;
        }
        Strategy::beside_few(properties, metric, queries, k)
    }

    /// Where [`few`] is not for it or has not proven it.
    pub(crate) fn beside_few(properties: &DeviceProperties, metric: MetricType, queries: usize, k: usize) -> Strategy {
        match metric {
            MetricType::L2 | MetricType::InnerProduct if queries < FOUND_FROM => Strategy::Scan,
            MetricType::L2 | MetricType::InnerProduct if found::possible(properties, k) => Strategy::Found,
            _ => Strategy::Pairwise,
        }
    }
}

pub fn kernel_metric(metric: MetricType) -> Metric {
    match metric {
        MetricType::InnerProduct => Metric::InnerProduct,
        MetricType::L2 => Metric::L2,
        MetricType::L1 => Metric::L1,
        MetricType::Linf => Metric::Linf,
        MetricType::Lp => Metric::Lp,
        MetricType::Canberra => Metric::Canberra,
        MetricType::BrayCurtis => Metric::BrayCurtis,
        MetricType::JensenShannon => Metric::JensenShannon,
        MetricType::Jaccard => Metric::Jaccard,
        MetricType::NaNEuclidean => Metric::NaNEuclidean,
        MetricType::Gower => Metric::Gower,
    }
}

/// A search of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub metric: MetricType,
    /// The power of Lp.
    pub arg: f32,
    pub k: usize,
    pub strategy: Strategy,
}

/// Distances in a tile of memory, `stride` apart.
struct Distances<'a> {
    queries: Rows,
    /// The queries as f32, for the kernel of any metric.
    wide: Option<Ptr<f32>>,
    _wide: Option<Temp<'a, f32>>,
    query_count: usize,
    d: usize,
    search: Search,
}

impl<'a> Distances<'a> {
    fn new(context: &'a Context<'_>, queries: Rows, query_count: usize, d: usize, search: Search) -> Result<Self> {
        let (mut wide, mut kept) = (None, None);
        if search.strategy == Strategy::Pairwise {
            let (pointer, temp) = rows::as_f32(context, queries, query_count, d)?;
            (wide, kept) = (Some(pointer), temp);
        }
        Ok(Distances { queries, wide, _wide: kept, query_count, d, search })
    }

    /// Fills `out` with the distances to `count` vectors.
    fn compute(
        &self,
        context: &Context<'_>,
        vectors: Rows,
        count: usize,
        out: PtrMut<f32>,
        stride: usize,
    ) -> Result<()> {
        let metric = kernel_metric(self.search.metric);
        let (nq, n, d) = (self.query_count as u32, count as u32, self.d as u32);
        match self.search.strategy {
            Strategy::Scan => {
                let aligned = u32::from(self.queries.aligned(self.d) && vectors.aligned(self.d));
                let (together, per_warp) = if self.query_count == 1 { (1, 8) } else { (8, 4) };
                let launch = context.launch(self.query_count.div_ceil(together) * count.div_ceil(8 * per_warp));
                let q = together as u32;
                rows::with_both_rows!(self.queries, vectors, (x, y) => launchers::scan(
                    launch, metric, q, x, y, out, nq, n, d, stride as i64, aligned
                ))
            }
            Strategy::Few | Strategy::Found | Strategy::Pairwise => {
                let (vectors, _kept) = rows::as_f32(context, vectors, count, self.d)?;
                let queries = self.wide.unwrap_or(Ptr::null());
                let launch = context.launch(self.query_count.div_ceil(32) * count.div_ceil(128));
                launchers::pairwise(launch, metric, queries, vectors, out, nq, n, d, stride as i64, self.search.arg)
            }
        }
    }
}

/// Bytes of one tile of distances: so much of the temporary memory that the rest of a call fits beside it.
fn tile_bytes(context: &Context<'_>) -> usize {
    (context.room / 8 * 3).clamp(32 << 20, 1 << 30)
}

/// Queries of one tile.
const TILE_QUERIES: usize = 2048;

/// The `k` best vectors of each query, best first; ids count from `first_id`. Where there are fewer, the id is -1 and the
/// distance the worst of the metric. `out` holds `query_count * k` of each.
pub fn knn(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    first_id: i64,
    out: Best,
) -> Result<()> {
    if query_count == 0 || search.k == 0 {
        return Ok(());
    }
    if search.strategy == Strategy::Few {
        let Search { metric, k, .. } = search;
        if few::reads(context.properties, metric, query_count, (vectors.count, vectors.d), k).is_none() {
            let strategy = Strategy::beside_few(context.properties, metric, query_count, k);
            return knn(context, queries, query_count, vectors, Search { strategy, ..search }, first_id, out);
        }
        few::launch(context, queries, query_count, vectors, (metric, k), first_id, out)?;
        return what_few_left(context, queries, query_count, vectors, search, first_id, out);
    }
    if search.strategy == Strategy::Found && found::applies(context, queries, vectors, search.metric, search.k) {
        return proven(context, queries, query_count, vectors, search, first_id, out);
    }
    compared(context, queries, query_count, vectors, search, first_id, out)
}

/// The queries that [`few`] has not proven, by other means.
fn what_few_left(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    first_id: i64,
    out: Best,
) -> Result<()> {
    let mut ids = vec![0i64; query_count * search.k];
    context.download(out.ids.read(), &mut ids)?;
    let left = few::unproven(&ids, search.k);
    if left.is_empty() {
        return Ok(());
    }
    let strategy = Strategy::beside_few(context.properties, search.metric, left.len(), search.k);
    apart(context, queries, &left, vectors.d, search.k, out, |queries, out| {
        knn(context, queries, left.len(), vectors, Search { strategy, ..search }, first_id, out)
    })
}

/// As [`knn`], but waits for nothing, where the strategy is `Scan`, or `Few` and there is such a way; what that leaves has [`few::UNPROVEN`] as its first id.
pub fn queue(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    first_id: i64,
    out: Best,
) -> Result<()> {
    match search.strategy {
        Strategy::Few => few::launch(context, queries, query_count, vectors, (search.metric, search.k), first_id, out),
        _ => knn(context, queries, query_count, vectors, search, first_id, out),
    }
}

/// Up to so many queries that are not proven are compared with all vectors at once, rather than split in higher precision first.
const FEW_UNPROVEN: usize = 16;

/// By matrix units; what one product does not prove by three, and what those do not prove by comparing everything.
fn proven(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    first_id: i64,
    out: Best,
) -> Result<()> {
    let (d, k, how) = (vectors.d, search.k, (search.metric, search.k));
    let mut unproven = found::search(context, queries, query_count, vectors, how, Precision::Single, first_id, out)?;
    // Gathered queries and their results take as much again.
    let together = (context.room / 8 / (8 * d + 12 * k)).max(TILE);
    if unproven.len() > FEW_UNPROVEN {
        let mut left = Vec::new();
        for rows in unproven.chunks(together) {
            check_interrupt()?;
            apart(context, queries, rows, d, k, out, |queries, out| {
                let still =
                    found::search(context, queries, rows.len(), vectors, how, Precision::Double, first_id, out)?;
                left.extend(still.into_iter().map(|at| rows[at]));
                Ok(())
            })?;
        }
        unproven = left;
    }
    for rows in unproven.chunks(together) {
        check_interrupt()?;
        apart(context, queries, rows, d, k, out, |queries, out| {
            let strategy = if rows.len() < SCAN_UNPROVEN { Strategy::Scan } else { Strategy::Pairwise };
            compared(context, queries, rows.len(), vectors, Search { strategy, ..search }, first_id, out)
        })?;
    }
    Ok(())
}

/// From this many queries on, tiles of pairs beat reading the vectors once for every eight.
const SCAN_UNPROVEN: usize = 64;

/// Gathers some queries, lets them be searched, and puts their results where they belong.
fn apart(
    context: &Context<'_>,
    queries: Rows,
    chosen: &[usize],
    d: usize,
    k: usize,
    out: Best,
    search: impl FnOnce(Rows, Best) -> Result<()>,
) -> Result<()> {
    let count = chosen.len();
    let host: Vec<i64> = chosen.iter().map(|row| *row as i64).collect();
    let places = context.upload(&host)?;
    let mut wide = context.take::<f32>(count * d)?;
    // All are in range: the number of queries does not matter.
    rows::gather(context, (queries, i64::MAX as usize), places.ptr(), wide.ptr_mut(), count, d)?;
    let mut narrow = None;
    let gathered = match queries {
        Rows::F32(_) => Rows::F32(wide.ptr()),
        Rows::F16(_) => {
            let narrow = narrow.insert(context.take::<f16>(count * d)?);
            rows::convert(context, wide.ptr(), narrow.ptr_mut(), count * d)?;
            Rows::F16(narrow.ptr())
        }
    };
    let (mut values, mut ids) = (context.take(count * k)?, context.take(count * k)?);
    search(gathered, Best { values: values.ptr_mut(), ids: ids.ptr_mut() })?;
    let launch = context.stride(count * k, 256);
    let (n, k) = (count as u32, k as u32);
    launchers::found_return(launch, places.ptr(), values.ptr(), ids.ptr(), n, k, out.values, out.ids)
}

/// Compares every query with every vector, by numbers as they are.
fn compared(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    first_id: i64,
    out: Best,
) -> Result<()> {
    let tile = tile_bytes(context) / 4;
    let k = search.k;
    // Sums of thousands of squares, one after the other, are rounded more than those that rank the candidates of the other way.
    let linear = matches!(search.metric, MetricType::L2 | MetricType::InnerProduct);
    let refined = linear && search.strategy != Strategy::Scan && vectors.count <= u32::MAX as usize;
    let wide = if refined && k <= BLOCK_K { (k + SPARE_CANDIDATES).min(BLOCK_K) } else { k };
    // Beyond the block kernel a row's distances and its keys, which may be four times as long, are all in memory at once.
    let row = vectors.count.max(4 * k);
    let rows = if k > BLOCK_K { (tile / row).clamp(1, TILE_QUERIES) } else { TILE_QUERIES };
    for first in (0..query_count).step_by(rows) {
        if first > 0 {
            // Launches only queue work: without waiting here, nothing could be interrupted.
            context.sync()?;
            check_interrupt()?;
        }
        let count = rows.min(query_count - first);
        let batch = Distances::new(context, queries.skip(first, vectors.d), count, vectors.d, search)?;
        let out = out.at(first * k);
        if refined {
            let (mut values, mut ids) = (context.take(count * wide)?, context.take(count * wide)?);
            let candidates = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
            search_tile(context, &batch, vectors, first_id, wide, candidates, tile)?;
            let (queries, rows, d) = (batch.queries, vectors.rows, vectors.d);
            let inner = search.metric.is_similarity();
            let compared = Compared { queries, query_count: count, vectors: rows, d, inner, first_id };
            select::refine(context, compared, candidates, wide, k, out)?;
        } else {
            search_tile(context, &batch, vectors, first_id, k, out, tile)?;
        }
    }
    Ok(())
}

/// Candidates more than are wanted, where their order is to be found again.
const SPARE_CANDIDATES: usize = 16;

fn search_tile(
    context: &Context<'_>,
    batch: &Distances<'_>,
    vectors: &Vectors,
    first_id: i64,
    k: usize,
    out: Best,
    tile: usize,
) -> Result<()> {
    if k > BLOCK_K {
        knn_large(context, batch, vectors, first_id, k, out, tile)
    } else {
        knn_tiled(context, batch, vectors, first_id, k, out, tile)
    }
}

/// Vectors of one tile, for a batch of queries.
fn tile_columns(tile: usize, batch: &Distances<'_>, vectors: &Vectors) -> usize {
    let mut columns = tile / batch.query_count.max(1);
    if batch.search.strategy == Strategy::Pairwise && matches!(vectors.rows, Rows::F16(_)) {
        // Their copy as f32 must stay of the tile's size, too.
        columns = columns.min(tile / vectors.d.max(1));
    }
    (columns.max(1024) / 256 * 256).min(vectors.count).max(1)
}

fn values_of(batch: &Distances<'_>, vectors: &Vectors, first: usize, columns: usize, first_id: i64) -> Values {
    Values {
        values: Ptr::null(),
        stride: columns,
        rows: batch.query_count,
        columns,
        allowed: vectors.allowed.map(|a| a.at(first)),
        row_columns: None,
        first_id: first_id + first as i64,
        descending: batch.search.metric.is_similarity(),
    }
}

fn knn_tiled(
    context: &Context<'_>,
    batch: &Distances<'_>,
    vectors: &Vectors,
    first_id: i64,
    k: usize,
    out: Best,
    tile: usize,
) -> Result<()> {
    let nq = batch.query_count;
    let columns = tile_columns(tile, batch, vectors);
    let mut distances = context.take::<f32>(nq * columns)?;
    let tiles = vectors.count.div_ceil(columns).max(1);
    // The running result goes back and forth between two places and ends in `out`.
    let spare = if tiles > 1 { nq * k } else { 0 };
    let (mut spare_values, mut spare_ids) = (context.take(spare)?, context.take(spare)?);
    let spare = Best { values: spare_values.ptr_mut(), ids: spare_ids.ptr_mut() };
    let mut earlier = None;
    for t in 0..tiles {
        let first = t * columns;
        let count = columns.min(vectors.count - first);
        batch.compute(context, vectors.rows.skip(first, vectors.d), count, distances.ptr_mut(), columns)?;
        let values =
            Values { values: distances.ptr(), stride: columns, ..values_of(batch, vectors, first, count, first_id) };
        let target = if (tiles - 1 - t).is_multiple_of(2) { out } else { spare };
        select::select(context, &values, earlier, k, target)?;
        earlier = Some(target);
    }
    Ok(())
}

fn knn_large(
    context: &Context<'_>,
    batch: &Distances<'_>,
    vectors: &Vectors,
    first_id: i64,
    k: usize,
    out: Best,
    tile: usize,
) -> Result<()> {
    let (nq, n) = (batch.query_count, vectors.count);
    let mut distances = context.take::<f32>(nq * n)?;
    let columns = tile_columns(tile, batch, vectors);
    for first in (0..n).step_by(columns) {
        let count = columns.min(n - first);
        batch.compute(context, vectors.rows.skip(first, vectors.d), count, distances.ptr_mut().at(first), n)?;
    }
    let values = Values { values: distances.ptr(), ..values_of(batch, vectors, 0, n, first_id) };
    select::select_any(context, &values, k, out)
}

/// All distances of queries to vectors, `vectors.count` a row.
pub fn all_distances(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    out: PtrMut<f32>,
) -> Result<()> {
    let tile = tile_bytes(context) / 4;
    let search = Search { strategy: Strategy::Pairwise, ..search };
    let batch = Distances::new(context, queries, query_count, vectors.d, search)?;
    let columns = tile_columns(tile, &batch, vectors);
    for first in (0..vectors.count).step_by(columns) {
        let count = columns.min(vectors.count - first);
        batch.compute(context, vectors.rows.skip(first, vectors.d), count, out.at(first), vectors.count)?;
    }
    Ok(())
}
