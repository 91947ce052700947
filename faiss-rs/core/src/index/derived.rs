//! What follows from an index's own methods: the bodies of the methods of [`Index`] that every type has by default. Each is compiled once,
//! over `dyn Index`, and not for each of eighty types.

use super::Index;
use crate::base::{Error, Object, Result};
use crate::distance::collect::order;
use crate::distance::extra;
use crate::distance::results::TopK;

pub fn assign(index: &dyn Index, x: &[f32], k: usize, labels: &mut [i64]) -> Result<()> {
    let mut distances = vec![0.0; labels.len()];
    labels.fill(-1);
    index.search(x, k, None, &mut distances, labels)
}

pub fn reconstruct_n(index: &dyn Index, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
    index.base().checked_range(i0, ni, out)?;
    let d = index.base().dim();
    (0..ni).try_for_each(|i| index.reconstruct(i0 + i as i64, &mut out[i * d..(i + 1) * d]))
}

pub fn reconstruct_batch(index: &dyn Index, keys: &[i64], out: &mut [f32]) -> Result<()> {
    let d = index.base().dim();
    Error::check(keys.len().checked_mul(d) == Some(out.len()), "recons.size() == n * d")?;
    keys.iter().enumerate().try_for_each(|(i, key)| index.reconstruct(*key, &mut out[i * d..(i + 1) * d]))
}

pub fn search_and_reconstruct(
    index: &dyn Index,
    x: &[f32],
    k: usize,
    params: Option<&dyn Object>,
    distances: &mut [f32],
    labels: &mut [i64],
    recons: &mut [f32],
) -> Result<()> {
    let d = index.base().dim();
    Error::check(labels.len().checked_mul(d) == Some(recons.len()), "recons.size() == n * k * d")?;
    index.search(x, k, params, distances, labels)?;
    for (i, label) in labels.iter().enumerate() {
        let out = &mut recons[i * d..(i + 1) * d];
        if *label < 0 {
            out.fill(f32::from_bits(u32::MAX));
        } else {
            index.reconstruct(*label, out)?;
        }
    }
    Ok(())
}

pub fn search_subset(
    index: &dyn Index,
    x: &[f32],
    k_base: usize,
    base_labels: &[i64],
    k: usize,
    distances: &mut [f32],
    labels: &mut [i64],
) -> Result<()> {
    let base = index.base();
    let n = base.queries(x, k, distances, labels)?;
    Error::check(n.checked_mul(k_base) == Some(base_labels.len()), "base_labels.size() == n * k_base")?;
    if let Some(bad) = base_labels.iter().find(|id| **id >= base.ntotal) {
        base.position(*bad)?;
    }
    let (d, similarity) = (base.dim(), base.metric_type.is_similarity());
    let sign = if similarity { -1.0 } else { 1.0 };
    // Without codes to compare, by the vectors as the index gives them back.
    let mut computer = index.get_distance_computer().ok();
    let mut vector = vec![0f32; d];
    let out = TopK::new(base.metric_type, k, distances, labels);
    for q in 0..n {
        let query = &x[q * d..(q + 1) * d];
        let candidates = base_labels[q * k_base..(q + 1) * k_base].iter().copied().filter(|id| *id >= 0);
        let mut hits: Vec<(f32, i64)> = Vec::with_capacity(k_base);
        if let Some(computer) = &mut computer {
            computer.set_query(query)?;
            hits.extend(candidates.map(|id| (sign * computer.distance(id as usize), id)));
        } else {
            for id in candidates {
                index.reconstruct(id, &mut vector)?;
                hits.push((sign * extra::distance(base.metric_type, base.metric_arg, query, &vector), id));
            }
        }
        hits.retain(|hit| hit.0 < f32::MAX);
        hits.sort_unstable_by(order);
        hits.truncate(k);
        out.write(q, &hits);
    }
    Ok(())
}

pub fn compute_residual(index: &dyn Index, x: &[f32], residual: &mut [f32], key: i64) -> Result<()> {
    let d = index.base().dim();
    Error::check(x.len() == d && residual.len() == d, "x.size() == d && residual.size() == d")?;
    index.reconstruct(key, residual)?;
    residual.iter_mut().zip(x).for_each(|(r, x)| *r = x - *r);
    Ok(())
}

pub fn compute_residual_n(index: &dyn Index, x: &[f32], residuals: &mut [f32], keys: &[i64]) -> Result<()> {
    let d = index.base().dim();
    let size = keys.len().checked_mul(d);
    Error::check(
        size == Some(x.len()) && size == Some(residuals.len()),
        "xs.size() == n * d && residuals.size() == n * d",
    )?;
    keys.iter().enumerate().try_for_each(|(i, key)| {
        let row = i * d..(i + 1) * d;
        index.compute_residual(&x[row.clone()], &mut residuals[row], *key)
    })
}
