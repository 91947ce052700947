//! EDEN: a vector less a centroid, stretched to the length of a normal one, each coordinate to the nearest level of the normal distribution, and a
//! scale by which what is decoded has the right length (Vargaftik et al., "EDEN: communication-efficient and robust distributed mean estimation for
//! federated learning", 2022).

use faiss_derive::{Object, functions};

use super::codec::{CodeDistances, Quantizer, check_metric, check_sizes};
use super::scalar::ScalarQuantizer;
use super::scalar::kind::{QT_1bit_eden, QT_8bit_eden};
use crate::base::{Error, MetricType, Result, threads};
use crate::registry::Row;
use crate::simd;

pub use declared::*;

/// The scale with which the product of a vector and its code is right; and the one with which the code is nearest to the vector.
pub const UNBIASED: i32 = 1;
/// The scale with which the code is nearest to the vector.
pub const BIASED: i32 = 2;
/// Bytes of the two numbers behind the levels of a code.
pub const FACTORS: usize = 8;

/// The numbers of a code.
#[derive(Object, Default, Clone)]
#[object(new, copy)]
pub struct EDENCodeFactors {
    /// The squared length of the vector less the centroid: as it is, or with biased scales of what is decoded.
    pub l2_norm_term: f32,
    /// By what levels are multiplied.
    pub scale: f32,
}

pub(crate) const ROW: Row = Row::of::<EDENCodeFactors>();

/// The scalar quantizer of so many bits, with its levels.
pub fn levels(d: usize, nb_bits: usize) -> Result<ScalarQuantizer> {
    Error::check((1..=8).contains(&nb_bits), "nb_bits >= 1 && nb_bits <= 8")?;
    let mut sq = ScalarQuantizer::new(d, QT_1bit_eden + nb_bits as i32 - 1)?;
    sq.train(&[])?;
    Ok(sq)
}

/// The levels of codes of `code_size` bytes in a file, of whose quantizer it has the dimension and the bits.
pub fn read_levels(sq: &ScalarQuantizer, scale_type: i32, code_size: usize) -> Result<ScalarQuantizer> {
    Error::check(sq.d <= 1 << 20, "d <= 1 << 20")?;
    let sq = levels(sq.d, sq.bits)?;
    let fits = Eden::new(&sq, scale_type)?.code_size() == code_size;
    Error::check(fits, "code_size is that of d and nb_bits").map(|()| sq)
}

/// An error for a kind of scale that does not exist.
pub fn check_scale(scale_type: i32) -> Result<()> {
    Error::check([UNBIASED, BIASED].contains(&scale_type), "scale_type == UNBIASED || scale_type == BIASED")
}

/// Makes and compares codes with the levels of a scalar quantizer.
#[derive(Clone, Copy)]
pub struct Eden<'a> {
    /// Rounds coordinates to levels.
    pub sq: &'a ScalarQuantizer,
    /// How the scale of a code is chosen: `UNBIASED` or `BIASED`.
    pub scale_type: i32,
}

fn factors(code: &[u8]) -> (&[u8], f32, f32) {
    let (numbers, tail) = code.split_at(code.len() - FACTORS);
    let number = |i: usize| f32::from_le_bytes([tail[i], tail[i + 1], tail[i + 2], tail[i + 3]]);
    (numbers, number(0), number(4))
}

impl<'a> Eden<'a> {
    /// After a check that the scalar quantizer is one of these.
    pub fn new(sq: &'a ScalarQuantizer, scale_type: i32) -> Result<Self> {
        check_scale(scale_type)?;
        Error::check((QT_1bit_eden..=QT_8bit_eden).contains(&sq.qtype), "is_eden_quantizer_type(sq.qtype)")?;
        sq.check()?;
        Ok(Eden { sq, scale_type })
    }

    /// Bytes of a code.
    pub fn code_size(&self) -> usize {
        self.sq.code_size + FACTORS
    }

    fn check_sizes(&self, x: &[f32], centroids: &[f32], codes: &[u8]) -> Result<usize> {
        let base = super::QuantizerBase { d: self.sq.d, code_size: self.code_size() };
        let n = check_sizes(&base, x, codes)?;
        let fits = self.sq.d > 0 && (centroids.len() == self.sq.d || centroids.len() == x.len());
        Error::check(fits, "centroid.size() == d")?;
        Ok(n)
    }

