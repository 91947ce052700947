//! Inverted file of RaBitQ codes: signs of vectors less the centroids of their lists.

use faiss_derive::{Object, methods};

use super::Pairs;
use super::params::SearchParametersIVF;
use super::{IndexIVF, InvertedFile, Scanner, Search, Searcher};
use crate::base::object::{Object, cast};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::distance::collect::Heap;
use crate::distance::results::TopK;
use crate::grammar::{Grammar, RaBitQPart};
use crate::index::ivf::format::{Header, Lists};
use crate::index::{Index, dim_of};
use crate::quantize::rabitq::Sizes;
use crate::quantize::rabitq::{Estimate, RaBitQuantizer, Rounding};
use crate::registry::Row;

/// Stores the signs of vectors' coordinates, less the centroids of their lists, and estimates distances by them.
///
/// `d / 8` bytes a vector, a few for its factors and 8 for its id, more with `nb_bits` above 1. Gao and Long, RaBitQ: quantizing high-dimensional
/// vectors with a theoretical error bound, 2024.
#[derive(Object, Clone)]
#[object(methods, implements(Index, InvertedFile), copy(ivf))]
pub struct IndexIVFRaBitQ {
    /// The inverted file.
    #[object(parent)]
    pub ivf: IndexIVF,
    /// Makes the codes.
    pub rabitq: RaBitQuantizer,
    /// Bits that queries are rounded to; 0 for no rounding.
    #[object(default = 4)]
    pub qb: u8,
}

/// Parameters of one search of an [`IndexIVFRaBitQ`].
#[derive(Object, Clone)]
#[object(fields)]
pub struct IVFRaBitQSearchParameters {
    /// What searches in inverted files take.
    #[object(parent)]
    pub ivf: SearchParametersIVF,
    /// Bits that queries are rounded to; 0 for no rounding.
    #[object(default = 4)]
    pub qb: u8,
    /// Round to steps around 0, as wide as suits normal variables.
    pub centered: bool,
}

pub(crate) const PARAMETERS: Row = Row::of::<IVFRaBitQSearchParameters>();

pub(crate) const ROW: Row = Row::of::<IndexIVFRaBitQ>()
    .grammar(Grammar::InvertedFile(|over, part| match RaBitQPart::parse(part) {
        Some(RaBitQPart { nb_bits, bbs: None }) => {
            let quantizer = over.quantizer.clone();
            Ok(Some(Handle::new(IndexIVFRaBitQ::new(quantizer, over.d, over.nlist, over.metric, true, nb_bits)?)))
        }
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexIVFRaBitQ, [ONE_BIT, MORE_BITS; if index.rabitq.nb_bits == 1 { ONE_BIT } else { MORE_BITS }], |index, code| {
        index.ivf => Header(code);
        index.rabitq => Sizes(code.is(MORE_BITS));
        index.code_size;
        index.by_residual;
        index.qb;
        read {
            let fits = index.rabitq.d == index.dim() && index.rabitq.code_size == index.code_size && index.qb <= 8;
            Error::check(fits, "rabitq.d == d && code_size == rabitq.code_size")?;
        }
        index.ivf => Lists;
    }));

const ONE_BIT: &str = "Iwrq";
const MORE_BITS: &str = "Iwrr";

#[methods(new)]
impl IndexIVFRaBitQ {
    /// Over `nlist` lists of `quantizer`.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] own_invlists: bool,
        #[default = 1] nb_bits: usize,
    ) -> Result<Self> {
        let rabitq = RaBitQuantizer::new(dim_of(d), metric, nb_bits)?;
        let mut ivf = IndexIVF::new(quantizer, d, nlist, rabitq.code_size, metric, own_invlists)?;
        ivf.is_trained = false;
        Ok(IndexIVFRaBitQ { ivf, rabitq, ..Default::default() })
    }
}

impl IndexIVFRaBitQ {
    fn check(&self) -> Result<()> {
        self.rabitq.check()?;
        let fits = self.rabitq.d == self.dim() && self.rabitq.code_size == self.code_size;
        Error::check(fits && self.rabitq.metric_type == self.metric_type, "rabitq.d == d")
    }
}

