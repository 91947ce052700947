//! Inverted file of vectors stored as they are.

use std::sync::Arc;

use faiss_core::base::object::{Method, cast, receiver};
use faiss_core::base::{Error, Handle, MetricType, Result, Shared, Value};
use faiss_core::index::Index;
use faiss_core::index::ivf::flat::IndexIVFFlat;
use faiss_core::registry::{Row, no_overload};
use faiss_derive::Object;

use super::{Batch, Codes, GpuIndexIVF, GpuInvertedFile, arguments};
use crate::config::GpuIndexIVFFlatConfig;
use crate::kind::{Cloner, Target};
use crate::launchers::{self, Metric};
use crate::lists::ListsView;
use crate::memory::Ptr;
use crate::ops::knn::{Vectors, kernel_metric};
use crate::ops::probe::{self, Probes, Scan, Search, Tiles};
use crate::ops::rows::Rows;
use crate::ops::select::{self, BLOCK_K, Best};
use crate::resources::{Context, GpuResources};

/// Stores full vectors in the lists of a coarse quantizer, on a GPU.
#[derive(Object, Default)]
#[object(methods = METHODS, implements(Index, GpuInvertedFile), copy = duplicate)]
pub struct GpuIndexIVFFlat {
    #[object(parent)]
    pub ivf: GpuIndexIVF,
}

const SIGNATURES: &[&str] = &[
    "(provider: GpuResourcesProvider, index: IndexIVFFlat, config: GpuIndexIVFFlatConfig = ...)",
    "(provider: GpuResourcesProvider, dims: int, nlist: int, metric: int = METRIC_L2, config: GpuIndexIVFFlatConfig = ...)",
    "(provider: GpuResourcesProvider, coarseQuantizer: Index, dims: int, nlist: int, metric: int = METRIC_L2, config: GpuIndexIVFFlatConfig = ...)",
];

const METHODS: &[Method] = crate::gpu_inverted_file_methods!(GpuIndexIVFFlat, IndexIVFFlat);

pub const ROW: Row = Row::of::<GpuIndexIVFFlat>().construct(
    |args| {
        let wrong = || no_overload("GpuIndexIVFFlat", SIGNATURES);
        let first = arguments::<GpuIndexIVFFlatConfig>(args)?.ok_or_else(wrong)?;
        let made = match (&first.index, first.rest) {
            (Some(index), []) => {
                let index = index.read();
                let cpu = cast::<IndexIVFFlat>(&*index).ok_or_else(wrong)?;
                GpuIndexIVFFlat::from_cpu(first.resources, cpu, &first.config)?
            }
            (quantizer, [Value::Int(d), Value::Int(nlist), metric @ ..]) => {
                let metric = match metric {
                    [] => MetricType::L2,
                    [Value::Int(metric)] => MetricType::try_from(*metric)?,
                    _ => return Err(wrong()),
                };
                let nlist = usize::try_from(*nlist).map_err(|_| Error::overflow("nlist is out of range for size_t"))?;
                GpuIndexIVFFlat::new(first.resources, quantizer.clone(), *d, nlist, metric, &first.config)?
            }
            _ => return Err(wrong()),
        };
        Ok(Handle::new(made))
    },
    SIGNATURES,
);

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

    /// Becomes a copy of a CPU index. On an error this index stays as it was.
    pub fn copy_from(&mut self, index: &IndexIVFFlat) -> Result<()> {
        Error::check(index.code_size == index.dim() * size_of::<f32>(), "code_size == d * sizeof(float)")?;
        self.ivf = self.ivf.copied_from(index)?;
        Ok(())
    }

    /// The same index on the CPU.
    pub fn to_cpu(&self) -> Result<IndexIVFFlat> {
        Ok(IndexIVFFlat { ivf: self.ivf.to_cpu(self.code_size(), false)? })
    }

    /// Makes a CPU index a copy of this one.
    pub fn copy_to(&self, index: &mut IndexIVFFlat) -> Result<()> {
        *index = self.to_cpu()?;
        Ok(())
    }

    fn duplicate(&self) -> Result<Self> {
        Ok(GpuIndexIVFFlat { ivf: self.ivf.copied_from(&self.to_cpu()?.ivf)? })
    }
}

