//! A graph over vectors that are stored as they are.

use faiss_derive::{Object, methods};

use super::IndexHNSW;
use crate::base::{Handle, MetricType, Result, Shared};
use crate::grammar::Grammar;
use crate::index::Index;
use crate::index::flat::IndexFlat;
use crate::index::flat_l2::IndexFlatL2;
use crate::registry::Row;

/// Stores the full vectors and searches them along the links of a hierarchical graph.
///
/// `4 * d + 8 * M` bytes a vector and a little more; no training. `M`: links of a vertex on each level, twice as many on the lowest; 16 to 64 are
/// usual. `hnsw.efConstruction` and `hnsw.efSearch` trade time for results.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy(hnsw_index))]
pub struct IndexHNSWFlat {
    /// The graph and its storage.
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
}

pub(crate) const ROW: Row = Row::of::<IndexHNSWFlat>()
    .grammar(Grammar::Graph(|d, m, storage, metric| match storage {
        "" | "Flat" => Ok(Some(Handle::new(IndexHNSWFlat::new(d, m, metric)?))),
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexHNSWFlat, ["IHNf"], |index| {
        index.hnsw_index;
    }));

#[methods(new)]
impl IndexHNSWFlat {
    /// With `m` links a vector, twice as many at the lowest level.
    #[new]
    pub fn new(d: i64, M: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let storage = match metric {
            MetricType::L2 => Shared::new(IndexFlatL2::new(d)?),
            other => Shared::new(IndexFlat::new(d, other)?),
        };
        Ok(IndexHNSWFlat { hnsw_index: IndexHNSW { own_fields: true, ..IndexHNSW::over(storage, M)? } })
    }
}

impl Index for IndexHNSWFlat {
    crate::inherit_index!(hnsw_index);
}
