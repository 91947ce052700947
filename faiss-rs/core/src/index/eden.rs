//! EDEN codes, searched exhaustively.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::rabitq::mean;
use super::{Index, IndexBase};
use crate::base::{Error, Handle, MetricType, Result};
use crate::grammar::{Grammar, bits_of};
use crate::quantize::codec::CodeDistances;
use crate::quantize::eden::{self, Eden, EdenDistances};
use crate::quantize::{Quantizer, QuantizerBase, ScalarQuantizer};
use crate::registry::Row;

/// Stores vectors less their mean by levels of the normal distribution and a scale, and searches them exhaustively.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexEDEN {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// The levels, of one of the types `QT_1bit_eden` to `QT_8bit_eden`.
    #[object(readonly)]
    pub sq: ScalarQuantizer,
    /// `EDENScaleType_UNBIASED` or `EDENScaleType_BIASED`.
    #[object(default = eden::UNBIASED)]
    pub scale_type: i32,
    /// The mean of the training vectors, which is subtracted.
    pub center: Vec<f32>,
    /// Dimension and bytes of the codes.
    sizes: QuantizerBase,
}

pub(crate) const ROW: Row = Row::of::<IndexEDEN>()
    .grammar(Grammar::Index(|d, part, metric| match part.strip_prefix("EDEN").and_then(|bits| bits_of(bits, 8)) {
        Some(nb_bits) => Ok(Some(Handle::new(IndexEDEN::new(d, metric, nb_bits, eden::UNBIASED)?))),
        None => Ok(None),
    }))
    .format(crate::file_format!(IndexEDEN, ["IxEe", "IxEd"], |index, code| {
        index.base;
        index.sq.d;
        index.code_size;
        same (index.metric_type) "the quantizer's metric_type is the index's";
        index.sq.bits;
        old (code.is("IxEd")) {} else { index.scale_type; }
        index.codes;
        index.center;
        read {
            index.sq = eden::read_levels(&index.sq, index.scale_type, index.code_size)?;
            index.sizes = QuantizerBase { d: index.sq.d, code_size: index.code_size };
            crate::quantize::codec::check_metric(index.metric_type)?;
            Quantizer::check(index)?;
        }
    }, index.count()));

#[methods(new)]
impl IndexEDEN {
    /// With codes of `nb_bits` bits a coordinate, 1 to 8.
    #[new]
    pub fn new(
        d: i64,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 1] nb_bits: usize,
        #[default = 1] scale_type: i32,
    ) -> Result<Self> {
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        let sq = eden::levels(base.dim(), nb_bits)?;
        IndexEDEN::over(base, sq, scale_type)
    }
}

impl IndexEDEN {
    fn over(base: IndexBase, sq: ScalarQuantizer, scale_type: i32) -> Result<Self> {
        crate::quantize::codec::check_metric(base.metric_type)?;
        let sizes = QuantizerBase { d: sq.d, code_size: Eden::new(&sq, scale_type)?.code_size() };
        let flat_codes = IndexFlatCodes::new(base, sizes.code_size);
        Ok(IndexEDEN { flat_codes, sq, scale_type, center: Vec::new(), sizes })
    }

    fn eden(&self) -> Result<Eden<'_>> {
        Eden::new(&self.sq, self.scale_type)
    }
}

impl Quantizer for IndexEDEN {
    fn quantizer_base(&self) -> &QuantizerBase {
        &self.sizes
    }
    fn check(&self) -> Result<()> {
        let size = self.eden()?.code_size();
        let centred = !self.is_trained || self.center.len() == self.dim();
        Error::check(centred && self.sq.d == self.dim() && self.code_size == size, "center.size() == d")
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.rows(x)?;
        self.center = mean(x, self.dim());
        Ok(())
    }
    fn compute_codes(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        self.eden()?.encode(x, &self.center, codes)
    }
    fn decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.eden()?.decode(codes, &self.center, x)
    }
    fn code_distances(&self, metric: MetricType) -> Result<Box<dyn CodeDistances + '_>> {
        Ok(Box::new(Centred { center: &self.center, distances: self.eden()?.distances(metric)? }))
    }
}

struct Centred<'a> {
    center: &'a [f32],
    distances: EdenDistances<'a>,
}

impl CodeDistances for Centred<'_> {
    fn set_query(&mut self, x: &[f32]) -> Result<()> {
        Error::check(x.len() == self.center.len(), "x.size() == d")?;
        self.distances.set(x, self.center)
    }
    fn keys(&self, codes: &[u8], keys: &mut [f32]) {
        self.distances.keys(codes, keys);
    }
    fn between(&self, a: &[u8], b: &[u8]) -> f32 {
        self.distances.between(a, b, self.center)
    }
}

impl FlatCodes for IndexEDEN {
    crate::codes_and_codec!(flat_codes);
}

impl Index for IndexEDEN {
    crate::flat_codes_index!();
}
