//! Codes of two parts: the nearest of some centroids, and what is left, product-quantized. Graphs search them; they are not searched by
//! themselves.

use std::cell::RefCell;

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::flat_l2::IndexFlatL2;
use super::ivf::edit::{append, check_list_nos};
use super::ivf::pq::IndexIVFPQ;
use super::ivf::train::{Level1, compute_residuals};
use super::multi_index::{MultiIndexQuantizer, centroids};
use super::{Index, IndexBase};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::cluster::ClusteringParameters;
use crate::grammar::{Grammar, PqPart, number};
use crate::quantize::codec::{CodeDistances, check_sizes};
use crate::quantize::{ProductQuantizer, Quantizer, QuantizerBase};
use crate::registry::Row;
use crate::simd;
use crate::transform::maybe_subsample;

/// Centroids, and how they are found.
#[derive(Object, Clone)]
#[object(methods, copy(quantizer))]
pub struct Level1Quantizer {
    /// Assigns vectors to centroids.
    pub quantizer: Option<Shared<dyn Index>>,
    /// Number of centroids.
    pub nlist: usize,
    /// 0: k-means trains the quantizer; 1: it trains itself; 2: k-means trains centroids, which are then added to it.
    pub quantizer_trains_alone: u8,
    /// Whether the quantizer belongs to this object. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Parameters of the k-means.
    #[object(default = ClusteringParameters { niter: 10, ..Default::default() })]
    pub cp: ClusteringParameters,
    /// If set, assigns points to centroids in that k-means.
    pub clustering_index: Option<Shared<dyn Index>>,
}

pub(crate) const LEVEL_1: Row = Row::of::<Level1Quantizer>();

#[methods(new)]
impl Level1Quantizer {
    /// `nlist` centroids of `quantizer`.
    #[new]
    pub fn new(quantizer: Shared<dyn Index>, nlist: usize) -> Self {
        Level1Quantizer { quantizer: Some(quantizer), nlist, ..Default::default() }
    }

    /// Finds the centroids from vectors (n, d).
    fn train_q1(&mut self, x: &[f32], verbose: bool, metric_type: MetricType) -> Result<()> {
        let quantizer = self.quantizer()?;
        let base = IndexBase { verbose, ..IndexBase::new(i64::from(quantizer.read().base().d), metric_type)? };
        let (nlist, trains_alone, cp) = (self.nlist, self.quantizer_trains_alone, &self.cp);
        let clustering_index = self.clustering_index.as_ref();
        Level1 { quantizer, nlist, trains_alone, cp, clustering_index, base: &base }.train(x)
    }
}

impl Level1Quantizer {
    /// As a description has it: `100` centroids, or those of a multi-index, `2x8`, which trains itself.
    pub fn described(d: i64, part: &str) -> Result<Option<Self>> {
        let made = match part.split_once('x') {
            None => number(part).map(|n| Ok(Self::new(Shared::new(IndexFlatL2::new(d)?), n as usize))),
            Some((m, nbits)) => number(m).zip(number(nbits)).map(|(m, nbits)| {
                let quantizer = MultiIndexQuantizer::new(d, m as usize, nbits as usize)?;
                let nlist = centroids(&quantizer.pq)? as usize;
                Ok(Level1Quantizer { quantizer_trains_alone: 1, ..Self::new(Shared::new(quantizer), nlist) })
            }),
        };
        made.map(|made| made.map(|made| Level1Quantizer { own_fields: true, ..made })).transpose()
    }

    fn quantizer(&self) -> Result<&Shared<dyn Index>> {
        self.quantizer.as_ref().ok_or_else(|| Error::failed("quantizer", "there is no quantizer"))
    }
}

/// Stores for each vector the nearest of some centroids and the product-quantized code of the difference.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy(q1))]
pub struct Index2Layer {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// The centroids.
    pub q1: Level1Quantizer,
    /// Makes the codes of differences.
    pub pq: ProductQuantizer,
    /// Bytes of a centroid's number.
    pub code_size_1: usize,
    /// Bytes of a difference's code.
    pub code_size_2: usize,
    sizes: QuantizerBase,
}

