//! Inverted file of EDEN codes: of vectors less the centroids of their lists.

use faiss_derive::{Object, methods};

use super::rabitq::centroids;
use super::{IndexIVF, InvertedFile, Scanner, Searcher, format};
use crate::base::object::{Object, receiver};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, bits_of};
use crate::index::{Index, dim_of};
use crate::quantize::ScalarQuantizer;
use crate::quantize::eden::{self, Eden, EdenDistances};
use crate::registry::{Format, Row};
use crate::storage::lists::InvertedLists;

/// Stores vectors less the centroids of their lists by levels of the normal distribution and a scale.
#[derive(Object, Clone)]
#[object(methods, implements(Index, InvertedFile), copy = deep_copy)]
pub struct IndexIVFEDEN {
    /// The inverted file.
    #[object(parent)]
    pub ivf: IndexIVF,
    /// The levels, of one of the types `QT_1bit_eden` to `QT_8bit_eden`.
    #[object(readonly)]
    pub sq: ScalarQuantizer,
    /// `EDENScaleType_UNBIASED` or `EDENScaleType_BIASED`.
    pub scale_type: i32,
}

impl Default for IndexIVFEDEN {
    fn default() -> Self {
        IndexIVFEDEN { ivf: IndexIVF::default(), sq: ScalarQuantizer::default(), scale_type: eden::UNBIASED }
    }
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
    .format(Format {
        fourccs: &["IwEe", "IwEd"],
        read: |input, fourcc| {
            let mut ivf = format::read_header(input)?;
            let (sq, scale_type) = Eden::read(input, ivf.metric_type, fourcc.is("IwEe"))?;
            ivf.code_size = input.usize()?;
            ivf.by_residual = input.bool("by_residual")?;
            format::read_lists(&mut ivf, input)?;
            let index = IndexIVFEDEN { ivf, sq, scale_type };
            index.eden()?;
            Ok(Handle::new(index))
        },
        write: |object, out| {
            let index = receiver::<IndexIVFEDEN>(object)?;
            out.fourcc("IwEe")?;
            format::write_header(index, out)?;
            index.eden()?.write(index.metric_type, out)?;
            out.usize(index.code_size)?;
            out.bool(index.by_residual)?;
            format::write_lists(index, out)
        },
    });

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
    fn deep_copy(&self) -> Result<Self> {
        Ok(IndexIVFEDEN { ivf: self.ivf.deep_copy()?, ..self.clone() })
    }

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
    fn ivf(&self) -> &IndexIVF {
        &self.ivf
    }
    fn ivf_mut(&mut self) -> &mut IndexIVF {
        &mut self.ivf
    }
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
    fn searcher<'a>(
        &'a self,
        quantizer: &'a dyn Index,
        _lists: &'a dyn InvertedLists,
        _visits: usize,
        _params: Option<&dyn Object>,
    ) -> Result<Option<Box<dyn Searcher + 'a>>> {
        self.eden()?;
        Ok(Some(Box::new(Residuals { index: self, quantizer })))
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
