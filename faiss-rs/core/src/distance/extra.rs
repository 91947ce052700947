//! The metrics beyond inner product and L2.

use crate::base::MetricType;
use crate::simd;

/// Distances of `x` to each row of `y`, as many as `dis` has room for. `arg` is the exponent of Lp.
pub fn distances_ny(metric: MetricType, arg: f32, dis: &mut [f32], x: &[f32], y: &[f32]) {
    match metric {
        MetricType::InnerProduct => simd::fvec_inner_products_ny(dis, x, y),
        MetricType::L2 => simd::fvec_L2sqr_ny(dis, x, y),
        MetricType::L1 => simd::fvec_L1_ny(dis, x, y),
        MetricType::Linf => simd::fvec_Linf_ny(dis, x, y),
        MetricType::Lp => rows(dis, x, y, |x, y| pairs(x, y).map(|(a, b)| (a - b).abs().powf(arg)).sum()),
        MetricType::Canberra => {
            rows(dis, x, y, |x, y| pairs(x, y).map(|(a, b)| (a - b).abs() / (a.abs() + b.abs())).sum())
        }
        MetricType::BrayCurtis => rows(dis, x, y, bray_curtis),
        MetricType::JensenShannon => rows(dis, x, y, jensen_shannon),
        MetricType::Jaccard => rows(dis, x, y, jaccard),
        MetricType::NaNEuclidean => rows(dis, x, y, nan_euclidean),
        MetricType::Gower => rows(dis, x, y, gower),
    }
}

/// Distances of each row of `x` to each row of `y`, both `d` wide: `dis[i * ny + j]`.
pub fn distances_tile(metric: MetricType, arg: f32, dis: &mut [f32], x: &[f32], y: &[f32], d: usize) {
    match metric {
        MetricType::InnerProduct => simd::fvec_inner_products_tile(dis, x, y, d),
        MetricType::L2 => simd::fvec_L2sqr_tile(dis, x, y, d),
        MetricType::L1 => simd::fvec_L1_tile(dis, x, y, d),
        _ if d == 0 => distances_ny(metric, arg, dis, x, y),
        _ => {
            let ny = y.len() / d;
            dis.chunks_exact_mut(ny).zip(x.chunks_exact(d)).for_each(|(row, x)| distances_ny(metric, arg, row, x, y));
        }
    }
}

/// The distance of two vectors.
pub fn distance(metric: MetricType, arg: f32, x: &[f32], y: &[f32]) -> f32 {
    let mut dis = [0.0];
    distances_ny(metric, arg, &mut dis, x, y);
    dis[0]
}

fn rows(dis: &mut [f32], x: &[f32], y: &[f32], distance: impl Fn(&[f32], &[f32]) -> f32) {
    let d = x.len();
    for (j, out) in dis.iter_mut().enumerate() {
        *out = distance(x, &y[j * d..(j + 1) * d]);
    }
}

fn pairs<'a>(x: &'a [f32], y: &'a [f32]) -> impl Iterator<Item = (f32, f32)> + 'a {
    x.iter().copied().zip(y.iter().copied())
}

fn bray_curtis(x: &[f32], y: &[f32]) -> f32 {
    let (num, den) = pairs(x, y).fold((0.0f32, 0.0f32), |(n, d), (a, b)| (n + (a - b).abs(), d + (a + b).abs()));
    num / den
}

fn jensen_shannon(x: &[f32], y: &[f32]) -> f32 {
    let sum: f32 = pairs(x, y)
        .map(|(a, b)| {
            let m = 0.5 * (a + b);
            -a * (m / a).ln() - b * (m / b).ln()
        })
        .sum();
    0.5 * sum
}

/// Where one number is a NaN, the other is both the smaller and the larger.
fn jaccard(x: &[f32], y: &[f32]) -> f32 {
    let (num, den) = pairs(x, y).fold((0.0f32, 0.0f32), |(n, d), (a, b)| (n + a.min(b), d + a.max(b)));
    num / den
}

/// Pairs with a NaN do not count; the sum over the others is scaled up to all of them.
fn nan_euclidean(x: &[f32], y: &[f32]) -> f32 {
    let (mut sum, mut present) = (0.0f32, 0usize);
    for (a, b) in pairs(x, y) {
        if !a.is_nan() && !b.is_nan() {
            sum += (a - b) * (a - b);
            present += 1;
        }
    }
    if present == 0 { f32::NAN } else { x.len() as f32 / present as f32 * sum }
}

/// Numbers in [0, 1] are measures and differ by their distance; negative ones are categories and differ by 0 or 1; pairs with a NaN do not
/// count. Anything else has no distance.
fn gower(x: &[f32], y: &[f32]) -> f32 {
    let (mut sum, mut present) = (0.0f32, 0usize);
    for (a, b) in pairs(x, y) {
        if a.is_nan() || b.is_nan() {
            continue;
        }
        sum += match (a >= 0.0, b >= 0.0) {
            (true, true) if a > 1.0 || b > 1.0 => return f32::NAN,
            (true, true) => (a - b).abs(),
            (false, false) => f32::from(u8::from(a != b)),
            _ => return f32::NAN,
        };
        present += 1;
    }
    if present == 0 { f32::NAN } else { sum / present as f32 }
}
