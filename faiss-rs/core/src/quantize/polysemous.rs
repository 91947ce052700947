//! Polysemous codes: the numbers of a product quantizer's centroids, chosen such that the Hamming distance of two codes tells how far apart
//! the vectors are (Douze, Jégou and Perronnin 2016). A permutation of each part's centroids is found by simulated annealing.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::ProductQuantizer;
use crate::base::{Error, Result, interrupt, progress, threads};
use crate::random::RandomGenerator;
use crate::registry::Row;
use crate::simd;

/// Leaves the numbers as they are.
pub const OT_NONE: i32 = 0;
/// Hamming distances are to reproduce the distances between centroids, scaled and shifted.
pub const OT_REPRODUCE_DISTANCES_AFFINE: i32 = 1;

/// How a permutation is searched for.
#[derive(Object, Clone)]
#[object(new)]
pub struct SimulatedAnnealingParameters {
    /// The probability that a swap for the worse is made anyway, at the beginning.
    pub init_temperature: f64,
    /// By this it falls with every iteration.
    pub temperature_decay: f64,
    /// Number of swaps tried.
    pub n_iter: i32,
    /// How often to begin anew; the best result is kept.
    pub n_redo: i32,
    /// Seed of the random numbers.
    pub seed: i32,
    /// Above 0, says on stdout how it goes.
    pub verbose: i32,
    /// Only swaps of numbers that differ in one bit.
    pub only_bit_flips: bool,
    /// Begins at a random permutation.
    pub init_random: bool,
}

impl Default for SimulatedAnnealingParameters {
    fn default() -> Self {
        SimulatedAnnealingParameters {
            init_temperature: 0.7,
            temperature_decay: 0.9f64.powf(1.0 / 500.0),
            n_iter: 500_000,
            n_redo: 2,
            seed: 123,
            verbose: 0,
            only_bit_flips: false,
            init_random: false,
        }
    }
}

pub const ANNEALING: Row = Row::of::<SimulatedAnnealingParameters>();

/// How a product quantizer's centroids get new numbers.
#[derive(Object, Clone)]
#[object(methods)]
pub struct PolysemousTraining {
    #[object(parent)]
    pub annealing: SimulatedAnnealingParameters,
    /// 0: not at all; 1: after the distances between centroids. Faiss's 2, after rankings, is not here.
    pub optimization_type: i32,
    /// Points of the training set that are kept from the product quantizer's own training.
    pub ntrain_permutation: i32,
    /// A pair of centroids at distance x counts by exp(-this * x): near ones matter most.
    pub dis_weight_factor: f64,
    /// Bytes that training may use.
    pub max_memory: usize,
    /// Accepted for compatibility: no log is written.
    pub log_pattern: String,
}

impl Default for PolysemousTraining {
    fn default() -> Self {
        PolysemousTraining {
            annealing: SimulatedAnnealingParameters::default(),
            optimization_type: OT_REPRODUCE_DISTANCES_AFFINE,
            ntrain_permutation: 0,
            dis_weight_factor: std::f64::consts::LN_2,
            max_memory: 20 << 30,
            log_pattern: String::new(),
        }
    }
}

pub const ROW: Row = Row::of::<PolysemousTraining>();

#[methods(new)]
impl PolysemousTraining {
    /// Gives the centroids new numbers. Vectors are not needed for it.
    #[name = "optimize_pq_for_hamming"]
    fn optimize(
        &self,
        pq: &mut ProductQuantizer,
        #[default = 0] _n: usize,
        #[default = None] _x: Option<&[f32]>,
    ) -> Result<()> {
        self.optimize_pq_for_hamming(pq)
    }

    /// Bytes that each thread of the training needs.
    #[name = "memory_usage_per_thread"]
    fn memory_of_thread(&self, pq: &ProductQuantizer) -> usize {
        memory_usage_per_thread(pq)
    }
}

/// Two tables of f64 and one of f32 over pairs of centroids.
fn memory_usage_per_thread(pq: &ProductQuantizer) -> usize {
    pq.ksub.saturating_mul(pq.ksub).saturating_mul(2 * size_of::<f64>() + size_of::<f32>())
}

impl PolysemousTraining {
    /// How many of `n` training points the product quantizer's own training gets: the first ones.
    pub fn points_for_centroids(&self, n: usize) -> usize {
        n - usize::try_from(self.ntrain_permutation).unwrap_or(0).min(n / 4)
    }

