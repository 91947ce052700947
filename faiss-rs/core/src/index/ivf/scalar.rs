//! Inverted file of scalar-quantized codes.

use faiss_derive::{Object, methods};

use super::codec::CodecSearcher;
use super::params::IVFSQTurboQSearchParameters;
use super::{IndexIVF, InvertedFile, Searcher, format};
use crate::base::object::{Object, cast, receiver};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, sq_part};
use crate::index::{Index, dim_of};
use crate::quantize::Quantizer;
use crate::quantize::scalar::ScalarQuantizer;
use crate::quantize::scalar::distances::Shortened;
use crate::quantize::scalar::kind::{self, Kind};
use crate::registry::{Format, Row};
use crate::storage::lists::InvertedLists;

/// The most vectors that ranges are learnt from.
const MAX_TRAINING_VECTORS: usize = 100_000;

/// Stores scalar-quantized codes of vectors, or of their residuals, in the lists of a coarse quantizer.
///
/// `quantizer`: an empty index that will hold the centroids, as a rule `IndexFlatL2(d)`. `nlist`: number of lists. `qtype`: what a coordinate
/// becomes, as `ScalarQuantizer.QT_8bit` (a byte), `QT_4bit`, `QT_fp16`. `by_residual`: whether codes are of differences to the centroid.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index, InvertedFile), copy = deep_copy)]
pub struct IndexIVFScalarQuantizer {
    /// The inverted file.
    #[object(parent)]
    pub ivf: IndexIVF,
    /// Makes the codes.
    pub sq: ScalarQuantizer,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFScalarQuantizer>()
    .grammar(Grammar::InvertedFile(|over, part| {
        let Some(qtype) = sq_part(part) else { return Ok(None) };
        let quantizer = over.quantizer.clone();
        let index = IndexIVFScalarQuantizer::new(quantizer, over.d, over.nlist, qtype, over.metric, true, true)?;
        Ok(Some(Handle::new(index)))
    }))
    .format(Format {
        fourccs: &["IwSq", "IwSQ", "IvSQ"],
        read: |input, code| {
            let (mut ivf, old) = format::read_header_of(code, input)?;
            let sq = ScalarQuantizer::read(input, ivf.dim(), ivf.is_trained)?;
            ivf.code_size = input.usize()?;
            Error::check(sq.code_size == ivf.code_size, "code_size == sq.code_size")?;
            // The older codes have residuals only.
            ivf.by_residual = !code.is("IwSq") || input.bool("by_residual")?;
            format::read_lists_of(&mut ivf, old, false, input)?;
            Ok(Handle::new(IndexIVFScalarQuantizer { ivf, sq }))
        },
        write: |object, out| {
            let index = receiver::<IndexIVFScalarQuantizer>(object)?;
            out.fourcc("IwSq")?;
            format::write_header(index, out)?;
            index.sq.write(out)?;
            out.usize(index.code_size)?;
            out.bool(index.by_residual)?;
            format::write_lists(index, out)
        },
    });

#[methods(new)]
impl IndexIVFScalarQuantizer {
    /// Over `nlist` lists of `quantizer`; `qtype` is one of the `QT_` constants. TurboQuant's codes and those of no bits are never of residuals.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        qtype: i32,
        #[default = MetricType::L2] metric: MetricType,
        #[default = true] by_residual: bool,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let sq = ScalarQuantizer::new(dim_of(d), qtype)?;
        let mut ivf = IndexIVF::new(quantizer, d, nlist, sq.code_size, metric, own_invlists)?;
        let of_vectors = matches!(Kind::of(qtype)?, Kind::Nothing | Kind::Turbo { .. });
        ivf.by_residual = by_residual && !of_vectors;
        // Even where the quantizer is ready, ranges are not.
        ivf.is_trained &= qtype == kind::QT_0bit;
        Ok(IndexIVFScalarQuantizer { ivf, sq })
    }
}

impl IndexIVFScalarQuantizer {
    fn deep_copy(&self) -> Result<Self> {
        Ok(IndexIVFScalarQuantizer { ivf: self.ivf.deep_copy()?, sq: self.sq.clone() })
    }
}

impl Index for IndexIVFScalarQuantizer {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFScalarQuantizer {
    fn ivf(&self) -> &IndexIVF {
        &self.ivf
    }
    fn ivf_mut(&mut self) -> &mut IndexIVF {
        &mut self.ivf
    }
    fn codec(&self) -> Result<&dyn Quantizer> {
        Ok(&self.sq)
    }
    fn codec_mut(&mut self) -> Result<&mut dyn Quantizer> {
        Ok(&mut self.sq)
    }
    fn train_encoder_num_vectors(&self) -> usize {
        MAX_TRAINING_VECTORS
    }
    fn searcher<'a>(
        &'a self,
        quantizer: &'a dyn Index,
        _lists: &'a dyn InvertedLists,
        _visits: usize,
        params: Option<&dyn Object>,
    ) -> Result<Option<Box<dyn Searcher + 'a>>> {
        let Some(params) = params.and_then(cast::<IVFSQTurboQSearchParameters>) else { return Ok(None) };
        let shortened = Shortened { bits: params.qb, projections: params.int_qjl };
        Ok(Some(Box::new(
            CodecSearcher::new(self, quantizer)?.by(move |metric| self.sq.shortened_distances(metric, shortened)),
        )))
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        let theirs = cast::<IndexIVFScalarQuantizer>(other);
        Error::check(theirs.is_some_and(|t| t.sq.qtype == self.sq.qtype), "other's sq.qtype is the same")
    }
}
