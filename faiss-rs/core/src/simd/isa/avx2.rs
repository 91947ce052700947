//! Registers of AVX2.

use std::arch::x86_64::*;

use crate::simd::lanes::{Bytes, Lanes, head, second};

/// An instruction. Its preconditions are the same everywhere here: the instruction set is there, because only functions that enable it use
/// these types; loads and stores need no alignment and stay inside their slices, as is asserted.
macro_rules! instruction {
    ($e:expr) => {
        // SAFETY: as said above.
        unsafe { $e }
    };
}
pub(super) use instruction;

/// Eight numbers.
#[derive(Clone, Copy)]
pub struct F32x8(pub(super) __m256);

#[inline(always)]
fn quarter(v: __m256) -> __m128 {
    instruction!(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)))
}

/// Of two registers of four, the sums of numbers 0 and 2 and of 1 and 3.
#[inline(always)]
fn pairs(a: __m128, b: __m128) -> __m128 {
    instruction!(_mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a)))
}

/// The sums of four registers of eight, half added to half.
#[inline(always)]
pub(super) fn totals(four: [__m256; 4]) -> [f32; 4] {
    let [a, b, c, d] = four;
    let mut out = [0f32; 4];
    instruction!({
        let sums = _mm_hadd_ps(pairs(quarter(a), quarter(b)), pairs(quarter(c), quarter(d)));
        _mm_storeu_ps(out.as_mut_ptr(), sums);
    });
    out
}

#[inline(always)]
pub(super) fn array(v: __m256) -> [f32; 8] {
    let mut out = [0f32; 8];
    instruction!(_mm256_storeu_ps(out.as_mut_ptr(), v));
    out
}

/// Sixteen bytes: those of `x` from the front, zeros after them.
#[inline(always)]
pub(super) fn sixteen(x: &[u8]) -> __m128i {
    instruction!(_mm_set_epi64x(second(x) as i64, head(x) as i64))
}

#[inline(always)]
pub(super) fn whole16(x: &[u8]) -> __m128i {
    assert!(x.len() >= 16);
    instruction!(_mm_loadu_si128(x.as_ptr().cast()))
}

#[inline(always)]
fn float(v: __m256i) -> F32x8 {
    F32x8(instruction!(_mm256_cvtepi32_ps(v)))
}

#[inline(always)]
fn u8x8(word: u64) -> F32x8 {
    float(instruction!(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(word as i64))))
}

#[inline(always)]
fn i8x8(word: u64) -> F32x8 {
    float(instruction!(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(word as i64))))
}

#[inline(always)]
fn u4x8(word: u64) -> F32x8 {
    float(instruction!({
        let shifted = _mm256_srlv_epi32(_mm256_set1_epi32(word as i32), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
        _mm256_and_si256(shifted, _mm256_set1_epi32(15))
    }))
}

#[inline(always)]
fn u6x8(word: u64) -> F32x8 {
    float(instruction!({
        let (low, high) = (_mm_set1_epi32(word as i32), _mm_set1_epi32((word >> 24) as i32));
        let shifted = _mm256_srlv_epi32(_mm256_set_m128i(high, low), _mm256_setr_epi32(0, 6, 12, 18, 0, 6, 12, 18));
        _mm256_and_si256(shifted, _mm256_set1_epi32(63))
    }))
}

#[inline(always)]
fn f16x8(halves: __m128i) -> F32x8 {
    F32x8(instruction!(_mm256_cvtph_ps(halves)))
}

#[inline(always)]
fn bf16x8(halves: __m128i) -> F32x8 {
    F32x8(instruction!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))))
}