    /// Gives the centroids new numbers.
    pub fn optimize_pq_for_hamming(&self, pq: &mut ProductQuantizer) -> Result<()> {
        pq.check()?;
        match self.optimization_type {
            OT_NONE => return Ok(()),
            OT_REPRODUCE_DISTANCES_AFFINE => {}
            other => return Err(Error::not_implemented(format!("optimization_type {other} of PolysemousTraining"))),
        }
        // Fewer bits leave no room for distances to differ.
        if pq.nbits < 2 {
            return Ok(());
        }
        let memory = memory_usage_per_thread(pq);
        if memory > self.max_memory {
            let message =
                format!("polysemous training needs {memory} bytes a thread, max_memory is {}", self.max_memory);
            return Err(Error::failed("memory_usage_per_thread(pq) <= max_memory", message));
        }
        let found: Vec<Mutex<Vec<u32>>> = (0..pq.M).map(|_| Mutex::new(Vec::new())).collect();
        let done = Mutex::new(0);
        let optimize = |m: usize| {
            *found[m].lock() = self.permutation(pq.get_centroids(m), pq.dsub, pq.nbits, m)?;
            let mut done = done.lock();
            *done += 1;
            progress::report("polysemous permutations", *done, pq.M);
            Ok(())
        };
        if memory.saturating_mul(threads::available()) > self.max_memory {
            (0..pq.M).try_for_each(optimize)?;
        } else {
            threads::parallel_for(pq.M, optimize)?;
        }
        let (size, dsub) = (pq.ksub * pq.dsub, pq.dsub);
        for (m, numbers) in found.into_iter().enumerate() {
            let old = pq.get_centroids(m).to_vec();
            let new = &mut pq.centroids[m * size..(m + 1) * size];
            for (centroid, number) in old.chunks_exact(dsub.max(1)).zip(numbers.into_inner()) {
                new[number as usize * dsub..(number as usize + 1) * dsub].copy_from_slice(centroid);
            }
        }
        pq.transposed_centroids.clear();
        pq.centroids_sq_lengths.clear();
        pq.sdc_table.clear();
        Ok(())
    }

    /// The new numbers of one part's centroids.
    fn permutation(&self, centroids: &[f32], dsub: usize, nbits: usize, m: usize) -> Result<Vec<u32>> {
        let objective = Objective::new(centroids, dsub, nbits, self.dis_weight_factor);
        let mut rng = RandomGenerator::new(i64::from(self.seed));
        let mut best: Option<(f64, Vec<u32>)> = None;
        for redo in 0..self.n_redo {
            let mut state = State::new(&objective, self.init_random.then_some(&mut rng));
            let start = state.cost();
            let cost = self.anneal(&mut state, start, nbits, &mut rng)?;
            if self.verbose > 0 {
                println!("  polysemous training of part {m}, run {redo}: cost {start} -> {cost}");
            }
            if best.as_ref().is_none_or(|(b, _)| cost < *b) {
                best = Some((cost, state.perm));
            }
        }
        Ok(best.map_or_else(|| (0..1u32 << nbits).collect(), |(_, perm)| perm))
    }

    /// Tries `n_iter` swaps; returns the cost.
    fn anneal(&self, state: &mut State<'_>, start: f64, nbits: usize, rng: &mut RandomGenerator) -> Result<f64> {
        let n = 1i32 << nbits;
        let (mut cost, mut temperature) = (start, self.init_temperature);
        for iteration in 0..self.n_iter {
            if iteration % 4096 == 0 {
                interrupt::check()?;
            }
            temperature *= self.temperature_decay;
            let i = rng.rand_int_max(n);
            let j = if self.only_bit_flips {
                i ^ 1 << rng.rand_int_max(nbits as i32)
            } else {
                let j = rng.rand_int_max(n - 1);
                if j == i { j + 1 } else { j }
            };
            let change = state.change(i as usize, j as usize);
            if change < 0.0 || f64::from(rng.rand_float()) < temperature {
                state.swap(i as usize, j as usize);
                cost += change;
            }
        }
        Ok(cost)
    }
}

/// What a permutation is to minimize: the sum over pairs of centroids of `weight * (wanted - Hamming distance)²`.
struct Objective {
    n: usize,
    /// `2 * weight * wanted` and `weight`, `n * n` each.
    pull: Vec<f64>,
    weights: Vec<f64>,
    /// The part of the sum that does not depend on the permutation.
    constant: f64,
}

impl Objective {
    fn new(centroids: &[f32], dsub: usize, nbits: usize, dis_weight_factor: f64) -> Self {
        let n = 1usize << nbits;
        let rows = || centroids.chunks_exact(dsub.max(1)).take(n);
        let distances: Vec<f64> = rows().flat_map(|a| rows().map(move |b| f64::from(simd::fvec_L2sqr(a, b)))).collect();
        let (sum, squares) = distances.iter().fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
        let mean = sum / distances.len() as f64;
        let deviation = (squares / distances.len() as f64 - mean * mean).max(0.0).sqrt();
        // Mean and variance of the Hamming distance of random codes, in whole numbers as Faiss has them.
        let (to_mean, to_deviation) = ((nbits / 2) as f64, ((nbits / 4) as f64).sqrt());
        let scale = if deviation > 0.0 { to_deviation / deviation } else { 0.0 };
        let (mut pull, mut weights, mut constant) = (distances, vec![0.0; n * n], 0.0);
        for (pull, weight) in pull.iter_mut().zip(&mut weights) {
            let wanted = (*pull - mean) * scale + to_mean;
            *weight = (-dis_weight_factor * wanted).exp();
            *pull = 2.0 * *weight * wanted;
            constant += *weight * wanted * wanted;
        }
        Objective { n, pull, weights, constant }
    }

