//! Statistics over all searches of this process, as Faiss keeps them in global variables. GPUs count nothing.

use std::sync::LazyLock;

use faiss_derive::{Object, methods};

use crate::base::{Handle, Shared};
use crate::registry::Row;
use crate::storage::panorama::scan::Scanned;

macro_rules! statistics {
    ($(#[doc = $doc:literal])* $name:ident, $static:ident, $row:ident, $add:literal { $($(#[doc = $field_doc:literal])* $field:ident: $ty:ty,)* }
        $($method:item)*) => {
        $(#[doc = $doc])*
        #[derive(Object, Default, Clone)]
        #[object(methods)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $ty,)*
        }

        #[methods(new)]
        impl $name {
            /// Sets everything to 0.
            pub fn reset(&mut self) {
                *self = $name::default();
            }

            /// Adds other statistics to these.
            #[name = $add]
            pub fn add(&mut self, other: &$name) {
                $(self.$field += other.$field;)*
            }

            $($method)*
        }

        pub(crate) const $row: Row = Row::of::<$name>();

        /// Those of this process.
        pub static $static: LazyLock<Shared<$name>> = LazyLock::new(|| Shared::new($name::default()));
    };
}

statistics! {
    /// What searches in inverted files did so far.
    IndexIVFStats, INDEX_IVF_STATS, IVF, "add" {
        /// Number of queries.
        nq: usize,
        /// Number of lists looked into, without empty ones.
        nlist: usize,
        /// Number of distances computed.
        ndis: usize,
        /// Number of results that came into a query's best, of which there may for a time be up to twice `k`. Depends on the order of visits.
        nheap_updates: usize,
        /// Milliseconds spent in the quantizer.
        quantization_time: f64,
        /// Milliseconds spent in searches, the quantizer included.
        search_time: f64,
    }
}

statistics! {
    /// What polysemous searches in inverted files of product-quantized codes did so far.
    IndexIVFPQStats, INDEX_IVFPQ_STATS, IVFPQ, "add" {
        /// Number of distances refined; nothing here does.
        nrefine: usize,
        /// Number of codes near enough by their Hamming distance.
        n_hamming_pass: usize,
        /// Not measured here.
        search_cycles: usize,
        /// Not measured here.
        refine_cycles: usize,
    }
}

statistics! {
    /// What searches among product-quantized codes did so far.
    IndexPQStats, INDEX_PQ_STATS, PQ, "add" {
        /// Number of queries.
        nq: usize,
        /// Number of pairs of query and code.
        ncode: usize,
        /// Number of those near enough by their Hamming distance, in polysemous searches.
        n_hamming_pass: usize,
    }
}

statistics! {
    /// What searches in hierarchical graphs did so far.
    HNSWStats, HNSW_STATS, HNSW, "combine" {
        /// Number of queries.
        n1: usize,
        /// Number of those whose candidates all were looked at.
        n2: usize,
        /// Number of distances computed.
        ndis: usize,
        /// Number of vertices whose links were looked at.
        nhops: usize,
    }
}

/// How many levels of vectors searches looked at, of those that there were.
#[derive(Object, Clone)]
#[object(methods)]
pub struct PanoramaStats {
    /// Levels of vectors that were looked at.
    pub total_dims_scanned: usize,
    /// Levels of all vectors that were searched.
    pub total_dims: usize,
    /// The part that was looked at; 1 where there were none.
    #[object(default = 1.0)]
    pub ratio_dims_scanned: f32,
}

#[methods(new)]
impl PanoramaStats {
    /// Sets everything to its beginning.
    pub fn reset(&mut self) {
        *self = PanoramaStats::default();
    }

    /// Adds other statistics to these.
    pub fn add(&mut self, other: &PanoramaStats) {
        self.count(other.total_dims_scanned, other.total_dims);
    }
}

impl PanoramaStats {
    fn count(&mut self, scanned: usize, of: usize) {
        self.total_dims_scanned = self.total_dims_scanned.saturating_add(scanned);
        self.total_dims = self.total_dims.saturating_add(of);
        if self.total_dims > 0 {
            self.ratio_dims_scanned = (self.total_dims_scanned as f64 / self.total_dims as f64) as f32;
        }
    }
}

pub(crate) const PANORAMA: Row = Row::of::<PanoramaStats>();

/// Those of this process.
pub static PANORAMA_STATS: LazyLock<Shared<PanoramaStats>> = LazyLock::new(|| Shared::new(PanoramaStats::default()));

/// Counts what a search looked at.
pub fn count_scanned(scanned: Scanned) {
    PANORAMA_STATS.write().count(scanned.levels as usize, scanned.of as usize);
}

statistics! {
    /// What searches of graphs over RaBitQ codes of several bits did so far.
    RaBitQStats, RABITQ_STATS, RABITQ, "add" {
        /// Number of estimates by signs alone.
        n_1bit: usize,
        /// Number of those that all of the code was looked at for.
        n_refine: usize,
    }
    /// The share of estimates that all of the code was looked at for.
    pub fn refine_ratio(&self) -> f64 {
        if self.n_1bit == 0 { 0.0 } else { self.n_refine as f64 / self.n_1bit as f64 }
    }
}

statistics! {
    /// Where searches among packed codes spent their time, as Faiss has it; nothing is measured here.
    FastScanStats, FAST_SCAN_STATS, FAST_SCAN, "add" {
        /// Not measured here.
        t0: usize,
        /// Not measured here.
        t1: usize,
        /// Not measured here.
        t2: usize,
        /// Not measured here.
        t3: usize,
    }
}

statistics! {
    /// Where searches in inverted files of packed codes spent their time, as Faiss has it; nothing is measured here.
    IVFFastScanStats, IVF_FAST_SCAN_STATS, IVF_FAST_SCAN, "add" {
        /// Not measured here.
        t_compute_distance_tables: usize,
        /// Not measured here.
        t_round: usize,
        /// Not measured here.
        t_copy_pack: usize,
        /// Not measured here.
        t_scan: usize,
        /// Not measured here.
        t_to_flat: usize,
        /// Not measured here.
        t_aq_encode: usize,
        /// Not measured here.
        t_aq_norm_encode: usize,
    }
}

/// The statistics by their name in Faiss's `cvar`.
pub fn global(name: &str) -> Option<Handle> {
    match name {
        "indexIVF_stats" => Some(INDEX_IVF_STATS.object()),
        "indexIVFPQ_stats" => Some(INDEX_IVFPQ_STATS.object()),
        "hnsw_stats" => Some(HNSW_STATS.object()),
        "indexPanorama_stats" => Some(PANORAMA_STATS.object()),
        "FastScan_stats" => Some(FAST_SCAN_STATS.object()),
        "IVFFastScan_stats" => Some(IVF_FAST_SCAN_STATS.object()),
        "rabitq_stats" => Some(RABITQ_STATS.object()),
        "indexPQ_stats" => Some(INDEX_PQ_STATS.object()),
        _ => None,
    }
}
