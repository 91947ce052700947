//! Exact search over scalars, by a sorted order instead of a scan.

use faiss_derive::{Object, methods};

use super::Index;
use super::flat_codes::check_same_type;
use super::flat_l2::IndexFlatL2;
use crate::base::{Error, Object, Result};
use crate::registry::Row;
use crate::selector::IDSelector;

/// Exact search over one-dimensional vectors. Distances are absolute differences, not squared.
#[derive(Object, Clone)]
#[object(methods, implements(Index), copy)]
pub struct IndexFlat1D {
    /// The numbers.
    #[object(parent, default = IndexFlatL2::new(1).expect("1 is a dimension"))]
    pub flat_l2: IndexFlatL2,
    /// Whether every addition updates the order; else `update_permutation` is to be called before a search.
    #[object(default = true)]
    pub continuous_update: bool,
    /// The order of the vectors: `perm[0]` is the number of the smallest.
    pub perm: Vec<i64>,
}

// Files hold it as an IndexFlatL2: the order is not stored.
pub(crate) const ROW: Row = Row::of::<IndexFlat1D>();

#[methods]
impl IndexFlat1D {
    /// Over single numbers; they are put in order after each `add` if `continuous_update` is set.
    #[new]
    pub fn new(#[default = true] continuous_update: bool) -> Self {
        IndexFlat1D { continuous_update, ..Default::default() }
    }

    /// Sorts the vectors, which must be done before a search if `continuous_update` is off. Equal ones by number, NaNs last.
    pub fn update_permutation(&mut self) -> Result<()> {
        let n = self.vectors()?;
        let mut perm: Vec<i64> = (0..n as i64).collect();
        let x = self.get_xb();
        // -0.0 and 0.0 are equal here, so they are made the same before the total order compares them.
        perm.sort_by(|a, b| (x[*a as usize] + 0.0).total_cmp(&(x[*b as usize] + 0.0)));
        self.perm = perm;
        Ok(())
    }
}

impl IndexFlat1D {
    fn changed(&mut self) -> Result<()> {
        if self.continuous_update { self.update_permutation() } else { Ok(()) }
    }
}

impl Index for IndexFlat1D {
    crate::inherit_index!(flat_l2);

    fn add(&mut self, x: &[f32]) -> Result<()> {
        self.flat_l2.add(x)?;
        self.changed()
    }

    fn reset(&mut self) -> Result<()> {
        self.perm.clear();
        self.flat_l2.reset()
    }

    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let removed = self.flat_l2.remove_ids(sel)?;
        self.changed()?;
        Ok(removed)
    }

    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        self.flat_l2.add_sa_codes(codes, ids)?;
        self.changed()
    }

    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        self.flat_codes.check_compatible_for_merge(other)
    }

    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        self.flat_l2.flat.flat_codes.merge_from(other, add_id)?;
        self.flat_l2.clear_l2norms();
        self.changed()
    }

    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        if params.is_some() {
            return Err(Error::failed("params", "search params not supported for this index"));
        }
        let ntotal = self.vectors()?;
        Error::check(self.d == 1, "d == 1")?;
        if self.perm.len() != ntotal {
            return Err(Error::failed(
                "!(perm.size() == static_cast<size_t>(ntotal))",
                "Call update_permutation before search",
            ));
        }
        self.queries(x, k, distances, labels)?;
        let xb = self.get_xb();
        // The order is a public field: a number that is none of a vector's is a NaN, which is near nothing.
        let stored = |p: i64| usize::try_from(p).ok().and_then(|p| xb.get(p)).copied().unwrap_or(f32::NAN);
        let value = |i: usize| stored(self.perm[i]);
        for (q, x) in x.iter().enumerate() {
            // Two cursors walk away from the query; the nearer one steps.
            let mut right = self.perm.partition_point(|p| stored(*p) <= *x);
            let mut left = right;
            for i in 0..k {
                let near_left = left > 0 && (right == ntotal || *x - value(left - 1) < value(right) - *x);
                let found = if near_left {
                    left -= 1;
                    Some(left)
                } else if right < ntotal {
                    right += 1;
                    Some(right - 1)
                } else {
                    None
                };
                distances[q * k + i] = found.map_or(f32::INFINITY, |i| (*x - value(i)).abs());
                labels[q * k + i] = found.map_or(-1, |i| self.perm[i]);
            }
        }
        Ok(())
    }
}