    fn row<'a>(&self, table: &'a [f64], i: usize) -> &'a [f64] {
        &table[i * self.n..(i + 1) * self.n]
    }
}

/// A permutation, and the Hamming distances between all its numbers: kept because few of the swaps that are tried are made.
struct State<'a> {
    objective: &'a Objective,
    perm: Vec<u32>,
    hamming: Vec<f32>,
}

impl<'a> State<'a> {
    fn new(objective: &'a Objective, shuffle: Option<&mut RandomGenerator>) -> Self {
        let n = objective.n;
        let mut perm: Vec<u32> = (0..n as u32).collect();
        if let Some(rng) = shuffle {
            (0..n).for_each(|i| perm.swap(i, i + rng.rand_int_max((n - i) as i32) as usize));
        }
        let hamming = perm.iter().flat_map(|a| perm.iter().map(move |b| (a ^ b).count_ones() as f32)).collect();
        State { objective, perm, hamming }
    }

    fn cost(&self) -> f64 {
        let tables = self.objective.pull.iter().zip(&self.objective.weights);
        let moved =
            tables.zip(&self.hamming).map(|((pull, weight), h)| f64::from(*h) * (weight * f64::from(*h) - pull));
        self.objective.constant + moved.sum::<f64>()
    }

    /// By how much the cost changes if two numbers are swapped. The distance between the two themselves does not change.
    fn change(&self, i: usize, j: usize) -> f64 {
        const LANES: usize = 4;
        let n = self.objective.n;
        let (hi, hj) = (&self.hamming[i * n..(i + 1) * n], &self.hamming[j * n..(j + 1) * n]);
        let (pi, pj) = (self.objective.row(&self.objective.pull, i), self.objective.row(&self.objective.pull, j));
        let (wi, wj) = (self.objective.row(&self.objective.weights, i), self.objective.row(&self.objective.weights, j));
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
        let n = self.objective.n;
        self.perm.swap(i, j);
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

    #[test]
    fn changes_add_up_to_the_cost() {
        let centroids: Vec<f32> = (0..32 * 3).map(|i| ((i * 7919) % 101) as f32 / 50.0).collect();
        let objective = Objective::new(&centroids, 3, 5, 0.7);
        let mut rng = RandomGenerator::new(7);
        let mut state = State::new(&objective, Some(&mut rng));
        let mut cost = state.cost();
        for _ in 0..200 {
            let (i, j) = (rng.rand_int_max(32) as usize, rng.rand_int_max(32) as usize);
            if i != j {
                cost += state.change(i, j);
                state.swap(i, j);
            }
        }
        let naive: f64 = (0..32 * 32)
            .map(|at| {
                let (weight, h) =
                    (objective.weights[at], f64::from((state.perm[at / 32] ^ state.perm[at % 32]).count_ones()));
                let wanted = objective.pull[at] / (2.0 * weight);
                weight * (wanted - h) * (wanted - h)
            })
            .sum();
        assert!((cost - naive).abs() < 1e-9 * naive && (state.cost() - naive).abs() < 1e-9 * naive);
    }

    #[test]
    fn hamming_distances_follow_distances_afterwards() {
        let mut pq = ProductQuantizer::new(4, 2, 5).unwrap();
        crate::random::float_rand(&mut pq.centroids, 3).unwrap();
        let before = pq.centroids.clone();
        let training = PolysemousTraining::default();
        let training = PolysemousTraining {
            annealing: SimulatedAnnealingParameters { n_iter: 20_000, ..training.annealing.clone() },
            ..training
        };
        let cost = |pq: &ProductQuantizer| State::new(&Objective::new(pq.get_centroids(0), 2, 5, 0.7), None).cost();
        let start = cost(&pq);
        training.optimize_pq_for_hamming(&mut pq).unwrap();
        assert!(cost(&pq) < 0.7 * start);
        let sorted = |mut x: Vec<f32>| {
            x.sort_by(f32::total_cmp);
            x
        };
        assert_eq!(sorted(before), sorted(pq.centroids.clone()));
        let unknown = PolysemousTraining { optimization_type: 2, ..training.clone() };
        assert!(unknown.optimize_pq_for_hamming(&mut pq).is_err());
        assert!(PolysemousTraining { max_memory: 10, ..training }.optimize_pq_for_hamming(&mut pq).is_err());
    }
}
