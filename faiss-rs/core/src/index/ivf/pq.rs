//! Inverted file of product-quantized codes.
//!
//! With residuals and L2, the distance of a query x to a code is
//! `||x - c||² + (||r||² + 2 <c, r>) - 2 <x, r>` for a centroid c and a decoded residual r. The first part comes from the quantizer, the second
//! does not depend on the query, the third not on the list. Where lists are visited by several queries, the second is computed once for each
//! code; where not, it comes from the precomputed table, added to the query's.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use faiss_derive::{Object, methods};

use super::{IndexIVF, InvertedFile, Scanner, Search, Searcher, codec};
use crate::base::memory::zeroed;
use crate::base::object::cast;
use crate::base::{Error, Handle, MetricType, Result, Shared, threads};
use crate::distance::DistanceComputer;
use crate::grammar::{Grammar, PqPart};
use crate::index::Index;
use crate::index::ivf::format::{Header, Lists};
use crate::index::multi_index::MultiIndexQuantizer;
use crate::index::stats::INDEX_IVFPQ_STATS;
use crate::index::tuning::Tuned;
use crate::quantize::hamming::hamming;
use crate::quantize::product::{Scratch, Transposed};
use crate::quantize::{PolysemousTraining, ProductQuantizer};
use crate::registry::Row;
use crate::simd;
use crate::storage::lists::InvertedLists;
use crate::stream::{FourCC, IO_FLAG_SKIP_PRECOMPUTE_TABLE};

/// The largest precomputed table, in bytes.
pub static PRECOMPUTED_TABLE_MAX_BYTES: AtomicUsize = AtomicUsize::new(2 << 30);

/// Stores product-quantized codes of vectors, or of their residuals, in the lists of a coarse quantizer.
///
/// `M * nbits / 8` bytes a vector and 8 for its id. `quantizer`: an empty index that will hold the centroids, as a rule `IndexFlatL2(d)`. `nlist`:
/// number of lists. `M`: parts of a vector, which must divide `d`; `nbits`: bits of each part's code, as a rule 8. Distances are estimates: of the
/// whole query to decoded vectors. `IndexRefine` around it compares the best again. Jégou, Douze and Schmid, Product quantization for nearest
/// neighbor search, 2011.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index, InvertedFile, Tuned), copy(ivf))]
pub struct IndexIVFPQ {
    /// The inverted file.
    #[object(parent)]
    pub ivf: IndexIVF,
    /// Makes the codes.
    pub pq: ProductQuantizer,
    /// Whether training ends with polysemous training.
    pub do_polysemous_training: bool,
    /// Parameters of the polysemous training; null for the default ones.
    pub polysemous_training: Option<Shared<PolysemousTraining>>,
    /// Accepted for compatibility.
    pub scan_table_threshold: usize,
    /// Codes that differ from the query's in so many bits or more are passed over; 0 for off.
    pub polysemous_ht: i32,
    /// -1: make no precomputed table; 0: decide when it is made; 1: there is one, of the lists; 2: of the centroids of a MultiIndexQuantizer's parts.
    pub use_precomputed_table: i32,
    /// The parts of distances that do not depend on the query: `nlist * M * ksub` numbers, or as many for each centroid of the parts.
    pub precomputed_table: Vec<f32>,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFPQ>()
    .grammar(Grammar::InvertedFile(|over, part| {
        let Some(part) = PqPart::parse(part) else { return Ok(None) };
        let quantizer = over.quantizer.clone();
        let mut index = IndexIVFPQ::new(quantizer, over.d, over.nlist, part.m, part.nbits, over.metric, true)?;
        index.do_polysemous_training = part.polysemous;
        Ok(Some(Handle::new(index)))
    }))
    .format(crate::file_format!(IndexIVFPQ, ["IwPQ", "IvPQ"], |index, code| {
        *index => Fields(code);
    }));

/// What files have of it and of [`IndexIVFPQR`](super::pqr::IndexIVFPQR).
pub(super) struct Fields(pub FourCC);

crate::form!(Fields(code) of IndexIVFPQ, |index, file| {
    index.ivf => Header(code);
    index.by_residual;
    index.code_size;
    index.pq;
    read {
        let same = index.pq.code_size == index.code_size && index.pq.d == index.dim();
        Error::check(same, "code_size == pq.code_size && d == pq.d")?;
    }
    index.ivf => Lists;
    read {
        if index.is_trained && !file.has_flag(IO_FLAG_SKIP_PRECOMPUTE_TABLE) {
            index.precompute_table()?;
        }
    }
});

#[methods(new)]
impl IndexIVFPQ {
    /// Over `nlist` lists of `quantizer`, with codes of `M` numbers of `nbits_per_idx` bits.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        M: usize,
        nbits_per_idx: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        if !matches!(metric, MetricType::L2 | MetricType::InnerProduct) {
            let message = "IndexIVFPQ knows the metrics L2 and inner product only";
            return Err(Error::failed("metric == METRIC_L2 || metric == METRIC_INNER_PRODUCT", message));
        }
        let width = usize::try_from(d).map_err(|_| Error::failed("d >= 0", "the dimension is out of range"))?;
        let pq = ProductQuantizer::new(width, M, nbits_per_idx)?;
        let mut ivf = IndexIVF::new(quantizer, d, nlist, pq.code_size, metric, own_invlists)?;
        ivf.is_trained = false;
        Ok(IndexIVFPQ { ivf, pq, ..Default::default() })
    }

