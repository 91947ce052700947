//! Parameters of one search in an inverted file.

use faiss_derive::Object;

use crate::base::object::{Object, cast};
use crate::base::{Error, Result, Shared};
use crate::index::SearchParameters;
use crate::registry::Row;

/// Parameters of one search in an inverted file.
///
/// Give it to `search(x, k, params=SearchParametersIVF(nprobe=16, sel=...))`: it holds for that search alone.
#[derive(Object, Clone)]
#[object(fields)]
pub struct SearchParametersIVF {
    /// What all searches take.
    #[object(parent)]
    pub base: SearchParameters,
    /// Number of lists to look into.
    #[object(default = 1)]
    pub nprobe: usize,
    /// Number of codes to look at, at most; 0 for no limit.
    pub max_codes: usize,
    /// Parameters of the search in the quantizer.
    pub quantizer_params: Option<Shared<SearchParameters>>,
    /// Number of lists that may give no result before a range search ends; 0 for no limit.
    pub max_empty_result_buckets: usize,
    /// Look into more lists where `max_codes` would leave fewer than `k` results.
    pub ensure_topk_full: bool,
    /// Number of lists to look into at most, by their order; 0 for no limit.
    pub max_lists_num: usize,
}

pub(crate) const ROW: Row = Row::of::<SearchParametersIVF>();

/// Parameters of one search in an inverted file of product-quantized codes.
#[derive(Object, Clone, Default)]
#[object(fields)]
pub struct IVFPQSearchParameters {
    /// What searches in inverted files take.
    #[object(parent)]
    pub ivf: SearchParametersIVF,
    /// Accepted for compatibility.
    pub scan_table_threshold: usize,
    /// Accepted for compatibility: Faiss too looks at the index's only.
    pub polysemous_ht: i32,
}

pub(crate) const PQ_ROW: Row = Row::of::<IVFPQSearchParameters>();

/// Parameters of one search in an inverted file of TurboQuant's codes.
#[derive(Object, Clone, Default)]
#[object(fields)]
pub struct IVFSQTurboQSearchParameters {
    /// What searches in inverted files take.
    #[object(parent)]
    pub ivf: SearchParametersIVF,
    /// Bits that the query's coordinates are rounded to where levels have one bit, and its projections if `int_qjl`; 0 for no rounding.
    pub qb: u8,
    /// Whether the query's projections are rounded to `qb` bits.
    pub int_qjl: bool,
}

pub(crate) const TURBOQ_ROW: Row = Row::of::<IVFSQTurboQSearchParameters>();

/// The parameters as those of an inverted file.
pub fn of_search(params: Option<&dyn Object>) -> Result<Option<&SearchParametersIVF>> {
    match params {
        None => Ok(None),
        Some(params) => match cast(params) {
            Some(params) => Ok(Some(params)),
            None => Err(Error::failed("!(params)", "IndexIVF params have incorrect type")),
        },
    }
}
