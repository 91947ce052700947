//! Inverted file of product-quantized codes.
//!
//! Distances are computed as [`ops::pq`](crate::ops::pq) says: by a table a query, and by L2 with residuals a term for each code,
//! which takes four bytes of device memory and is made by the first search after the lists changed.

use std::sync::Arc;
use std::time::Duration;

use faiss_core::base::object::{cast, receiver};
use faiss_core::base::{Error, Handle, MetricType, Result, Shared};
use faiss_core::index::Index;
use faiss_core::index::ivf::IndexIVF;
use faiss_core::index::ivf::pq::IndexIVFPQ;
use faiss_core::index::tuning::Tuned;
use faiss_core::quantize::ProductQuantizer;
use faiss_core::registry::Row;
use faiss_core::transform::maybe_subsample;
use faiss_derive::{Object, methods};
use parking_lot::{Mutex, MutexGuard};

use super::{Batch, Codes, GpuIndexIVF, GpuInvertedFile};
use crate::config::GpuIndexIVFPQConfig;
use crate::error::check_interrupt;
use crate::kind::{Cloner, Target};
use crate::lists::next_generation;
use crate::memory::{DeviceBuffer, MemorySpace, Ptr, Temp};
use crate::ops::pq::{self, CodeLists, Codebooks, PqProbes, PqScan, Residual};
use crate::ops::pq_train::pq_train;
use crate::ops::probe::{self, Queries, Scan, Search};
use crate::ops::rows;
use crate::ops::select::{BLOCK_K, Best};
use crate::resources::{Context, GpuResources};
use crate::standard::GpuResourcesProvider;

/// Stores product-quantized codes of vectors, or of their residuals, in the lists of a coarse quantizer, on a GPU.
#[derive(Object)]
#[object(methods, implements(Index, GpuInvertedFile, Tuned), copy = duplicate)]
pub struct GpuIndexIVFPQ {
    #[object(parent)]
    pub ivf: GpuIndexIVF,
    /// Makes the codes. The GPU has a copy of its centroids from training or copyFrom on.
    pub pq: ProductQuantizer,
    /// Whether codes are of residuals to the centroids of their lists.
    pub by_residual: bool,
    /// What `setPrecomputedCodes` was told.
    precomputed: bool,
    derived: Mutex<Derived>,
}

/// What the device has beside the lists; made when first needed.
struct Derived {
    /// Of the codebooks.
    generation: u64,
    codebooks: Option<Arc<Codebooks>>,
    terms: Option<Arc<Terms>>,
}

impl Default for Derived {
    fn default() -> Self {
        Derived { generation: next_generation(), codebooks: None, terms: None }
    }
}

struct Terms {
    /// Of the lists that they belong to.
    generation: u64,
    /// The mean of the centroids.
    origin: DeviceBuffer<f32>,
    values: DeviceBuffer<f32>,
}

impl Default for GpuIndexIVFPQ {
    fn default() -> Self {
        GpuIndexIVFPQ {
            ivf: GpuIndexIVF::default(),
            pq: ProductQuantizer::default(),
            by_residual: true,
            precomputed: false,
            derived: Mutex::default(),
        }
    }
}

pub const ROW: Row = Row::of::<GpuIndexIVFPQ>();

pub const CLONER: Cloner = Cloner {
    gpu: "GpuIndexIVFPQ",
    cpu: "IndexIVFPQ",
    to_gpu: |target: &Target<'_>, index| {
        let config = GpuIndexIVFPQConfig {
            ivf: target.options.ivf_config(target.device),
            use_float16_lookup_tables: target.options.use_float16,
            use_precomputed_tables: target.options.use_precomputed,
            ..Default::default()
        };
        let mut made = GpuIndexIVFPQ::from_cpu(target.resources.clone(), receiver(index)?, &config)?;
        super::edit::reserve_for(&mut made, target.options)?;
        Ok(Handle::new(made))
    },
    to_cpu: |index| Ok(Handle::new(receiver::<GpuIndexIVFPQ>(index)?.to_cpu()?)),
};

