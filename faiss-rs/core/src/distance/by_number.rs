//! Distances of vectors to those that numbers name, and the best of these. A negative number is none.

use faiss_derive::functions;

use super::collect::{Collector, Reservoir};
use super::results::TopK;
use super::{extra, pairwise};
use crate::base::{Error, MetricType, Result, threads};

pub use declared::*;

/// Row `i` of `rows`, `d` wide; an error where there is none.
fn row(rows: &[f32], d: usize, i: i64) -> Result<&[f32]> {
    let end = usize::try_from(i).ok().and_then(|i| (i + 1).checked_mul(d)).filter(|end| *end <= rows.len());
    let unknown = || Error::failed("i < n", format!("there is no vector {i} among {}", rows.len() / d.max(1)));
    end.map(|end| &rows[end - d..end]).ok_or_else(unknown)
}

/// Distances of pairs.
fn pairs(metric: MetricType, d: usize, x: &[f32], ix: &[i64], y: &[f32], iy: &[i64], out: &mut [f32]) -> Result<()> {
    for ((out, i), j) in out.iter_mut().zip(ix).zip(iy) {
        *out = extra::distance(metric, 0.0, row(x, d, *i)?, row(y, d, *j)?);
    }
    Ok(())
}

/// Numbers from the first of `nx` rows of `n` to the last one's end, where rows are `stride` apart; a negative one stands for `n`.
fn span(nx: usize, n: usize, stride: i64) -> Result<usize> {
    let step = usize::try_from(stride).unwrap_or(n);
    Ok(nx.checked_sub(1).map_or(0, |last| last.saturating_mul(step).saturating_add(n)))
}

fn knn(
    metric: MetricType,
    x: &[f32],
    y: &[f32],
    subset: &[i64],
    d: usize,
    n: usize,
    stride: i64,
    k: usize,
    vals: &mut [f32],
    ids: &mut [i64],
) -> Result<()> {
    if vals.is_empty() {
        return Ok(());
    }
    let (step, ny) = (usize::try_from(stride).unwrap_or(n), y.len() / d.max(1));
    let nx = vals.len() / k;
    let named = |q: usize| &subset[q * step..q * step + n];
    Error::check((0..nx).all(|q| named(q).iter().all(|id| *id < ny as i64)), "subset[i] < ny")?;
    let out = TopK::new(metric, k, vals, ids);
    let sign = if metric.is_similarity() { -1.0 } else { 1.0 };
    threads::parallel_for(nx, |q| {
        let mut best = Reservoir::new(k);
        for id in named(q).iter().filter(|id| **id >= 0) {
            best.push(sign * extra::distance(metric, 0.0, &x[q * d..(q + 1) * d], row(y, d, *id)?), *id);
        }
        out.write(q, &best.finish());
        Ok(())
    })
}

#[functions]
mod declared {
    use super::*;

    /// Inner products of each of nx vectors with the ny vectors of y that ids names for it; -inf for negative ids.
    pub fn fvec_inner_products_by_idx(
        #[len = nx * ny] ip: &mut [f32],
        #[len = nx * d] x: &[f32],
        #[len] y: &[f32],
        #[len = nx * ny] ids: &[i64],
        d: usize,
        nx: usize,
        ny: usize,
    ) -> Result<()> {
        ip.fill(f32::NEG_INFINITY);
        pairwise::distances_by_idx(x, nx, y, d, ids, MetricType::InnerProduct, 0.0, ip)
    }

    /// Squared L2 distances of each of nx vectors to the ny vectors of y that ids names for it; inf for negative ids.
    pub fn fvec_L2sqr_by_idx(
        #[len = nx * ny] dis: &mut [f32],
        #[len = nx * d] x: &[f32],
        #[len] y: &[f32],
        #[len = nx * ny] ids: &[i64],
        d: usize,
        nx: usize,
        ny: usize,
    ) -> Result<()> {
        dis.fill(f32::INFINITY);
        pairwise::distances_by_idx(x, nx, y, d, ids, MetricType::L2, 0.0, dis)
    }

    /// Squared L2 distances of n pairs of vectors, ix of x and iy of y.
    pub fn pairwise_indexed_L2sqr(
        d: usize,
        n: usize,
        #[len] x: &[f32],
        #[len = n] ix: &[i64],
        #[len] y: &[f32],
        #[len = n] iy: &[i64],
        #[len = n] dis: &mut [f32],
    ) -> Result<()> {
        pairs(MetricType::L2, d, x, ix, y, iy, dis)
    }