    /// Makes the precomputed table that `use_precomputed_table` asks for; with 0, one where residuals are compared by L2 and it is not too large.
    pub fn precompute_table(&mut self) -> Result<()> {
        codec::check(self, &self.pq)?;
        self.precomputed_table = Vec::new();
        let quantizer = self.quantizer()?.clone();
        let quantizer = quantizer.read();
        let parts = self.parts_of(&*quantizer);
        let size = self.pq.M * self.pq.ksub;
        if self.use_precomputed_table == 0 {
            let l2 = self.metric_type == MetricType::L2 && quantizer.base().metric_type == MetricType::L2;
            if !(self.by_residual && l2) || quantizer.base().ntotal != self.nlist as i64 {
                return Ok(());
            }
            let rows = parts.map_or(self.nlist, |parts| parts.ksub);
            let bytes = size.saturating_mul(rows).saturating_mul(size_of::<f32>());
            if bytes > PRECOMPUTED_TABLE_MAX_BYTES.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.use_precomputed_table = if parts.is_some() { BY_PARTS } else { BY_LIST };
        }
        let rows = match (self.use_precomputed_table, parts) {
            (BY_LIST, _) => self.nlist,
            (BY_PARTS, Some(parts)) => parts.ksub,
            (BY_PARTS, None) => {
                return Err(Error::failed("miq", "the quantizer is no MultiIndexQuantizer of parts that fit"));
            }
            _ => return Ok(()),
        };
        let (norms, transposed) = (self.norms(), self.pq.transposed());
        let mut table = zeroed::<f32>(&[rows, size])?;
        threads::parallel_rows(&mut table, size, 4, |first, rows| {
            let mut centroid = vec![0f32; self.pq.d];
            for (i, row) in rows.chunks_exact_mut(size).enumerate() {
                match parts.filter(|_| self.use_precomputed_table == BY_PARTS) {
                    Some(parts) => parts.write_centroids(first + i, &mut centroid),
                    None => quantizer.reconstruct((first + i) as i64, &mut centroid)?,
                }
                self.list_table(&centroid, &norms, &transposed, row);
            }
            Ok(())
        })?;
        self.precomputed_table = table;
        Ok(())
    }
}

/// Values of `use_precomputed_table`.
const BY_LIST: i32 = 1;
const BY_PARTS: i32 = 2;

