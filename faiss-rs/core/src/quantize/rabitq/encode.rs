//! Vectors to codes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{CodeParts, EXTRA_FACTORS, RaBitQuantizer};
use crate::base::{Error, Result, threads};
use crate::quantize::{bits, codec};
use crate::simd;

/// How far below the largest possible scale the search for the best one begins, by the bits of the second part. Found by the authors of the paper.
const START: [f32; 9] = [0.0, 0.15, 0.20, 0.52, 0.59, 0.71, 0.75, 0.77, 0.81];
/// The search ends where the largest coordinate would have this much more than the largest number.
const BEYOND: f32 = 10.0;
/// Products that are whole numbers but for rounding are whole numbers.
const NEARLY: f32 = 1e-5;
/// How many times its expected size the error is said to be.
const ERROR_BOUND: f32 = 1.9;

/// What the numbers of a code are computed from: the squared length of a vector less its centroid, and of the vector; the sum of the former's
/// absolute coordinates.
#[derive(Default, Clone, Copy)]
pub struct Sums {
    pub length: f32,
    pub own: f32,
    pub product: f32,
}

impl Sums {
    pub fn of(x: &[f32], centroid: impl Iterator<Item = f32>) -> Self {
        let mut sums = Sums::default();
        for (v, c) in x.iter().zip(centroid) {
            let rest = v - c;
            sums.length += rest * rest;
            sums.own += v * v;
            sums.product += rest.abs();
        }
        sums
    }

    /// What is stored of the length, the multiplier and the error.
    pub fn factors(&self, d: usize, similarity: bool, with_error: bool) -> [f32; 3] {
        let Sums { length, own, product } = *self;
        let inv_length = if length.abs() < f32::EPSILON { 1.0 } else { 1.0 / length.sqrt() };
        let cosine = product * inv_length / (d as f32).sqrt();
        let inv_cosine = if cosine.abs() < f32::EPSILON { 1.0 } else { 1.0 / cosine };
        let error = if with_error && d > 1 && product > 0.0 {
            let spread = (length * d as f32 / (product * product) - 1.0).max(0.0);
            2.0 * ERROR_BOUND * length.sqrt() * (spread / (d - 1) as f32).sqrt()
        } else {
            0.0
        };
        let stored = if similarity { length - own } else { length };
        [stored, inv_cosine * length.sqrt(), if similarity { 0.5 * error } else { error }]
    }
}

/// The numbers from 0 to `2^bits - 1` that are, plus a half, nearest in direction to `rest`, by absolute values.
///
/// A scale is looked for, from which the numbers follow by rounding down: from one number of a coordinate to the next, in the order in which they
/// are reached. The length of the numbers is followed to first order only, as Faiss does, since other scales would be found otherwise.
fn magnitudes(rest: &[f32], bits: usize, numbers: &mut [u32]) {
    let most = (1u32 << bits) - 1;
    let length = simd::fvec_norm_L2sqr(rest).sqrt();
    numbers.fill(0);
    if !(length > 0.0 && length.is_finite()) {
        return;
    }
    let unit: Vec<f32> = rest.iter().map(|v| v.abs() / length).collect();
    let end = (most as f32 + BEYOND) / unit.iter().copied().fold(0.0, f32::max);
    let start = end * START[bits];
    let (mut squares, mut product) = (rest.len() as f32 * 0.25, 0f32);
    // Scales are positive, and such floats are in the order of their bits.
    let mut next = BinaryHeap::with_capacity(rest.len());
    for (i, (v, number)) in unit.iter().zip(numbers.iter_mut()).enumerate() {
        *number = (start * v + NEARLY) as u32;
        squares += (*number * *number + *number) as f32;
        product += (*number as f32 + 0.5) * v;
        if *v > 0.0 {
            next.push(Reverse((((*number + 1) as f32 / v).to_bits(), i)));
        }
    }
    let (mut inverse, mut best, mut scale) = (1.0 / squares.sqrt(), 0f32, start);
    while let Some(Reverse((at, i))) = next.pop() {
        numbers[i] += 1;
        let number = numbers[i] as f32;
        inverse *= squares / (squares + number);
        squares += 2.0 * number;
        product += unit[i];
        if product * inverse > best {
            (best, scale) = (product * inverse, f32::from_bits(at));
        }
        if numbers[i] < most {
            let then = (number + 1.0) / unit[i];
            if then < end {
                next.push(Reverse((then.to_bits(), i)));
            }
        }
    }
    for (number, v) in numbers.iter_mut().zip(&unit) {
        *number = ((scale * v + NEARLY) as u32).min(most);
    }
}

