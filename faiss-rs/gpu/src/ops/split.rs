//! Rows in split precision, and their nearest centroids by matrix units: family `nearest`.

use faiss_core::base::MetricType;
use half::f16;

use crate::error::Result;
use crate::launchers;
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::rows::{self, Rows};
use crate::resources::Context;

/// Numbers of a chunk, which takes as many high halves and low ones; rows of a tile and its bytes, as the kernels have them.
pub const CHUNK: usize = 32;
pub const TILE: usize = 128;
/// Numbers of a chunk of one f16 each, and the products of 16 that are summed for one.
const ROUND_CHUNK: usize = 2 * CHUNK;
const ROUND_PRODUCTS: usize = 4;
/// Bytes of a row's chunk.
pub const ROW_CHUNK_BYTES: usize = CHUNK * 2 * size_of::<f16>();
const TILE_BYTES: usize = TILE * ROW_CHUNK_BYTES;
/// Tiles under way to the multiprocessor.
pub const DEEP: usize = 3;
const SHALLOW: usize = 2;
/// Chunks of rows that may stay in shared memory, so that two blocks share a multiprocessor of the newest devices.
const RESIDENT_CHUNKS: usize = 4;
/// Shared memory that kernels have beside: limits and scales of a tile's rows, and a few numbers.
pub const STATIC_SHARED: usize = TILE * 2 * size_of::<f32>() + 128;

/// Rows less a center by L2, and the largest magnitude of what they are then: it gives the power of two by which all are scaled.
struct Centred<'a> {
    rows: Ptr<f32>,
    center: Option<Temp<'a, f32>>,
    largest: Temp<'a, f32>,
    count: usize,
    d: usize,
}

impl<'a> Centred<'a> {
    fn new(
        context: &'a Context<'_>,
        rows: Ptr<f32>,
        count: usize,
        d: usize,
        metric: MetricType,
    ) -> Result<Centred<'a>> {
        let center = match metric {
            // Distances are those of the centred, whose norms and products cancel less.
            MetricType::L2 => Some(mean(context, Rows::F32(rows), count, d)?),
            _ => None,
        };
        let largest = largest(context, rows, at(center.as_ref()), count, d)?;
        Ok(Centred { rows, center, largest, count, d })
    }

    fn source(&self) -> Source {
        Source { rows: self.rows, center: at(self.center.as_ref()), largest: self.largest.ptr(), d: self.d }
    }
}

fn at(center: Option<&Temp<'_, f32>>) -> Ptr<f32> {
    center.map_or(Ptr::null(), Temp::ptr)
}

/// Centroids that rows are compared with: by L2 less the rows' center. By inner product less one of their own, which changes all products of a
/// row by the same.
struct Centroids<'a> {
    rows: Ptr<f32>,
    own_center: Option<Temp<'a, f32>>,
    k: usize,
}

impl<'a> Centroids<'a> {
    fn new(context: &'a Context<'_>, of: &Centred<'_>, rows: Ptr<f32>, k: usize) -> Result<Centroids<'a>> {
        let own_center = if of.center.is_none() { Some(mean(context, Rows::F32(rows), k, of.d)?) } else { None };
        Ok(Centroids { rows, own_center, k })
    }

    fn center(&self, of: &Centred<'_>) -> Ptr<f32> {
        at(of.center.as_ref().or(self.own_center.as_ref()))
    }

    fn tiles(&self) -> usize {
        self.k.div_ceil(TILE)
    }
}

/// High and low halves of centroids and half of their squared norms, for rows of the same.
struct SplitCentroids<'a> {
    halves: Temp<'a, f16>,
    norms: Temp<'a, f32>,
    tiles: usize,
    chunks: usize,
}

