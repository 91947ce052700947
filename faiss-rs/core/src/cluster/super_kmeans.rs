//! k-means under the names of SuperKMeans (Kuffo and Boncz, 2025), which leaves out distances that most likely do not matter. Here none is left
//! out: the matrix products of all distances are fast enough, and the results are exact.

use std::sync::atomic::{AtomicUsize, Ordering};

use faiss_derive::{Object, functions, methods};
use parking_lot::Mutex;

use super::{Clustering, ClusteringIterationStats, ClusteringParameters, stats_table};
use crate::base::declare::Rows;
use crate::base::{Error, Result, threads};
use crate::index::flat_l2::IndexFlatL2;
use crate::registry::Row;
use crate::simd;

pub use declared::*;

/// Parameters of SuperKMeans. Those beyond [`ClusteringParameters`] say what it leaves out, which here is nothing.
#[derive(Object, Clone)]
#[object(new, copy)]
pub struct SuperKMeansParameters {
    /// What all clusterings take.
    #[object(parent)]
    pub cp: ClusteringParameters,
    /// First dimensions whose products are computed for all pairs, as a part of all.
    #[object(default = 0.125)]
    pub d_prime_fraction: f32,
    /// The least number of them; vectors have twice as many dimensions.
    #[object(default = 16)]
    pub d_prime_min: i32,
    /// By which part their number changes from round to round.
    #[object(default = 0.2)]
    pub d_prime_adjust: f32,
    /// The part of pairs that should be left out, at least.
    #[object(default = 0.95)]
    pub pruning_target_low: f32,
    /// The same, at most.
    #[object(default = 0.97)]
    pub pruning_target_high: f32,
    /// How sure it must be that a pair does not matter.
    #[object(default = 1.0)]
    pub ad_epsilon_factor: f32,
    /// Centroids of a block.
    #[object(default = 64)]
    pub pdx_block_size: i32,
    /// Vectors of a batch.
    #[object(default = 4096)]
    pub x_batch: i32,
    /// Centroids of a batch.
    #[object(default = 1024)]
    pub y_batch: i32,
    /// Vectors that a thread takes at a time.
    #[object(default = 8)]
    pub omp_chunk: i32,
}

pub(crate) const PARAMETERS: Row = Row::of::<SuperKMeansParameters>();

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
    /// What each iteration did.
    #[object(skip)]
    pub iteration_stats: Vec<ClusteringIterationStats>,
}

pub(crate) const ROW: Row = Row::of::<SuperKMeans>();

#[methods]
impl SuperKMeans {
    /// `k` clusters of vectors of `d` numbers.
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

/// One vector against all centroids: dimension after dimension, as far as it may still be nearer than what is known, `tau`. Returns how many
/// centroids were given up after the first dimensions.
fn assign_one(
    x: &[f32],
    centroids: &[f32],
    ends: &[usize],
    ad_coeff: &[f32],
    tau: &mut f32,
    assignment: &mut i32,
) -> usize {
    let (d, mut passed) = (x.len(), 0);
    for (j, centroid) in centroids.chunks_exact(d).enumerate() {
        let (mut distance, mut first, mut kept) = (0f32, 0, true);
        for end in ends {
            distance += simd::fvec_L2sqr(&x[first..*end], &centroid[first..*end]);
            if *end < d && distance > *tau * ad_coeff[*end] {
                passed += usize::from(*end == ends[0]);
                kept = false;
                break;
            }
            first = *end;
        }
        if kept && distance < *tau {
            (*tau, *assignment) = (distance, j as i32);
        }
    }
    passed
}

#[functions]
mod declared {
    use super::*;

    /// One round of assignments with pruning: vectors X_tilde and centroids Y_tilde, both rotated alike, of which the first d_prime dimensions are
    /// looked at first and then cp.pdx_block_size more at a time, until a distance is larger than ad_coeff of the number of dimensions times the
    /// smallest known one. tau and assignments are what is known, and become what is found. The numbers of pairs, and of those that were given up
    /// after d_prime dimensions, are written where they are wanted.
    #[name = "_super_kmeans_assign_iteration"]
    pub fn super_kmeans_assign_iteration(
        #[len = n * d] X_tilde: &[f32],
        n: usize,
        d: usize,
        #[len = k * d] Y_tilde: &[f32],
        k: usize,
        #[len = n] tau: &mut [f32],
        #[len = n] assignments: &mut [i32],
        d_prime: usize,
        #[len = d + 1] ad_coeff: &[f32],
        cp: &SuperKMeansParameters,
        #[len = 1] total_pairs: Option<&mut [i64]>,
        #[len = 1] pruned_at_gemm: Option<&mut [i64]>,
    ) -> Result<()> {
        if d_prime == 0 || d_prime >= d {
            return Err(Error::failed("!(d_prime < d)", format!("d_prime is {d_prime} of {d} dimensions")));
        }
        let step = usize::try_from(cp.pdx_block_size).unwrap_or(0).max(1);
        let ends: Vec<usize> = (d_prime..d).step_by(step).chain([d]).collect();
        let passed = AtomicUsize::new(0);
        let rows: Vec<Mutex<(&mut f32, &mut i32)>> = tau.iter_mut().zip(assignments).map(Mutex::new).collect();
        threads::parallel_for(n, |i| {
            let (tau, assignment) = &mut *rows[i].lock();
            let own = assign_one(&X_tilde[i * d..(i + 1) * d], Y_tilde, &ends, ad_coeff, tau, assignment);
            passed.fetch_add(own, Ordering::Relaxed);
            Ok(())
        })?;
        for (out, count) in [(total_pairs, n.saturating_mul(k)), (pruned_at_gemm, passed.into_inner())] {
            if let Some([out]) = out {
                *out = count as i64;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_pruned_is_found_exactly() {
        let (n, d, k) = (50, 12, 9);
        let (mut x, mut y) = (vec![0f32; n * d], vec![0f32; k * d]);
        crate::random::float_rand(&mut x, 1).unwrap();
        crate::random::float_rand(&mut y, 2).unwrap();
        let cp = SuperKMeansParameters { pdx_block_size: 3, ..Default::default() };
        // Nothing is pruned but what can't be nearer.
        let (mut tau, mut assignments) = (vec![f32::MAX; n], vec![-1; n]);
        let (mut pairs, mut pruned) = ([0i64], [0i64]);
        super_kmeans_assign_iteration(
            &x,
            n,
            d,
            &y,
            k,
            &mut tau,
            &mut assignments,
            4,
            &[1.0; 13],
            &cp,
            Some(&mut pairs),
            Some(&mut pruned),
        )
        .unwrap();
        assert_eq!(pairs, [(n * k) as i64]);
        assert!(pruned[0] > 0 && pruned < pairs);
        for i in 0..n {
            let distance = |j: usize| simd::fvec_L2sqr(&x[i * d..(i + 1) * d], &y[j * d..(j + 1) * d]);
            let best = (0..k).map(distance).fold(f32::INFINITY, f32::min);
            assert!((tau[i] - best).abs() < 1e-5 && (distance(assignments[i] as usize) - best).abs() < 1e-5);
        }
        // All is pruned.
        let none = [0.0; 13];
        let before = assignments.clone();
        let mut again = |d_prime| {
            super_kmeans_assign_iteration(
                &x,
                n,
                d,
                &y,
                k,
                &mut tau,
                &mut assignments,
                d_prime,
                &none,
                &cp,
                None,
                Some(&mut pruned),
            )
        };
        again(4).unwrap();
        assert!(again(12).is_err() && again(0).is_err());
        assert_eq!((pruned, assignments), (pairs, before));
    }
}
