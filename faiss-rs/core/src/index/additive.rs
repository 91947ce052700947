//! Codes of additive quantizers, searched exhaustively.

use faiss_derive::{Object, methods};

use super::flat_codes::{FlatCodes, IndexFlatCodes};
use super::{Index, IndexBase, dim_of};
use crate::base::{Error, Handle, MetricType, Result};
use crate::grammar::{AdditivePart, Grammar};
use crate::quantize::additive::equal_bits;
use crate::quantize::additive::residual::InOrder;
use crate::quantize::additive::residual::bits_of;
use crate::quantize::additive::{
    LocalSearchQuantizer, ProductLocalSearchQuantizer, ProductResidualQuantizer, ResidualQuantizer,
};
use crate::quantize::{Quantizer, QuantizerBase};
use crate::registry::Row;
use crate::stream::fields::Own;

/// Base of the indexes of codes of additive quantizers.
#[derive(Object, Default, Clone)]
#[object(abstract, implements(Index))]
pub struct IndexAdditiveQuantizer {
    /// The codes.
    #[object(parent)]
    pub flat_codes: IndexFlatCodes,
}

pub(crate) const ROW: Row = Row::of::<IndexAdditiveQuantizer>();

impl Index for IndexAdditiveQuantizer {
    crate::inherit_index!(flat_codes);
}

impl IndexAdditiveQuantizer {
    fn new(d: i64, quantizer: &QuantizerBase, metric: MetricType) -> Result<Self> {
        let known = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
        Error::check(known, "metric == METRIC_INNER_PRODUCT || metric == METRIC_L2")?;
        let base = IndexBase { is_trained: false, ..IndexBase::new(d, metric)? };
        Ok(IndexAdditiveQuantizer { flat_codes: IndexFlatCodes::new(base, quantizer.code_size) })
    }
}

/// A quantizer that a part of an index description names.
pub(super) trait OfPart: Sized {
    /// For vectors of `d` numbers; None where the part names one of another kind.
    fn of_part(d: i64, part: AdditivePart) -> Result<Option<Self>>;
}

macro_rules! of_part {
    ($quantizer:ident, $kind:ident { $($size:ident),* }) => {
        impl OfPart for $quantizer {
            fn of_part(d: i64, part: AdditivePart) -> Result<Option<Self>> {
                let AdditivePart::$kind { $($size),* } = part else { return Ok(None) };
                $quantizer::new(dim_of(d), $($size),*).map(Some)
            }
        }
    };
}

of_part!(ResidualQuantizer, Residual { nbits, norm });
of_part!(LocalSearchQuantizer, LocalSearch { m, nbits, norm });
of_part!(ProductResidualQuantizer, ProductResidual { nsplits, m, nbits, norm });
of_part!(ProductLocalSearchQuantizer, ProductLocalSearch { nsplits, m, nbits, norm });

/// Descriptions are of the metrics that codes can be searched by.
fn check_metric(metric: MetricType) -> Result<()> {
    let known = matches!(metric, MetricType::L2 | MetricType::InnerProduct);
    Error::check(known, "metric == METRIC_L2 || metric == METRIC_INNER_PRODUCT")
}

macro_rules! additive_index {
    ($(#[$doc:meta])* $name:ident, $field:ident: $quantizer:ident, $row:ident, $codes:tt, $form:expr) => {
        $(#[$doc])*
        #[derive(Object, Default, Clone)]
        #[object(methods, implements(Index), copy($field))]
        pub struct $name {
            /// The codes.
            #[object(parent)]
            pub additive: IndexAdditiveQuantizer,
            /// Makes the codes.
            pub $field: $quantizer,
        }

        pub(crate) const $row: Row = Row::of::<$name>()
            .grammar(Grammar::Index(|d, part, metric| {
                let Some(part) = AdditivePart::parse(part, metric) else { return Ok(None) };
                let Some($field) = $quantizer::of_part(d, part)? else { return Ok(None) };
                check_metric(metric)?;
                Ok(Some(Handle::new($name::over(d, $field, metric)?)))
            }))
            .format(crate::file_format!($name, $codes, |index, code| {
                index.base;
                index.$field => $form(code);
                index.code_size;
                index.codes;
            }, index.check_codes()));

        impl $name {
            fn over(d: i64, $field: $quantizer, metric: MetricType) -> Result<Self> {
                let additive = IndexAdditiveQuantizer::new(d, $field.quantizer_base(), metric)?;
                Ok($name { additive, $field })
            }
        }

        impl Index for $name {
            crate::flat_codes_index!();
        }

        impl FlatCodes for $name {
            crate::codes_and_codec!(additive.flat_codes, $field);
        }
    };
}

additive_index! {
    /// Stores codes of a residual quantizer and searches them exhaustively.
    IndexResidualQuantizer, rq: ResidualQuantizer, RESIDUAL, ["IxRq", "IxRQ"], InOrder
}
additive_index! {
    /// Stores codes of a local search quantizer and searches them exhaustively.
    IndexLocalSearchQuantizer, lsq: LocalSearchQuantizer, LOCAL_SEARCH, ["IxLS"], |_| Own
}
additive_index! {
    /// Stores codes of a residual quantizer for each part of the vectors and searches them exhaustively.
    IndexProductResidualQuantizer, prq: ProductResidualQuantizer, PRODUCT_RESIDUAL, ["IxPR"], |_| Own
}
additive_index! {
    /// Stores codes of a local search quantizer for each part of the vectors and searches them exhaustively.
    IndexProductLocalSearchQuantizer, plsq: ProductLocalSearchQuantizer, PRODUCT_LOCAL_SEARCH, ["IxPL"], |_| Own
}

#[methods(new)]
impl IndexResidualQuantizer {
    /// `M` codebooks of `nbits` bits.
    #[new]
    pub fn new(
        d: i64,
        M: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
    ) -> Result<Self> {
        Self::over(d, ResidualQuantizer::new(dim_of(d), equal_bits(M, nbits)?, search_type)?, metric)
    }

    /// Codebooks of so many bits each.
    #[new]
    pub fn of_bits(
        d: i64,
        nbits: &[i64],
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
    ) -> Result<Self> {
        Self::over(d, ResidualQuantizer::new(dim_of(d), bits_of(nbits)?, search_type)?, metric)
    }
}

#[methods(new)]
impl IndexLocalSearchQuantizer {
    /// `M` codebooks of `nbits` bits.
    #[new]
    pub fn new(
        d: i64,
        M: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
    ) -> Result<Self> {
        Self::over(d, LocalSearchQuantizer::new(dim_of(d), M, nbits, search_type)?, metric)
    }
}

#[methods(new)]
impl IndexProductResidualQuantizer {
    /// `nsplits` parts of a vector, each with `Msub` codebooks of `nbits` bits.
    #[new]
    pub fn new(
        d: i64,
        nsplits: usize,
        Msub: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
    ) -> Result<Self> {
        Self::over(d, ProductResidualQuantizer::new(dim_of(d), nsplits, Msub, nbits, search_type)?, metric)
    }
}

#[methods(new)]
impl IndexProductLocalSearchQuantizer {
    /// `nsplits` parts of a vector, each with `Msub` codebooks of `nbits` bits.
    #[new]
    pub fn new(
        d: i64,
        nsplits: usize,
        Msub: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
    ) -> Result<Self> {
        Self::over(d, ProductLocalSearchQuantizer::new(dim_of(d), nsplits, Msub, nbits, search_type)?, metric)
    }
}
