//! Exact search on a GPU by inner product.

use std::sync::Arc;

use faiss_core::base::{Handle, MetricType, Result};
use faiss_core::index::Index;
use faiss_core::inherit_index;
use faiss_core::registry::Row;
use faiss_derive::Object;

use super::flat::{self, GpuIndexFlat};
use crate::config::GpuIndexFlatConfig;
use crate::resources::GpuResources;

/// Exact search on a GPU by inner product.
#[derive(Object)]
#[object(implements(Index), copy = duplicate)]
pub struct GpuIndexFlatIP {
    #[object(parent)]
    pub flat: GpuIndexFlat,
}

const SIGNATURES: &[&str] = &[
    "(provider: GpuResourcesProvider, dims: int, config: GpuIndexFlatConfig = ...)",
    "(provider: GpuResourcesProvider, index: IndexFlatIP, config: GpuIndexFlatConfig = ...)",
];

pub const ROW: Row = Row::of::<GpuIndexFlatIP>().construct(
    |args| {
        let flat = flat::construct(args, Some(MetricType::InnerProduct), "GpuIndexFlatIP", SIGNATURES)?;
        Ok(Handle::new(GpuIndexFlatIP { flat }))
    },
    SIGNATURES,
);

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
