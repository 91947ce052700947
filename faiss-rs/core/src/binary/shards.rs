//! Shards and replicas of binary indexes.

use super::{IndexBinary, IndexBinaryBase, WORST, binary_base};
use crate::base::object::{Object, receiver, receiver_mut};
use crate::base::{Error, Result};

/// The `k` nearest of several shards' results, `n * k` each; of equal distances, those of the first shard come first.
fn merge(
    n: usize,
    k: usize,
    nshard: usize,
    all_distances: &[i32],
    all_labels: &[i64],
    _keep_max: bool,
    distances: &mut [i32],
    labels: &mut [i64],
) -> Result<()> {
    for q in 0..n {
        let places = (0..nshard).flat_map(|shard| (0..k).map(move |i| (shard * n + q) * k + i));
        let known = places.filter(|at| all_labels[*at] >= 0);
        let mut row: Vec<(i32, i64)> = known.map(|at| (all_distances[at], all_labels[at])).collect();
        row.sort_by_key(|(distance, _)| *distance);
        for i in 0..k {
            (distances[q * k + i], labels[q * k + i]) = row.get(i).copied().unwrap_or((WORST, -1));
        }
    }
    Ok(())
}

crate::made_of_indexes! {
    IndexBinary over IndexBinaryBase = IndexBinaryBase::new,
    number: u8, distance: i32, size: bytes, merge: merge,
    base: { binary_base!(); },
    parts: "ThreadedIndexBaseBinary",
    shards: IndexBinaryShards, replicas: IndexBinaryReplicas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Shared;
    use crate::binary::flat::IndexBinaryFlat;

    /// Shards and replicas find what one index of all vectors finds.
    #[test]
    fn several_are_one_index() {
        let (bits, n, k) = (64, 90, 5);
        let mut x = vec![0u8; n * 8];
        crate::random::byte_rand(&mut x, 3).unwrap();
        let flat = || -> Part { Shared::new(IndexBinaryFlat::new(bits).unwrap()) };
        let mut one = IndexBinaryFlat::new(bits).unwrap();
        one.add(&x).unwrap();
        let search = |index: &dyn IndexBinary| {
            let (mut distances, mut labels) = (vec![0i32; 10 * k], vec![0i64; 10 * k]);
            index.search(&x[..80], k, None, &mut distances, &mut labels).map(|()| (distances, labels))
        };
        let mut shards = IndexBinaryShards::new(bits, false, true).unwrap();
        let mut replicas = IndexBinaryReplicas::new(0, true).unwrap();
        assert!(search(&shards).is_err() && search(&replicas).is_err());
        for _ in 0..3 {
            shards.add_shard(flat()).unwrap();
            replicas.add_replica(flat()).unwrap();
        }
        assert!(shards.add_shard(Shared::new(IndexBinaryFlat::new(32).unwrap())).is_err());
        shards.add(&x).unwrap();
        replicas.add(&x).unwrap();
        assert_eq!((shards.ntotal, replicas.ntotal), (90, 90));
        for threaded in [false, true] {
            (shards.threaded, replicas.threaded) = (threaded, threaded);
            assert_eq!(search(&shards).unwrap(), search(&one).unwrap());
            assert_eq!(search(&replicas).unwrap(), search(&one).unwrap());
        }
        assert!(replicas.add_replica(flat()).is_err());
        let (mut out, first) = ([0; 8], shards.parts.parts()[0].clone());
        replicas.reconstruct(7, &mut out).unwrap();
        assert_eq!(out, x[56..64]);
        shards.remove_shard(first).unwrap();
        assert_eq!(shards.ntotal, 60);
        shards.reset().unwrap();
        assert_eq!(shards.ntotal, 0);
    }
}
