//! Several indexes as one: each with a part of the vectors, or all with the same ones.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::tuning::{self, Tuned};
use super::{Index, IndexBase};
use crate::base::object::{Object, receiver, receiver_mut};
use crate::base::{Error, Result, Shared, threads};
use crate::distance::merge_knn_results;
use crate::registry::Row;

type Part = Shared<dyn Index>;

/// The indexes that others are made of.
#[derive(Object, Default, Clone)]
#[object(name = "ThreadedIndexBase", abstract, implements(Tuned), methods(PartsMethods))]
pub struct Parts {
    #[object(parent)]
    pub base: IndexBase,
    /// Whether the indexes belong to this one. Memory is managed by reference counts, whatever this says.
    pub own_indices: bool,
    pub(super) parts: Vec<Part>,
}

pub const PARTS: Row = Row::of::<Parts>();

/// The methods of all that are made of other indexes.
pub struct PartsMethods;

#[methods]
impl PartsMethods {
    /// Number of indexes.
    fn count(this: &Parts) -> usize {
        this.parts.len()
    }

    /// One of the indexes.
    fn at(this: &Parts, i: i64) -> Result<Part> {
        let part = usize::try_from(i).ok().and_then(|i| this.parts.get(i));
        part.cloned().ok_or_else(|| Error::failed("i < indices_.size()", format!("there is no index {i}")))
    }

    /// Takes one more index, of the same dimension and metric.
    #[name = "addIndex"]
    fn add_index(this: &mut dyn Object, index: Part) -> Result<()> {
        add_part(this, index)
    }

    /// Lets go of an index.
    #[name = "removeIndex"]
    fn remove_index(this: &mut dyn Object, index: Part) -> Result<()> {
        remove_part(this, &index)
    }

    /// Takes notice of changes that the indexes went through by themselves.
    #[name = "syncWithSubIndexes"]
    fn sync_with_sub_indexes(this: &mut dyn Object) -> Result<()> {
        sync(this)
    }
}

impl Parts {
    /// Of indexes of that dimension; 0 for that of the first that is added.
    fn new(d: i64) -> Result<Self> {
        Ok(Parts { base: IndexBase::new(d, Default::default())?, ..Default::default() })
    }

    fn check_new(&self, part: &Part) -> Result<()> {
        let index = part.read();
        let new = index.base();
        let d = self.parts.first().map_or(self.base.d, |first| first.read().base().d);
        if d != 0 && d != new.d {
            return Err(Error::failed("index->d == d", format!("addIndex: dimension mismatch: {} and {d}", new.d)));
        }
        if let Some(first) = self.parts.first() {
            let first = first.read();
            let same = first.base().metric_type == new.metric_type;
            Error::check(same, "addIndex: newly added index is not of the same metric type")?;
        }
        Error::check(!self.parts.iter().any(|own| own.same(part)), "addIndex: the index is there already")
    }

    /// What all have in common, and how many vectors they have: all together, or each.
    pub(super) fn sync(&mut self, together: bool) {
        let Some(first) = self.parts.first() else {
            self.base.ntotal = 0;
            return;
        };
        let first = first.read().base().clone();
        let ntotals = self.parts.iter().map(|part| part.read().base().ntotal);
        let ntotal = if together { ntotals.sum() } else { first.ntotal };
        let is_trained = self.parts.iter().all(|part| part.read().base().is_trained);
        self.base = IndexBase { ntotal, is_trained, verbose: self.base.verbose, ..first };
    }

    pub(super) fn check_any(&self) -> Result<()> {
        Error::check(!self.parts.is_empty(), "!indices_.empty(): there are no indexes")
    }
}

fn sync(object: &mut dyn Object) -> Result<()> {
    let together = receiver::<IndexShards>(object).is_ok();
    receiver_mut::<Parts>(object)?.sync(together);
    Ok(())
}

pub(super) fn add_part(object: &mut dyn Object, part: Part) -> Result<()> {
    let parts = receiver_mut::<Parts>(object)?;
    parts.check_new(&part)?;
    parts.parts.push(part);
    sync(object)
}

