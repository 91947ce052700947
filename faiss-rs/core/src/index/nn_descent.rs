//! Indexes that search stored vectors along a graph of nearest neighbours.

use faiss_derive::{Object, methods};

use super::flat::IndexFlat;
use super::flat_l2::IndexFlatL2;
use super::nsg::search_along;
use super::{Index, IndexBase};
use crate::base::object::Object;
use crate::base::{Error, MetricType, Result, Shared};
use crate::distance::results::TopK;
use crate::graph::Keys;
use crate::graph::nn_descent::NNDescent;
use crate::index::header::{Storage, check_storage};
use crate::registry::Row;
use crate::selector::IDSelectorRange;

/// Searches the vectors of `storage` along the links from each to its nearest neighbours, which all are found anew whenever vectors are added.
///
/// Dong, Moses and Li, Efficient k-nearest neighbor graph construction for generic similarity measures, 2011.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy(storage, own_fields = true))]
pub struct IndexNNDescent {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// The graph.
    pub nndescent: NNDescent,
    /// Whether the storage belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Holds the vectors and compares queries with them.
    pub storage: Option<Shared<dyn Index>>,
}

pub(crate) const ROW: Row = Row::of::<IndexNNDescent>();

#[methods(new)]
impl IndexNNDescent {
    /// Without storage, to which `storage` is set later.
    #[new]
    pub fn new(d: i64, #[default = 32] K: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let base = IndexBase::new(d, metric)?;
        Ok(IndexNNDescent { nndescent: NNDescent::new(base.d, K), base, ..Default::default() })
    }

    /// Over a storage.
    #[new]
    pub fn over(storage: Shared<dyn Index>, #[default = 32] K: i32) -> Result<Self> {
        let base = IndexBase { ntotal: 0, verbose: false, ..storage.read().base().clone() };
        let nndescent = NNDescent::new(base.d, K);
        Ok(IndexNNDescent { base, nndescent, storage: Some(storage), own_fields: false })
    }
}

impl IndexNNDescent {
    fn storage(&self) -> Result<&Shared<dyn Index>> {
        let missing = "Please use IndexNNDescentFlat (or variants) instead of IndexNNDescent directly";
        self.storage.as_ref().ok_or_else(|| Error::failed("storage", missing))
    }
}

crate::stored!(IndexNNDescent, |index| {
    index.base;
    index.nndescent;
    index.storage => Storage;
    read {
        index.own_fields = true;
        check_storage(index.storage.as_ref(), &index.base)?;
        let same = !index.nndescent.has_built || i64::from(index.nndescent.ntotal) == index.ntotal;
        Error::check(same, "nndescent.ntotal == ntotal")?;
    }
});

impl Index for IndexNNDescent {
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
        let handle = self.storage()?.clone();
        let mut storage = handle.write();
        let (before, metric) = (storage.base().ntotal, self.metric_type);
        storage.add(x)?;
        let n = usize::try_from(storage.base().ntotal).unwrap_or(0);
        let make = || Ok(Keys::new(storage.get_distance_computer()?, metric));
        let built = self.nndescent.build(n, make);
        match built {
            Ok(()) => self.ntotal = n as i64,
            // The graph is as before, and so becomes the storage.
            Err(_) => drop(storage.remove_ids(&IDSelectorRange::new(before, i64::MAX))?),
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
        let vertices = self.nndescent.vertices()?;
        search_along(&self.base, &*storage, vertices, x, params, out, |keys| self.nndescent.search(keys, k))
    }
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.storage()?.read().reconstruct(key, out)
    }
    fn reset(&mut self) -> Result<()> {
        self.nndescent.reset();
        self.storage()?.write().reset()?;
        self.ntotal = 0;
        Ok(())
    }
}

/// Stores the full vectors and searches them along the links from each to its nearest neighbours.
#[derive(Object, Default)]
#[object(methods, implements(Index), copy(graph))]
pub struct IndexNNDescentFlat {
    /// The graph and its storage.
    #[object(parent)]
    pub graph: IndexNNDescent,
}

pub(crate) const FLAT: Row =
    Row::of::<IndexNNDescentFlat>().format(crate::file_format!(IndexNNDescentFlat, ["INNf"], |index| {
        index.graph;
    }));

#[methods(new)]
impl IndexNNDescentFlat {
    /// With `K` neighbours a vector.
    #[new]
    pub fn new(d: i64, K: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let storage: Shared<dyn Index> = match metric {
            MetricType::L2 => Shared::new(IndexFlatL2::new(d)?),
            other => Shared::new(IndexFlat::new(d, other)?),
        };
        Ok(IndexNNDescentFlat { graph: IndexNNDescent { own_fields: true, ..IndexNNDescent::over(storage, K)? } })
    }
}

impl Index for IndexNNDescentFlat {
    crate::inherit_index!(graph);
}
