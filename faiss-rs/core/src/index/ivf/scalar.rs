//! Inverted file of scalar-quantized codes.

use faiss_derive::{Object, methods};

use super::codec::CodecSearcher;
use super::params::IVFSQTurboQSearchParameters;
use super::{IndexIVF, InvertedFile, Search, Searcher};
use crate::base::object::cast;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, sq_part};
use crate::index::ivf::format::{Header, Lists};
use crate::index::{Index, dim_of};
use crate::quantize::scalar::ScalarQuantizer;
use crate::quantize::scalar::distances::Shortened;
use crate::quantize::scalar::kind::{self, Kind};
use crate::registry::Row;

/// The most vectors that ranges are learnt from.
const MAX_TRAINING_VECTORS: usize = 100_000;

/// Stores scalar-quantized codes of vectors, or of their residuals, in the lists of a coarse quantizer.
///
/// `quantizer`: an empty index that will hold the centroids, as a rule `IndexFlatL2(d)`. `nlist`: number of lists. `qtype`: what a coordinate
/// becomes, as `ScalarQuantizer.QT_8bit` (a byte), `QT_4bit`, `QT_fp16`. `by_residual`: whether codes are of differences to the centroid.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index, InvertedFile), copy(ivf))]
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
    .format(crate::file_format!(IndexIVFScalarQuantizer, ["IwSq", "IwSQ", "IvSQ"], |index, code| {
        index.ivf => Header(code);
        index.sq;
        index.code_size;
        // The older codes have residuals only.
        old (!code.is("IwSq")) {} else { index.by_residual; }
        read {
            Error::check(index.sq.code_size == index.code_size, "code_size == sq.code_size")?;
            index.sq.check_read(index.dim(), index.is_trained)?;
        }
        index.ivf => Lists;
    }));

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

impl Index for IndexIVFScalarQuantizer {
    crate::inverted_file_index!();
}

impl InvertedFile for IndexIVFScalarQuantizer {
    crate::lists_and_codec!(ivf, sq);
    fn train_encoder_num_vectors(&self) -> usize {
        MAX_TRAINING_VECTORS
    }
    fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
        let Some(params) = search.params.and_then(cast::<IVFSQTurboQSearchParameters>) else { return Ok(None) };
        let shortened = Shortened { bits: params.qb, projections: params.int_qjl };
        Ok(Some(Box::new(
            CodecSearcher::new(self, search.quantizer)?
                .by(move |metric| self.sq.shortened_distances(metric, shortened)),
        )))
    }
    fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
        let theirs = cast::<IndexIVFScalarQuantizer>(other);
        Error::check(theirs.is_some_and(|t| t.sq.qtype == self.sq.qtype), "other's sq.qtype is the same")
    }
}
