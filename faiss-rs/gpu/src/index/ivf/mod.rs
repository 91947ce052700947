//! Inverted files on a GPU: lists of codes there, and a quantizer that assigns vectors to lists, there or on the CPU.
//!
//! | file | what lives there |
//! |---|---|
//! | `mod.rs` | the fields of all inverted files, and the trait [`GpuInvertedFile`]: what one family must define |
//! | `macro` [`gpu_inverted_file_index`](crate::gpu_inverted_file_index) | the rest of `Index`, the same for all families |
//! | `coarse.rs` | the quantizer's part |
//! | `edit.rs`, `entries.rs`, `search.rs`, `copy.rs` | what all families do |
//! | `methods.rs` | what Python sees beyond fields and the methods of all indexes |
//! | `flat.rs`, `pq.rs`, `scalar.rs` | one family each |

pub mod coarse;
pub mod copy;
pub mod edit;
pub mod entries;
pub mod flat;
mod methods;
pub mod pq;
pub mod scalar;
pub mod search;

use std::sync::Arc;

use faiss_core::base::object::FieldMut;
use faiss_core::base::{Error, MetricType, Result, Shared, Value};
use faiss_core::cluster::ClusteringParameters;
use faiss_core::index::Index;
use faiss_core::index::tuning::{self, Tuned};
use faiss_core::registry::Row;
use faiss_derive::Object;

use super::GpuIndex;
use super::flat::GpuIndexFlat;
use crate::config::GpuIndexIVFConfig;
use crate::lists::DeviceLists;
use crate::memory::{Ptr, Temp};
use crate::ops::knn::Vectors;
use crate::ops::probe::{self, Queries, Scan, Search};
use crate::ops::select::Best;
use crate::resources::{Context, GpuResources};
use crate::vectors::DeviceVectors;

/// Base of the inverted files that live on a GPU.
#[derive(Object)]
#[object(implements(Tuned), abstract, methods(methods::GpuIVFMethods))]
pub struct GpuIndexIVF {
    #[object(parent)]
    pub gpu: GpuIndex,
    /// Assigns vectors to lists: best a GpuIndexFlat on the same GPU.
    pub quantizer: Option<Shared<dyn Index>>,
    /// Number of lists.
    #[object(readonly)]
    pub nlist: usize,
    /// 0: k-means trains the quantizer; 1: it trains itself; 2: k-means trains centroids, which are then added to it.
    pub quantizer_trains_alone: u8,
    /// Whether the quantizer belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Parameters of the k-means of the quantizer.
    pub cp: ClusteringParameters,
    /// If set, assigns points to centroids in that k-means.
    pub clustering_index: Option<Shared<dyn Index>>,
    /// Number of lists that a search looks into.
    pub nprobe: usize,
    /// A search looks at this many codes at most; 0 for no limit.
    pub max_codes: usize,
    config: GpuIndexIVFConfig,
    /// Made with the first vectors, or when they are replaced.
    lists: Option<DeviceLists>,
    /// The centroids of a quantizer that is not on this GPU, where the family needs them.
    centroids: Option<DeviceVectors>,
}

pub const ROW: Row = Row::of::<GpuIndexIVF>();

impl Default for GpuIndexIVF {
    /// An index of no lists, which never asks for a GPU.
    fn default() -> Self {
        let mut gpu = GpuIndex::default();
        gpu.base.is_trained = false;
        GpuIndexIVF {
            gpu,
            quantizer: None,
            nlist: 0,
            quantizer_trains_alone: 0,
            own_fields: false,
            cp: ClusteringParameters { niter: 10, ..Default::default() },
            clustering_index: None,
            nprobe: 1,
            max_codes: 0,
            config: GpuIndexIVFConfig::default(),
            lists: None,
            centroids: None,
        }
    }
}

impl GpuIndexIVF {
    /// Over `nlist` lists of `quantizer`, or of a GpuIndexFlat as the configuration says where none is given.
    pub fn new(
        resources: Arc<GpuResources>,
        quantizer: Option<Shared<dyn Index>>,
        d: i64,
        nlist: usize,
        metric: MetricType,
        config: &GpuIndexIVFConfig,
    ) -> Result<Self> {
        Error::check(nlist > 0 && nlist < i32::MAX as usize, "nlist > 0 && nlist < INT_MAX")?;
        Error::check(d > 0, "dims > 0")?;
        let mut gpu = GpuIndex::new(resources.clone(), d, metric, config.base.clone())?;
        let own_fields = quantizer.is_none();
        let quantizer = match quantizer {
            Some(quantizer) => quantizer,
            None => {
                let mut flat = config.flat_config.clone();
                flat.base.device = config.base.device;
                Shared::new(GpuIndexFlat::new(resources, d, metric, &flat)?)
            }
        };
        {
            let quantizer = quantizer.read();
            if quantizer.base().d != gpu.d {
                let message = format!("the quantizer has dimension {}, the index {d}", quantizer.base().d);
                return Err(Error::failed("quantizer->d == d", message));
            }
            gpu.base.is_trained = quantizer.base().is_trained && quantizer.base().ntotal == nlist as i64;
        }
        let spherical = metric == MetricType::InnerProduct;
        Ok(GpuIndexIVF {
            gpu,
            quantizer: Some(quantizer),
            nlist,
            own_fields,
            cp: ClusteringParameters { niter: 10, spherical, ..Default::default() },
            config: config.clone(),
            ..Default::default()
        })
    }

