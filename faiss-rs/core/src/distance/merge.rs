//! One result from the results of several shards.

use std::cmp::Ordering;

use parking_lot::Mutex;

use super::collect::Hit;
use crate::base::{Error, Result, threads};

/// Queries of one task.
const QUERIES: usize = 256;

/// Merges `nshard` results of `n` queries, `k` each: `distances` and `labels` are shard after shard, each `n * k`. Of every query the `k`
/// best remain, best first: the smallest distances, or the largest with `keep_max`. Of equal ones those of the first shard come first, with
/// `keep_max` those of the last, as in Faiss. A label of -1 is no result.
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
    if k == 0 {
        return Ok(());
    }
    let sign = if keep_max { -1.0 } else { 1.0 };
    let shards = || (0..nshard).map(|i| if keep_max { nshard - 1 - i } else { i });
    let pieces: Vec<Mutex<(&mut [f32], &mut [i64])>> =
        out_distances.chunks_mut(QUERIES * k).zip(out_labels.chunks_mut(QUERIES * k)).map(Mutex::new).collect();
    threads::parallel_for(pieces.len(), |piece| {
        let (out_distances, out_labels) = &mut *pieces[piece].lock();
        let mut heads: Vec<Hit> = Vec::with_capacity(nshard);
        let mut next: Vec<usize> = Vec::with_capacity(nshard);
        let mut hits: Vec<Hit> = Vec::new();
        for (i, (out_d, out_l)) in out_distances.chunks_exact_mut(k).zip(out_labels.chunks_exact_mut(k)).enumerate() {
            let q = piece * QUERIES + i;
            let at = |shard: usize| shard * size + q * k;
            let hit = |i: usize| (sign * distances[i], labels[i]);
            let sorted = (0..nshard)
                .all(|shard| is_sorted(&distances[at(shard)..at(shard) + k], &labels[at(shard)..at(shard) + k], sign));
            if !sorted {
                hits.clear();
                for shard in shards() {
                    hits.extend((at(shard)..at(shard) + k).filter(|i| labels[*i] >= 0).map(hit));
                }
                hits.sort_by(better);
                hits.truncate(k);
                write(&hits, sign, out_d, out_l);
                continue;
            }
            // The heads of the shards, of which the best goes out and is followed by its next.
            heads.clear();
            next.clear();
            for shard in shards() {
                if labels[at(shard)] >= 0 {
                    heads.push(hit(at(shard)));
                    next.push(at(shard) + 1);
                }
            }
            for rank in 0..k {
                let mut best = 0;
                for (i, head) in heads.iter().enumerate().skip(1) {
                    if better(head, &heads[best]).is_lt() {
                        best = i;
                    }
                }
                let Some((key, id)) = heads.get(best).copied() else {
                    out_d[rank..].fill(sign * f32::MAX);
                    out_l[rank..].fill(-1);
                    break;
                };
                (out_d[rank], out_l[rank]) = (sign * key, id);
                let at = next[best];
                if !at.is_multiple_of(k) && labels[at] >= 0 {
                    (heads[best], next[best]) = (hit(at), at + 1);
                } else {
                    heads.remove(best);
                    next.remove(best);
                }
            }
        }
        Ok(())
    })
}

fn better(a: &Hit, b: &Hit) -> Ordering {
    a.0.total_cmp(&b.0)
}

/// Whether results are best first, with those that do not exist at the end.
fn is_sorted(distances: &[f32], labels: &[i64], sign: f32) -> bool {
    (1..labels.len()).all(|i| {
        labels[i] < 0 || (labels[i - 1] >= 0 && (sign * distances[i - 1]).total_cmp(&(sign * distances[i])).is_le())
    })
}

fn write(hits: &[Hit], sign: f32, distances: &mut [f32], labels: &mut [i64]) {
    distances.fill(sign * f32::MAX);
    labels.fill(-1);
    for (i, (key, id)) in hits.iter().enumerate() {
        distances[i] = sign * key;
        labels[i] = *id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sorted shards, with ties and missing results, give what sorting everything gives; so do shards in any order.
    #[test]
    fn the_best_of_all_shards() {
        let (n, k, nshard) = (300, 5, 4);
        let mut bytes = vec![0u8; n * k * nshard];
        crate::random::byte_rand(&mut bytes, 7).unwrap();
        for keep_max in [false, true] {
            let sign = if keep_max { -1.0 } else { 1.0 };
            let mut rows: Vec<Vec<Hit>> = bytes
                .chunks(k)
                .enumerate()
                .map(|(r, row)| row.iter().enumerate().map(|(i, b)| (f32::from(b % 16), (r * k + i) as i64)).collect())
                .collect();
            for sorted in [true, false] {
                if sorted {
                    rows.iter_mut().for_each(|row| row.sort_by(better));
                } else {
                    rows.iter_mut().for_each(|row| row.reverse());
                }
                let distances: Vec<f32> = rows.iter().flatten().map(|hit| sign * hit.0).collect();
                let missing = |i: usize| i % (3 * k) >= 3 * k - 2;
                let labels: Vec<i64> = rows
                    .iter()
                    .flatten()
                    .enumerate()
                    .map(|(i, hit)| if sorted && missing(i) { -1 } else { hit.1 })
                    .collect();
                let (mut d, mut l) = (vec![0.0; n * k], vec![0; n * k]);
                merge_knn_results(n, k, nshard, &distances, &labels, keep_max, &mut d, &mut l).unwrap();
                for q in 0..n {
                    let shards = (0..nshard).map(|i| if keep_max { nshard - 1 - i } else { i });
                    let places = shards.flat_map(|shard| (shard * n + q) * k..(shard * n + q + 1) * k);
                    let mut all: Vec<Hit> =
                        places.filter(|i| labels[*i] >= 0).map(|i| (sign * distances[i], labels[i])).collect();
                    all.sort_by(better);
                    for (i, want) in all[..k].iter().enumerate() {
                        assert_eq!((d[q * k + i], l[q * k + i]), (sign * want.0, want.1), "query {q} rank {i}");
                    }
                }
            }
        }
        let (mut d, mut l) = ([0.0; 3], [0; 3]);
        merge_knn_results(1, 3, 2, &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0], &[4, -1, -1, 9, -1, -1], false, &mut d, &mut l)
            .unwrap();
        assert_eq!((d, l), ([1.0, 2.0, f32::MAX], [4, 9, -1]));
        merge_knn_results(2, 0, 2, &[], &[], false, &mut [], &mut []).unwrap();
    }
}