/// The numbers of `x`, fewer than eight, and zeros behind them. Without a masked load, which takes ten times as long as a plain one on some processors.
#[inline(always)]
fn part(x: &[f32]) -> __m256 {
    // From place `16 - 4 * n` on, the control of a shuffle that moves the last `n` numbers of four to the front and clears the others.
    const TO_FRONT: [u8; 32] = {
        let (mut all, mut i) = ([0x80; 32], 0);
        while i < 16 {
            all[i] = i as u8;
            i += 1;
        }
        all
    };
    let (n, at) = (x.len(), x.as_ptr());
    assert!(n < 8);
    instruction!({
        let (low, high) = match n {
            0 => (_mm_setzero_ps(), _mm_setzero_ps()),
            1 => (_mm_load_ss(at), _mm_setzero_ps()),
            2 => (_mm_castsi128_ps(_mm_loadl_epi64(at.cast())), _mm_setzero_ps()),
            3 => {
                let two = _mm_castsi128_ps(_mm_loadl_epi64(at.cast()));
                (_mm_movelh_ps(two, _mm_load_ss(at.add(2))), _mm_setzero_ps())
            }
            _ => {
                let last = _mm_castps_si128(_mm_loadu_ps(at.add(n - 4)));
                let control = _mm_loadu_si128(TO_FRONT.as_ptr().add(16 - 4 * (n - 4)).cast());
                (_mm_loadu_ps(at), _mm_castsi128_ps(_mm_shuffle_epi8(last, control)))
            }
        };
        _mm256_set_m128(high, low)
    })
}

/// Eight numbers from place `at` of `x` on, or where there are fewer, `width` of them.
#[inline(always)]
fn whole_or_part(x: &[f32], at: usize, width: usize) -> __m256 {
    if at + 8 <= x.len() { F32x8::load(&x[at..]).0 } else { part(&x[at..at + width]) }
}

/// As [`Lanes::transpose_8`]: pairs of rows are interleaved, then pairs of pairs, then the halves of registers.
#[inline(always)]
pub(super) fn transpose_8(from: &[f32], stride: usize, width: usize, to: &mut [f32], to_stride: usize) {
    let (width, last) = (width.min(8), 7 * stride);
    if width == 0 {
        return;
    }
    assert!(from.len() >= last + width && to.len() >= (width - 1) * to_stride + 8);
    // Eight numbers of each row, of which those beyond `width` go nowhere; the last rows may have no more.
    let rows = [
        whole_or_part(from, 0, width),
        whole_or_part(from, stride, width),
        whole_or_part(from, 2 * stride, width),
        whole_or_part(from, 3 * stride, width),
        whole_or_part(from, 4 * stride, width),
        whole_or_part(from, 5 * stride, width),
        whole_or_part(from, 6 * stride, width),
        whole_or_part(from, last, width),
    ];
    let columns = instruction!({
        let [a, b, c, d, e, f, g, h] = rows;
        let (ab0, ab1) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd0, cd1) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        let (ef0, ef1) = (_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f));
        let (gh0, gh1) = (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h));
        let (l0, l1) = (_mm256_shuffle_ps::<0x44>(ab0, cd0), _mm256_shuffle_ps::<0xee>(ab0, cd0));
        let (l2, l3) = (_mm256_shuffle_ps::<0x44>(ab1, cd1), _mm256_shuffle_ps::<0xee>(ab1, cd1));
        let (h0, h1) = (_mm256_shuffle_ps::<0x44>(ef0, gh0), _mm256_shuffle_ps::<0xee>(ef0, gh0));
        let (h2, h3) = (_mm256_shuffle_ps::<0x44>(ef1, gh1), _mm256_shuffle_ps::<0xee>(ef1, gh1));
        [
            _mm256_permute2f128_ps::<0x20>(l0, h0),
            _mm256_permute2f128_ps::<0x20>(l1, h1),
            _mm256_permute2f128_ps::<0x20>(l2, h2),
            _mm256_permute2f128_ps::<0x20>(l3, h3),
            _mm256_permute2f128_ps::<0x31>(l0, h0),
            _mm256_permute2f128_ps::<0x31>(l1, h1),
            _mm256_permute2f128_ps::<0x31>(l2, h2),
            _mm256_permute2f128_ps::<0x31>(l3, h3),
        ]
    });
    let mut j = 0;
    while j < width {
        instruction!(_mm256_storeu_ps(to.as_mut_ptr().add(j * to_stride), columns[j]));
        j += 1;
    }
}

