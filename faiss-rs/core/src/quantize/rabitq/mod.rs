//! RaBitQ: the sign of each coordinate of a vector less a centroid, and numbers by which distances are estimated without bias (Gao and Long,
//! "RaBitQ: quantizing high-dimensional vectors with a theoretical error bound", 2024). With more than one bit a coordinate, a code has a second
//! part: how large the coordinates are (Gao et al., "Practical and asymptotically optimal quantization of high-dimensional vectors", 2025).
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | the quantizer, and where in a code everything is |
//! | `encode.rs` | vectors to codes |
//! | `estimate.rs` | queries against codes |
//! | `planes.rs` | the loops over bits behind that |
//! | `utils.rs`, `functions.rs` | the parts of both that Faiss has names for: objects, and functions |

mod encode;
mod estimate;
pub mod functions;
mod planes;
pub mod utils;

use faiss_derive::{Object, methods};

use super::QuantizerBase;
use super::codec::{check_metric, check_sizes};
use crate::base::declare::Rows;
use crate::base::{Error, MetricType, Result};
use crate::registry::Row;
use crate::simd;

pub use estimate::{Estimate, PackedCodes, QueryFactors, Rounding, scan};

/// Bytes of a code's numbers for its signs: the length and the multiplier, and with more bits the error too; and of those for the second part.
const SIGN_FACTORS: usize = 8;
const SIGN_FACTORS_WITH_ERROR: usize = 12;
const EXTRA_FACTORS: usize = 8;

/// Makes codes of one to nine bits a coordinate.
#[derive(Object, Clone)]
#[object(methods, copy)]
pub struct RaBitQuantizer {
    /// What every quantizer has.
    #[object(parent, default = QuantizerBase { d: 0, code_size: CodeParts::new(0, 1).code_size() })]
    pub base: QuantizerBase,
    /// What is subtracted from vectors, d numbers; empty for nothing. Indexes have centroids of their own.
    pub centroid: Vec<f32>,
    /// How vectors are compared: L2 or inner product.
    pub metric_type: MetricType,
    /// Bits of a coordinate, 1 to 9.
    #[object(readonly, default = 1)]
    pub nb_bits: usize,
}

pub(crate) const ROW: Row = Row::of::<RaBitQuantizer>();

/// Where in a code everything is: signs, their numbers, and of more than one bit a coordinate the second part and its numbers.
#[derive(Clone, Copy)]
pub struct CodeParts {
    /// Coordinates of a vector.
    pub d: usize,
    /// Bits of the second part of a coordinate.
    pub extra_bits: usize,
}

#[inline(always)]
fn number(bytes: &[u8], i: usize) -> f32 {
    f32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
}

impl CodeParts {
    /// Of codes of `nb_bits` bits a coordinate.
    pub fn new(d: usize, nb_bits: usize) -> Self {
        CodeParts { d, extra_bits: nb_bits.saturating_sub(1) }
    }
    /// Bytes of the signs.
    pub fn signs(&self) -> usize {
        self.d.div_ceil(8)
    }
    fn sign_factors(&self) -> usize {
        if self.extra_bits == 0 { SIGN_FACTORS } else { SIGN_FACTORS_WITH_ERROR }
    }
    /// Bytes of the second part, without its numbers.
    fn extra(&self) -> usize {
        (self.d * self.extra_bits).div_ceil(8)
    }
    /// Bytes of all but the signs.
    pub fn aux(&self) -> usize {
        self.sign_factors() + if self.extra_bits == 0 { 0 } else { self.extra() + EXTRA_FACTORS }
    }
    /// Bytes of a code.
    pub fn code_size(&self) -> usize {
        self.signs() + self.aux()
    }
    /// What is subtracted from the numbers of a code, so that they lie around 0.
    fn middle(&self) -> f32 {
        (1u32 << self.extra_bits) as f32 - 0.5
    }
}

#[methods(new)]
impl RaBitQuantizer {
    /// Codes of `nb_bits` bits a coordinate, 1 to 9.
    #[new]
    pub fn new(
        d: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 1] nb_bits: usize,
    ) -> Result<Self> {
        check_metric(metric)?;
        Error::check((1..=9).contains(&nb_bits), "nb_bits >= 1 && nb_bits <= 9")?;
        Error::check(d <= 1 << 32, "d <= 1 << 32")?;
        let code_size = CodeParts::new(d, nb_bits).code_size();
        Ok(RaBitQuantizer { base: QuantizerBase { d, code_size }, centroid: Vec::new(), metric_type: metric, nb_bits })
    }

    /// Bytes of a code of `d` coordinates of `num_bits` bits.
    fn compute_code_size(&self, d: usize, num_bits: usize) -> Result<usize> {
        Ok(RaBitQuantizer::new(d, self.metric_type, num_bits)?.code_size)
    }

    /// There is nothing to learn.
    #[name = "train"]
    fn train_on(&self, x: &[f32]) -> Result<()> {
        Error::check(x.len().is_multiple_of(self.d.max(1)), "x.size() % d == 0")
    }

    /// Encodes vectors (n, d), less `centroid`, to codes (n, code_size) of uint8.
    #[name = "compute_codes"]
    fn codes_of(&self, x: &[f32]) -> Result<Rows<u8>> {
        self.codes_around(x, None)
    }

    /// As compute_codes, less a centroid that is given (d,).
    #[name = "compute_codes_core"]
    fn codes_around(&self, x: &[f32], centroid: Option<&[f32]>) -> Result<Rows<u8>> {
        let mut codes = vec![0; x.len().checked_div(self.d).unwrap_or(0) * self.code_size];
        self.encode(x, &self.origin(centroid)?, &mut codes)?;
        Ok(Rows(codes, self.code_size))
    }

    /// Decodes codes (n, code_size) of uint8 to vectors (n, d).
    #[name = "decode"]
    fn vectors_of(&self, codes: &[u8]) -> Result<Rows<f32>> {
        self.vectors_around(codes, None)
    }

    /// As decode, with the centroid that was subtracted (d,).
    #[name = "decode_core"]
    fn vectors_around(&self, codes: &[u8], centroid: Option<&[f32]>) -> Result<Rows<f32>> {
        let centroid = self.origin(centroid)?;
        let mut x = vec![0.0; codes.len() / self.code_size.max(1) * self.d];
        self.decode_all(codes, &centroid, &mut x)?;
        Ok(Rows(x, self.d))
    }

    /// Estimated distances (n,) of a query (d,) to codes (n, code_size), with the query rounded to `qb` bits for the signs, 0 for not at all.
    fn distances_to_codes(
        &self,
        x: &[f32],
        codes: &[u8],
        qb: u8,
        centroid: Option<&[f32]>,
        #[default = false] centered: bool,
    ) -> Result<Vec<f32>> {
        let centroid = self.origin(centroid)?;
        let (mut estimate, rounding) = (Estimate::new(self)?, Rounding::new(qb, centered)?);
        Error::check(x.len() == self.d && codes.len().is_multiple_of(self.code_size), "x.size() == d")?;
        estimate.set(x, &centroid, rounding);
        let sign = if self.metric_type.is_similarity() { -1.0 } else { 1.0 };
        let mut distances = vec![0.0; codes.len() / self.code_size];
        estimate.keys(codes, &mut distances);
        distances.iter_mut().for_each(|v| *v *= sign);
        Ok(distances)
    }
}