impl IndexIVFPQ {
    /// The product quantizer of a [`MultiIndexQuantizer`], if those of the codes' parts lie within its.
    fn parts_of<'a>(&self, quantizer: &'a dyn Index) -> Option<&'a ProductQuantizer> {
        let parts = &cast::<MultiIndexQuantizer>(quantizer)?.pq;
        let fit = parts.M > 0 && self.pq.M.is_multiple_of(parts.M) && parts.d == self.pq.d && parts.check().is_ok();
        fit.then_some(parts)
    }

    /// Squared norms of the product quantizer's centroids.
    fn norms(&self) -> Vec<f32> {
        self.pq.centroids.chunks_exact(self.pq.dsub.max(1)).map(simd::fvec_norm_L2sqr).collect()
    }

    /// Writes the part of distances of the list that does not depend on the query: `M * ksub` numbers.
    fn list_table(&self, centroid: &[f32], norms: &[f32], transposed: &Transposed, table: &mut [f32]) {
        self.pq.inner_prod_table_with(transposed, centroid, table);
        table.iter_mut().zip(norms).for_each(|(t, n)| *t = n + 2.0 * *t);
    }
}

impl Index for IndexIVFPQ {
    crate::inverted_file_index!();
    fn get_distance_computer(&self) -> Result<Box<dyn DistanceComputer + '_>> {
        super::computer::by_decoding(self)
    }
}

impl InvertedFile for IndexIVFPQ {
    crate::lists_and_codec!(ivf, pq);
    fn train_encoder_num_vectors(&self) -> usize {
        usize::try_from(self.pq.cp.max_points_per_centroid).unwrap_or(0).saturating_mul(self.pq.ksub)
    }
    fn train_encoder(&mut self, x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        self.pq.verbose |= self.ivf.verbose;
        self.pq.train(x)?;
        if self.do_polysemous_training {
            let training = self.polysemous_training.as_ref().map(|training| training.read().clone());
            training.unwrap_or_default().optimize_pq_for_hamming(&mut self.pq, x)?;
        }
        if self.by_residual { self.precompute_table() } else { Ok(()) }
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        let other = cast::<IndexIVFPQ>(other).ok_or_else(|| Error::type_error("an IndexIVFPQ is wanted here"))?;
        let same = other.pq.M == self.pq.M && other.pq.nbits == self.pq.nbits;
        Error::check(same, "other->pq.M == pq.M && other->pq.nbits == pq.nbits")
    }

    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        codec::check(self, &self.pq)?;
        let size = self.pq.M * self.pq.ksub;
        let similarity = self.metric_type.is_similarity();
        let residual_l2 = self.by_residual && !similarity;
        let parts = self.parts_of(search.quantizer).filter(|_| self.use_precomputed_table == BY_PARTS);
        let has_table = match self.use_precomputed_table {
            BY_LIST => self.precomputed_table.len() == size * self.nlist,
            BY_PARTS => parts.is_some_and(|parts| self.precomputed_table.len() == size * parts.ksub),
            _ => false,
        };
        // The quantizer's distance is that of the formula only if it is of the same metric, and between the same vectors.
        let other_metric = search.quantizer.base().metric_type != self.metric_type;
        let own_coarse = self.by_residual && (other_metric || self.use_precomputed_table == -1);
        let terms = if residual_l2 && search.visits >= self.nlist {
            (0..self.nlist).map(|_| OnceLock::new()).collect()
        } else {
            Vec::new()
        };
        let norms = if residual_l2 && !has_table { self.norms() } else { Vec::new() };
        let transposed = self.pq.transposed();
        Ok(Some(Box::new(PqSearcher {
            index: self,
            quantizer: search.quantizer,
            lists: search.lists,
            transposed,
            norms,
            terms,
            has_table,
            parts,
            own_coarse,
            residual_l2,
            similarity,
            polysemous_ht: u32::try_from(self.polysemous_ht).unwrap_or(0),
            passed: AtomicUsize::new(0),
        })))
    }
}

