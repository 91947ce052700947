//! The nearest centroid of each row.

use faiss_core::base::MetricType;

use crate::error::{Error, Result};
use crate::launchers;
use crate::memory::{Ptr, PtrMut};
use crate::ops::knn::Vectors;
use crate::ops::rows::{self, Rows};
use crate::resources::Context;

/// How the nearest are found. One chooser, [`Strategy::choose`]; the tests run all of them against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Products by cuBLAS, a tile of them in memory at a time.
    Product,
}

impl Strategy {
    pub const ALL: [Strategy; 1] = [Strategy::Product];

    pub fn choose(_context: &Context<'_>) -> Strategy {
        Strategy::Product
    }
}

/// The number of the nearest centroid of each row, by L2 or inner product; the lower number of equally near ones; -1 for a
/// row that is near to none, as one with NaN is. `distances`, where wanted, are computed by differences.
pub fn nearest(
    context: &Context<'_>,
    rows: Ptr<f32>,
    count: usize,
    centroids: &Vectors,
    metric: MetricType,
    out: PtrMut<i32>,
    distances: Option<PtrMut<f32>>,
) -> Result<()> {
    nearest_by(context, Strategy::choose(context), rows, count, centroids, metric, out, distances)
}

/// [`nearest`] by a given strategy.
#[allow(clippy::too_many_arguments)]
pub fn nearest_by(
    context: &Context<'_>,
    strategy: Strategy,
    rows: Ptr<f32>,
    count: usize,
    centroids: &Vectors,
    metric: MetricType,
    out: PtrMut<i32>,
    distances: Option<PtrMut<f32>>,
) -> Result<()> {
    let linear = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
    if !linear || centroids.count > i32::MAX as usize || centroids.allowed.is_some() {
        return Err(Error::invalid(format!(
            "{} centroids by {metric:?}: assignment is by L2 or inner product to at most 2^31 centroids",
            centroids.count
        )));
    }
    if centroids.count == 0 {
        rows::fill(context, out, -1, count)?;
    } else {
        match strategy {
            Strategy::Product => by_products(context, rows, count, centroids, metric, out)?,
        }
    }
    let Some(distances) = distances else { return Ok(()) };
    let (inner, d, n) = (u32::from(metric.is_similarity()), centroids.d as u32, count as i64);
    let launch = context.stride(count, 8);
    match centroids.rows {
        Rows::F32(c) => launchers::assigned_distances(launch, rows, c, out.read(), d, inner, distances, n),
        Rows::F16(c) => launchers::assigned_distances(launch, rows, c, out.read(), d, inner, distances, n),
    }
}

/// Products in memory at a time.
const TILE: usize = 16 << 20;

fn by_products(
    context: &Context<'_>,
    rows: Ptr<f32>,
    count: usize,
    centroids: &Vectors,
    metric: MetricType,
    out: PtrMut<i32>,
) -> Result<()> {
    let d = centroids.d;
    let (wide, _wide) = rows::as_f32(context, centroids.rows, centroids.count, d)?;
    let mut own_norms = context.take(if centroids.norms.is_none() { centroids.count } else { 0 })?;
    let (scale, norms) = match (metric, centroids.norms) {
        (MetricType::InnerProduct, _) => (-1.0, None),
        (_, Some(norms)) => (-2.0, Some(norms)),
        (_, None) => {
            rows::norms(context, centroids.rows, own_norms.ptr_mut(), centroids.count, d)?;
            (-2.0, Some(own_norms.ptr()))
        }
    };
    let columns = centroids.count.min(TILE / 128);
    let tile_rows = (TILE / columns).min(count).max(1);
    let mut products = context.take::<f32>(tile_rows * columns)?;
    let mut values = context.take::<f32>(tile_rows)?;
    for first in (0..count).step_by(tile_rows) {
        let here = tile_rows.min(count - first);
        for column in (0..centroids.count).step_by(columns) {
            let (x, y, now) = (rows.at(first * d), wide.at(column * d), columns.min(centroids.count - column));
            let at = products.ptr_mut();
            context.blas.products(context.stream, scale, x, here, y, now, d, at, columns)?;
            launchers::argmin_rows(
                context.stride(here, 8),
                at.read(),
                columns as i64,
                now as u32,
                norms.map_or(Ptr::null(), |n| n.at(column)),
                column as u32,
                values.ptr_mut(),
                out.at(first),
                here as i64,
            )?;
        }
    }
    Ok(())
}
