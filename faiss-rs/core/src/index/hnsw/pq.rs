//! A graph over product-quantized codes.

use faiss_derive::{Object, methods};

use super::IndexHNSW;
use crate::base::object::cast_mut;
use crate::base::{Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, PqPart};
use crate::index::Index;
use crate::index::pq::IndexPQ;
use crate::registry::Row;

/// Stores product-quantized codes and searches them along the links of a hierarchical graph.
#[derive(Object, Default)]
#[object(methods, implements(Index), copy(hnsw_index))]
pub struct IndexHNSWPQ {
    /// The graph and its storage.
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
}

pub(crate) const ROW: Row = Row::of::<IndexHNSWPQ>()
    // As in Faiss, by L2 whatever the metric.
    .grammar(Grammar::Graph(|d, m, storage, _| {
        let Some(part) = PqPart::parse(storage) else { return Ok(None) };
        let index = IndexHNSWPQ::new(d, part.m, m, part.nbits, MetricType::L2)?;
        if let Some(pq) = cast_mut::<IndexPQ>(&mut *index.hnsw_index.storage()?.write()) {
            pq.do_polysemous_training = part.polysemous;
        }
        Ok(Some(Handle::new(index)))
    }))
    .format(crate::file_format!(IndexHNSWPQ, ["IHNp"], |index, _code, file| {
        index.hnsw_index;
        read {
            if !file.has_flag(crate::stream::IO_FLAG_PQ_SKIP_SDC_TABLE) {
                index.compute_sdc_table()?;
            }
        }
    }));

#[methods(new)]
impl IndexHNSWPQ {
    /// With `M` links a vector, twice as many at the lowest level; codes of `pq_m` numbers of `pq_nbits` bits.
    #[new]
    pub fn new(
        d: i64,
        pq_m: usize,
        M: i32,
        #[default = 8] pq_nbits: usize,
        #[default = MetricType::L2] metric: MetricType,
    ) -> Result<Self> {
        let storage = IndexPQ { do_polysemous_training: false, ..IndexPQ::new(d, pq_m, pq_nbits, metric)? };
        let mut hnsw_index = IndexHNSW { own_fields: true, ..IndexHNSW::over(Shared::new(storage), M)? };
        hnsw_index.is_trained = false;
        Ok(IndexHNSWPQ { hnsw_index })
    }
}

impl IndexHNSWPQ {
    /// Distances between centroids, as Faiss keeps them for graphs.
    fn compute_sdc_table(&self) -> Result<()> {
        if let Some(storage) = &self.hnsw_index.storage
            && let Some(pq) = cast_mut::<IndexPQ>(&mut *storage.write())
            && pq.pq.nbits <= 8
        {
            pq.pq.compute_sdc_table()?;
        }
        Ok(())
    }
}

impl Index for IndexHNSWPQ {
    crate::inherit_index!(hnsw_index);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        self.hnsw_index.train(x)?;
        self.compute_sdc_table()
    }
}
