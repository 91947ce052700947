//! Vectors cut into levels, a few coordinates each, so that a search may give a vector up after its first levels (Ramani et al., "Panorama: fast-track
//! nearest neighbors", 2025). Sees what storage sees.
//!
//! - here: how levels and the norms of what follows them lie in memory
//! - `scan`: the search of one query, level after level
//! - `lists`: inverted lists that lie so

pub mod lists;
pub mod scan;

use std::ops::Range;

use faiss_derive::{Object, methods};

use crate::base::declare::{Array, Shaped};
use crate::base::{Error, Result};
use crate::registry::Row;

/// Vectors of a batch, where nothing else is said.
pub const DEFAULT_BATCH_SIZE: usize = 1024;
/// The same in files that do not name it.
pub const LEGACY_BATCH_SIZE: usize = 128;
/// A list takes memory for a whole batch; larger ones are a mistake.
const MAX_BATCH_SIZE: usize = 1 << 20;

/// How vectors lie: in batches; of a batch, the first level of all its vectors, then the second, and so on. The last batch is as long as the others.
///
/// Beside them lie, in the same order, the L2 norms of what is left of each vector from each level on, and a 0 behind the last.
#[derive(Object, Clone, Debug)]
#[object(methods, copy)]
pub struct Panorama {
    /// Vector dimension.
    #[object(readonly, default = 1)]
    pub d: usize,
    /// Bytes of one vector.
    #[object(readonly, default = 4)]
    pub code_size: usize,
    /// Number of levels.
    #[object(readonly, default = 1)]
    pub n_levels: usize,
    /// Bytes of a level; the last may have fewer.
    #[object(readonly, default = 4)]
    pub level_width: usize,
    /// Numbers of a level.
    #[object(readonly, default = 1)]
    pub level_width_floats: usize,
    /// Vectors of a batch.
    #[object(readonly, default = DEFAULT_BATCH_SIZE)]
    pub batch_size: usize,
}

pub(crate) const ROW: Row = Row::of::<Panorama>();

#[methods]
impl Panorama {
    /// Of vectors of `code_size` bytes. Levels that nothing would be left for are dropped.
    #[new]
    pub fn new(code_size: usize, n_levels: usize, batch_size: usize) -> Result<Self> {
        let d = code_size / size_of::<f32>();
        Error::check(code_size.is_multiple_of(size_of::<f32>()), "code_size % sizeof(float) == 0")?;
        Error::check(n_levels > 0, "n_levels > 0")?;
        Error::check((1..=MAX_BATCH_SIZE).contains(&batch_size), "batch_size > 0 && batch_size <= 2^20")?;
        if n_levels > d {
            return Err(Error::failed("!(n_levels <= d)", "Panorama: n_levels must be <= d"));
        }
        let width = d.div_ceil(n_levels);
        Ok(Panorama {
            d,
            code_size,
            n_levels: d.div_ceil(width),
            level_width: width * size_of::<f32>(),
            level_width_floats: width,
            batch_size,
        })
    }

    /// `codes` with the vectors `code` at the places from `offset` on.
    #[name = "copy_codes_to_level_layout"]
    fn with_vectors(&self, codes: &[f32], offset: usize, code: &[f32]) -> Result<Vec<f32>> {
        let mut codes = codes.to_vec();
        let end = self.end(offset, code)?;
        Error::check(
            self.floats(end).is_some_and(|floats| floats <= codes.len()),
            "codes.size() >= (offset + n_entry) * code_size",
        )?;
        self.put(&mut codes, offset, code);
        Ok(codes)
    }

    /// `cumsum_base` with the norms of `vectors` at the places from `offset` on.
    #[name = "compute_cumulative_sums"]
    fn with_norms(&self, cumsum_base: &[f32], offset: usize, vectors: &[f32]) -> Result<Vec<f32>> {
        let mut sums = cumsum_base.to_vec();
        let end = self.end(offset, vectors)?;
        Error::check(self.sums_len(end) <= sums.len(), "cum_sums.size() >= (offset + n_entry) * (n_levels + 1)")?;
        self.put_sums(&mut sums, offset, vectors);
        Ok(sums)
    }

    /// The norms of what is left of a query from each level on: `n_levels + 1` numbers.
    #[name = "compute_query_cum_sums"]
    fn norms_of(&self, query: &[f32]) -> Result<Vec<f32>> {
        Error::check(query.len() == self.d, "query.size() == d")?;
        let mut sums = vec![0.0; self.n_levels + 1];
        self.sums_of(query, |level, sum| sums[level] = sum);
        Ok(sums)
    }

    /// The vector at a place.
    #[name = "reconstruct"]
    fn vector_at(&self, key: usize, codes_base: Array<'_, f32>) -> Result<Shaped<f32>> {
        let end = key.checked_add(1).and_then(|n| self.floats(n));
        Error::check(end.is_some_and(|end| end <= codes_base.items.len()), "key < ntotal")?;
        let mut out = vec![0.0; self.d];
        self.get(codes_base.items, key, &mut out);
        Ok(Shaped(out, vec![self.d]))
    }
}

impl Panorama {
    /// The place behind whole vectors that begin at a place.
    fn end(&self, offset: usize, x: &[f32]) -> Result<usize> {
        Error::check(x.len().is_multiple_of(self.d), "code.size() == n_entry * code_size")?;
        offset.checked_add(x.len() / self.d).ok_or_else(|| Error::failed("offset + n_entry fits", ""))
    }

