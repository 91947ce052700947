//! Indexes that search stored vectors along the links of a navigating spreading-out graph.

use faiss_derive::{Object, methods};

use super::flat::IndexFlat;
use super::pq::IndexPQ;
use super::scalar::IndexScalarQuantizer;
use super::{Index, IndexBase};
use crate::base::object::Object;
use crate::base::{Error, Handle, MetricType, Result, Shared, threads};
use crate::distance::DistanceComputer;
use crate::distance::collect::Hit;
use crate::distance::results::TopK;
use crate::grammar::{Grammar, PqPart, number, sq_part};
use crate::graph::Keys;
use crate::graph::nn_descent::NNDescent;
use crate::graph::nsg::{NSG, known_neighbours};
use crate::graph::visited::Shelf;
use crate::index::header::{Storage, check_storage};
use crate::registry::Row;

/// Of so many vectors the nearest neighbours of each are searched for exactly, which takes no longer than to approximate them.
const MAX_EXACT: usize = 20_000;
/// So many more neighbours than are wanted NNDescent keeps at least.
const POOL: i32 = 50;
/// Queries whose neighbours are searched for at a time.
const BLOCK: usize = 4096;

/// Searches the vectors of `storage` along the links of a graph that is built once.
///
/// Fu, Xiang, Wang and Cai, Fast approximate nearest neighbor search with the navigating spreading-out graph, 2019.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy(storage, own_fields = true))]
pub struct IndexNSG {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// The graph.
    pub nsg: NSG,
    /// Whether the storage belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Holds the vectors and compares queries with them.
    pub storage: Option<Shared<dyn Index>>,
    /// Whether there is a graph.
    pub is_built: bool,
    /// Nearest neighbours of each vector that the graph is built from.
    #[object(default = 64)]
    pub GK: i32,
    /// How those are found: 0 by exact search; 1 by [`NNDescent`] where there are many vectors.
    #[object(default = 1)]
    pub build_type: u8,
    /// [`NNDescent::S`].
    #[object(default = 10)]
    pub nndescent_S: i32,
    /// [`NNDescent::R`].
    #[object(default = 100)]
    pub nndescent_R: i32,
    /// [`NNDescent::L`]; at least GK + 50.
    #[object(default = 114)]
    pub nndescent_L: i32,
    /// [`NNDescent::iter`].
    #[object(default = 10)]
    pub nndescent_iter: i32,
}

pub(crate) const ROW: Row = Row::of::<IndexNSG>();

#[methods(new)]
impl IndexNSG {
    /// Without storage, to which `storage` is set later.
    #[new]
    pub fn new(d: i64, #[default = 32] R: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        Ok(IndexNSG { base: IndexBase::new(d, metric)?, nsg: NSG::new(R), ..Default::default() })
    }

    /// Over a storage.
    #[new]
    pub fn over(storage: Shared<dyn Index>, #[default = 32] R: i32) -> Result<Self> {
        let base = IndexBase { ntotal: 0, verbose: false, ..storage.read().base().clone() };
        Ok(IndexNSG { base, nsg: NSG::new(R), storage: Some(storage), ..Default::default() })
    }

    /// Adds vectors (n, d) and builds the graph from the nearest neighbours of each (n, K).
    #[name = "build"]
    fn of_neighbours(&mut self, x: &[f32], knn_graph: &[i64]) -> Result<()> {
        self.build_from(x, knn_graph)
    }

    /// An error where a graph of nearest neighbours (n, K) has too many numbers that are no vectors.
    fn check_knn_graph(&self, knn_graph: &[i64], n: usize) -> Result<()> {
        known_neighbours(knn_graph, n).map(drop)
    }
}

impl IndexNSG {
    /// Adds vectors and builds the graph from their nearest neighbours `knn_graph`, as many numbers of vectors for each. A few that are no vectors,
    /// or the vector itself, are left out.
    pub fn build_from(&mut self, x: &[f32], knn_graph: &[i64]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        if self.is_built || self.ntotal != 0 {
            return Err(Error::failed("!(!is_built && ntotal == 0)", "The IndexNSG is already built"));
        }
        let n = self.rows(x)?;
        let neighbours = known_neighbours(knn_graph, n)?;
        let storage = self.storage()?.clone();
        storage.write().add(x)?;
        self.ntotal = storage.read().base().ntotal;
        let built = self.link(Some(neighbours));
        if built.is_err() {
            storage.write().reset()?;
            self.ntotal = 0;
        }
        built
    }

    fn storage(&self) -> Result<&Shared<dyn Index>> {
        let missing = "Please use IndexNSGFlat (or variants) instead of IndexNSG directly";
        self.storage.as_ref().ok_or_else(|| Error::failed("storage", missing))
    }

