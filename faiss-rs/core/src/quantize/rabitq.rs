//! RaBitQ: the sign of each coordinate of a vector less a centroid, and two numbers by which distances are estimated without bias (Gao and Long,
//! "RaBitQ: quantizing high-dimensional vectors with a theoretical error bound", 2024).
//!
//! For a vector o, a centroid c and signs s: `||q - o||² ≈ ||o - c||² + ||q - c||² - 2 m <s, q - c> / sqrt(d)`, where m is stored beside the signs. The query
//! may be rounded to a few bits.

use faiss_derive::{Object, methods};

use super::QuantizerBase;
use super::codec::check_metric;
use crate::base::{Error, MetricType, Result, threads};
use crate::registry::Row;
use crate::simd;
use crate::stream::{Reader, Writer};

/// Bytes of the two numbers.
const FACTORS: usize = 8;

/// Makes codes of one bit a coordinate.
#[derive(Object, Clone)]
#[object(methods, copy)]
pub struct RaBitQuantizer {
    #[object(parent)]
    pub base: QuantizerBase,
    /// How vectors are compared: L2 or inner product.
    pub metric_type: MetricType,
    /// Bits of a coordinate: 1.
    pub nb_bits: usize,
}

pub const ROW: Row = Row::of::<RaBitQuantizer>();

impl Default for RaBitQuantizer {
    fn default() -> Self {
        RaBitQuantizer { base: QuantizerBase::default(), metric_type: MetricType::L2, nb_bits: 1 }
    }
}

#[methods(new)]
impl RaBitQuantizer {
    #[new]
    pub fn new(
        d: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 1] nb_bits: usize,
    ) -> Result<Self> {
        check_metric(metric)?;
        Error::check((1..=9).contains(&nb_bits), "nb_bits >= 1 && nb_bits <= 9")?;
        if nb_bits != 1 {
            return Err(Error::not_implemented("RaBitQ codes of more than one bit"));
        }
        Ok(RaBitQuantizer {
            base: QuantizerBase { d, code_size: d.div_ceil(8) + FACTORS },
            metric_type: metric,
            nb_bits,
        })
    }
}

/// A query and a centroid, ready to be compared with codes.
pub struct Estimate {
    /// For each four coordinates, the sums of those that a number of four bits names.
    sums: Vec<f32>,
    similarity: bool,
    c1: f32,
    c2: f32,
    c34: f32,
    to_centroid: f32,
    norm: f32,
    rest: Vec<f32>,
}

impl Estimate {
    pub fn new(quantizer: &RaBitQuantizer) -> Self {
        let d = quantizer.d;
        Estimate {
            sums: vec![0.0; d.div_ceil(4) * 16],
            similarity: quantizer.metric_type.is_similarity(),
            c1: 0.0,
            c2: 0.0,
            c34: 0.0,
            to_centroid: 0.0,
            norm: 0.0,
            rest: vec![0.0; d],
        }
    }

    /// With the query rounded to `qb` bits; 0 for no rounding.
    pub fn set(&mut self, x: &[f32], centroid: &[f32], qb: u8) {
        let d = x.len();
        simd::fvec_sub(&mut self.rest, x, centroid);
        self.to_centroid = simd::fvec_norm_L2sqr(&self.rest);
        self.norm = simd::fvec_norm_L2sqr(x);
        let inv = if d == 0 { 1.0 } else { 1.0 / (d as f32).sqrt() };
        if qb == 0 {
            let sum: f32 = self.rest.iter().sum();
            (self.c1, self.c2, self.c34) = (2.0 * inv, 0.0, sum * inv);
        } else {
            let low = self.rest.iter().copied().fold(f32::INFINITY, f32::min);
            let high = self.rest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let delta = (high - low) / ((1u32 << qb) - 1) as f32;
            let inv_delta = if delta > 0.0 { 1.0 / delta } else { 0.0 };
            self.rest.iter_mut().for_each(|v| *v = ((*v - low) * inv_delta).round());
            let sum: f32 = self.rest.iter().sum();
            (self.c1, self.c2) = (2.0 * delta * inv, 2.0 * low * inv);
            self.c34 = inv * (delta * sum + d as f32 * low);
        }
        for (four, sums) in self.rest.chunks(4).zip(self.sums.chunks_exact_mut(16)) {
            for (bits, sum) in sums.iter_mut().enumerate() {
                *sum = four.iter().enumerate().map(|(i, v)| if bits >> i & 1 == 1 { *v } else { 0.0 }).sum();
            }
        }
    }

