//! Indexes of GPUs for k-means in growing dimensions: `GpuProgressiveDimIndexFactory`.

use std::sync::Arc;

use faiss_core::base::{Error, Result, Shared};
use faiss_core::cluster::progressive::{DimIndexFactory, ProgressiveDimIndexFactory};
use faiss_core::index::Index;
use faiss_core::index::flat_l2::IndexFlatL2;
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use crate::cloner::index_cpu_to_gpu_multiple;
use crate::config::GpuMultipleClonerOptions;
use crate::device::check_device;
use crate::resources::GpuResources;

/// Gives flat indexes on several GPUs, each with all centroids.
#[derive(Object, Clone, Default)]
#[object(methods, implements(DimIndexFactory), copy)]
pub struct GpuProgressiveDimIndexFactory {
    #[object(parent)]
    factory: ProgressiveDimIndexFactory,
    /// Numbers of the GPUs.
    pub devices: Vec<i32>,
    /// How an index becomes one of GPUs.
    pub options: GpuMultipleClonerOptions,
    #[object(skip)]
    resources: Vec<Arc<GpuResources>>,
}

pub const ROW: Row = Row::of::<GpuProgressiveDimIndexFactory>();

#[methods]
impl GpuProgressiveDimIndexFactory {
    #[new]
    fn of(ngpu: i32) -> Result<Self> {
        Error::check(ngpu >= 1, "ngpu >= 1")?;
        let devices: Vec<i32> = (0..ngpu).collect();
        devices.iter().try_for_each(|device| check_device(*device).map(drop))?;
        let resources = devices.iter().map(|_| Arc::default()).collect();
        Ok(GpuProgressiveDimIndexFactory { devices, resources, ..Default::default() })
    }
}

impl DimIndexFactory for GpuProgressiveDimIndexFactory {
    fn index(&self, dim: usize) -> Result<Shared<dyn Index>> {
        let index = IndexFlatL2::new(dim as i64)?;
        index_cpu_to_gpu_multiple(&self.resources, &self.devices, &index, &self.options)?.view()
    }
}
