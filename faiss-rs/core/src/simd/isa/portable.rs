//! Registers for every processor; compilers make vector instructions of them where there are any.

use crate::simd::half::{decode_bf16, decode_fp16};
use crate::simd::lanes::{Bytes, Lanes, head, second};

/// Where a fused operation is no instruction it is a slow function.
const FUSED: bool = cfg!(target_arch = "aarch64");

/// Four numbers.
#[derive(Clone, Copy)]
pub struct F32x4([f32; 4]);

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        F32x4(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
    /// Numbers of `bits` bits.
    #[inline(always)]
    fn small(word: u64, bits: u32) -> Self {
        F32x4(std::array::from_fn(|i| ((word >> (bits * i as u32)) & ((1 << bits) - 1)) as f32))
    }
    #[inline(always)]
    fn signed(word: u64) -> Self {
        F32x4(std::array::from_fn(|i| f32::from((word >> (8 * i)) as i8)))
    }
    #[inline(always)]
    fn halves(word: u64, decode: impl Fn(u16) -> f32) -> Self {
        F32x4(std::array::from_fn(|i| decode((word >> (16 * i)) as u16)))
    }
}

impl Lanes for F32x4 {
    const WIDTH: usize = 4;
    const TILE_ROWS: usize = 2;
    const FUSED: bool = FUSED;

    #[inline(always)]
    fn zero() -> Self {
        F32x4([0.0; 4])
    }
    #[inline(always)]
    fn splat(v: f32) -> Self {
        F32x4([v; 4])
    }
    #[inline(always)]
    fn load(x: &[f32]) -> Self {
        F32x4([x[0], x[1], x[2], x[3]])
    }
    #[inline(always)]
    fn load_part(x: &[f32]) -> Self {
        F32x4(std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0)))
    }
    #[inline(always)]
    fn store(self, out: &mut [f32]) {
        out[..4].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn madd(self, a: Self, b: Self) -> Self {
        F32x4(std::array::from_fn(
            |i| {
                if FUSED { self.0[i].mul_add(a.0[i], b.0[i]) } else { self.0[i] * a.0[i] + b.0[i] }
            },
        ))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        F32x4(self.0.map(f32::abs))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn less(self, other: Self) -> u32 {
        let bit = |i: usize| u32::from(self.0[i] < other.0[i]) << i;
        bit(0) | bit(1) | bit(2) | bit(3)
    }
    #[inline(always)]
    fn totals(four: [Self; 4]) -> [f32; 4] {
        four.map(|v| (v.0[0] + v.0[2]) + (v.0[1] + v.0[3]))
    }
    type Half = Self;
    #[inline(always)]
    fn half(self) -> Self {
        self
    }
    #[inline(always)]
    fn transpose_8(from: &[f32], stride: usize, width: usize, to: &mut [f32], to_stride: usize) {
        for i in 0..8 {
            let row = &from[i * stride..i * stride + width];
            for j in 0..width {
                to[j * to_stride + i] = row[j];
            }
        }
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        self.0.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    fn eight(self) -> [f32; 8] {
        let [a, b, c, d] = self.0;
        [a, b, c, d, 0.0, 0.0, 0.0, 0.0]
    }
    #[inline(always)]
    fn where_equal(self, other: Self, then: Self) -> Self {
        F32x4(std::array::from_fn(|i| if self.0[i] == other.0[i] { then.0[i] } else { f32::INFINITY }))
    }
    #[inline(always)]
    fn keep_less(self, group: Self, least: &mut Self, groups: &mut Self) {
        for i in 0..4 {
            if self.0[i] < least.0[i] {
                (least.0[i], groups.0[i]) = (self.0[i], group.0[i]);
            }
        }
    }
    #[inline(always)]
    fn smallest(four: [Self; 4]) -> f32 {
        four.into_iter().flat_map(|v| v.0).fold(f32::INFINITY, f32::min)
    }
    #[inline(always)]
    fn load_u8(bytes: &[u8]) -> Self {
        Self::small(head(&bytes[..4]), 8)
    }
    #[inline(always)]
    fn load_u8_part(bytes: &[u8]) -> Self {
        Self::small(head(bytes), 8)
    }
    #[inline(always)]
    fn load_i8(bytes: &[u8]) -> Self {
        Self::signed(head(&bytes[..4]))
    }
    #[inline(always)]
    fn load_i8_part(bytes: &[u8]) -> Self {
        Self::signed(head(bytes))
    }
    #[inline(always)]
    fn load_u4(bytes: &[u8]) -> Self {
        Self::small(head(&bytes[..2]), 4)
    }
    #[inline(always)]
    fn load_u4_part(bytes: &[u8]) -> Self {
        Self::small(head(bytes), 4)
    }
    #[inline(always)]
    fn load_u6(bytes: &[u8]) -> Self {
        Self::small(head(&bytes[..3]), 6)
    }
    #[inline(always)]
    fn load_u6_part(bytes: &[u8]) -> Self {
        Self::small(head(bytes), 6)
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8]) -> Self {
        Self::halves(head(&bytes[..8]), decode_fp16)
    }
    #[inline(always)]
    fn load_f16_part(bytes: &[u8]) -> Self {
        Self::halves(head(bytes), decode_fp16)
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8]) -> Self {
        Self::halves(head(&bytes[..8]), decode_bf16)
    }
    #[inline(always)]
    fn load_bf16_part(bytes: &[u8]) -> Self {
        Self::halves(head(bytes), decode_bf16)
    }
}

