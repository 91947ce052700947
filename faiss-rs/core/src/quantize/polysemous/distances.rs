//! Permutations that reproduce distances: of given tables, and of centroids by the Hamming distances of their numbers.

use faiss_derive::{Object, methods};

use super::annealing::Permutation;
use crate::base::{Error, Result};
use crate::registry::Row;
use crate::simd;

/// What a permutation of 0 to n - 1 costs.
#[derive(Object, Clone, Default)]
#[object(abstract)]
pub struct PermutationObjective {
    /// Size of the permutation.
    pub n: i32,
}

pub(crate) const OBJECTIVE: Row = Row::of::<PermutationObjective>();

/// The sum over all pairs (i, j) of `weights * (target_dis(i, j) - source_dis(perm(i), perm(j)))²`.
#[derive(Object, Clone, Default)]
#[object(methods)]
pub struct ReproduceDistancesObjective {
    /// What an order is worth.
    #[object(parent)]
    pub objective: PermutationObjective,
    /// A pair counts by exp(-this * its target distance).
    pub dis_weight_factor: f64,
    /// The given distances, scaled and shifted to the mean and deviation of the targets (n * n).
    pub source_dis: Vec<f64>,
    /// The weight of each pair (n * n).
    pub weights: Vec<f64>,
    /// The wanted distances (n * n).
    target_dis: Vec<f64>,
}

pub(crate) const REPRODUCE: Row = Row::of::<ReproduceDistancesObjective>();

#[methods]
impl ReproduceDistancesObjective {
    /// Of two tables of n * n distances.
    #[new]
    pub fn new(
        n: i32,
        source_dis_in: &[f64],
        target_dis_in: &[f64],
        dis_weight_factor: f64,
    ) -> Result<ReproduceDistancesObjective> {
        let size = usize::try_from(n).ok().and_then(|n| n.checked_mul(n));
        let size = size.ok_or_else(|| Error::failed("n >= 0", format!("n is {n}")))?;
        Error::check(target_dis_in.len() >= size, "target_dis has n * n distances")?;
        let target_dis = target_dis_in[..size].to_vec();
        let weights = target_dis.iter().map(|distance| weight(dis_weight_factor, *distance)).collect();
        let objective = PermutationObjective { n };
        let mut made =
            ReproduceDistancesObjective { objective, dis_weight_factor, source_dis: Vec::new(), weights, target_dis };
        made.set_affine_target_dis(source_dis_in)?;
        Ok(made)
    }

    /// The wanted distances (n * n).
    pub fn targets(&self) -> Vec<f64> {
        self.target_dis.clone()
    }

    /// exp(-dis_weight_factor * x).
    pub fn dis_weight(&self, x: f64) -> f64 {
        weight(self.dis_weight_factor, x)
    }

    /// A distance as it is compared with targets.
    pub fn get_source_dis(&self, i: i32, j: i32) -> Result<f64> {
        let (i, j) = self.pair(i, j)?;
        Ok(self.source_dis[i * self.objective.n as usize + j])
    }

    /// What a permutation costs.
    pub fn compute_cost(&self, perm: &[i32]) -> Result<f64> {
        Ok(General { objective: self, numbers: self.permutation(perm)? }.cost())
    }

    /// By how much the cost changes if two numbers of a permutation are swapped.
    pub fn cost_update(&self, perm: &[i32], iw: i32, jw: i32) -> Result<f64> {
        let (i, j) = self.pair(iw, jw)?;
        Ok(General { objective: self, numbers: self.permutation(perm)? }.change(i, j))
    }

    /// Takes other distances in, scaled and shifted to the mean and deviation of the targets.
    pub fn set_affine_target_dis(&mut self, source_dis_in: &[f64]) -> Result<()> {
        let size = self.target_dis.len();
        Error::check(source_dis_in.len() >= size, "source_dis has n * n distances")?;
        let source = &source_dis_in[..size];
        self.source_dis = scaled(source, compute_mean_stdev(&self.target_dis));
        Ok(())
    }
}

fn weight(factor: f64, distance: f64) -> f64 {
    (-factor * distance).exp()
}

/// Mean and standard deviation.
fn compute_mean_stdev(tab: &[f64]) -> (f64, f64) {
    let (sum, squares) = tab.iter().fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
    let mean = sum / tab.len() as f64;
    (mean, (squares / tab.len() as f64 - mean * mean).max(0.0).sqrt())
}

/// Distances with another mean and deviation.
fn scaled(distances: &[f64], (to_mean, to_deviation): (f64, f64)) -> Vec<f64> {
    let (mean, deviation) = compute_mean_stdev(distances);
    let scale = if deviation > 0.0 { to_deviation / deviation } else { 0.0 };
    distances.iter().map(|distance| (distance - mean) * scale + to_mean).collect()
}

