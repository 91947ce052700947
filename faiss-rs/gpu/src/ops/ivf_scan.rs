//! The scan of inverted lists of vectors, or of codes of single numbers: one family of kernels, with an axis for how a code is read.

use crate::error::{Error, Result};
use crate::launchers::{self, Codes, Metric};
use crate::memory::{Ptr, Temp};
use crate::ops::ivf_filter;
use crate::ops::probe::{self, Queries, Scan, Search, Tiles};
use crate::ops::rows;
use crate::ops::select::Best;
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

    /// The kernels' axis.
    pub(super) fn code(&self) -> u32 {
        self.code
    }

    /// What kernels need, with the centroids that they want for it in f32.
    pub(super) fn codes<'a>(
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

/// Queries of one tile of the kernel that visits list by list.
const TILE_QUERIES: usize = 32;
/// Queries for each list from which on visiting list by list beats reading it for each of them.
const QUERIES_A_LIST: usize = 4;
/// And from which on a filter, which needs tiles that are full, beats both.
const FILTER_FROM: usize = 16;
/// Vectors that a block computes at a time.
const SCAN_VECTORS: usize = 32;
const TILE_VECTORS: usize = 128;

/// How lists are searched. One chooser, [`Strategy::choose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Few queries: a list is read for each of them.
    Query,
    /// Many queries: a list is read once for 32 of them.
    List,
    /// The same for the first lists alone, and a filter for the others ([`ivf_filter`]).
    Filter,
}

impl Strategy {
    pub fn choose(context: &Context<'_>, queries: &Queries, search: &Search) -> Strategy {
        match queries.count * queries.nprobe / search.stored.nlist.max(1) {
            0..QUERIES_A_LIST => Strategy::Query,
            FILTER_FROM.. if ivf_filter::possible(context, queries, search) => Strategy::Filter,
            _ => Strategy::List,
        }
    }
}

/// The distances of a scan.
pub fn scan(context: &Context<'_>, codec: &Codec, metric: Metric, scan: &Scan) -> Result<()> {
    match scan.count * scan.nprobe / scan.stored.nlist.max(1) {
        0..QUERIES_A_LIST => scan_by_query(context, codec, metric, scan),
        _ => scan_by_list(context, codec, metric, scan),
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
    best_by(context, Strategy::choose(context, queries, search), codec, metric, queries, search, out)
}

/// The best of the lists that queries look into, by a given strategy, which must be possible.
pub fn best_by(
    context: &Context<'_>,
    strategy: Strategy,
    codec: &Codec,
    metric: Metric,
    queries: &Queries,
    search: &Search,
    out: Best,
) -> Result<()> {
    match strategy {
        Strategy::Query => {
            probe::best(context, queries, search, &|scan| scan_by_query(context, codec, metric, scan), out)
        }
        Strategy::List => {
            probe::best(context, queries, search, &|scan| scan_by_list(context, codec, metric, scan), out)
        }
        Strategy::Filter => ivf_filter::best(context, codec, metric, queries, search, out),
    }
}

/// Reads a list for every query that looks into it.
pub fn scan_by_query(context: &Context<'_>, codec: &Codec, metric: Metric, scan: &Scan) -> Result<()> {
    let (codes, _kept) = codec.codes(context, scan, false)?;
    let splits = query_splits(context, scan);
    launchers::ivf_scan(
        context.launch(scan.count * scan.nprobe * splits),
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

/// Blocks that share a query's list: enough to fill the GPU several times, but none without vectors.
pub(super) fn query_splits(context: &Context<'_>, scan: &Scan) -> usize {
    let wanted = (context.properties.multiprocessors as usize * 16).div_ceil((scan.count * scan.nprobe).max(1));
    wanted.min(scan.stored.longest.div_ceil(SCAN_VECTORS)).max(1)
}

/// Reads a list once for up to [`TILE_QUERIES`] queries that look into it.
pub fn scan_by_list(context: &Context<'_>, codec: &Codec, metric: Metric, scan: &Scan) -> Result<()> {
    let tiles = scan.tiles(context, TILE_QUERIES)?;
    let (codes, _kept) = codec.codes(context, scan, false)?;
    let splits = list_splits(scan, &tiles, TILE_VECTORS);
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

/// Blocks that share a tile: a list much longer than the others must not keep one block busy when all others are done.
pub(super) fn list_splits(scan: &Scan, tiles: &Tiles<'_>, vectors: usize) -> usize {
    scan.stored.longest.div_ceil(8 * vectors).min((1 << 17) / tiles.bound.max(1)).max(1)
}