    /// What a copy of another index is made from: no lists, but resources and a configuration.
    pub fn unmade(resources: Arc<GpuResources>, config: &GpuIndexIVFConfig) -> Result<Self> {
        let mut gpu = GpuIndex::new(resources, 0, MetricType::L2, config.base.clone())?;
        gpu.base.is_trained = false;
        Ok(GpuIndexIVF { gpu, config: config.clone(), ..Default::default() })
    }

    pub fn config(&self) -> &GpuIndexIVFConfig {
        &self.config
    }

    /// The quantizer, or an error where it was taken away.
    pub fn quantizer(&self) -> Result<&Shared<dyn Index>> {
        self.quantizer.as_ref().ok_or_else(|| Error::failed("quantizer", "the index has no quantizer"))
    }

    /// The lists, if there are vectors, after a check that the public fields still fit to them.
    pub fn lists(&self) -> Result<Option<&DeviceLists>> {
        let Some(lists) = &self.lists else { return Ok(None) };
        Error::check(lists.nlist() == self.nlist, "nlist == number of lists on the GPU")?;
        Ok(Some(lists))
    }

    /// `list` as a number of a list, if there is such a one.
    pub fn check_list(&self, list: i64) -> Result<usize> {
        match usize::try_from(list) {
            Ok(at) if at < self.nlist => Ok(at),
            _ => Err(Error::failed("listId < nlist", format!("there is no list {list} among {}", self.nlist))),
        }
    }

    /// Entries of a list.
    pub fn list_length(&self, list: usize) -> Result<usize> {
        Ok(self.lists()?.map_or(0, |lists| lists.lengths()[list] as usize))
    }

    /// Bytes that the lists take on the GPU.
    pub fn device_bytes(&self) -> usize {
        self.lists.as_ref().map_or(0, DeviceLists::bytes) + self.centroids.as_ref().map_or(0, DeviceVectors::bytes)
    }

