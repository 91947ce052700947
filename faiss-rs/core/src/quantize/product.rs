//! The product quantizer: a vector is cut into `M` parts, each of which is named by its nearest centroid.

use faiss_derive::Object;

use super::bits::{Unpacker, pack};
use super::{MAX_TABLE, QuantizerBase};
use crate::base::memory::filled;
use crate::base::{Error, Result, Shared, threads};
use crate::cluster::ClusteringParameters;
use crate::distance::vectors::argmin;
use crate::index::Index;
use crate::simd;

/// K-means on each part.
pub const TRAIN_DEFAULT: i32 = 0;
/// The centroids are those that are there already, before k-means.
pub const TRAIN_HOT_START: i32 = 1;
/// All parts share one set of centroids.
pub const TRAIN_SHARED: i32 = 2;
/// K-means starts at the corners of a cube.
pub const TRAIN_HYPERCUBE: i32 = 3;
/// K-means starts at the corners of a cube along the principal components.
pub const TRAIN_HYPERCUBE_PCA: i32 = 4;

/// Vectors of one task of encoding or decoding, at least; fewer are encoded one by one.
const MIN_ROWS: usize = 32;
/// Vectors that are encoded together.
const BLOCK: usize = 256;

/// Cuts vectors into `M` parts of `dsub` numbers and replaces each part by the number of its nearest centroid, of `nbits` bits.
///
/// `compute_codes` encodes (n, d) float32 to (n, code_size) uint8, `code_size = (M * nbits + 7) / 8`, and `decode` reverses it. `M` must divide `d`.
/// Jégou, Douze and Schmid, Product quantization for nearest neighbor search, 2011.
#[derive(Object, Clone)]
#[object(copy, methods(super::product_methods::ProductQuantizerMethods))]
pub struct ProductQuantizer {
    /// What every quantizer has.
    #[object(parent)]
    pub base: QuantizerBase,
    /// Number of parts.
    #[object(default = 1)]
    pub M: usize,
    /// Bits of the number of a centroid.
    pub nbits: usize,
    /// Dimension of a part.
    pub dsub: usize,
    /// Number of centroids of a part.
    #[object(default = 1)]
    pub ksub: usize,
    /// Print what training does.
    pub verbose: bool,
    /// How training starts: 0 default, 1 hot start, 2 shared, 3 hypercube, 4 hypercube after PCA.
    #[object(default = TRAIN_DEFAULT)]
    pub train_type: i32,
    /// Parameters of the k-means of each part.
    pub cp: ClusteringParameters,
    /// If set, assigns points to centroids in training.
    pub assign_index: Option<Shared<dyn Index>>,
    /// The centroids, `M * ksub * dsub` numbers.
    pub centroids: Vec<f32>,
    /// The centroids with the coordinate outermost, `dsub * M * ksub`; empty unless `sync_transposed_centroids` was called.
    pub transposed_centroids: Vec<f32>,
    /// Squared norms of the centroids, `M * ksub`, beside `transposed_centroids`.
    pub centroids_sq_lengths: Vec<f32>,
    /// Distances between centroids, `M * ksub * ksub`; empty unless `compute_sdc_table` was called.
    pub sdc_table: Vec<f32>,
}

/// Memory that encoding uses again and again.
#[derive(Default)]
pub struct Scratch {
    numbers: Vec<u32>,
}

/// The centroids of each part with the coordinate outermost: how the kernels want them.
pub struct Transposed {
    dsub: usize,
    ksub: usize,
    y: Vec<f32>,
}

impl Transposed {
    fn part(&self, m: usize) -> &[f32] {
        let size = self.dsub * self.ksub;
        &self.y[m * size..(m + 1) * size]
    }
}

impl ProductQuantizer {
    /// Hamming distances worth trying as a threshold for polysemous codes: up to half of the bits, and all of them, which filters nothing.
    pub fn hamming_thresholds(&self) -> Vec<f64> {
        let bits = self.code_size * 8;
        let some = if self.code_size.is_multiple_of(4) { bits / 2 } else { 0 };
        (2..=some).step_by(2).chain([bits]).map(|threshold| threshold as f64).collect()
    }
}

