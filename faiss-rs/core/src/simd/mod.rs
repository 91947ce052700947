//! Kernels: loops that are compiled once for each instruction set and chosen at run time. Sees nothing of this crate.
//!
//! A kernel is a value, the operands of a loop, with one method that is generic over the instruction set's registers. [`launch`] runs it at the
//! level in use. A whole loop is one kernel: within it nothing is dispatched, and the compiler sees all of it.
//!
//! ```
//! use faiss_core::simd::{Isa, Kernel, Lanes, launch};
//!
//! /// Weighted sums of rows of bytes: `out[i]` is the sum of `weights[j] * rows[i * d + j]`.
//! struct WeightedSums<'a> {
//!     weights: &'a [f32],
//!     rows: &'a [u8],
//!     out: &'a mut [f32],
//! }
//!
//! impl Kernel for WeightedSums<'_> {
//!     type Out = ();
//!
//!     #[inline(always)]
//!     fn run<R: Isa>(self) {
//!         let (w, d) = (R::F32::WIDTH, self.weights.len());
//!         for (out, row) in self.out.iter_mut().zip(self.rows.chunks_exact(d)) {
//!             let (mut sums, mut at) = (R::F32::zero(), 0);
//!             while at + w <= d {
//!                 sums = R::F32::load_u8(&row[at..]).madd(R::F32::load(&self.weights[at..]), sums);
//!                 at += w;
//!             }
//!             if at < d {
//!                 sums = R::F32::load_u8_part(&row[at..]).madd(R::F32::load_part(&self.weights[at..]), sums);
//!             }
//!             *out = sums.total();
//!         }
//!     }
//! }
//!
//! let mut out = [0.0; 2];
//! launch(WeightedSums { weights: &[1.0, 0.5, 2.0], rows: &[1, 2, 3, 0, 4, 0], out: &mut out });
//! assert_eq!(out, [8.0, 2.0]);
//! ```
//!
//! | file | what |
//! |---|---|
//! | `level.rs` | instruction sets by name, and which one is in use |
//! | `launch.rs` | [`Kernel`], [`Isa`], [`launch`] |
//! | `lanes.rs`, `isa/` | registers: what kernels may do with them, and each instruction set's own |
//! | `step.rs` | what metrics add up |
//! | `half.rs` | numbers of 16 bits, one by one |
//! | others | kernels; those on slices of numbers are functions below |
//!
//! What to heed in a kernel: `#[inline(always)]` on `run` and on what its inner loop calls; loops instead of closures and iterators there (one
//! that is not inlined is compiled without the instruction set); several sums beside each other, as one addition waits for the last; names of
//! types (`trait Step`) where a loop serves several metrics. Each kernel adds one copy a level to the binary: lists, flat scans and graphs are
//! worth it, what runs once a call is not.

mod encode;
pub mod fast_scan;
mod hadamard;
mod half;
mod isa;
mod kernels;
mod lanes;
mod launch;
mod level;
mod lookup;
mod nearest;
mod select;
mod step;

pub use encode::nearest_parts;
pub use hadamard::walsh_hadamard;
pub use half::{decode_bf16, decode_fp16, encode_bf16, encode_fp16};
pub use lanes::{Bytes, Lanes};
pub use launch::{Isa, Kernel, dispatched_level, launch};
pub use level::{LEVELS, Level, avx512_split, detect, level, set_level};
pub use lookup::pq8_lookup;
pub use step::{L1, L2, Product, Step};

/// Writes the positions of the numbers of `row` that are below `threshold` to `hits`, in ascending order, and returns how many there are.
/// A NaN is not below anything. `hits` must have room for the whole row.
#[inline]
pub fn below(row: &[f32], threshold: f32, hits: &mut [u32]) -> usize {
    assert!(hits.len() >= row.len(), "no room for all positions");
    launch(select::Below { row, threshold, hits })
}

/// Hints that what lies here will be read soon.
#[inline(always)]
fn prefetch_line<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that changes nothing; the address is valid. Every 64-bit x86 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) };
    }
    let _ = at;
}

/// Hints that these bytes will be read soon.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        prefetch_line(&bytes[at]);
        at += 64;
    }
}

/// Functions on slices: each launches the kernel of its name.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name($($arg: $ty),*) $(-> $ret)? {
            struct Call<A>(A);
            impl Kernel for Call<($($ty,)*)> {
                type Out = functions!(@ $($ret)?);
                #[inline(always)]
                fn run<R: Isa>(self) -> Self::Out {
                    let ($($arg,)*) = self.0;
                    kernels::$name::<R::F32>($($arg),*)
                }
            }
            launch(Call(($($arg,)*)))
        }
    )*};
    (@ $ret:ty) => { $ret };
    (@) => { () };
}

