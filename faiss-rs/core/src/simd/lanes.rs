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

    #[inline(always)]
    fn total(self) -> f32 {
        Self::totals([self, Self::zero(), Self::zero(), Self::zero()])[0]
    }
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

    /// The sums of four registers of eight.
    #[inline(always)]
    fn totals_256(four: [__m256; 4]) -> [f32; 4] {
        let mut out = [0f32; 4];
        // SAFETY: see the module.
        unsafe {
            let pairs = _mm256_hadd_ps(_mm256_hadd_ps(four[0], four[1]), _mm256_hadd_ps(four[2], four[3]));
            let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
            _mm_storeu_ps(out.as_mut_ptr(), sums);
        }
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
            let mut out = [0f32; 8];
            // SAFETY: see the module.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), self.0) };
            out.into_iter().fold(f32::NEG_INFINITY, f32::max)
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
    }
}
