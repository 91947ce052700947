//! Kernels on slices, compiled once for each instruction set and chosen at run time. Sees nothing of this crate.
//!
//! Kernels (`kernels.rs`) are generic over a register type (`lanes.rs`), one for each instruction set; a function of the set's features calls
//! them, into which all of it is inlined.

mod kernels;
mod lanes;
mod lookup;
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
    /// As [`fvec_L2sqr_ny`] with the rows of `y` lying side by side: number `j` of row `k` is `y[j * dis.len() + k]`.
    fvec_L2sqr_columns(dis: &mut [f32], x: &[f32], y: &[f32]);
    /// The smallest number; a NaN never is. Infinite if there is none.
    fvec_min(x: &[f32]) -> f32;
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
    /// The column of `yt` nearest to `x`, the first of equals; `dis` has room for a distance a column.
    nearest_L2sqr_transposed(x: &[f32], yt: &[f32], dis: &mut [f32]) -> usize;
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
