//! Norms of many vectors.

use crate::base::{Error, Result, threads};
use crate::simd;

/// Vectors of one task: enough to be worth it.
const MIN_ROWS: usize = 1024;

/// The squared L2 norms of the rows of `x`, each `d` wide.
pub fn fvec_norms_L2sqr(norms: &mut [f32], x: &[f32], d: usize) -> Result<()> {
    Error::check(norms.len().checked_mul(d).is_some_and(|size| x.len() >= size), "x.size() >= n * d")?;
    threads::parallel_rows(norms, 1, MIN_ROWS, |first, norms| {
        simd::fvec_norms_L2sqr(norms, &x[first * d..], d);
        Ok(())
    })
}

/// The L2 norms of the rows of `x`.
pub fn fvec_norms_L2(norms: &mut [f32], x: &[f32], d: usize) -> Result<()> {
    fvec_norms_L2sqr(norms, x, d)?;
    norms.iter_mut().for_each(|v| *v = v.sqrt());
    Ok(())
}

/// Scales the rows of `x` to an L2 norm of 1; null vectors stay as they are.
pub fn fvec_renorm_L2(x: &mut [f32], d: usize) -> Result<()> {
    threads::parallel_rows(x, d, MIN_ROWS, |_, rows| {
        for row in rows.chunks_exact_mut(d) {
            let norm = simd::fvec_norm_L2sqr(row);
            if norm > 0.0 {
                simd::fvec_scale(row, 1.0 / norm.sqrt());
            }
        }
        Ok(())
    })
}
