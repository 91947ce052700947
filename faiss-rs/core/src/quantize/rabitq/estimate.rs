//! Queries against codes.
//!
//! For a vector o, a centroid c and signs s: `||q - o||² ≈ ||o - c||² + ||q - c||² - 2 m <s, q - c> / sqrt(d)`, where m is stored beside the signs. The
//! query may be rounded to a few bits for that. The numbers u of a code of several bits give `||q - o||² ≈ a + ||q - c||² + b <u, q - c>`, with the
//! stored a and b; it costs more, so that it is computed only where the first estimate, less its error, is small enough.

use std::ops::Range;

use super::{CodeParts, RaBitQuantizer, number};
use crate::base::{Error, Result, interrupt};
use crate::distance::collect::Collector;
use crate::simd;
use crate::storage::packing::Layout;

/// Codes between two questions whether the user wants to go on.
const BLOCK: usize = 1024;

/// Half the width of what a normal variable is rounded to, by the number of bits less one: uniform steps with the least squared error (Max, 1960).
const HALF_WIDTH: [f32; 8] = [0.79688, 1.49375, 2.05078, 2.50938, 2.91250, 3.26406, 3.59844, 3.91016];

/// How a query is rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// To so many bits; 0 for not at all.
    pub qb: u8,
    /// To steps that lie around 0, as wide as suits normal variables; else evenly from the smallest to the largest coordinate.
    pub centered: bool,
}

impl Rounding {
    pub fn new(qb: u8, centered: bool) -> Result<Self> {
        Error::check(qb <= 8, "qb <= 8")?;
        Ok(Rounding { qb, centered })
    }
}

/// A query less a centroid, and what follows from it.
#[derive(Default, Clone)]
pub struct QueryFactors {
    /// For the sum of the rounded coordinates of positive signs, and for how many they are: their product with the signs is
    /// `c1 * sum + c2 * ones - c34`.
    pub c1: f32,
    pub c2: f32,
    pub c34: f32,
    /// The squared length of the query less the centroid, and of the query; their product with the centroid.
    pub to_centroid: f32,
    pub norm: f32,
    pub dot: f32,
    /// Of centered rounding: what a step of the product of signs and odd numbers is.
    pub scale: f32,
    /// By what the error that is stored in a code is multiplied.
    pub error: f32,
    /// The query less the centroid.
    pub rest: Vec<f32>,
    /// That rounded.
    pub rounded: Vec<f32>,
}

impl QueryFactors {
    pub fn set(&mut self, x: &[f32], centroid: &[f32], rounding: Rounding) {
        let d = x.len();
        self.rest.resize(d, 0.0);
        simd::fvec_sub(&mut self.rest, x, centroid);
        self.to_centroid = simd::fvec_norm_L2sqr(&self.rest);
        self.norm = simd::fvec_norm_L2sqr(x);
        self.dot = simd::fvec_inner_product(x, centroid);
        self.error = self.to_centroid.sqrt();
        self.scale = 1.0;
        self.rounded.clear();
        let inv = if d == 0 { 1.0 } else { 1.0 / (d as f32).sqrt() };
        let Rounding { qb, centered } = rounding;
        if qb == 0 {
            self.rounded.extend_from_slice(&self.rest);
            let sum: f32 = self.rest.iter().sum();
            (self.c1, self.c2, self.c34) = (2.0 * inv, 0.0, sum * inv);
            return;
        }
        let most = ((1u32 << qb) - 1) as f32;
        let (low, delta) = if centered {
            let half = HALF_WIDTH[usize::from(qb) - 1] * self.error * inv;
            (-half, 2.0 * half / most)
        } else {
            let low = self.rest.iter().copied().fold(f32::INFINITY, f32::min);
            let high = self.rest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            (low, (high - low) / most)
        };
        let inv_delta = if delta > 0.0 { 1.0 / delta } else { 0.0 };
        self.rounded.extend(self.rest.iter().map(|v| ((v - low) * inv_delta).round().clamp(0.0, most)));
        let sum: f32 = self.rounded.iter().sum();
        (self.c1, self.c2) = (2.0 * delta * inv, 2.0 * low * inv);
        self.c34 = inv * (delta * sum + d as f32 * low);
        if centered {
            // The odd numbers, made as long as the query.
            let squares: f32 = self.rounded.iter().map(|v| (2.0 * v - most) * (2.0 * v - most)).sum();
            self.scale = if squares > 0.0 { self.error * inv / squares.sqrt() } else { 0.0 };
        }
    }

