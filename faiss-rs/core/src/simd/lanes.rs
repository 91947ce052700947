//! A vector register as a type, one for each instruction set: what the kernels are generic over.

/// A register of `WIDTH` numbers. The operations compile to single instructions only inside a function that enables the instruction set.
pub trait Lanes: Copy {
    const WIDTH: usize;
    /// How many rows of `x` a tile of four rows of `y` has: as many as there are registers for the sums.
    const TILE_ROWS: usize;

    fn zero() -> Self;
    /// The first `WIDTH` numbers of `x`.
    fn load(x: &[f32]) -> Self;
    /// All numbers of `x`, fewer than `WIDTH`, completed by zeros.
    fn load_part(x: &[f32]) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn abs(self) -> Self;
    /// `self * a + b`.
    fn madd(self, a: Self, b: Self) -> Self;
    /// The larger of each pair; `other`'s number where one of them is a NaN.
    fn max(self, other: Self) -> Self;
    /// The sums of four registers.
    fn totals(four: [Self; 4]) -> [f32; 4];
    /// The largest number; there is no NaN among them.
    fn largest(self) -> f32;
    /// The lanes, the upper half of sixteen added to the lower; beside four, zeros.
    fn eight(self) -> [f32; 8];
    /// The same number in every lane.
    fn splat(v: f32) -> Self;
    /// Where a lane's number is below `least`'s, it and `group` take the places of those that are there.
    fn keep_less(self, group: Self, least: &mut Self, groups: &mut Self);
    /// The smallest of four registers' numbers and its place: `4 * WIDTH` times its group, and its position; the first of equals.
    #[inline(always)]
    fn first_least(keys: [Self; 4], groups: [Self; 4]) -> (f32, usize) {
        // Positions are whole and small enough for an f32.
        const POSITIONS: [f32; 64] = {
            let (mut all, mut i) = ([0f32; 64], 0);
            while i < 64 {
                all[i] = i as f32;
                i += 1;
            }
            all
        };
        let least = Self::smallest(keys);
        let (equal, width) = (Self::splat(least), Self::splat(4.0 * Self::WIDTH as f32));
        let mut places = groups;
        for i in 0..4 {
            let place = groups[i].madd(width, Self::load(&POSITIONS[i * Self::WIDTH..]));
            places[i] = keys[i].where_equal(equal, place);
        }
        (least, Self::smallest(places) as usize)
    }
    /// `then` in the lanes where both numbers are equal, infinity in the others.
    fn where_equal(self, other: Self, then: Self) -> Self;
    /// The smallest number of four registers, none of them a NaN.
    fn smallest(four: [Self; 4]) -> f32;
}

