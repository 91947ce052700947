//! The nearest centroid of each row, by L2 or inner product.

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
    /// Differences, for rows of few numbers, or parts of rows.
    Differences,
    /// Products by cuBLAS, a tile of them in memory at a time.
    Product,
}

/// From this many numbers a row on, matrix products pay.
const PRODUCT_FROM: usize = 16;

impl Strategy {
    pub const ALL: [Strategy; 2] = [Strategy::Differences, Strategy::Product];

    pub fn choose(_context: &Context<'_>, of: Parts) -> Strategy {
        if of.parts > 1 || of.stride != of.d || of.d < PRODUCT_FROM { Strategy::Differences } else { Strategy::Product }
    }
}

/// Part p of row r has `d` numbers from `rows[r * stride + p * d]` on.
#[derive(Clone, Copy)]
pub struct Parts {
    pub rows: Ptr<f32>,
    pub count: usize,
    pub stride: usize,
    pub parts: usize,
    pub d: usize,
}

impl Parts {
    /// Whole rows.
    pub fn whole(rows: Ptr<f32>, count: usize, d: usize) -> Parts {
        Parts { rows, count, stride: d, parts: 1, d }
    }
}

/// The number of the nearest centroid of each row; the lower number of equally near ones; -1 for a row that is near to none,
/// as one with NaN is. `distances`, where wanted, are computed by differences.
pub fn nearest(
    context: &Context<'_>,
    rows: Ptr<f32>,
    count: usize,
    centroids: &Vectors,
    metric: MetricType,
    out: PtrMut<i32>,
    distances: Option<PtrMut<f32>>,
) -> Result<()> {
    let of = Parts::whole(rows, count, centroids.d);
    nearest_by(context, Strategy::choose(context, of), of, centroids, metric, out, distances)
}

/// [`nearest`] by a given strategy, of parts.
pub fn nearest_by(
    context: &Context<'_>,
    strategy: Strategy,
    of: Parts,
    centroids: &Vectors,
    metric: MetricType,
    out: PtrMut<i32>,
    distances: Option<PtrMut<f32>>,
) -> Result<()> {
    if centroids.allowed.is_some() {
        return Err(Error::invalid("rows are assigned to all centroids"));
    }
    let (wide, _wide) = rows::as_f32(context, centroids.rows, centroids.count, centroids.d)?;
    let points = Points::new(context, strategy, of, centroids.count / of.parts.max(1))?;
    points.nearest(wide, centroids.norms, metric, out, distances)
}

/// Rows that are assigned again and again to other centroids, `k` of each part.
pub struct Points<'a> {
    context: &'a Context<'a>,
    strategy: Strategy,
    of: Parts,
    k: usize,
}

impl<'a> Points<'a> {
    pub fn new(context: &'a Context<'_>, strategy: Strategy, of: Parts, k: usize) -> Result<Points<'a>> {
        let (parts, count) = (of.parts, of.count);
        let small = |n: Option<usize>| n.is_some_and(|n| n < i32::MAX as usize);
        if !small(k.checked_mul(parts)) || count >= u32::MAX as usize || !small(Some(of.stride)) {
            return Err(Error::invalid(format!(
                "assignment of {parts} x {count} rows to {k} centroids each is out of range"
            )));
        }
        Ok(Points { context, strategy, of, k })
    }

    /// The numbers of the nearest, those of each part together and counted over all parts.
    pub fn nearest(
        &self,
        centroids: Ptr<f32>,
        norms: Option<Ptr<f32>>,
        metric: MetricType,
        labels: PtrMut<i32>,
        distances: Option<PtrMut<f32>>,
    ) -> Result<()> {
        let (context, of) = (self.context, self.of);
        if !matches!(metric, MetricType::L2 | MetricType::InnerProduct) {
            return Err(Error::invalid(format!("assignment is by L2 or inner product, not {metric:?}")));
        }
        if self.k == 0 {
            rows::fill(context, labels, -1, of.parts * of.count)?;
        } else {
            match self.strategy {
                Strategy::Differences => return self.by_differences(centroids, metric, labels, distances),
                _ if of.parts != 1 || of.stride != of.d => {
                    return Err(Error::invalid("only differences assign parts of rows"));
                }
                Strategy::Product => self.by_products(centroids, norms, metric, labels)?,
            }
        }
        let Some(distances) = distances else { return Ok(()) };
        let (inner, d, n) = (u32::from(metric.is_similarity()), of.d as u32, of.count as i64);
        let launch = context.stride(of.count, 8);
        launchers::assigned_distances(launch, of.rows, centroids, labels.read(), d, inner, distances, n)
    }

    fn by_differences(
        &self,
        centroids: Ptr<f32>,
        metric: MetricType,
        labels: PtrMut<i32>,
        distances: Option<PtrMut<f32>>,
    ) -> Result<()> {
        let (context, of) = (self.context, self.of);
        let mut own = context.take(if distances.is_none() { of.parts * of.count } else { 0 })?;
        launchers::part_nearest(
            context.launch(of.parts * of.count.div_ceil(64)),
            of.rows,
            centroids,
            of.count as u32,
            of.stride as u32,
            of.parts as u32,
            of.d as u32,
            self.k as u32,
            u32::from(metric.is_similarity()),
            distances.unwrap_or(own.ptr_mut()),
            labels,
        )
    }

    fn by_products(
        &self,
        centroids: Ptr<f32>,
        norms: Option<Ptr<f32>>,
        metric: MetricType,
        labels: PtrMut<i32>,
    ) -> Result<()> {
        let (context, of, k) = (self.context, self.of, self.k);
        let mut own_norms = context.take(if norms.is_none() { k } else { 0 })?;
        let (scale, norms) = match (metric, norms) {
            (MetricType::InnerProduct, _) => (-1.0, None),
            (_, Some(norms)) => (-2.0, Some(norms)),
            (_, None) => {
                rows::norms(context, Rows::F32(centroids), own_norms.ptr_mut(), k, of.d)?;
                (-2.0, Some(own_norms.ptr()))
            }
        };
        let columns = k.min(TILE / 128);
        let tile_rows = (TILE / columns).min(of.count).max(1);
        let mut products = context.take::<f32>(tile_rows * columns)?;
        let mut values = context.take::<f32>(tile_rows)?;
        for first in (0..of.count).step_by(tile_rows) {
            let here = tile_rows.min(of.count - first);
            for column in (0..k).step_by(columns) {
                let (x, y) = (of.rows.at(first * of.d), centroids.at(column * of.d));
                let (now, at) = (columns.min(k - column), products.ptr_mut());
                context.blas.products(context.stream, scale, x, here, y, now, of.d, at, columns)?;
                launchers::argmin_rows(
                    context.stride(here, 8),
                    at.read(),
                    columns as i64,
                    now as u32,
                    norms.map_or(Ptr::null(), |n| n.at(column)),
                    column as u32,
                    values.ptr_mut(),
                    labels.at(first),
                    here as i64,
                )?;
            }
        }
        Ok(())
    }
}

/// Products in memory at a time.
const TILE: usize = 16 << 20;
