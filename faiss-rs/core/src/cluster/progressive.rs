//! k-means in growing dimensions: the first principal component is clustered, then the first few, each time from the centroids before.

use faiss_derive::{Object, methods};

use super::{Clustering, ClusteringIterationStats, ClusteringParameters, stats_table};
use crate::base::declare::Rows;
use crate::base::{Error, Object, Result, Shared};
use crate::blas::{Product, principal_components};
use crate::index::Index;
use crate::index::flat_l2::IndexFlatL2;
use crate::random::rand_perm_prefix;
use crate::registry::Row;

/// How a clustering in growing dimensions is trained.
#[derive(Object, Clone)]
#[object(new, copy)]
pub struct ProgressiveDimClusteringParameters {
    /// What all clusterings take.
    #[object(parent, default = ClusteringParameters { niter: 10, ..Default::default() })]
    pub cp: ClusteringParameters,
    /// Number of steps from one dimension to all.
    #[object(default = 10)]
    pub progressive_dim_steps: i32,
    /// Whether the dimensions are the principal components rather than the given ones.
    #[object(default = true)]
    pub apply_pca: bool,
}

pub(crate) const PARAMETERS: Row = Row::of::<ProgressiveDimClusteringParameters>();

/// Gives the index that assigns points to centroids in each step.
pub trait DimIndexFactory: Object {
    /// An index of squared L2 distances between vectors of `dim` numbers.
    fn index(&self, dim: usize) -> Result<Shared<dyn Index>>;
}

crate::view!(DimIndexFactory, "ProgressiveDimIndexFactory");

/// Gives indexes of the CPU.
#[derive(Object, Clone, Default)]
#[object(methods, implements(DimIndexFactory), copy)]
pub struct ProgressiveDimIndexFactory {}

pub(crate) const FACTORY: Row = Row::of::<ProgressiveDimIndexFactory>();

#[methods(new)]
impl ProgressiveDimIndexFactory {}

impl DimIndexFactory for ProgressiveDimIndexFactory {
    fn index(&self, dim: usize) -> Result<Shared<dyn Index>> {
        Ok(Shared::new(IndexFlatL2::new(dim as i64)?))
    }
}

/// k-means whose dimensions grow step by step.
#[derive(Object, Default, Clone)]
#[object(methods, copy)]
pub struct ProgressiveDimClustering {
    /// The parameters.
    #[object(parent)]
    pub parameters: ProgressiveDimClusteringParameters,
    /// Dimension of the vectors.
    pub d: usize,
    /// Number of centroids.
    pub k: usize,
    /// The centroids, `k * d` numbers.
    pub centroids: Vec<f32>,
    /// One entry a round, over all steps.
    #[object(skip)]
    pub iteration_stats: Vec<ClusteringIterationStats>,
}

pub(crate) const ROW: Row = Row::of::<ProgressiveDimClustering>();

#[methods]
impl ProgressiveDimClustering {
    #[new]
    fn of(d: usize, k: usize, #[default = None] cp: Option<&ProgressiveDimClusteringParameters>) -> Self {
        let parameters = cp.cloned().unwrap_or_default();
        ProgressiveDimClustering { parameters, d, k, ..Default::default() }
    }

    /// One row a round: obj, time, time_search, imbalance_factor, nsplit.
    fn iteration_stats_table(&self) -> Rows<f64> {
        stats_table(&self.iteration_stats)
    }

    /// Trains the centroids on vectors (n, d). The factory gives the indexes that assign points to centroids.
    pub fn train(&mut self, x: &[f32], factory: &dyn DimIndexFactory) -> Result<()> {
        let (d, k) = (self.d, self.k);
        Error::check(d > 0 && x.len().is_multiple_of(d), "x.size() % d == 0")?;
        let rotation = if self.apply_pca { Some(Rotation::of(x, d)?) } else { None };
        let rotated = rotation.as_ref().map(|r| r.apply(x)).transpose()?;
        let x = rotated.as_deref().unwrap_or(x);
        let (mut centroids, mut before, mut stats) = (Vec::new(), 0, Vec::new());
        let steps = self.progressive_dim_steps.max(1);
        for step in 1..=steps {
            let dim = (d as f64).powf(f64::from(step) / f64::from(steps)) as usize;
            // The last power may round to a little less than d.
            let dim = if step == steps { d } else { dim.clamp(1, d) };
            let mut clustering = Clustering { cp: self.cp.clone(), ..Clustering::new(dim, k) };
            clustering.centroids = columns(&centroids, before, dim);
            let index = factory.index(dim)?;
            clustering.train(&columns(x, d, dim), &mut *index.write(), None)?;
            (centroids, before) = (clustering.centroids, dim);
            stats.append(&mut clustering.iteration_stats);
        }
        if let Some(rotation) = rotation {
            centroids = rotation.reverse(&centroids)?;
        }
        (self.centroids, self.iteration_stats) = (centroids, stats);
        Ok(())
    }
}

/// Rows of `from` numbers as rows of `to`, cut or filled up by zeros.
fn columns(x: &[f32], from: usize, to: usize) -> Vec<f32> {
    if from == 0 {
        return Vec::new();
    }
    let mut out = vec![0.0; x.len() / from * to];
    for (row, out) in x.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        let common = from.min(to);
        out[..common].copy_from_slice(&row[..common]);
    }
    out
}

/// To the principal components and back, in the order of sums that Faiss's transform has: k-means is chaotic, and what is rounded otherwise
/// grows.
struct Rotation {
    d: usize,
    /// The components, one a row, and what is added along each.
    vectors: Vec<f32>,
    bias: Vec<f32>,
}

impl Rotation {
    /// The most vectors a dimension that components are found from, and the seed of the sample: those of `PCAMatrix`.
    const MAX_POINTS_PER_D: usize = 1000;
    const SEED: i64 = 1234;

    fn of(x: &[f32], d: usize) -> Result<Self> {
        let (n, most) = (x.len() / d, d * Self::MAX_POINTS_PER_D);
        let components = if n > most {
            let chosen = rand_perm_prefix(n, most, Self::SEED);
            let rows: Vec<f32> = chosen.iter().flat_map(|i| &x[*i as usize * d..][..d]).copied().collect();
            principal_components(&rows, most, d)?
        } else {
            principal_components(x, n, d)?
        };
        let (mean, vectors) = (components.mean, components.vectors);
        let along = |row: &[f32]| row.iter().zip(&mean).fold(0f32, |sum, (a, m)| sum - m * a);
        Ok(Rotation { d, bias: vectors.chunks_exact(d).map(along).collect(), vectors })
    }

    fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let (n, d, out_d) = (x.len() / self.d, self.d, self.bias.len());
        let mut y = self.bias.repeat(n);
        Product { transpose_b: true, beta: 1.0, ..Product::of(x, &self.vectors) }.write(n, out_d, d, &mut y)?;
        // Fewer vectors than dimensions have fewer components; the others are 0.
        Ok(columns(&y, out_d, d))
    }

    fn reverse(&self, y: &[f32]) -> Result<Vec<f32>> {
        let (n, d, out_d) = (y.len() / self.d, self.d, self.bias.len());
        let y = columns(y, d, out_d);
        let centered: Vec<f32> =
            y.chunks_exact(out_d).flat_map(|row| row.iter().zip(&self.bias).map(|(v, b)| v - b)).collect();
        let mut x = vec![0.0; n * d];
        Product::of(&centered, &self.vectors).write(n, d, out_d, &mut x)?;
        Ok(x)
    }
}