impl ProductQuantizer {
    /// An untrained quantizer of `d`-dimensional vectors: `m` parts of `d / m`, `2^nbits` centroids each.
    pub fn new(d: usize, m: usize, nbits: usize) -> Result<Self> {
        if m == 0 {
            return Err(Error::failed("!(M > 0)", "M must be > 0"));
        }
        if !d.is_multiple_of(m) {
            let message = "The dimension of the vector (d) should be a multiple of the number of subquantizers (M)";
            return Err(Error::failed("!(d % M == 0)", message));
        }
        if nbits > 24 {
            return Err(Error::failed("nbits > 24", "nbits larger than 24 is not practical."));
        }
        let (dsub, ksub) = (d / m, 1usize << nbits);
        let size = d.checked_mul(ksub).filter(|s| *s < 1 << 40);
        let size = size.ok_or_else(|| Error::Memory(format!("{d} x {ksub} centroids are too many")))?;
        // Of vectors without coordinates, no centroid vouches for the number of parts.
        let table = m.checked_mul(ksub).is_some_and(|n| n <= size.max(MAX_TABLE));
        Error::check(table, "M * ksub <= d * ksub || M * ksub <= 1 << 24")?;
        let bits = m.checked_mul(nbits).ok_or_else(|| Error::failed("nbits * M fits", ""))?;
        let mut centroids = Vec::new();
        centroids.try_reserve_exact(size).map_err(|e| Error::Memory(format!("{size} numbers of centroids: {e}")))?;
        centroids.resize(size, 0.0);
        Ok(ProductQuantizer {
            base: QuantizerBase { d, code_size: bits.div_ceil(8) },
            M: m,
            nbits,
            dsub,
            ksub,
            centroids,
            ..Default::default()
        })
    }

    /// Sets what follows from `d`, `M` and `nbits`; centroids of another size are lost.
    pub fn set_derived_values(&mut self) -> Result<()> {
        let made = ProductQuantizer::new(self.d, self.M, self.nbits)?;
        (self.dsub, self.ksub, self.base.code_size) = (made.dsub, made.ksub, made.code_size);
        if self.centroids.len() != made.centroids.len() {
            self.centroids = made.centroids;
        }
        Ok(())
    }

    /// An error where the public fields do not fit together.
    pub fn check(&self) -> Result<()> {
        let sizes = self.M > 0
            && self.nbits <= 24
            && self.ksub == 1 << self.nbits
            && self.dsub.checked_mul(self.M) == Some(self.d)
            && self.code_size == (self.M * self.nbits).div_ceil(8);
        Error::check(sizes, "ksub == 1 << nbits && d == dsub * M && code_size == (nbits * M + 7) / 8")?;
        Error::check(self.centroids.len() == self.d * self.ksub, "centroids.size() == d * ksub")
    }

    pub(super) fn rows(&self, x: &[f32]) -> Result<usize> {
        self.check()?;
        Error::check(self.d > 0 && x.len().is_multiple_of(self.d), "x.size() % d == 0")?;
        Ok(x.len() / self.d)
    }

    /// The centroids of part `m`, `ksub * dsub` numbers.
    pub fn get_centroids(&self, m: usize) -> &[f32] {
        let size = self.ksub * self.dsub;
        &self.centroids[m * size..(m + 1) * size]
    }

    /// Centroid `number` of every part, one after the other: `d` numbers.
    pub fn write_centroids(&self, number: usize, x: &mut [f32]) {
        let size = self.dsub;
        for (m, part) in x.chunks_exact_mut(size.max(1)).enumerate() {
            part.copy_from_slice(&self.get_centroids(m)[number * size..(number + 1) * size]);
        }
    }

    /// The centroids as the kernels want them.
    pub fn transposed(&self) -> Transposed {
        let (dsub, ksub) = (self.dsub, self.ksub);
        let mut y = vec![0.0; self.centroids.len()];
        for m in 0..self.M {
            let (from, to) = (self.get_centroids(m), &mut y[m * ksub * dsub..(m + 1) * ksub * dsub]);
            simd::fvec_transpose(to, from, dsub);
        }
        Transposed { dsub, ksub, y }
    }

