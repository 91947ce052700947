//! Inverted file of EDEN codes: of vectors less the centroids of their lists.

use faiss_derive::{Object, methods};

use super::rabitq::centroids;
use super::{IndexIVF, InvertedFile, Scanner, Search, Searcher};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, bits_of};
use crate::index::ivf::format::{Header, Lists};
use crate::index::{Index, dim_of};
use crate::quantize::ScalarQuantizer;
use crate::quantize::eden::{self, Eden, EdenDistances};
use crate::registry::Row;

/// Stores vectors less the centroids of their lists by levels of the normal distribution and a scale.
#[derive(Object, Clone)]
#[object(methods, implements(Index, InvertedFile), copy(ivf))]
pub struct IndexIVFEDEN {
    /// The inverted file.
    #[object(parent)]
    pub ivf: IndexIVF,
    /// The levels, of one of the types `QT_1bit_eden` to `QT_8bit_eden`.
    #[object(readonly)]
    pub sq: ScalarQuantizer,
    /// `EDENScaleType_UNBIASED` or `EDENScaleType_BIASED`.
    #[object(default = eden::UNBIASED)]
    pub scale_type: i32,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFEDEN>()
    .grammar(Grammar::InvertedFile(|over, part| match part.strip_prefix("EDEN").and_then(|bits| bits_of(bits, 8)) {
        Some(nb_bits) => {
            let quantizer = over.quantizer.clone();
            let index = IndexIVFEDEN::new(quantizer, over.d, over.nlist, over.metric, true, nb_bits, eden::UNBIASED)?;
            Ok(Some(Handle::new(index)))
        }
        None => Ok(None),
    }))
    .format(crate::file_format!(IndexIVFEDEN, ["IwEe", "IwEd"], |index, code| {
        index.ivf => Header(code);
        index.sq.d;
        index.code_size;
        same (index.metric_type) "the quantizer's metric_type is the index's";
        index.sq.bits;
        old (code.is("IwEd")) {} else { index.scale_type; }
        read { index.sq = eden::read_levels(&index.sq, index.scale_type, index.code_size)?; }
        same (index.code_size) "code_size is that of d and nb_bits";
        index.by_residual;
        index.ivf => Lists;
    }, index.eden()));

#[methods(new)]
impl IndexIVFEDEN {
    /// Over `nlist` lists of `quantizer`, with codes of `nb_bits` bits a coordinate, 1 to 8.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] own_invlists: bool,
        #[default = 1] nb_bits: usize,
        #[default = 1] scale_type: i32,
    ) -> Result<Self> {
        crate::quantize::codec::check_metric(metric)?;
        let sq = eden::levels(dim_of(d), nb_bits)?;
        let size = Eden::new(&sq, scale_type)?.code_size();
        let mut ivf = IndexIVF::new(quantizer, d, nlist, size, metric, own_invlists)?;
        ivf.is_trained = false;
        Ok(IndexIVFEDEN { ivf, sq, scale_type })
    }
}

impl IndexIVFEDEN {
    /// The coder, after a check that the fields fit together.
    fn eden(&self) -> Result<Eden<'_>> {
        let eden = Eden::new(&self.sq, self.scale_type)?;
        let fits = self.sq.d == self.dim() && self.code_size == eden.code_size();
        Error::check(fits, "sq.d == d && code_size is that of sq").map(|()| eden)
    }
}

impl Index for IndexIVFEDEN {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFEDEN {
    crate::lists_and_codec!(ivf);
    fn train_encoder(&mut self, _x: &[f32], _assign: Option<&[i64]>) -> Result<()> {
        self.eden().map(|_| ())
    }
    fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        let eden = self.eden()?;
        if list_nos.is_empty() { Ok(()) } else { eden.encode(x, &centroids(self, list_nos)?, codes) }
    }
    fn decode_vectors(&self, codes: &[u8], list_nos: &[i64], x: &mut [f32]) -> Result<()> {
        let eden = self.eden()?;
        if list_nos.is_empty() { Ok(()) } else { eden.decode(codes, &centroids(self, list_nos)?, x) }
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        self.eden()?;
        Ok(Some(Box::new(Residuals { index: self, quantizer: search.quantizer })))
    }
}

struct Residuals<'a> {
    index: &'a IndexIVFEDEN,
    quantizer: &'a dyn Index,
}

impl Searcher for Residuals<'_> {
    fn scanner(&self) -> Result<Box<dyn Scanner + '_>> {
        let d = self.index.dim();
        let distances = self.index.eden()?.distances(self.index.metric_type)?;
        Ok(Box::new(InList { shared: self, distances, query: vec![0.0; d], centroid: vec![0.0; d] }))
    }
    fn list_by_list(&self) -> bool {
        false
    }
}

struct InList<'a> {
    shared: &'a Residuals<'a>,
    distances: EdenDistances<'a>,
    query: Vec<f32>,
    centroid: Vec<f32>,
}

impl Scanner for InList<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        self.query.copy_from_slice(x);
        Ok(())
    }
    fn set_list(&mut self, list: usize, _coarse: f32) -> Result<()> {
        if self.shared.index.by_residual {
            self.shared.quantizer.reconstruct(list as i64, &mut self.centroid)?;
        }
        self.distances.set(&self.query, &self.centroid)
    }
    fn keys(&mut self, _first: usize, codes: &[u8], keys: &mut [f32]) -> Result<()> {
        self.distances.keys(codes, keys);
        Ok(())
    }
}