impl<'a> SplitCentroids<'a> {
    fn new(context: &'a Context<'_>, of: &Centred<'_>, centroids: &Centroids<'_>) -> Result<SplitCentroids<'a>> {
        let (d, k, tiles) = (of.d, centroids.k, centroids.tiles());
        let center = centroids.center(of);
        let largest = largest(context, centroids.rows, center, k, d)?;
        let chunks = d.div_ceil(CHUNK);
        let (mut halves, mut norms) = (context.take(halves_len(k, chunks))?, context.take(tiles * TILE)?);
        let from = Source { rows: centroids.rows, center, largest: largest.ptr(), d };
        let wanted = Norms { other: of.largest.ptr(), inner: of.center.is_none(), out: norms.ptr_mut() };
        split(context, from, None, k, halves.ptr_mut(), Some(wanted))?;
        Ok(SplitCentroids { halves, norms, tiles, chunks })
    }

    /// The nearest of `count` split rows; or, as keys, those of the chosen, of which these are at most `count`.
    fn nearest(
        &self,
        context: &Context<'_>,
        rows: Ptr<f16>,
        count: usize,
        chosen: Option<Chosen>,
        (labels, keys): (PtrMut<i32>, PtrMut<u64>),
    ) -> Result<()> {
        let row_tiles = count.div_ceil(TILE);
        let (blocks, splits) = match chosen {
            None => (row_tiles, 1),
            Some(_) => (BLOCKS_TOGETHER * context.properties.multiprocessors as usize, MOST_SPLITS.min(self.tiles)),
        };
        let mut launch = context.launch(blocks);
        let (shared, resident) = shared(context, self.chunks, 1, DEEP);
        launch.shared = shared;
        let (numbers, listed, first) = Chosen::parameters(chosen);
        launchers::nearest_split(
            launch,
            rows,
            self.halves.ptr(),
            self.norms.ptr(),
            numbers,
            listed,
            first,
            count as u32,
            self.tiles as u32,
            self.chunks as u32,
            resident,
            splits as u32,
            labels,
            keys,
        )
    }
}

/// Rows as high and low halves of what they are, for three products.
pub struct SplitRows<'a> {
    of: Centred<'a>,
    halves: Temp<'a, f16>,
}

impl<'a> SplitRows<'a> {
    pub fn new(
        context: &'a Context<'_>,
        from: Ptr<f32>,
        count: usize,
        d: usize,
        metric: MetricType,
    ) -> Result<SplitRows<'a>> {
        let of = Centred::new(context, from, count, d, metric)?;
        let mut halves = context.take::<f16>(halves_len(count, d.div_ceil(CHUNK)))?;
        split(context, of.source(), None, count, halves.ptr_mut(), None)?;
        Ok(SplitRows { of, halves })
    }

    /// The numbers of the nearest of `k` centroids.
    pub fn nearest(&self, context: &Context<'_>, centroids: Ptr<f32>, k: usize, labels: PtrMut<i32>) -> Result<()> {
        let centroids = Centroids::new(context, &self.of, centroids, k)?;
        let split = SplitCentroids::new(context, &self.of, &centroids)?;
        split.nearest(context, self.halves.ptr(), self.of.count, None, (labels, PtrMut::null()))
    }
}

/// Rows as one f16 for each number, with what that makes them be off by: for one product, which proves the nearest centroid of most rows. The
/// others get three products.
pub struct ProvenRows<'a> {
    of: Centred<'a>,
    halves: Temp<'a, f16>,
    /// How long each row is at most, scaled; behind the last, what a row's error is of its length at most.
    reach: Temp<'a, f32>,
}

/// The rows that are not proven are split in so many parts, of which only those that there are cost more than a launch.
const UNPROVEN_PARTS: usize = 4;
/// Blocks that one multiprocessor holds at a time, and those that share 128 such rows where there are few.
const BLOCKS_TOGETHER: usize = 2;
const MOST_SPLITS: usize = 16;

