//! A graph over scalar-quantized codes.

use faiss_derive::{Object, methods};

use super::IndexHNSW;
use crate::base::{Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, sq_part};
use crate::index::Index;
use crate::index::scalar::IndexScalarQuantizer;
use crate::registry::Row;

/// Stores scalar-quantized codes and searches them along the links of a hierarchical graph.
#[derive(Object, Default)]
#[object(methods, implements(Index), copy(hnsw_index))]
pub struct IndexHNSWSQ {
    /// The graph and its storage.
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
}

pub(crate) const ROW: Row = Row::of::<IndexHNSWSQ>()
    .grammar(Grammar::Graph(|d, m, storage, metric| match sq_part(storage) {
        Some(qtype) => Ok(Some(Handle::new(IndexHNSWSQ::new(d, qtype, m, metric)?))),
        None => Ok(None),
    }))
    .format(crate::file_format!(IndexHNSWSQ, ["IHNs"], |index| {
        index.hnsw_index;
    }));

#[methods(new)]
impl IndexHNSWSQ {
    /// With `m` links a vector, twice as many at the lowest level; `qtype` is one of the scalar quantizers' `QT_` constants.
    #[new]
    pub fn new(d: i64, qtype: i32, M: i32, #[default = MetricType::L2] metric: MetricType) -> Result<Self> {
        let storage = IndexScalarQuantizer::new(d, qtype, metric)?;
        let is_trained = storage.is_trained;
        let mut hnsw_index = IndexHNSW { own_fields: true, ..IndexHNSW::over(Shared::new(storage), M)? };
        hnsw_index.is_trained = is_trained;
        Ok(IndexHNSWSQ { hnsw_index })
    }
}

impl Index for IndexHNSWSQ {
    crate::inherit_index!(hnsw_index);
}