pub(crate) const ROW: Row = Row::of::<Index2Layer>()
    // `Residual100,PQ8`, which the factory leaves together.
    .grammar(Grammar::Index(|d, part, metric| {
        let parts = part.strip_prefix("Residual").and_then(|parts| parts.split_once(','));
        let Some((layer, pq)) = parts.and_then(|(layer, pq)| Some((layer, PqPart::parse(pq)?))) else {
            return Ok(None);
        };
        let Some(q1) = Level1Quantizer::described(d, layer)?.filter(|_| pq.polysemous) else { return Ok(None) };
        Error::check(metric == MetricType::L2, "Residual not implemented for inner prod search")?;
        let index = Index2Layer::new(q1.quantizer()?.clone(), q1.nlist, pq.m, pq.nbits, metric)?;
        Ok(Some(Handle::new(Index2Layer { q1, ..index })))
    }))
    .format(crate::file_format!(Index2Layer, ["Ix2L"], |index| {
        index.base;
        index.q1.quantizer;
        index.q1.nlist;
        index.q1.quantizer_trains_alone;
        index.pq;
        index.code_size_1;
        index.code_size_2;
        index.code_size;
        index.codes;
        read {
            index.q1.own_fields = true;
            index.sizes = QuantizerBase { d: index.dim(), code_size: index.code_size };
        }
    }, index.check_codes()));

/// Bytes that hold the numbers below `nlist`.
fn number_bytes(nlist: usize) -> usize {
    (1..size_of::<usize>()).find(|bytes| 1usize << (8 * bytes) >= nlist).unwrap_or(size_of::<usize>())
}

#[methods(new)]
impl Index2Layer {
    /// Over a quantizer of `nlist` centroids, with codes of `M` numbers of `nbit` bits.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        nlist: usize,
        M: usize,
        #[default = 8] nbit: usize,
        #[default = MetricType::L2] metric: MetricType,
    ) -> Result<Self> {
        let d = i64::from(quantizer.read().base().d);
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let pq = ProductQuantizer::new(base.dim(), M, nbit)?;
        let (code_size_1, code_size_2) = (number_bytes(nlist), pq.code_size);
        let sizes = QuantizerBase { d: base.dim(), code_size: code_size_1 + code_size_2 };
        let flat_codes = IndexFlatCodes::new(base, sizes.code_size);
        let q1 = Level1Quantizer::new(quantizer, nlist);
        Ok(Index2Layer { flat_codes, q1, pq, code_size_1, code_size_2, sizes })
    }

    /// Copies the codes to an empty inverted file of as many lists and codes of the same size, whose quantizers are left as they are.
    #[name = "transfer_to_IVFPQ"]
    pub fn transfer_to_ivfpq(&self, other: &mut IndexIVFPQ) -> Result<()> {
        self.check_codes()?;
        self.check_layers()?;
        Error::check(other.nlist == self.q1.nlist, "other.nlist == q1.nlist")?;
        Error::check(other.code_size == self.code_size_2, "other.code_size == code_size_2")?;
        Error::check(other.ntotal == 0, "other.ntotal == 0")?;
        let codes = || self.codes.as_slice().chunks_exact(self.code_size);
        let list_nos: Vec<i64> = codes().map(|code| self.list_no(code) as i64).collect();
        check_list_nos(other, &list_nos)?;
        let seconds: Vec<u8> = codes().flat_map(|code| &code[self.code_size_1..]).copied().collect();
        append(other, None, &list_nos, &seconds)
    }
}

impl Index2Layer {
    /// An index that was made without arguments has codes of no bytes.
    fn check_layers(&self) -> Result<()> {
        Error::check(self.code_size_2 > 0, "code_size_2 > 0")
    }

    fn list_no(&self, code: &[u8]) -> u64 {
        let mut bytes = [0; 8];
        bytes[..self.code_size_1].copy_from_slice(&code[..self.code_size_1]);
        u64::from_le_bytes(bytes)
    }
}

