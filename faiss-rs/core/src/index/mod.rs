//! Every index: the trait, what all have in common, and one file a type. Sees all layers below; not the factory, not io.

pub mod additive;
pub mod additive_coarse;
mod derived;
pub mod eden;
pub mod fast_scan;
pub mod flat;
pub mod flat_1d;
pub mod flat_codes;
pub mod flat_ip;
pub mod flat_l2;
pub mod flat_panorama;
pub mod flat_scan;
pub mod header;
pub mod hnsw;
pub mod id_map;
pub mod ids;
pub mod ivf;
pub mod lattice;
pub mod lsh;
pub mod multi_index;
pub mod multi_index_2;
pub mod neural;
pub mod nn_descent;
pub mod nsg;
pub mod parts;
pub mod pq;
pub mod pretransform;
pub mod rabitq;
pub mod random;
pub mod refine;
pub mod rowwise_minmax;
pub mod scalar;
pub mod shards;
pub mod shards_ivf;
pub mod split_vectors;
pub mod stats;
pub mod tuning;
pub mod two_layer;

use faiss_derive::Object;

use crate::base::object::copy_fields;
use crate::base::{Error, FieldRef, Handle, MetricType, Object, Result, Shared, Value};
use crate::cluster::Clustering;
use crate::registry::Row;
use crate::selector::IDSelector;

pub use crate::distance::{DistanceComputer, RangeSearchResult};

/// Base of all indexes over float32 vectors.
///
/// `train`, `add`, `search`, `range_search`, `reconstruct`, `remove_ids` and the others are on every index; what one can't do is a
/// `RuntimeError` that says so.
#[derive(Object, Clone, Debug)]
#[object(name = "Index", abstract)]
pub struct IndexBase {
    /// Vector dimension.
    pub d: i32,
    /// Number of indexed vectors.
    pub ntotal: i64,
    /// Verbosity.
    pub verbose: bool,
    /// Whether the index needs no training, or has been trained.
    #[object(default = true)]
    pub is_trained: bool,
    /// How vectors are compared.
    pub metric_type: MetricType,
    /// Argument of the metric (the exponent of Lp).
    pub metric_arg: f32,
}

/// A dimension as quantizers and sizes have it; what is wrong with it is told where the index's fields are made.
pub(crate) fn dim_of(d: i64) -> usize {
    usize::try_from(d).unwrap_or(0)
}

pub(crate) const INDEX: Row = Row::of::<IndexBase>();

impl IndexBase {
    /// An empty index over `d`-dimensional vectors.
    pub fn new(d: i64, metric: MetricType) -> Result<Self> {
        let d = i32::try_from(d).ok().filter(|d| *d >= 0);
        let d = d.ok_or_else(|| Error::failed("d >= 0 && d <= INT_MAX", "the dimension is out of range"))?;
        Ok(IndexBase { d, metric_type: metric, ..Default::default() })
    }

    /// The dimension, for arithmetic: a negative one counts as 0.
    pub fn dim(&self) -> usize {
        self.d.max(0) as usize
    }

    /// The number of vectors that `x` holds; an error if it is not whole.
    pub fn rows(&self, x: &[f32]) -> Result<usize> {
        let d = self.dim();
        match x.len().checked_rem(d) {
            Some(0) => Ok(x.len() / d),
            None if x.is_empty() => Ok(0),
            _ => Err(Error::failed("x.size() % d == 0", format!("{} numbers are no whole vectors of {d}", x.len()))),
        }
    }

    /// The number of queries of a search, whose arrays must agree.
    pub fn queries(&self, x: &[f32], k: usize, distances: &[f32], labels: &[i64]) -> Result<usize> {
        Error::check(k > 0, "k > 0")?;
        let n = if self.dim() == 0 { labels.len() / k } else { self.rows(x)? };
        let agree = n.checked_mul(k).is_some_and(|size| distances.len() == size && labels.len() == size);
        Error::check(agree, "distances.size() == n * k && labels.size() == n * k")?;
        Ok(n)
    }

    /// `i0` as an offset, if the vectors `i0` to `i0 + ni - 1` exist and `out` has room for just them.
    pub fn checked_range(&self, i0: i64, ni: usize, out: &[f32]) -> Result<usize> {
        let end = i64::try_from(ni).ok().and_then(|n| i0.checked_add(n));
        let inside = i0 >= 0 && end.is_some_and(|end| end <= self.ntotal);
        Error::check(ni == 0 || inside, "ni == 0 || (i0 >= 0 && i0 + ni <= ntotal)")?;
        Error::check(ni.checked_mul(self.dim()) == Some(out.len()), "recons.size() == ni * d")?;
        Ok(if ni == 0 { 0 } else { i0 as usize })
    }

