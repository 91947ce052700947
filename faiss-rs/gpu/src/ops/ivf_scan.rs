//! The scan of inverted lists of vectors, or of codes of single numbers: one family of kernels, with an axis for how a code is read.

use crate::error::{Error, Result};
use crate::launchers::{self, Codes, Metric, available};
use crate::lists::ListsView;
use crate::memory::{Ptr, Temp};
use crate::ops::knn::Vectors;
use crate::ops::probe::{self, Queries, Scan, Search, Tiles};
use crate::ops::rows;
use crate::ops::select::{self, BLOCK_K, Best};
use crate::resources::Context;

/// How the codes of lists are read.
#[derive(Clone, Copy)]
pub struct Codec {
    /// The kernels' axis CODE: 32, 16, 8 or 0.
    code: u32,
    bits: u32,
    lows: Ptr<f32>,
    steps: Ptr<f32>,
    /// Codes are of residuals to the list's centroid.
    residual: bool,
}

impl Codec {
    /// Vectors as they are.
    pub fn floats() -> Codec {
        Codec { code: 32, bits: 32, lows: Ptr::null(), steps: Ptr::null(), residual: false }
    }

    /// Numbers of 16 bits: f16 or bf16.
    pub fn halves(bf16: bool, residual: bool) -> Codec {
        Codec { code: 16, bits: if bf16 { 17 } else { 16 }, residual, ..Codec::floats() }
    }

    /// Numbers of 8, 6 or 4 bits, which stand for `lows[i] + steps[i] * number` in dimension i.
    pub fn ranges(bits: u32, lows: Ptr<f32>, steps: Ptr<f32>, residual: bool) -> Codec {
        Codec { code: if bits == 8 { 8 } else { 0 }, bits, lows, steps, residual }
    }

    /// What kernels need, with the centroids that they want for it in f32.
    fn codes<'a>(
        &self,
        context: &'a Context<'_>,
        scan: &Scan,
        centred: bool,
    ) -> Result<(Codes, Option<Temp<'a, f32>>)> {
        let stored = scan.stored;
        let (mut centroids, mut kept) = (Ptr::null(), None);
        if self.residual || centred {
            let there = scan.centroids.ok_or_else(|| Error::invalid("the lists' centroids are not on this GPU"))?;
            (centroids, kept) = rows::as_f32(context, there.rows, there.count, there.d)?;
        }
        let codes = Codes {
            codes: stored.codes,
            code_size: stored.code_size as u32,
            bits: self.bits,
            starts: stored.starts,
            lows: self.lows,
            steps: self.steps,
            centroids,
            residual: self.residual.into(),
        };
        Ok((codes, kept))
    }
}

/// Queries of one tile of the kernels that visit list by list.
const TILE_QUERIES: usize = 32;
const PRODUCT_QUERIES: usize = 64;
/// Queries for each list from which on visiting list by list beats reading it for each of them.
const QUERIES_A_LIST: usize = 4;
/// And from which on products, which need tiles that are full and candidates to be ranked again, beat differences.
const PRODUCTS_FROM: usize = 32;
/// Vectors that a block computes at a time, in both kernels.
const SCAN_VECTORS: usize = 32;
const TILE_VECTORS: usize = 128;

/// How lists are scanned. One chooser, [`Strategy::choose`]; the tests run all of them against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Few queries: a list is read for each of them.
    Query,
    /// Many queries: a list is read once for 32 of them.
    List,
    /// The same by matrix units (compute capability 8.0 and more): products choose candidates, differences decide.
    Product,
}

impl Strategy {
    pub const ALL: [Strategy; 3] = [Strategy::Query, Strategy::List, Strategy::Product];

    /// Whether the device and the search allow it: products need the lists' centroids where distances are wanted.
    pub fn possible(self, context: &Context<'_>, metric: Metric, centroids: Option<Vectors>) -> bool {
        let centred = metric == Metric::InnerProduct || centroids.is_some();
        self != Strategy::Product || available::ivf_product(context.properties.capability()) && centred
    }

    pub fn choose(
        context: &Context<'_>,
        metric: Metric,
        pairs: usize,
        stored: &ListsView,
        centroids: Option<Vectors>,
    ) -> Strategy {
        let products = Strategy::Product.possible(context, metric, centroids);
        match pairs / stored.nlist.max(1) {
            0..QUERIES_A_LIST => Strategy::Query,
            PRODUCTS_FROM.. if products => Strategy::Product,
            _ => Strategy::List,
        }
    }
}

/// The distances of a scan, exact: not by products of L2.
pub fn scan(context: &Context<'_>, codec: &Codec, metric: Metric, scan: &Scan) -> Result<()> {
    match Strategy::choose(context, metric, scan.count * scan.nprobe, &scan.stored, None) {
        Strategy::Query => scan_by_query(context, codec, metric, scan),
        Strategy::List | Strategy::Product => scan_by_list(context, codec, metric, scan),
    }
}

