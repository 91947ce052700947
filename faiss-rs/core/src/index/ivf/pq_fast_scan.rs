//! Inverted file of packed product-quantized codes of four bits.

use faiss_derive::{Object, methods};

use super::fast_scan::{
    FastScanFile, IndexIVFFastScan, QueryTables, TablesMaker, range_search_pairs, search_pairs, searcher,
};
use super::pq::IndexIVFPQ;
use super::{InvertedFile, Pairs, Search, Searcher};
use crate::base::object::cast;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::distance::results::{InRadius, TopK};
use crate::grammar::{FastScanPart, Grammar};
use crate::index::ivf::format::{Header, Lists};
use crate::index::{Index, dim_of};
use crate::quantize::ProductQuantizer;
use crate::quantize::product::Transposed;
use crate::registry::Row;
use crate::simd;
use crate::stream::IO_FLAG_SKIP_PRECOMPUTE_TABLE;

/// The largest precomputed table, in bytes.
const PRECOMPUTED_TABLE_MAX_BYTES: usize = 2 << 30;

/// Stores packed product-quantized codes of four bits, of vectors or of their residuals, in the lists of a coarse quantizer.
///
/// As `IndexIVFPQ` with 4 bits a part: `M / 2` bytes a vector and 8 for its id, looked up in registers many at a time; distances are rounded.
#[derive(Object, Clone, Default)]
#[object(implements(Index, InvertedFile, FastScanFile), methods, copy(fast_scan))]
pub struct IndexIVFPQFastScan {
    /// The packed lists.
    #[object(parent)]
    pub fast_scan: IndexIVFFastScan,
    /// Makes the codes.
    pub pq: ProductQuantizer,
    /// -1: make no precomputed table; 0: decide when it is made; 1: it is there.
    pub use_precomputed_table: i32,
    /// The parts of distances that do not depend on the query, `nlist * M * 16` numbers.
    pub precomputed_table: Vec<f32>,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFPQFastScan>()
    .grammar(Grammar::InvertedFile(|over, part| {
        let Some(part) = FastScanPart::parse(part, "PQ") else { return Ok(None) };
        let quantizer = over.quantizer.clone();
        let mut index = IndexIVFPQFastScan::new(quantizer, over.d, over.nlist, part.m, 4, over.metric, part.bbs, true)?;
        index.by_residual = part.by_residual;
        Ok(Some(Handle::new(index)))
    }))
    .format(crate::file_format!(IndexIVFPQFastScan, ["IwPf"], |index, code, file| {
        index.ivf => Header(code);
        index.by_residual;
        index.code_size;
        index.bbs;
        index.M2;
        index.implem;
        index.qbs2;
        index.pq;
        read {
            Error::check(index.pq.nbits == 4, "ksub == 16")?;
            index.fast_scan.set_parts(index.pq.M, index.pq.code_size, index.pq.d)?;
        }
        index.ivf => Lists;
        read {
            if index.is_trained && !file.has_flag(IO_FLAG_SKIP_PRECOMPUTE_TABLE) {
                index.precompute_table()?;
            }
        }
    }));

#[methods(new)]
impl IndexIVFPQFastScan {
    /// Over `nlist` lists of `quantizer`, with codes of `M` numbers of four bits, in blocks of `bbs` vectors.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        M: usize,
        nbits: i64,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 32] bbs: i64,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        Error::check(nbits == 4, "nbits_init == 4")?;
        let known = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
        Error::check(known, "metric == METRIC_L2 || metric == METRIC_INNER_PRODUCT")?;
        let pq = ProductQuantizer::new(dim_of(d), M, 4)?;
        let fast_scan = IndexIVFFastScan::new(quantizer, d, nlist, M, metric, bbs, own_invlists)?;
        Ok(IndexIVFPQFastScan { fast_scan, pq, ..Default::default() })
    }

    /// The codes of another inverted file, packed.
    #[new]
    pub fn from_ivfpq(orig: &IndexIVFPQ, #[default = 32] bbs: i64) -> Result<Self> {
        let nbits = i64::try_from(orig.pq.nbits).unwrap_or(i64::MAX);
        let (quantizer, d) = (orig.quantizer()?.clone(), i64::from(orig.d));
        let mut made =
            IndexIVFPQFastScan::new(quantizer, d, orig.nlist, orig.pq.M, nbits, orig.metric_type, bbs, true)?;
        made.pq = orig.pq.clone();
        (made.is_trained, made.by_residual, made.nprobe) = (orig.is_trained, orig.by_residual, orig.nprobe);
        made.fast_scan.take(orig)?;
        if made.is_trained {
            made.precompute_table()?;
        }
        Ok(made)
    }

    /// Makes the precomputed table where residuals are compared by L2 and it is not too large.
    pub fn precompute_table(&mut self) -> Result<()> {
        self.precomputed_table = Vec::new();
        if self.use_precomputed_table == -1 {
            return Ok(());
        }
        let quantizer = self.quantizer()?.clone();
        let quantizer = quantizer.read();
        let size = self.pq.M * self.pq.ksub;
        let numbers = size.saturating_mul(self.nlist);
        let l2 = self.metric_type == MetricType::L2 && quantizer.base().metric_type == MetricType::L2;
        let fits = numbers.saturating_mul(size_of::<f32>()) <= PRECOMPUTED_TABLE_MAX_BYTES;
        if !(self.by_residual && l2 && fits) || quantizer.base().ntotal != self.nlist as i64 {
            self.use_precomputed_table = 0;
            return Ok(());
        }
        let (norms, transposed) = (self.norms(), self.pq.transposed());
        let (mut table, mut centroid) = (vec![0f32; numbers], vec![0f32; self.pq.d]);
        for (list, row) in table.chunks_exact_mut(size).enumerate() {
            quantizer.reconstruct(list as i64, &mut centroid)?;
            self.pq.inner_prod_table_with(&transposed, &centroid, row);
            row.iter_mut().zip(&norms).for_each(|(t, n)| *t = n + 2.0 * *t);
        }
        self.precomputed_table = table;
        self.use_precomputed_table = 1;
        Ok(())
    }
}