/// A quantizer in files; those of one bit need not say how many there are.
pub(crate) struct Sizes(pub bool);

crate::form!(Sizes(with_bits) of RaBitQuantizer, |rabitq, file| {
    rabitq.d;
    rabitq.code_size;
    rabitq.metric_type;
    if (with_bits) { rabitq.nb_bits; }
    read {
        Error::check(rabitq.d <= 1 << 20, "d <= 1 << 20")?;
        let nb_bits = if with_bits { rabitq.nb_bits } else { 1 };
        let made = RaBitQuantizer::new(rabitq.d, rabitq.metric_type, nb_bits)?;
        Error::check(made.code_size == rabitq.code_size, "code_size == compute_code_size(d, nb_bits)")?;
        *rabitq = made;
    }
});

impl RaBitQuantizer {
    /// Where the parts of a code lie.
    pub fn parts(&self) -> CodeParts {
        CodeParts::new(self.d, self.nb_bits)
    }

    /// The centroid that is given, or this quantizer's, or 0.
    fn origin(&self, centroid: Option<&[f32]>) -> Result<Vec<f32>> {
        let centroid = centroid.unwrap_or(&self.centroid);
        Error::check(centroid.is_empty() || centroid.len() == self.d, "centroid.size() == d")?;
        Ok(if centroid.is_empty() { vec![0.0; self.d] } else { centroid.to_vec() })
    }

    /// An error where the public fields do not fit together.
    pub fn check(&self) -> Result<()> {
        let sizes = (1..=9).contains(&self.nb_bits) && self.code_size == self.parts().code_size();
        Error::check(sizes, "code_size == compute_code_size(d, nb_bits)")?;
        check_metric(self.metric_type)
    }

    /// Decodes codes to what their signs say of the vectors less their centroids, all the same one or one each, and adds those.
    pub fn decode_all(&self, codes: &[u8], centroids: &[f32], x: &mut [f32]) -> Result<()> {
        self.check()?;
        let n = check_sizes(&self.base, x, codes)?;
        let d = self.d;
        Error::check(centroids.len() == d || centroids.len() == n * d, "centroid.size() == d")?;
        let each = centroids.len() > d;
        for (i, (code, row)) in codes.chunks_exact(self.code_size).zip(x.chunks_exact_mut(d.max(1))).enumerate() {
            self.decode_one(code, &centroids[if each { i * d } else { 0 }..][..d], row);
        }
        Ok(())
    }

    /// Decodes one code. As in Faiss, the second part is not looked at.
    pub fn decode_one(&self, code: &[u8], centroid: &[f32], x: &mut [f32]) {
        let step = number(&code[self.parts().signs()..], 1) / (self.d as f32).sqrt();
        for (j, (v, c)) in x.iter_mut().zip(centroid).enumerate() {
            *v = if code[j / 8] >> (j % 8) & 1 == 1 { step } else { -step } + c;
        }
    }

    /// The key of two codes by their signs, with the same centroid: for L2, how many signs differ says the angle between them.
    pub fn key_between(&self, a: &[u8], b: &[u8], centroid: &[f32]) -> f32 {
        if self.metric_type.is_similarity() {
            let (mut x, mut y) = (vec![0f32; self.d], vec![0f32; self.d]);
            self.decode_one(a, centroid, &mut x);
            self.decode_one(b, centroid, &mut y);
            return -simd::fvec_inner_product(&x, &y);
        }
        let signs = self.parts().signs();
        let differing: u32 = a[..signs].iter().zip(&b[..signs]).map(|(a, b)| (a ^ b).count_ones()).sum();
        // By what an estimate falls short of a length is part of the multiplier.
        let along = |code: &[u8]| {
            let (length, multiplier) = (number(&code[signs..], 0), number(&code[signs..], 1));
            (length, if multiplier > 0.0 { length / multiplier } else { 0.0 })
        };
        let ((length_a, a), (length_b, b)) = (along(a), along(b));
        let cosine = 1.0 - 2.0 * differing as f32 / self.d as f32;
        (length_a + length_b - 2.0 * a * b * cosine).max(0.0)
    }
}
