//! The first centroids of a clustering: points at random; points far from those chosen before (k-means++, Arthur and Vassilvitskii 2007); or nearly
//! so, by short Markov chains that need no pass over all points for each (AFK-MC2, Bachem et al., "Fast and provably good seedings for k-means", 2016).

use faiss_derive::{Object, methods};

use crate::base::declare::Rows;
use crate::base::{Error, Result, interrupt, threads};
use crate::random::{StandardTwister64, rand_perm_prefix};
use crate::registry::Row;
use crate::simd;

/// Points at random.
pub const RANDOM: i32 = 0;
/// Each with a probability that grows with the squared distance to the nearest that was chosen before.
pub const KMEANS_PLUS_PLUS: i32 = 1;
/// Nearly so.
pub const AFK_MC2: i32 = 2;

/// Steps of a chain between two looks at whether the caller wants to stop.
const CHECKED: i32 = 1024;
/// Points whose distances a thread computes at a time.
const SHARE: usize = 4096;

/// Chooses the first centroids of a clustering.
#[derive(Object, Clone)]
#[object(methods, copy)]
pub struct ClusteringInitialization {
    /// Dimension of the vectors.
    pub d: usize,
    /// Number of centroids.
    pub k: usize,
    /// 0: at random; 1: k-means++; 2: AFK-MC2.
    pub method: i32,
    /// Begins the random numbers.
    pub seed: i64,
    /// Length of a chain of AFK-MC2; longer ones come nearer to k-means++.
    pub afkmc2_chain_length: i32,
}

pub(crate) const ROW: Row = Row::of::<ClusteringInitialization>();

impl Default for ClusteringInitialization {
    fn default() -> Self {
        ClusteringInitialization::new(0, 0)
    }
}

#[methods]
impl ClusteringInitialization {
    /// `k` centroids of `d` numbers.
    #[new]
    pub fn new(d: usize, k: usize) -> Self {
        ClusteringInitialization { d, k, method: RANDOM, seed: 1234, afkmc2_chain_length: 50 }
    }

    /// The centroids (k, d) chosen of points (n, d), away from existing ones (m, d).
    #[name = "init_centroids"]
    fn chosen(&self, x: &[f32], #[default = &[]] existing_centroids: &[f32]) -> Result<Rows<f32>> {
        let points = self.choose(x, existing_centroids)?;
        Ok(Rows(points.iter().flat_map(|i| &x[i * self.d..(i + 1) * self.d]).copied().collect(), self.d))
    }
}

impl ClusteringInitialization {
    /// The numbers of the points that become centroids: `k` of them.
    pub fn choose(&self, x: &[f32], existing: &[f32]) -> Result<Vec<usize>> {
        let (d, k) = (self.d, self.k);
        Error::check(d > 0 && k > 0, "d > 0 && k > 0")?;
        Error::check(x.len().is_multiple_of(d) && existing.len().is_multiple_of(d), "x.size() % d == 0")?;
        let n = x.len() / d;
        if n < k {
            let message = format!("{n} points are fewer than {k} centroids");
            return Err(Error::failed("n >= k", message));
        }
        match self.method {
            RANDOM => Ok(rand_perm_prefix(n, k, self.seed).into_iter().map(|i| i as usize).collect()),
            KMEANS_PLUS_PLUS => self.plus_plus(x, existing),
            AFK_MC2 => self.chains(x, existing),
            other => Err(Error::failed("method >= 0 && method <= 2", format!("there is no initialization {other}"))),
        }
    }

    /// Squared distances of all points to the nearest of the centroids, or infinity.
    fn nearest(&self, x: &[f32], centroids: &[f32]) -> Result<Vec<f32>> {
        let mut least = vec![f32::INFINITY; x.len() / self.d];
        for centroid in centroids.chunks_exact(self.d) {
            self.lower(x, centroid, &mut least)?;
        }
        Ok(least)
    }

    fn lower(&self, x: &[f32], centroid: &[f32], least: &mut [f32]) -> Result<()> {
        interrupt::check()?;
        let d = self.d;
        threads::parallel_rows(least, 1, SHARE, |first, own| {
            let mut distances = vec![0f32; own.len()];
            simd::fvec_L2sqr_ny(&mut distances, centroid, &x[first * d..(first + own.len()) * d]);
            own.iter_mut().zip(distances).for_each(|(least, distance)| *least = least.min(distance));
            Ok(())
        })
    }

    fn plus_plus(&self, x: &[f32], existing: &[f32]) -> Result<Vec<usize>> {
        let (d, n) = (self.d, x.len() / self.d);
        let mut random = StandardTwister64::new(self.seed as u64);
        let mut least = self.nearest(x, existing)?;
        let mut chosen = Vec::with_capacity(self.k);
        if existing.is_empty() {
            chosen.push(random.below(n as u64) as usize);
        }
        loop {
            if let Some(last) = chosen.last() {
                self.lower(x, &x[last * d..(last + 1) * d], &mut least)?;
            }
            if chosen.len() == self.k {
                return Ok(chosen);
            }
            chosen.push(Sums::new(least.iter().map(|v| f64::from(*v))).draw(&mut random));
        }
    }

