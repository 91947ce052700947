//! All distances, and distances of chosen pairs.

use super::{check_queries, extra};
use crate::base::{Error, MetricType, Result, threads};
use crate::{blas, simd};

/// Products of this many numbers are worth the matrix path.
const BLAS_SIZE: usize = 16;

/// `out[i * ny + j]`: the distance of row `i` of `x` to row `j` of `y`, both `d` wide.
pub fn pairwise_distances(
    x: &[f32],
    nx: usize,
    y: &[f32],
    ny: usize,
    d: usize,
    metric: MetricType,
    arg: f32,
    out: &mut [f32],
) -> Result<()> {
    check_queries(x, nx, d)?;
    check_queries(y, ny, d)?;
    Error::check(nx.checked_mul(ny) == Some(out.len()), "distances.size() == nx * ny")?;
    let use_blas =
        matches!(metric, MetricType::L2 | MetricType::InnerProduct) && nx >= BLAS_SIZE && ny >= BLAS_SIZE && d > 0;
    let mut y_norms = vec![0.0; if use_blas && metric == MetricType::L2 { ny } else { 0 }];
    super::fvec_norms_L2sqr(&mut y_norms, y, d)?;
    threads::parallel_rows(out, ny, 1, |first, rows| {
        let n = rows.len() / ny;
        let x = &x[first * d..(first + n) * d];
        if !use_blas {
            rows.chunks_exact_mut(ny)
                .enumerate()
                .for_each(|(i, row)| extra::distances_ny(metric, arg, row, &x[i * d..(i + 1) * d], y));
        } else if metric == MetricType::InnerProduct {
            blas::sgemm_nt(n, ny, d, 1.0, x, y, rows);
        } else {
            blas::sgemm_nt(n, ny, d, -2.0, x, y, rows);
            for (i, row) in rows.chunks_exact_mut(ny).enumerate() {
                simd::products_to_L2sqr(row, simd::fvec_norm_L2sqr(&x[i * d..(i + 1) * d]), &y_norms);
            }
        }
        Ok(())
    })
}

/// `out[i * n + j]`: the distance of query `i` to row `ids[i * n + j]` of `y`; where that is -1, the distance is left as it is.
pub fn distances_by_idx(
    x: &[f32],
    nx: usize,
    y: &[f32],
    d: usize,
    ids: &[i64],
    metric: MetricType,
    arg: f32,
    out: &mut [f32],
) -> Result<()> {
    check_queries(x, nx, d)?;
    Error::check(ids.len() == out.len() && ids.len().is_multiple_of(nx), "ids.size() == nx * ny")?;
    let ny = y.len() / d.max(1);
    if let Some(id) = ids.iter().find(|id| **id >= ny as i64) {
        return Err(Error::failed("id < ny", format!("there is no vector {id} among {ny}")));
    }
    if nx == 0 {
        return Ok(());
    }
    let n = ids.len() / nx;
    threads::parallel_rows(out, n, 1, |first, rows| {
        for (i, row) in rows.chunks_exact_mut(n).enumerate() {
            let q = first + i;
            for (out, id) in row.iter_mut().zip(&ids[q * n..]).filter(|(_, id)| **id >= 0) {
                let at = *id as usize * d;
                *out = extra::distance(metric, arg, &x[q * d..(q + 1) * d], &y[at..at + d]);
            }
        }
        Ok(())
    })
}
