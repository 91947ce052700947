//! Rows in split precision, and their nearest centroids by matrix units: family `nearest`.

use faiss_core::base::MetricType;
use half::f16;

use crate::error::Result;
use crate::launchers;
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::rows;
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
            MetricType::L2 => Some(mean(context, from, count, d)?),
            _ => None,
        };
        let at = center.as_ref().map_or(Ptr::null(), Temp::ptr);
        let (halves, largest) = split(context, from, at, count, d)?;
        Ok(SplitRows { halves, largest, center, count, d })
    }

    /// The numbers of the nearest of `k` centroids.
    pub fn nearest(&self, context: &Context<'_>, centroids: Ptr<f32>, k: usize, labels: PtrMut<i32>) -> Result<()> {
        let d = self.d;
        // A center of the centroids changes all inner products of a row by the same.
        let own = if self.center.is_none() { Some(mean(context, centroids, k, d)?) } else { None };
        let center = self.center.as_ref().or(own.as_ref()).map_or(Ptr::null(), Temp::ptr);
        let (halves, largest) = split(context, centroids, center, k, d)?;
        let (tiles, chunks) = (k.div_ceil(TILE), d.div_ceil(CHUNK));
        let mut terms = context.take::<f32>(tiles * TILE)?;
        let inner = u32::from(self.center.is_none());
        let (scales, whole) = ((self.largest.ptr(), largest.ptr()), Met { begin: 0, step: 1, total: k });
        norms(context, centroids, center, scales, (k, tiles * TILE), d, inner, whole, terms.ptr_mut(), PtrMut::null())?;
        let mut launch = context.launch(self.count.div_ceil(TILE));
        let (shared, resident) = shared(context, chunks);
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

/// Bytes of shared memory that products of so many chunks take, and whether the rows stay in it.
pub fn shared(context: &Context<'_>, chunks: usize) -> (u32, u32) {
    let wanted = (chunks + STAGES) * TILE_BYTES;
    if chunks <= RESIDENT_CHUNKS && wanted <= context.properties.shared_bytes {
        (wanted as u32, 1)
    } else {
        (2 * STAGES as u32 * TILE_BYTES as u32, 0)
    }
}

/// Row i of some is row `(begin + i) * step % total`.
#[derive(Clone, Copy)]
pub struct Met {
    pub begin: usize,
    pub step: u64,
    pub total: usize,
}

pub fn halves_len(count: usize, d: usize) -> usize {
    count * d.div_ceil(CHUNK) * CHUNK * 2
}

/// High and low halves of `count` rows less `center`, where that is not null, scaled as `largest` wants it.
#[allow(clippy::too_many_arguments)]
pub fn halves(
    context: &Context<'_>,
    from: Ptr<f32>,
    center: Ptr<f32>,
    largest: Ptr<f32>,
    count: usize,
    d: usize,
    met: Met,
    out: PtrMut<f16>,
) -> Result<()> {
    let chunks = d.div_ceil(CHUNK);
    let launch = context.stride(count * chunks, 8);
    let (n, width, total) = (count as i64, d as u32, met.total as u64);
    launchers::split_rows(
        launch,
        from,
        center,
        largest,
        n,
        width,
        chunks as u32,
        met.begin as u64,
        met.step,
        total,
        out,
    )
}

/// What products of split columns lack to distances, halved, for `count` columns padded to `padded`. `largest` are those of the
/// rows and of the columns; `farthest`, where it is not null, grows to the largest squared norm.
#[allow(clippy::too_many_arguments)]
pub fn norms(
    context: &Context<'_>,
    columns: Ptr<f32>,
    center: Ptr<f32>,
    largest: (Ptr<f32>, Ptr<f32>),
    (count, padded): (usize, usize),
    d: usize,
    inner: u32,
    met: Met,
    out: PtrMut<f32>,
    farthest: PtrMut<f32>,
) -> Result<()> {
    launchers::split_norms(
        context.stride(padded, 8),
        columns,
        center,
        largest.0,
        largest.1,
        count as u32,
        padded as u32,
        d as u32,
        inner,
        met.begin as u64,
        met.step,
        met.total as u64,
        out,
        farthest,
    )
}

/// The means of the columns, of the first few thousand rows.
pub fn mean<'a>(context: &'a Context<'_>, rows: Ptr<f32>, count: usize, d: usize) -> Result<Temp<'a, f32>> {
    let mut means = context.take::<f32>(d)?;
    launchers::column_means(context.launch(d.div_ceil(32)), rows, count as i64, d as u32, means.ptr_mut())?;
    Ok(means)
}

/// The largest magnitude of the rows less `center`, where that is not null.
pub fn largest<'a>(
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

fn split<'a>(
    context: &'a Context<'_>,
    from: Ptr<f32>,
    center: Ptr<f32>,
    count: usize,
    d: usize,
) -> Result<(Temp<'a, f16>, Temp<'a, f32>)> {
    let mut out = context.take::<f16>(halves_len(count, d))?;
    let largest = largest(context, from, center, count, d)?;
    let whole = Met { begin: 0, step: 1, total: count };
    halves(context, from, center, largest.ptr(), count, d, whole, out.ptr_mut())?;
    Ok((out, largest))
}
