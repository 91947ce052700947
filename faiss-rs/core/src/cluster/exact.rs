//! k-means of numbers on a line, which can be solved exactly: clusters of sorted numbers are intervals (Wu 1991; Gronlund et al., "Fast exact
//! k-means, k-medians and Bregman divergence clustering in 1D", 2017).

use faiss_derive::{Object, methods};

use super::{Clustering, ClusteringIterationStats, ClusteringParameters, imbalance_factor};
use crate::base::{Error, Result, interrupt};
use crate::registry::Row;

/// Clusters of numbers on a line.
#[derive(Object, Clone)]
#[object(methods, copy)]
pub struct Clustering1D {
    /// The parameters and centroids.
    #[object(parent, default = Clustering::new(1, 0))]
    pub clustering: Clustering,
}

pub(crate) const ROW: Row = Row::of::<Clustering1D>();

#[methods]
impl Clustering1D {
    /// Of `k` clusters.
    #[new]
    pub fn new(k: usize, #[default = None] cp: Option<&ClusteringParameters>) -> Self {
        Clustering1D { clustering: Clustering { cp: cp.cloned().unwrap_or_default(), ..Clustering::new(1, k) } }
    }

    /// Computes the centroids of numbers (n, 1), ascending: those with the smallest sum of squared distances that there is.
    pub fn train_exact(&mut self, x: &[f32]) -> Result<()> {
        let (centroids, imbalance_factor) = kmeans1d(x, self.k)?;
        self.iteration_stats = vec![ClusteringIterationStats { imbalance_factor, ..Default::default() }];
        self.centroids = centroids;
        Ok(())
    }
}

/// The `k` centroids of numbers, ascending, whose sum of squared distances is the smallest there is, and the imbalance factor of the clusters.
pub fn kmeans1d(x: &[f32], k: usize) -> Result<(Vec<f32>, f64)> {
    Error::check(x.len() >= k && k > 0, "n >= nclusters")?;
    let mut sorted = x.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let n = sorted.len();
    // Sums of the first numbers and of their squares; numbers are taken from the middle, for precision.
    let middle = f64::from(sorted[n / 2]);
    let (mut sums, mut squares) = (vec![0f64; n + 1], vec![0f64; n + 1]);
    for (i, v) in sorted.iter().enumerate() {
        let v = f64::from(*v) - middle;
        (sums[i + 1], squares[i + 1]) = (sums[i] + v, squares[i] + v * v);
    }
    let cost = |from: usize, to: usize| {
        let (sum, square) = (sums[to] - sums[from], squares[to] - squares[from]);
        (square - sum * sum / (to - from).max(1) as f64).max(0.0)
    };
    // best[i]: the cost of the first i numbers in as many clusters as there were rounds; starts[c][i]: where the last of c + 1 begins.
    let mut best: Vec<f64> = (0..=n).map(|i| cost(0, i)).collect();
    let mut starts: Vec<Vec<u32>> = vec![vec![0; n + 1]];
    for c in 1..k {
        interrupt::check()?;
        let (mut next, mut start) = (vec![f64::INFINITY; n + 1], vec![0u32; n + 1]);
        // Where the last cluster begins grows with its end: the middle end is solved by looking at all beginnings, the halves by fewer.
        let mut work = vec![(c + 1, n, c, n - 1)];
        while let Some((low, high, first, last)) = work.pop() {
            if low > high {
                continue;
            }
            let end = low.midpoint(high);
            let candidates = first.max(c)..=last.min(end - 1);
            let found = candidates.map(|from| (best[from] + cost(from, end), from));
            let (value, from) = found.fold((f64::INFINITY, first), |a, b| if b.0 < a.0 { b } else { a });
            (next[end], start[end]) = (value, from as u32);
            work.push((low, end - 1, first, from));
            work.push((end + 1, high, from, last));
        }
        best = next;
        starts.push(start);
    }
    let (mut end, mut centroids, mut sizes) = (n, vec![0f32; k], vec![0f64; k]);
    for c in (0..k).rev() {
        let from = starts[c][end] as usize;
        centroids[c] = ((sums[end] - sums[from]) / (end - from).max(1) as f64 + middle) as f32;
        sizes[c] = (end - from) as f64;
        end = from;
    }
    Ok((centroids, imbalance_factor(&sizes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_the_least_cost() {
        assert_eq!(kmeans1d(&[9.0, 1.0, 2.0, 10.0, 11.0, 3.0, 100.0], 3).unwrap().0, [2.0, 10.0, 100.0]);
        assert_eq!(kmeans1d(&[2.0, 1.0], 2).unwrap(), (vec![1.0, 2.0], 1.0));
        assert!(kmeans1d(&[1.0], 2).is_err());
    }
}
