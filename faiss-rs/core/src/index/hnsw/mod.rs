//! Indexes that search stored vectors along the links of a hierarchical graph, one file a kind of storage. The graph itself is in
//! [`crate::graph`]; `level_0` has the ways to change its lowest level.

pub mod cagra;
pub(super) mod computer;
pub mod flat;
pub mod flat_panorama;
mod level_0;
pub mod params;
pub mod pq;
pub mod rabitq;
pub mod sq;
mod staged;
pub mod two_level;

use faiss_derive::{Object, methods};

use super::flat::IndexFlat;
use super::flat_codes::IndexFlatCodes;
use super::ivf::methods::{Found, preassigned};
use super::stats::{HNSW_STATS, HNSWStats, RABITQ_STATS, RaBitQStats};
use super::{DistanceComputer, Index, IndexBase, RangeSearchResult, selector};
use crate::base::declare::Array;
use crate::base::object::{FieldMut, Object, cast, cast_mut};
use crate::base::{Error, MetricType, Result, Shared, Value, threads};
use crate::distance::collect::{Collector, Hit, InRange, Reservoir, order};
use crate::distance::results::{InRadius, TopK};
use crate::graph::hnsw::{AddOptions, SearchOptions};
use crate::graph::queue::Node;
use crate::graph::visited::Shelf;
use crate::graph::{HNSW, Keys, Stats};
use crate::index::header::{Storage, check_storage};
use crate::index::tuning::Tuned;
use crate::registry::Row;
use crate::selector::IDSelectorRange;
use crate::stream::fields::Form;
use crate::stream::{Reader, Writer};

use params::SearchParametersHNSW;

/// Searches the vectors of `storage` along the links of a hierarchical graph.
///
/// `hnsw.efConstruction` and `hnsw.efSearch` are the candidates kept while vectors are added and searched: more find more and take longer. Vectors
/// can't be removed. Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using hierarchical navigable small world
/// graphs, 2018.
#[derive(Object, Clone)]
#[object(methods, implements(Index, Tuned), copy(storage, own_fields = true))]
pub struct IndexHNSW {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// The graph.
    pub hnsw: HNSW,
    /// Whether the storage belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Holds the vectors and compares queries with them.
    pub storage: Option<Shared<dyn Index>>,
    /// Whether `add` links the vectors that have no other level than the lowest.
    #[object(default = true)]
    pub init_level0: bool,
    /// Whether lists of links at the lowest level are filled up with the nearest vectors.
    pub keep_max_size_level0: bool,
}

pub(crate) const ROW: Row = Row::of::<IndexHNSW>().format(crate::file_format!(IndexHNSW, ["IH00"], |index| {
    *index;
}));

/// `over!(storage, |make| body)`: the body with `make`, which makes what compares vectors of the storage, of a type that is known where the
/// vectors are stored as they are, so that no pair costs a virtual call.
macro_rules! over {
    ($storage:expr, |$make:ident| $body:expr) => {{
        let (storage, metric): (&dyn Index, _) = ($storage, $storage.base().metric_type);
        match cast::<IndexFlat>(storage) {
            Some(flat) => {
                let $make = || Ok(Keys::new(flat.computer()?, metric));
                $body
            }
            None => {
                let $make = || Ok(Keys::new(storage.get_distance_computer()?, metric));
                $body
            }
        }
    }};
}
pub(super) use over;

#[methods(new)]
impl IndexHNSW {
    /// Without storage, to which `storage` is set later.
    #[new]
    pub fn new(d: i64, #[default = 32] M: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let mut hnsw = HNSW::new(M)?;
        hnsw.is_similarity = metric.is_similarity();
        Ok(IndexHNSW { base: IndexBase::new(d, metric)?, hnsw, ..Default::default() })
    }

    /// Over a storage.
    #[new]
    pub fn over(storage: Shared<dyn Index>, #[default = 32] M: i32) -> Result<Self> {
        let base = IndexBase { ntotal: 0, verbose: false, is_trained: true, ..storage.read().base().clone() };
        let mut hnsw = HNSW::new(M)?;
        hnsw.is_similarity = base.metric_type.is_similarity();
        Ok(IndexHNSW { base, hnsw, storage: Some(storage), ..Default::default() })
    }