impl Quantizer for Index2Layer {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.sizes
    }
    fn check(&self) -> Result<()> {
        self.pq.check()?;
        let fit = self.pq.d == self.sizes.d
            && self.code_size_2 == self.pq.code_size
            && (1..=size_of::<u64>()).contains(&self.code_size_1)
            && self.code_size_1.checked_add(self.code_size_2) == Some(self.sizes.code_size);
        Error::check(fit, "code_size == code_size_1 + code_size_2")?;
        Error::check(self.q1.quantizer()?.read().base().dim() == self.sizes.d, "q1.quantizer->d == d")
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        let quantizer = self.q1.quantizer()?;
        Level1 {
            quantizer,
            nlist: self.q1.nlist,
            trains_alone: self.q1.quantizer_trains_alone,
            cp: &self.q1.cp,
            clustering_index: self.q1.clustering_index.as_ref(),
            base: &IndexBase { metric_type: MetricType::L2, ..self.flat_codes.base.clone() },
        }
        .train(x)?;
        let most = usize::try_from(self.pq.cp.max_points_per_centroid).unwrap_or(0).saturating_mul(self.pq.ksub);
        let x = maybe_subsample(x, self.sizes.d, most, i64::from(self.pq.cp.seed))?;
        let mut assign = vec![0; x.len() / self.sizes.d.max(1)];
        let mut residuals = vec![0.0; x.len()];
        {
            let quantizer = quantizer.read();
            quantizer.assign(&x, 1, &mut assign)?;
            compute_residuals(&*quantizer, &x, &assign, &mut residuals)?;
        }
        self.pq.train(&residuals)
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        let n = check_sizes(&self.sizes, x, codes)?;
        self.check_layers()?;
        let (mut assign, mut residuals, mut seconds) = (vec![0; n], vec![0.0; x.len()], vec![0; n * self.code_size_2]);
        {
            let quantizer = self.q1.quantizer()?.read();
            quantizer.assign(x, 1, &mut assign)?;
            compute_residuals(&*quantizer, x, &assign, &mut residuals)?;
        }
        self.pq.compute_codes(&residuals, &mut seconds)?;
        let whole = codes.chunks_exact_mut(self.sizes.code_size);
        for ((code, list_no), second) in whole.zip(assign).zip(seconds.chunks_exact(self.code_size_2)) {
            let (number, rest) = code.split_at_mut(self.code_size_1);
            // A vector that is nearest to nothing, of NaNs, goes to the first centroid.
            number.copy_from_slice(&list_no.max(0).to_le_bytes()[..self.code_size_1]);
            rest.copy_from_slice(second);
        }
        Ok(())
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        check_sizes(&self.sizes, x, codes)?;
        self.check_layers()?;
        let quantizer = self.q1.quantizer()?.read();
        let mut centroid = vec![0.0; self.sizes.d];
        for (code, row) in codes.chunks_exact(self.sizes.code_size).zip(x.chunks_exact_mut(self.sizes.d.max(1))) {
            quantizer.reconstruct(self.list_no(code) as i64, &mut centroid)?;
            self.pq.decode(&code[self.code_size_1..], row)?;
            row.iter_mut().zip(&centroid).for_each(|(v, c)| *v += c);
        }
        Ok(())
    }
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        Error::check(metric == MetricType::L2, "metric_type == METRIC_L2")?;
        let rows = RefCell::new((vec![0.0; self.sizes.d], vec![0.0; self.sizes.d]));
        Ok(Box::new(Decoded { codec: self, query: vec![0.0; self.sizes.d], rows }))
    }
}

/// Compares what codes decode to.
struct Decoded<'a> {
    codec: &'a Index2Layer,
    query: Vec<f32>,
    rows: RefCell<(Vec<f32>, Vec<f32>)>,
}

impl CodeDistances for Decoded<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.query.len(), "x.size() == d")?;
        self.query.copy_from_slice(x);
        Ok(())
    }
    /// A code that names no centroid is as far as can be.
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        let row = &mut self.rows.borrow_mut().0;
        for (code, key) in codes.chunks_exact(self.codec.sizes.code_size.max(1)).zip(keys) {
            let decoded = self.codec.decode(code, row);
            *key = if decoded.is_ok() { simd::fvec_L2sqr(&self.query, row) } else { f32::INFINITY };
        }
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        let (x, y) = &mut *self.rows.borrow_mut();
        let decoded = self.codec.decode(a, x).and_then(|()| self.codec.decode(b, y));
        if decoded.is_ok() { simd::fvec_L2sqr(x, y) } else { f32::INFINITY }
    }
}

impl FlatCodes for Index2Layer {
    crate::codes_and_codec!(flat_codes);
}

impl Index for Index2Layer {
    crate::flat_codes_index!();
}
