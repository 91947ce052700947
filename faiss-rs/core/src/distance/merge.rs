//! One result from the results of several shards.

use super::collect::{Hit, order};
use crate::base::{Error, Result};

/// Merges `nshard` results of `n` queries, `k` each: `distances` and `labels` are shard after shard, each `n * k`. Of every query the `k`
/// best remain, best first: the smallest distances, or the largest with `keep_max`. A label of -1 is no result.
pub fn merge_knn_results(
    n: usize,
    k: usize,
    nshard: usize,
    distances: &[f32],
    labels: &[i64],
    keep_max: bool,
    out_distances: &mut [f32],
    out_labels: &mut [i64],
) -> Result<()> {
    let size = n.checked_mul(k).ok_or_else(|| Error::failed("n * k fits", ""))?;
    let all = size.checked_mul(nshard).ok_or_else(|| Error::failed("n * k * nshard fits", ""))?;
    Error::check(distances.len() == all && labels.len() == all, "all_distances.size() == n * k * nshard")?;
    Error::check(out_distances.len() == size && out_labels.len() == size, "distances.size() == n * k")?;
    let sign = if keep_max { -1.0 } else { 1.0 };
    let mut hits: Vec<Hit> = Vec::with_capacity(k * nshard);
    for q in 0..n {
        hits.clear();
        for shard in 0..nshard {
            let at = shard * size + q * k;
            hits.extend((at..at + k).filter(|i| labels[*i] >= 0).map(|i| (sign * distances[i], labels[i])));
        }
        hits.sort_unstable_by(order);
        hits.truncate(k);
        let (distances, labels) = (&mut out_distances[q * k..(q + 1) * k], &mut out_labels[q * k..(q + 1) * k]);
        distances.fill(sign * f32::MAX);
        labels.fill(-1);
        for (i, (key, id)) in hits.iter().enumerate() {
            distances[i] = sign * key;
            labels[i] = *id;
        }
    }
    Ok(())
}
