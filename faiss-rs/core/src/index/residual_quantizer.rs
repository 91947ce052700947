//! Codes of the residual quantizer, searched exhaustively.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::{Index, IndexBase, header};
use crate::base::object::receiver;
use crate::base::{Error, Handle, MetricType, Result};
use crate::grammar::Grammar;
use crate::quantize::Quantizer;
use crate::quantize::additive::RqPart;
use crate::quantize::additive::residual::ResidualQuantizer;
use crate::registry::{Format, Row};

/// Base of the indexes of additive codes.
#[derive(Object, Default, Clone)]
#[object(abstract, implements(Index))]
pub struct IndexAdditiveQuantizer {
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
}

pub const BASE: Row = Row::of::<IndexAdditiveQuantizer>();

impl Index for IndexAdditiveQuantizer {
    crate::inherit_index!(flat_codes);
}

/// Stores codes of a residual quantizer and searches them exhaustively.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexResidualQuantizer {
    #[object(parent)]
    pub additive: IndexAdditiveQuantizer,
    /// Makes the codes.
    pub rq: ResidualQuantizer,
}

pub const ROW: Row = Row::of::<IndexResidualQuantizer>()
    .grammar(Grammar::Index(|d, part, metric| {
        let Some(part) = RqPart::parse(part, "RQ") else { return Ok(None) };
        Ok(Some(Handle::new(IndexResidualQuantizer::of_bits(d, part.nbits, metric, part.search_type)?)))
    }))
    .format(Format {
        fourccs: &["IxRq"],
        read: |input, _| {
            let base = header::read(input)?;
            let rq = ResidualQuantizer::read(input)?;
            let code_size = input.usize()?;
            let flat_codes = IndexFlatCodes { base, code_size, codes: input.codes()? };
            Error::check(rq.d == flat_codes.dim() && rq.code_size == code_size, "rq.d == d")?;
            flat_codes.count()?;
            Ok(Handle::new(IndexResidualQuantizer { additive: IndexAdditiveQuantizer { flat_codes }, rq }))
        },
        write: |object, out| {
            let index = receiver::<IndexResidualQuantizer>(object)?;
            index.count()?;
            out.fourcc("IxRq")?;
            header::write(index, out)?;
            index.rq.write(out)?;
            out.usize(index.code_size)?;
            out.codes(index.codes.as_slice())
        },
    });

#[methods(new)]
impl IndexResidualQuantizer {
    /// With `M` codebooks of `2^nbits` centroids; `search_type` is one of the `ST_` constants.
    #[new]
    pub fn new(
        d: i64,
        M: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
    ) -> Result<Self> {
        Error::check(M <= 1 << 16, "M <= 65536")?;
        IndexResidualQuantizer::of_bits(d, vec![nbits; M], metric, search_type)
    }

    /// With codebooks of these numbers of bits.
    #[new]
    fn of_numbers(
        d: i64,
        nbits: &[i64],
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
    ) -> Result<Self> {
        let nbits = nbits.iter().map(|v| usize::try_from(*v).map_err(|_| Error::overflow("nbits")));
        IndexResidualQuantizer::of_bits(d, nbits.collect::<Result<_>>()?, metric, search_type)
    }
}

impl IndexResidualQuantizer {
    pub fn of_bits(d: i64, nbits: Vec<usize>, metric: MetricType, search_type: i32) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let rq = ResidualQuantizer::of_bits(base.dim(), nbits, search_type)?;
        let flat_codes = IndexFlatCodes::new(base, rq.code_size);
        Ok(IndexResidualQuantizer { additive: IndexAdditiveQuantizer { flat_codes }, rq })
    }
}

impl FlatCodes for IndexResidualQuantizer {
    fn flat_codes(&self) -> &IndexFlatCodes {
        &self.additive.flat_codes
    }
    fn flat_codes_mut(&mut self) -> &mut IndexFlatCodes {
        &mut self.additive.flat_codes
    }
    fn codec(&self) -> &dyn Quantizer {
        &self.rq
    }
    fn codec_mut(&mut self) -> &mut dyn Quantizer {
        &mut self.rq
    }
    fn train_codec(&mut self, x: &[f32]) -> Result<()> {
        self.rq.train(x)?;
        self.flat_codes_mut().code_size = self.rq.code_size;
        Ok(())
    }
}

impl Index for IndexResidualQuantizer {
    crate::flat_codes_index!();
}