impl<'a> ProvenRows<'a> {
    pub fn new(
        context: &'a Context<'_>,
        from: Ptr<f32>,
        count: usize,
        d: usize,
        metric: MetricType,
    ) -> Result<ProvenRows<'a>> {
        let of = Centred::new(context, from, count, d, metric)?;
        let mut halves = context.take::<f16>(halves_len(count, d.div_ceil(ROUND_CHUNK)))?;
        let mut reach = context.take::<f32>(count + 1)?;
        let ratio = reach.ptr_mut().at(count);
        rows::fill(context, ratio, 0.0, 1)?;
        let launch = context.stride(count.next_multiple_of(TILE), 8);
        let source = of.source();
        let (rows, center, largest) = (source.rows, source.center, source.largest);
        let out = halves.ptr_mut();
        launchers::nearest_rows(launch, rows, center, largest, count as u32, d as u32, out, reach.ptr_mut(), ratio)?;
        Ok(ProvenRows { of, halves, reach })
    }

    /// The numbers of the nearest of `k` centroids.
    pub fn nearest(&self, context: &Context<'_>, centroids: Ptr<f32>, k: usize, labels: PtrMut<i32>) -> Result<()> {
        let (count, d, chunks) = (self.of.count, self.of.d, self.of.d.div_ceil(ROUND_CHUNK));
        let centroids = Centroids::new(context, &self.of, centroids, k)?;
        let (tiles, padded) = (centroids.tiles(), centroids.tiles() * TILE);
        // How many rows are not proven, and which.
        let mut listed = context.take::<i32>(1)?;
        rows::fill(context, listed.ptr_mut(), 0, 1)?;
        let listed = PtrMut::new(listed.ptr_mut().raw().cast());
        let mut unproven = context.take::<u32>(count)?;
        {
            let (mut halves, mut terms) = (context.take(halves_len(k, chunks))?, context.take::<f32>(3 * padded)?);
            launchers::nearest_columns(
                context.stride(padded, 8),
                centroids.rows,
                centroids.center(&self.of),
                self.of.largest.ptr(),
                self.reach.ptr().at(count),
                k as u32,
                padded as u32,
                d as u32,
                u32::from(self.of.center.is_none()),
                (chunks * ROUND_PRODUCTS) as u32,
                halves.ptr_mut(),
                terms.ptr_mut(),
            )?;
            let mut launch = context.launch(count.div_ceil(TILE));
            let (shared, resident) = shared(context, chunks, 3, SHALLOW);
            launch.shared = shared;
            launchers::nearest_proven(
                launch,
                self.halves.ptr(),
                halves.ptr(),
                terms.ptr(),
                self.reach.ptr(),
                count as u32,
                tiles as u32,
                chunks as u32,
                resident,
                d as u32,
                labels,
                listed,
                unproven.ptr_mut(),
            )?;
        }
        let split_centroids = SplitCentroids::new(context, &self.of, &centroids)?;
        let page = count.div_ceil(UNPROVEN_PARTS).next_multiple_of(TILE);
        let mut halves = context.take::<f16>(halves_len(page, split_centroids.chunks))?;
        let mut keys = context.take::<i64>(page)?;
        let keys = PtrMut::<u64>::new(keys.ptr_mut().raw().cast());
        for first in (0..count).step_by(page) {
            let chosen = Chosen { rows: unproven.ptr(), listed: listed.read(), first };
            split(context, self.of.source(), Some(chosen), page, halves.ptr_mut(), None)?;
            rows::fill(context, PtrMut::<i64>::new(keys.raw().cast()), -1, page)?;
            split_centroids.nearest(context, halves.ptr(), page, Some(chosen), (labels, keys))?;
            let launch = context.stride(page, 256);
            let (rows, listed) = (chosen.rows, chosen.listed);
            launchers::chosen_labels(launch, keys.read(), rows, listed, first as u32, page as u32, labels)?;
        }
        Ok(())
    }
}

/// Of the rows whose numbers are listed, those from `first` on; how many are listed is known on the device alone.
#[derive(Clone, Copy)]
struct Chosen {
    rows: Ptr<u32>,
    listed: Ptr<u32>,
    first: usize,
}

