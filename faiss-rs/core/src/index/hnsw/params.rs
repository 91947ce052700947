//! Parameters of one search in a graph.

use faiss_derive::Object;

use crate::base::Handle;
use crate::index::SearchParameters;
use crate::registry::{Row, no_overload};

/// Parameters of one search in a hierarchical graph.
#[derive(Object, Clone)]
pub struct SearchParametersHNSW {
    #[object(parent)]
    pub base: SearchParameters,
    /// Candidates kept.
    pub efSearch: i32,
    /// A search ends at a candidate to which `efSearch` seen vertices are nearer; without it, after `efSearch` candidates.
    pub check_relative_distance: bool,
    /// Candidates are kept in one bounded queue, and not in two heaps.
    pub bounded_queue: bool,
}

impl Default for SearchParametersHNSW {
    fn default() -> Self {
        SearchParametersHNSW {
            base: SearchParameters::default(),
            efSearch: 16,
            check_relative_distance: true,
            bounded_queue: true,
        }
    }
}

const SIGNATURES: &[&str] = &[
    "(*, sel: IDSelector | None = None, efSearch: int = 16, check_relative_distance: bool = True, bounded_queue: bool = True)",
];

pub const ROW: Row = Row::of::<SearchParametersHNSW>().construct(
    |args| match args {
        [] => Ok(Handle::new(SearchParametersHNSW::default())),
        _ => Err(no_overload("SearchParametersHNSW", SIGNATURES)),
    },
    SIGNATURES,
);
