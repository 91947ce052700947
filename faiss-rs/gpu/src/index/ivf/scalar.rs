//! Inverted file of scalar-quantized codes.

use std::sync::Arc;

use faiss_core::base::object::{cast, receiver};
use faiss_core::base::{Error, Handle, MetricType, Result, Shared};
use faiss_core::index::Index;
use faiss_core::index::ivf::IndexIVF;
use faiss_core::index::ivf::scalar::IndexIVFScalarQuantizer;
use faiss_core::quantize::Quantizer;
use faiss_core::quantize::scalar::ScalarQuantizer;
use faiss_core::registry::Row;
use faiss_core::transform::maybe_subsample;
use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::{Batch, Codes, GpuIndexIVF, GpuInvertedFile};
use crate::config::GpuIndexIVFScalarQuantizerConfig;
use crate::kind::{Cloner, Target};
use crate::lists::next_generation;
use crate::ops::ivf_scan;
use crate::ops::knn::kernel_metric;
use crate::ops::pq::Residual;
use crate::ops::probe::{Queries, Scan, Search};
use crate::ops::rows;
use crate::ops::select::Best;
use crate::ops::sq::{self, DeviceQuantizer};
use crate::resources::{Context, GpuResources};
use crate::standard::GpuResourcesProvider;

/// The most vectors that ranges are learnt from, as on the CPU.
const MAX_TRAINING_VECTORS: usize = 100_000;

/// Stores scalar-quantized codes of vectors, or of their residuals, in the lists of a coarse quantizer, on a GPU.
#[derive(Object)]
#[object(methods, implements(Index, GpuInvertedFile), copy = duplicate)]
pub struct GpuIndexIVFScalarQuantizer {
    #[object(parent)]
    pub ivf: GpuIndexIVF,
    /// Makes the codes. The GPU has a copy of what it was trained to from training or copyFrom on.
    pub sq: ScalarQuantizer,
    /// Whether codes are of residuals to the centroids of their lists.
    pub by_residual: bool,
    derived: Mutex<Derived>,
}

/// What the device has beside the lists; made when first needed.
struct Derived {
    generation: u64,
    quantizer: Option<Arc<DeviceQuantizer>>,
}

impl Default for Derived {
    fn default() -> Self {
        Derived { generation: next_generation(), quantizer: None }
    }
}

impl Default for GpuIndexIVFScalarQuantizer {
    fn default() -> Self {
        GpuIndexIVFScalarQuantizer {
            ivf: GpuIndexIVF::default(),
            sq: ScalarQuantizer::default(),
            by_residual: true,
            derived: Mutex::default(),
        }
    }
}

pub const ROW: Row = Row::of::<GpuIndexIVFScalarQuantizer>();

pub const CLONER: Cloner = Cloner {
    gpu: "GpuIndexIVFScalarQuantizer",
    cpu: "IndexIVFScalarQuantizer",
    to_gpu: |target: &Target<'_>, index| {
        let ivf = target.options.ivf_config(target.device);
        let config = GpuIndexIVFScalarQuantizerConfig { ivf, ..Default::default() };
        let mut made = GpuIndexIVFScalarQuantizer::from_cpu(target.resources.clone(), receiver(index)?, &config)?;
        super::edit::reserve_for(&mut made, target.options)?;
        Ok(Handle::new(made))
    },
    to_cpu: |index| Ok(Handle::new(receiver::<GpuIndexIVFScalarQuantizer>(index)?.to_cpu()?)),
};

#[methods]
impl GpuIndexIVFScalarQuantizer {
    /// A copy of a CPU index.
    #[new]
    fn of_index(
        provider: &GpuResourcesProvider,
        index: &IndexIVFScalarQuantizer,
        #[default = None] config: Option<&GpuIndexIVFScalarQuantizerConfig>,
    ) -> Result<Self> {
        Self::from_cpu(
            provider.resources().clone(),
            index,
            config.unwrap_or(&GpuIndexIVFScalarQuantizerConfig::default()),
        )
    }

