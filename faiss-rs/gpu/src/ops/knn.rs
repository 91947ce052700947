//! Exhaustive search: distances of queries to vectors by tiles, and the k best of them.

use faiss_core::base::MetricType;

use crate::error::{Error, Result, check_interrupt};
use crate::launchers::{self, Metric};
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::found;
use crate::ops::rows::{self, Rows};
use crate::ops::select::{self, BLOCK_K, Best, Compared, Values};
use crate::resources::Context;

/// What is searched: `count` vectors of `d` numbers, and their squared norms if they are known.
#[derive(Clone, Copy)]
pub struct Vectors {
    pub rows: Rows,
    pub count: usize,
    pub d: usize,
    pub norms: Option<Ptr<f32>>,
    /// A byte for each vector: only those that are not 0 are found.
    pub allowed: Option<Ptr<u8>>,
}

/// How distances are computed. One chooser, [`Strategy::choose`]; the tests run all of them against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Few queries by L2 or inner product: one read of the vectors.
    Scan,
    /// Many queries by L2 or inner product: split products where those pay ([`found`]), else matrix products by cuBLAS, norms
    /// added at selection.
    Product,
    /// Any metric.
    Pairwise,
}

/// From this many queries on, matrix products beat reading the vectors once for every eight; in f16 they are cheaper.
const PRODUCT_FROM: usize = 20;
const PRODUCT_FROM_F16: usize = 8;

impl Strategy {
    pub fn choose(metric: MetricType, queries: usize, half: bool) -> Strategy {
        let few = if half { PRODUCT_FROM_F16 } else { PRODUCT_FROM };
        match metric {
            MetricType::L2 | MetricType::InnerProduct if queries < few => Strategy::Scan,
            MetricType::L2 | MetricType::InnerProduct => Strategy::Product,
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

/// Distances in a tile of memory: `stride` apart, and for products their norms still to be added.
struct Distances<'a> {
    queries: Rows,
    query_norms: Option<Temp<'a, f32>>,
    /// The queries as f32, for the kernel of any metric.
    wide: Option<Ptr<f32>>,
    _wide: Option<Temp<'a, f32>>,
    query_count: usize,
    d: usize,
    search: Search,
}

impl<'a> Distances<'a> {
    fn new(context: &'a Context<'_>, queries: Rows, query_count: usize, d: usize, search: Search) -> Result<Self> {
        let mut query_norms = None;
        if search.strategy == Strategy::Product && search.metric == MetricType::L2 {
            let mut norms = context.take(query_count)?;
            rows::norms(context, queries, norms.ptr_mut(), query_count, d)?;
            query_norms = Some(norms);
        }
        let (mut wide, mut kept) = (None, None);
        if search.strategy == Strategy::Pairwise {
            let (pointer, temp) = rows::as_f32(context, queries, query_count, d)?;
            (wide, kept) = (Some(pointer), temp);
        }
        Ok(Distances { queries, query_norms, wide, _wide: kept, query_count, d, search })
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
                match (self.queries, vectors) {
                    (Rows::F32(x), Rows::F32(y)) => {
                        launchers::scan(launch, metric, q, x, y, out, nq, n, d, stride as i64, aligned)
                    }
                    (Rows::F16(x), Rows::F16(y)) => {
                        launchers::scan(launch, metric, q, x, y, out, nq, n, d, stride as i64, aligned)
                    }
                    _ => Err(mixed_types()),
                }
            }
            Strategy::Product => {
                let scale = if self.search.metric == MetricType::L2 { -2.0 } else { 1.0 };
                let (m, blas, stream) = (self.query_count, context.blas, context.stream);
                match (self.queries, vectors) {
                    (Rows::F32(x), Rows::F32(y)) => blas.products(stream, scale, x, m, y, count, self.d, out, stride),
                    (Rows::F16(x), Rows::F16(y)) => blas.products(stream, scale, x, m, y, count, self.d, out, stride),
                    _ => Err(mixed_types()),
                }
            }
            Strategy::Pairwise => {
                let (vectors, _kept) = rows::as_f32(context, vectors, count, self.d)?;
                let queries = self.wide.unwrap_or(Ptr::null());
                let launch = context.launch(self.query_count.div_ceil(32) * count.div_ceil(128));
                launchers::pairwise(launch, metric, queries, vectors, out, nq, n, d, stride as i64, self.search.arg)
            }
        }
    }
}

fn mixed_types() -> Error {
    Error::invalid("queries and vectors must have the same type")
}

