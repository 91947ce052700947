//! The second half of a round: from assignments to centroids.

use crate::base::{Result, threads};
use crate::random::RandomGenerator;
use crate::simd;

/// Writes each cluster's mean to `centroids`, but for the first `frozen` ones, and returns the clusters' sizes (sums of weights). A point
/// without a cluster counts for none; a cluster without points keeps a centroid of zeros until it is split off.
pub fn means(
    x: &[f32],
    d: usize,
    labels: &[i64],
    weights: Option<&[f32]>,
    centroids: &mut [f32],
    frozen: usize,
) -> Result<Vec<f32>> {
    let k = centroids.len() / d;
    let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
    let mut sizes = vec![0f32; k];
    for (i, label) in labels.iter().enumerate().filter(|(_, l)| **l >= frozen as i64) {
        sizes[*label as usize] += weight(i);
    }
    // The points of each cluster in order, so that sums do not depend on the number of threads.
    let mut starts = vec![0usize; k + 1];
    labels.iter().filter(|l| **l >= 0).for_each(|l| starts[*l as usize + 1] += 1);
    (0..k).for_each(|c| starts[c + 1] += starts[c]);
    let (mut members, mut next) = (vec![0u32; starts[k]], starts.clone());
    for (i, label) in labels.iter().enumerate().filter(|(_, l)| **l >= 0) {
        members[next[*label as usize]] = i as u32;
        next[*label as usize] += 1;
    }
    threads::parallel_rows(&mut centroids[frozen * d..], d, 1, |first, rows| {
        for (c, row) in rows.chunks_exact_mut(d).enumerate() {
            let c = frozen + first + c;
            row.fill(0.0);
            for i in &members[starts[c]..starts[c + 1]] {
                let i = *i as usize;
                simd::fvec_add_scaled(row, weight(i), &x[i * d..(i + 1) * d]);
            }
            if sizes[c] != 0.0 {
                simd::fvec_scale(row, 1.0 / sizes[c]);
            }
        }
        Ok(())
    })?;
    Ok(sizes)
}

/// How far apart the halves of a split cluster are put.
const EPS: f32 = 1.0 / 1024.0;

/// How often all clusters are asked at random before the largest is taken.
const PASSES: usize = 10;

/// Gives every empty cluster a half of another, chosen at random by size. Returns how many were empty.
pub fn split_clusters(d: usize, n: usize, sizes: &mut [f32], centroids: &mut [f32], frozen: usize) -> i32 {
    let (sizes, centroids) = (&mut sizes[frozen..], &mut centroids[frozen * d..]);
    let k = sizes.len();
    let surplus = n as f64 - k as f64;
    let mut rng = RandomGenerator::new(1234);
    let mut nsplit = 0;
    for empty in 0..k {
        if sizes[empty] != 0.0 {
            continue;
        }
        let chosen = (0..PASSES * k).map(|i| i % k).find(|c| {
            let p = (f64::from(sizes[*c]) - 1.0) / surplus;
            rng.rand_float() < p as f32
        });
        // With weights no cluster may have the size of a point.
        let from =
            chosen.unwrap_or_else(|| (1..k).fold(0, |largest, c| if sizes[c] > sizes[largest] { c } else { largest }));
        centroids.copy_within(from * d..(from + 1) * d, empty * d);
        for j in 0..d {
            let (up, down) = if j % 2 == 0 { (empty, from) } else { (from, empty) };
            centroids[up * d + j] *= 1.0 + EPS;
            centroids[down * d + j] *= 1.0 - EPS;
        }
        sizes[empty] = sizes[from] / 2.0;
        sizes[from] -= sizes[empty];
        nsplit += 1;
    }
    nsplit
}

/// 1 where all clusters are of one size, their number where one has all points. `sizes` are numbers of points.
pub fn imbalance_factor(sizes: &[f64]) -> f64 {
    let (total, squares) = sizes.iter().fold((0.0, 0.0), |(t, s), v| (t + v, s + v * v));
    if total > 0.0 { squares * sizes.len() as f64 / (total * total) } else { 0.0 }
}

/// How many points each of `k` clusters has.
pub fn counts(labels: &[i64], k: usize) -> Vec<f64> {
    let mut counts = vec![0f64; k];
    labels.iter().filter(|l| **l >= 0).for_each(|l| counts[*l as usize] += 1.0);
    counts
}
