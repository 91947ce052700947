//! The nearest centroid of each row, by L2 or inner product.

use faiss_core::base::MetricType;

use crate::device::DeviceProperties;
use crate::error::{Error, Result};
use crate::launchers;
use crate::memory::{Ptr, PtrMut};
use crate::ops::knn::Vectors;
use crate::ops::rows::{self, Rows};
use crate::ops::split::{ProvenRows, SplitRows};
use crate::resources::Context;

/// How the nearest are found. One chooser, [`Strategy::choose`]; the tests run all of them against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Differences, for rows of few numbers, or parts of rows.
    Differences,
    /// Products by cuBLAS, a tile of them in memory at a time.
    Product,
    /// Products of split numbers by matrix units, never written; from compute capability 8.0 on.
    Split,
    /// One product of rounded numbers, proven, and those of split ones for rows that it does not prove.
    Proven,
}

/// From this many numbers a row on, matrix products pay.
const PRODUCT_FROM: usize = 16;
/// From this many centroids on, the split of the rows pays.
const SPLIT_FROM: usize = 32;

impl Strategy {
    pub const ALL: [Strategy; 4] = [Strategy::Differences, Strategy::Product, Strategy::Split, Strategy::Proven];

    /// Whether a device has what it takes.
    pub fn runs_on(self, properties: &DeviceProperties) -> bool {
        !self.splits() || launchers::available::nearest_split(properties.capability())
    }

    fn splits(self) -> bool {
        matches!(self, Strategy::Split | Strategy::Proven)
    }

    /// The fastest for `k` centroids.
    pub fn choose(context: &Context<'_>, of: Parts, k: usize) -> Strategy {
        if of.parts > 1 || of.stride != of.d || of.d < PRODUCT_FROM {
            Strategy::Differences
        } else if k >= SPLIT_FROM && Strategy::Proven.runs_on(context.properties) {
            Strategy::Proven
        } else {
            Strategy::Product
        }
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
    let strategy = Strategy::choose(context, of, centroids.count);
    nearest_by(context, strategy, of, centroids, metric, out, distances)
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
    let k = centroids.count / of.parts.max(1);
    // The split is a copy of the rows: of so many at a time.
    let most = if strategy.splits() { (SPLIT_ROWS / of.d.max(1)).max(1) } else { of.count.max(1) };
    for first in (0..of.count).step_by(most) {
        let now = Parts { rows: of.rows.at(first * of.stride), count: most.min(of.count - first), ..of };
        let points = Points::new(context, strategy, now, k, metric)?;
        points.nearest(wide, out.at(first), distances.map(|d| d.at(first)))?;
    }
    Ok(())
}

/// Numbers of the rows that are split at a time.
const SPLIT_ROWS: usize = 32 << 20;

/// Rows that are assigned again and again to other centroids, `k` of each part.
pub struct Points<'a> {
    context: &'a Context<'a>,
    strategy: Strategy,
    of: Parts,
    k: usize,
    metric: MetricType,
    made: Made<'a>,
}

/// What the rows are made into once.
enum Made<'a> {
    Nothing,
    Split(SplitRows<'a>),
    Proven(ProvenRows<'a>),
}

impl<'a> Points<'a> {
    pub fn new(
        context: &'a Context<'_>,
        strategy: Strategy,
        of: Parts,
        k: usize,
        metric: MetricType,
    ) -> Result<Points<'a>> {
        let (parts, count) = (of.parts, of.count);
        let small = |n: Option<usize>| n.is_some_and(|n| n < i32::MAX as usize);
        if !small(k.checked_mul(parts)) || count >= u32::MAX as usize || !small(Some(of.stride)) {
            return Err(Error::invalid(format!(
                "assignment of {parts} x {count} rows to {k} centroids each is out of range"
            )));
        }
        if !matches!(metric, MetricType::L2 | MetricType::InnerProduct) {
            return Err(Error::invalid(format!("assignment is by L2 or inner product, not {metric:?}")));
        }
        if strategy != Strategy::Differences && (parts != 1 || of.stride != of.d) {
            return Err(Error::invalid("only differences assign parts of rows"));
        }
        let made = match strategy {
            _ if count == 0 || k == 0 => Made::Nothing,
            Strategy::Split => Made::Split(SplitRows::new(context, of.rows, count, of.d, metric)?),
            Strategy::Proven => Made::Proven(ProvenRows::new(context, of.rows, count, of.d, metric)?),
            Strategy::Differences | Strategy::Product => Made::Nothing,
        };
        Ok(Points { context, strategy, of, k, metric, made })
    }

    /// The numbers of the nearest, those of each part together and counted over all parts.
    pub fn nearest(&self, centroids: Ptr<f32>, labels: PtrMut<i32>, distances: Option<PtrMut<f32>>) -> Result<()> {
        let (context, of, metric) = (self.context, self.of, self.metric);
        if self.k == 0 {
            rows::fill(context, labels, -1, of.parts * of.count)?;
        } else {
            match &self.made {
                Made::Split(rows) => rows.nearest(context, centroids, self.k, labels)?,
                Made::Proven(rows) => rows.nearest(context, centroids, self.k, labels)?,
                Made::Nothing if self.strategy == Strategy::Differences => {
                    return self.by_differences(centroids, metric, labels, distances);
                }
                Made::Nothing => self.by_products(centroids, metric, labels)?,
            }
        }
        if matches!(self.made, Made::Split(_) | Made::Proven(_)) && metric.is_similarity() {
            let (launch, k, d) = (context.stride(of.count, 8), self.k as u32, of.d as u32);
            launchers::label_rest(launch, of.rows, centroids, k, d, labels, of.count as i64)?;
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

    fn by_products(&self, centroids: Ptr<f32>, metric: MetricType, labels: PtrMut<i32>) -> Result<()> {
        let (context, of, k) = (self.context, self.of, self.k);
        let inner = metric.is_similarity();
        let mut norms = context.take(if inner { 0 } else { k })?;
        if !inner {
            rows::norms(context, Rows::F32(centroids), norms.ptr_mut(), k, of.d)?;
        }
        let scale = if inner { -1.0 } else { -2.0 };
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
                    if inner { Ptr::null() } else { norms.ptr().at(column) },
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
