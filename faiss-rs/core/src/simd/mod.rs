//! Kernels on slices, compiled once for each instruction set and chosen at run time. Sees nothing of this crate.
//!
//! Kernels are plain generic Rust over a number of lanes (`kernels.rs`); the compiler vectorises them for the instruction set whose feature
//! the entry point enables. Only what it can't express well is written with intrinsics (`scan.rs`).

mod kernels;
mod scan;

use std::sync::atomic::{AtomicU8, Ordering};

pub use scan::below;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Portable = 1,
    /// On 64-bit ARM, where it is always there.
    Neon,
    Avx2,
    Avx512,
}

impl Level {
    /// As Faiss names it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "GENERIC",
            Level::Neon => "NEON",
            Level::Avx2 => "AVX2",
            Level::Avx512 => "AVX512",
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(0);

fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma");
        if avx2 && has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw") {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    if cfg!(target_arch = "aarch64") { Level::Neon } else { Level::Portable }
}

/// The instruction set in use: the best of this machine.
#[inline]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Portable,
        2 => Level::Neon,
        3 => Level::Avx2,
        4 => Level::Avx512,
        _ => {
            let level = detect();
            LEVEL.store(level as u8, Ordering::Relaxed);
            level
        }
    }
}

/// Uses a lower instruction set, for tests that compare them. A set that this machine lacks is refused.
pub fn set_level(level: Level) -> bool {
    let usable = level <= detect() && (level != Level::Neon || cfg!(target_arch = "aarch64"));
    if usable {
        LEVEL.store(level as u8, Ordering::Relaxed);
    }
    usable
}

/// Public functions that call a generic kernel `kernel::<LANES, FMA>` compiled for the instruction set in use.
macro_rules! dispatch {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? { kernels::$name::<16, true>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? { kernels::$name::<8, true>($($arg),*) }
                match level() {
                    // SAFETY: the level is only ever one whose features were detected.
                    Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Level::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            kernels::$name::<4, { cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    )*};
}

dispatch! {
    /// Squared L2 distance.
    fvec_L2sqr(x: &[f32], y: &[f32]) -> f32;
    /// Inner product.
    fvec_inner_product(x: &[f32], y: &[f32]) -> f32;
    /// Sum of absolute differences.
    fvec_L1(x: &[f32], y: &[f32]) -> f32;
    /// Largest absolute difference; a NaN is never the largest.
    fvec_Linf(x: &[f32], y: &[f32]) -> f32;
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
    /// Squared norms of the rows of `x`, each `d` wide.
    fvec_norms_L2sqr(norms: &mut [f32], x: &[f32], d: usize);
    /// `out = x - y`.
    fvec_sub(out: &mut [f32], x: &[f32], y: &[f32]);
    /// `out = a + factor * b`.
    fvec_madd(out: &mut [f32], a: &[f32], factor: f32, b: &[f32]);
    /// Multiplies in place.
    fvec_scale(x: &mut [f32], factor: f32);
    /// From products `row[j] = -2 <x, y_j>` to squared distances, not below 0: `row[j] + x_norm + y_norms[j]`.
    products_to_L2sqr(row: &mut [f32], x_norm: f32, y_norms: &[f32]);
}
