//! Binary vectors searched along the links of a hierarchical graph.

use faiss_derive::{Object, methods};

use super::flat::IndexBinaryFlat;
use super::{IndexBinary, IndexBinaryBase, binary_base, hamming, header};
use crate::base::object::{Object, cast};
use crate::base::{Error, MetricType, Result, Shared, interrupt, threads};
use crate::distance::DistanceComputer;
use crate::distance::collect::{Collector, Reservoir};
use crate::distance::results::TopK;
use crate::graph::hnsw::{AddOptions, SearchOptions};
use crate::graph::queue::Node;
use crate::graph::visited::Shelf;
use crate::graph::{HNSW, Keys, Stats};
use crate::index::hnsw::params::SearchParametersHNSW;
use crate::index::selector;
use crate::index::stats::{HNSW_STATS, HNSWStats};
use crate::random::RandomGenerator;
use crate::registry::Row;
use crate::selector::IDSelectorRange;
use crate::stream::fields::Form;
use crate::stream::{Reader, Writer};

/// Searches the binary vectors of `storage` along the links of a hierarchical graph.
#[derive(Object, Clone)]
#[object(methods, implements(IndexBinary), copy(storage, own_fields = true))]
pub struct IndexBinaryHNSW {
    /// What every binary index has.
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// The graph.
    pub hnsw: HNSW,
    /// Whether the storage belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Holds the vectors: an IndexBinaryFlat.
    pub storage: Option<Shared<dyn IndexBinary>>,
    /// Whether `add` links the vectors that have no other level than the lowest.
    #[object(default = true)]
    pub init_level0: bool,
    /// Whether lists of links at the lowest level are filled up with the nearest vectors.
    pub keep_max_size_level0: bool,
}

pub(crate) const ROW: Row =
    Row::of::<IndexBinaryHNSW>().format(crate::file_format!(IndexBinaryHNSW, ["IBHf"], |index| {
        index.base;
        *index => Rest;
    }));

/// Compares codes for a graph.
struct Computer<'a> {
    codes: &'a [u8],
    size: usize,
    query: Vec<u8>,
}

impl Computer<'_> {
    fn code(&self, i: usize) -> &[u8] {
        &self.codes[i * self.size..(i + 1) * self.size]
    }

    /// `code` has as many bytes as a stored one.
    fn set_code(&mut self, code: &[u8]) {
        self.query.copy_from_slice(code);
    }
}

impl DistanceComputer for Computer<'_> {
    fn set_query(&mut self, _x: &[f32]) -> Result<()> {
        Err(Error::failed("", "queries are codes here"))
    }
    fn distance(&self, i: usize) -> f32 {
        hamming::hamming(&self.query, self.code(i)) as f32
    }
    fn symmetric_distance(&self, i: usize, j: usize) -> f32 {
        hamming::hamming(self.code(i), self.code(j)) as f32
    }
    fn prefetch(&self, i: usize) {
        crate::simd::prefetch(self.code(i));
    }
}

#[methods(new)]
impl IndexBinaryHNSW {
    /// An empty index over vectors of `d` bits, with `M` links a vector and twice as many at the lowest level.
    #[new]
    pub fn new(d: i64, #[default = 32] M: i32) -> Result<Self> {
        let mut index = Self::over(Shared::new(IndexBinaryFlat::new(d)?), M)?;
        index.own_fields = true;
        Ok(index)
    }

    /// Over a storage.
    #[new]
    pub fn over(storage: Shared<dyn IndexBinary>, #[default = 32] M: i32) -> Result<Self> {
        let base = IndexBinaryBase { ntotal: 0, verbose: false, is_trained: true, ..storage.read().base().clone() };
        Ok(IndexBinaryHNSW { base, hnsw: HNSW::new(M)?, storage: Some(storage), ..Default::default() })
    }
}

impl IndexBinaryHNSW {
    fn storage(&self) -> Result<&Shared<dyn IndexBinary>> {
        self.storage.as_ref().ok_or_else(|| Error::failed("storage", "the index has no storage"))
    }