functions! {
    /// Squared L2 distance.
    fvec_L2sqr(x: &[f32], y: &[f32]) -> f32;
    /// Inner product.
    fvec_inner_product(x: &[f32], y: &[f32]) -> f32;
    /// Sum of absolute differences.
    fvec_L1(x: &[f32], y: &[f32]) -> f32;
    /// Largest absolute difference; a NaN is never the largest.
    fvec_Linf(x: &[f32], y: &[f32]) -> f32;
    /// Squared L2 distances to four vectors that lie apart, as graphs visit them.
    fvec_L2sqr_batch_4(x: &[f32], y: [&[f32]; 4]) -> [f32; 4];
    /// Inner products with four vectors that lie apart.
    fvec_inner_product_batch_4(x: &[f32], y: [&[f32]; 4]) -> [f32; 4];
    /// Squared L2 norm.
    fvec_norm_L2sqr(x: &[f32]) -> f32;
    /// Squared L2 distances of `x` to each row of `y`, as many as `dis` has room for.
    fvec_L2sqr_ny(dis: &mut [f32], x: &[f32], y: &[f32]);
    /// Inner products of `x` with each row of `y`.
    fvec_inner_products_ny(dis: &mut [f32], x: &[f32], y: &[f32]);
    /// L1 distances of `x` to each row of `y`.
    fvec_L1_ny(dis: &mut [f32], x: &[f32], y: &[f32]);
    /// Linf distances of `x` to each row of `y`.
    fvec_Linf_ny(dis: &mut [f32], x: &[f32], y: &[f32]);
    /// Squared L2 distances of each row of `x` to each row of `y`, all `d` wide: `dis[i * ny + j]`.
    fvec_L2sqr_tile(dis: &mut [f32], x: &[f32], y: &[f32], d: usize);
    /// Inner products of each row of `x` with each row of `y`.
    fvec_inner_products_tile(dis: &mut [f32], x: &[f32], y: &[f32], d: usize);
    /// L1 distances of each row of `x` to each row of `y`.
    fvec_L1_tile(dis: &mut [f32], x: &[f32], y: &[f32], d: usize);
    /// Squared norms of the rows of `x`, each `d` wide.
    fvec_norms_L2sqr(norms: &mut [f32], x: &[f32], d: usize);
    /// As [`fvec_norms_L2sqr`] for up to 32 dimensions, rounded as Faiss rounds them where it looks for one nearest vector.
    fvec_norms_by_coordinate(norms: &mut [f32], x: &[f32], d: usize);
    /// `out = x - y`.
    fvec_sub(out: &mut [f32], x: &[f32], y: &[f32]);
    /// `out = a + factor * b`.
    fvec_madd(out: &mut [f32], a: &[f32], factor: f32, b: &[f32]);
    /// `sum += factor * x`.
    fvec_add_scaled(sum: &mut [f32], factor: f32, x: &[f32]);
    /// Multiplies in place.
    fvec_scale(x: &mut [f32], factor: f32);
    /// From products `row[j] = -2 <x, y_j>` to squared distances, not below 0: `row[j] + x_norm + y_norms[j]`.
    products_to_L2sqr(row: &mut [f32], x_norm: f32, y_norms: &[f32]);
    /// Writes the rows of `x`, `d` wide, as columns of `xt`.
    fvec_transpose(xt: &mut [f32], x: &[f32], d: usize);
    /// Squared L2 distances of `x` to the columns of `yt`, as many as `dis` has room for: `yt` has a row a coordinate.
    fvec_L2sqr_ny_transposed(dis: &mut [f32], x: &[f32], yt: &[f32]);
    /// Inner products of `x` with the columns of `yt`.
    fvec_inner_products_ny_transposed(dis: &mut [f32], x: &[f32], yt: &[f32]);
    /// For each part of `x`, `dsub` wide, its squared L2 distances to the columns of a part of `yt`, as many as there is room for in `tables`.
    fvec_L2sqr_tables(tables: &mut [f32], x: &[f32], yt: &[f32], dsub: usize);
    /// As [`fvec_L2sqr_tables`], inner products.
    fvec_inner_products_tables(tables: &mut [f32], x: &[f32], yt: &[f32], dsub: usize);
    /// The column of `yt`, which has `n`, nearest to `x` by squared differences, the first of equals, and its squared distance. Where there is
    /// none, because of NaNs, the position is `usize::MAX`; so it is below.
    nearest_L2sqr_transposed(x: &[f32], yt: &[f32], n: usize) -> (usize, f32);
    /// The column of `yt` with the smallest `y_norms[j] - 2 <x, y_j>`, the first of equals, and that number.
    nearest_by_products_transposed(x: &[f32], yt: &[f32], y_norms: &[f32]) -> (usize, f32);
    /// [`nearest_by_products_transposed`] of each row of `x`, `d` wide: numbers smaller than `keys[i]` take its place, and their positions plus
    /// `first` that of `places[i]`.
    nearest_rows_by_products(
        x: &[f32], d: usize, yt: &[f32], y_norms: &[f32], first: i64, keys: &mut [f32], places: &mut [i64]
    );
    /// From products `row[j] = -2 <x, y_j>`: the position of the smallest squared distance `(y_norms[j] + row[j]) + x_norm`, the first of equals,
    /// and that distance, which rounding may have led below 0.
    nearest_of_products(row: &[f32], x_norm: f32, y_norms: &[f32]) -> (usize, f32);
}

#[cfg(test)]
mod tests;