    /// Searches the lowest level alone, from `nprobe` given vertices a query: a search from each (`search_type` 1) or one from all (2).
    #[name = "search_level_0"]
    fn found_at_level_0(
        &self,
        x: Array<'_, f32>,
        k: usize,
        nearest: &[i32],
        nearest_d: &[f32],
        #[default = 1] nprobe: usize,
        #[default = 1] search_type: i32,
        #[class = "SearchParameters"]
        #[default = None]
        params: Option<&dyn Object>,
    ) -> Result<Found> {
        let n = x.shape.first().copied().unwrap_or(0);
        preassigned(n, k, |distances, labels| {
            self.search_level_0(x.items, k, nearest, nearest_d, distances, labels, nprobe, search_type, params)
        })
    }

    /// Links every vector at the lowest level with those of its k given neighbours (ntotal, k) that lie in different directions.
    #[name = "init_level_0_from_knngraph"]
    fn link_level_0_from_knngraph(&mut self, k: usize, D: &[f32], I: &[i64]) -> Result<()> {
        self.init_level_0_from_knngraph(k, D, I)
    }

    /// Links vectors at the lowest level, each by a search that begins at a given vertex.
    #[name = "init_level_0_from_entry_points"]
    fn link_level_0_from_entry_points(&mut self, points: &[i32], nearests: &[i32]) -> Result<()> {
        self.init_level_0_from_entry_points(points, nearests)
    }

    /// Puts the links of the lowest level in order, the nearest first.
    #[name = "reorder_links"]
    fn order_links(&mut self) -> Result<()> {
        self.reorder_links()
    }

    /// Leaves every vertex at most `size` links at the lowest level, in different directions.
    #[name = "shrink_level_0_neighbors"]
    fn shrink_level_0(&mut self, size: usize) -> Result<()> {
        self.shrink_level_0_neighbors(size)
    }

    /// Prints how many vertices no link of the lowest level leads to. As in Faiss, it links none of them.
    fn link_singletons(&self) -> Result<()> {
        let (alone, higher) = self.singletons()?;
        println!("search for singletons");
        println!("  Found {} / {} singletons ({higher} appear in a level above)", alone.len(), self.ntotal);
        Ok(())
    }

    /// Reorders the vectors: vector i becomes what vector perm[i] was. `perm` is a permutation of 0..ntotal.
    #[name = "permute_entries"]
    fn permute(&mut self, perm: &[i64]) -> Result<()> {
        self.permute_entries(perm)
    }
}

impl IndexHNSW {
    /// Vector i becomes what vector `perm[i]` was, in the graph and in the storage.
    pub fn permute_entries(&mut self, perm: &[i64]) -> Result<()> {
        let storage = self.storage()?.clone();
        let mut storage = storage.write();
        let Some(codes) = cast_mut::<IndexFlatCodes>(&mut *storage) else {
            return Err(Error::failed("index_flat_codes", "the storage is no index of flat codes"));
        };
        Error::check(codes.ntotal == self.ntotal, "storage->ntotal == ntotal")?;
        self.hnsw.permute_entries(perm)?;
        codes.permute_entries(perm)
    }

    pub(super) fn storage(&self) -> Result<&Shared<dyn Index>> {
        let missing = "Please use IndexHNSWFlat (or variants) instead of IndexHNSW directly";
        self.storage.as_ref().ok_or_else(|| Error::failed("storage", missing))
    }

    /// The number of vertices, after a check that the storage has their vectors.
    pub(super) fn vertices(&self, storage: &dyn Index) -> Result<usize> {
        let n = self.hnsw.vertices()?;
        Error::check(storage.base().d == self.d, "storage->d == d")?;
        Error::check(n as i64 == self.ntotal && storage.base().ntotal >= self.ntotal, "storage->ntotal == ntotal")?;
        Ok(n)
    }