    /// What compares the vectors of the storage.
    fn keys<'a>(&self, storage: &'a dyn IndexBinary) -> Result<Keys<Computer<'a>>> {
        let not_flat = || Error::failed("storage", "the storage of an IndexBinaryHNSW is an IndexBinaryFlat");
        let flat = cast::<IndexBinaryFlat>(storage).ok_or_else(not_flat)?;
        let (codes, size) = (flat.vectors()?, self.bytes());
        Ok(Keys::new(Computer { codes, size, query: vec![0; size] }, MetricType::L2))
    }

    /// The number of vertices, after a check that the storage has their vectors.
    fn vertices(&self, storage: &dyn IndexBinary) -> Result<usize> {
        let n = self.hnsw.vertices()?;
        Error::check(storage.base().d == self.d, "storage->d == d")?;
        Error::check(n as i64 == self.ntotal && storage.base().ntotal >= self.ntotal, "storage->ntotal == ntotal")?;
        Ok(n)
    }

    fn options(&self, params: Option<&dyn Object>) -> Result<SearchOptions> {
        let Some(params) = params else { return Ok(self.hnsw.options()) };
        let wrong = || Error::failed("!(params)", "IndexBinaryHNSW params have incorrect type");
        let own = cast::<SearchParametersHNSW>(params).ok_or_else(wrong)?;
        Ok(SearchOptions { ef_search: own.efSearch, relative: own.check_relative_distance, bounded: own.bounded_queue })
    }

    /// The `k` nearest of what a search sees; at the lowest level alone from the vertices that `starts` gives for each query.
    fn search_from(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        starts: Option<&[Node]>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        let storage = self.storage()?.read();
        let vertices = self.vertices(&*storage)?;
        let (options, sel, size) = (self.options(params)?, selector(params), self.bytes());
        let sel = sel.as_ref().map(|sel| sel.read());
        let (out, computers) = (TopK::whole(k, distances, labels), Shelf::<(Keys<Computer<'_>>, Stats)>::default());
        threads::parallel_for(n, |q| {
            interrupt::check()?;
            let (mut keys, mut stats) = match computers.take() {
                Some(taken) => taken,
                None => (self.keys(&*storage)?, Stats::default()),
            };
            keys.computer_mut().set_code(&x[q * size..(q + 1) * size]);
            let (mut scratch, mut found) = (self.hnsw.scratch(), Reservoir::new(k));
            let seen = |vertex: u32, key: f32| {
                if key < found.threshold() && sel.as_ref().is_none_or(|sel| sel.is_member(i64::from(vertex))) {
                    found.push(key, i64::from(vertex));
                }
            };
            match starts {
                None => self.hnsw.search(&keys, k, options, &mut scratch, &mut stats, seen)?,
                Some(starts) => {
                    scratch.visited.start(vertices);
                    self.hnsw.search_level_0(&keys, &starts[q..q + 1], k, options, &mut scratch, &mut stats, seen)?;
                }
            }
            self.hnsw.keep(scratch);
            out.write(q, &found.finish());
            computers.put((keys, stats));
            Ok(())
        })?;
        let mut total = HNSW_STATS.write();
        while let Some((_, stats)) = computers.take() {
            total.add(&HNSWStats { n1: stats.n1, n2: stats.n2, ndis: stats.ndis, nhops: stats.nhops });
        }
        Ok(())
    }
}

/// What follows the header in a file, and the fields that some kinds have behind it.
struct Rest;

impl Form<IndexBinaryHNSW> for Rest {
    fn read(&self, index: &mut IndexBinaryHNSW, input: &mut Reader<'_>) -> Result<()> {
        crate::read_fields!(input; index { index.hnsw; index.storage; });
        index.hnsw.check_read(index.ntotal)?;
        index.own_fields = true;
        header::check_d(index.storage.as_ref(), &index.base)?;
        if let Some(storage) = &index.storage {
            let storage = storage.read();
            Error::check(cast::<IndexBinaryFlat>(&*storage).is_some(), "dynamic_cast<IndexBinaryFlat*>(storage)")?;
            Error::check(storage.base().ntotal == index.ntotal, "storage->ntotal == ntotal")?;
        }
        Ok(())
    }
    fn write(&self, index: &IndexBinaryHNSW, out: &mut Writer<'_>) -> Result<()> {
        crate::write_fields!(out; index { index.hnsw; index.storage; });
        Ok(())
    }
}

impl IndexBinary for IndexBinaryHNSW {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        let storage = self.storage()?.clone();
        storage.write().train(x)?;
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        let (n, size, before) = (self.rows(x)?, self.bytes(), self.ntotal);
        let storage = self.storage()?.clone();
        let mut storage = storage.write();
        self.vertices(&*storage)?;
        Error::check(storage.base().ntotal == before, "storage->ntotal == ntotal")?;
        if n == 0 {
            return Ok(());
        }
        storage.add(x)?;
        let options = AddOptions { keep_max_size_level0: self.keep_max_size_level0, init_level0: self.init_level0 };
        let mut hnsw = std::mem::take(&mut self.hnsw);
        let linked = hnsw.add_vertices(
            n,
            options,
            || self.keys(&*storage),
            |keys, i| {
                keys.computer_mut().set_code(&x[i * size..(i + 1) * size]);
                Ok(())
            },
        );
        self.hnsw = hnsw;
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
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.search_from(x, k, params, None, distances, labels)
    }
    fn reset(&mut self) -> Result<()> {
        let storage = self.storage()?.clone();
        storage.write().reset()?;
        self.hnsw.reset();
        self.ntotal = 0;
        Ok(())
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        self.storage()?.read().reconstruct(key, out)
    }
}