impl ReproduceDistancesObjective {
    fn pair(&self, i: i32, j: i32) -> Result<(usize, usize)> {
        let known = 0..self.objective.n;
        Error::check(known.contains(&i) && known.contains(&j), "0 <= i < n && 0 <= j < n")?;
        Ok((i as usize, j as usize))
    }

    /// A permutation as it is given.
    pub(super) fn permutation(&self, perm: &[i32]) -> Result<Vec<u32>> {
        let n = self.objective.n as usize;
        Error::check(perm.len() >= n, "perm has n numbers")?;
        let mut seen = vec![false; n];
        let fresh = |p: &i32| usize::try_from(*p).is_ok_and(|p| p < n && !std::mem::replace(&mut seen[p], true));
        Error::check(perm[..n].iter().all(fresh), "perm is a permutation of 0 to n - 1")?;
        Ok(perm[..n].iter().map(|p| *p as u32).collect())
    }
}

/// A permutation beside tables of any kind, symmetric or not.
pub(super) struct General<'a> {
    pub objective: &'a ReproduceDistancesObjective,
    pub numbers: Vec<u32>,
}

impl General<'_> {
    /// What the pair (i, j) adds to the cost if the numbers there are these.
    fn term(&self, i: usize, j: usize, numbers: (u32, u32)) -> f64 {
        let (n, of) = (self.numbers.len(), self.objective);
        let off = of.target_dis[i * n + j] - of.source_dis[numbers.0 as usize * n + numbers.1 as usize];
        of.weights[i * n + j] * off * off
    }
}

impl Permutation for General<'_> {
    fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    fn cost(&self) -> f64 {
        let n = self.numbers.len();
        let row = |i| (0..n).map(move |j| (i, j));
        (0..n).flat_map(row).map(|(i, j)| self.term(i, j, (self.numbers[i], self.numbers[j]))).sum()
    }

    fn change(&self, i: usize, j: usize) -> f64 {
        if i == j {
            return 0.0;
        }
        let before = |at: usize| self.numbers[at];
        let after = |at: usize| {
            self.numbers[if at == i {
                j
            } else if at == j {
                i
            } else {
                at
            }]
        };
        let change = |a, b| self.term(a, b, (after(a), after(b))) - self.term(a, b, (before(a), before(b)));
        let ends = change(i, i) + change(j, j) + change(i, j) + change(j, i);
        let others = (0..self.numbers.len()).filter(|at| *at != i && *at != j);
        ends + others.map(|at| change(at, i) + change(i, at) + change(at, j) + change(j, at)).sum::<f64>()
    }

    fn swap(&mut self, i: usize, j: usize) {
        self.numbers.swap(i, j);
    }
}

/// As [`ReproduceDistancesObjective`], of the distances between the centroids of one part and the Hamming distances of their numbers: both are
/// symmetric and whole runs are made with them, so what a swap needs is kept in the order in which it is read.
pub(super) struct Centroids {
    n: usize,
    /// `2 * weight * wanted` and `weight`, `n * n` each.
    pull: Vec<f64>,
    weights: Vec<f64>,
    /// The part of the sum that does not depend on the permutation.
    constant: f64,
}

impl Centroids {
    pub fn new(centroids: &[f32], dsub: usize, nbits: usize, dis_weight_factor: f64) -> Self {
        // Mean and variance of the Hamming distance of random codes, in whole numbers as Faiss has them.
        let hamming = ((nbits / 2) as f64, ((nbits / 4) as f64).sqrt());
        let wanted = scaled(&distances_between(centroids, dsub), hamming);
        let weights: Vec<f64> = wanted.iter().map(|wanted| weight(dis_weight_factor, *wanted)).collect();
        let constant = wanted.iter().zip(&weights).map(|(wanted, weight)| weight * wanted * wanted).sum();
        let pull = wanted.iter().zip(&weights).map(|(wanted, weight)| 2.0 * weight * wanted).collect();
        Centroids { n: 1 << nbits, pull, weights, constant }
    }

    /// A permutation of the centroids' numbers.
    pub fn state(&self, numbers: Vec<u32>) -> Renumbered<'_> {
        let row = |a: &u32| {
            let a = *a;
            numbers.iter().map(move |b| (a ^ b).count_ones() as f32)
        };
        let hamming = numbers.iter().flat_map(row).collect();
        Renumbered { of: self, numbers, hamming }
    }

    fn row<'a>(&self, table: &'a [f64], i: usize) -> &'a [f64] {
        &table[i * self.n..(i + 1) * self.n]
    }
}