    #[new]
    fn of(
        provider: &GpuResourcesProvider,
        dims: i64,
        nlist: usize,
        qtype: i32,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] encodeResidual: bool,
        #[default = None] config: Option<&GpuIndexIVFScalarQuantizerConfig>,
    ) -> Result<Self> {
        let config = config.unwrap_or(&GpuIndexIVFScalarQuantizerConfig::default()).clone();
        Self::new(provider.resources().clone(), None, dims, nlist, (qtype, encodeResidual), metric, &config)
    }

    #[new]
    fn over(
        provider: &GpuResourcesProvider,
        coarseQuantizer: Shared<dyn Index>,
        dims: i64,
        nlist: usize,
        qtype: i32,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] encodeResidual: bool,
        #[default = None] config: Option<&GpuIndexIVFScalarQuantizerConfig>,
    ) -> Result<Self> {
        let config = config.unwrap_or(&GpuIndexIVFScalarQuantizerConfig::default()).clone();
        Self::new(
            provider.resources().clone(),
            Some(coarseQuantizer),
            dims,
            nlist,
            (qtype, encodeResidual),
            metric,
            &config,
        )
    }

    /// Becomes a copy of a CPU index. On an error this index stays as it was.
    #[name = "copyFrom"]
    pub fn copy_from(&mut self, index: &IndexIVFScalarQuantizer) -> Result<()> {
        sq::check(&index.sq)?;
        super::check_metric(index.metric_type)?;
        let same = index.sq.d == index.dim() && index.sq.code_size == index.code_size;
        Error::check(same, "sq.d == d && sq.code_size == code_size")?;
        self.ivf = self.ivf.copied_from(index)?;
        self.sq = index.sq.clone();
        self.by_residual = index.by_residual;
        self.derived = Mutex::default();
        super::coarse::update_quantizer(self)
    }

    /// Makes a CPU index a copy of this one.
    #[name = "copyTo"]
    pub fn copy_to(&self, index: &mut IndexIVFScalarQuantizer) -> Result<()> {
        *index = self.to_cpu()?;
        Ok(())
    }
}

impl GpuIndexIVFScalarQuantizer {
    /// Over `nlist` lists of `quantizer`, or of a new GpuIndexFlat where none is given. `codes`: one of the `QT_` constants, and whether
    /// codes are of residuals.
    pub fn new(
        resources: Arc<GpuResources>,
        quantizer: Option<Shared<dyn Index>>,
        d: i64,
        nlist: usize,
        (qtype, by_residual): (i32, bool),
        metric: MetricType,
        config: &GpuIndexIVFScalarQuantizerConfig,
    ) -> Result<Self> {
        let width = usize::try_from(d).map_err(|_| Error::failed("d >= 0", "the dimension is out of range"))?;
        let sq = ScalarQuantizer::new(width, qtype)?;
        sq::check(&sq)?;
        super::check_metric(metric)?;
        let mut ivf = GpuIndexIVF::new(resources, quantizer, d, nlist, metric, &config.ivf)?;
        ivf.gpu.base.is_trained = false;
        Ok(GpuIndexIVFScalarQuantizer { ivf, sq, by_residual, derived: Mutex::default() })
    }

    /// A copy of a CPU index.
    pub fn from_cpu(
        resources: Arc<GpuResources>,
        index: &IndexIVFScalarQuantizer,
        config: &GpuIndexIVFScalarQuantizerConfig,
    ) -> Result<Self> {
        let ivf = GpuIndexIVF::unmade(resources, &config.ivf)?;
        let mut made = GpuIndexIVFScalarQuantizer { ivf, ..Default::default() };
        made.copy_from(index)?;
        Ok(made)
    }

    /// The same index on the CPU.
    pub fn to_cpu(&self) -> Result<IndexIVFScalarQuantizer> {
        let ivf: IndexIVF = self.ivf.to_cpu(self.sq.code_size, self.by_residual)?;
        Ok(IndexIVFScalarQuantizer { ivf, sq: self.sq.clone() })
    }