impl IndexIVFPQFastScan {
    /// Squared norms of the product quantizer's centroids.
    fn norms(&self) -> Vec<f32> {
        self.pq.centroids.chunks_exact(self.pq.dsub.max(1)).map(simd::fvec_norm_L2sqr).collect()
    }
}

impl Index for IndexIVFPQFastScan {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFPQFastScan {
    crate::lists_and_codec!(fast_scan.ivf, pq);
    fn train_encoder_num_vectors(&self) -> usize {
        usize::try_from(self.pq.cp.max_points_per_centroid).unwrap_or(0).saturating_mul(self.pq.ksub)
    }
    fn train_encoder(&mut self, x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        self.pq.verbose |= self.verbose;
        self.pq.train(x)?;
        if self.by_residual && self.metric_type == MetricType::L2 { self.precompute_table() } else { Ok(()) }
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        let other = cast::<IndexIVFPQFastScan>(other);
        let same = other.is_some_and(|other| other.pq.M == self.pq.M && other.bbs == self.bbs);
        Error::check(same, "other->pq.M == pq.M && other->bbs == bbs")
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        searcher(self, search.quantizer)
    }
    fn search_pairs(&self, pairs: &Pairs<'_>, k: usize, out: &TopK<'_>) -> Result<bool> {
        search_pairs(self, pairs, k, out).map(|()| true)
    }
    fn range_search_pairs(&self, pairs: &Pairs<'_>, radius: f32, out: &InRadius) -> Result<bool> {
        range_search_pairs(self, pairs, radius, out).map(|()| true)
    }
}

impl FastScanFile for IndexIVFPQFastScan {
    fn fast_scan(&self) -> &IndexIVFFastScan {
        &self.fast_scan
    }
    fn fast_scan_mut(&mut self) -> &mut IndexIVFFastScan {
        &mut self.fast_scan
    }
    fn tables_maker<'a>(&'a self, quantizer: &'a dyn Index) -> Result<Box<dyn TablesMaker + Send + Sync + 'a>> {
        super::codec::check(self, &self.pq)?;
        let size = self.nlist.checked_mul(self.pq.M * self.pq.ksub);
        let has_table = self.use_precomputed_table == 1 && size == Some(self.precomputed_table.len());
        Ok(Box::new(Maker { index: self, quantizer, transposed: self.pq.transposed(), has_table }))
    }
}

struct Maker<'a> {
    index: &'a IndexIVFPQFastScan,
    quantizer: &'a dyn Index,
    transposed: Transposed,
    has_table: bool,
}

impl TablesMaker for Maker<'_> {
    fn fill(&self, x: &[f32], lists: &[i64], coarse: &[f32], out: &mut QueryTables) -> Result<()> {
        let pq = &self.index.pq;
        let size = pq.M * pq.ksub;
        let similarity = self.index.metric_type.is_similarity();
        out.bias.clear();
        if !self.index.by_residual || similarity {
            out.tables.resize(size, 0.0);
            if similarity {
                pq.inner_prod_table_with(&self.transposed, x, &mut out.tables);
                if self.index.by_residual {
                    out.bias.extend(lists.iter().zip(coarse).map(|(list, c)| if *list < 0 { 0.0 } else { *c }));
                }
            } else {
                pq.distance_table_with(&self.transposed, x, &mut out.tables);
            }
            return Ok(());
        }
        out.tables.clear();
        out.tables.resize(size * lists.len(), 0.0);
        if self.has_table {
            let mut products = vec![0f32; size];
            pq.inner_prod_table_with(&self.transposed, x, &mut products);
            for ((list, c), to) in lists.iter().zip(coarse).zip(out.tables.chunks_exact_mut(size)) {
                let Ok(list) = usize::try_from(*list) else {
                    out.bias.push(0.0);
                    continue;
                };
                out.bias.push(*c);
                let own = &self.index.precomputed_table[list * size..(list + 1) * size];
                to.iter_mut().zip(own).zip(&products).for_each(|((t, own), p)| *t = own - 2.0 * p);
            }
            return Ok(());
        }
        let mut residual = vec![0f32; pq.d];
        for (list, to) in lists.iter().zip(out.tables.chunks_exact_mut(size)) {
            out.bias.push(0.0);
            if *list >= 0 {
                self.quantizer.compute_residual(x, &mut residual, *list)?;
                pq.distance_table_with(&self.transposed, &residual, to);
            }
        }
        Ok(())
    }
}
