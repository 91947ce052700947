//! Parameters of one search in a graph.

use faiss_derive::Object;

use crate::index::SearchParameters;
use crate::registry::Row;

/// Parameters of one search in a hierarchical graph.
///
/// Give it to `search(x, k, params=SearchParametersHNSW(efSearch=64))`: it holds for that search alone.
#[derive(Object, Clone)]
#[object(fields)]
pub struct SearchParametersHNSW {
    /// What all searches take.
    #[object(parent)]
    pub base: SearchParameters,
    /// Candidates kept.
    #[object(default = 16)]
    pub efSearch: i32,
    /// A search ends at a candidate to which `efSearch` seen vertices are nearer; without it, after `efSearch` candidates.
    #[object(default = true)]
    pub check_relative_distance: bool,
    /// Candidates are kept in one bounded queue, and not in two heaps.
    #[object(default = true)]
    pub bounded_queue: bool,
}

pub(crate) const ROW: Row = Row::of::<SearchParametersHNSW>();