    /// From the product with the signs to the estimate, as a key, for a code's length and multiplier.
    #[inline]
    pub fn key(&self, length: f32, multiplier: f32, product: f32, similarity: bool) -> f32 {
        let distance = length + self.to_centroid - 2.0 * multiplier * product;
        // The key of a similarity is its negative.
        if similarity { 0.5 * (distance - self.norm) } else { distance.max(0.0) }
    }
}

impl QueryFactors {
    /// FastScan's tables: for each four coordinates 16 numbers, by the signs that a number of four bits says. With centered rounding, whole numbers,
    /// the smaller the more signs agree.
    pub fn tables(&self, rounding: Rounding, tables: &mut [f32]) {
        let most = ((1u32 << rounding.qb) - 1) as f32;
        for (four, row) in self.rounded.chunks(4).zip(tables.chunks_exact_mut(16)) {
            for (bits, entry) in row.iter_mut().enumerate() {
                let set = |i: usize| bits >> i & 1 == 1;
                *entry = if rounding.centered {
                    four.iter().enumerate().map(|(i, v)| if set(i) { most - v } else { *v }).sum()
                } else {
                    let sum: f32 = four.iter().enumerate().map(|(i, v)| if set(i) { *v } else { 0.0 }).sum();
                    let ones = (0..four.len()).filter(|i| set(*i)).count();
                    self.c1 * sum + self.c2 * ones as f32
                };
            }
        }
    }

    /// The product of query and signs, from the sum of the tables' entries.
    #[inline]
    pub fn product_of_sum(&self, sum: f32, rounding: Rounding) -> f32 {
        if rounding.centered {
            let most = (1i64 << rounding.qb) - 1;
            // In whole numbers, as Faiss has it.
            self.scale * (most * self.rounded.len() as i64 - 2 * sum as i64) as f32
        } else {
            sum - self.c34
        }
    }
}

/// A query and a centroid, ready to be compared with codes.
pub struct Estimate {
    parts: CodeParts,
    similarity: bool,
    pub factors: QueryFactors,
    c1: f32,
    c2: f32,
    c34: f32,
    /// For each four coordinates, the sums of those that a number of four bits names.
    sums: Vec<f32>,
}

impl Estimate {
    pub fn new(quantizer: &RaBitQuantizer) -> Result<Self> {
        quantizer.check()?;
        Ok(Estimate {
            parts: quantizer.parts(),
            similarity: quantizer.metric_type.is_similarity(),
            factors: QueryFactors::default(),
            c1: 0.0,
            c2: 0.0,
            c34: 0.0,
            sums: vec![0.0; quantizer.d.div_ceil(4) * 16],
        })
    }

    /// Whether codes have a second part.
    pub fn refines(&self) -> bool {
        self.parts.extra_bits > 0
    }

    pub fn set(&mut self, x: &[f32], centroid: &[f32], rounding: Rounding) {
        self.factors.set(x, centroid, rounding);
        let own = &self.factors;
        (self.c1, self.c2, self.c34) = (own.c1, own.c2, own.c34);
        if rounding.centered && rounding.qb > 0 {
            let most = ((1u32 << rounding.qb) - 1) as f32;
            let sum: f32 = own.rounded.iter().sum();
            (self.c1, self.c2) = (4.0 * own.scale, -2.0 * own.scale * most);
            self.c34 = own.scale * (2.0 * sum - most * x.len() as f32);
        }
        for (four, sums) in own.rounded.chunks(4).zip(self.sums.chunks_exact_mut(16)) {
            for (bits, sum) in sums.iter_mut().enumerate() {
                *sum = four.iter().enumerate().map(|(i, v)| if bits >> i & 1 == 1 { *v } else { 0.0 }).sum();
            }
        }
    }

    /// The key of a code, by all that it says: the smaller, the better.
    pub fn key(&self, code: &[u8]) -> f32 {
        if self.refines() { self.key_of_all(code) } else { self.key_of_signs(code) }
    }

    /// By the signs alone.
    pub fn key_of_signs(&self, code: &[u8]) -> f32 {
        let (bits, factors) = code.split_at(self.parts.signs());
        let (mut sum, mut ones) = (0f32, 0u32);
        for (byte, sums) in bits.iter().zip(self.sums.chunks(32)) {
            sum += sums[usize::from(byte & 15)];
            if sums.len() > 16 {
                sum += sums[16 + usize::from(byte >> 4)];
            }
            ones += byte.count_ones();
        }
        let product = self.c1 * sum + self.c2 * ones as f32 - self.c34;
        self.factors.key(number(factors, 0), number(factors, 1), product, self.similarity)
    }

