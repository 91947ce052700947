//! Inverted files of codes of additive quantizers.

use faiss_derive::{Object, methods};

use super::{IndexIVF, InvertedFile, codec};
use crate::base::object::receiver;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{AdditivePart, Grammar};
use crate::index::additive::OfPart;
use crate::index::ivf::format::{Header, Lists};
use crate::index::{Index, dim_of};
use crate::quantize::Quantizer;
use crate::quantize::additive::equal_bits;
use crate::quantize::additive::residual::bits_of;
use crate::quantize::additive::{
    Additive, LocalSearchQuantizer, ProductLocalSearchQuantizer, ProductResidualQuantizer, ResidualQuantizer,
};
use crate::registry::Row;

/// Base of the inverted files of codes of additive quantizers.
#[derive(Object, Default, Clone)]
#[object(abstract, copy(ivf))]
pub struct IndexIVFAdditiveQuantizer {
    /// The inverted file.
    #[object(parent)]
    pub ivf: IndexIVF,
    /// Kept for programs that set it: there are no precomputed tables.
    pub use_precomputed_table: i32,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFAdditiveQuantizer>();

macro_rules! additive_inverted_file {
    ($(#[$doc:meta])* $name:ident, $field:ident: $quantizer:ident, $row:ident, $fourcc:literal) => {
        $(#[$doc])*
        #[derive(Object, Clone, Default)]
        #[object(methods, implements(Index, InvertedFile), copy(additive, $field))]
        pub struct $name {
            /// The lists of codes.
            #[object(parent)]
            pub additive: IndexIVFAdditiveQuantizer,
            /// Makes the codes.
            pub $field: $quantizer,
        }

        pub(crate) const $row: Row = Row::of::<$name>()
            .grammar(Grammar::InvertedFile(|over, part| {
                let Some(part) = AdditivePart::parse(part, over.metric) else { return Ok(None) };
                let Some($field) = $quantizer::of_part(over.d, part)? else { return Ok(None) };
                let quantizer = over.quantizer.clone();
                Ok(Some(Handle::new($name::over(quantizer, over.d, over.nlist, $field, over.metric, true)?)))
            }))
            .format(crate::file_format!($name, [$fourcc], |index, code| {
                index.ivf => Header(code);
                index.code_size;
                index.$field;
                read { codec::check(index, &index.$field)?; }
                index.by_residual;
                index.use_precomputed_table;
                index.ivf => Lists;
            }));

        impl $name {
            fn over(
                quantizer: Shared<dyn Index>,
                d: i64,
                nlist: usize,
                $field: $quantizer,
                metric: MetricType,
                own_invlists: bool,
            ) -> Result<Self> {
                let mut ivf = IndexIVF::new(quantizer, d, nlist, $field.quantizer_base().code_size, metric, own_invlists)?;
                ivf.is_trained = false;
                Ok($name { additive: IndexIVFAdditiveQuantizer { ivf, use_precomputed_table: 0 }, $field })
            }
        }

        impl Index for $name {
            crate::inverted_file_index!();
        }

        impl InvertedFile for $name {
            crate::lists_and_codec!(additive.ivf, $field);
            fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
                let theirs = receiver::<$name>(other)?;
                let same = theirs.$field.aq().codebooks == self.$field.aq().codebooks;
                Error::check(same, "other's codebooks are the same")
            }
        }
    };
}

additive_inverted_file! {
    /// Stores codes of a residual quantizer in the lists of a coarse quantizer.
    IndexIVFResidualQuantizer, rq: ResidualQuantizer, RESIDUAL, "IwRQ"
}
additive_inverted_file! {
    /// Stores codes of a local search quantizer in the lists of a coarse quantizer.
    IndexIVFLocalSearchQuantizer, lsq: LocalSearchQuantizer, LOCAL_SEARCH, "IwLS"
}
additive_inverted_file! {
    /// Stores codes of a residual quantizer for each part of the vectors in the lists of a coarse quantizer.
    IndexIVFProductResidualQuantizer, prq: ProductResidualQuantizer, PRODUCT_RESIDUAL, "IwPR"
}
additive_inverted_file! {
    /// Stores codes of a local search quantizer for each part of the vectors in the lists of a coarse quantizer.
    IndexIVFProductLocalSearchQuantizer, plsq: ProductLocalSearchQuantizer, PRODUCT_LOCAL_SEARCH, "IwPL"
}

#[methods(new)]
impl IndexIVFResidualQuantizer {
    /// Over `nlist` lists of `quantizer`, with `M` codebooks of `nbits` bits.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        M: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let rq = ResidualQuantizer::new(dim_of(d), equal_bits(M, nbits)?, search_type)?;
        Self::over(quantizer, d, nlist, rq, metric, own_invlists)
    }

    /// Over `nlist` lists of `quantizer`, with codebooks of so many bits each.
    #[new]
    pub fn of_bits(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        nbits: &[i64],
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let rq = ResidualQuantizer::new(dim_of(d), bits_of(nbits)?, search_type)?;
        Self::over(quantizer, d, nlist, rq, metric, own_invlists)
    }
}

#[methods(new)]
impl IndexIVFLocalSearchQuantizer {
    /// Over `nlist` lists of `quantizer`, with `M` codebooks of `nbits` bits.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        M: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let lsq = LocalSearchQuantizer::new(dim_of(d), M, nbits, search_type)?;
        Self::over(quantizer, d, nlist, lsq, metric, own_invlists)
    }
}

#[methods(new)]
impl IndexIVFProductResidualQuantizer {
    /// Over `nlist` lists of `quantizer`, with `Msub` codebooks of `nbits` bits for each of `nsplits` parts of a vector.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        nsplits: usize,
        Msub: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let prq = ProductResidualQuantizer::new(dim_of(d), nsplits, Msub, nbits, search_type)?;
        Self::over(quantizer, d, nlist, prq, metric, own_invlists)
    }
}

#[methods(new)]
impl IndexIVFProductLocalSearchQuantizer {
    /// Over `nlist` lists of `quantizer`, with `Msub` codebooks of `nbits` bits for each of `nsplits` parts of a vector.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        nsplits: usize,
        Msub: usize,
        nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
        #[default = 0] search_type: i32,
        #[default = true] own_invlists: bool,
    ) -> Result<Self> {
        let plsq = ProductLocalSearchQuantizer::new(dim_of(d), nsplits, Msub, nbits, search_type)?;
        Self::over(quantizer, d, nlist, plsq, metric, own_invlists)
    }
}
