//! Exact search by inner product.

use faiss_derive::{Object, methods};

use super::Index;
use super::flat::IndexFlat;
use super::flat_codes::check_same_type;
use crate::base::{Handle, MetricType, Result};
use crate::registry::{Format, Row};

/// Exact search by inner product.
///
/// The largest products come first. Of vectors of length 1 (`normalize_L2`) they are cosines.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexFlatIP {
    /// The vectors.
    #[object(parent)]
    pub flat: IndexFlat,
}

pub(crate) const ROW: Row = Row::of::<IndexFlatIP>().format(Format {
    fourccs: &["IxFI"],
    read: |input, _| Ok(Handle::new(IndexFlatIP { flat: IndexFlat::read(input)? })),
    write: |object, out| IndexFlat::write(object, "IxFI", out),
});

#[methods(new)]
impl IndexFlatIP {
    /// Over `d`-dimensional vectors.
    #[new]
    pub fn new(d: i64) -> Result<Self> {
        Ok(IndexFlatIP { flat: IndexFlat::new(d, MetricType::InnerProduct)? })
    }
}

impl Default for IndexFlatIP {
    fn default() -> Self {
        IndexFlatIP::new(0).expect("0 is a dimension")
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