impl Index for GpuIndexIVFFlat {
    crate::gpu_inverted_file_index!();
}

/// Queries of one tile of the kernels that visit list by list.
const TILE_QUERIES: usize = 32;
const PRODUCT_QUERIES: usize = 64;
/// Queries for each list from which on visiting list by list beats reading it for each of them.
const QUERIES_A_LIST: usize = 4;
/// And from which on products, which need tiles that are full and candidates to be ranked again, beat differences.
const PRODUCTS_FROM: usize = 32;
/// Vectors that a block computes at a time, in both kernels.
const SCAN_VECTORS: usize = 32;
const TILE_VECTORS: usize = 128;

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
    fn scan(&self, context: &Context<'_>, scan: &Scan) -> crate::Result<()> {
        let metric = kernel_metric(self.metric_type);
        match Strategy::choose(context, metric, scan.count * scan.nprobe, &scan.stored, None) {
            Strategy::Query => scan_by_query(context, metric, scan),
            Strategy::List | Strategy::Product => scan_by_list(context, metric, scan),
        }
    }
    fn best(&self, context: &Context<'_>, probes: &Probes, search: &Search, out: Best) -> crate::Result<()> {
        let metric = kernel_metric(self.metric_type);
        let pairs = probes.count * probes.nprobe;
        let strategy = Strategy::choose(context, metric, pairs, &search.stored, search.centroids);
        // Products choose a few candidates more than are wanted, for which selection by block has no room there.
        let crowded =
            strategy == Strategy::Product && metric == Metric::L2 && search.k + probe::SPARE_CANDIDATES > BLOCK_K;
        best_by(context, if crowded { Strategy::List } else { strategy }, metric, probes, search, out)
    }
}

/// How lists are scanned. One chooser, [`Strategy::choose`]; the tests run all of them against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Few queries: a list is read for each of them.
    Query,
    /// Many queries: a list is read once for 32 of them.
    List,
    /// The same by matrix units (compute capability 8.0 and more): products choose candidates, differences decide.
    Product,
}

impl Strategy {
    pub const ALL: [Strategy; 3] = [Strategy::Query, Strategy::List, Strategy::Product];

    /// Whether the device and the search allow it: products need the lists' centroids in f32, where distances are wanted.
    pub fn possible(self, context: &Context<'_>, metric: Metric, centroids: Option<Vectors>) -> bool {
        let centred = metric == Metric::InnerProduct || matches!(centroids, Some(Vectors { rows: Rows::F32(_), .. }));
        self != Strategy::Product || context.properties.major >= 8 && centred
    }

    pub fn choose(
        context: &Context<'_>,
        metric: Metric,
        pairs: usize,
        stored: &ListsView,
        centroids: Option<Vectors>,
    ) -> Strategy {
        let products = Strategy::Product.possible(context, metric, centroids);
        match pairs / stored.nlist.max(1) {
            0..QUERIES_A_LIST => Strategy::Query,
            PRODUCTS_FROM.. if products => Strategy::Product,
            _ => Strategy::List,
        }
    }
}

/// The best of the lists that queries look into, by a given strategy.
pub fn best_by(
    context: &Context<'_>,
    strategy: Strategy,
    metric: Metric,
    probes: &Probes,
    search: &Search,
    out: Best,
) -> crate::Result<()> {
    let products = |scan: &Scan| scan_by_products(context, metric, scan);
    match strategy {
        Strategy::Query => probe::best(context, probes, search, &|scan| scan_by_query(context, metric, scan), out),
        Strategy::List => probe::best(context, probes, search, &|scan| scan_by_list(context, metric, scan), out),
        Strategy::Product if metric == Metric::InnerProduct => probe::best(context, probes, search, &products, out),
        Strategy::Product => {
            let refine = |scan: &Scan, candidates: Best, wide: usize, out: Best| {
                refine(context, scan, candidates, wide, search.k, out)
            };
            probe::best_refined(context, probes, search, &products, Some(&refine), out)
        }
    }
}

