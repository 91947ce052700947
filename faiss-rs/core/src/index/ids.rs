//! What indexes with ids of the user's own have in common, over floats and over bits: `ids[i]` is the user's id of the inner index's vector i.

use rustc_hash::FxHashMap;

use super::{params_with_selector, selector};
use crate::base::object::Object;
use crate::base::{Error, Handle, Result};
use crate::selector::sets::IDSelectorBitmap;
use crate::selector::shared_ids::SharedIds;
use crate::selector::{IDSelector, IDSelectorTranslated};

/// Calls `search` with the parameters as the inner index needs them.
pub fn with_params<T>(
    ids: &SharedIds,
    params: Option<&dyn Object>,
    search: impl FnOnce(Option<&dyn Object>) -> Result<T>,
) -> Result<T> {
    let (Some(sel), Some(params)) = (selector(params), params) else { return search(params) };
    let translated = Handle::new(IDSelectorTranslated::new(ids.clone(), sel));
    search(Some(&*params_with_selector(params, translated)?))
}

/// From the inner index's labels to the user's. A vector without an id, as the inner index may have after changes of its own, is no result.
pub fn map_labels(ids: &SharedIds, labels: &mut [i64]) {
    for label in labels.iter_mut().filter(|label| **label >= 0) {
        *label = ids.get(*label as usize).copied().unwrap_or(-1);
    }
}

/// The selector of the user's ids as one of the inner index's, asked once for each vector.
pub fn translate(ids: &SharedIds, sel: &dyn IDSelector) -> IDSelectorBitmap {
    let mut bits = vec![0u8; ids.len().div_ceil(8)];
    for (i, id) in ids.iter().enumerate() {
        bits[i / 8] |= u8::from(sel.is_member(*id)) << (i % 8);
    }
    IDSelectorBitmap::new(ids.len(), bits)
}

/// Forgets the ids of vectors that the inner index has removed.
pub fn remove(ids: &mut SharedIds, removed: &IDSelectorBitmap) {
    let mut at = 0..;
    ids.to_mut().retain(|_| at.next().is_some_and(|i| !removed.is_member(i)));
}

/// Room for more ids, so that none is missing once the inner index has the vectors.
pub fn reserve(ids: &mut SharedIds, more: usize) -> Result<()> {
    ids.to_mut().try_reserve(more).map_err(|e| Error::Memory(e.to_string()))
}

/// Takes the ids of vectors that the inner index was given; it has `ntotal` now, fewer than all where its `add` was interrupted.
pub fn add(ids: &mut SharedIds, new: &[i64], ntotal: i64) {
    let added = usize::try_from(ntotal).unwrap_or(0).saturating_sub(ids.len()).min(new.len());
    ids.to_mut().extend_from_slice(&new[..added]);
}

/// The map back: where the vector of each id is. Of several of one id, the last.
#[derive(Default, Clone)]
pub struct Places(FxHashMap<i64, i64>);

impl Places {
    /// Of ids by place; of ids that are there twice, the last place counts.
    pub fn of(ids: &SharedIds) -> Self {
        Places(ids.iter().enumerate().map(|(i, id)| (*id, i as i64)).collect())
    }

    /// Takes notice of the ids from number `first` on.
    pub fn extend(&mut self, ids: &SharedIds, first: usize) {
        self.0.extend(ids.iter().enumerate().skip(first).map(|(i, id)| (*id, i as i64)));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The place of an id; an error where it is not there.
    pub fn get(&self, id: i64) -> Result<i64> {
        self.0.get(&id).copied().ok_or_else(|| Error::failed("", format!("key {id} not found")))
    }

    /// An error where this is not the map back of `ids`, of which there are `ntotal`.
    pub fn check(&self, ids: &SharedIds, ntotal: i64) -> Result<()> {
        let n = ids.len();
        Error::check(self.0.len() == n && ntotal == n as i64, "rev_map.size() == id_map.size()")?;
        let same = |(i, id): (usize, &i64)| self.0.get(id) == Some(&(i as i64));
        Error::check(ids.iter().enumerate().all(same), "rev_map[id_map[i]] == i")
    }
}
