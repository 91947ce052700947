//! Exact search on a GPU by inner product.

use std::sync::Arc;

use faiss_core::base::{MetricType, Result};
use faiss_core::index::Index;
use faiss_core::index::flat_ip::IndexFlatIP;
use faiss_core::inherit_index;
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use super::flat::GpuIndexFlat;
use crate::config::GpuIndexFlatConfig;
use crate::resources::GpuResources;
use crate::standard::GpuResourcesProvider;

/// Exact search on a GPU by inner product.
#[derive(Object)]
#[object(methods, implements(Index), copy = duplicate)]
pub struct GpuIndexFlatIP {
    #[object(parent)]
    pub flat: GpuIndexFlat,
}

pub const ROW: Row = Row::of::<GpuIndexFlatIP>();

#[methods]
impl GpuIndexFlatIP {
    #[new]
    fn of(
        provider: &GpuResourcesProvider,
        dims: i64,
        #[default = None] config: Option<&GpuIndexFlatConfig>,
    ) -> Result<Self> {
        Ok(GpuIndexFlatIP { flat: GpuIndexFlat::of(provider, dims, MetricType::InnerProduct, config)? })
    }

    /// A copy of a CPU index.
    #[new]
    fn of_index(
        provider: &GpuResourcesProvider,
        index: &IndexFlatIP,
        #[default = None] config: Option<&GpuIndexFlatConfig>,
    ) -> Result<Self> {
        Ok(GpuIndexFlatIP { flat: GpuIndexFlat::of_index(provider, index, config)? })
    }
}

impl GpuIndexFlatIP {
    fn duplicate(&self) -> Result<Self> {
        Ok(GpuIndexFlatIP { flat: self.flat.duplicate()? })
    }

    pub fn new(resources: Arc<GpuResources>, d: i64, config: &GpuIndexFlatConfig) -> Result<Self> {
        Ok(GpuIndexFlatIP { flat: GpuIndexFlat::new(resources, d, MetricType::InnerProduct, config)? })
    }
}

impl Default for GpuIndexFlatIP {
    fn default() -> Self {
        let mut flat = GpuIndexFlat::default();
        flat.metric_type = MetricType::InnerProduct;
        GpuIndexFlatIP { flat }
    }
}

impl Index for GpuIndexFlatIP {
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