fn remove_part(object: &mut dyn Object, index: &Part) -> Result<()> {
    let parts = &mut receiver_mut::<Parts>(object)?.parts;
    let at = parts.iter().position(|part| part.same(index));
    parts.remove(at.ok_or_else(|| Error::failed("", "removeIndex: index not found"))?);
    sync(object)
}

impl Parts {
    /// The indexes.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Does something with each index and its number, at the same time if that is wanted.
    fn on_each(&self, threaded: bool, work: impl Fn(usize, &Part) -> Result<()> + Sync) -> Result<()> {
        if threaded {
            return threads::beside_each_other(self.parts.len(), |i| work(i, &self.parts[i]));
        }
        self.parts.iter().enumerate().try_for_each(|(i, part)| work(i, part))
    }
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

/// Several indexes, each with a part of the vectors.
///
/// `add` gives each an equal part of the vectors; a search asks all and merges what they find. `add_shard` takes an index.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index))]
pub struct IndexShards {
    #[object(parent)]
    pub parts: Parts,
    /// Whether indexes are asked at the same time, by a thread each; else one after the other, each by all threads.
    pub threaded: bool,
    /// Ids of an index count on from those of the indexes before it; else they are as the indexes say.
    pub successive_ids: bool,
}

pub const ROW: Row = Row::of::<IndexShards>();

#[methods]
impl IndexShards {
    /// Of indexes of dimension `d`; 0 for that of the first that is added.
    #[new]
    pub fn new(d: i64, #[default = false] threaded: bool, #[default = true] successive_ids: bool) -> Result<Self> {
        Ok(IndexShards { parts: Parts::new(d)?, threaded, successive_ids })
    }

    #[new]
    fn of_any_dimension(#[default = false] threaded: bool, #[default = true] successive_ids: bool) -> Result<Self> {
        Self::new(0, threaded, successive_ids)
    }

    /// Takes one more index, of the same dimension and metric.
    pub fn add_shard(&mut self, index: Part) -> Result<()> {
        add_part(self, index)
    }

    /// Lets go of an index.
    pub fn remove_shard(&mut self, index: Part) -> Result<()> {
        remove_part(self, &index)
    }
}

/// The ids of `n` vectors that are to be added to shards of `ntotal`, where they are neither given nor the indexes' own.
pub(crate) fn ids_to_add(ntotal: i64, successive_ids: bool, n: usize, ids: Option<&[i64]>) -> Result<Option<Vec<i64>>> {
    if ids.is_some() && successive_ids {
        let message = "It makes no sense to pass in ids and request them to be shifted";
        return Err(Error::failed("!(successive_ids && xids)", message));
    }
    Error::check(ids.is_none_or(|ids| ids.len() == n), "xids.size() == n")?;
    if successive_ids {
        Error::check(
            ntotal == 0,
            "when adding to IndexShards with sucessive_ids, only add() in a single pass is supported",
        )?;
    }
    let counts = ids.is_none() && !successive_ids;
    Ok(counts.then(|| (ntotal..ntotal + n as i64).collect()))
}

impl IndexShards {
    /// See [`ids_to_add`].
    pub(super) fn ids_to_add(&self, n: usize, ids: Option<&[i64]>) -> Result<Option<Vec<i64>>> {
        ids_to_add(self.ntotal, self.successive_ids, n, ids)
    }