/// Four numbers, for every processor; compilers make vector instructions of them where there are any.
#[derive(Clone, Copy)]
pub struct Portable([f32; 4]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Portable(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Portable {
    const WIDTH: usize = 4;
    const TILE_ROWS: usize = 2;

    #[inline(always)]
    fn zero() -> Self {
        Portable([0.0; 4])
    }
    #[inline(always)]
    fn load(x: &[f32]) -> Self {
        Portable([x[0], x[1], x[2], x[3]])
    }
    #[inline(always)]
    fn load_part(x: &[f32]) -> Self {
        Portable(std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0)))
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
    fn abs(self) -> Self {
        Portable(self.0.map(f32::abs))
    }
    #[inline(always)]
    fn madd(self, a: Self, b: Self) -> Self {
        // Where a fused operation is no instruction it is a slow function.
        let fused = cfg!(target_arch = "aarch64");
        Portable(std::array::from_fn(|i| {
            if fused { self.0[i].mul_add(a.0[i], b.0[i]) } else { self.0[i] * a.0[i] + b.0[i] }
        }))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn totals(four: [Self; 4]) -> [f32; 4] {
        four.map(|v| (v.0[0] + v.0[2]) + (v.0[1] + v.0[3]))
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
    fn splat(v: f32) -> Self {
        Portable([v; 4])
    }
    #[inline(always)]
    fn where_equal(self, other: Self, then: Self) -> Self {
        Portable(std::array::from_fn(|i| if self.0[i] == other.0[i] { then.0[i] } else { f32::INFINITY }))
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
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// The instructions' preconditions are the same everywhere here: the instruction set is there, because only entry points that enable it use
/// these types; loads and stores need no alignment and stay inside their slices, as is asserted.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    #[inline(always)]
    fn quarter(v: __m256) -> __m128 {
        // SAFETY: see the module.
        unsafe { _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)) }
    }

    /// Of two registers of four, the sums of numbers 0 and 2 and of 1 and 3.
    #[inline(always)]
    fn pairs(a: __m128, b: __m128) -> __m128 {
        // SAFETY: see the module.
        unsafe { _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a)) }
    }

    /// The sums of four registers of eight, half added to half.
    #[inline(always)]
    fn totals_256(four: [__m256; 4]) -> [f32; 4] {
        let [a, b, c, d] = four;
        let mut out = [0f32; 4];
        // SAFETY: see the module.
        unsafe {
            let sums = _mm_hadd_ps(pairs(quarter(a), quarter(b)), pairs(quarter(c), quarter(d)));
            _mm_storeu_ps(out.as_mut_ptr(), sums);
        }
        out
    }

    #[inline(always)]
    fn array(v: __m256) -> [f32; 8] {
        let mut out = [0f32; 8];
        // SAFETY: see the module.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) };
        out
    }

    /// The sum of the two halves. No closure: one would be compiled without the instruction set, and called.
    #[inline(always)]
    fn halves(v: __m512) -> __m256 {
        // SAFETY: see the module.
        unsafe { _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)) }
    }

    impl Lanes for Avx2 {
        const WIDTH: usize = 8;
        const TILE_ROWS: usize = 2;

        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_setzero_ps() })
        }
        #[inline(always)]
        fn load(x: &[f32]) -> Self {
            assert!(x.len() >= Self::WIDTH);
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_loadu_ps(x.as_ptr()) })
        }
        #[inline(always)]
        fn load_part(x: &[f32]) -> Self {
            assert!(x.len() < Self::WIDTH);
            // SAFETY: see the module; the mask covers the slice.
            Avx2(unsafe {
                let count = _mm256_set1_epi32(x.len() as i32);
                let mask = _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
                _mm256_maskload_ps(x.as_ptr(), mask)
            })
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn abs(self) -> Self {
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
        }
        #[inline(always)]
        fn madd(self, a: Self, b: Self) -> Self {
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_fmadd_ps(self.0, a.0, b.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn totals(four: [Self; 4]) -> [f32; 4] {
            let [a, b, c, d] = four;
            totals_256([a.0, b.0, c.0, d.0])
        }
        #[inline(always)]
        fn largest(self) -> f32 {
            array(self.0).into_iter().fold(f32::NEG_INFINITY, f32::max)
        }
        #[inline(always)]
        fn eight(self) -> [f32; 8] {
            array(self.0)
        }
        #[inline(always)]
        fn splat(v: f32) -> Self {
            // SAFETY: see the module.
            Avx2(unsafe { _mm256_set1_ps(v) })
        }
        #[inline(always)]
        fn where_equal(self, other: Self, then: Self) -> Self {
            // SAFETY: see the module.
            Avx2(unsafe {
                let equal = _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0);
                _mm256_blendv_ps(_mm256_set1_ps(f32::INFINITY), then.0, equal)
            })
        }
        #[inline(always)]
        fn keep_less(self, group: Self, least: &mut Self, groups: &mut Self) {
            // SAFETY: see the module.
            unsafe {
                let less = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, least.0);
                least.0 = _mm256_blendv_ps(least.0, self.0, less);
                groups.0 = _mm256_blendv_ps(groups.0, group.0, less);
            }
        }
        #[inline(always)]
        fn smallest(four: [Self; 4]) -> f32 {
            let [a, b, c, d] = four;
            // SAFETY: see the module.
            let all = array(unsafe { _mm256_min_ps(_mm256_min_ps(a.0, b.0), _mm256_min_ps(c.0, d.0)) });
            all.into_iter().fold(f32::INFINITY, f32::min)
        }
    }

    impl Lanes for Avx512 {
        const WIDTH: usize = 16;
        const TILE_ROWS: usize = 4;

        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_setzero_ps() })
        }
        #[inline(always)]
        fn load(x: &[f32]) -> Self {
            assert!(x.len() >= Self::WIDTH);
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_loadu_ps(x.as_ptr()) })
        }
        #[inline(always)]
        fn load_part(x: &[f32]) -> Self {
            assert!(x.len() < Self::WIDTH);
            // SAFETY: see the module; the mask covers the slice.
            Avx512(unsafe { _mm512_maskz_loadu_ps(((1u32 << x.len()) - 1) as u16, x.as_ptr()) })
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn abs(self) -> Self {
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_abs_ps(self.0) })
        }
        #[inline(always)]
        fn madd(self, a: Self, b: Self) -> Self {
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_fmadd_ps(self.0, a.0, b.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn totals(four: [Self; 4]) -> [f32; 4] {
            let [a, b, c, d] = four;
            totals_256([halves(a.0), halves(b.0), halves(c.0), halves(d.0)])
        }
        #[inline(always)]
        fn largest(self) -> f32 {
            // SAFETY: see the module.
            unsafe { _mm512_reduce_max_ps(self.0) }
        }
        #[inline(always)]
        fn eight(self) -> [f32; 8] {
            array(halves(self.0))
        }
        #[inline(always)]
        fn splat(v: f32) -> Self {
            // SAFETY: see the module.
            Avx512(unsafe { _mm512_set1_ps(v) })
        }
        #[inline(always)]
        fn where_equal(self, other: Self, then: Self) -> Self {
            // SAFETY: see the module.
            Avx512(unsafe {
                let equal = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0);
                _mm512_mask_mov_ps(_mm512_set1_ps(f32::INFINITY), equal, then.0)
            })
        }
        #[inline(always)]
        fn keep_less(self, group: Self, least: &mut Self, groups: &mut Self) {
            // SAFETY: see the module.
            unsafe {
                let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, least.0);
                least.0 = _mm512_mask_mov_ps(least.0, less, self.0);
                groups.0 = _mm512_mask_mov_ps(groups.0, less, group.0);
            }
        }
        #[inline(always)]
        fn smallest(four: [Self; 4]) -> f32 {
            let [a, b, c, d] = four;
            // SAFETY: see the module.
            unsafe { _mm512_reduce_min_ps(_mm512_min_ps(_mm512_min_ps(a.0, b.0), _mm512_min_ps(c.0, d.0))) }
        }
    }
}