    /// The numbers of a code.
    #[inline]
    pub fn numbers<'a>(&self, code: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        Unpacker::new(code, self.nbits).take(self.M).map(|v| v as usize)
    }

    /// Encodes `n` vectors to `n * code_size` bytes.
    pub fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        let n = self.rows(x)?;
        Error::check(codes.len() == n * self.code_size, "codes.size() == n * code_size")?;
        if self.nbits == 0 || n == 0 {
            return Ok(());
        }
        let (d, size) = (self.d, self.code_size);
        if n < MIN_ROWS {
            let (transposed, mut scratch) = (self.transposed(), Scratch::default());
            for (row, code) in x.chunks_exact(d).zip(codes.chunks_exact_mut(size)) {
                self.compute_code_with(&transposed, row, &mut scratch, code);
            }
            return Ok(());
        }
        threads::parallel_rows(codes, size, MIN_ROWS, |first, codes| {
            let mut numbers = vec![0; BLOCK * self.M];
            for (i, codes) in codes.chunks_mut(BLOCK * size).enumerate() {
                let (start, rows) = (first + i * BLOCK, codes.len() / size);
                let numbers = &mut numbers[..rows * self.M];
                let x = &x[start * d..(start + rows) * d];
                simd::nearest_parts(x, d, &self.centroids, self.ksub, self.dsub, numbers);
                for (numbers, code) in numbers.chunks_exact(self.M).zip(codes.chunks_exact_mut(size)) {
                    self.pack_numbers(numbers, code);
                }
            }
            Ok(())
        })
    }

    /// The code of a vector whose parts have these numbers.
    fn pack_numbers(&self, numbers: &[u32], code: &mut [u8]) {
        match self.nbits {
            4 => {
                for (byte, pair) in code.iter_mut().zip(numbers.chunks(2)) {
                    *byte = (pair[0] | pair.get(1).map_or(0, |second| second << 4)) as u8;
                }
            }
            8 => code.iter_mut().zip(numbers).for_each(|(byte, number)| *byte = *number as u8),
            nbits => pack(numbers.iter().copied(), nbits, code),
        }
    }

    /// Encodes one vector.
    pub fn compute_code_with(&self, transposed: &Transposed, x: &[f32], scratch: &mut Scratch, code: &mut [u8]) {
        scratch.numbers.resize(self.M, 0);
        for (m, number) in scratch.numbers.iter_mut().enumerate() {
            let part = &x[m * self.dsub..(m + 1) * self.dsub];
            let (nearest, _) = simd::nearest_L2sqr_transposed(part, transposed.part(m), self.ksub);
            // A part with a NaN is nearest to none and gets the first.
            *number = if nearest < self.ksub { nearest as u32 } else { 0 };
        }
        self.pack_numbers(&scratch.numbers, code);
    }

    /// The vector of one code.
    pub fn decode_one(&self, code: &[u8], x: &mut [f32]) {
        if self.nbits == 0 {
            return x.copy_from_slice(&self.centroids);
        }
        if self.nbits == 8 {
            let (size, mut at) = (self.dsub, 0);
            for (part, number) in x.chunks_exact_mut(size).zip(code) {
                let from = at + usize::from(*number) * size;
                // Parts are short: a call to copy one would cost more than the copy.
                part.iter_mut().zip(&self.centroids[from..from + size]).for_each(|(v, c)| *v = *c);
                at += self.ksub * size;
            }
            return;
        }
        for ((m, number), part) in self.numbers(code).enumerate().zip(x.chunks_exact_mut(self.dsub)) {
            part.copy_from_slice(&self.get_centroids(m)[number * self.dsub..(number + 1) * self.dsub]);
        }
    }

    /// Decodes `n * code_size` bytes to `n` vectors.
    pub fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        let n = self.rows(x)?;
        Error::check(codes.len() == n * self.code_size, "codes.size() == n * code_size")?;
        threads::parallel_rows(x, self.d, MIN_ROWS * 8, |first, rows| {
            for (i, row) in rows.chunks_exact_mut(self.d).enumerate() {
                self.decode_one(&codes[(first + i) * self.code_size..(first + i + 1) * self.code_size], row);
            }
            Ok(())
        })
    }

    /// Squared distances of each part of the vector `x` to its centroids: `M * ksub` numbers.
    pub fn distance_table_with(&self, transposed: &Transposed, x: &[f32], table: &mut [f32]) {
        simd::fvec_L2sqr_tables(table, x, &transposed.y, self.dsub);
    }

    /// Inner products of each part of the vector `x` with its centroids: `M * ksub` numbers.
    pub fn inner_prod_table_with(&self, transposed: &Transposed, x: &[f32], table: &mut [f32]) {
        simd::fvec_inner_products_tables(table, x, &transposed.y, self.dsub);
    }

    /// [`ProductQuantizer::distance_table_with`], or inner products, for `n` vectors: `n * M * ksub` numbers.
    pub fn tables(&self, x: &[f32], inner_products: bool, tables: &mut [f32]) -> Result<()> {
        let n = self.rows(x)?;
        let size = self.M * self.ksub;
        Error::check(n.checked_mul(size) == Some(tables.len()), "tables.size() == n * M * ksub")?;
        let transposed = self.transposed();
        threads::parallel_rows(tables, size, 1, |first, tables| {
            for (i, table) in tables.chunks_exact_mut(size).enumerate() {
                let row = &x[(first + i) * self.d..(first + i + 1) * self.d];
                if inner_products {
                    self.inner_prod_table_with(&transposed, row, table);
                } else {
                    self.distance_table_with(&transposed, row, table);
                }
            }
            Ok(())
        })
    }

    /// Squared distances of the parts of vectors to the centroids: `n * M * ksub` numbers.
    pub fn compute_distance_tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()> {
        self.tables(x, false, tables)
    }

    /// Inner products of the parts of vectors with the centroids: `n * M * ksub` numbers.
    pub fn compute_inner_prod_tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()> {
        self.tables(x, true, tables)
    }

    /// The distance of each of `out.len()` codes by a table: the sum of the entries that a code names.
    pub fn lookup(&self, table: &[f32], codes: &[u8], out: &mut [f32]) {
        if self.nbits == 8 {
            return simd::pq8_lookup(table, self.M, codes, out);
        }
        if self.nbits == 0 {
            return out.fill(table.iter().sum());
        }
        for (code, sum) in codes.chunks_exact(self.code_size).zip(out) {
            *sum = self.numbers(code).zip(table.chunks_exact(self.ksub)).map(|(n, row)| row[n]).sum();
        }
    }

    /// As [`ProductQuantizer::lookup`] for the codes whose distance to `query`'s code is below `below`; the others get infinity. Returns how
    /// many passed.
    pub fn lookup_near(
        &self,
        table: &[f32],
        codes: &[u8],
        query: &[u8],
        measure: impl Fn(&[u8], &[u8]) -> u32,
        below: u32,
        out: &mut [f32],
    ) -> usize {
        let mut passed = 0;
        for (code, out) in codes.chunks_exact(self.code_size.max(1)).zip(out.chunks_exact_mut(1)) {
            if measure(query, code) < below {
                self.lookup(table, code, out);
                passed += 1;
            } else {
                out[0] = f32::INFINITY;
            }
        }
        passed
    }

    /// Fills `sdc_table`.
    pub fn compute_sdc_table(&mut self) -> Result<()> {
        self.check()?;
        let transposed = self.transposed();
        let (ksub, dsub) = (self.ksub, self.dsub);
        let mut table = filled(&[self.M, ksub, ksub], 0f32)?;
        threads::parallel_rows(&mut table, ksub, 16, |first, rows| {
            for (i, row) in rows.chunks_exact_mut(ksub).enumerate() {
                let c = (first + i) * dsub;
                simd::fvec_L2sqr_ny_transposed(row, &self.centroids[c..c + dsub], transposed.part((first + i) / ksub));
            }
            Ok(())
        })?;
        self.sdc_table = table;
        Ok(())
    }

    /// Fills `transposed_centroids` and `centroids_sq_lengths`. Searches do not need them; they are for programs that read them.
    pub fn sync_transposed_centroids(&mut self) -> Result<()> {
        self.check()?;
        let mut transposed = vec![0f32; self.centroids.len()];
        simd::fvec_transpose(&mut transposed, &self.centroids, self.dsub);
        let norms = self.centroids.chunks_exact(self.dsub.max(1)).map(simd::fvec_norm_L2sqr).collect();
        (self.transposed_centroids, self.centroids_sq_lengths) = (transposed, norms);
        Ok(())
    }

    /// The code of a vector that is known by its distances to all centroids, `M * ksub`: of each part the nearest, the first of equals.
    pub fn compute_code_from_distance_table(&self, tab: &[f32]) -> Result<Vec<u8>> {
        Error::check(self.ksub > 0 && tab.len() == self.M * self.ksub, "tab.size() == M * ksub")?;
        let mut code = vec![0; self.code_size];
        let nearest = tab.chunks_exact(self.ksub).map(|part| argmin(part).unwrap_or(0) as u32);
        pack(nearest, self.nbits, &mut code);
        Ok(code)
    }
}

