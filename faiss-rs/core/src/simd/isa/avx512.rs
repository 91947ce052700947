//! Registers of AVX-512.

use std::arch::x86_64::*;

use super::avx2::{F32x8, ONES, array, instruction, sixteen, store_entries, totals, transpose_8, whole16};
use crate::simd::lanes::{Bytes, Lanes, head};

/// Sixteen numbers.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);

/// The sum of the two halves. No closure: one would be compiled without the instruction set, and called.
#[inline(always)]
fn halves(v: __m512) -> __m256 {
    instruction!(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)))
}

#[inline(always)]
fn float(v: __m512i) -> F32x16 {
    F32x16(instruction!(_mm512_cvtepi32_ps(v)))
}

#[inline(always)]
fn u8x16(bytes: __m128i) -> F32x16 {
    float(instruction!(_mm512_cvtepu8_epi32(bytes)))
}

#[inline(always)]
fn i8x16(bytes: __m128i) -> F32x16 {
    float(instruction!(_mm512_cvtepi8_epi32(bytes)))
}

#[inline(always)]
fn u4x16(word: u64) -> F32x16 {
    float(instruction!({
        let pairs = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128(word as i64));
        // In each group of 64 bits a byte: its lower half stays, its upper half goes to the second group of 32.
        let high = _mm512_slli_epi64::<28>(pairs);
        let low = _mm512_and_si512(pairs, _mm512_set1_epi64(15));
        _mm512_or_si512(low, _mm512_and_si512(high, _mm512_set1_epi64(15 << 32)))
    }))
}

#[inline(always)]
fn u6x16(bytes: __m128i) -> F32x16 {
    float(instruction!({
        // Three bytes hold four numbers, and go to each group of 128 bits, four times.
        let places = _mm512_setr_epi32(
            0x0002_0100,
            0x0002_0100,
            0x0002_0100,
            0x0002_0100,
            0x0005_0403,
            0x0005_0403,
            0x0005_0403,
            0x0005_0403,
            0x0008_0706,
            0x0008_0706,
            0x0008_0706,
            0x0008_0706,
            0x000b_0a09,
            0x000b_0a09,
            0x000b_0a09,
            0x000b_0a09,
        );
        let spread = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes), places);
        let shifts = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 6, 12, 18));
        _mm512_and_si512(_mm512_srlv_epi32(spread, shifts), _mm512_set1_epi32(63))
    }))
}

#[inline(always)]
fn f16x16(halves: __m256i) -> F32x16 {
    F32x16(instruction!(_mm512_cvtph_ps(halves)))
}

#[inline(always)]
fn bf16x16(halves: __m256i) -> F32x16 {
    F32x16(instruction!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))))
}

#[inline(always)]
fn whole32(x: &[u8]) -> __m256i {
    assert!(x.len() >= 32);
    instruction!(_mm256_loadu_si256(x.as_ptr().cast()))
}

/// Thirty-two bytes: those of `x`, fewer, and zeros after them.
#[inline(always)]
fn part32(x: &[u8]) -> __m256i {
    assert!(x.len() < 32);
    instruction!(_mm256_maskz_loadu_epi8((1u32 << x.len()) - 1, x.as_ptr().cast()))
}

/// Sixteen bytes likewise.
#[inline(always)]
fn part16(x: &[u8]) -> __m128i {
    assert!(x.len() < 16);
    instruction!(_mm_maskz_loadu_epi8(((1u32 << x.len()) - 1) as u16, x.as_ptr().cast()))
}