struct PqSearcher<'a> {
    index: &'a IndexIVFPQ,
    quantizer: &'a dyn Index,
    lists: &'a dyn InvertedLists,
    transposed: Transposed,
    norms: Vec<f32>,
    /// For each list and each of its codes, what does not depend on the query. Empty where lists are hardly visited twice.
    terms: Vec<OnceLock<Vec<f32>>>,
    has_table: bool,
    /// Those that the table is of, if it is not of the lists.
    parts: Option<&'a ProductQuantizer>,
    own_coarse: bool,
    residual_l2: bool,
    similarity: bool,
    /// Codes that differ from the query's in so many bits or more are passed over; 0 for off.
    polysemous_ht: u32,
    /// How many were not.
    passed: AtomicUsize,
}

impl Drop for PqSearcher<'_> {
    fn drop(&mut self) {
        if self.polysemous_ht > 0 {
            INDEX_IVFPQ_STATS.write().n_hamming_pass += *self.passed.get_mut();
        }
    }
}

impl PqSearcher<'_> {
    /// The list's part of the distances, by table or made in `buffer`.
    fn list_table<'b>(&'b self, list: usize, centroid: &mut [f32], buffer: &'b mut [f32]) -> Result<&'b [f32]> {
        let (size, table) = (buffer.len(), &self.index.precomputed_table);
        if let (true, Some(parts)) = (self.has_table, self.parts) {
            let own = size / parts.M;
            for (m, row) in buffer.chunks_exact_mut(own).enumerate() {
                let number = list >> (m * parts.nbits) & (parts.ksub - 1);
                row.copy_from_slice(&table[number * size + m * own..][..own]);
            }
            return Ok(buffer);
        }
        if self.has_table {
            return Ok(&table[list * size..(list + 1) * size]);
        }
        self.quantizer.reconstruct(list as i64, centroid)?;
        self.index.list_table(centroid, &self.norms, &self.transposed, buffer);
        Ok(buffer)
    }

    fn list_terms(&self, list: usize, centroid: &mut [f32], buffer: &mut [f32]) -> Result<&[f32]> {
        let slot = &self.terms[list];
        if slot.get().is_none() {
            let mut terms = vec![0f32; self.lists.list_size(list)];
            let table = self.list_table(list, centroid, buffer)?;
            self.index.pq.lookup(table, &self.lists.codes(list), &mut terms);
            slot.get_or_init(|| terms);
        }
        slot.get().map(|v| &v[..]).ok_or_else(|| Error::failed("terms", "a list's terms were made above"))
    }
}

impl Searcher for PqSearcher<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        let (size, d) = (self.index.pq.M * self.index.pq.ksub, self.index.pq.d);
        Ok(Box::new(PqScanner {
            shared: self,
            query: vec![0.0; d],
            centroid: vec![0.0; d],
            query_table: vec![0.0; size],
            table: vec![0.0; size],
            terms: &[],
            offset: 0.0,
            code: vec![0; self.index.pq.code_size],
            scratch: Scratch::default(),
        }))
    }
    fn list_by_list(&self) -> bool {
        false
    }
}

struct PqScanner<'a> {
    shared: &'a PqSearcher<'a>,
    query: Vec<f32>,
    centroid: Vec<f32>,
    /// What depends on the query only, `M * ksub` numbers.
    query_table: Vec<f32>,
    /// What depends on the list too.
    table: Vec<f32>,
    /// What is added to the keys of the list's codes.
    terms: &'a [f32],
    offset: f32,
    /// The query's, for polysemous searches.
    code: Vec<u8>,
    scratch: Scratch,
}