/// Bytes of one tile of distances: so much of the temporary memory that the rest of a call fits beside it.
fn tile_bytes(context: &Context<'_>) -> usize {
    (context.temp.size() / 8 * 3).clamp(32 << 20, 1 << 30)
}

/// Queries of one tile: enough for products at full speed.
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
    let products = search.strategy == Strategy::Product && found::pays(query_count);
    if products && found::applies(context, queries, vectors, search.metric, search.k) {
        return knn_found(context, queries, query_count, vectors, search, first_id, out);
    }
    knn_products(context, queries, query_count, vectors, search, first_id, out)
}

/// By split products, and again by others where those don't prove a result.
pub fn knn_found(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    first_id: i64,
    out: Best,
) -> Result<()> {
    let how = (search.metric, search.k);
    let unproven = match found::search(context, queries, query_count, vectors, how, first_id, out)? {
        Some(rows) if rows.len() * 4 <= query_count => rows,
        _ => return knn_products(context, queries, query_count, vectors, search, first_id, out),
    };
    // A run of such rows at a time.
    for run in unproven.chunk_by(|a, b| a + 1 == *b) {
        let (first, rows) = (run[0], queries.skip(run[0], vectors.d));
        knn_products(context, rows, run.len(), vectors, search, first_id, out.at(first * search.k))?;
    }
    Ok(())
}

fn knn_products(
    context: &Context<'_>,
    queries: Rows,
    query_count: usize,
    vectors: &Vectors,
    search: Search,
    first_id: i64,
    out: Best,
) -> Result<()> {
    let mut owned_norms = None;
    let mut vectors = *vectors;
    if search.strategy == Strategy::Product && search.metric == MetricType::L2 && vectors.norms.is_none() {
        let mut norms = context.take(vectors.count)?;
        rows::norms(context, vectors.rows, norms.ptr_mut(), vectors.count, vectors.d)?;
        vectors.norms = Some(norms.ptr());
        owned_norms = Some(norms);
    }
    let tile = tile_bytes(context) / 4;
    // Beyond the block kernel a row's distances and its keys, which may be four times as long, are all in memory at once.
    let row = vectors.count.max(4 * search.k);
    let rows = if search.k > BLOCK_K { (tile / row).clamp(1, TILE_QUERIES) } else { TILE_QUERIES };
    let mut first = 0;
    while first < query_count {
        if first > 0 {
            // Launches only queue work: without waiting here, nothing could be interrupted.
            context.sync()?;
            check_interrupt()?;
        }
        let count = rows.min(query_count - first);
        let batch = Distances::new(context, queries.skip(first, vectors.d), count, vectors.d, search)?;
        let out = out.at(first * search.k);
        let refined = batch.query_norms.is_some() && vectors.count <= u32::MAX as usize;
        if refined {
            let wide = if search.k > BLOCK_K { search.k } else { (search.k + SPARE_CANDIDATES).min(BLOCK_K) };
            let (mut values, mut ids) = (context.take(count * wide)?, context.take(count * wide)?);
            let candidates = Best { values: values.ptr_mut(), ids: ids.ptr_mut() };
            search_tile(context, &batch, &vectors, first_id, wide, candidates, tile)?;
            let (queries, rows, d) = (batch.queries, vectors.rows, vectors.d);
            let compared = Compared { queries, query_count: count, vectors: rows, d, inner: false, first_id };
            select::refine(context, compared, candidates, wide, search.k, out)?;
        } else {
            search_tile(context, &batch, &vectors, first_id, search.k, out, tile)?;
        }
        first += count;
    }
    drop(owned_norms);
    Ok(())
}

/// Norms and products cancel where vectors are near each other: distances by them choose a few candidates more than are
/// wanted, and differences decide.
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
    let norms = batch.query_norms.as_ref().zip(vectors.norms).map(|(q, v)| (q.ptr(), v.at(first)));
    Values {
        values: Ptr::null(),
        stride: columns,
        rows: batch.query_count,
        columns,
        norms,
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
    // Products leave the norms to selection, so distances that are wanted themselves come from the other kernels.
    let search = Search { strategy: Strategy::Pairwise, ..search };
    let batch = Distances::new(context, queries, query_count, vectors.d, search)?;
    let columns = tile_columns(tile, &batch, vectors);
    for first in (0..vectors.count).step_by(columns) {
        let count = columns.min(vectors.count - first);
        batch.compute(context, vectors.rows.skip(first, vectors.d), count, out.at(first), vectors.count)?;
    }
    Ok(())
}
