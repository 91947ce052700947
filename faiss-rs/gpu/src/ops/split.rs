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
/// Bytes of a row's chunk.
pub const ROW_CHUNK_BYTES: usize = CHUNK * 2 * size_of::<f16>();
const TILE_BYTES: usize = TILE * ROW_CHUNK_BYTES;
/// Tiles under way to the multiprocessor.
const STAGES: usize = 3;
/// Chunks of rows that may stay in shared memory, so that two blocks share a multiprocessor of the newest devices.
const RESIDENT_CHUNKS: usize = 4;
/// Shared memory that kernels have beside: limits and scales of a tile's rows, and a few numbers.
pub const STATIC_SHARED: usize = TILE * 2 * size_of::<f32>() + 128;

/// Rows as high and low halves of what they are, less a center by L2, times a power of two.
pub struct SplitRows<'a> {
    halves: Temp<'a, f16>,
    /// The largest magnitude of the centred rows, which gives the power of two.
    largest: Temp<'a, f32>,
    center: Option<Temp<'a, f32>>,
    count: usize,
    d: usize,
}

impl<'a> SplitRows<'a> {
    pub fn new(
        context: &'a Context<'_>,
        from: Ptr<f32>,
        count: usize,
        d: usize,
        metric: MetricType,
    ) -> Result<SplitRows<'a>> {
        let center = match metric {
            // Distances are those of the centred, whose norms and products cancel less.
            MetricType::L2 => Some(mean(context, Rows::F32(from), count, d)?),
            _ => None,
        };
        let at = center.as_ref().map_or(Ptr::null(), Temp::ptr);
        let largest = largest(context, from, at, count, d)?;
        let mut halves = context.take::<f16>(halves_len(count, d.div_ceil(CHUNK)))?;
        let from = Source { rows: from, center: at, largest: largest.ptr(), d };
        split(context, from, count, halves.ptr_mut(), None)?;
        Ok(SplitRows { halves, largest, center, count, d })
    }

    /// The numbers of the nearest of `k` centroids.
    pub fn nearest(&self, context: &Context<'_>, centroids: Ptr<f32>, k: usize, labels: PtrMut<i32>) -> Result<()> {
        let d = self.d;
        // A center of the centroids changes all inner products of a row by the same.
        let own = if self.center.is_none() { Some(mean(context, Rows::F32(centroids), k, d)?) } else { None };
        let center = self.center.as_ref().or(own.as_ref()).map_or(Ptr::null(), Temp::ptr);
        let largest = largest(context, centroids, center, k, d)?;
        let (tiles, chunks) = (k.div_ceil(TILE), d.div_ceil(CHUNK));
        let (mut halves, mut terms) = (context.take::<f16>(halves_len(k, chunks))?, context.take::<f32>(tiles * TILE)?);
        let from = Source { rows: centroids, center, largest: largest.ptr(), d };
        let norms = Norms { other: self.largest.ptr(), inner: self.center.is_none(), out: terms.ptr_mut() };
        split(context, from, k, halves.ptr_mut(), Some(norms))?;
        let mut launch = context.launch(self.count.div_ceil(TILE));
        let (shared, resident) = shared(context, chunks, 1);
        launch.shared = shared;
        launchers::nearest_split(
            launch,
            self.halves.ptr(),
            halves.ptr(),
            terms.ptr(),
            self.count as i64,
            k as u32,
            tiles as u32,
            chunks as u32,
            resident,
            labels,
        )
    }
}

/// Bytes of shared memory that products of so many chunks and so many `terms` of each column take, and whether the rows stay in it.
pub fn shared(context: &Context<'_>, chunks: usize, terms: usize) -> (u32, u32) {
    let terms = terms * TILE * size_of::<f32>() * if chunks < STAGES { STAGES } else { 1 };
    let wanted = (chunks + STAGES) * TILE_BYTES + terms;
    if chunks <= RESIDENT_CHUNKS && wanted + STATIC_SHARED <= context.properties.shared_bytes {
        (wanted as u32, 1)
    } else {
        ((2 * STAGES * TILE_BYTES + terms) as u32, 0)
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

/// High and low halves of `count` rows, and if they are wanted their norms, in whole tiles.
fn split(context: &Context<'_>, from: Source, count: usize, out: PtrMut<f16>, norms: Option<Norms>) -> Result<()> {
    let padded = count.next_multiple_of(TILE);
    launchers::split_rows(
        context.stride(padded, 8),
        from.rows,
        from.center,
        from.largest,
        norms.map_or(from.largest, |n| n.other),
        count as u32,
        padded as u32,
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