/// An error unless the kernels know codes of this quantizer.
fn check_codes(pq: &ProductQuantizer) -> Result<()> {
    pq.check()?;
    if pq.nbits == 0 || pq.nbits > pq::MAX_BITS {
        let message = format!("Bits per code must be within 1 to {}, not {}", pq::MAX_BITS, pq.nbits);
        return Err(Error::failed("bitsPerCode >= 1 && bitsPerCode <= 16", message));
    }
    Error::check(pq.d > 0, "d > 0")
}

#[methods]
impl GpuIndexIVFPQ {
    /// A copy of a CPU index.
    #[new]
    fn of_index(
        provider: &GpuResourcesProvider,
        index: &IndexIVFPQ,
        #[default = None] config: Option<&GpuIndexIVFPQConfig>,
    ) -> Result<Self> {
        Self::from_cpu(provider.resources().clone(), index, config.unwrap_or(&GpuIndexIVFPQConfig::default()))
    }

    #[new]
    fn of(
        provider: &GpuResourcesProvider,
        dims: i64,
        nlist: usize,
        subQuantizers: usize,
        bitsPerCode: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = None] config: Option<&GpuIndexIVFPQConfig>,
    ) -> Result<Self> {
        let config = config.unwrap_or(&GpuIndexIVFPQConfig::default()).clone();
        Self::new(provider.resources().clone(), None, dims, nlist, (subQuantizers, bitsPerCode), metric, &config)
    }

    #[new]
    fn over(
        provider: &GpuResourcesProvider,
        coarseQuantizer: Shared<dyn Index>,
        dims: i64,
        nlist: usize,
        subQuantizers: usize,
        bitsPerCode: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = None] config: Option<&GpuIndexIVFPQConfig>,
    ) -> Result<Self> {
        let config = config.unwrap_or(&GpuIndexIVFPQConfig::default()).clone();
        Self::new(
            provider.resources().clone(),
            Some(coarseQuantizer),
            dims,
            nlist,
            (subQuantizers, bitsPerCode),
            metric,
            &config,
        )
    }

    /// Becomes a copy of a CPU index. On an error this index stays as it was.
    #[name = "copyFrom"]
    pub fn copy_from(&mut self, index: &IndexIVFPQ) -> Result<()> {
        check_codes(&index.pq)?;
        super::check_metric(index.metric_type)?;
        let same = index.pq.d == index.dim() && index.pq.code_size == index.code_size;
        Error::check(same, "pq.d == d && pq.code_size == code_size")?;
        Error::check(index.polysemous_ht == 0, "GPU: polysemous codes not supported")?;
        self.ivf = self.ivf.copied_from(index)?;
        self.pq = index.pq.clone();
        self.by_residual = index.by_residual;
        self.derived = Mutex::default();
        super::coarse::update_quantizer(self)
    }

    /// Makes a CPU index a copy of this one.
    #[name = "copyTo"]
    pub fn copy_to(&self, index: &mut IndexIVFPQ) -> Result<()> {
        *index = self.to_cpu()?;
        Ok(())
    }

    /// Number of parts of a vector.
    #[name = "getNumSubQuantizers"]
    fn sub_quantizers(&self) -> usize {
        self.pq.M
    }

    /// Bits of the number of a centroid.
    #[name = "getBitsPerCode"]
    fn bits_per_code(&self) -> usize {
        self.pq.nbits
    }

    /// Number of centroids of a part.
    #[name = "getCentroidsPerSubQuantizer"]
    fn centroids_per_sub_quantizer(&self) -> usize {
        self.pq.ksub
    }

    /// What setPrecomputedCodes or the configuration said.
    #[name = "getPrecomputedCodes"]
    fn precomputed_codes(&self) -> bool {
        self.precomputed
    }

    /// Accepted for compatibility: there are no tables a list here that could be precomputed, and searches need none.
    #[name = "setPrecomputedCodes"]
    fn set_precomputed_codes(&mut self, enable: bool) {
        self.precomputed = enable;
    }
}