impl Chosen {
    fn parameters(chosen: Option<Chosen>) -> (Ptr<u32>, Ptr<u32>, u32) {
        chosen.map_or((Ptr::null(), Ptr::null(), 0), |c| (c.rows, c.listed, c.first as u32))
    }
}

/// Bytes of shared memory that products of so many chunks and so many `terms` of each column take, with `stages` tiles under way, and whether
/// the rows stay in it.
pub fn shared(context: &Context<'_>, chunks: usize, terms: usize, stages: usize) -> (u32, u32) {
    let terms = terms * TILE * size_of::<f32>() * if chunks < stages { stages } else { 1 };
    let wanted = (chunks + stages) * TILE_BYTES + terms;
    if chunks <= RESIDENT_CHUNKS && wanted + STATIC_SHARED <= context.properties.shared_bytes {
        (wanted as u32, 1)
    } else {
        ((2 * stages * TILE_BYTES + terms) as u32, 0)
    }
}

/// Places of rows of so many chunks, in whole tiles.
pub fn halves_len(count: usize, chunks: usize) -> usize {
    count.next_multiple_of(TILE) * chunks * ROW_CHUNK_BYTES / size_of::<f16>()
}

/// Rows that are split: less `center`, where that is not null, scaled as `largest` wants it.
#[derive(Clone, Copy)]
struct Source {
    rows: Ptr<f32>,
    center: Ptr<f32>,
    largest: Ptr<f32>,
    d: usize,
}

/// What products of split rows lack to distances, halved: their squared norms.
#[derive(Clone, Copy)]
struct Norms {
    /// The largest magnitude of the rows that they are multiplied with.
    other: Ptr<f32>,
    /// None are wanted, but the padding is.
    inner: bool,
    out: PtrMut<f32>,
}

/// High and low halves of `count` rows, or of those that are chosen, at most `count`, and if they are wanted their norms, in whole tiles.
fn split(
    context: &Context<'_>,
    from: Source,
    chosen: Option<Chosen>,
    count: usize,
    out: PtrMut<f16>,
    norms: Option<Norms>,
) -> Result<()> {
    let (numbers, listed, first) = Chosen::parameters(chosen);
    launchers::split_rows(
        context.stride(count.next_multiple_of(TILE), 8),
        from.rows,
        from.center,
        from.largest,
        norms.map_or(from.largest, |n| n.other),
        numbers,
        listed,
        first,
        count as u32,
        from.d as u32,
        u32::from(norms.is_some_and(|n| n.inner)),
        out,
        norms.map_or(PtrMut::null(), |n| n.out),
    )
}

/// The means of the columns, of some hundred rows.
pub fn mean<'a>(context: &'a Context<'_>, rows: Rows, count: usize, d: usize) -> Result<Temp<'a, f32>> {
    let mut means = context.take::<f32>(d)?;
    columns(context, rows, count, d, means.ptr_mut(), PtrMut::null())?;
    Ok(means)
}

/// The means of the columns and, where `spreads` is not null, roughly the squares of how far numbers are from them.
pub fn columns(
    context: &Context<'_>,
    rows: Rows,
    count: usize,
    d: usize,
    means: PtrMut<f32>,
    spreads: PtrMut<f32>,
) -> Result<()> {
    let launch = context.launch(d.div_ceil(32));
    rows::with_rows!(rows, x => launchers::column_means(launch, x, count as i64, d as u32, means, spreads))
}

/// The largest magnitude of the rows less `center`, where that is not null.
fn largest<'a>(
    context: &'a Context<'_>,
    from: Ptr<f32>,
    center: Ptr<f32>,
    count: usize,
    d: usize,
) -> Result<Temp<'a, f32>> {
    let mut largest = context.take::<f32>(1)?;
    rows::fill(context, largest.ptr_mut(), 0.0, 1)?;
    let launch = context.stride(count * d, 1024);
    launchers::largest_centred(launch, from, center, count as i64, d as u32, largest.ptr_mut())?;
    Ok(largest)
}
