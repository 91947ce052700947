//! TurboQuant (Zandieh, Daliri, Hadian, Mirrokni, 2025): the direction of a vector by the levels of its coordinates, and of what is left over the
//! signs of its projections (QJL), by which inner products are estimated without bias.
//!
//! A code is, for `b` bits of levels: `b` planes of `ceil(d / 8)` bytes with one bit of each level's number, lowest first; a plane of signs; the
//! vector's norm; and the norm of what is left over, of the unit vector. Projections are the first `d` rows of a Hadamard matrix whose columns
//! have random signs.

use std::cmp::Ordering::Less;

use super::normal;
use crate::base::{Error, Result};
use crate::random::RandomGenerator;
use crate::simd;

/// The seed that files of Faiss hold.
const SEED: u64 = 42;
/// What a norm of 0 is taken for.
const SMALLEST_NORM: f32 = 1e-30;

/// What training leaves: the levels and their boundaries, then the seed and the kind of projection.
pub fn table(bits: usize) -> Vec<f32> {
    let mut table = normal::table(bits, 1.0);
    table.extend([f32::from_bits(SEED as u32), f32::from_bits((SEED >> 32) as u32), 0.0]);
    table
}

/// The quantizer, ready to encode and to decode.
pub struct Turbo {
    d: usize,
    bits: usize,
    /// Levels of the coordinates of a unit vector times `sqrt(d)`, and the boundaries between them.
    levels: Vec<f32>,
    boundaries: Vec<f32>,
    /// Signs of the projection's columns; as many as a power of two from `d` on.
    signs: Vec<f32>,
}

/// A code taken apart, its signs as -1 and 1.
#[derive(Default)]
pub struct Parts {
    /// The level of each coordinate.
    pub levels: Vec<f32>,
    /// The signs of what is left.
    pub signs: Vec<f32>,
    /// The length of the vector.
    pub norm: f32,
    /// The length of what is left.
    pub rest: f32,
}

impl Turbo {
    /// For vectors of `d` numbers and codes of `bits` bits.
    pub fn new(d: usize, bits: usize, trained: &[f32]) -> Result<Self> {
        let k = 1 << bits;
        let (levels, rest) = trained.split_at(k);
        let (boundaries, seed) = rest.split_at(k - 1);
        let [low, high, kind] = seed else { return Err(Error::failed("trained.size() == 2^bits * 2 + 2", "")) };
        if *kind != 0.0 {
            let message = format!("projection type {kind} of TurboQuant is not supported; supported: 0 (Hadamard)");
            return Err(Error::failed("qjl_type == 0", message));
        }
        let seed = u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32;
        let mut random = RandomGenerator::new(seed as i64);
        let signs = (0..d.next_power_of_two()).map(|_| if random.rand_int() & 1 == 0 { 1.0 } else { -1.0 }).collect();
        Ok(Turbo { d, bits, levels: levels.to_vec(), boundaries: boundaries.to_vec(), signs })
    }

    fn plane(&self) -> usize {
        self.d.div_ceil(8)
    }

    /// Multiplies by a Hadamard matrix whose rows have norm 1; as many numbers as there are signs.
    fn hadamard(&self, x: &mut [f32]) {
        simd::walsh_hadamard(x);
        let scale = 1.0 / (x.len() as f32).sqrt();
        x.iter_mut().for_each(|v| *v *= scale);
    }

    /// The `d` projections of a vector.
    pub fn project(&self, x: &[f32], buffer: &mut Vec<f32>) {
        buffer.clear();
        buffer.extend(x.iter().zip(&self.signs).map(|(v, s)| v * s));
        buffer.resize(self.signs.len(), 0.0);
        self.hadamard(buffer);
        buffer.truncate(self.d);
    }

    /// What the signs of projections add to a unit vector for each unit of what is left over.
    pub fn sign_factor(&self) -> f32 {
        std::f32::consts::FRAC_PI_2.sqrt() / self.d as f32
    }

    /// Writes the code of a vector.
    pub fn encode(&self, x: &[f32], code: &mut [u8], buffer: &mut Vec<f32>) {
        code.fill(0);
        let (plane, root) = (self.plane(), (self.d as f32).sqrt());
        // Not `max`, which would take a NaN for nothing.
        let norm = x.iter().map(|v| v * v).sum::<f32>().sqrt();
        let norm = if norm < SMALLEST_NORM { SMALLEST_NORM } else { norm };
        let mut rest = vec![0f32; self.d];
        for (i, v) in x.iter().enumerate() {
            let unit = v / norm;
            // A NaN is below no boundary and gets the last level.
            let level = self.boundaries.partition_point(|b| (unit * root).partial_cmp(b) != Some(Less));
            for b in 0..self.bits {
                code[b * plane + i / 8] |= ((level >> b & 1) as u8) << (i % 8);
            }
            rest[i] = unit - self.levels[level] / root;
        }
        self.project(&rest, buffer);
        for (i, v) in buffer.iter().enumerate() {
            code[self.bits * plane + i / 8] |= u8::from(*v >= 0.0) << (i % 8);
        }
        let left = rest.iter().map(|v| v * v).sum::<f32>().sqrt();
        let at = (self.bits + 1) * plane;
        code[at..at + 4].copy_from_slice(&norm.to_ne_bytes());
        code[at + 4..at + 8].copy_from_slice(&left.to_ne_bytes());
    }

    /// The levels and signs of a code.
    pub fn take_apart(&self, code: &[u8], parts: &mut Parts) {
        let plane = self.plane();
        parts.levels.resize(self.d, 0.0);
        parts.signs.resize(self.d, 0.0);
        let signs = &code[self.bits * plane..];
        for (i, (level, sign)) in parts.levels.iter_mut().zip(&mut parts.signs).enumerate() {
            let number = (0..self.bits).fold(0, |n, b| n | usize::from(code[b * plane + i / 8] >> (i % 8) & 1) << b);
            *level = self.levels[number];
            *sign = f32::from(signs[i / 8] >> (i % 8) & 1) * 2.0 - 1.0;
        }
        let number = |at: usize| f32::from_ne_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]);
        let at = (self.bits + 1) * plane;
        (parts.norm, parts.rest) = (number(at), number(at + 4));
    }

    /// The vector of a code.
    pub fn decode(&self, code: &[u8], x: &mut [f32], parts: &mut Parts) {
        self.take_apart(code, parts);
        let (root, factor) = ((self.d as f32).sqrt(), parts.rest * self.sign_factor());
        // The transpose of the projection.
        parts.signs.resize(self.signs.len(), 0.0);
        self.hadamard(&mut parts.signs);
        for (i, v) in x.iter_mut().enumerate() {
            *v = parts.norm * (parts.levels[i] / root + factor * (self.signs[i] * parts.signs[i]));
        }
    }
}
