//! Exact search by inner product.

use faiss_derive::{Object, methods};

use super::Index;
use super::flat::IndexFlat;
use super::flat_codes::check_same_type;
use crate::base::{MetricType, Result};
use crate::registry::Row;

/// Exact search by inner product.
///
/// The largest products come first. Of vectors of length 1 (`normalize_L2`) they are cosines.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexFlatIP {
    /// The vectors.
    #[object(parent, default = IndexFlat::new(0, MetricType::InnerProduct).expect("0 is a dimension"))]
    pub flat: IndexFlat,
}

pub(crate) const ROW: Row = Row::of::<IndexFlatIP>().format(crate::file_format!(
    IndexFlatIP,
    ["IxFI"],
    |index| {
        index.flat;
    },
    index.vectors()
));

#[methods(new)]
impl IndexFlatIP {
    /// Over `d`-dimensional vectors.
    #[new]
    pub fn new(d: i64) -> Result<Self> {
        Ok(IndexFlatIP { flat: IndexFlat::new(d, MetricType::InnerProduct)? })
    }
}

impl Index for IndexFlatIP {
    crate::inherit_index!(flat);

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.flat.flat_codes.check_compatible_for_merge(other)
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.flat.flat_codes.merge_from(other, add_id)
    }
}