impl CodeParts {
    /// Writes the code of one vector; `rest` and `numbers` are memory for `d` numbers each.
    fn encode(
        &self,
        x: &[f32],
        centroid: &[f32],
        similarity: bool,
        rest: &mut [f32],
        numbers: &mut [u32],
        code: &mut [u8],
    ) {
        let (signs, aux) = code.split_at_mut(self.signs());
        signs.fill(0);
        let sums = Sums::of(x, centroid.iter().copied());
        if sums.length == 0.0 {
            aux.fill(0);
        }
        for (j, (v, c)) in x.iter().zip(centroid).enumerate() {
            rest[j] = v - c;
            signs[j / 8] |= u8::from(rest[j] > 0.0) << (j % 8);
        }
        let (factors, extra) = aux.split_at_mut(self.sign_factors());
        let stored = sums.factors(self.d, similarity, self.extra_bits > 0);
        for (to, factor) in factors.chunks_exact_mut(4).zip(stored) {
            to.copy_from_slice(&factor.to_le_bytes());
        }
        if self.extra_bits == 0 || sums.length == 0.0 {
            return;
        }
        magnitudes(rest, self.extra_bits, numbers);
        let (most, middle) = ((1u32 << self.extra_bits) - 1, self.middle());
        let mut product = 0f32;
        for (number, v) in numbers.iter_mut().zip(rest.iter()) {
            let positive = *v > 0.0;
            if !positive {
                *number = most - *number;
            }
            product += v * ((*number + (u32::from(positive) << self.extra_bits)) as f32 - middle);
        }
        let (extra, factors) = extra.split_at_mut(self.extra());
        bits::pack(numbers.iter().copied(), self.extra_bits, extra);
        let length = simd::fvec_norm_L2sqr(rest);
        let ratio = if product > 0.0 { length / product } else { 0.0 };
        let (add, rescale) =
            if similarity { (simd::fvec_inner_product(rest, centroid), ratio) } else { (length, -2.0 * ratio) };
        debug_assert_eq!(factors.len(), EXTRA_FACTORS);
        factors[..4].copy_from_slice(&add.to_le_bytes());
        factors[4..].copy_from_slice(&rescale.to_le_bytes());
    }
}

impl RaBitQuantizer {
    /// Encodes vectors, each less its centroid: all the same one, or one each.
    pub fn encode(&self, x: &[f32], centroids: &[f32], codes: &mut [u8]) -> Result<()> {
        self.check()?;
        let n = codec::check_sizes(&self.base, x, codes)?;
        let (d, parts) = (self.d, self.parts());
        Error::check(d > 0 && (centroids.len() == d || centroids.len() == n * d), "centroid.size() == d")?;
        let (each, similarity) = (centroids.len() > d, self.metric_type.is_similarity());
        threads::parallel_rows(codes, self.code_size, 64, |first, rows| {
            let (mut rest, mut numbers) = (vec![0f32; d], vec![0u32; d]);
            for (i, code) in rows.chunks_exact_mut(self.code_size).enumerate() {
                let at = first + i;
                let centroid = if each { &centroids[at * d..(at + 1) * d] } else { &centroids[..d] };
                parts.encode(&x[at * d..(at + 1) * d], centroid, similarity, &mut rest, &mut numbers, code);
            }
            Ok(())
        })
    }
}
