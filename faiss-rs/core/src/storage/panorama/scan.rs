//! One query against vectors cut into levels: level after level, those that can no longer come below a threshold are given up.

use std::ops::Range;

use super::Panorama;
use crate::base::{Error, Result};
use crate::simd;

/// The part of the lengths of query and vector by which sums of products may be wrong.
const ROUNDING: f32 = 4e-6;

/// Levels of vectors: looked at, and all there were.
#[derive(Clone, Copy, Default, Debug)]
pub struct Scanned {
    /// Levels that were looked at.
    pub levels: u64,
    /// Levels that there were.
    pub of: u64,
}

/// A query that is compared by squared L2 distance or inner product.
pub struct PanoramaQuery<'a> {
    pano: &'a Panorama,
    similarity: bool,
    query: Vec<f32>,
    sums: Vec<f32>,
    active: Vec<u32>,
    products: Vec<f32>,
    /// What was looked at.
    pub scanned: Scanned,
}

impl<'a> PanoramaQuery<'a> {
    /// For vectors that are laid out so.
    pub fn new(pano: &'a Panorama, similarity: bool) -> Self {
        PanoramaQuery {
            pano,
            similarity,
            query: vec![0.0; pano.d],
            sums: vec![0.0; pano.n_levels + 1],
            active: Vec::new(),
            products: Vec::new(),
            scanned: Scanned::default(),
        }
    }