    /// Encodes vectors, each less its centroid: all the same one, or one each.
    pub fn encode(&self, x: &[f32], centroids: &[f32], codes: &mut [u8]) -> Result<()> {
        self.check_sizes(x, centroids, codes)?;
        let (d, size, each) = (self.sq.d, self.code_size(), centroids.len() > self.sq.d);
        threads::parallel_rows(codes, size, 64, |first, rows| {
            let (mut rest, mut scaled, mut level) = (vec![0f32; d], vec![0f32; d], vec![0f32; d]);
            for (i, code) in rows.chunks_exact_mut(size).enumerate() {
                let at = (first + i) * d;
                simd::fvec_sub(&mut rest, &x[at..at + d], &centroids[if each { at } else { 0 }..][..d]);
                let length = simd::fvec_norm_L2sqr(&rest);
                if length == 0.0 {
                    code.fill(0);
                    continue;
                }
                let stretch = (d as f32).sqrt() / length.sqrt();
                scaled.iter_mut().zip(&rest).for_each(|(s, v)| *s = v * stretch);
                let (numbers, tail) = code.split_at_mut(size - FACTORS);
                self.sq.compute_codes(&scaled, numbers)?;
                self.sq.decode(numbers, &mut level)?;
                let product = simd::fvec_inner_product(&rest, &level);
                let squares = simd::fvec_norm_L2sqr(&level);
                let (term, scale) = match self.scale_type {
                    _ if product <= 0.0 || product.is_nan() => (length, 0.0),
                    BIASED => (product * product / squares, product / squares),
                    _ => (length, length / product),
                };
                tail[..4].copy_from_slice(&term.to_le_bytes());
                tail[4..].copy_from_slice(&scale.to_le_bytes());
            }
            Ok(())
        })
    }

    /// Decodes codes, and adds the centroids.
    pub fn decode(&self, codes: &[u8], centroids: &[f32], x: &mut [f32]) -> Result<()> {
        self.check_sizes(x, centroids, codes)?;
        let (d, each) = (self.sq.d, centroids.len() > self.sq.d);
        for (i, (code, row)) in codes.chunks_exact(self.code_size()).zip(x.chunks_exact_mut(d)).enumerate() {
            let (numbers, _, scale) = factors(code);
            self.sq.decode(numbers, row)?;
            let centroid = &centroids[if each { i * d } else { 0 }..][..d];
            row.iter_mut().zip(centroid).for_each(|(v, c)| *v = *v * scale + c);
        }
        Ok(())
    }

    /// What compares queries with codes.
    pub fn distances(&self, metric: MetricType) -> Result<EdenDistances<'a>> {
        check_metric(metric)?;
        Ok(EdenDistances {
            products: self.sq.decoded_distances(MetricType::InnerProduct)?,
            eden: *self,
            similarity: metric.is_similarity(),
            rest: vec![0.0; self.sq.d],
            base: 0.0,
        })
    }
}

/// A query against codes: the key is the smaller, the better.
pub struct EdenDistances<'a> {
    eden: Eden<'a>,
    /// Products of levels with the query, for L2 less the centroid.
    products: Box<dyn CodeDistances + 'a>,
    similarity: bool,
    rest: Vec<f32>,
    /// The part of the key that all codes of the centroid have.
    base: f32,
}

impl EdenDistances<'_> {
    /// Takes a query, and the centroid that codes are differences to.
    pub fn set(&mut self, x: &[f32], centroid: &[f32]) -> Result<()> {
        if self.similarity {
            self.base = -simd::fvec_inner_product(x, centroid);
            return self.products.set_query(x);
        }
        simd::fvec_sub(&mut self.rest, x, centroid);
        self.base = simd::fvec_norm_L2sqr(&self.rest);
        self.products.set_query(&self.rest)
    }

    /// Keys of codes, as many as `keys` has room for.
    pub fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        for (code, key) in codes.chunks_exact(self.eden.code_size()).zip(keys) {
            let (numbers, term, scale) = factors(code);
            // The key of a similarity is its negative.
            let product = scale * self.products.key(numbers);
            *key = if self.similarity { self.base + product } else { (self.base + term + 2.0 * product).max(0.0) };
        }
    }

    /// The key of two codes, as they are decoded, with the same centroid.
    pub fn between(&self, a: &[u8], b: &[u8], centroid: &[f32]) -> f32 {
        let (mut x, mut y) = (vec![0f32; self.eden.sq.d], vec![0f32; self.eden.sq.d]);
        if self.eden.decode(a, centroid, &mut x).and_then(|()| self.eden.decode(b, centroid, &mut y)).is_err() {
            return f32::NAN;
        }
        if self.similarity { -simd::fvec_inner_product(&x, &y) } else { simd::fvec_L2sqr(&x, &y) }
    }
}

/// A centroid's numbers, all 0 without one.
fn centroid_of(sq: &ScalarQuantizer, centroid: Option<&[f32]>) -> Result<Vec<f32>> {
    let Some(centroid) = centroid else { return Ok(vec![0.0; sq.d]) };
    let own = centroid.get(..sq.d).ok_or_else(|| Error::value(format!("a centroid has {} numbers", sq.d)))?;
    Ok(own.to_vec())
}