/// The best `k` of `wide` candidates by squared distances computed without cancellation.
fn refine(context: &Context<'_>, scan: &Scan, candidates: Best, wide: usize, k: usize, out: Best) -> crate::Result<()> {
    let size = wide.next_power_of_two().max(32);
    let mut keys = context.take::<u64>(scan.count * size)?;
    launchers::ivf_flat_keys(
        context.stride(scan.count * size, 8),
        scan.queries,
        scan.d as u32,
        scan.count as u32,
        wide as u32,
        size as u32,
        candidates.ids.read(),
        scan.lists,
        scan.places,
        scan.nprobe as u32,
        codes(scan),
        scan.stored.starts,
        keys.ptr_mut(),
    )?;
    select::best_of_keys(context, keys.ptr_mut(), (scan.count, size), k, false, 0, out)
}

/// Reads a list for every query that looks into it.
pub fn scan_by_query(context: &Context<'_>, metric: Metric, scan: &Scan) -> crate::Result<()> {
    let pairs = scan.count * scan.nprobe;
    // Enough blocks to fill the GPU several times, but none without vectors.
    let wanted = (context.properties.multiprocessors as usize * 16).div_ceil(pairs.max(1));
    let splits = wanted.min(scan.stored.longest.div_ceil(SCAN_VECTORS)).max(1);
    launchers::ivf_flat_scan(
        context.launch(pairs * splits),
        metric,
        scan.queries,
        scan.d as u32,
        scan.lists,
        scan.places,
        scan.nprobe as u32,
        codes(scan),
        scan.stored.starts,
        scan.distances,
        scan.stride as i64,
        splits as u32,
    )
}

/// Reads a list once for up to [`TILE_QUERIES`] queries that look into it.
pub fn scan_by_list(context: &Context<'_>, metric: Metric, scan: &Scan) -> crate::Result<()> {
    let tiles = scan.tiles(context, TILE_QUERIES)?;
    let splits = list_splits(scan, &tiles);
    launchers::ivf_flat_tile(
        context.launch(tiles.bound * splits),
        metric,
        scan.queries,
        scan.d as u32,
        tiles.pairs.order.ptr(),
        tiles.pairs.offsets.ptr(),
        tiles.lists.ptr(),
        tiles.firsts.ptr(),
        tiles.count.ptr(),
        scan.places,
        scan.nprobe as u32,
        codes(scan),
        scan.stored.starts,
        scan.distances,
        scan.stride as i64,
        splits as u32,
    )
}

/// As [`scan_by_list`] by matrix units: about as exact as f32, up to cancellation.
pub fn scan_by_products(context: &Context<'_>, metric: Metric, scan: &Scan) -> crate::Result<()> {
    let centroids = match (metric, scan.centroids) {
        (Metric::InnerProduct, _) => Ptr::null(),
        (_, Some(Vectors { rows: Rows::F32(centroids), .. })) => centroids,
        _ => return Err(crate::Error::invalid("products need the lists' centroids in f32")),
    };
    let tiles = scan.tiles(context, PRODUCT_QUERIES)?;
    let splits = list_splits(scan, &tiles);
    launchers::ivf_flat_product(
        context.launch(tiles.bound * splits),
        metric,
        scan.queries,
        scan.d as u32,
        tiles.pairs.order.ptr(),
        tiles.pairs.offsets.ptr(),
        tiles.lists.ptr(),
        tiles.firsts.ptr(),
        tiles.count.ptr(),
        scan.places,
        scan.nprobe as u32,
        codes(scan),
        scan.stored.starts,
        centroids,
        scan.distances,
        scan.stride as i64,
        splits as u32,
    )
}

/// Blocks that share a tile: a list much longer than the others must not keep one block busy when all others are done.
fn list_splits(scan: &Scan, tiles: &Tiles<'_>) -> usize {
    scan.stored.longest.div_ceil(8 * TILE_VECTORS).min((1 << 17) / tiles.bound.max(1)).max(1)
}

/// The codes, which are vectors.
fn codes(scan: &Scan) -> Ptr<f32> {
    Ptr::new(scan.stored.codes.raw().cast())
}