    /// `key` as an offset, if there is such a vector.
    pub fn position(&self, key: i64) -> Result<usize> {
        if key < 0 || key >= self.ntotal {
            return Err(Error::failed("key < ntotal", format!("no vector {key} among {}", self.ntotal)));
        }
        Ok(key as usize)
    }
}

/// Parameters of one search call; derived types add their own.
///
/// `sel`: an `IDSelector`; only what it has is found. Give it to `search(x, k, params=...)`.
#[derive(Object, Default, Clone)]
#[object(fields)]
pub struct SearchParameters {
    /// If set, only these ids are returned.
    pub sel: Option<Shared<dyn IDSelector>>,
}

pub(crate) const SEARCH_PARAMETERS: Row = Row::of::<SearchParameters>();

/// The selector of some search parameters, whatever their type.
pub fn selector(params: Option<&dyn Object>) -> Option<Shared<dyn IDSelector>> {
    match params?.field("sel")? {
        FieldRef::Value(Value::Handle(sel)) => sel.view().ok(),
        _ => None,
    }
}

/// A copy of search parameters, of whatever type, with another selector.
pub fn params_with_selector(params: &dyn Object, sel: Handle) -> Result<Box<dyn Object>> {
    let mut copy = (params.info().default)();
    copy_fields(params, &mut *copy)?;
    match copy.field_mut("sel") {
        Some(to) => to.set(Value::Handle(sel))?,
        None => return Err(Error::type_error(format!("{} has no selector", params.info().name))),
    }
    Ok(copy)
}

/// An index over `d`-dimensional f32 vectors. Vectors come as slices of `n * d` numbers, row-major.
///
/// `params` is a [`SearchParameters`] or a type derived from it. Results are ordered best first; where fewer than `k` exist, the label is
/// -1 and the distance the metric's worst value.
///
/// What a type does not define itself is its parent's, as [`Index::parent_index`] names it; see [`inherit_index`].
pub trait Index: Object + AsIndex {
    /// What every index has.
    fn base(&self) -> &IndexBase;
    /// The same, to be changed.
    fn base_mut(&mut self) -> &mut IndexBase;
    /// The embedded index that this one extends.
    fn parent_index(&self) -> Option<&dyn Index> {
        None
    }
    /// The parent, if it is an index too, to be changed.
    fn parent_index_mut(&mut self) -> Option<&mut dyn Index> {
        None
    }

