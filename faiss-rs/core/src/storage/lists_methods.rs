//! What Python sees of inverted lists beyond their fields.

use faiss_derive::methods;

use super::lists::InvertedLists;
use crate::base::{Error, Result};

/// The methods of all inverted lists.
pub struct ListsMethods;

#[methods]
impl ListsMethods {
    /// Number of entries of a list.
    fn list_size(this: &dyn InvertedLists, list_no: i64) -> Result<usize> {
        Ok(this.list_size(this.check_list(list_no)?))
    }

    /// The ids of a list, int64.
    fn get_ids(this: &dyn InvertedLists, list_no: i64) -> Result<Vec<i64>> {
        Ok(this.ids(this.check_list(list_no)?).into_owned())
    }

    /// The codes of a list, `list_size * code_size` bytes.
    fn get_codes(this: &dyn InvertedLists, list_no: i64) -> Result<Vec<u8>> {
        Ok(this.codes(this.check_list(list_no)?).into_owned())
    }

    /// The id of one entry.
    fn get_single_id(this: &dyn InvertedLists, list_no: i64, offset: i64) -> Result<i64> {
        let (list, offset) = this.check_entry(list_no, offset)?;
        Ok(this.ids(list)[offset])
    }

    /// Appends entries: ids (n,) of int64, codes (n, code_size) of uint8. Returns where the first of them is.
    fn add_entries(this: &mut dyn InvertedLists, list_no: i64, ids: &[i64], codes: &[u8]) -> Result<usize> {
        let list = this.check_list(list_no)?;
        this.add_entries(list, ids, codes)
    }

    /// Replaces entries from an offset on: ids (n,) of int64, codes (n, code_size) of uint8.
    fn update_entries(
        this: &mut dyn InvertedLists,
        list_no: i64,
        offset: i64,
        ids: &[i64],
        codes: &[u8],
    ) -> Result<()> {
        let list = this.check_list(list_no)?;
        let offset = usize::try_from(offset);
        let offset = offset.map_err(|_| Error::failed("n_entry + offset <= ids[list_no].size()", ""))?;
        this.update_entries(list, offset, ids, codes)
    }

    /// Says which lists will be looked into, so that those on disk are read ahead.
    fn prefetch_lists(this: &dyn InvertedLists, list_nos: &[i64]) {
        this.prefetch_lists(list_nos);
    }

    /// Changes the number of entries of a list; new ones are zero.
    fn resize(this: &mut dyn InvertedLists, list_no: i64, new_size: usize) -> Result<()> {
        let list = this.check_list(list_no)?;
        this.resize(list, new_size)
    }

    /// Empties all lists.
    fn reset(this: &mut dyn InvertedLists) -> Result<()> {
        this.reset()
    }

    /// Number of entries of all lists.
    fn compute_ntotal(this: &dyn InvertedLists) -> usize {
        this.compute_ntotal()
    }

    /// 1 where all lists have the same size, more where they differ.
    fn imbalance_factor(this: &dyn InvertedLists) -> f64 {
        this.imbalance_factor()
    }

    /// True for a list without entries.
    fn is_empty(this: &dyn InvertedLists, list_no: i64) -> Result<bool> {
        Ok(this.list_size(this.check_list(list_no)?) == 0)
    }

    /// Moves all entries of other lists here; `add_id` is added to their ids.
    fn merge_from(this: &mut dyn InvertedLists, oivf: &mut dyn InvertedLists, add_id: i64) -> Result<()> {
        let same = this.base().nlist == oivf.base().nlist && this.base().code_size == oivf.base().code_size;
        Error::check(same, "oivf->nlist == nlist && oivf->code_size == code_size")?;
        this.merge_from(oivf, add_id)
    }

    /// Copies entries to other lists, chosen as by the index's method of this name. Returns how many they are.
    fn copy_subset_to(
        this: &dyn InvertedLists,
        other: &mut dyn InvertedLists,
        subset_type: i32,
        a1: i64,
        a2: i64,
    ) -> Result<usize> {
        this.copy_subset_to(other, subset_type, a1, a2)
    }
}
