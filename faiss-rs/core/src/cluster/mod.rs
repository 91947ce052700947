//! k-means clustering. Sees the layers below and the [`Index`] trait, by which points find their centroid.

mod exact;
pub mod initialization;
mod parameters;
pub mod progressive;
pub mod super_kmeans;
pub mod thresholds;
mod update;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use faiss_derive::{Object, methods};

use crate::base::declare::Rows;
use crate::base::{Error, Result, interrupt, progress, threads};
use crate::index::Index;
use crate::index::flat_l2::IndexFlatL2;
use crate::random::{SplitMix64RandomGenerator, rand_perm_prefix};
use crate::registry::Row;
use crate::simd;

pub(crate) use exact::ROW as ONE_DIMENSION;
pub use exact::{Clustering1D, kmeans1d};
pub use initialization::ClusteringInitialization;
pub use parameters::ClusteringParameters;
pub(crate) use parameters::ROW as PARAMETERS;
pub use update::{imbalance_factor, split_clusters};

/// What one round of the clustering was like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClusteringIterationStats {
    /// Sum of the points' distances to their centroids.
    pub obj: f32,
    /// Seconds since the clustering began, and of them in searches.
    pub time: f64,
    /// Seconds of them in searches.
    pub time_search: f64,
    /// 1 where all clusters are of one size, larger where they are not.
    pub imbalance_factor: f64,
    /// Number of empty clusters that took a half of another.
    pub nsplit: i32,
}

/// One row a round: obj, time, time_search, imbalance_factor, nsplit.
fn stats_table(stats: &[ClusteringIterationStats]) -> Rows<f64> {
    let row = |s: &ClusteringIterationStats| {
        [f64::from(s.obj), s.time, s.time_search, s.imbalance_factor, f64::from(s.nsplit)]
    };
    Rows(stats.iter().flat_map(row).collect(), 5)
}

/// k-means over d-dimensional vectors.
///
/// `train(x, index)` clusters (n, d) float32; `index` is an empty one that finds the nearest centroid of each, and holds the centroids at the end.
/// `Kmeans` does all of that in one object.
#[derive(Object, Default, Clone)]
#[object(methods, copy)]
pub struct Clustering {
    /// What all clusterings take.
    #[object(parent)]
    pub cp: ClusteringParameters,
    /// Dimension of the vectors.
    pub d: usize,
    /// Number of centroids.
    pub k: usize,
    /// The centroids, `k * d` numbers. Those present before the training are its first ones.
    pub centroids: Vec<f32>,
    /// One entry a round, over all redos and all calls of `train`.
    #[object(skip)]
    pub iteration_stats: Vec<ClusteringIterationStats>,
}

pub(crate) const ROW: Row = Row::of::<Clustering>();

#[methods(new)]
impl Clustering {
    #[new]
    fn of(d: usize, k: usize, #[default = None] cp: Option<&ClusteringParameters>) -> Self {
        Clustering { cp: cp.cloned().unwrap_or_default(), ..Clustering::new(d, k) }
    }

    /// One row a round: obj, time, time_search, imbalance_factor, nsplit.
    fn iteration_stats_table(&self) -> Rows<f64> {
        stats_table(&self.iteration_stats)
    }

    /// Makes the centroids of unit length or whole numbers, as `spherical` and `int_centroids` say.
    fn post_process_centroids(&mut self) {
        let mut centroids = std::mem::take(&mut self.centroids);
        self.post_process(&mut centroids);
        self.centroids = centroids;
    }
}

impl Clustering {
    /// `k` clusters of vectors of `d` numbers.
    pub fn new(d: usize, k: usize) -> Self {
        Clustering { d, k, ..Default::default() }
    }