    /// The nearest neighbours of each stored vector, itself not among them.
    fn neighbours(&self, storage: &dyn Index, k: usize) -> Result<Vec<Vec<u32>>> {
        let (n, d) = (usize::try_from(storage.base().ntotal).unwrap_or(0), self.dim());
        if self.build_type == 1 && n > MAX_EXACT {
            return self.descended(storage, n, k);
        }
        let mut vectors = vec![0f32; BLOCK.min(n) * d];
        let mut all = Vec::with_capacity(n);
        for first in (0..n).step_by(BLOCK) {
            crate::base::interrupt::check()?;
            let rows = (n - first).min(BLOCK);
            let x = &mut vectors[..rows * d];
            storage.reconstruct_n(first as i64, rows, x)?;
            let mut labels = vec![-1i64; rows * (k + 1)];
            storage.assign(x, k + 1, &mut labels)?;
            for (i, own) in labels.chunks_exact(k + 1).enumerate() {
                let others = own.iter().filter(|id| **id >= 0 && **id != (first + i) as i64);
                all.push(others.take(k).map(|id| *id as u32).collect());
            }
        }
        Ok(all)
    }

    /// The same, as NNDescent finds them.
    fn descended(&self, storage: &dyn Index, n: usize, k: usize) -> Result<Vec<Vec<u32>>> {
        let small = |v: usize| i32::try_from(v).unwrap_or(i32::MAX);
        let mut descent = NNDescent::new(self.base.d, small(k));
        (descent.S, descent.R, descent.iter) = (self.nndescent_S, self.nndescent_R, self.nndescent_iter);
        descent.L = self.nndescent_L.max(small(k).saturating_add(POOL));
        descent.build(n, || Ok(Keys::new(storage.get_distance_computer()?, storage.base().metric_type)))?;
        let rows = descent.final_graph.chunks_exact(k);
        Ok(rows.map(|row| row.iter().map(|id| *id as u32).collect()).collect())
    }

    /// Builds the graph over what is stored, from the given nearest neighbours or from those that it finds.
    fn link(&mut self, given: Option<Vec<Vec<u32>>>) -> Result<()> {
        let handle = self.storage()?.clone();
        let storage = handle.read();
        let n = usize::try_from(storage.base().ntotal).unwrap_or(0);
        let k = usize::try_from(self.GK).ok().filter(|k| *k > 0);
        let k = k.ok_or_else(|| Error::failed("GK > 0", "the graph is built from nearest neighbours"))?;
        let neighbours = match given {
            Some(neighbours) => neighbours,
            None => self.neighbours(&*storage, k.min(n.saturating_sub(1)))?,
        };
        if let Err(error) = self.nsg.build_over(&*storage, neighbours) {
            self.nsg.reset();
            return Err(error);
        }
        self.is_built = true;
        Ok(())
    }
}

crate::stored!(IndexNSG, |index| {
    index.base;
    index.GK;
    index.build_type;
    index.nndescent_S;
    index.nndescent_R;
    index.nndescent_L;
    index.nndescent_iter;
    index.nsg;
    index.storage => Storage;
    read {
        check_storage(index.storage.as_ref(), &index.base)?;
        let same = !index.nsg.is_built || i64::from(index.nsg.ntotal) == index.ntotal;
        Error::check(same, "nsg.ntotal == ntotal")?;
        (index.own_fields, index.is_built) = (true, index.nsg.is_built);
    }
});

impl Index for IndexNSG {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.storage()?.write().train(x)?;
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        Error::check(self.is_trained, "is_trained")?;
        if self.is_built || self.ntotal != 0 {
            return Err(Error::failed("!(!is_built && ntotal == 0)", "NSG does not support incremental addition"));
        }
        let storage = self.storage()?.clone();
        {
            let mut storage = storage.write();
            storage.add(x)?;
            self.ntotal = storage.base().ntotal;
        }
        let built = self.link(None);
        if built.is_err() {
            storage.write().reset()?;
            self.ntotal = 0;
        }
        built
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.queries(x, k, distances, labels)?;
        let storage = self.storage()?.read();
        let out = TopK::new(self.metric_type, k, distances, labels);
        search_along(&self.base, &*storage, self.nsg.vertices()?, x, params, out, |keys| Ok(self.nsg.search(keys, k)))
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.storage()?.read().reconstruct(key, out)
    }
    fn reset(&mut self) -> Result<()> {
        self.storage()?.write().reset()?;
        self.nsg.reset();
        (self.ntotal, self.is_built) = (0, false);
        Ok(())
    }
}

