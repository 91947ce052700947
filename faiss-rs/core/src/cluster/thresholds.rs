//! Quantiles of the normal and chi-squared distributions, by which pruning in some of the dimensions is told when to stop (Gao and Long,
//! "High-dimensional approximate nearest neighbor search: with reliable and efficient distance comparison operations", 2023).

use faiss_derive::functions;

use crate::base::Result;
use crate::base::memory::filled;

pub use declared::*;

/// Below this and above one minus it, the tails' approximation is better.
const TAIL: f64 = 0.02425;
// Ratios of polynomials, highest power first, to a relative error of 1.15e-9 (Acklam, "An algorithm for computing the inverse normal cumulative
// distribution function", 2003).
const MIDDLE_NUMERATOR: [f64; 6] = [
    -39.69683028665376,
    220.9460984245205,
    -275.9285104469687,
    138.357751867269,
    -30.66479806614716,
    2.506628277459239,
];
const MIDDLE_DENOMINATOR: [f64; 6] =
    [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0];
const TAIL_NUMERATOR: [f64; 6] = [
    -0.007784894002430293,
    -0.3223964580411365,
    -2.400758277161838,
    -2.549732539343734,
    4.374664141464968,
    2.938163982698783,
];
const TAIL_DENOMINATOR: [f64; 5] =
    [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0];

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// The quantile of a probability in the lower tail.
fn tail(p: f64) -> f64 {
    let q = (-2.0 * p.ln()).sqrt();
    polynomial(&TAIL_NUMERATOR, q) / polynomial(&TAIL_DENOMINATOR, q)
}

#[functions]
mod declared {
    use super::*;

    /// What a standard normal variable is less than with probability p; NaN unless 0 < p < 1.
    pub fn normal_quantile(p: f64) -> f64 {
        if !(p > 0.0 && p < 1.0) {
            return f64::NAN;
        }
        if p < TAIL {
            return tail(p);
        }
        if p > 1.0 - TAIL {
            return -tail(1.0 - p);
        }
        let q = p - 0.5;
        q * polynomial(&MIDDLE_NUMERATOR, q * q) / polynomial(&MIDDLE_DENOMINATOR, q * q)
    }

    /// What a chi-squared variable of p degrees of freedom is less than with probability alpha, to 2% (Wilson and Hilferty, 1931).
    pub fn chi2_quantile_wh(p: i32, alpha: f64) -> f64 {
        let step = 2.0 / (9.0 * f64::from(p));
        f64::from(p) * (1.0 - step + normal_quantile(alpha) * step.sqrt()).powi(3)
    }

    /// The part of a squared length of d dimensions that p of them have with probability 1 - epsilon at most, for p from 0 to d.
    #[name = "_precompute_ad_thresholds"]
    pub fn precompute_ad_thresholds(d: usize, epsilon: f64) -> Result<Vec<f32>> {
        let mut parts = filled(&[d.saturating_add(1)], 0f32)?;
        for (p, part) in parts.iter_mut().enumerate().skip(1) {
            *part = (chi2_quantile_wh(p as i32, 1.0 - epsilon) / d as f64) as f32;
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral of the density up to a quantile is its probability.
    #[test]
    fn quantiles_undo_probabilities() {
        for p in [1e-6, 1e-3, 0.02, 0.0243, 0.1, 0.4, 0.5, 0.75, 0.9, 0.976, 0.999] {
            let end = normal_quantile(p);
            let steps = 200_000;
            let (first, width) = (-12.0, (end + 12.0) / f64::from(steps));
            let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let sum: f64 = (0..steps).map(|i| density(first + (f64::from(i) + 0.5) * width)).sum();
            assert!((sum * width - p).abs() < 1e-6 * p.max(1e-2), "{p}: {}", sum * width);
        }
        assert!([0.0, 1.0, -1.0, f64::NAN].iter().all(|p| normal_quantile(*p).is_nan()));
    }

    #[test]
    fn thresholds_grow_to_all_dimensions() {
        let parts = precompute_ad_thresholds(32, 0.1).unwrap();
        assert_eq!((parts.len(), parts[0]), (33, 0.0));
        assert!(parts.is_sorted() && (1.0..1.5).contains(&parts[32]));
        // The median of a chi-squared variable is about its degrees of freedom less 2/3.
        assert!((chi2_quantile_wh(50, 0.5) - 49.34).abs() < 0.02);
    }
}