    pub(crate) fn with<R>(&self, work: impl FnOnce(&Context<'_>) -> crate::Result<R>) -> Result<R> {
        self.with_on(None, work)
    }

    /// As `with`, on a given stream where there is one.
    pub(crate) fn with_on<R>(
        &self,
        stream: Option<usize>,
        work: impl FnOnce(&Context<'_>) -> crate::Result<R>,
    ) -> Result<R> {
        Ok(self.gpu.resources().with_on(self.config.base.device, stream, work)?)
    }
}

/// An error for metrics by which codes are not compared.
fn check_metric(metric: MetricType) -> Result<()> {
    if coarse::is_linear(metric) {
        return Ok(());
    }
    let message = format!("codes in lists on a GPU are compared by L2 or inner product, not by {metric:?}");
    Err(Error::failed("metric == METRIC_L2 || metric == METRIC_INNER_PRODUCT", message))
}

/// Vectors on the device that are to be encoded.
#[derive(Clone, Copy)]
pub struct Batch {
    pub rows: Ptr<f32>,
    pub count: usize,
    /// The list of each; a negative one is none, and the code does not matter.
    pub lists: Ptr<i32>,
    /// The lists' centroids, if the family asks for them.
    pub centroids: Option<Vectors>,
}

/// The codes of a batch.
pub enum Codes<'a> {
    /// They are the vectors themselves.
    Rows,
    Bytes(Temp<'a, u8>),
}

/// What a family of inverted files defines; the rest is the same for all.
pub trait GpuInvertedFile: Index {
    fn ivf(&self) -> &GpuIndexIVF;
    fn ivf_mut(&mut self) -> &mut GpuIndexIVF;
    /// Bytes of one code, the same bytes as on the CPU.
    fn code_size(&self) -> usize;
    /// Whether encoding or scanning needs the lists' centroids on the device.
    fn needs_centroids(&self) -> bool {
        false
    }
    /// Learns to encode from vectors of the host. The quantizer is trained.
    fn train_encoder(&mut self, _x: &[f32]) -> Result<()> {
        Ok(())
    }
    /// Whether codes are of residuals to the lists' centroids.
    fn by_residual(&self) -> bool {
        false
    }
    /// Whether codes mean in another index of this type what they mean here, for the same centroids.
    fn same_codes(&self, other: &dyn GpuInvertedFile) -> bool;
    /// What codes stand for, without the centroids of residuals.
    fn decode_on_host(&self, codes: &[u8], x: &mut [f32]) -> Result<()>;
    /// Encodes vectors for their lists. Only launches.
    fn encode<'a>(&self, context: &'a Context<'_>, batch: &Batch) -> crate::Result<Codes<'a>>;
    /// Computes the distances to the entries of lists. Only launches.
    fn scan(&self, context: &Context<'_>, scan: &Scan) -> crate::Result<()>;
    /// Another number whenever device memory that scans read, beside the lists and the centroids, is other memory. None where a scan can't be
    /// recorded.
    fn scan_generation(&self) -> Option<u64>;
    /// The best entries of the lists that queries look into. A family that need not write all distances may do it in its own way.
    fn best(&self, context: &Context<'_>, queries: &Queries, search: &Search, out: Best) -> crate::Result<()> {
        probe::best(context, queries, search, &|scan| self.scan(context, scan), out)
    }
}

faiss_core::view!(GpuInvertedFile, "GpuIndexIVF");

impl Tuned for GpuIndexIVF {
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        let value = Value::Int(value as i64);
        match name {
            "nprobe" => Some(self.nprobe.set(value)),
            "max_codes" => Some(self.max_codes.set(value)),
            _ => None,
        }
    }
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![("nprobe", tuning::powers(self.nlist as f64))]
    }
}

/// Inside `impl Index for T`, where `T` is a [`GpuInvertedFile`]: all of it.
#[macro_export]
macro_rules! gpu_inverted_file_index {
    () => {
        fn base(&self) -> &faiss_core::index::IndexBase {
            self
        }
        fn base_mut(&mut self) -> &mut faiss_core::index::IndexBase {
            self
        }
        fn train(&mut self, x: &[f32]) -> faiss_core::base::Result<()> {
            $crate::index::ivf::edit::train(self, x)
        }
        fn add(&mut self, x: &[f32]) -> faiss_core::base::Result<()> {
            $crate::index::ivf::edit::add_host(self, x, None)
        }
        fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> faiss_core::base::Result<()> {
            $crate::index::ivf::edit::add_host(self, x, Some(ids))
        }
        fn search(
            &self,
            x: &[f32],
            k: usize,
            params: Option<&dyn faiss_core::base::Object>,
            distances: &mut [f32],
            labels: &mut [i64],
        ) -> faiss_core::base::Result<()> {
            $crate::index::ivf::search::search(self, x, k, params, distances, labels)
        }
        fn range_search(
            &self,
            x: &[f32],
            radius: f32,
            params: Option<&dyn faiss_core::base::Object>,
        ) -> faiss_core::base::Result<faiss_core::index::RangeSearchResult> {
            $crate::index::ivf::search::range_search(self, x, radius, params)
        }
        fn reset(&mut self) -> faiss_core::base::Result<()> {
            $crate::index::ivf::edit::reset(self)
        }
        fn reconstruct(&self, key: i64, out: &mut [f32]) -> faiss_core::base::Result<()> {
            $crate::index::ivf::entries::reconstruct_batch(self, &[key], out)
        }
        fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> faiss_core::base::Result<()> {
            $crate::index::ivf::entries::reconstruct_n(self, i0, ni, out)
        }
        fn reconstruct_batch(&self, keys: &[i64], out: &mut [f32]) -> faiss_core::base::Result<()> {
            $crate::index::ivf::entries::reconstruct_batch(self, keys, out)
        }
        fn search_and_reconstruct(
            &self,
            x: &[f32],
            k: usize,
            params: Option<&dyn faiss_core::base::Object>,
            distances: &mut [f32],
            labels: &mut [i64],
            recons: &mut [f32],
        ) -> faiss_core::base::Result<()> {
            $crate::index::ivf::entries::search_and_reconstruct(self, x, k, params, distances, labels, recons)
        }
        fn remove_ids(&mut self, sel: &dyn faiss_core::selector::IDSelector) -> faiss_core::base::Result<usize> {
            $crate::index::ivf::entries::remove_ids(self, sel)
        }
        fn check_compatible_for_merge(&self, other: &dyn faiss_core::index::Index) -> faiss_core::base::Result<()> {
            $crate::index::ivf::entries::check_compatible_for_merge(self, other)
        }
        fn merge_from(
            &mut self,
            other: &mut dyn faiss_core::index::Index,
            add_id: i64,
        ) -> faiss_core::base::Result<()> {
            $crate::index::ivf::entries::merge_from(self, other, add_id)
        }
    };
}