    /// Learns from `x` what the index needs before vectors can be added.
    fn train(&mut self, x: &[f32]) -> Result<()> {
        match self.parent_index_mut() {
            Some(parent) => parent.train(x),
            None => Ok(()),
        }
    }
    /// Adds vectors; their ids count up from `ntotal`.
    fn add(&mut self, x: &[f32]) -> Result<()> {
        match self.parent_index_mut() {
            Some(parent) => parent.add(x),
            None => Err(Error::unsupported("add", self.info().name)),
        }
    }
    /// Adds vectors (n, d) with ids of their own.
    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        match self.parent_index_mut() {
            Some(parent) => parent.add_with_ids(x, ids),
            None => Err(Error::unsupported("add_with_ids", self.info().name)),
        }
    }
    /// `distances` and `labels` hold `n * k` numbers each.
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        match self.parent_index() {
            Some(parent) => parent.search(x, k, params, distances, labels),
            None => Err(Error::unsupported("search", self.info().name)),
        }
    }
    /// All vectors nearer than `radius`; for a similarity, more similar than it.
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        match self.parent_index() {
            Some(parent) => parent.range_search(x, radius, params),
            None => Err(Error::unsupported("range search", self.info().name)),
        }
    }
    /// Does the rounds of a clustering where the index lives, and ends up holding the centroids: for an index that is not in the
    /// host's memory. `chosen` are the points that take part, all where it is none. False, with nothing changed, where the
    /// index has no way of its own; then `Clustering` searches it.
    fn cluster(
        &mut self,
        clustering: &mut Clustering,
        x: &[f32],
        chosen: Option<&[i32]>,
        weights: Option<&[f32]>,
    ) -> Result<bool> {
        match self.parent_index_mut() {
            Some(parent) => parent.cluster(clustering, x, chosen, weights),
            None => Ok(false),
        }
    }
    /// Forgets all vectors, not the training.
    fn reset(&mut self) -> Result<()> {
        match self.parent_index_mut() {
            Some(parent) => parent.reset(),
            None => Err(Error::unsupported("reset", self.info().name)),
        }
    }
    /// Writes the vector of that id to `out`, of `d` numbers: as it was added, or as near as the codes are.
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        match self.parent_index() {
            Some(parent) => parent.reconstruct(key, out),
            None => Err(Error::unsupported("reconstruct", self.info().name)),
        }
    }
    /// Removes the vectors that `sel` names and returns how many they were. Where ids count up, those behind move down.
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        match self.parent_index_mut() {
            Some(parent) => parent.remove_ids(sel),
            None => Err(Error::unsupported("remove_ids", self.info().name)),
        }
    }
    /// Bytes of one vector's code.
    fn sa_code_size(&self) -> Result<usize> {
        match self.parent_index() {
            Some(parent) => parent.sa_code_size(),
            None => Err(Error::unsupported("standalone codec", self.info().name)),
        }
    }
    /// Encodes vectors, without adding them, to `n * sa_code_size` bytes.
    fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        match self.parent_index() {
            Some(parent) => parent.sa_encode(x, codes),
            None => Err(Error::unsupported("standalone codec", self.info().name)),
        }
    }
    /// The reverse of [`Index::sa_encode`].
    fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        match self.parent_index() {
            Some(parent) => parent.sa_decode(codes, x),
            None => Err(Error::unsupported("standalone codec", self.info().name)),
        }
    }
    /// Adds vectors by their codes.
    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        match self.parent_index_mut() {
            Some(parent) => parent.add_sa_codes(codes, ids),
            None => Err(Error::unsupported("add_sa_codes", self.info().name)),
        }
    }
    /// An error that says why `other`'s vectors can't be moved here.
    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        match self.parent_index() {
            Some(parent) => parent.check_compatible_for_merge(other),
            None => Err(Error::unsupported("check_compatible_for_merge", self.info().name)),
        }
    }
    /// Moves all vectors of `other` here and leaves it empty; `add_id` is added to their ids.
    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        match self.parent_index_mut() {
            Some(parent) => parent.merge_from(other, add_id),
            None => Err(Error::unsupported("merge_from", self.info().name)),
        }
    }
    /// Distances of a query to stored vectors.
    fn get_distance_computer(&self) -> Result<Box<dyn DistanceComputer + '_>> {
        match self.parent_index() {
            Some(parent) => parent.get_distance_computer(),
            None => Err(Error::unsupported("get_distance_computer", self.info().name)),
        }
    }

    // What follows from the methods above, as `derived` has it.

    /// The labels of a search, without the distances: `n * k`.
    fn assign(&self, x: &[f32], k: usize, labels: &mut [i64]) -> Result<()> {
        derived::assign(self.as_index(), x, k, labels)
    }
    /// The vectors `i0` to `i0 + ni - 1`.
    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        derived::reconstruct_n(self.as_index(), i0, ni, out)
    }
    /// The vectors of these ids.
    fn reconstruct_batch(&self, keys: &[i64], out: &mut [f32]) -> Result<()> {
        derived::reconstruct_batch(self.as_index(), keys, out)
    }
    /// A search, and the vectors found: `n * k * d` numbers, NaN where there is no result.
    fn search_and_reconstruct(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
        recons: &mut [f32],
    ) -> Result<()> {
        derived::search_and_reconstruct(self.as_index(), x, k, params, distances, labels, recons)
    }
    /// A search of each query among its own `k_base` candidates `base_labels`, of which negative ones are none.
    fn search_subset(
        &self,
        x: &[f32],
        k_base: usize,
        base_labels: &[i64],
        k: usize,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        derived::search_subset(self.as_index(), x, k_base, base_labels, k, distances, labels)
    }
    /// `residual = x - reconstruct(key)`, one vector.
    fn compute_residual(&self, x: &[f32], residual: &mut [f32], key: i64) -> Result<()> {
        derived::compute_residual(self.as_index(), x, residual, key)
    }
    /// [`Index::compute_residual`] for many vectors.
    fn compute_residual_n(&self, x: &[f32], residuals: &mut [f32], keys: &[i64]) -> Result<()> {
        derived::compute_residual_n(self.as_index(), x, residuals, keys)
    }
}

/// Any index as the trait's object: how a method that all have by default calls what is compiled once for all.
pub trait AsIndex {
    /// As an index.
    fn as_index(&self) -> &dyn Index;
}

impl<T: Index> AsIndex for T {
    fn as_index(&self) -> &dyn Index {
        self
    }
}

crate::view!(Index, "Index");

/// Inside `impl Index for T`: the base and the parent, which is the embedded field of that name.
#[macro_export]
macro_rules! inherit_index {
    ($parent:ident) => {
        fn base(&self) -> &$crate::index::IndexBase {
            self
        }
        fn base_mut(&mut self) -> &mut $crate::index::IndexBase {
            self
        }
        fn parent_index(&self) -> Option<&dyn $crate::index::Index> {
            Some(&self.$parent)
        }
        fn parent_index_mut(&mut self) -> Option<&mut dyn $crate::index::Index> {
            Some(&mut self.$parent)
        }
    };
}