/// Squared distances between all rows of one part.
fn distances_between(rows: &[f32], dsub: usize) -> Vec<f64> {
    let all = || rows.chunks_exact(dsub.max(1));
    all().flat_map(|a| all().map(move |b| f64::from(simd::fvec_L2sqr(a, b)))).collect()
}

/// A permutation, and the Hamming distances between all its numbers: kept because few of the swaps that are tried are made.
pub(super) struct Renumbered<'a> {
    of: &'a Centroids,
    numbers: Vec<u32>,
    hamming: Vec<f32>,
}

impl Permutation for Renumbered<'_> {
    fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    fn cost(&self) -> f64 {
        let tables = self.of.pull.iter().zip(&self.of.weights);
        let moved =
            tables.zip(&self.hamming).map(|((pull, weight), h)| f64::from(*h) * (weight * f64::from(*h) - pull));
        self.of.constant + moved.sum::<f64>()
    }

    /// The distance between the two themselves does not change.
    fn change(&self, i: usize, j: usize) -> f64 {
        const LANES: usize = 4;
        let (n, of) = (self.of.n, self.of);
        let (hi, hj) = (&self.hamming[i * n..(i + 1) * n], &self.hamming[j * n..(j + 1) * n]);
        let (pi, pj) = (of.row(&of.pull, i), of.row(&of.pull, j));
        let (wi, wj) = (of.row(&of.weights, i), of.row(&of.weights, j));
        let term = |at: usize| {
            let (old, new) = (f64::from(hi[at]), f64::from(hj[at]));
            (old - new) * (pi[at] - pj[at] - (wi[at] - wj[at]) * (old + new))
        };
        let mut sums = [0f64; LANES];
        for first in (0..n).step_by(LANES) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum += term(first + lane);
            }
        }
        // Every pair is in the sum twice.
        2.0 * (sums.iter().sum::<f64>() - term(i) - term(j))
    }

    fn swap(&mut self, i: usize, j: usize) {
        let n = self.of.n;
        self.numbers.swap(i, j);
        for at in 0..n {
            self.hamming.swap(i * n + at, j * n + at);
        }
        for row in self.hamming.chunks_exact_mut(n) {
            row.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{RandomGenerator, float_rand};

    fn random_swaps(state: &mut impl Permutation, n: i32) -> f64 {
        let mut rng = RandomGenerator::new(7);
        let mut cost = state.cost();
        for _ in 0..200 {
            let (i, j) = (rng.rand_int_max(n) as usize, rng.rand_int_max(n) as usize);
            if i != j {
                cost += state.change(i, j);
                state.swap(i, j);
            }
        }
        cost
    }

    #[test]
    fn changes_add_up_to_the_cost() {
        let centroids: Vec<f32> = (0..32 * 3).map(|i| ((i * 7919) % 101) as f32 / 50.0).collect();
        let of = Centroids::new(&centroids, 3, 5, 0.7);
        let mut state = of.state((0..32).rev().collect());
        let cost = random_swaps(&mut state, 32);
        let naive: f64 = (0..32 * 32)
            .map(|at| {
                let hamming = f64::from((state.numbers[at / 32] ^ state.numbers[at % 32]).count_ones());
                let (weight, wanted) = (of.weights[at], of.pull[at] / (2.0 * of.weights[at]));
                weight * (wanted - hamming) * (wanted - hamming)
            })
            .sum();
        assert!((cost - naive).abs() < 1e-9 * naive && (state.cost() - naive).abs() < 1e-9 * naive);
    }

    #[test]
    fn tables_need_not_be_symmetric() {
        let mut tables = vec![0f32; 2 * 49];
        float_rand(&mut tables, 5).unwrap();
        let tables: Vec<f64> = tables.into_iter().map(f64::from).collect();
        let objective = ReproduceDistancesObjective::new(7, &tables[..49], &tables[49..], 0.3).unwrap();
        let mut state = General { objective: &objective, numbers: vec![3, 1, 4, 0, 6, 5, 2] };
        let cost = random_swaps(&mut state, 7);
        assert!((cost - state.cost()).abs() < 1e-9 * cost);
        let (mean, deviation) = compute_mean_stdev(&objective.source_dis);
        let wanted = compute_mean_stdev(&tables[49..]);
        assert!((mean - wanted.0).abs() < 1e-12 && (deviation - wanted.1).abs() < 1e-12);
        for wrong in [vec![0, 1, 2], vec![0, 0, 1, 2, 3, 4, 5], vec![0, 1, 2, 3, 4, 5, 7], vec![-1; 7]] {
            assert!(objective.compute_cost(&wrong).is_err());
        }
        assert!(objective.cost_update(&[0, 1, 2, 3, 4, 5, 6], 0, 7).is_err());
        assert!(ReproduceDistancesObjective::new(8, &tables[..49], &tables[49..], 0.3).is_err());
    }
}