impl GpuIndexIVFPQ {
    /// Over `nlist` lists of `quantizer`, or of a new GpuIndexFlat where none is given, with codes of `m` numbers of `nbits` bits.
    pub fn new(
        resources: Arc<GpuResources>,
        quantizer: Option<Shared<dyn Index>>,
        d: i64,
        nlist: usize,
        (m, nbits): (usize, usize),
        metric: MetricType,
        config: &GpuIndexIVFPQConfig,
    ) -> Result<Self> {
        let width = usize::try_from(d).map_err(|_| Error::failed("d >= 0", "the dimension is out of range"))?;
        let pq = ProductQuantizer::new(width, m, nbits)?;
        check_codes(&pq)?;
        super::check_metric(metric)?;
        let mut ivf = GpuIndexIVF::new(resources, quantizer, d, nlist, metric, &config.ivf)?;
        ivf.gpu.base.is_trained = false;
        Ok(GpuIndexIVFPQ { ivf, pq, precomputed: config.use_precomputed_tables, ..Default::default() })
    }

    /// A copy of a CPU index.
    pub fn from_cpu(resources: Arc<GpuResources>, index: &IndexIVFPQ, config: &GpuIndexIVFPQConfig) -> Result<Self> {
        let ivf = GpuIndexIVF::unmade(resources, &config.ivf)?;
        let mut made = GpuIndexIVFPQ { ivf, precomputed: config.use_precomputed_tables, ..Default::default() };
        made.copy_from(index)?;
        Ok(made)
    }

    /// The same index on the CPU, without precomputed tables.
    pub fn to_cpu(&self) -> Result<IndexIVFPQ> {
        let ivf: IndexIVF = self.ivf.to_cpu(self.pq.code_size, self.by_residual)?;
        Ok(IndexIVFPQ { ivf, pq: self.pq.clone(), ..Default::default() })
    }

    fn duplicate(&self) -> Result<Self> {
        let mut copy = GpuIndexIVFPQ {
            ivf: GpuIndexIVF::unmade(self.ivf.gpu.resources().clone(), self.ivf.config())?,
            precomputed: self.precomputed,
            ..Default::default()
        };
        copy.copy_from(&self.to_cpu()?)?;
        Ok(copy)
    }

