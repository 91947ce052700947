//! Scalar-quantized codes, searched exhaustively.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::flat_scan::Scan;
use super::{Index, IndexBase, RangeSearchResult};
use crate::base::object::Object;
use crate::base::{Handle, MetricType, Result};
use crate::distance::results::InRadius;
use crate::grammar::{Grammar, sq_part};
use crate::quantize::scalar::{ScalarQuantizer, kind};
use crate::registry::Row;

/// Stores scalar-quantized codes and searches them exhaustively.
///
/// `qtype`: what a coordinate becomes, as `ScalarQuantizer.QT_8bit` (a byte: `d` bytes a vector), `QT_4bit`, `QT_6bit`, `QT_fp16`, `QT_bf16`.
/// Those of bits are trained: they need the range of each coordinate.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexScalarQuantizer {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
    /// Makes the codes.
    pub sq: ScalarQuantizer,
}

pub(crate) const ROW: Row = Row::of::<IndexScalarQuantizer>()
    .grammar(Grammar::Index(|d, part, metric| match sq_part(part) {
        Some(qtype) => Ok(Some(Handle::new(IndexScalarQuantizer::new(d, qtype, metric)?))),
        None => Ok(None),
    }))
    .format(crate::file_format!(IndexScalarQuantizer, ["IxSQ"], |index| {
        index.base;
        index.sq;
        index.codes;
        read {
            index.code_size = index.sq.code_size;
            index.sq.check_read(index.dim(), index.is_trained)?;
        }
    }, index.count()));

#[methods(new)]
impl IndexScalarQuantizer {
    /// Over `d`-dimensional vectors; `qtype` is one of the `QT_` constants. Types that only shorten numbers need no training.
    #[new]
    pub fn new(d: i64, qtype: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let is_trained =
            matches!(qtype, kind::QT_fp16 | kind::QT_bf16 | kind::QT_8bit_direct | kind::QT_8bit_direct_signed);
        let base = IndexBase { is_trained, ..IndexBase::new(d, metric)? };
        let sq = ScalarQuantizer::new(base.dim(), qtype)?;
        Ok(IndexScalarQuantizer { flat_codes: IndexFlatCodes::new(base, sq.code_size), sq })
    }
}

impl FlatCodes for IndexScalarQuantizer {
    crate::codes_and_codec!(flat_codes, sq);
    /// As in Faiss, among decoded vectors, where a search may compare bytes or estimate.
    fn range_search_codes(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.check_codes()?;
        let n = self.rows(x)?;
        let out = InRadius::new(self.metric_type, n);
        Scan::new(self, x, params, || self.sq.decoded_distances(self.metric_type))?.range_search(n, radius, &out)?;
        Ok(out.finish())
    }
}

impl Index for IndexScalarQuantizer {
    crate::flat_codes_index!();
}