    fn chains(&self, x: &[f32], existing: &[f32]) -> Result<Vec<usize>> {
        let (d, n) = (self.d, x.len() / self.d);
        let row = |i: usize| &x[i * d..(i + 1) * d];
        let mut random = StandardTwister64::new(self.seed as u64);
        let mut chosen: Vec<usize> = Vec::with_capacity(self.k);
        let mut centroids = existing.to_vec();
        if existing.is_empty() {
            chosen.push(random.below(n as u64) as usize);
            centroids.extend_from_slice(row(chosen[0]));
        }
        // Half by distance, half by chance.
        let first = self.nearest(x, &centroids)?;
        let total: f64 = first.iter().map(|v| f64::from(*v)).sum();
        let share = |distance: f32| if total > 0.0 { 0.5 * f64::from(distance) / total } else { 0.5 / n as f64 };
        let weights: Vec<f64> = first.iter().map(|v| share(*v) + 0.5 / n as f64).collect();
        let sums = Sums::new(weights.iter().copied());
        let mut distances = Vec::new();
        while chosen.len() < self.k {
            interrupt::check()?;
            let mut draw = |random: &mut StandardTwister64| {
                let i = sums.draw(random);
                distances.resize(centroids.len() / d, 0.0);
                simd::fvec_L2sqr_ny(&mut distances, row(i), &centroids);
                (i, f64::from(distances.iter().copied().fold(f32::INFINITY, f32::min)))
            };
            let (mut at, mut distance) = draw(&mut random);
            // A point that was chosen already is no beginning, unless there are hardly others.
            for _ in 0..n.max(64) {
                if distance > 0.0 {
                    break;
                }
                (at, distance) = draw(&mut random);
            }
            for step in 0..self.afkmc2_chain_length.max(0) {
                if step % CHECKED == 0 {
                    interrupt::check()?;
                }
                let (next, next_distance) = draw(&mut random);
                if next_distance == 0.0 {
                    continue;
                }
                let ratio = next_distance * weights[at] / (distance * weights[next]);
                // A beginning at distance 0 gives way to any.
                if random.real() < ratio {
                    (at, distance) = (next, next_distance);
                }
            }
            chosen.push(at);
            centroids.extend_from_slice(row(at));
        }
        Ok(chosen)
    }
}

/// Weights added up, to draw places by them.
struct Sums(Vec<f64>);

impl Sums {
    fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        // What is no number, or infinite, is never drawn.
        let add = |weight: f64| {
            sum += if weight.is_finite() { weight } else { 0.0 };
            sum
        };
        Sums(weights.map(add).collect())
    }

    fn draw(&self, random: &mut StandardTwister64) -> usize {
        let (n, total) = (self.0.len(), self.0.last().copied().unwrap_or(0.0));
        if total <= 0.0 {
            return random.below(n as u64) as usize;
        }
        let at = random.real() * total;
        self.0.partition_point(|sum| *sum < at).min(n - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_far_from_each_other() {
        // Ten groups of twenty points: each should get one of ten centroids.
        let (d, n) = (2, 200);
        let mut x = vec![0f32; n * d];
        crate::random::float_rand(&mut x, 7).unwrap();
        x.chunks_exact_mut(d).enumerate().for_each(|(i, row)| row[0] += 100.0 * (i % 10) as f32);
        for method in [KMEANS_PLUS_PLUS, AFK_MC2] {
            let chooser =
                ClusteringInitialization { method, afkmc2_chain_length: 200, ..ClusteringInitialization::new(d, 10) };
            let mut groups: Vec<usize> = chooser.choose(&x, &[]).unwrap().iter().map(|i| i % 10).collect();
            groups.sort_unstable();
            groups.dedup();
            assert!(groups.len() >= 9, "method {method}: {groups:?}");
            let existing = x[..2 * d].to_vec();
            let others = chooser.choose(&x, &existing).unwrap();
            assert_eq!(others.len(), 10);
        }
        let zeros = vec![0f32; 5 * d];
        for method in [RANDOM, KMEANS_PLUS_PLUS, AFK_MC2] {
            let chooser = ClusteringInitialization { method, ..ClusteringInitialization::new(d, 5) };
            assert_eq!(chooser.choose(&zeros, &[]).unwrap().len(), 5);
            assert!(chooser.choose(&zeros[..4 * d], &[]).is_err());
        }
        assert!(ClusteringInitialization { method: 3, ..ClusteringInitialization::new(d, 2) }.choose(&x, &[]).is_err());
    }
}
