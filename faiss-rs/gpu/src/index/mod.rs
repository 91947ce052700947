//! GPU indexes: one file a type. They keep their vectors on one GPU and nothing on the CPU, and are indexes like any other.

pub mod binary_flat;
pub mod flat;
pub mod flat_ip;
pub mod flat_l2;
pub mod ivf;
pub mod on_device;

use std::sync::Arc;

use faiss_core::base::object::{Method, MethodCall, receiver, receiver_mut};
use faiss_core::base::{Error, MetricType, Result, Value};
use faiss_core::index::{Index, IndexBase};
use faiss_core::registry::{Row, no_overload};
use faiss_derive::Object;

use crate::config::GpuIndexConfig;
use crate::resources::GpuResources;

/// Bytes of queries and results on the device at a time: with a tile of distances they fit into the temporary memory.
const DEFAULT_MIN_PAGE: usize = 64 << 20;

/// Base of the indexes that live on a GPU.
#[derive(Object, Clone)]
#[object(abstract, methods = METHODS, implements(Index))]
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

impl GpuIndex {
    pub fn new(resources: Arc<GpuResources>, d: i64, metric: MetricType, config: GpuIndexConfig) -> Result<GpuIndex> {
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

const METHODS: &[Method] = &[
    Method {
        name: "getDevice",
        signature: "(self) -> int",
        doc: "The GPU on which the index lives.",
        call: MethodCall::Read(|object, args| match args {
            [] => Ok(Value::Int(receiver::<GpuIndex>(object)?.config.device.into())),
            _ => Err(no_overload("getDevice", &["()"])),
        }),
    },
    Method {
        name: "getMinPagingSize",
        signature: "(self) -> int",
        doc: "Bytes of queries and results from which a search is done in pages.",
        call: MethodCall::Read(|object, args| match args {
            [] => Ok(Value::Int(receiver::<GpuIndex>(object)?.min_page as i64)),
            _ => Err(no_overload("getMinPagingSize", &["()"])),
        }),
    },
    Method {
        name: "setMinPagingSize",
        signature: "(self, size: int) -> None",
        doc: "Sets the bytes of queries and results from which a search is done in pages.",
        call: MethodCall::Write(|object, args| {
            let [Value::Int(size)] = args else { return Err(no_overload("setMinPagingSize", &["(size: int)"])) };
            let size = usize::try_from(*size).map_err(|_| Error::value(format!("{size} is no number of bytes")))?;
            receiver_mut::<GpuIndex>(object)?.min_page = size;
            Ok(Value::None)
        }),
    },
];