/// The best of the lists that queries look into.
pub fn best(
    context: &Context<'_>,
    codec: &Codec,
    metric: Metric,
    queries: &Queries,
    search: &Search,
    out: Best,
) -> Result<()> {
    let pairs = queries.count * queries.nprobe;
    let strategy = Strategy::choose(context, metric, pairs, &search.stored, search.centroids);
    // Products choose a few candidates more than are wanted, for which selection by block has no room there.
    let crowded = strategy == Strategy::Product && metric == Metric::L2 && search.k + probe::SPARE_CANDIDATES > BLOCK_K;
    let strategy = if crowded { Strategy::List } else { strategy };
    best_by(context, strategy, codec, metric, queries, search, out)
}

/// The best of the lists that queries look into, by a given strategy.
pub fn best_by(
    context: &Context<'_>,
    strategy: Strategy,
    codec: &Codec,
    metric: Metric,
    queries: &Queries,
    search: &Search,
    out: Best,
) -> Result<()> {
    let products = |scan: &Scan| scan_by_products(context, codec, metric, scan);
    match strategy {
        Strategy::Query => {
            probe::best(context, queries, search, &|scan| scan_by_query(context, codec, metric, scan), out)
        }
        Strategy::List => {
            probe::best(context, queries, search, &|scan| scan_by_list(context, codec, metric, scan), out)
        }
        Strategy::Product if metric == Metric::InnerProduct => probe::best(context, queries, search, &products, out),
        Strategy::Product => {
            let refine = |scan: &Scan, candidates: Best, wide: usize, out: Best| {
                refine(context, codec, scan, candidates, (wide, search.k), out)
            };
            probe::best_refined(context, queries, search, &products, Some(&refine), out)
        }
    }
}

/// The best `k` of `wide` candidates by squared distances computed without cancellation.
fn refine(
    context: &Context<'_>,
    codec: &Codec,
    scan: &Scan,
    candidates: Best,
    (wide, k): (usize, usize),
    out: Best,
) -> Result<()> {
    let size = wide.next_power_of_two().max(32);
    let (codes, _kept) = codec.codes(context, scan, false)?;
    let mut keys = context.take::<u64>(scan.count * size)?;
    launchers::ivf_keys(
        context.stride(scan.count * size, 8),
        codec.code,
        scan.queries,
        scan.d as u32,
        scan.count as u32,
        wide as u32,
        size as u32,
        candidates.ids.read(),
        scan.probes(),
        codes,
        keys.ptr_mut(),
    )?;
    select::best_of_keys(context, keys.ptr_mut(), (scan.count, size), k, false, 0, out)
}

/// Reads a list for every query that looks into it.
pub fn scan_by_query(context: &Context<'_>, codec: &Codec, metric: Metric, scan: &Scan) -> Result<()> {
    let pairs = scan.count * scan.nprobe;
    let (codes, _kept) = codec.codes(context, scan, false)?;
    // Enough blocks to fill the GPU several times, but none without vectors.
    let wanted = (context.properties.multiprocessors as usize * 16).div_ceil(pairs.max(1));
    let splits = wanted.min(scan.stored.longest.div_ceil(SCAN_VECTORS)).max(1);
    launchers::ivf_scan(
        context.launch(pairs * splits),
        metric,
        codec.code,
        scan.queries,
        scan.d as u32,
        scan.probes(),
        codes,
        scan.distances,
        scan.stride as i64,
        splits as u32,
    )
}

/// Reads a list once for up to [`TILE_QUERIES`] queries that look into it.
pub fn scan_by_list(context: &Context<'_>, codec: &Codec, metric: Metric, scan: &Scan) -> Result<()> {
    let tiles = scan.tiles(context, TILE_QUERIES)?;
    let (codes, _kept) = codec.codes(context, scan, false)?;
    let splits = list_splits(scan, &tiles);
    launchers::ivf_tile(
        context.launch(tiles.bound * splits),
        metric,
        codec.code,
        scan.queries,
        scan.d as u32,
        tiles.parameter(),
        scan.probes(),
        codes,
        scan.distances,
        scan.stride as i64,
        splits as u32,
    )
}

/// As [`scan_by_list`] by matrix units: about as exact as f32, up to cancellation.
pub fn scan_by_products(context: &Context<'_>, codec: &Codec, metric: Metric, scan: &Scan) -> Result<()> {
    let tiles = scan.tiles(context, PRODUCT_QUERIES)?;
    let (codes, _kept) = codec.codes(context, scan, metric == Metric::L2)?;
    let splits = list_splits(scan, &tiles);
    launchers::ivf_product(
        context.launch(tiles.bound * splits),
        metric,
        codec.code,
        scan.queries,
        scan.d as u32,
        tiles.parameter(),
        scan.probes(),
        codes,
        scan.distances,
        scan.stride as i64,
        splits as u32,
    )
}

/// Blocks that share a tile: a list much longer than the others must not keep one block busy when all others are done.
fn list_splits(scan: &Scan, tiles: &Tiles<'_>) -> usize {
    scan.stored.longest.div_ceil(8 * TILE_VECTORS).min((1 << 17) / tiles.bound.max(1)).max(1)
}
