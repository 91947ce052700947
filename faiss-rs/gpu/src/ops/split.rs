//! Rows in split precision, and their nearest centroids by matrix units: family `nearest`.

use faiss_core::base::MetricType;
use half::f16;

use crate::error::Result;
use crate::launchers;
use crate::memory::{Ptr, PtrMut, Temp};
use crate::ops::rows;
use crate::resources::Context;

/// Numbers of a chunk, which takes as many high halves and low ones; rows of a tile and its bytes, as the kernels have them.
const CHUNK: usize = 32;
const TILE: usize = 128;
const TILE_BYTES: usize = TILE * CHUNK * 2 * size_of::<f16>();
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
        let mut norms = context.take::<f32>(tiles * TILE)?;
        let (rows_count, inner) = (self.count as i64, u32::from(self.center.is_none()));
        launchers::split_norms(
            context.stride(tiles * TILE, 8),
            centroids,
            center,
            self.largest.ptr(),
            largest.ptr(),
            k as u32,
            (tiles * TILE) as u32,
            d as u32,
            inner,
            norms.ptr_mut(),
        )?;
        let mut launch = context.launch(self.count.div_ceil(TILE));
        let wanted = (chunks + STAGES) * TILE_BYTES;
        let resident = chunks <= RESIDENT_CHUNKS && wanted <= context.properties.shared_bytes;
        launch.shared = if resident { wanted } else { 2 * STAGES * TILE_BYTES } as u32;
        launchers::nearest_split(
            launch,
            self.halves.ptr(),
            halves.ptr(),
            norms.ptr(),
            rows_count,
            k as u32,
            tiles as u32,
            chunks as u32,
            u32::from(resident),
            labels,
        )
    }
}

fn mean<'a>(context: &'a Context<'_>, rows: Ptr<f32>, count: usize, d: usize) -> Result<Temp<'a, f32>> {
    let mut means = context.take::<f32>(d)?;
    launchers::column_means(context.launch(d.div_ceil(32)), rows, count as i64, d as u32, means.ptr_mut())?;
    Ok(means)
}

fn split<'a>(
    context: &'a Context<'_>,
    from: Ptr<f32>,
    center: Ptr<f32>,
    count: usize,
    d: usize,
) -> Result<(Temp<'a, f16>, Temp<'a, f32>)> {
    let chunks = d.div_ceil(CHUNK);
    let (mut halves, mut largest) = (context.take::<f16>(count * chunks * CHUNK * 2)?, context.take::<f32>(1)?);
    let (n, width, most) = (count as i64, d as u32, largest.ptr_mut());
    rows::fill(context, most, 0.0, 1)?;
    launchers::largest_centred(context.stride(count * d, 1024), from, center, n, width, most)?;
    let launch = context.stride(count * chunks, 8);
    launchers::split_rows(launch, from, center, most.read(), n, width, chunks as u32, halves.ptr_mut())?;
    Ok((halves, largest))
}