    /// Trains the centroids on `x`, with `index` to assign points to them; it ends up holding the centroids. `weights` are the points'.
    pub fn train(&mut self, x: &[f32], index: &mut dyn Index, weights: Option<&[f32]>) -> Result<()> {
        let (d, k) = (self.d, self.k);
        Error::check(d > 0 && k > 0, "d > 0 && k > 0")?;
        Error::check(x.len().is_multiple_of(d), "x.size() % d == 0")?;
        let nx = x.len() / d;
        if nx < k {
            let message =
                format!("Number of training points ({nx}) should be at least as large as number of clusters ({k})");
            return Err(Error::failed("nx >= k", message));
        }
        if index.base().dim() != d {
            return Err(Error::failed(
                "index.d == d",
                format!("Index dimension {} not the same as data dimension {d}", index.base().d),
            ));
        }
        Error::check(weights.is_none_or(|w| w.len() == nx), "weights.size() == nx")?;
        if weights.is_some_and(|w| w.iter().any(|w| !w.is_finite())) {
            return Err(Error::failed("std::isfinite(weights[i])", "weights contain NaN's or Inf's"));
        }
        Error::check(
            self.centroids.len().is_multiple_of(d) && self.centroids.len() <= k * d,
            "size of provided input centroids is a multiple of d, and no more than k",
        )?;
        if self.check_input_data_for_NaNs && !all_finite(x)? {
            return Err(Error::failed("std::isfinite(x[i])", "input contains NaN's or Inf's"));
        }
        let chosen = self.subsample(nx);
        let used = chosen.as_ref().map_or(nx, Vec::len);
        if used < k.saturating_mul(self.min_points_per_centroid.max(0) as usize) {
            eprintln!(
                "WARNING clustering {used} points to {k} centroids: please provide at least {} training points",
                k * self.min_points_per_centroid.max(0) as usize
            );
        }
        if used == k {
            // Every point is a centroid. Of a larger training set Faiss takes the first points here, not the sample, and so does this.
            self.centroids = x[..k * d].to_vec();
            self.iteration_stats.push(ClusteringIterationStats::default());
            index.reset()?;
            return index.add(&self.centroids);
        }
        let random = self.init_method == initialization::RANDOM;
        if random && index.cluster(self, x, chosen.as_deref(), weights)? {
            return Ok(());
        }
        let Some(chosen) = chosen else { return self.rounds(x, weights, index) };
        let rows: Vec<f32> = chosen.iter().flat_map(|p| &x[*p as usize * d..(*p as usize + 1) * d]).copied().collect();
        let weights: Option<Vec<f32>> = weights.map(|w| chosen.iter().map(|p| w[*p as usize]).collect());
        self.rounds(&rows, weights.as_deref(), index)
    }

    fn rounds(&mut self, x: &[f32], weights: Option<&[f32]>, index: &mut dyn Index) -> Result<()> {
        let (d, k, nx) = (self.d, self.k, x.len() / self.d);
        let mut given = std::mem::take(&mut self.centroids);
        let similarity = index.base().metric_type.is_similarity();
        let (mut labels, mut distances) = (vec![0i64; nx], vec![0f32; nx]);
        let mut best: Option<(f32, Vec<f32>)> = None;
        // What earlier calls of `train` told stays, as in Faiss.
        let mut told = self.iteration_stats.len();
        let started = Instant::now();
        let mut time_search = 0.0;
        for redo in 0..self.nredo.max(1) {
            let mut centroids = given.clone();
            for point in self.first_points(x, &given, redo)? {
                centroids.extend_from_slice(&x[point * d..(point + 1) * d]);
            }
            self.post_process(&mut centroids);
            index.reset()?;
            if !index.base().is_trained {
                index.train(&centroids)?;
            }
            index.add(&centroids)?;
            let mut stats: Vec<ClusteringIterationStats> = Vec::new();
            for round in 0..self.niter.max(0) {
                interrupt::check()?;
                progress::report("k-means", round as usize, self.niter as usize);
                let searched = Instant::now();
                index.search(x, 1, None, &mut distances, &mut labels)?;
                time_search += searched.elapsed().as_secs_f64();
                let obj = distances.iter().sum::<f32>();
                let frozen = if self.frozen_centroids { given.len() / d } else { 0 };
                let mut sizes = update::means(x, d, &labels, weights, &mut centroids, frozen)?;
                let nsplit = split_clusters(d, nx, &mut sizes, &mut centroids, frozen);
                stats.push(ClusteringIterationStats {
                    obj,
                    time: started.elapsed().as_secs_f64(),
                    time_search,
                    imbalance_factor: imbalance_factor(&update::counts(&labels, k)),
                    nsplit,
                });
                if self.verbose {
                    eprintln!(
                        "  Iteration {round} ({:.2} s, search {time_search:.2} s): objective={obj} nsplit={nsplit}",
                        started.elapsed().as_secs_f64()
                    );
                }
                self.post_process(&mut centroids);
                index.reset()?;
                if self.update_index {
                    index.train(&centroids)?;
                }
                index.add(&centroids)?;
                if let [.., before, last] = &stats[..]
                    && self.cp.converged(before.obj, last.obj)
                {
                    break;
                }
            }
            progress::report("k-means", self.niter.max(0) as usize, self.niter.max(0) as usize);
            // As in Faiss, another try begins with those that were given as this one leaves them.
            let known = given.len();
            given.copy_from_slice(&centroids[..known]);
            let obj = stats.last().map_or(0.0, |s| s.obj);
            self.iteration_stats.append(&mut stats);
            let better = best.as_ref().is_none_or(|(b, _)| if similarity { obj > *b } else { obj < *b });
            if better {
                best = Some((obj, centroids));
                told = self.iteration_stats.len();
            }
        }
        if let Some((_, centroids)) = best {
            self.centroids = centroids;
        }
        // As Faiss tells it: the rounds up to the end of the best redo.
        self.iteration_stats.truncate(told);
        if self.nredo > 1 {
            index.reset()?;
            index.add(&self.centroids)?;
        }
        Ok(())
    }