impl Lanes for F32x16 {
    const WIDTH: usize = 16;
    const TILE_ROWS: usize = 4;
    const FUSED: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        F32x16(instruction!(_mm512_setzero_ps()))
    }
    #[inline(always)]
    fn splat(v: f32) -> Self {
        F32x16(instruction!(_mm512_set1_ps(v)))
    }
    #[inline(always)]
    fn load(x: &[f32]) -> Self {
        assert!(x.len() >= 16);
        F32x16(instruction!(_mm512_loadu_ps(x.as_ptr())))
    }
    #[inline(always)]
    fn load_part(x: &[f32]) -> Self {
        assert!(x.len() < 16);
        F32x16(instruction!(_mm512_maskz_loadu_ps(((1u32 << x.len()) - 1) as u16, x.as_ptr())))
    }
    #[inline(always)]
    fn store(self, out: &mut [f32]) {
        assert!(out.len() >= 16);
        instruction!(_mm512_storeu_ps(out.as_mut_ptr(), self.0));
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        F32x16(instruction!(_mm512_add_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        F32x16(instruction!(_mm512_sub_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        F32x16(instruction!(_mm512_mul_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn madd(self, a: Self, b: Self) -> Self {
        F32x16(instruction!(_mm512_fmadd_ps(self.0, a.0, b.0)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        F32x16(instruction!(_mm512_abs_ps(self.0)))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        F32x16(instruction!(_mm512_max_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        F32x16(instruction!(_mm512_min_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn less(self, other: Self) -> u32 {
        u32::from(instruction!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0)))
    }
    #[inline(always)]
    fn total(self) -> f32 {
        self.half().total()
    }
    #[inline(always)]
    fn totals(four: [Self; 4]) -> [f32; 4] {
        let [a, b, c, d] = four;
        totals([halves(a.0), halves(b.0), halves(c.0), halves(d.0)])
    }
    type Half = F32x8;
    #[inline(always)]
    fn half(self) -> F32x8 {
        F32x8(halves(self.0))
    }
    #[inline(always)]
    fn transpose_8(from: &[f32], stride: usize, width: usize, to: &mut [f32], to_stride: usize) {
        transpose_8(from, stride, width, to, to_stride);
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        instruction!(_mm512_reduce_max_ps(self.0))
    }
    #[inline(always)]
    fn eight(self) -> [f32; 8] {
        array(halves(self.0))
    }
    #[inline(always)]
    fn where_equal(self, other: Self, then: Self) -> Self {
        F32x16(instruction!({
            let equal = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0);
            _mm512_mask_mov_ps(_mm512_set1_ps(f32::INFINITY), equal, then.0)
        }))
    }
    #[inline(always)]
    fn keep_less(self, group: Self, least: &mut Self, groups: &mut Self) {
        instruction!({
            let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, least.0);
            least.0 = _mm512_mask_mov_ps(least.0, less, self.0);
            groups.0 = _mm512_mask_mov_ps(groups.0, less, group.0);
        });
    }
    #[inline(always)]
    fn smallest(four: [Self; 4]) -> f32 {
        let [a, b, c, d] = four;
        instruction!(_mm512_reduce_min_ps(_mm512_min_ps(_mm512_min_ps(a.0, b.0), _mm512_min_ps(c.0, d.0))))
    }
    #[inline(always)]
    fn load_u8(bytes: &[u8]) -> Self {
        u8x16(whole16(bytes))
    }
    #[inline(always)]
    fn load_u8_part(bytes: &[u8]) -> Self {
        u8x16(part16(bytes))
    }
    #[inline(always)]
    fn load_i8(bytes: &[u8]) -> Self {
        i8x16(whole16(bytes))
    }
    #[inline(always)]
    fn load_i8_part(bytes: &[u8]) -> Self {
        i8x16(part16(bytes))
    }
    #[inline(always)]
    fn load_u4(bytes: &[u8]) -> Self {
        u4x16(head(&bytes[..8]))
    }
    #[inline(always)]
    fn load_u4_part(bytes: &[u8]) -> Self {
        u4x16(head(bytes))
    }
    #[inline(always)]
    fn load_u6(bytes: &[u8]) -> Self {
        u6x16(sixteen(&bytes[..12]))
    }
    #[inline(always)]
    fn load_u6_part(bytes: &[u8]) -> Self {
        u6x16(part16(bytes))
    }
    #[inline(always)]
    fn load_f16(bytes: &[u8]) -> Self {
        f16x16(whole32(bytes))
    }
    #[inline(always)]
    fn load_f16_part(bytes: &[u8]) -> Self {
        f16x16(part32(bytes))
    }
    #[inline(always)]
    fn load_bf16(bytes: &[u8]) -> Self {
        bf16x16(whole32(bytes))
    }
    #[inline(always)]
    fn load_bf16_part(bytes: &[u8]) -> Self {
        bf16x16(part32(bytes))
    }
}

/// The products of neighbouring numbers of 16 bits, added in pairs to sums of 32.
#[inline(always)]
fn madd(a: __m512i, b: __m512i, sums: __m512i) -> __m512i {
    instruction!(_mm512_add_epi32(sums, _mm512_madd_epi16(a, b)))
}

/// The same where VNNI makes one instruction of it.
#[inline(always)]
fn vnni(a: __m512i, b: __m512i, sums: __m512i) -> __m512i {
    instruction!(_mm512_dpwssd_epi32(sums, a, b))
}

#[inline(always)]
fn ones_by_table(bytes: __m512i, sums: __m512i) -> __m512i {
    instruction!({
        let (ones, nibble) = (_mm512_broadcast_i32x4(_mm_loadu_si128(ONES.as_ptr().cast())), _mm512_set1_epi8(15));
        let low = _mm512_shuffle_epi8(ones, _mm512_and_si512(bytes, nibble));
        let high = _mm512_shuffle_epi8(ones, _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), nibble));
        _mm512_add_epi32(sums, _mm512_sad_epu8(_mm512_add_epi8(low, high), _mm512_setzero_si512()))
    })
}

#[inline(always)]
fn ones(bytes: __m512i, sums: __m512i) -> __m512i {
    instruction!(_mm512_add_epi32(sums, _mm512_popcnt_epi64(bytes)))
}

/// Sixty-four bytes; the two types differ in what the processor counts them with.
macro_rules! bytes64 {
    ($name:ident, $madd:ident, $ones:ident) => {
        #[derive(Clone, Copy)]
        pub struct $name(__m512i);

        impl Bytes for $name {
            const WIDTH: usize = 64;
            type Sums = __m512i;

            #[inline(always)]
            fn load(x: &[u8]) -> Self {
                assert!(x.len() >= 64);
                $name(instruction!(_mm512_loadu_si512(x.as_ptr().cast())))
            }
            #[inline(always)]
            fn load_part(x: &[u8]) -> Self {
                assert!(x.len() < 64);
                $name(instruction!(_mm512_maskz_loadu_epi8((1u64 << x.len()) - 1, x.as_ptr().cast())))
            }
            #[inline(always)]
            fn splat(v: u8) -> Self {
                $name(instruction!(_mm512_set1_epi8(v as i8)))
            }
            #[inline(always)]
            fn store(self, out: &mut [u8]) {
                assert!(out.len() >= 64);
                instruction!(_mm512_storeu_si512(out.as_mut_ptr().cast(), self.0));
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                $name(instruction!(_mm512_and_si512(self.0, other.0)))
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                $name(instruction!(_mm512_or_si512(self.0, other.0)))
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                $name(instruction!(_mm512_xor_si512(self.0, other.0)))
            }
            #[inline(always)]
            fn high_nibbles(self) -> Self {
                $name(instruction!(_mm512_and_si512(_mm512_srli_epi16::<4>(self.0), _mm512_set1_epi8(15))))
            }
            #[inline(always)]
            fn table(entries: &[u8; 16]) -> Self {
                $name(instruction!(_mm512_broadcast_i32x4(_mm_loadu_si128(entries.as_ptr().cast()))))
            }
            #[inline(always)]
            fn lookup(self, table: Self) -> Self {
                $name(instruction!(_mm512_shuffle_epi8(table.0, self.0)))
            }
            #[inline(always)]
            fn add_saturating(self, other: Self) -> Self {
                $name(instruction!(_mm512_adds_epu8(self.0, other.0)))
            }
            #[inline(always)]
            fn no_sums() -> __m512i {
                instruction!(_mm512_setzero_si512())
            }
            #[inline(always)]
            fn add_ones(self, sums: __m512i) -> __m512i {
                $ones(self.0, sums)
            }
            #[inline(always)]
            fn add_products(self, other: Self, sums: __m512i) -> __m512i {
                instruction!({
                    let zero = _mm512_setzero_si512();
                    let sums = $madd(_mm512_unpacklo_epi8(self.0, zero), _mm512_unpacklo_epi8(other.0, zero), sums);
                    $madd(_mm512_unpackhi_epi8(self.0, zero), _mm512_unpackhi_epi8(other.0, zero), sums)
                })
            }
            #[inline(always)]
            fn add_squared_differences(self, other: Self, sums: __m512i) -> __m512i {
                // One of the two is 0 where the other is not.
                let differences = $name(instruction!(_mm512_or_si512(
                    _mm512_subs_epu8(self.0, other.0),
                    _mm512_subs_epu8(other.0, self.0)
                )));
                differences.add_products(differences, sums)
            }
            #[inline(always)]
            fn sum(sums: __m512i) -> u32 {
                instruction!(_mm512_reduce_add_epi32(sums)) as u32
            }

            #[inline(always)]
            fn sum_entries<const Q: usize>(
                codes: &[u8],
                stride: usize,
                pairs: usize,
                tables: &[&[u8]; Q],
                sums: &mut [[u16; 32]; Q],
            ) {
                sum_entries(codes, stride, pairs, tables, sums);
            }
        }
    };
}

/// [`Bytes::sum_entries`], two pairs of parts at a time.
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
        let (zero, low) = (_mm512_setzero_si512(), _mm512_set1_epi8(15));
        let mut sum = [[zero; 4]; Q];
        let mut pair = 0;
        while pair < pairs {
            // Of an odd pair at the end, the other half stays zero, and so does what its table gives.
            let (two, mask) = (pair + 1 < pairs, if pair + 1 < pairs { 0xff } else { 0x0f });
            let one = _mm256_loadu_si256(codes.as_ptr().add(pair * stride).cast());
            let mut c = _mm512_castsi256_si512(one);
            if two {
                let other = _mm256_loadu_si256(codes.as_ptr().add((pair + 1) * stride).cast());
                c = _mm512_inserti64x4::<1>(c, other);
            }
            let (first, second) = (_mm512_and_si512(c, low), _mm512_and_si512(_mm512_srli_epi16::<4>(c), low));
            for q in 0..Q {
                let table = _mm512_maskz_loadu_epi64(mask, tables[q].as_ptr().add(pair * 32).cast());
                let (a, b) = (_mm512_shuffle_epi8(table, first), _mm512_shuffle_epi8(table, second));
                sum[q][0] = _mm512_add_epi16(sum[q][0], a);
                sum[q][1] = _mm512_add_epi16(sum[q][1], _mm512_srli_epi16::<8>(a));
                sum[q][2] = _mm512_add_epi16(sum[q][2], b);
                sum[q][3] = _mm512_add_epi16(sum[q][3], _mm512_srli_epi16::<8>(b));
            }
            pair += 2;
        }
        for q in 0..Q {
            let mut halves = [_mm256_setzero_si256(); 4];
            for i in 0..4 {
                let (below, above) = (_mm512_castsi512_si256(sum[q][i]), _mm512_extracti64x4_epi64::<1>(sum[q][i]));
                halves[i] = _mm256_add_epi16(below, above);
            }
            store_entries(halves, &mut sums[q]);
        }
    });
}

bytes64!(Bytes64, madd, ones_by_table);
bytes64!(Bytes64Vpopcnt, vnni, ones);