crate::stored!(ProductQuantizer, |pq| {
    pq.d;
    pq.M;
    pq.nbits;
    read {
        if !(1..=24).contains(&pq.nbits) {
            return Err(Error::failed("nbits >= 1 && nbits <= 24", format!("invalid PQ nbits {}", pq.nbits)));
        }
        let cut = pq.M > 0 && pq.d.is_multiple_of(pq.M) && pq.d <= 1 << 20;
        Error::check(cut, "pq->M > 0 && pq->d % pq->M == 0")?;
    }
    // A size that is not in the file must not be allocated: the centroids come first.
    pq.centroids;
    read {
        let size = pq.d.checked_mul(1 << pq.nbits);
        Error::check(size == Some(pq.centroids.len()), "pq->centroids.size() == pq->d * pq->ksub")?;
        let table = pq.M.checked_mul(1 << pq.nbits);
        let fits = table.is_some_and(|n| n <= pq.centroids.len().max(MAX_TABLE));
        Error::check(fits, "pq->M * pq->ksub <= 1 << 24")?;
        let centroids = std::mem::take(&mut pq.centroids);
        *pq = ProductQuantizer { centroids, ..ProductQuantizer::new(pq.d, pq.M, pq.nbits)? };
    }
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MetricType;
    use crate::quantize::Quantizer;
    use crate::quantize::codec::knn;

    #[test]
    fn tables_lead_to_codes_and_codes_to_neighbours() {
        let (n, d, m) = (600, 12, 3);
        let mut x = vec![0f32; n * d];
        crate::random::float_rand(&mut x, 1).unwrap();
        for nbits in [3, 8] {
            let mut pq = ProductQuantizer::new(d, m, nbits).unwrap();
            pq.train(&x).unwrap();
            let mut codes = vec![0; n * pq.code_size];
            pq.compute_codes(&x, &mut codes).unwrap();
            let mut table = vec![0f32; m * pq.ksub];
            pq.tables(&x[..d], false, &mut table).unwrap();
            assert_eq!(pq.compute_code_from_distance_table(&table).unwrap(), codes[..pq.code_size]);
            assert!(pq.compute_code_from_distance_table(&table[1..]).is_err());
            let mut decoded = vec![0f32; n * d];
            Quantizer::decode(&pq, &codes, &mut decoded).unwrap();
            let (nq, k) = (5, 4);
            let (mut distances, mut labels) = (vec![0f32; nq * k], vec![0i64; nq * k]);
            for metric in [MetricType::L2, MetricType::InnerProduct] {
                knn(&pq, metric, &x[..nq * d], &codes, k, &mut distances, &mut labels).unwrap();
                for (i, (distance, label)) in distances.iter().zip(&labels).enumerate() {
                    let own = |j: usize| {
                        let pairs = x[i / k * d..(i / k + 1) * d].iter().zip(&decoded[j * d..(j + 1) * d]);
                        match metric {
                            MetricType::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>(),
                            _ => pairs.map(|(a, b)| -a * b).sum::<f32>(),
                        }
                    };
                    let sign = if metric == MetricType::L2 { 1.0 } else { -1.0 };
                    assert!((own(*label as usize) - sign * distance).abs() < 1e-4);
                    let better = (0..n).filter(|j| own(*j) < sign * distance - 1e-4).count();
                    assert!(better <= i % k, "{better} are better than number {}", i % k);
                }
            }
            assert!(knn(&pq, MetricType::L2, &x[..d], &codes[1..], 1, &mut [0.0], &mut [0]).is_err());
            knn(&pq, MetricType::L2, &[], &codes, 3, &mut [], &mut []).unwrap();
        }
    }
}
