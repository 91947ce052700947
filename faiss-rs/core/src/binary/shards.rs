//! Several binary indexes as one: each with a part of the vectors, or all with the same ones.

use faiss_derive::{Object, methods};

use super::{IndexBinary, IndexBinaryBase, WORST, binary_base};
use crate::base::object::{Object, receiver, receiver_mut};
use crate::base::{Error, Result, Shared};
use crate::index::shards::ids_to_add;
use crate::registry::Row;

type Part = Shared<dyn IndexBinary>;

/// The binary indexes that others are made of.
#[derive(Object, Default, Clone)]
#[object(name = "ThreadedIndexBaseBinary", abstract, methods(PartsMethods))]
pub struct Parts {
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// Whether the indexes belong to this one. Memory is managed by reference counts, whatever this says.
    pub own_indices: bool,
    parts: Vec<Part>,
}

pub const PARTS: Row = Row::of::<Parts>();

/// The methods of all that are made of other binary indexes.
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

    /// Takes one more index, of the same dimension.
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
        Ok(Parts { base: IndexBinaryBase::new(d)?, ..Default::default() })
    }

    fn check_new(&self, part: &Part) -> Result<()> {
        let new = part.read().base().d;
        let d = self.parts.first().map_or(self.base.d, |first| first.read().base().d);
        if d != 0 && d != new {
            let message = format!(
                "addIndex: dimension mismatch for newly added index; expecting dim {d}, new index has dim {new}"
            );
            return Err(Error::failed("this->d == index->d", message));
        }
        let known = self.parts.iter().any(|own| own.same(part));
        Error::check(!known, "addIndex: attempting to add index that is already in the collection")
    }

    /// What all have in common, and how many vectors they have: all together, or each.
    fn sync(&mut self, together: bool) {
        let Some(first) = self.parts.first() else {
            self.base.ntotal = 0;
            return;
        };
        let first = first.read().base().clone();
        let ntotals = self.parts.iter().map(|part| part.read().base().ntotal);
        let ntotal = if together { ntotals.sum() } else { first.ntotal };
        let is_trained = self.parts.iter().all(|part| part.read().base().is_trained);
        self.base = IndexBinaryBase { ntotal, is_trained, verbose: self.base.verbose, ..first };
    }

    fn first(&self) -> Result<&Part> {
        self.parts.first().ok_or_else(|| Error::failed("count() > 0", "there are no indexes"))
    }

    fn each(&self, change: impl Fn(&mut dyn IndexBinary) -> Result<()>) -> Result<()> {
        self.first()?;
        self.parts.iter().try_for_each(|part| change(&mut *part.write()))
    }
}

fn sync(object: &mut dyn Object) -> Result<()> {
    let together = receiver::<IndexBinaryShards>(object).is_ok();
    receiver_mut::<Parts>(object)?.sync(together);
    Ok(())
}

fn add_part(object: &mut dyn Object, part: Part) -> Result<()> {
    let replicas = receiver::<IndexBinaryReplicas>(object).is_ok();
    let parts = receiver_mut::<Parts>(object)?;
    parts.check_new(&part)?;
    if let (true, Some(first)) = (replicas, parts.parts.first()) {
        let same = first.read().base().ntotal == part.read().base().ntotal;
        Error::check(same, "IndexReplicas: newly added index does not have same number of vectors")?;
    }
    parts.parts.push(part);
    sync(object)
}

fn remove_part(object: &mut dyn Object, index: &Part) -> Result<()> {
    let parts = &mut receiver_mut::<Parts>(object)?.parts;
    let at = parts.iter().position(|part| part.same(index));
    parts.remove(at.ok_or_else(|| Error::failed("", "removeIndex: index not found"))?);
    sync(object)
}

/// Several binary indexes, each with a part of the vectors.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IndexBinary))]
pub struct IndexBinaryShards {
    #[object(parent)]
    pub parts: Parts,
    /// Ids of an index count on from those of the indexes before it; else they are as the indexes say.
    pub successive_ids: bool,
}

pub const SHARDS_ROW: Row = Row::of::<IndexBinaryShards>();

#[methods]
impl IndexBinaryShards {
    /// Of indexes of `d` bits; 0 for the dimension of the first that is added. `threaded` is accepted for compatibility.
    #[new]
    pub fn new(d: i64, #[default = false] _threaded: bool, #[default = true] successive_ids: bool) -> Result<Self> {
        Ok(IndexBinaryShards { parts: Parts::new(d)?, successive_ids })
    }

    #[new]
    fn of_any_dimension(#[default = false] threaded: bool, #[default = true] successive_ids: bool) -> Result<Self> {
        Self::new(0, threaded, successive_ids)
    }