/// The beginning of memory that is to be as long at least.
fn start<T>(memory: &[T], len: Option<usize>) -> Result<&[T]> {
    let wanted = memory.get(..len.unwrap_or(usize::MAX));
    wanted.ok_or_else(|| Error::value(format!("the pointer leads to {} elements, too few", memory.len())))
}

fn start_mut<T>(memory: &mut [T], len: Option<usize>) -> Result<&mut [T]> {
    let known = memory.len();
    let wanted = memory.get_mut(..len.unwrap_or(usize::MAX));
    wanted.ok_or_else(|| Error::value(format!("the pointer leads to {known} elements, too few")))
}

#[functions]
mod declared {
    use super::*;

    /// Whether a type of scalar quantizer is EDEN's.
    pub fn is_eden_quantizer_type(qtype: i32) -> bool {
        (QT_1bit_eden..=QT_8bit_eden).contains(&qtype)
    }

    /// Bits of a coordinate of a type of EDEN's.
    pub fn nb_bits_for_qtype(qtype: i32) -> Result<usize> {
        Error::check(is_eden_quantizer_type(qtype), "is_eden_quantizer_type(qtype)")?;
        Ok((qtype - QT_1bit_eden) as usize + 1)
    }

    /// The type of EDEN's with so many bits a coordinate.
    pub fn quantizer_type_for_bits(nb_bits: usize) -> Result<i32> {
        let known = (1..=8).contains(&nb_bits);
        if known {
            Ok(QT_1bit_eden + nb_bits as i32 - 1)
        } else {
            Err(Error::failed("", "EDEN nb_bits must be in [1, 8]"))
        }
    }

    /// Bytes of the coordinates of a code.
    pub fn packed_code_size(d: usize, nb_bits: usize) -> usize {
        d.saturating_mul(nb_bits).div_ceil(8)
    }

    /// Bytes of a code.
    pub fn code_size(d: usize, nb_bits: usize) -> usize {
        packed_code_size(d, nb_bits) + FACTORS
    }

    /// Encodes n vectors, less a centroid or 0, with the levels of a scalar quantizer of EDEN's.
    pub fn compute_codes(
        sq: &ScalarQuantizer,
        _metric_type: MetricType,
        scale_type: i32,
        #[len] x: &[f32],
        #[len] codes: &mut [u8],
        n: usize,
        #[len]
        #[default = None]
        centroid: Option<&[f32]>,
    ) -> Result<()> {
        let eden = Eden::new(sq, scale_type)?;
        let codes = start_mut(codes, n.checked_mul(eden.code_size()))?;
        eden.encode(start(x, n.checked_mul(sq.d))?, &centroid_of(sq, centroid)?, codes)
    }

    /// The reverse of compute_codes.
    pub fn decode(
        sq: &ScalarQuantizer,
        #[len] codes: &[u8],
        #[len] x: &mut [f32],
        n: usize,
        #[len]
        #[default = None]
        centroid: Option<&[f32]>,
    ) -> Result<()> {
        let eden = Eden::new(sq, UNBIASED)?;
        let codes = start(codes, n.checked_mul(eden.code_size()))?;
        eden.decode(codes, &centroid_of(sq, centroid)?, start_mut(x, n.checked_mul(sq.d))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bits_decode_better() {
        let (n, d) = (30, 24);
        let (mut x, mut centroid) = (vec![0f32; n * d], vec![0f32; d]);
        crate::random::float_randn(&mut x, 1).unwrap();
        crate::random::float_randn(&mut centroid, 2).unwrap();
        let mut before = f32::INFINITY;
        for bits in [1, 2, 4, 8] {
            let sq = levels(d, bits).unwrap();
            assert_eq!(
                (nb_bits_for_qtype(sq.qtype).unwrap(), quantizer_type_for_bits(bits).unwrap()),
                (bits, sq.qtype)
            );
            let size = code_size(d, bits);
            // There may be more memory than is wanted.
            let (mut codes, mut back) = (vec![7u8; n * size + 3], vec![0f32; n * d]);
            compute_codes(&sq, MetricType::L2, UNBIASED, &x, &mut codes, n, Some(&centroid)).unwrap();
            assert_eq!(codes[n * size..], [7; 3]);
            decode(&sq, &codes, &mut back, n, Some(&centroid)).unwrap();
            let error = simd::fvec_L2sqr(&x, &back);
            assert!(error < before, "{bits} bits: {error}, {before} with fewer");
            before = error;
            assert!(compute_codes(&sq, MetricType::L2, UNBIASED, &x, &mut codes[..n * size - 1], n, None).is_err());
            assert!(decode(&sq, &codes, &mut back[1..], n, None).is_err());
        }
        assert!(nb_bits_for_qtype(0).is_err() && quantizer_type_for_bits(9).is_err() && !is_eden_quantizer_type(0));
    }
}
