//! Every index: the trait, what all have in common, and one file a type. Sees all layers below; not the factory, not io.

use faiss_derive::Object;

use crate::base::{Error, MetricType, Object, Result, Shared};
use crate::selector::IDSelector;

/// The fields that every index has.
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
    pub is_trained: bool,
    /// How vectors are compared.
    pub metric_type: MetricType,
    /// Argument of the metric (the exponent of Lp).
    pub metric_arg: f32,
}

impl Default for IndexBase {
    fn default() -> Self {
        IndexBase { d: 0, ntotal: 0, verbose: false, is_trained: true, metric_type: MetricType::L2, metric_arg: 0.0 }
    }
}

/// Parameters of one search call; derived types add their own.
#[derive(Object, Default, Clone)]
pub struct SearchParameters {
    /// If set, only these ids are returned.
    pub sel: Option<Shared<dyn IDSelector>>,
}

/// The result of a range search over `nq` queries: query i's results are at `lims[i]..lims[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeSearchResult {
    pub lims: Vec<usize>,
    pub distances: Vec<f32>,
    pub labels: Vec<i64>,
}

/// An index over `d`-dimensional f32 vectors. Vectors come as slices of `n * d` numbers, row-major.
///
/// `params` is a [`SearchParameters`] or a type derived from it. Results are ordered best first; where fewer than `k` exist, the label is
/// -1 and the distance the metric's worst value.
pub trait Index: Object {
    fn base(&self) -> &IndexBase;
    fn base_mut(&mut self) -> &mut IndexBase;

    fn train(&mut self, _x: &[f32]) -> Result<()> {
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()>;
    fn add_with_ids(&mut self, _x: &[f32], _ids: &[i64]) -> Result<()> {
        Err(Error::failed("add_with_ids", format!("add_with_ids not implemented for {}", self.info().name)))
    }
    /// `distances` and `labels` hold `n * k` numbers each.
    fn search(&self, x: &[f32], k: usize, params: Option<&dyn Object>, distances: &mut [f32], labels: &mut [i64]) -> Result<()>;
    fn range_search(&self, _x: &[f32], _radius: f32, _params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        Err(Error::failed("range_search", format!("range search not implemented for {}", self.info().name)))
    }
    fn reset(&mut self) -> Result<()>;
    fn reconstruct(&self, _key: i64, _out: &mut [f32]) -> Result<()> {
        Err(Error::failed("reconstruct", format!("reconstruct not implemented for {}", self.info().name)))
    }
    // The helper methods that follow from these (assign, reconstruct_n, reconstruct_batch, search_and_reconstruct, compute_residual,
    // sa_*, remove_ids, merge_from, ...) have default bodies and may be overridden.
}