impl PqScanner<'_> {
    /// Encodes the query as the codes of a list were.
    fn encode_query(&mut self, list: Option<usize>) -> Result<()> {
        let shared = self.shared;
        let (pq, transposed) = (&shared.index.pq, &shared.transposed);
        if pq.nbits == 0 {
            return Ok(());
        }
        let Some(list) = list else {
            pq.compute_code_with(transposed, &self.query, &mut self.scratch, &mut self.code);
            return Ok(());
        };
        shared.quantizer.reconstruct(list as i64, &mut self.centroid)?;
        self.centroid.iter_mut().zip(&self.query).for_each(|(c, q)| *c = q - *c);
        pq.compute_code_with(transposed, &self.centroid, &mut self.scratch, &mut self.code);
        Ok(())
    }

    fn tables_are_joined(&self) -> bool {
        self.shared.residual_l2 && self.shared.terms.is_empty()
    }
}

impl Scanner for PqScanner<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        let shared = self.shared;
        self.query.copy_from_slice(x);
        if shared.residual_l2 || shared.similarity {
            shared.index.pq.inner_prod_table_with(&shared.transposed, x, &mut self.query_table);
            simd::fvec_scale(&mut self.query_table, if shared.similarity { -1.0 } else { -2.0 });
        } else {
            shared.index.pq.distance_table_with(&shared.transposed, x, &mut self.query_table);
        }
        if shared.polysemous_ht > 0 && !shared.index.by_residual { self.encode_query(None) } else { Ok(()) }
    }

    fn set_list(&mut self, list: usize, coarse: f32) -> Result<()> {
        let shared = self.shared;
        if !shared.index.by_residual {
            return Ok(());
        }
        if shared.polysemous_ht > 0 {
            self.encode_query(Some(list))?;
        }
        let mut coarse = coarse;
        if shared.own_coarse {
            shared.quantizer.reconstruct(list as i64, &mut self.centroid)?;
            coarse = if shared.similarity {
                simd::fvec_inner_product(&self.query, &self.centroid)
            } else {
                simd::fvec_L2sqr(&self.query, &self.centroid)
            };
        }
        self.offset = if shared.similarity { -coarse } else { coarse };
        if !shared.terms.is_empty() {
            self.terms = shared.list_terms(list, &mut self.centroid, &mut self.table)?;
        } else if shared.residual_l2 {
            if shared.has_table && shared.parts.is_none() {
                let size = self.table.len();
                let own = &shared.index.precomputed_table[list * size..(list + 1) * size];
                simd::fvec_madd(&mut self.table, own, 1.0, &self.query_table);
            } else {
                shared.list_table(list, &mut self.centroid, &mut self.table)?;
                self.table.iter_mut().zip(&self.query_table).for_each(|(t, q)| *t += q);
            }
        }
        Ok(())
    }

    fn keys(&mut self, first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        let table = if self.tables_are_joined() { &self.table } else { &self.query_table };
        let (pq, below) = (&self.shared.index.pq, self.shared.polysemous_ht);
        if below > 0 {
            let passed = pq.lookup_near(table, codes, &self.code, hamming, below, keys);
            self.shared.passed.fetch_add(passed, Ordering::Relaxed);
        } else {
            pq.lookup(table, codes, keys);
        }
        if !self.shared.terms.is_empty() {
            let terms = &self.terms[first..first + keys.len()];
            keys.iter_mut().zip(terms).for_each(|(k, t)| *k += self.offset + t);
        } else if self.shared.index.by_residual {
            keys.iter_mut().for_each(|k| *k += self.offset);
        }
        Ok(())
    }
}

impl Tuned for IndexIVFPQ {
    /// Below a threshold of all bits, codes are compared bit by bit first.
    fn set_parameter(&mut self, name: &str, value: f64) -> Option<Result<()>> {
        if name != "ht" {
            return None;
        }
        self.polysemous_ht = if value >= (self.pq.code_size * 8) as f64 { 0 } else { value as i32 };
        Some(Ok(()))
    }
    fn parameter_ranges(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![("ht", self.pq.hamming_thresholds())]
    }
}