    /// The points that are the first centroids besides those that were given.
    fn first_points(&self, x: &[f32], given: &[f32], redo: i32) -> Result<Vec<usize>> {
        let (d, before) = (self.d, given.len() / self.d);
        let seed = self.actual_seed() + 1 + i64::from(redo) * 15_486_557;
        let method = self.init_method;
        if method == initialization::RANDOM {
            // As many as if none were given, of which the later ones are taken.
            let perm = rand_perm_prefix(x.len() / d, self.k, seed);
            return Ok(perm[before..].iter().map(|i| *i as usize).collect());
        }
        if before == self.k {
            return Ok(Vec::new());
        }
        let afkmc2_chain_length = self.afkmc2_chain_length;
        let new = ClusteringInitialization::new(d, self.k - before);
        let chooser = ClusteringInitialization { method, seed, afkmc2_chain_length, ..new };
        chooser.choose(x, given)
    }

    /// Which points are used, where there are more than the parameters want.
    pub fn subsample(&self, nx: usize) -> Option<Vec<i32>> {
        let wanted = self.k.saturating_mul(self.max_points_per_centroid.max(1) as usize);
        if nx <= wanted {
            return None;
        }
        if self.use_faster_subsampling {
            let mut rng = SplitMix64RandomGenerator::new(self.actual_seed());
            return Some((0..wanted).map(|_| (rng.rand_int64() % nx as i64) as i32).collect());
        }
        Some(rand_perm_prefix(nx, wanted, self.actual_seed()))
    }

    /// Unit length or whole numbers, if the parameters want them.
    fn post_process(&self, centroids: &mut [f32]) {
        if self.spherical {
            for row in centroids.chunks_exact_mut(self.d) {
                let norm = simd::fvec_norm_L2sqr(row);
                if norm > 0.0 {
                    simd::fvec_scale(row, 1.0 / norm.sqrt());
                }
            }
        }
        if self.int_centroids {
            centroids.iter_mut().for_each(|v| *v = v.round());
        }
    }
}

/// Whether no number is NaN or infinite.
fn all_finite(x: &[f32]) -> Result<bool> {
    const CHUNK: usize = 1 << 18;
    let all = AtomicBool::new(true);
    threads::parallel_for(x.len().div_ceil(CHUNK), |i| {
        let chunk = &x[i * CHUNK..x.len().min((i + 1) * CHUNK)];
        // Without an early end, so that it is done by vectors.
        if !chunk.iter().fold(true, |finite, v| finite & v.is_finite()) {
            all.store(false, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(all.into_inner())
}

/// Clusters `x` with default parameters, writes the `k` centroids, and returns the sum of the distances to them.
pub fn kmeans_clustering(d: usize, x: &[f32], k: usize, centroids: &mut [f32]) -> Result<f32> {
    Error::check(k.checked_mul(d) == Some(centroids.len()), "centroids.size() == k * d")?;
    let mut clustering = Clustering::new(d, k);
    clustering.train(x, &mut IndexFlatL2::new(d as i64)?, None)?;
    centroids.copy_from_slice(&clustering.centroids);
    Ok(clustering.iteration_stats.last().map_or(0.0, |s| s.obj))
}
