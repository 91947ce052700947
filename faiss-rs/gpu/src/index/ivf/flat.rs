//! Inverted file of vectors stored as they are.

use std::sync::Arc;

use faiss_core::base::object::receiver;
use faiss_core::base::{Error, Handle, MetricType, Result, Shared};
use faiss_core::index::Index;
use faiss_core::index::ivf::flat::IndexIVFFlat;
use faiss_core::registry::Row;
use faiss_derive::{Object, methods};

use super::coarse::is_linear;
use super::{Batch, Codes, GpuIndexIVF, GpuInvertedFile};
use crate::config::GpuIndexIVFFlatConfig;
use crate::kind::{Cloner, Target};
use crate::ops::ivf_scan::{self, Codec};
use crate::ops::knn::kernel_metric;
use crate::ops::list_metric;
use crate::ops::probe::{self, Queries, Scan, Search};
use crate::ops::select::Best;
use crate::resources::{Context, GpuResources};
use crate::standard::GpuResourcesProvider;

/// Stores full vectors in the lists of a coarse quantizer, on a GPU; by any metric.
#[derive(Object, Default)]
#[object(methods, implements(Index, GpuInvertedFile), copy = duplicate)]
pub struct GpuIndexIVFFlat {
    #[object(parent)]
    pub ivf: GpuIndexIVF,
}

pub const ROW: Row = Row::of::<GpuIndexIVFFlat>();

pub const CLONER: Cloner = Cloner {
    gpu: "GpuIndexIVFFlat",
    cpu: "IndexIVFFlat",
    to_gpu: |target: &Target<'_>, index| {
        let config = GpuIndexIVFFlatConfig { ivf: target.options.ivf_config(target.device), ..Default::default() };
        let mut made = GpuIndexIVFFlat::from_cpu(target.resources.clone(), receiver(index)?, &config)?;
        super::edit::reserve_for(&mut made, target.options)?;
        Ok(Handle::new(made))
    },
    to_cpu: |index| Ok(Handle::new(receiver::<GpuIndexIVFFlat>(index)?.to_cpu()?)),
};

#[methods]
impl GpuIndexIVFFlat {
    /// A copy of a CPU index.
    #[new]
    fn of_index(
        provider: &GpuResourcesProvider,
        index: &IndexIVFFlat,
        #[default = None] config: Option<&GpuIndexIVFFlatConfig>,
    ) -> Result<Self> {
        Self::from_cpu(provider.resources().clone(), index, config.unwrap_or(&GpuIndexIVFFlatConfig::default()))
    }

    #[new]
    fn of(
        provider: &GpuResourcesProvider,
        dims: i64,
        nlist: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = None] config: Option<&GpuIndexIVFFlatConfig>,
    ) -> Result<Self> {
        let config = config.unwrap_or(&GpuIndexIVFFlatConfig::default()).clone();
        Self::new(provider.resources().clone(), None, dims, nlist, metric, &config)
    }

    #[new]
    fn over(
        provider: &GpuResourcesProvider,
        coarseQuantizer: Shared<dyn Index>,
        dims: i64,
        nlist: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = None] config: Option<&GpuIndexIVFFlatConfig>,
    ) -> Result<Self> {
        let config = config.unwrap_or(&GpuIndexIVFFlatConfig::default()).clone();
        Self::new(provider.resources().clone(), Some(coarseQuantizer), dims, nlist, metric, &config)
    }

    /// Becomes a copy of a CPU index. On an error this index stays as it was.
    #[name = "copyFrom"]
    pub fn copy_from(&mut self, index: &IndexIVFFlat) -> Result<()> {
        Error::check(index.code_size == index.dim() * size_of::<f32>(), "code_size == d * sizeof(float)")?;
        self.ivf = self.ivf.copied_from(index)?;
        Ok(())
    }

    /// Makes a CPU index a copy of this one.
    #[name = "copyTo"]
    pub fn copy_to(&self, index: &mut IndexIVFFlat) -> Result<()> {
        *index = self.to_cpu()?;
        Ok(())
    }
}

impl GpuIndexIVFFlat {
    /// Over `nlist` lists of `quantizer`, or of a new GpuIndexFlat where none is given.
    pub fn new(
        resources: Arc<GpuResources>,
        quantizer: Option<Shared<dyn Index>>,
        d: i64,
        nlist: usize,
        metric: MetricType,
        config: &GpuIndexIVFFlatConfig,
    ) -> Result<Self> {
        Ok(GpuIndexIVFFlat { ivf: GpuIndexIVF::new(resources, quantizer, d, nlist, metric, &config.ivf)? })
    }

    /// A copy of a CPU index.
    pub fn from_cpu(
        resources: Arc<GpuResources>,
        index: &IndexIVFFlat,
        config: &GpuIndexIVFFlatConfig,
    ) -> Result<Self> {
        let mut made = GpuIndexIVFFlat { ivf: GpuIndexIVF::unmade(resources, &config.ivf)? };
        made.copy_from(index)?;
        Ok(made)
    }

    /// The same index on the CPU.
    pub fn to_cpu(&self) -> Result<IndexIVFFlat> {
        Ok(IndexIVFFlat { ivf: self.ivf.to_cpu(self.code_size(), false)? })
    }

    fn duplicate(&self) -> Result<Self> {
        Ok(GpuIndexIVFFlat { ivf: self.ivf.copied_from(&self.to_cpu()?.ivf)? })
    }
}

impl Index for GpuIndexIVFFlat {
    crate::gpu_inverted_file_index!();
}

impl GpuInvertedFile for GpuIndexIVFFlat {
    fn ivf(&self) -> &GpuIndexIVF {
        &self.ivf
    }
    fn ivf_mut(&mut self) -> &mut GpuIndexIVF {
        &mut self.ivf
    }
    fn code_size(&self) -> usize {
        self.dim() * size_of::<f32>()
    }
    fn encode<'a>(&self, _context: &'a Context<'_>, _batch: &Batch) -> crate::Result<Codes<'a>> {
        Ok(Codes::Rows)
    }
    fn decode_on_host(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        for (x, bytes) in x.iter_mut().zip(codes.chunks_exact(size_of::<f32>())) {
            *x = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }
    fn scan(&self, context: &Context<'_>, scan: &Scan) -> crate::Result<()> {
        if !is_linear(self.metric_type) {
            return list_metric::scan(context, self.metric_type, self.metric_arg, scan);
        }
        ivf_scan::scan(context, &Codec::floats(), kernel_metric(self.metric_type), scan)
    }
    fn same_codes(&self, _other: &dyn GpuInvertedFile) -> bool {
        true
    }
    fn scan_generation(&self) -> Option<u64> {
        Some(self.metric_arg.to_bits().into())
    }
    fn best(&self, context: &Context<'_>, queries: &Queries, search: &Search, out: Best) -> crate::Result<()> {
        if !is_linear(self.metric_type) {
            return probe::best(context, queries, search, &|scan| self.scan(context, scan), out);
        }
        ivf_scan::best(context, &Codec::floats(), kernel_metric(self.metric_type), queries, search, out)
    }
}