/// Searches that follow the links between `vertices` vectors of a storage: `find` gives the nearest of one query.
pub(super) fn search_along(
    base: &IndexBase,
    storage: &dyn Index,
    vertices: usize,
    x: &[f32],
    params: Option<&dyn Object>,
    out: TopK<'_>,
    find: impl Fn(&Keys<Box<dyn DistanceComputer + '_>>) -> Result<Vec<Hit>> + Sync,
) -> Result<()> {
    if params.is_some() {
        return Err(Error::failed("!params", "search params not supported for this index"));
    }
    let fits = storage.base().ntotal == vertices as i64 && storage.base().d == base.d;
    Error::check(fits, "storage->ntotal == ntotal")?;
    let d = base.dim();
    let state = Shelf::default();
    threads::parallel_for(out.len(), |q| {
        let mut keys = match state.take() {
            Some(keys) => keys,
            None => Keys::new(storage.get_distance_computer()?, base.metric_type),
        };
        keys.set_query(&x[q * d..(q + 1) * d])?;
        out.write(q, &find(&keys)?);
        state.put(keys);
        Ok(())
    })
}

/// The links and the storage of a description such as `NSG32_PQ8`.
fn parts(part: &str) -> Option<(i32, &str)> {
    let rest = part.strip_prefix("NSG")?;
    let (links, storage) = rest.split_once('_').unwrap_or((rest, ""));
    let links = if links.is_empty() { 32 } else { i32::try_from(number(links)?).ok()? };
    Some((links, storage))
}

macro_rules! kind {
    ($(#[$doc:meta])* $ty:ident, $row:ident, $code:literal, $grammar:expr) => {
        $(#[$doc])*
        #[derive(Object, Default)]
        #[object(methods, implements(Index), copy(graph))]
        pub struct $ty {
            /// The graph and its storage.
            #[object(parent)]
            pub graph: IndexNSG,
        }

        pub(crate) const $row: Row = Row::of::<$ty>().grammar(Grammar::Index($grammar)).format(crate::file_format!($ty, [$code], |index| { index.graph; }));

        impl Index for $ty {
            crate::inherit_index!(graph);
        }
    };
}

kind!(
    /// Stores the full vectors (`4 * d` bytes each) and searches them along the links of a graph that is built once.
    IndexNSGFlat, FLAT, "INSf",
    |d, part, metric| match parts(part) {
        Some((links, "" | "Flat")) => Ok(Some(Handle::new(IndexNSGFlat::new(d, links, metric)?))),
        _ => Ok(None),
    }
);
kind!(
    /// Stores product-quantized codes and searches them along the links of a graph that is built once.
    IndexNSGPQ, PQ, "INSp",
    |d, part, _| {
        let Some((links, storage)) = parts(part) else { return Ok(None) };
        let Some(pq) = PqPart::parse(storage) else { return Ok(None) };
        Ok(Some(Handle::new(IndexNSGPQ::new(d, pq.m, links, pq.nbits)?)))
    }
);
kind!(
    /// Stores scalar-quantized codes and searches them along the links of a graph that is built once.
    IndexNSGSQ, SQ, "INSs",
    |d, part, metric| {
        let Some((links, storage)) = parts(part) else { return Ok(None) };
        let Some(qtype) = sq_part(storage) else { return Ok(None) };
        Ok(Some(Handle::new(IndexNSGSQ::new(d, qtype, links, metric)?)))
    }
);

fn owning(storage: Shared<dyn Index>, links: i32) -> Result<IndexNSG> {
    Ok(IndexNSG { own_fields: true, ..IndexNSG::over(storage, links)? })
}

#[methods(new)]
impl IndexNSGFlat {
    /// Over vectors as they are, with `R` links each.
    #[new]
    pub fn new(d: i64, R: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        Ok(IndexNSGFlat { graph: owning(Shared::new(IndexFlat::new(d, metric)?), R)? })
    }
}

#[methods(new)]
impl IndexNSGPQ {
    /// Over product-quantized codes of `pq_M` parts and `pq_nbits` bits, with `M` links each.
    #[new]
    pub fn new(d: i64, pq_M: usize, M: i32, #[default = 8] pq_nbits: usize) -> Result<Self> {
        let storage = IndexPQ::new(d, pq_M, pq_nbits, MetricType::L2)?;
        Ok(IndexNSGPQ { graph: owning(Shared::new(storage), M)? })
    }
}

#[methods(new)]
impl IndexNSGSQ {
    /// Over scalar-quantized codes, with `M` links each; `qtype` is one of the `QT_` constants.
    #[new]
    pub fn new(d: i64, qtype: i32, M: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let storage = IndexScalarQuantizer::new(d, qtype, metric)?;
        Ok(IndexNSGSQ { graph: owning(Shared::new(storage), M)? })
    }
}
