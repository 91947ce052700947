//! Permutations that keep rankings: of two vectors, the one that is nearer to a third should have the lower Hamming distance.

use super::annealing::Permutation;
use crate::simd;

/// For each three numbers of centroids (i, j, k), how much it counts that j is nearer to i than k is: most where j ranks high, or little lies
/// between.
pub(super) struct Rankings {
    n: usize,
    wins: Vec<f32>,
}

impl Rankings {
    /// Of vectors (n, dsub) with these numbers: the first `queries` of them rank the others.
    pub fn new(nbits: usize, numbers: &[u32], queries: usize, rows: &[f32], dsub: usize) -> Self {
        let (few, many) = rows.split_at(queries * dsub);
        let mut distances = vec![0.0; numbers.len() - queries];
        let mut of = Rankings::empty(nbits);
        for (query, row) in numbers.iter().zip(few.chunks_exact(dsub.max(1))) {
            simd::fvec_L2sqr_ny(&mut distances, row, many);
            of.rank(*query, &numbers[queries..], &distances);
        }
        of
    }

    /// Of the centroids of one part, each of which ranks all.
    pub fn of_centroids(nbits: usize, centroids: &[f32], dsub: usize) -> Self {
        let numbers: Vec<u32> = (0..1 << nbits).collect();
        let mut distances = vec![0.0; numbers.len()];
        let mut of = Rankings::empty(nbits);
        for (query, row) in numbers.iter().zip(centroids.chunks_exact(dsub.max(1))) {
            simd::fvec_L2sqr_ny(&mut distances, row, centroids);
            of.rank(*query, &numbers, &distances);
        }
        of
    }

    fn empty(nbits: usize) -> Self {
        let n = 1 << nbits;
        Rankings { n, wins: vec![0f32; n * n * n] }
    }

    /// Takes in how a query ranks vectors with these numbers.
    fn rank(&mut self, query: u32, numbers: &[u32], distances: &[f32]) {
        let n = self.n;
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        for (rank, near) in order.iter().enumerate() {
            let row = &mut self.wins[(query as usize * n + numbers[*near] as usize) * n..][..n];
            for (between, far) in order[rank + 1..].iter().enumerate() {
                row[numbers[*far] as usize] += 1.0 / ((rank + 1) * (between + 2)) as f32;
            }
        }
    }

    pub fn state(&self, numbers: Vec<u32>) -> Ranked<'_> {
        Ranked { of: self, numbers }
    }
}

/// A permutation of the centroids' numbers.
pub(super) struct Ranked<'a> {
    of: &'a Rankings,
    numbers: Vec<u32>,
}

impl Ranked<'_> {
    /// What counts and is kept, of all threes that begin with these two places.
    fn kept(&self, numbers: &[u32], i: usize, j: usize) -> f64 {
        let n = self.of.n;
        let limit = (numbers[i] ^ numbers[j]).count_ones();
        let row = self.of.wins[(i * n + j) * n..][..n].iter().zip(numbers);
        row.map(|(wins, k)| if limit < (numbers[i] ^ k).count_ones() { f64::from(*wins) } else { 0.0 }).sum()
    }

    /// What counts and is kept, of all threes with one of two places in them.
    fn kept_with(&self, numbers: &[u32], a: usize, b: usize) -> f64 {
        let n = self.of.n;
        let mut sum = 0.0;
        for i in 0..n {
            if i == a || i == b {
                sum += (0..n).map(|j| self.kept(numbers, i, j)).sum::<f64>();
                continue;
            }
            sum += self.kept(numbers, i, a) + self.kept(numbers, i, b);
            let distance = |at: usize| (numbers[i] ^ numbers[at]).count_ones();
            let (far, table) = ([distance(a), distance(b)], &self.of.wins[i * n * n..(i + 1) * n * n]);
            for j in (0..n).filter(|j| *j != a && *j != b) {
                let (near, row) = (distance(j), &table[j * n..(j + 1) * n]);
                sum += if near < far[0] { f64::from(row[a]) } else { 0.0 };
                sum += if near < far[1] { f64::from(row[b]) } else { 0.0 };
            }
        }
        sum
    }
}

impl Permutation for Ranked<'_> {
    fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    fn cost(&self) -> f64 {
        let n = self.of.n;
        -(0..n * n).map(|pair| self.kept(&self.numbers, pair / n, pair % n)).sum::<f64>()
    }

    fn change(&self, i: usize, j: usize) -> f64 {
        let mut after = self.numbers.clone();
        after.swap(i, j);
        self.kept_with(&self.numbers, i, j) - self.kept_with(&after, i, j)
    }

    fn swap(&mut self, i: usize, j: usize) {
        self.numbers.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{RandomGenerator, float_rand};

    #[test]
    fn changes_add_up_to_the_cost() {
        let mut rng = RandomGenerator::new(3);
        let numbers: Vec<u32> = (0..20).map(|_| rng.rand_int_max(16) as u32).collect();
        let mut rows = vec![0f32; 20];
        float_rand(&mut rows, 8).unwrap();
        let of = Rankings::new(4, &numbers, 5, &rows, 1);
        let mut state = of.state((0..16).rev().collect());
        let mut cost = state.cost();
        for _ in 0..50 {
            let (i, j) = (rng.rand_int_max(16) as usize, rng.rand_int_max(16) as usize);
            cost += state.change(i, j);
            state.swap(i, j);
        }
        assert!((cost - state.cost()).abs() < 1e-6 * cost.abs());
        // By the definition, from the vectors themselves.
        let hamming = |a: u32, b: u32| (state.numbers[a as usize] ^ state.numbers[b as usize]).count_ones();
        let mut kept = 0.0;
        for (query, row) in numbers[..5].iter().zip(&rows) {
            let distances: Vec<f32> = rows[5..].iter().map(|other| (row - other).powi(2)).collect();
            for (near, far) in (0..15 * 15).map(|pair| (pair / 15, pair % 15)) {
                let rank = |at: usize| distances.iter().filter(|other| **other < distances[at]).count();
                let (a, b) = (rank(near), rank(far));
                if a < b && hamming(*query, numbers[5 + near]) < hamming(*query, numbers[5 + far]) {
                    kept += 1.0 / ((a + 1) * (b - a + 1)) as f64;
                }
            }
        }
        assert!((kept + cost).abs() < 1e-6 * kept);
    }
}
