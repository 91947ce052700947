//! Several indexes as one: each with a part of the vectors, or all with the same ones. Written once, by [`made_of_indexes`](crate::made_of_indexes), for the
//! indexes over vectors of floats ([`shards`](super::shards)) and for binary ones (`binary/shards.rs`), which differ in the types of vectors and
//! distances.

use crate::base::{Error, Result};

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

/// The types that are made of other indexes of a trait: what they have in common, shards and replicas, and their rows.
///
/// `number` and `distance`: what vectors and distances consist of; `size`: the method that tells how many numbers a vector has; `merge`: one result
/// from several shards' (see [`merge_knn_results`](crate::distance::merge_knn_results)); `base`: what all types define alike.
#[macro_export]
macro_rules! made_of_indexes {
    (
        $index:ident over $fields:ident = $make:expr,
        number: $number:ty, distance: $distance:ty, size: $size:ident, merge: $merge:path,
        base: { $($base:tt)* },
        parts: $parts:tt $(implements $view:ident)?,
        shards: $shards:ident, replicas: $replicas:ident
    ) => {
        type Part = $crate::base::Shared<dyn $index>;

        /// The indexes that others are made of.
        #[derive(::faiss_derive::Object, Default, Clone)]
        #[object(name = $parts, abstract, $(implements($view),)? methods(PartsMethods))]
        pub struct Parts {
            /// What every index has.
            #[object(parent)]
            pub base: $fields,
            /// Whether the indexes belong to this one. Memory is managed by reference counts, whatever this says.
            pub own_indices: bool,
            pub(crate) parts: Vec<Part>,
        }

        pub(crate) const PARTS: $crate::registry::Row = $crate::registry::Row::of::<Parts>();

        /// The methods of all that are made of other indexes.
        pub struct PartsMethods;

        #[::faiss_derive::methods]
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
                let make: fn(i64) -> Result<$fields> = $make;
                Ok(Parts { base: make(d)?, ..Default::default() })
            }

            /// The indexes.
            pub fn parts(&self) -> &[Part] {
                &self.parts
            }

            fn check_new(&self, part: &Part) -> Result<()> {
                let new = part.read().base().clone();
                let first = self.parts.first().map(|first| first.read().base().clone());
                let d = first.as_ref().map_or(self.base.d, |first| first.d);
                if d != 0 && d != new.d {
                    let message = format!("addIndex: dimension mismatch; expecting dim {d}, new index has dim {}", new.d);
                    return Err(Error::failed("this->d == index->d", message));
                }
                let same = first.is_none_or(|first| first.metric_type == new.metric_type);
                Error::check(same, "addIndex: newly added index is not of the same metric type")?;
                let known = self.parts.iter().any(|own| own.same(part));
                Error::check(!known, "addIndex: attempting to add index that is already in the collection")
            }

            /// What all have in common, and how many vectors they have: all together, or each.
            pub(crate) fn sync(&mut self, together: bool) {
                let Some(first) = self.parts.first() else {
                    self.base.ntotal = 0;
                    return;
                };
                let first = first.read().base().clone();
                let ntotals = self.parts.iter().map(|part| part.read().base().ntotal);
                let ntotal = if together { ntotals.sum() } else { first.ntotal };
                let is_trained = self.parts.iter().all(|part| part.read().base().is_trained);
                self.base = $fields { ntotal, is_trained, verbose: self.base.verbose, ..first };
            }

            pub(crate) fn check_any(&self) -> Result<()> {
                Error::check(!self.parts.is_empty(), "!indices_.empty(): there are no indexes")
            }

            /// Does something with each index and its number, at the same time if that is wanted.
            fn on_each(&self, threaded: bool, work: impl Fn(usize, &Part) -> Result<()> + Sync) -> Result<()> {
                if threaded {
                    return $crate::base::threads::beside_each_other(self.parts.len(), |i| work(i, &self.parts[i]));
                }
                self.parts.iter().enumerate().try_for_each(|(i, part)| work(i, part))
            }
        }

        fn sync(object: &mut dyn Object) -> Result<()> {
            let together = receiver::<$shards>(object).is_ok();
            receiver_mut::<Parts>(object)?.sync(together);
            Ok(())
        }

        pub(crate) fn add_part(object: &mut dyn Object, part: Part) -> Result<()> {
            let replicas = receiver::<$replicas>(object).is_ok();
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

        /// Several indexes, each with a part of the vectors.
        ///
        /// `add` gives each an equal part of the vectors; a search asks all and merges what they find. `add_shard` takes an index.
        #[derive(::faiss_derive::Object, Default, Clone)]
        #[object(methods, implements($index))]
        pub struct $shards {
            /// The indexes.
            #[object(parent)]
            pub parts: Parts,
            /// Whether indexes are asked at the same time, by a thread each; else one after the other, each by all threads.
            pub threaded: bool,
            /// Ids of an index count on from those of the indexes before it; else they are as the indexes say.
            pub successive_ids: bool,
        }

        pub(crate) const SHARDS: $crate::registry::Row = $crate::registry::Row::of::<$shards>();

        #[::faiss_derive::methods]
        impl $shards {
            /// Of indexes of dimension `d`; 0 for that of the first that is added.
            #[new]
            pub fn new(d: i64, #[default = false] threaded: bool, #[default = true] successive_ids: bool) -> Result<Self> {
                Ok($shards { parts: Parts::new(d)?, threaded, successive_ids })
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

        impl $shards {
            fn add_parts(&mut self, x: &[$number], ids: Option<&[i64]>) -> Result<()> {
                self.check_any()?;
                let (n, size) = (self.rows(x)?, self.$size());
                let counted = $crate::index::parts::ids_to_add(self.ntotal, self.successive_ids, n, ids)?;
                let ids = ids.or(counted.as_deref());
                let count = self.parts.parts.len();
                self.parts.on_each(self.threaded, |i, part| {
                    let rows = i * n / count..(i + 1) * n / count;
                    let x = &x[rows.start * size..rows.end * size];
                    let mut part = part.write();
                    match ids {
                        Some(ids) => part.add_with_ids(x, &ids[rows]),
                        None => part.add(x),
                    }
                })
            }

            /// Does the same to all.
            fn each(&mut self, change: impl Fn(&mut dyn $index) -> Result<()> + Sync) -> Result<()> {
                let done = self.parts.on_each(self.threaded, |_, part| change(&mut *part.write()));
                self.parts.sync(true);
                done
            }
        }

        impl $index for $shards {
            $($base)*

            fn train(&mut self, x: &[$number]) -> Result<()> {
                self.check_any()?;
                self.each(|part| part.train(x))
            }
            fn add(&mut self, x: &[$number]) -> Result<()> {
                let added = self.add_parts(x, None);
                self.parts.sync(true);
                added
            }
            fn add_with_ids(&mut self, x: &[$number], ids: &[i64]) -> Result<()> {
                let added = self.add_parts(x, Some(ids));
                self.parts.sync(true);
                added
            }
            fn search(
                &self,
                x: &[$number],
                k: usize,
                params: Option<&dyn Object>,
                distances: &mut [$distance],
                labels: &mut [i64],
            ) -> Result<()> {
                let n = self.queries(x, k, distances, labels)?;
                self.check_any()?;
                let (shards, size) = (self.parts.parts.len(), n * k);
                let all = size.checked_mul(shards).ok_or_else(|| Error::failed("n * k * nshard fits", ""))?;
                let (mut all_distances, mut all_labels) = (vec![<$distance>::default(); all], vec![-1i64; all]);
                let ntotals = self.parts.parts.iter().map(|part| part.read().base().ntotal);
                let firsts: Vec<i64> = ntotals.scan(0, |sum, n| Some(std::mem::replace(sum, *sum + n))).collect();
                let results = all_distances.chunks_mut(size.max(1)).zip(all_labels.chunks_mut(size.max(1)));
                let results: Vec<_> = results.map(::parking_lot::Mutex::new).collect();
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
                $merge(n, k, shards, &all_distances, &all_labels, similarity, distances, labels)
            }
            fn reset(&mut self) -> Result<()> {
                self.each(|part| part.reset())
            }
        }

        /// Several indexes with the same vectors, which share the queries.
        #[derive(::faiss_derive::Object, Default, Clone)]
        #[object(methods, implements($index))]
        pub struct $replicas {
            /// The indexes.
            #[object(parent)]
            pub parts: Parts,
            /// Whether all take part in a search, each with some of the queries and by a thread of its own; else the first answers.
            pub threaded: bool,
        }

        pub(crate) const REPLICAS: $crate::registry::Row = $crate::registry::Row::of::<$replicas>();

        #[::faiss_derive::methods]
        impl $replicas {
            /// Of indexes of dimension `d`; 0 for that of the first that is added.
            #[new]
            pub fn new(d: i64, #[default = true] threaded: bool) -> Result<Self> {
                Ok($replicas { parts: Parts::new(d)?, threaded })
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

        impl $replicas {
            fn first(&self) -> Result<&Part> {
                self.parts.parts.first().ok_or_else(|| Error::failed("count() > 0", "no replicas in index"))
            }

            /// Does the same to all.
            fn each(&mut self, change: impl Fn(&mut dyn $index) -> Result<()> + Sync) -> Result<()> {
                self.check_any()?;
                let done = self.parts.on_each(self.threaded, |_, part| change(&mut *part.write()));
                self.parts.sync(false);
                done
            }
        }

        impl $index for $replicas {
            $($base)*

            fn train(&mut self, x: &[$number]) -> Result<()> {
                self.each(|part| part.train(x))
            }
            fn add(&mut self, x: &[$number]) -> Result<()> {
                self.each(|part| part.add(x))
            }
            fn add_with_ids(&mut self, x: &[$number], ids: &[i64]) -> Result<()> {
                self.each(|part| part.add_with_ids(x, ids))
            }
            fn search(
                &self,
                x: &[$number],
                k: usize,
                params: Option<&dyn Object>,
                distances: &mut [$distance],
                labels: &mut [i64],
            ) -> Result<()> {
                let n = self.queries(x, k, distances, labels)?;
                let (count, size) = (self.parts.parts.len(), self.$size());
                if !self.threaded || count < 2 || n < count || size == 0 {
                    return self.first()?.read().search(x, k, params, distances, labels);
                }
                let share = n.div_ceil(count);
                let results = distances.chunks_mut(share * k).zip(labels.chunks_mut(share * k));
                let shares: Vec<_> = x.chunks(share * size).zip(results).map(::parking_lot::Mutex::new).collect();
                self.parts.on_each(true, |i, part| {
                    let Some(share) = shares.get(i) else { return Ok(()) };
                    let (x, (distances, labels)) = &mut *share.lock();
                    part.read().search(x, k, params, distances, labels)
                })
            }
            fn reset(&mut self) -> Result<()> {
                let done = self.parts.on_each(self.threaded, |_, part| part.write().reset());
                self.parts.sync(false);
                done
            }
            fn reconstruct(&self, key: i64, out: &mut [$number]) -> Result<()> {
                self.first()?.read().reconstruct(key, out)
            }
        }
    };
}