    fn options(&self, params: Option<&dyn Object>) -> SearchOptions {
        match params.and_then(cast::<SearchParametersHNSW>) {
            Some(own) => SearchOptions {
                ef_search: own.efSearch,
                relative: own.check_relative_distance,
                bounded: own.bounded_queue,
            },
            None => self.hnsw.options(),
        }
    }

    /// Calls `search` for each query, with its number and what compares it, on several threads.
    fn each_query<C: DistanceComputer>(
        &self,
        x: &[f32],
        n: usize,
        make: impl Fn() -> Result<Keys<C>> + Sync,
        search: impl Fn(usize, &Keys<C>, &mut Stats) -> Result<()> + Sync,
    ) -> Result<()> {
        let (d, computers) = (self.dim(), Shelf::<(Keys<C>, Stats)>::default());
        threads::parallel_for(n, |q| {
            let (mut keys, mut stats) = match computers.take() {
                Some(taken) => taken,
                None => (make()?, Stats::default()),
            };
            keys.set_query(&x[q * d..(q + 1) * d])?;
            search(q, &keys, &mut stats)?;
            computers.put((keys, stats));
            Ok(())
        })?;
        let mut sum = Stats::default();
        while let Some((_, stats)) = computers.take() {
            sum.add(&stats);
        }
        HNSW_STATS.write().add(&HNSWStats { n1: sum.n1, n2: sum.n2, ndis: sum.ndis, nhops: sum.nhops });
        if sum.estimated > 0 {
            RABITQ_STATS.write().add(&RaBitQStats { n_1bit: sum.estimated, n_refine: sum.refined });
        }
        Ok(())
    }

    /// All that a search sees in range; at the lowest level alone where a vertex and its key are given for each query.
    pub(super) fn range_search_from(
        &self,
        x: &[f32],
        radius: f32,
        params: Option<&dyn Object>,
        starts: Option<&[Node]>,
    ) -> Result<RangeSearchResult> {
        let n = self.rows(x)?;
        let storage = self.storage()?.read();
        let vertices = self.vertices(&*storage)?;
        let (options, sel) = (self.options(params), selector(params));
        if self.is_staged(&*storage, options.bounded)? {
            return self.range_search_signs_first(&*storage, x, radius, params);
        }
        let sel = sel.as_ref().map(|sel| sel.read());
        let out = InRadius::new(self.metric_type, n);
        let limit = out.limit(radius);
        over!(&*storage, |make| self.each_query(x, n, make, |q, keys, stats| {
            let (mut scratch, mut found) = (self.hnsw.scratch(), InRange::new(limit));
            let seen = |vertex: u32, key: f32| {
                if key < limit && sel.as_ref().is_none_or(|sel| sel.is_member(i64::from(vertex))) {
                    found.push(key, i64::from(vertex));
                }
            };
            match starts {
                None => self.hnsw.search(keys, 1, options, &mut scratch, stats, seen)?,
                Some(starts) => {
                    scratch.visited.start(vertices);
                    self.hnsw.search_level_0(keys, &starts[q..q + 1], 1, options, &mut scratch, stats, seen)?;
                }
            }
            self.hnsw.keep(scratch);
            out.put(q, found.finish());
            Ok(())
        }))?;
        Ok(out.finish())
    }
}

crate::stored!(IndexHNSW, |index| {
    index.base;
    *index => Rest;
});

/// What follows the header of a graph's index, and the fields that some kinds have behind it.
pub(crate) struct Rest;

impl Form<IndexHNSW> for Rest {
    fn read(&self, index: &mut IndexHNSW, input: &mut Reader<'_>) -> Result<()> {
        crate::read_fields!(input; index { index.hnsw; index.storage => Storage; });
        index.hnsw.check_read(index.ntotal)?;
        index.hnsw.is_similarity = index.metric_type.is_similarity();
        check_storage(index.storage.as_ref(), &index.base)?;
        if let Some(storage) = &index.storage {
            let same = storage.read().base().metric_type == index.metric_type;
            Error::check(same, "storage->metric_type == metric_type")?;
        }
        index.own_fields = index.storage.is_some();
        Ok(())
    }
    fn write(&self, index: &IndexHNSW, out: &mut Writer<'_>) -> Result<()> {
        crate::write_fields!(out; index { index.hnsw; index.storage => Storage; });
        Ok(())
    }
}