    /// What the device has, while nobody else looks: just long enough to take it, or to make what is missing.
    fn derived(&self) -> crate::Result<MutexGuard<'_, Derived>> {
        loop {
            if let Some(derived) = self.derived.try_lock_for(WAIT) {
                return Ok(derived);
            }
            check_interrupt()?;
        }
    }

    fn codebooks(&self, context: &Context<'_>) -> crate::Result<Arc<Codebooks>> {
        let mut derived = self.derived()?;
        if let Some(codebooks) = &derived.codebooks {
            return Ok(codebooks.clone());
        }
        let made = Arc::new(Codebooks::new(context, &self.pq)?);
        // Others use them on streams of their own.
        context.sync()?;
        derived.codebooks = Some(made.clone());
        Ok(made)
    }

    /// The terms of the lists as they are; none where distances have no such part.
    fn terms(
        &self,
        context: &Context<'_>,
        codebooks: &Codebooks,
        scan: &Scan,
        lists: &CodeLists,
    ) -> crate::Result<Option<Arc<Terms>>> {
        if !self.by_residual || self.metric_type.is_similarity() {
            return Ok(None);
        }
        let mut derived = self.derived()?;
        if let Some(terms) = derived.terms.as_ref().filter(|t| t.generation == scan.stored.generation) {
            return Ok(Some(terms.clone()));
        }
        derived.terms = None;
        let made = Arc::new(Terms::new(context, codebooks, scan, lists)?);
        context.sync()?;
        derived.terms = Some(made.clone());
        Ok(Some(made))
    }

    /// What a search needs: the scan's parts that are the same for all queries, and their distances to the lists' centroids.
    fn with_scan<R>(
        &self,
        context: &Context<'_>,
        scan: &Scan,
        work: impl FnOnce(&PqScan<'_>, &PqProbes) -> crate::Result<R>,
    ) -> crate::Result<R> {
        let codebooks = self.codebooks(context)?;
        let stored = scan.stored;
        let lists =
            CodeLists { codes: stored.codes, offsets: stored.starts, lengths: stored.lengths, nlist: stored.nlist };
        let terms = self.terms(context, &codebooks, scan, &lists)?;
        let (origin, values) = terms.as_ref().map_or((Ptr::null(), Ptr::null()), |t| (t.origin.ptr(), t.values.ptr()));
        let parts = PqScan {
            codebooks: &codebooks,
            lists,
            metric: self.metric_type,
            by_residual: self.by_residual,
            origin,
            terms: values,
            allowed: None,
        };
        let mut own_coarse = None;
        if self.by_residual && self.quantizer_metric().is_some_and(|metric| metric != self.metric_type) {
            let centroids = scan.centroids.ok_or_else(super::edit::no_centroids)?;
            let (wide, _kept) = rows::as_f32(context, centroids.rows, centroids.count, centroids.d)?;
            let mut coarse = context.take::<f32>(scan.count * scan.nprobe)?;
            let shape = (scan.count, scan.nprobe, scan.d);
            pq::coarse_distances(context, self.metric_type, scan.queries, shape, wide, scan.lists, coarse.ptr_mut())?;
            own_coarse = Some(coarse);
        }
        let visits = self.visits(context, scan)?;
        let probes = PqProbes {
            lists: scan.lists,
            coarse: own_coarse.as_ref().map_or(scan.coarse, Temp::ptr),
            places: scan.places,
            nprobe: scan.nprobe,
            visits,
        };
        work(&parts, &probes)
    }

    /// Codes that a query visits, on average: counted where there are many, as queries tend to look into the same long lists.
    fn visits(&self, context: &Context<'_>, scan: &Scan) -> crate::Result<usize> {
        if scan.count * scan.nprobe < COUNTED_FROM {
            let lists = self.ivf.lists().ok().flatten();
            return Ok(lists.map_or(0, |lists| lists.count() * scan.nprobe / lists.nlist().max(1)));
        }
        let mut lengths = vec![0u32; scan.count];
        context.download(scan.lengths, &mut lengths)?;
        Ok(lengths.iter().map(|n| *n as usize).sum::<usize>() / scan.count)
    }

    fn quantizer_metric(&self) -> Option<MetricType> {
        Some(self.ivf.quantizer.as_ref()?.read().base().metric_type)
    }
}

/// How long a search waits for another one to make what both need before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(20);
/// Pairs of query and list from which on it is worth a wait to know how many codes they have.
const COUNTED_FROM: usize = 1 << 14;

impl Terms {
    fn new(context: &Context<'_>, codebooks: &Codebooks, scan: &Scan, lists: &CodeLists) -> crate::Result<Terms> {
        let centroids = scan.centroids.ok_or_else(super::edit::no_centroids)?;
        let (wide, _kept) = rows::as_f32(context, centroids.rows, centroids.count, centroids.d)?;
        let mut host = vec![0f32; centroids.count * centroids.d];
        context.download(wide, &mut host)?;
        let mut sums = vec![0f64; centroids.d];
        for row in host.chunks_exact(centroids.d) {
            sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / centroids.count as f64) as f32).collect();
        let mut origin = DeviceBuffer::new(context.device, mean.len(), MemorySpace::Device)?;
        context.upload_to(&mean, origin.ptr_mut())?;
        let mut values = DeviceBuffer::new(context.device, scan.stored.room, MemorySpace::Device)?;
        pq::terms(context, codebooks, lists, wide, origin.ptr(), values.ptr_mut())?;
        Ok(Terms { generation: scan.stored.generation, origin, values })
    }
}

