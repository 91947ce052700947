//! Exact search by L2 distance.

use faiss_derive::{Object, methods};

use super::Index;
use super::flat::IndexFlat;
use super::flat_codes::check_same_type;
use crate::base::{MetricType, Object, Result};
use crate::distance;
use crate::registry::Row;
use crate::selector::IDSelector;

/// Exact search by squared L2 distance.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexFlatL2 {
    /// The vectors.
    #[object(parent)]
    pub flat: IndexFlat,
    /// Squared norms of the stored vectors, if `sync_l2norms` was called; a change of the vectors drops them.
    pub cached_l2norms: Vec<f32>,
}

pub(crate) const ROW: Row = Row::of::<IndexFlatL2>().format(crate::file_format!(
    IndexFlatL2,
    ["IxF2"],
    |index| {
        index.flat;
    },
    index.vectors()
));

#[methods(new)]
impl IndexFlatL2 {
    /// Over `d`-dimensional vectors.
    #[new]
    pub fn new(d: i64) -> Result<Self> {
        Ok(IndexFlatL2 { flat: IndexFlat::new(d, MetricType::L2)?, cached_l2norms: Vec::new() })
    }

    /// Computes the squared norms of the stored vectors, which searches then need not compute.
    pub fn sync_l2norms(&mut self) -> Result<()> {
        let mut norms = vec![0.0; self.vectors()?];
        distance::fvec_norms_L2sqr(&mut norms, self.get_xb(), self.dim())?;
        self.cached_l2norms = norms;
        Ok(())
    }

    /// Drops the norms and their memory.
    pub fn clear_l2norms(&mut self) {
        self.cached_l2norms = Vec::new();
    }
}

impl Index for IndexFlatL2 {
    crate::inherit_index!(flat);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.flat.add(x)?;
        self.clear_l2norms();
        Ok(())
    }

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let norms = (self.cached_l2norms.len() as i64 == self.ntotal).then_some(&self.cached_l2norms[..]);
        self.flat.search_with_norms(x, k, params, norms, distances, labels)
    }

    fn reset(&mut self) -> Result<()> {
        self.clear_l2norms();
        self.flat.reset()
    }

    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        self.clear_l2norms();
        self.flat.remove_ids(sel)
    }

    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        self.flat.add_sa_codes(codes, ids)?;
        self.clear_l2norms();
        Ok(())
    }

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.flat.flat_codes.check_compatible_for_merge(other)
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.flat.flat_codes.merge_from(other, add_id)?;
        self.clear_l2norms();
        Ok(())
    }
}
