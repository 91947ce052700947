//! k-means under the names of SuperKMeans (Kuffo and Boncz, 2025), which leaves out distances that most likely do not matter. Here none is left
//! out: the matrix products of all distances are fast enough, and the results are exact.

use faiss_derive::{Object, methods};

use super::{Clustering, ClusteringIterationStats, ClusteringParameters, stats_table};
use crate::base::declare::Rows;
use crate::base::{Error, Result};
use crate::index::flat_l2::IndexFlatL2;
use crate::registry::Row;

/// Parameters of SuperKMeans. Those beyond [`ClusteringParameters`] say what it leaves out, which here is nothing.
#[derive(Object, Clone)]
#[object(new, copy)]
pub struct SuperKMeansParameters {
    #[object(parent)]
    pub cp: ClusteringParameters,
    /// First dimensions whose products are computed for all pairs, as a part of all.
    pub d_prime_fraction: f32,
    /// The least number of them; vectors have twice as many dimensions.
    pub d_prime_min: i32,
    /// By which part their number changes from round to round.
    pub d_prime_adjust: f32,
    /// The part of pairs that should be left out, at least.
    pub pruning_target_low: f32,
    /// The same, at most.
    pub pruning_target_high: f32,
    /// How sure it must be that a pair does not matter.
    pub ad_epsilon_factor: f32,
    /// Centroids of a block.
    pub pdx_block_size: i32,
    /// Vectors of a batch.
    pub x_batch: i32,
    /// Centroids of a batch.
    pub y_batch: i32,
    /// Vectors that a thread takes at a time.
    pub omp_chunk: i32,
}

pub const PARAMETERS: Row = Row::of::<SuperKMeansParameters>();

impl Default for SuperKMeansParameters {
    fn default() -> Self {
        SuperKMeansParameters {
            cp: ClusteringParameters::default(),
            d_prime_fraction: 0.125,
            d_prime_min: 16,
            d_prime_adjust: 0.2,
            pruning_target_low: 0.95,
            pruning_target_high: 0.97,
            ad_epsilon_factor: 1.0,
            pdx_block_size: 64,
            x_batch: 4096,
            y_batch: 1024,
            omp_chunk: 8,
        }
    }
}

/// k-means by squared L2 distance, of vectors of many dimensions.
#[derive(Object, Default, Clone)]
#[object(methods, copy)]
pub struct SuperKMeans {
    /// Dimension of the vectors.
    pub d: i32,
    /// Number of centroids.
    pub k: i32,
    /// How the clustering is trained.
    pub cp: SuperKMeansParameters,
    /// The centroids, `k * d` numbers.
    pub centroids: Vec<f32>,
    /// The part of pairs left out in each round: 0.
    pub gemm_pruning_rates: Vec<f32>,
    #[object(skip)]
    pub iteration_stats: Vec<ClusteringIterationStats>,
}

pub const ROW: Row = Row::of::<SuperKMeans>();

#[methods]
impl SuperKMeans {
    #[new]
    pub fn new(d: i32, k: i32, #[default = None] cp: Option<&SuperKMeansParameters>) -> Result<Self> {
        let cp = cp.cloned().unwrap_or_default();
        if k <= 0 {
            return Err(Error::failed("!(k > 0)", "SuperKMeans: k must be positive"));
        }
        if i64::from(d) < 2 * i64::from(cp.d_prime_min) {
            let message = format!("SuperKMeans: d ({d}) must be >= 2 * d_prime_min ({})", cp.d_prime_min);
            return Err(Error::failed("d >= 2 * cp.d_prime_min", message));
        }
        Ok(SuperKMeans { d, k, cp, ..Default::default() })
    }

    /// One row a round: obj, time, time_search, imbalance_factor, nsplit.
    fn iteration_stats_table(&self) -> Rows<f64> {
        stats_table(&self.iteration_stats)
    }

    /// Computes the centroids of vectors (n, d).
    pub fn train(&mut self, x: &[f32]) -> Result<()> {
        let (d, k) = (usize::try_from(self.d).unwrap_or(0), usize::try_from(self.k).unwrap_or(0));
        Error::check(d > 0 && x.len().is_multiple_of(d), "x.size() % d == 0")?;
        if x.len() / d < k {
            return Err(Error::failed("!(n >= static_cast<idx_t>(k))", "SuperKMeans: n must be >= k"));
        }
        let mut clustering = Clustering { cp: self.cp.cp.clone(), ..Clustering::new(d, k) };
        clustering.train(x, &mut IndexFlatL2::new(d as i64)?, None)?;
        (self.centroids, self.iteration_stats) = (clustering.centroids, clustering.iteration_stats);
        self.gemm_pruning_rates = vec![0.0; self.iteration_stats.len()];
        Ok(())
    }
}