    /// Numbers that `n` vectors take: whole batches.
    pub fn floats(&self, n: usize) -> Option<usize> {
        n.div_ceil(self.batch_size).checked_mul(self.batch_size)?.checked_mul(self.d)
    }

    /// The same in bytes.
    pub fn bytes(&self, n: usize) -> Option<usize> {
        self.floats(n)?.checked_mul(size_of::<f32>())
    }

    /// Norms that lie beside `n` vectors.
    pub fn sums_len(&self, n: usize) -> usize {
        n.div_ceil(self.batch_size).saturating_mul(self.batch_size).saturating_mul(self.n_levels + 1)
    }

    /// The coordinates of a level.
    pub fn level(&self, level: usize) -> Range<usize> {
        let start = level * self.level_width_floats;
        start..(start + self.level_width_floats).min(self.d)
    }

    /// Where the coordinates of a level of a vector lie.
    #[inline]
    pub fn place(&self, i: usize, level: usize) -> Range<usize> {
        let Range { start, end } = self.level(level);
        let (batch, within) = (i / self.batch_size, i % self.batch_size);
        let at = batch * self.batch_size * self.d + self.batch_size * start + within * (end - start);
        at..at + end - start
    }

    /// Where the norm of a vector from a level on lies.
    #[inline]
    pub fn sum_place(&self, i: usize, level: usize) -> usize {
        let (batch, within) = (i / self.batch_size, i % self.batch_size);
        (batch * (self.n_levels + 1) + level) * self.batch_size + within
    }

    /// Writes vectors to the places from `first` on, for which there is room.
    pub fn put(&self, codes: &mut [f32], first: usize, x: &[f32]) {
        for (i, row) in x.chunks_exact(self.d).enumerate() {
            for level in 0..self.n_levels {
                codes[self.place(first + i, level)].copy_from_slice(&row[self.level(level)]);
            }
        }
    }

    /// Reads the vector at a place.
    pub fn get(&self, codes: &[f32], i: usize, out: &mut [f32]) {
        for level in 0..self.n_levels {
            out[self.level(level)].copy_from_slice(&codes[self.place(i, level)]);
        }
    }

    /// Writes the norms of vectors to the places from `first` on.
    pub fn put_sums(&self, sums: &mut [f32], first: usize, x: &[f32]) {
        for (i, row) in x.chunks_exact(self.d).enumerate() {
            self.sums_of(row, |level, sum| sums[self.sum_place(first + i, level)] = sum);
        }
    }

    /// The norms of a vector. Squares are added from the last level to the first, within a level in order, as files have them.
    pub fn sums_of(&self, row: &[f32], mut each: impl FnMut(usize, f32)) {
        each(self.n_levels, 0.0);
        let mut sum = 0f32;
        for level in (0..self.n_levels).rev() {
            row[self.level(level)].iter().for_each(|v| sum += v * v);
            each(level, sum.sqrt());
        }
    }

    /// Moves a vector and its norms to an earlier place.
    pub fn move_entry(&self, codes: &mut [f32], sums: &mut [f32], from: usize, to: usize) {
        for level in 0..self.n_levels {
            codes.copy_within(self.place(from, level), self.place(to, level).start);
        }
        for level in 0..=self.n_levels {
            sums[self.sum_place(to, level)] = sums[self.sum_place(from, level)];
        }
    }
}

/// The floats that bytes are, wherever they lie.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|v| f32::from_ne_bytes(*v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_from_any_place() {
        for (d, levels, batch) in [(1, 1, 1), (10, 4, 3), (7, 7, 2), (33, 5, 8)] {
            let pano = Panorama::new(d * 4, levels, batch).unwrap();
            let n = 2 * batch + 1;
            let mut x = vec![0f32; n * d];
            crate::random::float_rand(&mut x, 5).unwrap();
            let (mut codes, mut sums) = (vec![9.0; pano.floats(n).unwrap()], vec![9.0; pano.sums_len(n)]);
            pano.put(&mut codes, 0, &x);
            pano.put_sums(&mut sums, 0, &x);
            let mut places: Vec<usize> = (0..n)
                .flat_map(|i| (0..pano.n_levels).flat_map(move |l| [(i, l)]))
                .flat_map(|(i, l)| pano.place(i, l))
                .collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), n * d);
            let mut row = vec![0f32; d];
            for i in 0..n {
                pano.get(&codes, i, &mut row);
                assert_eq!(row, x[i * d..(i + 1) * d]);
                for level in 0..=pano.n_levels {
                    let start = (level * pano.level_width_floats).min(d);
                    let want: f64 = row[start..].iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                    assert!((f64::from(sums[pano.sum_place(i, level)]) - want).abs() < 1e-5);
                }
            }
            pano.move_entry(&mut codes, &mut sums, n - 1, 0);
            pano.get(&codes, 0, &mut row);
            assert_eq!(row, x[(n - 1) * d..]);
        }
    }

    #[test]
    fn levels_are_as_wide_as_they_must_be() {
        let widths: Vec<(usize, usize)> =
            (1..=10).map(|n| Panorama::new(40, n, 1).unwrap()).map(|p| (p.level_width_floats, p.n_levels)).collect();
        assert_eq!(widths, [(10, 1), (5, 2), (4, 3), (3, 4), (2, 5), (2, 5), (2, 5), (2, 5), (2, 5), (1, 10)]);
        assert!(
            Panorama::new(40, 11, 1).is_err() && Panorama::new(40, 0, 1).is_err() && Panorama::new(40, 1, 0).is_err()
        );
    }
}
