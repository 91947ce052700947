//! Queries against codes.
//!
//! For a vector o, a centroid c and signs s: `||q - o||² ≈ ||o - c||² + ||q - c||² - 2 m <s, q - c> / sqrt(d)`, where m is stored beside the signs. The
//! query may be rounded to a few bits for that. The numbers u of a code of several bits give `||q - o||² ≈ a + ||q - c||² + b <u, q - c>`, with the
//! stored a and b; it costs more, so that it is computed only where the first estimate, less its error, is small enough.

use std::ops::Range;

use super::planes::{self, Planes};
use super::{CodeParts, RaBitQuantizer, number};
use crate::base::{Error, Result, interrupt};
use crate::distance::collect::Collector;
use crate::simd::{self, Isa, Kernel, launch};
use crate::storage::packing::Layout;

/// Codes that are looked at by their signs at a time.
const BLOCK: usize = 128;
/// Codes whose counts and numbers are beside each other before keys are made of them.
const STRIP: usize = 32;
/// Codes between two questions whether the user wants to go on.
const PAUSE: usize = 1 << 14;

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
    /// To `qb` bits, 8 at most.
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
    /// By what the number of positive signs is multiplied.
    pub c2: f32,
    /// What is subtracted.
    pub c34: f32,
    /// The squared length of the query less the centroid, and of the query; their product with the centroid.
    pub to_centroid: f32,
    /// The squared length of the query.
    pub norm: f32,
    /// The product of the query with the centroid.
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
    /// Takes a query, and the centroid that codes are differences to.
    pub fn set(&mut self, x: &[f32], centroid: &[f32], rounding: Rounding) {
        let d = x.len();
        self.rest.resize(d, 0.0);
        simd::fvec_sub(&mut self.rest, x, centroid);
        self.to_centroid = simd::fvec_norm_L2sqr(&self.rest);
        self.norm = simd::fvec_norm_L2sqr(x);
        self.dot = simd::fvec_inner_product(x, centroid);
        self.error = self.to_centroid.sqrt();
        self.scale = 1.0;
        let inv = if d == 0 { 1.0 } else { 1.0 / (d as f32).sqrt() };
        let Rounding { qb, centered } = rounding;
        if qb == 0 {
            self.rounded.clone_from(&self.rest);
            let sum: f32 = self.rest.iter().sum();
            (self.c1, self.c2, self.c34) = (2.0 * inv, 0.0, sum * inv);
            return;
        }
        let most = ((1u32 << qb) - 1) as f32;
        let steps = centered.then(|| {
            let half = HALF_WIDTH[usize::from(qb) - 1] * self.error * inv;
            (-half, 2.0 * half / most)
        });
        let (low, delta) = planes::round(&self.rest, steps, most, &mut self.rounded);
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
    #[inline(always)]
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
    /// What follows from the query.
    pub factors: QueryFactors,
    c1: f32,
    c2: f32,
    c34: f32,
    rounded: bool,
    planes: Planes,
    /// Of a query that is not rounded, for each four coordinates, the sums of those that a number of four bits names.
    sums: Vec<f32>,
}

impl Estimate {
    /// For the codes of a quantizer.
    pub fn new(quantizer: &RaBitQuantizer) -> Result<Self> {
        quantizer.check()?;
        Ok(Estimate {
            parts: quantizer.parts(),
            similarity: quantizer.metric_type.is_similarity(),
            factors: QueryFactors::default(),
            c1: 0.0,
            c2: 0.0,
            c34: 0.0,
            rounded: false,
            planes: Planes::default(),
            sums: Vec::new(),
        })
    }

    /// Whether codes have a second part.
    pub fn refines(&self) -> bool {
        self.parts.extra_bits > 0
    }

    /// Takes a query, and the centroid that codes are differences to.
    pub fn set(&mut self, x: &[f32], centroid: &[f32], rounding: Rounding) {
        self.factors.set(x, centroid, rounding);
        let own = &self.factors;
        (self.c1, self.c2, self.c34) = (own.c1, own.c2, own.c34);
        self.rounded = rounding.qb > 0;
        if self.rounded {
            self.planes.set(&own.rounded, rounding.qb);
            if rounding.centered {
                let most = ((1u32 << rounding.qb) - 1) as f32;
                let sum: f32 = own.rounded.iter().sum();
                (self.c1, self.c2) = (4.0 * own.scale, -2.0 * own.scale * most);
                self.c34 = own.scale * (2.0 * sum - most * x.len() as f32);
            }
            return;
        }
        self.sums.resize(x.len().div_ceil(4) * 16, 0.0);
        for (four, sums) in own.rounded.chunks(4).zip(self.sums.chunks_exact_mut(16)) {
            for (bits, sum) in sums.iter_mut().enumerate() {
                *sum = four.iter().enumerate().map(|(i, v)| if bits >> i & 1 == 1 { *v } else { 0.0 }).sum();
            }
        }
    }