/// Sixteen bytes.
#[derive(Clone, Copy)]
pub struct Bytes16([u64; 2]);

impl Bytes16 {
    #[inline(always)]
    fn array(self) -> [u8; 16] {
        bytemuck::cast(self.0.map(u64::to_le))
    }
    #[inline(always)]
    fn from_fn(f: impl FnMut(usize) -> u8) -> Self {
        let words: [u64; 2] = bytemuck::cast(std::array::from_fn::<u8, 16, _>(f));
        Bytes16(words.map(u64::from_le))
    }
}

impl Bytes for Bytes16 {
    const WIDTH: usize = 16;
    type Sums = u32;

    #[inline(always)]
    fn load(x: &[u8]) -> Self {
        Bytes16([head(&x[..8]), head(&x[8..16])])
    }
    #[inline(always)]
    fn load_part(x: &[u8]) -> Self {
        Bytes16([head(x), second(x)])
    }
    #[inline(always)]
    fn splat(v: u8) -> Self {
        Bytes16([u64::from(v) * 0x0101_0101_0101_0101; 2])
    }
    #[inline(always)]
    fn store(self, out: &mut [u8]) {
        out[..16].copy_from_slice(&self.array());
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Bytes16([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Bytes16([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Bytes16([self.0[0] ^ other.0[0], self.0[1] ^ other.0[1]])
    }
    #[inline(always)]
    fn high_nibbles(self) -> Self {
        Bytes16(self.0.map(|w| (w >> 4) & 0x0f0f_0f0f_0f0f_0f0f))
    }
    #[inline(always)]
    fn table(entries: &[u8; 16]) -> Self {
        Self::load(entries)
    }
    #[inline(always)]
    fn lookup(self, table: Self) -> Self {
        let (at, table) = (self.array(), table.array());
        Self::from_fn(|i| table[usize::from(at[i] & 15)])
    }
    #[inline(always)]
    fn add_saturating(self, other: Self) -> Self {
        let (a, b) = (self.array(), other.array());
        Self::from_fn(|i| a[i].saturating_add(b[i]))
    }
    #[inline(always)]
    fn no_sums() -> u32 {
        0
    }
    #[inline(always)]
    fn add_ones(self, sums: u32) -> u32 {
        sums + self.0[0].count_ones() + self.0[1].count_ones()
    }
    #[inline(always)]
    fn add_products(self, other: Self, sums: u32) -> u32 {
        self.array().iter().zip(other.array()).fold(sums, |sum, (a, b)| sum.wrapping_add(u32::from(*a) * u32::from(b)))
    }
    #[inline(always)]
    fn add_squared_differences(self, other: Self, sums: u32) -> u32 {
        self.array()
            .iter()
            .zip(other.array())
            .fold(sums, |sum, (a, b)| sum.wrapping_add(u32::from(a.abs_diff(b)).pow(2)))
    }
    #[inline(always)]
    fn sum(sums: u32) -> u32 {
        sums
    }
}
