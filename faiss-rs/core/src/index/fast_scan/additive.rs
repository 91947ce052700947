//! Codes of additive quantizers of four bits a codebook, packed.

use faiss_derive::{Object, methods};

use super::{FastScan, IndexFastScan, check_block};
use crate::base::object::DeepCopy;
use crate::base::{Error, Handle, MetricType, Result};
use crate::grammar::{AdditiveFastScanPart, Grammar};
use crate::index::additive::{
    IndexLocalSearchQuantizer, IndexProductLocalSearchQuantizer, IndexProductResidualQuantizer, IndexResidualQuantizer,
    OfPart,
};
use crate::index::flat_codes::FlatCodes;
use crate::index::{Index, dim_of};
use crate::quantize::Quantizer;
use crate::quantize::additive::{
    Additive, AdditiveQuantizer, LocalSearchQuantizer, ProductLocalSearchQuantizer, ProductResidualQuantizer,
    ResidualQuantizer,
};
use crate::quantize::fast_scan::KSUB;
use crate::registry::Row;
use crate::transform::maybe_subsample;

/// Vectors that training takes for each entry of a table.
const POINTS_PER_ENTRY: usize = 1024;
const TRAINING_SEED: i64 = 0x12345;
/// Vectors that the scale of norms is learnt from, and the seed that they are chosen by.
const SCALE_POINTS: usize = 65536;
const SCALE_SEED: i64 = 0x980903;

/// The most vectors that a quantizer of codes of `parts` numbers is trained by, unless told otherwise.
pub fn train_points(parts: usize) -> usize {
    parts.saturating_mul(POINTS_PER_ENTRY * KSUB)
}

/// The scale of norms that `x` leads to.
pub fn estimate_norm_scale(aq: &AdditiveQuantizer, x: &[f32]) -> Result<i32> {
    aq.estimate_norm_scale(&maybe_subsample(x, aq.base.d, SCALE_POINTS, SCALE_SEED)?)
}

/// What tables of norms are divided by, and sums of their entries multiplied by.
pub fn norm_factor(rescale_norm: bool, norm_scale: i32, metric: MetricType) -> u16 {
    let factor = if rescale_norm && metric == MetricType::L2 { norm_scale } else { 1 };
    factor.clamp(1, i32::from(u16::MAX)) as u16
}

/// Base of the indexes of packed codes of additive quantizers. Distances of L2 are without the query's own norm.
#[derive(Object, Clone)]
#[object(abstract)]
pub struct IndexAdditiveQuantizerFastScan {
    /// The packed codes.
    #[object(parent)]
    pub fast_scan: IndexFastScan,
    /// Divide the tables of norms by `norm_scale` before they are rounded, and multiply what is found in them.
    #[object(default = true)]
    pub rescale_norm: bool,
    /// By how much norms spread more than products do.
    #[object(default = 1)]
    pub norm_scale: i32,
    /// The most vectors that the quantizer is trained by.
    pub max_train_points: usize,
}

pub(crate) const ROW: Row = Row::of::<IndexAdditiveQuantizerFastScan>();

// What follows the quantizer in files.
crate::stored!(IndexAdditiveQuantizerFastScan, |own| {
    own.implem;
    own.bbs;
    own.qbs;
    own.M;
    own.nbits;
    own.ksub;
    own.code_size;
    own.ntotal2;
    own.M2;
    own.rescale_norm;
    own.norm_scale;
    own.max_train_points;
    own.codes;
});

impl IndexAdditiveQuantizerFastScan {
    /// An error where what a file says of the codes is not what they are.
    fn check_parts(&self, aq: &AdditiveQuantizer) -> Result<()> {
        let made = Self::new(i64::from(self.d), aq, self.metric_type, i64::from(self.bbs))?.fast_scan;
        let sizes = |own: &IndexFastScan| (own.M, own.nbits, own.ksub, own.code_size, own.M2);
        Error::check(sizes(&made) == sizes(self), "M, nbits, ksub, code_size and M2 are those of the quantizer")
    }

    fn new(d: i64, aq: &AdditiveQuantizer, metric: MetricType, bbs: i64) -> Result<Self> {
        aq.check_packed(metric)?;
        let fast_scan = IndexFastScan::new(d, aq.packed_parts(), metric, bbs)?;
        let max_train_points = train_points(fast_scan.M);
        Ok(IndexAdditiveQuantizerFastScan { fast_scan, max_train_points, ..Default::default() })
    }

    fn factor(&self) -> u16 {
        norm_factor(self.rescale_norm, self.norm_scale, self.fast_scan.metric_type)
    }
}