    /// The keys of codes, by all that they say: the smaller, the better.
    pub fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        if !self.refines() {
            return self.keys_of_signs(codes, false, keys);
        }
        for (code, key) in codes.chunks_exact(self.parts.code_size()).zip(keys) {
            *key = self.key(code);
        }
    }

    /// What the keys of codes of several bits are not below, by their signs alone.
    pub fn bounds(&self, codes: &[u8], bounds: &mut [f32]) {
        self.keys_of_signs(codes, true, bounds);
    }

    /// By the signs alone; `less_error`, less how far off that may be.
    fn keys_of_signs(&self, codes: &[u8], less_error: bool, keys: &mut [f32]) {
        if self.rounded {
            return launch(SignKeys { estimate: self, codes, less_error, keys });
        }
        for (code, key) in codes.chunks_exact(self.parts.code_size()).zip(keys) {
            let (signs, factors) = code.split_at(self.parts.signs());
            let product = self.c1 * self.sum_of(signs) - self.c34;
            *key = self.factors.key(number(factors, 0), number(factors, 1), product, self.similarity);
            if less_error {
                *key -= number(factors, 2) * self.factors.error;
            }
        }
    }

    /// The sum of the coordinates that signs name, of a query that is not rounded.
    #[inline]
    fn sum_of(&self, signs: &[u8]) -> f32 {
        let mut sum = 0.0;
        for (byte, sums) in signs.iter().zip(self.sums.chunks(32)) {
            sum += sums[usize::from(byte & 15)];
            if sums.len() > 16 {
                sum += sums[16 + usize::from(byte >> 4)];
            }
        }
        sum
    }

    /// The key of a code by its signs alone, and what the key by all that it says is, all but certainly, not below.
    pub fn key_of_signs(&self, code: &[u8]) -> (f32, f32) {
        let mut key = [0.0];
        self.keys_of_signs(code, false, &mut key);
        let error = number(&code[self.parts.signs()..], 2) * self.factors.error;
        (key[0], key[0] - error)
    }

    /// The key of a code of several bits, by all that it says.
    pub fn key(&self, code: &[u8]) -> f32 {
        let (signs, aux) = code.split_at(self.parts.signs());
        key_of_numbers(&self.parts, signs, &aux[self.parts.sign_factors()..], &self.factors, self.similarity)
    }
}

/// Keys of codes by their signs, of a query that is rounded.
struct SignKeys<'a> {
    estimate: &'a Estimate,
    codes: &'a [u8],
    less_error: bool,
    keys: &'a mut [f32],
}

impl Kernel for SignKeys<'_> {
    type Out = ();
    const INTEGER: bool = true;

    #[inline(always)]
    fn run<R: Isa>(self) {
        let SignKeys { estimate, codes, less_error, keys } = self;
        let (parts, query) = (&estimate.parts, &estimate.factors);
        let (size, signs, numbers) = (parts.code_size(), parts.signs(), parts.sign_factors());
        let (mut sums, mut ones) = ([0i32; STRIP], [0i32; STRIP]);
        let (mut lengths, mut multipliers, mut errors) = ([0f32; STRIP], [0f32; STRIP], [0f32; STRIP]);
        let mut first = 0;
        while first < keys.len() {
            let n = (keys.len() - first).min(STRIP);
            let (codes, keys) = (&codes[first * size..(first + n) * size], &mut keys[first..first + n]);
            estimate.planes.sums(codes, size, signs, &mut sums[..n], &mut ones[..n]);
            for i in 0..n {
                let factors = &codes[i * size + signs..i * size + signs + numbers];
                (lengths[i], multipliers[i]) = (number(factors, 0), number(factors, 1));
                if less_error {
                    errors[i] = number(factors, 2) * query.error;
                }
            }
            for i in 0..n {
                let product = estimate.c1 * sums[i] as f32 + estimate.c2 * ones[i] as f32 - estimate.c34;
                keys[i] = query.key(lengths[i], multipliers[i], product, estimate.similarity) - errors[i];
            }
            first += n;
        }
    }
}

/// The key by signs and the second part of a code, `extra`, which ends with its numbers.
pub fn key_of_numbers(parts: &CodeParts, signs: &[u8], extra: &[u8], query: &QueryFactors, similarity: bool) -> f32 {
    let factors = &extra[parts.extra()..];
    let product = planes::product(&query.rest, signs, extra, parts.extra_bits, parts.middle());
    let (add, rescale) = (number(factors, 0), number(factors, 1));
    if similarity {
        -(query.dot + add + rescale * product)
    } else {
        (query.to_centroid + add + rescale * product).max(0.0)
    }
}

/// Codes that are packed for FastScan, with all but their signs behind them.
pub struct PackedCodes<'a> {
    /// Where the parts of a code lie.
    pub parts: CodeParts,
    /// How blocks are laid out.
    pub layout: Layout,
    /// The blocks.
    pub packed: &'a [u8],
    /// Whether larger distances are nearer.
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

/// Offers codes of several bits to a collector, whose threshold decides about each whether all of it is looked at. `id` says what code `i` is, or that
/// it is not wanted.
pub fn scan<C: Collector>(
    estimate: &Estimate,
    codes: &[u8],
    range: Range<usize>,
    own: &mut C,
    id: impl Fn(usize) -> Option<i64>,
) -> Result<()> {
    let size = estimate.parts.code_size();
    let (mut bounds, mut hits) = ([0f32; BLOCK], [0u32; BLOCK]);
    for first in range.clone().step_by(BLOCK) {
        if first % PAUSE < BLOCK {
            interrupt::check()?;
        }
        let end = (first + BLOCK).min(range.end);
        let bounds = &mut bounds[..end - first];
        estimate.bounds(&codes[first * size..end * size], bounds);
        let count = simd::below(bounds, own.threshold(), &mut hits);
        for hit in hits[..count].iter().map(|hit| *hit as usize) {
            let (at, limit) = (first + hit, own.threshold());
            if bounds[hit] < limit
                && let Some(id) = id(at)
            {
                let key = estimate.key(&codes[at * size..(at + 1) * size]);
                if key < limit {
                    own.push(key, id);
                }
            }
        }
    }
    Ok(())
}
