//! Polysemous codes: the numbers of a product quantizer's centroids, chosen such that the Hamming distance of two codes tells how far apart
//! the vectors are (Douze, Jégou and Perronnin 2016). A permutation of each part's centroids is found by simulated annealing.
//!
//! | file | holds |
//! |---|---|
//! | `annealing.rs` | the search for a permutation |
//! | `distances.rs` | permutations by which distances are reproduced |
//! | `ranking.rs` | permutations by which rankings are kept |
//!
//! Here: which of them trains a product quantizer.

pub mod annealing;
pub mod distances;
mod ranking;

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::ProductQuantizer;
use crate::base::{Error, Result, progress, threads};
use crate::random::RandomGenerator;
use crate::registry::Row;
use annealing::SimulatedAnnealingParameters;
use distances::Centroids;
use ranking::Rankings;

/// Leaves the numbers as they are.
pub const OT_NONE: i32 = 0;
/// Hamming distances are to reproduce the distances between centroids, scaled and shifted.
pub const OT_REPRODUCE_DISTANCES_AFFINE: i32 = 1;
/// Hamming distances are to keep the ranking of what is near to a vector, the first ranks above all.
pub const OT_RANKING_WEIGHTED_DIFF: i32 = 2;

/// How a product quantizer's centroids get new numbers.
///
/// Douze, Jégou and Perronnin, Polysemous codes, 2016.
#[derive(Object, Clone)]
#[object(methods)]
pub struct PolysemousTraining {
    /// How orders are looked for.
    #[object(parent)]
    pub annealing: SimulatedAnnealingParameters,
    /// 0: not at all; 1: after the distances between centroids; 2: after rankings, slowly and for 8 bits only.
    #[object(default = OT_REPRODUCE_DISTANCES_AFFINE)]
    pub optimization_type: i32,
    /// Points of the training set that are kept from the product quantizer's own training.
    pub ntrain_permutation: i32,
    /// A pair of centroids at distance x counts by exp(-this * x): near ones matter most.
    #[object(default = std::f64::consts::LN_2)]
    pub dis_weight_factor: f64,
    /// Bytes that training may use.
    #[object(default = 20 << 30)]
    pub max_memory: usize,
    /// Accepted for compatibility: no log is written.
    pub log_pattern: String,
}

pub(crate) const ROW: Row = Row::of::<PolysemousTraining>();

#[methods(new)]
impl PolysemousTraining {
    /// Gives the centroids new numbers, as `optimization_type` says. Rankings are those of vectors (n, d), or of the centroids without.
    pub fn optimize_pq_for_hamming(&self, pq: &mut ProductQuantizer, x: &[f32]) -> Result<()> {
        match self.optimization_type {
            OT_NONE => pq.check(),
            OT_REPRODUCE_DISTANCES_AFFINE => self.optimize_reproduce_distances(pq),
            OT_RANKING_WEIGHTED_DIFF => self.optimize_ranking(pq, x),
            other => Err(Error::not_implemented(format!("optimization_type {other} of PolysemousTraining"))),
        }
    }

    /// Gives the centroids numbers whose Hamming distances reproduce the distances between them.
    pub fn optimize_reproduce_distances(&self, pq: &mut ProductQuantizer) -> Result<()> {
        pq.check()?;
        // Fewer bits leave no room for distances to differ.
        if pq.nbits < 2 {
            return Ok(());
        }
        let (dsub, nbits) = (pq.dsub, pq.nbits);
        let found = self.of_parts(pq, |m, centroids| {
            let of = Centroids::new(centroids, dsub, nbits, self.dis_weight_factor);
            self.permutation(1 << nbits, m, |numbers| of.state(numbers))
        })?;
        renumber(pq, &found);
        Ok(())
    }

    /// Gives the centroids numbers whose Hamming distances keep rankings: of the last three quarters of vectors (n, d) by their distance to
    /// each of the first quarter, or of the centroids by theirs to each other.
    pub fn optimize_ranking(&self, pq: &mut ProductQuantizer, x: &[f32]) -> Result<()> {
        pq.check()?;
        Error::check(pq.nbits == 8, "pq.nbits == 8")?;
        let n = pq.rows(x)?;
        let mut codes = vec![0; n * pq.code_size];
        pq.compute_codes(x, &mut codes)?;
        let (parts, d, dsub) = (pq.M, pq.d, pq.dsub);
        let found = self.of_parts(pq, |m, centroids| {
            let of = if n > 0 {
                let part = |row: &[f32]| row[m * dsub..(m + 1) * dsub].to_vec();
                let rows: Vec<f32> = x.chunks_exact(d.max(1)).flat_map(part).collect();
                let numbers: Vec<u32> = codes.chunks_exact(parts).map(|code| u32::from(code[m])).collect();
                Rankings::new(8, &numbers, n / 4, &rows, dsub)
            } else {
                Rankings::of_centroids(8, centroids, dsub)
            };
            self.permutation(256, m, |numbers| of.state(numbers))
        })?;
        renumber(pq, &found);
        Ok(())
    }

