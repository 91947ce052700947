//! Exact search on a GPU by squared L2 distance.

use std::sync::Arc;

use faiss_core::base::{MetricType, Result};
use faiss_core::index::Index;
use faiss_core::index::flat_l2::IndexFlatL2;
use faiss_core::inherit_index;
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use super::flat::GpuIndexFlat;
use crate::config::GpuIndexFlatConfig;
use crate::resources::GpuResources;
use crate::standard::GpuResourcesProvider;

/// Exact search on a GPU by squared L2 distance.
#[derive(Object)]
#[object(methods, implements(Index), copy = duplicate)]
pub struct GpuIndexFlatL2 {
    #[object(parent)]
    pub flat: GpuIndexFlat,
}

pub const ROW: Row = Row::of::<GpuIndexFlatL2>();

#[methods]
impl GpuIndexFlatL2 {
    #[new]
    fn of(
        provider: &GpuResourcesProvider,
        dims: i64,
        #[default = None] config: Option<&GpuIndexFlatConfig>,
    ) -> Result<Self> {
        Ok(GpuIndexFlatL2 { flat: GpuIndexFlat::of(provider, dims, MetricType::L2, config)? })
    }

    /// A copy of a CPU index.
    #[new]
    fn of_index(
        provider: &GpuResourcesProvider,
        index: &IndexFlatL2,
        #[default = None] config: Option<&GpuIndexFlatConfig>,
    ) -> Result<Self> {
        Ok(GpuIndexFlatL2 { flat: GpuIndexFlat::of_index(provider, index, config)? })
    }
}

impl GpuIndexFlatL2 {
    fn duplicate(&self) -> Result<Self> {
        Ok(GpuIndexFlatL2 { flat: self.flat.duplicate()? })
    }

    pub fn new(resources: Arc<GpuResources>, d: i64, config: &GpuIndexFlatConfig) -> Result<Self> {
        Ok(GpuIndexFlatL2 { flat: GpuIndexFlat::new(resources, d, MetricType::L2, config)? })
    }
}

impl Default for GpuIndexFlatL2 {
    fn default() -> Self {
        let mut flat = GpuIndexFlat::default();
        flat.metric_type = MetricType::L2;
        GpuIndexFlatL2 { flat }
    }
}

impl Index for GpuIndexFlatL2 {
    inherit_index!(flat);

    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        self.flat.reconstruct_n(i0, ni, out)
    }

    fn reconstruct_batch(&self, keys: &[i64], out: &mut [f32]) -> Result<()> {
        self.flat.reconstruct_batch(keys, out)
    }

    fn compute_residual_n(&self, x: &[f32], residuals: &mut [f32], keys: &[i64]) -> Result<()> {
        self.flat.compute_residual_n(x, residuals, keys)
    }
}