impl Tuned for GpuIndexIVFPQ {
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        (name == "use_precomputed_table").then(|| {
            self.precomputed = value != 0.0;
            Ok(())
        })
    }
}

impl Index for GpuIndexIVFPQ {
    crate::gpu_inverted_file_index!();
}

impl GpuInvertedFile for GpuIndexIVFPQ {
    fn ivf(&self) -> &GpuIndexIVF {
        &self.ivf
    }
    fn ivf_mut(&mut self) -> &mut GpuIndexIVF {
        &mut self.ivf
    }
    fn code_size(&self) -> usize {
        self.pq.code_size
    }
    fn needs_centroids(&self) -> bool {
        self.by_residual
    }
    fn by_residual(&self) -> bool {
        self.by_residual
    }
    fn decode_on_host(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.pq.decode(codes, x)
    }

    /// As on the CPU: a sample of the vectors, their residuals, and k-means of all parts.
    fn train_encoder(&mut self, x: &[f32]) -> Result<()> {
        check_codes(&self.pq)?;
        let d = self.dim();
        let most = usize::try_from(self.pq.cp.max_points_per_centroid).unwrap_or(0).saturating_mul(self.pq.ksub);
        let sample = maybe_subsample(x, d, if most == 0 { usize::MAX } else { most }, 1234)?;
        let sample = if self.by_residual { self.ivf.residuals(&sample)?.into() } else { sample };
        let mut pq = self.pq.clone();
        pq.verbose |= self.verbose;
        let trained = self.ivf.with(|context| {
            let rows = context.upload(&sample)?;
            pq_train(context, rows.ptr(), sample.len() / d, &mut pq)
        })?;
        if !trained {
            // It may ask other indexes, on this GPU, too.
            pq.train(&sample)?;
        }
        self.pq = pq;
        self.derived = Mutex::default();
        Ok(())
    }

    fn encode<'a>(&self, context: &'a Context<'_>, batch: &Batch) -> crate::Result<Codes<'a>> {
        let codebooks = &*self.codebooks(context)?;
        let mut codes = context.take::<u8>(batch.count * codebooks.code_size())?;
        let target = codes.ptr_mut();
        if self.by_residual {
            let centroids = batch.centroids.ok_or_else(super::edit::no_centroids)?;
            let (wide, _kept) = rows::as_f32(context, centroids.rows, centroids.count, centroids.d)?;
            let residual = Residual { lists: batch.lists, centroids: wide };
            pq::encode(context, codebooks, batch.rows, batch.count, Some(residual), target)?;
        } else {
            pq::encode(context, codebooks, batch.rows, batch.count, None, target)?;
        }
        Ok(Codes::Bytes(codes))
    }

    fn scan(&self, context: &Context<'_>, scan: &Scan) -> crate::Result<()> {
        self.with_scan(context, scan, |parts, probes| {
            parts.distances(context, scan.queries, scan.count, probes, scan.distances, scan.stride)
        })
    }

    fn same_codes(&self, other: &dyn GpuInvertedFile) -> bool {
        let other = cast::<GpuIndexIVFPQ>(other);
        other.is_some_and(|other| {
            (other.pq.M, other.pq.nbits) == (self.pq.M, self.pq.nbits) && other.pq.centroids == self.pq.centroids
        })
    }

    /// Terms are those of the lists.
    fn scan_generation(&self) -> Option<u64> {
        self.derived().ok().map(|derived| derived.generation)
    }

    fn best(&self, context: &Context<'_>, queries: &Queries, search: &Search, out: Best) -> crate::Result<()> {
        if search.k > BLOCK_K {
            return probe::best(context, queries, search, &|scan| self.scan(context, scan), out);
        }
        let choose = |scan: &Scan| {
            self.with_scan(context, scan, |parts, probes| {
                let parts = PqScan { allowed: search.allowed, ..*parts };
                parts.best(context, scan.queries, scan.count, probes, search.k, out)
            })
        };
        probe::best_chosen(context, queries, search, &choose, out)
    }
}