    /// The key of a code: the smaller, the better.
    pub fn key(&self, code: &[u8]) -> f32 {
        let (bits, factors) = code.split_at(code.len() - FACTORS);
        let (mut sum, mut ones) = (0f32, 0u32);
        for (byte, sums) in bits.iter().zip(self.sums.chunks(32)) {
            sum += sums[usize::from(byte & 15)];
            if sums.len() > 16 {
                sum += sums[16 + usize::from(byte >> 4)];
            }
            ones += byte.count_ones();
        }
        let number = |i: usize| f32::from_le_bytes([factors[i], factors[i + 1], factors[i + 2], factors[i + 3]]);
        let (length, multiplier) = (number(0), number(4));
        let product = self.c1 * sum + self.c2 * ones as f32 - self.c34;
        let distance = length + self.to_centroid - 2.0 * multiplier * product;
        // The key of a similarity is its negative.
        if self.similarity { 0.5 * (distance - self.norm) } else { distance.max(0.0) }
    }
}

impl RaBitQuantizer {
    pub fn check(&self) -> Result<()> {
        let sizes = self.nb_bits == 1 && self.code_size == self.d.div_ceil(8) + FACTORS;
        Error::check(sizes, "code_size == (d + 7) / 8 + sizeof(factors)")?;
        check_metric(self.metric_type)
    }

    /// Encodes vectors, each less its centroid: all the same one, or one each.
    pub fn encode(&self, x: &[f32], centroids: &[f32], codes: &mut [u8]) -> Result<()> {
        self.check()?;
        let n = super::codec::check_sizes(&self.base, x, codes)?;
        let d = self.d;
        Error::check(d > 0 && (centroids.len() == d || centroids.len() == n * d), "centroid.size() == d")?;
        let (each, similarity) = (centroids.len() > d, self.metric_type.is_similarity());
        threads::parallel_rows(codes, self.code_size, 64, |first, rows| {
            for (i, code) in rows.chunks_exact_mut(self.code_size).enumerate() {
                let at = first + i;
                let row = &x[at * d..(at + 1) * d];
                let centroid = if each { &centroids[at * d..(at + 1) * d] } else { &centroids[..d] };
                let (bits, factors) = code.split_at_mut(d.div_ceil(8));
                bits.fill(0);
                let (mut length, mut own, mut product) = (0f32, 0f32, 0f32);
                for (j, (v, c)) in row.iter().zip(centroid).enumerate() {
                    let rest = v - c;
                    length += rest * rest;
                    own += v * v;
                    product += rest.abs();
                    bits[j / 8] |= u8::from(rest > 0.0) << (j % 8);
                }
                let inv_length = if length.abs() < f32::EPSILON { 1.0 } else { 1.0 / length.sqrt() };
                let cosine = product * inv_length / (d as f32).sqrt();
                let inv_cosine = if cosine.abs() < f32::EPSILON { 1.0 } else { 1.0 / cosine };
                let stored = if similarity { length - own } else { length };
                factors[..4].copy_from_slice(&stored.to_le_bytes());
                factors[4..].copy_from_slice(&(inv_cosine * length.sqrt()).to_le_bytes());
            }
            Ok(())
        })
    }

    /// Decodes one code to what it says of the vector less its centroid, and adds the centroid.
    pub fn decode_one(&self, code: &[u8], centroid: &[f32], x: &mut [f32]) {
        let at = self.d.div_ceil(8) + 4;
        let multiplier = f32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]);
        let step = multiplier / (self.d as f32).sqrt();
        for (j, (v, c)) in x.iter_mut().zip(centroid).enumerate() {
            *v = if code[j / 8] >> (j % 8) & 1 == 1 { step } else { -step } + c;
        }
    }

    pub fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        out.usize(self.d)?;
        out.usize(self.code_size)?;
        out.i32(self.metric_type as i32)
    }

    pub fn read(input: &mut Reader<'_>) -> Result<Self> {
        let (d, code_size) = (input.usize()?, input.usize()?);
        let metric = MetricType::try_from(i64::from(input.i32()?))?;
        Error::check(d <= 1 << 20, "d <= 1 << 20")?;
        let made = RaBitQuantizer::new(d, metric, 1)?;
        Error::check(made.code_size == code_size, "code_size == (d + 7) / 8 + sizeof(factors)")?;
        Ok(made)
    }
}
