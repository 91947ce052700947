//! Kernels on slices, compiled once for each instruction set and chosen at run time. Sees nothing of this crate.
//!
//! Kernels (`kernels.rs`) are generic over a register type (`lanes.rs`), one for each instruction set; a function of the set's features calls
//! them, into which all of it is inlined.

mod kernels;
mod lanes;
mod lookup;
mod nearest;
mod scan;

use std::sync::atomic::{AtomicU8, Ordering};

pub use lookup::pq8_lookup;
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

/// Hints that these bytes will be read soon.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..bytes.len()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that changes nothing; the address is inside the slice. Every 64-bit x86 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().add(at).cast()) };
    }
    let _ = bytes;
}

/// Public functions that call the kernel of that name, compiled for the instruction set in use.
macro_rules! dispatch {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? { kernels::$name::<lanes::Avx512>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? { kernels::$name::<lanes::Avx2>($($arg),*) }
                match level() {
                    // SAFETY: the level is only ever one whose features were detected.
                    Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Level::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            kernels::$name::<lanes::Portable>($($arg),*)
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
    /// Squared L2 distances of `x` to the columns of `yt`, as many as `dis` has room for: `yt` has a row a coordinate.
    fvec_L2sqr_ny_transposed(dis: &mut [f32], x: &[f32], yt: &[f32]);
    /// Inner products of `x` with the columns of `yt`.
    fvec_inner_products_ny_transposed(dis: &mut [f32], x: &[f32], yt: &[f32]);
    /// The column of `yt`, which has `n`, nearest to `x` by squared differences, the first of equals, and its squared distance. Where there is
    /// none, because of NaNs, the position is `usize::MAX`; so it is below.
    nearest_L2sqr_transposed(x: &[f32], yt: &[f32], n: usize) -> (usize, f32);
    /// The column of `yt` with the smallest `y_norms[j] - 2 <x, y_j>`, the first of equals, and that number.
    nearest_by_products_transposed(x: &[f32], yt: &[f32], y_norms: &[f32]) -> (usize, f32);
    /// From products `row[j] = -2 <x, y_j>`: the position of the smallest squared distance `(y_norms[j] + row[j]) + x_norm`, the first of equals,
    /// and that distance, which rounding may have led below 0.
    nearest_of_products(row: &[f32], x_norm: f32, y_norms: &[f32]) -> (usize, f32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::float_randn;

    fn randn(n: usize, seed: i64) -> Vec<f32> {
        let mut x = vec![0.0; n];
        float_randn(&mut x, seed).unwrap();
        x
    }

    fn close(a: f32, b: f64) -> bool {
        (f64::from(a) - b).abs() <= 1e-5 * b.abs().max(1.0)
    }

    /// One test, since the level belongs to the whole process.
    #[test]
    fn every_level_computes_the_same() {
        for wanted in [Level::Portable, Level::Neon, Level::Avx2, Level::Avx512] {
            if !set_level(wanted) {
                println!("skipped: this machine has no {}", wanted.name());
                continue;
            }
            for d in (0..70).chain([128, 300]) {
                let rows = 7;
                let (x, y) = (randn(d, 1), randn(rows * d, 2));
                let mut dis = [[0f32; 7]; 4];
                fvec_L2sqr_ny(&mut dis[0], &x, &y);
                fvec_inner_products_ny(&mut dis[1], &x, &y);
                fvec_L1_ny(&mut dis[2], &x, &y);
                fvec_Linf_ny(&mut dis[3], &x, &y);
                for j in 0..rows {
                    let y = &y[j * d..(j + 1) * d];
                    let pairs = || x.iter().zip(y).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                    let want = [
                        pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>(),
                        pairs().map(|(a, b)| a * b).sum(),
                        pairs().map(|(a, b)| (a - b).abs()).sum(),
                        pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
                    ];
                    let single = [fvec_L2sqr(&x, y), fvec_inner_product(&x, y), fvec_L1(&x, y), fvec_Linf(&x, y)];
                    for m in 0..4 {
                        assert!(
                            close(dis[m][j], want[m]) && close(single[m], want[m]),
                            "{wanted:?} kernel {m} d {d} row {j}"
                        );
                    }
                }
            }
            for (nx, ny, d) in [(0, 3, 4), (1, 1, 1), (5, 7, 9), (8, 12, 32), (9, 6, 37), (3, 0, 8)] {
                let (x, y) = (randn(nx * d, 4), randn(ny * d, 5));
                let (mut tile, mut row) = (vec![0.0; nx * ny], vec![0.0; ny]);
                type Pair = (fn(&mut [f32], &[f32], &[f32], usize), fn(&mut [f32], &[f32], &[f32]));
                let kernels: [Pair; 3] = [
                    (fvec_L2sqr_tile, fvec_L2sqr_ny),
                    (fvec_inner_products_tile, fvec_inner_products_ny),
                    (fvec_L1_tile, fvec_L1_ny),
                ];
                for (tile_kernel, row_kernel) in kernels {
                    tile_kernel(&mut tile, &x, &y, d);
                    for i in 0..nx {
                        row_kernel(&mut row, &x[i * d..(i + 1) * d], &y);
                        let same = tile[i * ny..(i + 1) * ny].iter().zip(&row).all(|(a, b)| close(*a, f64::from(*b)));
                        assert!(same, "{wanted:?} tile {nx} x {ny}, d {d}, row {i}");
                    }
                }
            }
            for (n, d) in [(0, 3), (1, 1), (15, 4), (16, 2), (64, 5), (100, 4), (256, 8), (300, 33)] {
                let (x, mut yt) = (randn(d, 6), randn(n * d, 7));
                if n > 20 {
                    // Two equal columns, of which the first counts, and one that is nearest to nothing.
                    (0..d).for_each(|j| yt[j * n + 17] = yt[j * n + 3]);
                    yt[0] = f32::NAN;
                }
                let column = |k: usize| (0..d).map(move |j| j * n + k);
                let norms: Vec<f32> = (0..n).map(|k| column(k).map(|at| yt[at] * yt[at]).sum()).collect();
                let products: Vec<f32> =
                    (0..n).map(|k| column(k).zip(&x).map(|(at, v)| -2.0 * v * yt[at]).sum()).collect();
                let distance = |k: usize| column(k).zip(&x).map(|(at, v)| (v - yt[at]).powi(2)).sum::<f32>();
                let best = (0..n).filter(|k| !norms[*k].is_nan()).min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
                let norm: f32 = x.iter().map(|v| v * v).sum();
                let found = [
                    nearest_L2sqr_transposed(&x, &yt, n),
                    nearest_by_products_transposed(&x, &yt, &norms),
                    nearest_of_products(&products, norm, &norms),
                ];
                for (kernel, (at, key)) in found.into_iter().enumerate() {
                    let key = if kernel == 1 { key + norm } else { key };
                    match best {
                        Some(k) => assert!(
                            at == k && (key - distance(k)).abs() < 1e-4 * (1.0 + norm),
                            "{wanted:?} kernel {kernel} of {n} x {d}: {at} {key}, not {k}"
                        ),
                        None => assert_eq!(at, usize::MAX),
                    }
                }
            }
            for n in [0, 1, 15, 63, 64, 65, 200, 256] {
                let mut row = randn(n, 3);
                row.iter_mut().step_by(7).for_each(|v| *v = f32::NAN);
                let mut hits = vec![0; n];
                let count = below(&row, 0.25, &mut hits);
                let want: Vec<u32> = (0..n as u32).filter(|i| row[*i as usize] < 0.25).collect();
                assert_eq!(hits[..count], want);
            }
        }
        set_level(detect());
    }
}