    /// Takes one more index, of the same dimension.
    pub fn add_shard(&mut self, index: Part) -> Result<()> {
        add_part(self, index)
    }

    /// Lets go of an index.
    pub fn remove_shard(&mut self, index: Part) -> Result<()> {
        remove_part(self, &index)
    }
}

impl IndexBinaryShards {
    fn add_parts(&mut self, x: &[u8], ids: Option<&[i64]>) -> Result<()> {
        self.first()?;
        let (n, size) = (self.rows(x)?, self.bytes());
        let counted = ids_to_add(self.ntotal, self.successive_ids, n, ids)?;
        let ids = ids.or(counted.as_deref());
        let count = self.parts.parts.len();
        for (i, part) in self.parts.parts.iter().enumerate() {
            let rows = i * n / count..(i + 1) * n / count;
            let x = &x[rows.start * size..rows.end * size];
            match ids {
                Some(ids) => part.write().add_with_ids(x, &ids[rows])?,
                None => part.write().add(x)?,
            }
        }
        Ok(())
    }
}

impl IndexBinary for IndexBinaryShards {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        self.parts.each(|part| part.train(x))?;
        self.parts.sync(true);
        Ok(())
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        let added = self.add_parts(x, None);
        self.parts.sync(true);
        added
    }
    fn add_with_ids(&mut self, x: &[u8], ids: &[i64]) -> Result<()> {
        let added = self.add_parts(x, Some(ids));
        self.parts.sync(true);
        added
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        self.first()?;
        let mut found: Vec<Vec<(i32, i64)>> = vec![Vec::new(); n];
        let (mut own_distances, mut own_labels, mut first) = (vec![0; n * k], vec![-1; n * k], 0);
        for part in &self.parts.parts {
            let part = part.read();
            part.search(x, k, params, &mut own_distances, &mut own_labels)?;
            for (q, row) in found.iter_mut().enumerate() {
                let hits = own_distances[q * k..(q + 1) * k].iter().zip(&own_labels[q * k..(q + 1) * k]);
                row.extend(hits.filter(|(_, id)| **id >= 0).map(|(distance, id)| (*distance, *id + first)));
            }
            if self.successive_ids {
                first += part.base().ntotal;
            }
        }
        for (q, mut row) in found.into_iter().enumerate() {
            // Of equal distances, those of the first index come first.
            row.sort_by_key(|(distance, _)| *distance);
            for i in 0..k {
                (distances[q * k + i], labels[q * k + i]) = row.get(i).copied().unwrap_or((WORST, -1));
            }
        }
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        self.parts.each(|part| part.reset())?;
        self.parts.sync(true);
        Ok(())
    }
}

/// Several binary indexes with the same vectors, which share the queries.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IndexBinary))]
pub struct IndexBinaryReplicas {
    #[object(parent)]
    pub parts: Parts,
}

pub const REPLICAS_ROW: Row = Row::of::<IndexBinaryReplicas>();

#[methods]
impl IndexBinaryReplicas {
    /// Of indexes of `d` bits; 0 for the dimension of the first that is added. `threaded` is accepted for compatibility.
    #[new]
    pub fn new(d: i64, #[default = true] _threaded: bool) -> Result<Self> {
        Ok(IndexBinaryReplicas { parts: Parts::new(d)? })
    }

    #[new]
    fn of_any_dimension(#[default = true] threaded: bool) -> Result<Self> {
        Self::new(0, threaded)
    }

    /// Takes one more index, which has as many vectors as the others.
    pub fn add_replica(&mut self, index: Part) -> Result<()> {
        add_part(self, index)
    }

    /// Lets go of an index.
    pub fn remove_replica(&mut self, index: Part) -> Result<()> {
        remove_part(self, &index)
    }
}

impl IndexBinaryReplicas {
    /// Does the same to all.
    fn change(&mut self, change: impl Fn(&mut dyn IndexBinary) -> Result<()>) -> Result<()> {
        let done = self.parts.each(change);
        self.parts.sync(false);
        done
    }
}

impl IndexBinary for IndexBinaryReplicas {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        self.change(|part| part.train(x))
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        self.change(|part| part.add(x))
    }
    fn add_with_ids(&mut self, x: &[u8], ids: &[i64]) -> Result<()> {
        self.change(|part| part.add_with_ids(x, ids))
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        self.first()?.read().search(x, k, params, distances, labels)
    }
    fn reset(&mut self) -> Result<()> {
        self.change(|part| part.reset())
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        self.first()?.read().reconstruct(key, out)
    }
}