impl Lanes for F32x8 {
    const WIDTH: usize = 8;
    const TILE_ROWS: usize = 2;
    const FUSED: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        F32x8(instruction!(_mm256_setzero_ps()))
    }
    #[inline(always)]
    fn splat(v: f32) -> Self {
        F32x8(instruction!(_mm256_set1_ps(v)))
    }
    #[inline(always)]
    fn load(x: &[f32]) -> Self {
        assert!(x.len() >= 8);
        F32x8(instruction!(_mm256_loadu_ps(x.as_ptr())))
    }
    #[inline(always)]
    fn load_part(x: &[f32]) -> Self {
        F32x8(part(x))
    }
    #[inline(always)]
    fn load_first(x: &[f32], n: usize) -> Self {
        let all = Self::load(x).0;
        F32x8(instruction!({
            let places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_and_ps(all, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), places)))
        }))
    }
    #[inline(always)]
    fn store(self, out: &mut [f32]) {
        assert!(out.len() >= 8);
        instruction!(_mm256_storeu_ps(out.as_mut_ptr(), self.0));
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        F32x8(instruction!(_mm256_add_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        F32x8(instruction!(_mm256_sub_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        F32x8(instruction!(_mm256_mul_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn madd(self, a: Self, b: Self) -> Self {
        F32x8(instruction!(_mm256_fmadd_ps(self.0, a.0, b.0)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        F32x8(instruction!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0)))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        F32x8(instruction!(_mm256_max_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        F32x8(instruction!(_mm256_min_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn less(self, other: Self) -> u32 {
        instruction!(_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0))) as u32
    }
    #[inline(always)]
    fn total(self) -> f32 {
        instruction!({
            let four = quarter(self.0);
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }
    #[inline(always)]
    fn totals(four: [Self; 4]) -> [f32; 4] {
        let [a, b, c, d] = four;
        totals([a.0, b.0, c.0, d.0])
    }
    type Half = Self;
    #[inline(always)]
    fn half(self) -> Self {
        self
    }
    #[inline(always)]
    fn transpose_8(from: &[f32], stride: usize, width: usize, to: &mut [f32], to_stride: usize) {
        transpose_8(from, stride, width, to, to_stride);
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        instruction!({
            let four = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }
    #[inline(always)]
    fn eight(self) -> [f32; 8] {
        array(self.0)
    }
    #[inline(always)]
    fn where_equal(self, other: Self, then: Self) -> Self {
        F32x8(instruction!({
            let equal = _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0);
            _mm256_blendv_ps(_mm256_set1_ps(f32::INFINITY), then.0, equal)
        }))
    }
    #[inline(always)]
    fn keep_less(self, group: Self, least: &mut Self, groups: &mut Self) {
        instruction!({
            let less = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, least.0);
            least.0 = _mm256_blendv_ps(least.0, self.0, less);
            groups.0 = _mm256_blendv_ps(groups.0, group.0, less);
        });
    }
    #[inline(always)]
    fn smallest(four: [Self; 4]) -> f32 {
        let [a, b, c, d] = four;
        instruction!({
            let all = _mm256_min_ps(_mm256_min_ps(a.0, b.0), _mm256_min_ps(c.0, d.0));
            let four = _mm_min_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
            let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)))
        })
    }
    #[inline(always)]
    fn load_u8(bytes: &[u8]) -> Self {
        u8x8(head(&bytes[..8]))
    }
    #[inline(always)]
    fn load_u8_part(bytes: &[u8]) -> Self {
        u8x8(head(bytes))
    }
    #[inline(always)]
    fn load_i8(bytes: &[u8]) -> Self {
        i8x8(head(&bytes[..8]))
    }
    #[inline(always)]
    fn load_i8_part(bytes: &[u8]) -> Self {
        i8x8(head(bytes))
    }
    #[inline(always)]
    fn load_u4(bytes: &[u8]) -> Self {
        u4x8(head(&bytes[..4]))
    }
    #[inline(always)]
    fn load_u4_part(bytes: &[u8]) -> Self {
        u4x8(head(bytes))
    }
    #[inline(always)]
    fn load_u6(bytes: &[u8]) -> Self {
        u6x8(head(&bytes[..6]))
    }
    #[inline(always)]
    fn load_u6_part(bytes: &[u8]) -> Self {
        u6x8(head(bytes))
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8]) -> Self {
        f16x8(whole16(bytes))
    }
    #[inline(always)]
    fn load_f16_part(bytes: &[u8]) -> Self {
        f16x8(sixteen(bytes))
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8]) -> Self {
        bf16x8(whole16(bytes))
    }
    #[inline(always)]
    fn load_bf16_part(bytes: &[u8]) -> Self {
        bf16x8(sixteen(bytes))
    }
}

/// Thirty-two bytes.
#[derive(Clone, Copy)]
pub struct Bytes32(__m256i);

/// The number of bits of each number of four bits.
pub(super) const ONES: [u8; 16] = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];

impl Bytes for Bytes32 {
    const WIDTH: usize = 32;
    type Sums = __m256i;

    #[inline(always)]
    fn load(x: &[u8]) -> Self {
        assert!(x.len() >= 32);
        Bytes32(instruction!(_mm256_loadu_si256(x.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_part(x: &[u8]) -> Self {
        let (low, high) = x.split_at(x.len().min(16));
        Bytes32(instruction!(_mm256_set_m128i(sixteen(high), sixteen(low))))
    }
    #[inline(always)]
    fn splat(v: u8) -> Self {
        Bytes32(instruction!(_mm256_set1_epi8(v as i8)))
    }
    #[inline(always)]
    fn store(self, out: &mut [u8]) {
        assert!(out.len() >= 32);
        instruction!(_mm256_storeu_si256(out.as_mut_ptr().cast(), self.0));
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Bytes32(instruction!(_mm256_and_si256(self.0, other.0)))
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Bytes32(instruction!(_mm256_or_si256(self.0, other.0)))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Bytes32(instruction!(_mm256_xor_si256(self.0, other.0)))
    }
    #[inline(always)]
    fn high_nibbles(self) -> Self {
        Bytes32(instruction!(_mm256_and_si256(_mm256_srli_epi16::<4>(self.0), _mm256_set1_epi8(15))))
    }
    #[inline(always)]
    fn table(entries: &[u8; 16]) -> Self {
        Bytes32(instruction!(_mm256_broadcastsi128_si256(_mm_loadu_si128(entries.as_ptr().cast()))))
    }
    #[inline(always)]
    fn lookup(self, table: Self) -> Self {
        Bytes32(instruction!(_mm256_shuffle_epi8(table.0, self.0)))
    }
    #[inline(always)]
    fn add_saturating(self, other: Self) -> Self {
        Bytes32(instruction!(_mm256_adds_epu8(self.0, other.0)))
    }
    #[inline(always)]
    fn no_sums() -> __m256i {
        instruction!(_mm256_setzero_si256())
    }
    #[inline(always)]
    fn add_ones(self, sums: __m256i) -> __m256i {
        let ones = Self::table(&ONES);
        let (low, high) = (self.and(Self::splat(15)).lookup(ones), self.high_nibbles().lookup(ones));
        instruction!({
            let bytes = _mm256_add_epi8(low.0, high.0);
            _mm256_add_epi32(sums, _mm256_sad_epu8(bytes, _mm256_setzero_si256()))
        })
    }
    #[inline(always)]
    fn add_products(self, other: Self, sums: __m256i) -> __m256i {
        instruction!({
            let zero = _mm256_setzero_si256();
            let low = _mm256_madd_epi16(_mm256_unpacklo_epi8(self.0, zero), _mm256_unpacklo_epi8(other.0, zero));
            let high = _mm256_madd_epi16(_mm256_unpackhi_epi8(self.0, zero), _mm256_unpackhi_epi8(other.0, zero));
            _mm256_add_epi32(sums, _mm256_add_epi32(low, high))
        })
    }
    #[inline(always)]
    fn add_squared_differences(self, other: Self, sums: __m256i) -> __m256i {
        // One of the two is 0 where the other is not.
        let differences = Bytes32(instruction!(_mm256_or_si256(
            _mm256_subs_epu8(self.0, other.0),
            _mm256_subs_epu8(other.0, self.0)
        )));
        differences.add_products(differences, sums)
    }
    #[inline(always)]
    fn sum(sums: __m256i) -> u32 {
        let mut out = [0u32; 8];
        instruction!(_mm256_storeu_si256(out.as_mut_ptr().cast(), sums));
        out.into_iter().fold(0, u32::wrapping_add)
    }

    #[inline(always)]
    fn sum_entries<const Q: usize>(
        codes: &[u8],
        stride: usize,
        pairs: usize,
        tables: &[&[u8]; Q],
        sums: &mut [[u16; 32]; Q],
    ) {
        if pairs == 0 {
            *sums = [[0; 32]; Q];
            return;
        }
        assert!(codes.len() >= (pairs - 1) * stride + 32);
        for table in tables {
            assert!(table.len() >= pairs * 32);
        }
        instruction!({
            let (zero, low) = (_mm256_setzero_si256(), _mm256_set1_epi8(15));
            // Of the lower and of the upper halves: all sixteen bits, and the upper eight of them.
            let mut sum = [[zero; 4]; Q];
            for pair in 0..pairs {
                let c = _mm256_loadu_si256(codes.as_ptr().add(pair * stride).cast());
                let (first, second) = (_mm256_and_si256(c, low), _mm256_and_si256(_mm256_srli_epi16::<4>(c), low));
                for q in 0..Q {
                    let table = _mm256_loadu_si256(tables[q].as_ptr().add(pair * 32).cast());
                    let (a, b) = (_mm256_shuffle_epi8(table, first), _mm256_shuffle_epi8(table, second));
                    sum[q][0] = _mm256_add_epi16(sum[q][0], a);
                    sum[q][1] = _mm256_add_epi16(sum[q][1], _mm256_srli_epi16::<8>(a));
                    sum[q][2] = _mm256_add_epi16(sum[q][2], b);
                    sum[q][3] = _mm256_add_epi16(sum[q][3], _mm256_srli_epi16::<8>(b));
                }
            }
            for q in 0..Q {
                store_entries(sum[q], &mut sums[q]);
            }
        });
    }
}

/// The sums of [`Bytes::sum_entries`] from sums of all sixteen bits and of the upper eight: the two halves of registers together, the upper
/// eight taken away from the lower.
#[inline(always)]
pub(super) fn store_entries(sum: [__m256i; 4], out: &mut [u16; 32]) {
    instruction!({
        for half in 0..2 {
            let (all, odd) = (sum[2 * half], sum[2 * half + 1]);
            let even = _mm256_sub_epi16(all, _mm256_slli_epi16::<8>(odd));
            let even = _mm_add_epi16(_mm256_castsi256_si128(even), _mm256_extracti128_si256::<1>(even));
            let odd = _mm_add_epi16(_mm256_castsi256_si128(odd), _mm256_extracti128_si256::<1>(odd));
            _mm_storeu_si128(out.as_mut_ptr().add(16 * half).cast(), even);
            _mm_storeu_si128(out.as_mut_ptr().add(16 * half + 8).cast(), odd);
        }
    });
}