/// The centroids that vectors are taken from: those of their lists, or 0.
pub fn centroids(ivf: &IndexIVF, list_nos: &[i64]) -> Result<Vec<f32>> {
    let d = ivf.dim();
    let mut centroids = vec![0f32; list_nos.len() * d];
    if ivf.by_residual {
        let quantizer = ivf.quantizer()?.read();
        for (list, row) in list_nos.iter().zip(centroids.chunks_exact_mut(d.max(1))).filter(|(list, _)| **list >= 0) {
            quantizer.reconstruct(*list, row)?;
        }
    }
    Ok(centroids)
}

impl Index for IndexIVFRaBitQ {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFRaBitQ {
    crate::lists_and_codec!(ivf);
    fn train_encoder(&mut self, _x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        self.check()
    }
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        self.check()?;
        if list_nos.is_empty() { Ok(()) } else { self.rabitq.encode(x, &centroids(self, list_nos)?, codes) }
    }
    fn decode_vectors(&self, codes: &[u8], list_nos: &[i64], x: &mut [f32]) -> Result<()> {
        self.check()?;
        if list_nos.is_empty() { Ok(()) } else { self.rabitq.decode_all(codes, &centroids(self, list_nos)?, x) }
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        self.check()?;
        let rounding = rounding(search.params, self.qb, false)?;
        Ok(Some(Box::new(Estimates { ivf: self, rabitq: &self.rabitq, quantizer: search.quantizer, rounding })))
    }
    fn search_pairs(&self, pairs: &Pairs<'_>, k: usize, out: &TopK<'_>) -> Result<bool> {
        let refines = self.rabitq.nb_bits > 1;
        if refines {
            pairs.visit(self, || Heap::new(k), Some(k), |q, hits| out.write(q, &hits))?;
        }
        Ok(refines)
    }
}

/// How a search rounds its queries: by its parameters, or as the index does.
pub fn rounding(params: Option<&dyn Object>, qb: u8, centered: bool) -> Result<Rounding> {
    match params.and_then(cast::<IVFRaBitQSearchParameters>) {
        Some(params) => Rounding::new(params.qb, params.centered),
        None => Rounding::new(qb, centered),
    }
}

/// Estimates the distances of codes of `rabitq` that are in lists and not packed.
pub struct Estimates<'a> {
    /// The lists.
    pub ivf: &'a IndexIVF,
    /// What the codes are of.
    pub rabitq: &'a RaBitQuantizer,
    /// Knows the lists' centroids.
    pub quantizer: &'a dyn Index,
    /// How queries are rounded.
    pub rounding: Rounding,
}

impl Searcher for Estimates<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        let d = self.ivf.dim();
        let estimate = Estimate::new(self.rabitq)?;
        Ok(Box::new(Signs { shared: self, estimate, query: vec![0.0; d], centroid: vec![0.0; d] }))
    }
    fn list_by_list(&self) -> bool {
        false
    }
    fn refines(&self) -> bool {
        self.rabitq.nb_bits > 1
    }
}

struct Signs<'a> {
    shared: &'a Estimates<'a>,
    estimate: Estimate,
    query: Vec<f32>,
    centroid: Vec<f32>,
}

impl Scanner for Signs<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.copy_from_slice(x);
        Ok(())
    }
    fn set_list(&mut self, list: usize, _coarse: f32) -> Result<()> {
        if self.shared.ivf.by_residual {
            self.shared.quantizer.reconstruct(list as i64, &mut self.centroid)?;
        }
        self.estimate.set(&self.query, &self.centroid, self.shared.rounding);
        Ok(())
    }
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        self.estimate.keys(codes, keys);
        Ok(())
    }
    fn bounds(&mut self, codes: &[u8], bounds: &mut [f32]) {
        self.estimate.bounds(codes, bounds);
    }
    fn refine(&mut self, code: &[u8]) -> f32 {
        self.estimate.key(code)
    }
}