    /// Bytes that each thread of the training needs.
    pub fn memory_usage_per_thread(&self, pq: &ProductQuantizer) -> usize {
        match self.optimization_type {
            // A number for each three centroids.
            OT_RANKING_WEIGHTED_DIFF => pq.ksub.saturating_pow(3).saturating_mul(size_of::<f32>()),
            // Two tables of f64 and one of f32 over pairs of centroids.
            _ => pq.ksub.saturating_pow(2).saturating_mul(2 * size_of::<f64>() + size_of::<f32>()),
        }
    }
}

/// Moves each centroid to its new number.
fn renumber(pq: &mut ProductQuantizer, found: &[Vec<u32>]) {
    let (size, dsub) = (pq.ksub * pq.dsub, pq.dsub);
    for (m, numbers) in found.iter().enumerate() {
        let old = pq.get_centroids(m).to_vec();
        let new = &mut pq.centroids[m * size..(m + 1) * size];
        for (centroid, number) in old.chunks_exact(dsub.max(1)).zip(numbers) {
            new[*number as usize * dsub..(*number as usize + 1) * dsub].copy_from_slice(centroid);
        }
    }
    pq.transposed_centroids.clear();
    pq.centroids_sq_lengths.clear();
    pq.sdc_table.clear();
}

impl PolysemousTraining {
    /// How many of `n` training points the product quantizer's own training gets: the first ones.
    pub fn points_for_centroids(&self, n: usize) -> usize {
        n - usize::try_from(self.ntrain_permutation).unwrap_or(0).min(n / 4)
    }

    /// The new numbers of each part, several parts at a time where the memory allows it.
    fn of_parts(
        &self,
        pq: &ProductQuantizer,
        of: impl Fn(usize, &[f32]) -> Result<Vec<u32>> + Sync,
    ) -> Result<Vec<Vec<u32>>> {
        let memory = self.memory_usage_per_thread(pq);
        if memory > self.max_memory {
            let message =
                format!("polysemous training needs {memory} bytes a thread, max_memory is {}", self.max_memory);
            return Err(Error::failed("memory_usage_per_thread(pq) <= max_memory", message));
        }
        let found: Vec<Mutex<Vec<u32>>> = (0..pq.M).map(|_| Mutex::new(Vec::new())).collect();
        let done = Mutex::new(0);
        let optimize = |m: usize| {
            *found[m].lock() = of(m, pq.get_centroids(m))?;
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
        Ok(found.into_iter().map(Mutex::into_inner).collect())
    }

    /// The best permutation of one part's numbers.
    fn permutation<P: annealing::Permutation>(
        &self,
        n: usize,
        m: usize,
        of: impl Fn(Vec<u32>) -> P,
    ) -> Result<Vec<u32>> {
        let mut rng = RandomGenerator::new(i64::from(self.seed));
        let heard = |run: i32, start: f64, cost: f64| {
            if self.verbose > 0 {
                println!("  polysemous training of part {m}, run {run}: cost {start} -> {cost}");
            }
        };
        Ok(self.best(n, &mut rng, of, heard)?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let cost = |pq: &ProductQuantizer| {
            annealing::Permutation::cost(&Centroids::new(pq.get_centroids(0), 2, 5, 0.7).state((0..32).collect()))
        };
        let start = cost(&pq);
        training.optimize_pq_for_hamming(&mut pq, &[]).unwrap();
        assert!(cost(&pq) < 0.7 * start);
        let sorted = |mut x: Vec<f32>| {
            x.sort_by(f32::total_cmp);
            x
        };
        assert_eq!(sorted(before), sorted(pq.centroids.clone()));
        for wrong in [
            PolysemousTraining { optimization_type: 77, ..training.clone() },
            PolysemousTraining { optimization_type: OT_RANKING_WEIGHTED_DIFF, ..training.clone() },
            PolysemousTraining { max_memory: 10, ..training },
        ] {
            assert!(wrong.optimize_pq_for_hamming(&mut pq, &[]).is_err());
        }
    }
}
