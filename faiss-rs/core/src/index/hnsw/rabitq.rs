//! A graph over RaBitQ codes.

use faiss_derive::{Object, methods};

use super::IndexHNSW;
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, RaBitQPart};
use crate::graph::hnsw::SM_RABITQ;
use crate::index::Index;
use crate::index::rabitq::IndexRaBitQ;
use crate::registry::Row;

/// Stores RaBitQ codes and searches them along the links of a hierarchical graph, by L2. Of codes of several bits, searches look at the signs first, and at
/// the rest where the vector may be among the best.
#[derive(Object, Clone, Default)]
#[object(methods, implements(Index), copy(hnsw_index))]
pub struct IndexHNSWRaBitQ {
    /// The graph and its storage.
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
    /// What files say: whether searches look at signs first, which `hnsw.search_method` then says.
    staged: bool,
}

pub(crate) const ROW: Row = Row::of::<IndexHNSWRaBitQ>()
    .grammar(Grammar::Graph(|d, m, storage, metric| match RaBitQPart::parse(storage) {
        Some(RaBitQPart { nb_bits, bbs: None }) => Ok(Some(Handle::new(IndexHNSWRaBitQ::new(d, m, nb_bits, metric)?))),
        _ => Ok(None),
    }))
    .format(crate::file_format!(IndexHNSWRaBitQ, ["IHNr"], |index| {
        index.hnsw_index;
        index.staged;
        read { index.set_search_method(); }
    }));

#[methods(new)]
impl IndexHNSWRaBitQ {
    /// With `M` links a vector, twice as many at the lowest level, and codes of `nb_bits` bits a coordinate.
    #[new]
    pub fn new(
        d: i64,
        M: i32,
        #[default = 1] nb_bits: usize,
        #[default = MetricType::L2] metric: MetricType,
    ) -> Result<Self> {
        if metric != MetricType::L2 {
            return Err(Error::failed("!(metric == METRIC_L2)", "IndexHNSWRaBitQ supports only the L2 metric"));
        }
        let storage = IndexRaBitQ::new(d, metric, nb_bits)?;
        let mut hnsw_index = IndexHNSW { own_fields: true, ..IndexHNSW::over(Shared::new(storage), M)? };
        hnsw_index.is_trained = false;
        Ok(IndexHNSWRaBitQ::staged(hnsw_index, nb_bits > 1))
    }
}

impl IndexHNSWRaBitQ {
    fn staged(hnsw_index: IndexHNSW, staged: bool) -> Self {
        let mut index = IndexHNSWRaBitQ { hnsw_index, staged };
        index.set_search_method();
        index
    }

    fn set_search_method(&mut self) {
        if self.staged {
            self.hnsw.search_method = SM_RABITQ;
        }
    }
}

impl Index for IndexHNSWRaBitQ {
    crate::inherit_index!(hnsw_index);
}