/// A graph as GPUs make it: often with the lowest level alone, which is then entered at random vertices.
#[derive(Object, Clone)]
#[object(methods, implements(IndexBinary), copy(graph))]
pub struct IndexBinaryHNSWCagra {
    /// The graph and its storage.
    #[object(parent)]
    pub graph: IndexBinaryHNSW,
    /// There is no level but the lowest, and nothing can be added.
    pub base_level_only: bool,
    /// With `base_level_only`, the number of random vectors of which the nearest begins a search.
    #[object(default = 32)]
    pub num_base_level_search_entrypoints: i32,
}

pub(crate) const CAGRA: Row =
    Row::of::<IndexBinaryHNSWCagra>().format(crate::file_format!(IndexBinaryHNSWCagra, ["IBHc"], |index| {
        index.base;
        index.keep_max_size_level0;
        index.base_level_only;
        index.num_base_level_search_entrypoints;
        index.graph => Rest;
    }));

#[methods(new)]
impl IndexBinaryHNSWCagra {
    /// An empty index over vectors of `d` bits, with `M` links a vector and twice as many at the lowest level.
    #[new]
    pub fn new(d: i64, M: i32) -> Result<Self> {
        let graph = IndexBinaryHNSW { keep_max_size_level0: true, ..IndexBinaryHNSW::new(d, M)? };
        Ok(IndexBinaryHNSWCagra { graph, ..Default::default() })
    }
}

impl IndexBinaryHNSWCagra {
    /// For each query the nearest of some random vectors, and its distance.
    fn entry_points(&self, x: &[u8]) -> Result<Vec<Node>> {
        let storage = self.storage()?.read();
        let (vertices, size) = (self.vertices(&*storage)?, self.bytes());
        if vertices == 0 || self.num_base_level_search_entrypoints < 1 {
            return Err(Error::failed("!(nearest[i] >= 0)", "Could not find a valid entrypoint."));
        }
        let (mut keys, mut nearest) = (self.keys(&*storage)?, Vec::new());
        for q in 0..self.rows(x)? {
            interrupt::check()?;
            keys.computer_mut().set_code(&x[q * size..(q + 1) * size]);
            let mut rng = RandomGenerator::new(q as i64);
            let mut best = Node { key: f32::INFINITY, vertex: 0 };
            for _ in 0..self.num_base_level_search_entrypoints {
                let vertex = rng.rand_int_max(vertices as i32) as u32;
                let key = keys.key(vertex);
                if key < best.key {
                    best = Node { key, vertex };
                }
            }
            nearest.push(best);
        }
        Ok(nearest)
    }
}

impl IndexBinary for IndexBinaryHNSWCagra {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        self.graph.train(x)
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        if self.base_level_only {
            return Err(Error::failed("base_level_only", "Cannot add vectors when base_level_only is set to True"));
        }
        self.graph.add(x)
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        let starts = if self.base_level_only { Some(self.entry_points(x)?) } else { None };
        self.search_from(x, k, params, starts.as_deref(), distances, labels)
    }
    fn reset(&mut self) -> Result<()> {
        self.graph.reset()
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        self.graph.reconstruct(key, out)
    }
}
