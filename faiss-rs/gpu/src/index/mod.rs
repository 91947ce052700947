//! GPU indexes: one file a type. They keep their vectors on one GPU and nothing on the CPU, and are indexes like any other.

pub mod binary_flat;
pub mod flat;
pub mod flat_ip;
pub mod flat_l2;
pub mod ivf;
pub mod on_device;

use std::sync::Arc;

use faiss_core::base::{MetricType, Result};
use faiss_core::index::{Index, IndexBase};
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use crate::config::GpuIndexConfig;
use crate::resources::GpuResources;

/// Bytes of queries and results on the device at a time: with a tile of distances they fit into the temporary memory.
const DEFAULT_MIN_PAGE: usize = 64 << 20;

/// Base of the indexes that live on a GPU.
#[derive(Object, Clone)]
#[object(abstract, methods, implements(Index))]
pub struct GpuIndex {
    #[object(parent)]
    pub base: IndexBase,
    resources: Arc<GpuResources>,
    config: GpuIndexConfig,
    min_page: usize,
}

pub const ROW: Row = Row::of::<GpuIndex>();

impl Default for GpuIndex {
    /// An index of no dimension, which never asks for a GPU.
    fn default() -> Self {
        GpuIndex {
            base: IndexBase::default(),
            resources: Arc::default(),
            config: GpuIndexConfig::default(),
            min_page: DEFAULT_MIN_PAGE,
        }
    }
}

#[methods]
impl GpuIndex {
    /// The GPU on which the index lives.
    #[name = "getDevice"]
    fn device(&self) -> i32 {
        self.config.device
    }

    /// Bytes of queries and results from which a search is done in pages.
    #[name = "getMinPagingSize"]
    fn min_paging_size(&self) -> usize {
        self.min_page
    }

    /// Sets the bytes of queries and results from which a search is done in pages.
    #[name = "setMinPagingSize"]
    pub fn set_min_paging_size(&mut self, size: usize) {
        self.min_page = size;
    }
}

impl GpuIndex {
    pub fn new(resources: Arc<GpuResources>, d: i64, metric: MetricType, config: GpuIndexConfig) -> Result<GpuIndex> {
        config.check()?;
        let base = IndexBase::new(d, metric)?;
        crate::device::check_device(config.device)?;
        Ok(GpuIndex { base, resources, config, min_page: DEFAULT_MIN_PAGE })
    }

    pub fn resources(&self) -> &Arc<GpuResources> {
        &self.resources
    }

    pub fn config(&self) -> &GpuIndexConfig {
        &self.config
    }

    /// Queries of one page: what the host holds beyond it waits its turn.
    pub(crate) fn page_of_queries(&self, k: usize) -> usize {
        let bytes = self.dim() * size_of::<f32>() + k * (size_of::<f32>() + size_of::<i64>());
        (self.min_page / bytes.max(1)).max(1)
    }
}

impl Index for GpuIndex {
    fn base(&self) -> &IndexBase {
        &self.base
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        &mut self.base
    }
}
