//! A graph over codes of two parts.

use faiss_derive::{Object, methods};

use super::IndexHNSW;
use crate::base::object::{cast, cast_mut};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::grammar::{Grammar, number};
use crate::index::Index;
use crate::index::ivf::pq::IndexIVFPQ;
use crate::index::two_layer::{Index2Layer, Level1Quantizer};
use crate::registry::Row;

/// Stores for each vector the nearest of some centroids and the code of the difference, and searches them along the links of a hierarchical
/// graph.
#[derive(Object, Default)]
#[object(methods, implements(Index), copy(hnsw_index))]
pub struct IndexHNSW2Level {
    /// The graph and its storage.
    #[object(parent)]
    pub hnsw_index: IndexHNSW,
}

pub(crate) const ROW: Row = Row::of::<IndexHNSW2Level>()
    // `100+PQ8`: 100 centroids; `2x8+PQ8`: those of a multi-index. As in Faiss, by L2 whatever the metric.
    .grammar(Grammar::Graph(|d, m, storage, _| {
        let parts = storage.split_once("+PQ");
        let Some((layer, m_pq)) = parts.and_then(|(layer, m_pq)| Some((layer, number(m_pq)?))) else { return Ok(None) };
        let Some(q1) = Level1Quantizer::described(d, layer)? else { return Ok(None) };
        let Some(quantizer) = q1.quantizer.clone() else { return Ok(None) };
        let index = IndexHNSW2Level::new(quantizer, q1.nlist, m_pq as usize, m)?;
        if let Some(storage) = cast_mut::<Index2Layer>(&mut *index.hnsw_index.storage()?.write()) {
            storage.q1 = q1;
        }
        Ok(Some(Handle::new(index)))
    }))
    .format(crate::file_format!(IndexHNSW2Level, ["IHN2"], |index| {
        index.hnsw_index;
        read {
            if let Some(storage) = &index.storage {
                let mut storage = storage.write();
                match cast_mut::<IndexIVFPQ>(&mut *storage) {
                    // As `flip_to_ivf` leaves it, which files need not say.
                    Some(ivf) => ivf.make_direct_map(true)?,
                    None => Error::check(cast::<Index2Layer>(&*storage).is_some(), "dynamic_cast<Index2Layer*>(storage)")?,
                }
            }
        }
    }));

#[methods(new)]
impl IndexHNSW2Level {
    /// Over a quantizer of `nlist` centroids, with codes of `m_pq` bytes for differences; `M` links a vector, twice as many at the lowest level.
    #[new]
    pub fn new(quantizer: Shared<dyn Index>, nlist: usize, m_pq: usize, M: i32) -> Result<Self> {
        let storage = Index2Layer::new(quantizer, nlist, m_pq, 8, MetricType::L2)?;
        let mut hnsw_index = IndexHNSW { own_fields: true, ..IndexHNSW::over(Shared::new(storage), M)? };
        hnsw_index.is_trained = false;
        Ok(IndexHNSW2Level { hnsw_index })
    }

    /// Replaces the storage by an inverted file of the same codes, which has a map from ids to entries, so that the graph goes on.
    fn flip_to_ivf(&mut self) -> Result<()> {
        let flipped = {
            let storage = self.hnsw_index.storage()?.read();
            let storage = cast::<Index2Layer>(&*storage);
            let layers = storage.ok_or_else(|| Error::failed("storage2l", "the storage is no Index2Layer"))?;
            let (d, metric, pq) = (i64::from(layers.d), layers.metric_type, &layers.pq);
            let quantizer = layers.q1.quantizer.clone();
            let quantizer = quantizer.ok_or_else(|| Error::failed("quantizer", "there is no quantizer"))?;
            let mut ivf = IndexIVFPQ::new(quantizer, d, layers.q1.nlist, pq.M, pq.nbits, metric, true)?;
            ivf.pq = pq.clone();
            (ivf.is_trained, ivf.by_residual, ivf.own_fields) = (layers.is_trained, true, layers.q1.own_fields);
            layers.transfer_to_ivfpq(&mut ivf)?;
            ivf.make_direct_map(true)?;
            ivf
        };
        self.hnsw_index.storage = Some(Shared::new(flipped));
        Ok(())
    }
}

impl Index for IndexHNSW2Level {
    crate::inherit_index!(hnsw_index);
}