    /// Inner products of n pairs of vectors, ix of x and iy of y.
    pub fn pairwise_indexed_inner_product(
        d: usize,
        n: usize,
        #[len] x: &[f32],
        #[len = n] ix: &[i64],
        #[len] y: &[f32],
        #[len = n] iy: &[i64],
        #[len = n] dis: &mut [f32],
    ) -> Result<()> {
        pairs(MetricType::InnerProduct, d, x, ix, y, iy, dis)
    }

    /// The k most similar of nsubset vectors of y that are named for each query, whose rows are ld_ids apart; negative numbers are none.
    pub fn knn_inner_products_by_idx(
        #[len = nx * d] x: &[f32],
        #[len = ny * d] y: &[f32],
        #[len = span(nx, nsubset, ld_ids)?] subset: &[i64],
        d: usize,
        nx: usize,
        ny: usize,
        nsubset: usize,
        k: usize,
        #[len = nx * k] vals: &mut [f32],
        #[len = nx * k] ids: &mut [i64],
        #[default = -1] ld_ids: i64,
    ) -> Result<()> {
        knn(MetricType::InnerProduct, x, y, subset, d, nsubset, ld_ids, k, vals, ids)
    }

    /// The k nearest of nsubset vectors of y that are named for each query, whose rows are ld_subset apart; negative numbers are none.
    pub fn knn_L2sqr_by_idx(
        #[len = nx * d] x: &[f32],
        #[len = ny * d] y: &[f32],
        #[len = span(nx, nsubset, ld_subset)?] subset: &[i64],
        d: usize,
        nx: usize,
        ny: usize,
        nsubset: usize,
        k: usize,
        #[len = nx * k] vals: &mut [f32],
        #[len = nx * k] ids: &mut [i64],
        #[default = -1] ld_subset: i64,
    ) -> Result<()> {
        knn(MetricType::L2, x, y, subset, d, nsubset, ld_subset, k, vals, ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_vectors_are_compared() {
        let y = [0.0, 0.0, 1.0, 0.0, 0.0, 2.0];
        let x = [1.0, 1.0];
        let (mut dis, mut vals, mut ids) = ([0f32; 3], [0f32; 3], [0i64; 3]);
        fvec_L2sqr_by_idx(&mut dis, &x, &y, &[2, -1, 1], 2, 1, 3).unwrap();
        assert_eq!(dis, [2.0, f32::INFINITY, 1.0]);
        fvec_inner_products_by_idx(&mut dis, &x, &y, &[2, -1, 1], 2, 1, 3).unwrap();
        assert_eq!(dis, [2.0, f32::NEG_INFINITY, 1.0]);
        knn_L2sqr_by_idx(&x, &y, &[2, -1, 1], 2, 1, 3, 3, 3, &mut vals, &mut ids, -1).unwrap();
        assert_eq!((vals, ids), ([1.0, 2.0, f32::MAX], [1, 2, -1]));
        knn_inner_products_by_idx(&x, &y, &[0, 2, 1], 2, 1, 3, 3, 3, &mut vals, &mut ids, 5).unwrap();
        assert_eq!((vals, ids), ([2.0, 1.0, 0.0], [2, 1, 0]));
        pairwise_indexed_L2sqr(2, 1, &x, &[0], &y, &[2], &mut dis[..1]).unwrap();
        assert_eq!(dis[0], 2.0);
        for bad in [3, i64::MAX] {
            assert!(fvec_L2sqr_by_idx(&mut dis, &x, &y, &[bad, 0, 0], 2, 1, 3).is_err());
            assert!(knn_L2sqr_by_idx(&x, &y, &[bad, 0, 0], 2, 1, 3, 3, 3, &mut vals, &mut ids, -1).is_err());
            assert!(pairwise_indexed_L2sqr(2, 1, &x, &[0], &y, &[bad], &mut dis[..1]).is_err());
        }
        assert!(pairwise_indexed_L2sqr(2, 1, &x, &[-1], &y, &[0], &mut dis[..1]).is_err());
        fvec_L2sqr_by_idx(&mut [], &[], &y, &[], 2, 0, 3).unwrap();
    }
}