    fn duplicate(&self) -> Result<Self> {
        let ivf = GpuIndexIVF::unmade(self.ivf.gpu.resources().clone(), self.ivf.config())?;
        let mut copy = GpuIndexIVFScalarQuantizer { ivf, ..Default::default() };
        copy.copy_from(&self.to_cpu()?)?;
        Ok(copy)
    }

    fn quantizer_on_device(&self, context: &Context<'_>) -> crate::Result<Arc<DeviceQuantizer>> {
        let mut derived = self.derived.lock();
        if let Some(made) = &derived.quantizer {
            return Ok(made.clone());
        }
        let made = Arc::new(DeviceQuantizer::new(context, &self.sq)?);
        derived.quantizer = Some(made.clone());
        Ok(made)
    }
}

impl Index for GpuIndexIVFScalarQuantizer {
    crate::gpu_inverted_file_index!();
}

impl GpuInvertedFile for GpuIndexIVFScalarQuantizer {
    fn ivf(&self) -> &GpuIndexIVF {
        &self.ivf
    }
    fn ivf_mut(&mut self) -> &mut GpuIndexIVF {
        &mut self.ivf
    }
    fn code_size(&self) -> usize {
        self.sq.code_size
    }
    fn needs_centroids(&self) -> bool {
        self.by_residual
    }

    /// As on the CPU: ranges of a sample of the vectors or of their residuals.
    fn train_encoder(&mut self, x: &[f32]) -> Result<()> {
        sq::check(&self.sq)?;
        let sample = maybe_subsample(x, self.dim(), MAX_TRAINING_VECTORS, 1234)?;
        let sample = if self.by_residual { self.ivf.residuals(&sample)?.into() } else { sample };
        let mut sq = self.sq.clone();
        sq.train(&sample)?;
        self.sq = sq;
        self.derived = Mutex::default();
        Ok(())
    }

    fn encode<'a>(&self, context: &'a Context<'_>, batch: &Batch) -> crate::Result<Codes<'a>> {
        let quantizer = self.quantizer_on_device(context)?;
        let mut codes = context.take::<u8>(batch.count * quantizer.code_size())?;
        let target = codes.ptr_mut();
        if self.by_residual {
            let centroids = batch.centroids.ok_or_else(super::edit::no_centroids)?;
            let (wide, _kept) = rows::as_f32(context, centroids.rows, centroids.count, centroids.d)?;
            let residual = Residual { lists: batch.lists, centroids: wide };
            quantizer.encode(context, batch.rows, batch.count, Some(residual), target)?;
        } else {
            quantizer.encode(context, batch.rows, batch.count, None, target)?;
        }
        Ok(Codes::Bytes(codes))
    }

    fn scan(&self, context: &Context<'_>, scan: &Scan) -> crate::Result<()> {
        let codec = self.quantizer_on_device(context)?.codec(self.by_residual);
        ivf_scan::scan(context, &codec, kernel_metric(self.metric_type), scan)
    }

    fn same_codes(&self, other: &dyn GpuInvertedFile) -> bool {
        let other = cast::<GpuIndexIVFScalarQuantizer>(other);
        other.is_some_and(|other| other.sq.qtype == self.sq.qtype && other.sq.trained == self.sq.trained)
    }
    fn scan_generation(&self) -> Option<u64> {
        Some(self.derived.lock().generation)
    }

    fn best(&self, context: &Context<'_>, queries: &Queries, search: &Search, out: Best) -> crate::Result<()> {
        let codec = self.quantizer_on_device(context)?.codec(self.by_residual);
        ivf_scan::best(context, &codec, kernel_metric(self.metric_type), queries, search, out)
    }

    fn decode_on_host(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.sq.decode(codes, x)
    }
    fn by_residual(&self) -> bool {
        self.by_residual
    }
}