    fn add_parts(&mut self, x: &[f32], ids: Option<&[i64]>) -> Result<()> {
        self.check_any()?;
        let (n, d) = (self.rows(x)?, self.dim());
        let counted = self.ids_to_add(n, ids)?;
        let ids = ids.or(counted.as_deref());
        let count = self.parts.parts.len();
        self.parts.on_each(self.threaded, |i, part| {
            let rows = i * n / count..(i + 1) * n / count;
            let x = &x[rows.start * d..rows.end * d];
            let mut part = part.write();
            match ids {
                Some(ids) => part.add_with_ids(x, &ids[rows]),
                None => part.add(x),
            }
        })
    }
}

impl Index for IndexShards {
    crate::inherit_index!(parts);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.check_any()?;
        let trained = self.parts.on_each(self.threaded, |_, part| part.write().train(x));
        self.parts.sync(true);
        trained
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        let added = self.add_parts(x, None);
        self.parts.sync(true);
        added
    }
    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        let added = self.add_parts(x, Some(ids));
        self.parts.sync(true);
        added
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        self.check_any()?;
        let (shards, size) = (self.parts.parts.len(), n * k);
        let all = size.checked_mul(shards).ok_or_else(|| Error::failed("n * k * nshard fits", ""))?;
        let (mut all_distances, mut all_labels) = (vec![0f32; all], vec![-1i64; all]);
        let ntotals = self.parts.parts.iter().map(|part| part.read().base().ntotal);
        let firsts: Vec<i64> = ntotals.scan(0, |sum, n| Some(std::mem::replace(sum, *sum + n))).collect();
        let results = all_distances.chunks_mut(size.max(1)).zip(all_labels.chunks_mut(size.max(1)));
        let results: Vec<_> = results.map(Mutex::new).collect();
        self.parts.on_each(self.threaded, |shard, part| {
            // Without queries there is nothing to find.
            let Some(result) = results.get(shard) else { return Ok(()) };
            let (distances, labels) = &mut *result.lock();
            part.read().search(x, k, params, distances, labels)?;
            if self.successive_ids {
                labels.iter_mut().filter(|label| **label >= 0).for_each(|label| *label += firsts[shard]);
            }
            Ok(())
        })?;
        drop(results);
        let similarity = self.metric_type.is_similarity();
        merge_knn_results(n, k, shards, &all_distances, &all_labels, similarity, distances, labels)
    }
}

/// Several indexes with the same vectors, which share the queries.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index))]
pub struct IndexReplicas {
    #[object(parent)]
    pub parts: Parts,
    /// Whether all take part in a search, each with some of the queries and by a thread of its own; else the first answers.
    pub threaded: bool,
}

pub const REPLICAS_ROW: Row = Row::of::<IndexReplicas>();

#[methods]
impl IndexReplicas {
    /// Of indexes of dimension `d`; 0 for that of the first that is added.
    #[new]
    pub fn new(d: i64, #[default = true] threaded: bool) -> Result<Self> {
        Ok(IndexReplicas { parts: Parts::new(d)?, threaded })
    }

    #[new]
    fn of_any_dimension(#[default = true] threaded: bool) -> Result<Self> {
        Self::new(0, threaded)
    }

    /// Takes one more index, which has as many vectors as the others.
    pub fn add_replica(&mut self, index: Part) -> Result<()> {
        if let Some(first) = self.parts.parts.first() {
            let same = first.read().base().ntotal == index.read().base().ntotal;
            Error::check(same, "IndexReplicas: newly added index does not have same number of vectors")?;
        }
        add_part(self, index)
    }

    /// Lets go of an index.
    pub fn remove_replica(&mut self, index: Part) -> Result<()> {
        remove_part(self, &index)
    }
}

impl IndexReplicas {
    fn first(&self) -> Result<&Part> {
        self.parts.parts.first().ok_or_else(|| Error::failed("count() > 0", "no replicas in index"))
    }

    /// Does the same to all.
    fn each(&mut self, change: impl Fn(&mut dyn Index) -> Result<()> + Sync) -> Result<()> {
        self.check_any()?;
        let done = self.parts.on_each(self.threaded, |_, part| change(&mut *part.write()));
        self.parts.sync(false);
        done
    }
}

impl Index for IndexReplicas {
    crate::inherit_index!(parts);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.each(|part| part.train(x))
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.each(|part| part.add(x))
    }
    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        self.each(|part| part.add_with_ids(x, ids))
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        let (count, d) = (self.parts.parts.len(), self.dim());
        if !self.threaded || count < 2 || n < count || d == 0 {
            return self.first()?.read().search(x, k, params, distances, labels);
        }
        let share = n.div_ceil(count);
        let results = distances.chunks_mut(share * k).zip(labels.chunks_mut(share * k));
        let shares: Vec<_> = x.chunks(share * d).zip(results).map(Mutex::new).collect();
        self.parts.on_each(true, |i, part| {
            let Some(share) = shares.get(i) else { return Ok(()) };
            let (x, (distances, labels)) = &mut *share.lock();
            part.read().search(x, k, params, distances, labels)
        })
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.first()?.read().reconstruct(key, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