impl Index for IndexHNSW {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        let storage = self.storage()?.clone();
        storage.write().train(x)?;
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        let storage = self.storage()?.clone();
        Error::check(self.is_trained, "is_trained")?;
        let (n, d, before) = (self.rows(x)?, self.dim(), self.ntotal);
        let mut storage = storage.write();
        Error::check(storage.base().d == self.d, "storage->d == d")?;
        Error::check(storage.base().ntotal == before, "storage->ntotal == ntotal")?;
        Error::check(self.hnsw.offsets.len() as i64 == before + 1, "hnsw.offsets.size() == ntotal + 1")?;
        if n == 0 {
            return Ok(());
        }
        storage.add(x)?;
        let options = AddOptions { keep_max_size_level0: self.keep_max_size_level0, init_level0: self.init_level0 };
        let hnsw = &mut self.hnsw;
        let linked = over!(&*storage, |make| hnsw
            .add_vertices(n, options, make, |keys, i| { keys.set_query(&x[i * d..(i + 1) * d]) }));
        match linked {
            Ok(()) => self.ntotal = storage.base().ntotal,
            Err(error) => {
                // The graph is as before, and so becomes the storage.
                storage.remove_ids(&IDSelectorRange::new(before, i64::MAX))?;
                return Err(error);
            }
        }
        Ok(())
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
        let storage = self.storage()?.read();
        self.vertices(&*storage)?;
        let (options, sel) = (self.options(params), selector(params));
        let out = TopK::new(self.metric_type, k, distances, labels);
        if self.is_staged(&*storage, options.bounded)? {
            return self.search_signs_first(&*storage, x, k, params, None, &out);
        }
        let sel = sel.as_ref().map(|sel| sel.read());
        over!(&*storage, |make| self.each_query(x, n, make, |q, keys, stats| {
            let mut scratch = self.hnsw.scratch();
            match &sel {
                None => {
                    self.hnsw.search(keys, k, options, &mut scratch, stats, |_, _| {})?;
                    let hits = scratch.pool.nodes().take(k).filter(|node| node.key < f32::MAX);
                    let mut hits: Vec<Hit> = hits.map(|node| (node.key, i64::from(node.vertex))).collect();
                    // Of equal keys, which the pool has in any order.
                    hits.sort_by(order);
                    out.write(q, &hits);
                }
                Some(sel) => {
                    let mut found = Reservoir::new(k);
                    self.hnsw.search(keys, k, options, &mut scratch, stats, |vertex, key| {
                        if key < found.threshold() && sel.is_member(i64::from(vertex)) {
                            found.push(key, i64::from(vertex));
                        }
                    })?;
                    out.write(q, &found.finish());
                }
            }
            self.hnsw.keep(scratch);
            Ok(())
        }))
    }
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.range_search_from(x, radius, params, None)
    }
    fn reset(&mut self) -> Result<()> {
        if let Some(storage) = &self.storage {
            storage.write().reset()?;
        }
        self.hnsw.reset();
        self.ntotal = 0;
        Ok(())
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.storage()?.read().reconstruct(key, out)
    }
    fn search_subset(
        &self,
        x: &[f32],
        k_base: usize,
        base_labels: &[i64],
        k: usize,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.storage()?.read().search_subset(x, k_base, base_labels, k, distances, labels)
    }
    fn get_distance_computer(&self) -> Result<Box<dyn DistanceComputer + '_>> {
        Ok(Box::new(computer::OfShared::new(self.storage()?)?))
    }
}

impl Tuned for IndexHNSW {
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        let value = Value::Int(value as i64);
        match name {
            "efSearch" => Some(self.hnsw.efSearch.set(value)),
            "efConstruction" => Some(self.hnsw.efConstruction.set(value)),
            _ => None,
        }
    }
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![("efSearch", (2..10).map(|i| f64::from(1 << i)).collect())]
    }
}
