//! Shards and replicas of indexes over vectors of floats.

use super::tuning::{self, Tuned};
use super::{Index, IndexBase};
use crate::base::object::{Object, receiver, receiver_mut};
use crate::base::{Error, Result};
use crate::distance::merge_knn_results;

crate::made_of_indexes! {
    Index over IndexBase = |d| IndexBase::new(d, Default::default()),
    number: f32, distance: f32, size: dim, merge: merge_knn_results,
    base: { crate::inherit_index!(parts); },
    parts: "ThreadedIndexBase" implements Tuned,
    shards: IndexShards, replicas: IndexReplicas
}

/// Parameters are those of the indexes, set in all of them.
impl Tuned for Parts {
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        let set: Result<Vec<bool>> = self.parts.iter().map(|part| tuning::set(part, name, value)).collect();
        match set {
            Ok(set) if set.is_empty() || set.contains(&false) => None,
            set => Some(set.map(drop)),
        }
    }
    fn explored(&self) -> Option<Part> {
        self.parts.first().cloned()
    }
}

impl Index for Parts {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.check_any()?;
        self.parts.iter().try_for_each(|part| part.write().train(x))
    }
    fn reset(&mut self) -> Result<()> {
        self.parts.iter().try_for_each(|part| part.write().reset())?;
        self.base.ntotal = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Shared;
    use crate::index::flat_l2::IndexFlatL2;
    use crate::random::float_randn;

    /// Shards find what one index of all vectors finds.
    #[test]
    fn shards_are_one_index() {
        let (d, n, k) = (5, 100, 7);
        let mut x = vec![0f32; n * d];
        float_randn(&mut x, 3).unwrap();
        let mut one = IndexFlatL2::new(d as i64).unwrap();
        one.add(&x).unwrap();
        let mut shards = IndexShards::new(d as i64, false, true).unwrap();
        let search = |index: &dyn Index| {
            let (mut distances, mut labels) = (vec![0f32; 10 * k], vec![0i64; 10 * k]);
            index.search(&x[..10 * d], k, None, &mut distances, &mut labels).map(|()| (distances, labels))
        };
        assert!(search(&shards).is_err() && shards.add(&x).is_err());
        for _ in 0..3 {
            shards.add_shard(Shared::new(IndexFlatL2::new(d as i64).unwrap())).unwrap();
        }
        assert!(shards.add_shard(Shared::new(IndexFlatL2::new(4).unwrap())).is_err());
        shards.add(&x).unwrap();
        assert_eq!(shards.ntotal, n as i64);
        let (wanted, found) = (search(&one).unwrap(), search(&shards).unwrap());
        assert_eq!(found.1, wanted.1);
        shards.threaded = true;
        assert_eq!(search(&shards).unwrap(), found);
        assert!(found.0.iter().zip(&wanted.0).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!(shards.add(&x).is_err() && shards.add_with_ids(&x, &[0; 100]).is_err());
        shards.reset().unwrap();
        assert_eq!(shards.ntotal, 0);

        let mut replicas = IndexReplicas::new(0, true).unwrap();
        for _ in 0..2 {
            replicas.add_replica(Shared::new(IndexFlatL2::new(d as i64).unwrap())).unwrap();
        }
        replicas.add(&x).unwrap();
        assert_eq!((replicas.ntotal, search(&replicas).unwrap()), (n as i64, search(&one).unwrap()));
        assert!(replicas.add_replica(Shared::new(IndexFlatL2::new(d as i64).unwrap())).is_err());
    }
}