    /// Takes a query.
    pub fn set(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.pano.d, "x.size() == d")?;
        self.query.copy_from_slice(x);
        let sums = &mut self.sums;
        self.pano.sums_of(x, |level, sum| sums[level] = sum);
        Ok(())
    }

    /// Keys of vectors that lie one after the other.
    pub fn keys_of_rows(&self, rows: &[f32], keys: &mut [f32]) {
        if self.similarity {
            simd::fvec_inner_products_ny(keys, &self.query, rows);
            simd::fvec_scale(keys, -1.0);
        } else {
            simd::fvec_L2sqr_ny(keys, &self.query, rows);
        }
    }

    /// Keys of the vectors `rows`, the smaller the better; infinity for those whose key is not below the threshold, and those not `wanted`. `wanted`
    /// has a flag for each of `rows`. The keys are those of whole vectors: that some were given up changes no result.
    pub fn keys(
        &mut self,
        codes: &[f32],
        sums: &[f32],
        rows: Range<usize>,
        wanted: Option<&[bool]>,
        threshold: f32,
        keys: &mut [f32],
    ) {
        let (mut first, batch) = (rows.start, self.pano.batch_size);
        while first < rows.end {
            let end = (first / batch + 1).saturating_mul(batch).min(rows.end);
            let own = first - rows.start..end - rows.start;
            let wanted = wanted.map(|flags| &flags[own.clone()]);
            self.batch(codes, sums, first, wanted, threshold, &mut keys[own]);
            first = end;
        }
    }

    /// As [`PanoramaQuery::keys`], from `first` on and within a batch.
    fn batch(
        &mut self,
        codes: &[f32],
        sums: &[f32],
        first: usize,
        wanted: Option<&[bool]>,
        threshold: f32,
        keys: &mut [f32],
    ) {
        let (pano, n, norm) = (self.pano, keys.len(), self.sums[0]);
        self.active.clear();
        self.active.extend((0..n as u32).filter(|i| wanted.is_none_or(|flags| flags[*i as usize])));
        self.scanned.of += (self.active.len() * pano.n_levels) as u64;
        let factor = if self.similarity { 1.0 } else { 2.0 };
        let lengths = &sums[pano.sum_place(first, 0)..][..n];
        for (key, length) in keys.iter_mut().zip(lengths) {
            *key = if self.similarity { 0.0 } else { norm * norm + length * length };
        }
        for level in 0..pano.n_levels {
            if self.active.is_empty() {
                break;
            }
            self.scanned.levels += self.active.len() as u64;
            self.products_of(codes, first, level, n);
            let rest = &sums[pano.sum_place(first, level + 1)..][..n];
            let query_rest = self.sums[level + 1];
            let mut kept = 0;
            for at in 0..self.active.len() {
                let i = self.active[at] as usize;
                keys[i] -= factor * self.products[at];
                // What the levels to come can still take away, and what rounding may have added.
                let slack = (norm + lengths[i]) * (norm + lengths[i]) * ROUNDING;
                let least = keys[i] - factor * query_rest * rest[i] - slack;
                // A bound that is no number keeps the vector.
                let out = least >= threshold;
                self.active[kept] = i as u32;
                kept += usize::from(!out);
            }
            self.active.truncate(kept);
        }
        // Of those that are left, the keys as they are without the detour over lengths.
        let mut left = self.active.iter().peekable();
        for (i, key) in keys.iter_mut().enumerate() {
            if left.next_if(|at| **at as usize == i).is_none() {
                *key = f32::INFINITY;
            } else if !self.similarity {
                let parts = (0..pano.n_levels).map(|level| {
                    simd::fvec_L2sqr(&self.query[pano.level(level)], &codes[pano.place(first + i, level)])
                });
                *key = parts.sum();
            }
        }
    }

    /// Inner products of a level with that of the active vectors.
    fn products_of(&mut self, codes: &[f32], first: usize, level: usize, n: usize) {
        let pano = self.pano;
        let (query, width) = (&self.query[pano.level(level)], pano.level(level).len());
        let start = pano.place(first, level).start;
        self.products.clear();
        self.products.resize(self.active.len(), 0.0);
        if self.active.len() == n {
            simd::fvec_inner_products_ny(&mut self.products, query, &codes[start..start + n * width]);
            return;
        }
        let row = |i: u32| &codes[start + i as usize * width..][..width];
        let (fours, rest) = self.active.as_chunks::<4>();
        for (four, out) in fours.iter().zip(self.products.chunks_exact_mut(4)) {
            out.copy_from_slice(&simd::fvec_inner_product_batch_4(query, four.map(row)));
        }
        let done = fours.len() * 4;
        for (i, out) in rest.iter().zip(&mut self.products[done..]) {
            *out = simd::fvec_inner_product(query, row(*i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::float_randn;

    #[test]
    fn keys_below_the_threshold_are_those_of_whole_vectors() {
        let (d, n) = (37, 300);
        let (mut x, mut query) = (vec![0f32; n * d], vec![0f32; d]);
        float_randn(&mut x, 1).unwrap();
        float_randn(&mut query, 2).unwrap();
        for (levels, batch, similarity) in [(1, 64, false), (6, 50, false), (37, 7, true), (4, 1000, true)] {
            let pano = Panorama::new(d * 4, levels, batch).unwrap();
            let (mut codes, mut sums) = (vec![0.0; pano.floats(n).unwrap()], vec![0.0; pano.sums_len(n)]);
            pano.put(&mut codes, 0, &x);
            pano.put_sums(&mut sums, 0, &x);
            let want: Vec<f64> = x
                .chunks_exact(d)
                .map(|row| {
                    let pairs = row.iter().zip(&query).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                    if similarity {
                        -pairs.map(|(a, b)| a * b).sum::<f64>()
                    } else {
                        pairs.map(|(a, b)| (a - b).powi(2)).sum()
                    }
                })
                .collect();
            let mut sorted = want.clone();
            sorted.sort_by(f64::total_cmp);
            let wanted: Vec<bool> = (0..n).map(|i| i % 3 != 0).collect();
            for threshold in [f32::MAX, sorted[20] as f32, sorted[0] as f32 - 1.0] {
                let mut search = PanoramaQuery::new(&pano, similarity);
                search.set(&query).unwrap();
                let rows = 5..n - 3;
                let mut keys = vec![0.0; rows.len()];
                search.keys(&codes, &sums, rows.clone(), Some(&wanted[rows.clone()]), threshold, &mut keys);
                for (i, key) in rows.clone().zip(&keys) {
                    let close = (f64::from(*key) - want[i]).abs() < 1e-3;
                    assert!(if !wanted[i] {
                        key.is_infinite()
                    } else {
                        close || want[i] > f64::from(threshold) - 1e-3
                    });
                }
                assert!(search.scanned.levels <= search.scanned.of);
                assert!(levels == 1 || threshold != sorted[20] as f32 || search.scanned.levels < search.scanned.of);
            }
        }
    }
}