macro_rules! additive_fast_scan {
    (
        $(#[$doc:meta])* $name:ident, $field:ident: $quantizer:ident::$make:ident($($size:ident),*), from $flat:ident, $row:ident,
        $fourcc:literal, search_type $search_type:tt
    ) => {
        $(#[$doc])*
        #[derive(Object, Default, Clone)]
        #[object(methods, implements(Index, FastScan), copy($field))]
        pub struct $name {
            /// The packed codes.
            #[object(parent)]
            pub additive: IndexAdditiveQuantizerFastScan,
            /// Makes the codes.
            pub $field: $quantizer,
        }

        pub(crate) const $row: Row = Row::of::<$name>()
            .grammar(Grammar::Index(|d, part, metric| {
                let part = AdditiveFastScanPart::parse(part, metric);
                let Some(AdditiveFastScanPart { quantizer, by_residual: false, bbs }) = part else { return Ok(None) };
                let Some($field) = $quantizer::of_part(d, quantizer)? else { return Ok(None) };
                Ok(Some(Handle::new($name::over(d, $field, metric, bbs)?)))
            }))
            .format(crate::file_format!($name, [$fourcc], |index| {
                index.base;
                index.$field;
                index.additive;
                read { index.additive.check_parts(index.$field.aq())?; }
            }, index.check_codes()));

        #[methods(new)]
        impl $name {
            /// With codebooks of `nbits` bits, which must be 4, in blocks of `bbs` vectors.
            #[new]
            pub fn new(
                d: i64,
                $($size: usize,)*
                nbits: usize,
                #[default = MetricType::L2] metric: MetricType,
                #[default = $search_type] search_type: i32,
                #[default = 32] bbs: i64,
            ) -> Result<Self> {
                check_block(bbs)?;
                Error::check(nbits == 4, "nbits == 4")?;
                Self::over(d, $quantizer::$make(dim_of(d), $($size,)* nbits, search_type)?, metric, bbs)
            }

            /// The codes of another index, packed.
            #[new]
            pub fn from_additive(orig: &$flat, #[default = 32] bbs: i64) -> Result<Self> {
                orig.check_codes()?;
                let mut made = Self::over(i64::from(orig.d), orig.$field.deep_copy()?, orig.metric_type, bbs)?;
                made.is_trained = orig.is_trained;
                made.additive.fast_scan.take(orig.codes.as_slice())?;
                Ok(made)
            }

            /// Over a quantizer, which is copied.
            #[new]
            pub fn of_quantizer(
                aq: &$quantizer,
                #[default = MetricType::L2] metric: MetricType,
                #[default = 32] bbs: i64,
            ) -> Result<Self> {
                let d = i64::try_from(aq.aq().base.d).unwrap_or(i64::MAX);
                let mut made = Self::over(d, aq.deep_copy()?, metric, bbs)?;
                made.is_trained = aq.aq().is_trained;
                Ok(made)
            }

            /// Finds `norm_scale` from vectors (n, d).
            #[name = "_estimate_norm_scale"]
            fn estimate_norm_scale(&mut self, x: &[f32]) -> Result<()> {
                self.rows(x)?;
                self.norm_scale = estimate_norm_scale(self.$field.aq(), x)?;
                Ok(())
            }
        }

        impl $name {
            fn over(d: i64, $field: $quantizer, metric: MetricType, bbs: i64) -> Result<Self> {
                Ok($name { additive: IndexAdditiveQuantizerFastScan::new(d, $field.aq(), metric, bbs)?, $field })
            }
        }

        impl Index for $name {
            crate::fast_scan_index!();
        }

        impl FastScan for $name {
            fn fast_scan(&self) -> &IndexFastScan {
                &self.additive.fast_scan
            }
            fn fast_scan_mut(&mut self) -> &mut IndexFastScan {
                &mut self.additive.fast_scan
            }
            fn codec(&self) -> &dyn Quantizer {
                &self.$field
            }
            fn codec_mut(&mut self) -> &mut dyn Quantizer {
                &mut self.$field
            }
            fn train_codec(&mut self, x: &[f32]) -> Result<()> {
                self.$field.aq_mut().verbose |= self.verbose;
                let x = maybe_subsample(x, self.dim(), self.max_train_points, TRAINING_SEED)?;
                self.$field.train(&x)?;
                if self.metric_type == MetricType::L2 { self.estimate_norm_scale(&x) } else { Ok(()) }
            }
            fn norm_factor(&self) -> u16 {
                self.additive.factor()
            }
            fn tables(&self, x: &[f32], tables: &mut [f32]) -> Result<()> {
                self.$field.aq().packed_tables(x, self.metric_type, self.norm_factor(), tables)
            }
        }
    };
}

additive_fast_scan! {
    /// Stores packed codes of a residual quantizer and searches them exhaustively.
    IndexResidualQuantizerFastScan, rq: ResidualQuantizer::of(M), from IndexResidualQuantizer, RESIDUAL,
    "IRfs", search_type 9
}
additive_fast_scan! {
    /// Stores packed codes of a local search quantizer and searches them exhaustively.
    IndexLocalSearchQuantizerFastScan, lsq: LocalSearchQuantizer::new(M), from IndexLocalSearchQuantizer, LOCAL_SEARCH,
    "ILfs", search_type 8
}
additive_fast_scan! {
    /// Stores packed codes of a residual quantizer for each part of the vectors and searches them exhaustively.
    IndexProductResidualQuantizerFastScan, prq: ProductResidualQuantizer::new(nsplits, Msub), from IndexProductResidualQuantizer, PRODUCT_RESIDUAL,
    "IPRf", search_type 9
}
additive_fast_scan! {
    /// Stores packed codes of a local search quantizer for each part of the vectors and searches them exhaustively.
    IndexProductLocalSearchQuantizerFastScan, plsq: ProductLocalSearchQuantizer::new(nsplits, Msub), from IndexProductLocalSearchQuantizer, PRODUCT_LOCAL_SEARCH,
    "IPLf", search_type 9
}