    /// By the signs and the second part.
    fn key_of_all(&self, code: &[u8]) -> f32 {
        let (signs, aux) = code.split_at(self.parts.signs());
        key_of_numbers(&self.parts, signs, &aux[self.parts.sign_factors()..], &self.factors, self.similarity)
    }

    /// The key of a code where it may be below the limit: where the signs say, less their error, that it can't be, nothing more is computed.
    #[inline]
    pub fn key_below(&self, code: &[u8], limit: f32) -> Option<f32> {
        let key = self.key_of_signs(code);
        if !self.refines() {
            return Some(key);
        }
        let error = number(&code[self.parts.signs()..], 2);
        (key - error * self.factors.error < limit).then(|| self.key_of_all(code))
    }
}

/// The key by signs and the second part of a code, `extra`, which ends with its numbers.
pub fn key_of_numbers(parts: &CodeParts, signs: &[u8], extra: &[u8], query: &QueryFactors, similarity: bool) -> f32 {
    let (numbers, factors) = extra.split_at(parts.extra());
    let (bits, middle) = (parts.extra_bits, parts.middle());
    let mask = (1u32 << bits) - 1;
    let mut product = 0f32;
    for (j, v) in query.rest.iter().enumerate() {
        let at = j * bits;
        let low = u32::from(numbers[at / 8]);
        let high = if at % 8 + bits > 8 { u32::from(numbers[at / 8 + 1]) } else { 0 };
        let number = (low | high << 8) >> (at % 8) & mask;
        let sign = u32::from(signs[j / 8] >> (j % 8) & 1);
        product += v * ((number | sign << bits) as f32 - middle);
    }
    let (add, rescale) = (number(factors, 0), number(factors, 1));
    if similarity {
        -(query.dot + add + rescale * product)
    } else {
        (query.to_centroid + add + rescale * product).max(0.0)
    }
}

/// Codes that are packed for FastScan, with all but their signs behind them.
pub struct PackedCodes<'a> {
    pub parts: CodeParts,
    pub layout: Layout,
    pub packed: &'a [u8],
    pub similarity: bool,
}

impl PackedCodes<'_> {
    /// Offers codes to a collector: `hits` are the rounded sums of their signs and where they are, `id` says what a code is, or that it is not wanted.
    pub fn offer<C: Collector>(
        &self,
        query: &QueryFactors,
        rounding: Rounding,
        (offset, scale): (f32, f32),
        hits: &mut Vec<(u16, u32)>,
        own: &mut C,
        id: impl Fn(usize) -> Option<i64>,
    ) {
        let one_a = 1.0 / scale;
        let mut signs = vec![0; self.parts.signs()];
        for (sum, at) in hits.drain(..) {
            let at = at as usize;
            let Some(id) = id(at) else { continue };
            let aux = &self.packed[self.layout.aux_range(at)];
            let product = query.product_of_sum(offset + f32::from(sum) * one_a, rounding);
            let mut key = query.key(number(aux, 0), number(aux, 1), product, self.similarity);
            let limit = own.threshold();
            if self.parts.extra_bits > 0 {
                if key - number(aux, 2) * query.error >= limit {
                    continue;
                }
                self.layout.unpack_1(self.packed, at, &mut signs);
                key = key_of_numbers(&self.parts, &signs, &aux[self.parts.sign_factors()..], query, self.similarity);
            }
            if key < limit {
                own.push(key, id);
            }
        }
    }
}

/// Offers codes one after the other to a collector, whose threshold decides about each whether all of it is looked at. `id` says what code `i` is, or
/// that it is not wanted.
pub fn scan<C: Collector>(
    estimate: &Estimate,
    codes: &[u8],
    range: Range<usize>,
    own: &mut C,
    id: impl Fn(usize) -> Option<i64>,
) -> Result<()> {
    let size = estimate.parts.code_size();
    for i in range {
        if i % BLOCK == 0 {
            interrupt::check()?;
        }
        let Some(id) = id(i) else { continue };
        let limit = own.threshold();
        if let Some(key) = estimate.key_below(&codes[i * size..(i + 1) * size], limit).filter(|key| *key < limit) {
            own.push(key, id);
        }
    }
    Ok(())
}
