//! Ids of the user's own for binary indexes whose ids count up.

use faiss_derive::{Object, methods};

use super::ivf::IndexBinaryIVF;
use super::{IndexBinary, IndexBinaryBase, binary_base, header};
use crate::base::object::{cast, cast_mut};
use crate::base::{Error, Object, Result, Shared};
use crate::distance::RangeSearchResult;
use crate::index::ids::{self, Places};
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::selector::shared_ids::SharedIds;

/// Translates the ids of another binary index to the user's.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IndexBinary), copy(index, own_fields = true))]
pub struct IndexBinaryIDMap {
    /// What every binary index has.
    #[object(parent)]
    pub base: IndexBinaryBase,
    /// The index whose ids count up.
    pub index: Option<Shared<dyn IndexBinary>>,
    /// Whether that index belongs to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// The user's id of each vector.
    pub id_map: SharedIds,
}

pub(crate) const ROW: Row =
    Row::of::<IndexBinaryIDMap>().format(crate::file_format!(IndexBinaryIDMap, ["IBMp"], |index| {
        *index;
    }));

#[methods(new)]
impl IndexBinaryIDMap {
    /// Over an empty index.
    #[new]
    pub fn new(index: Shared<dyn IndexBinary>) -> Result<Self> {
        let base = index.read().base().clone();
        if base.ntotal != 0 {
            return Err(Error::failed("!(index_->ntotal == 0)", "index must be empty on input"));
        }
        Ok(IndexBinaryIDMap { base, index: Some(index), ..Default::default() })
    }
}

impl IndexBinaryIDMap {
    fn inner(&self) -> Result<&Shared<dyn IndexBinary>> {
        self.index.as_ref().ok_or_else(|| Error::failed("index", "the index map has no index"))
    }

    /// Has the inner index add vectors with these ids, and keeps the ids of those that it has afterwards.
    fn add_to_inner(&mut self, new: &[i64], add: impl FnOnce(&mut dyn IndexBinary) -> Result<()>) -> Result<()> {
        ids::reserve(&mut self.id_map, new.len())?;
        let index = self.inner()?.clone();
        let mut index = index.write();
        let added = add(&mut *index);
        ids::add(&mut self.id_map, new, index.base().ntotal);
        self.ntotal = index.base().ntotal;
        added
    }
}

crate::stored!(IndexBinaryIDMap, |map| {
    map.base;
    map.index;
    map.id_map;
    read {
        map.own_fields = true;
        Error::check(map.id_map.len() as i64 == map.ntotal, "id_map.size() == ntotal")?;
        header::check_d(map.index.as_ref(), &map.base)?;
    }
});

impl IndexBinary for IndexBinaryIDMap {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        let index = self.inner()?.clone();
        let mut index = index.write();
        index.train(x)?;
        self.is_trained = index.base().is_trained;
        Ok(())
    }
    fn add(&mut self, _x: &[u8]) -> Result<()> {
        Err(Error::failed("", "add does not make sense with IndexIDMap, use add_with_ids"))
    }
    fn add_with_ids(&mut self, x: &[u8], new: &[i64]) -> Result<()> {
        Error::check(self.rows(x)? == new.len(), "xids.size() == n")?;
        self.add_to_inner(new, |index| index.add(x))
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        ids::with_params(&self.id_map, params, |params| self.inner()?.read().search(x, k, params, distances, labels))?;
        ids::map_labels(&self.id_map, labels);
        Ok(())
    }
    fn range_search(&self, x: &[u8], radius: i32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let mut result =
            ids::with_params(&self.id_map, params, |params| self.inner()?.read().range_search(x, radius, params))?;
        ids::map_labels(&self.id_map, &mut result.labels);
        Ok(result)
    }
    fn search_and_reconstruct(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
        recons: &mut [u8],
    ) -> Result<()> {
        ids::with_params(&self.id_map, params, |params| {
            self.inner()?.read().search_and_reconstruct(x, k, params, distances, labels, recons)
        })?;
        ids::map_labels(&self.id_map, labels);
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        let index = self.inner()?.clone();
        index.write().reset()?;
        self.id_map.to_mut().clear();
        self.ntotal = 0;
        Ok(())
    }
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let translated = ids::translate(&self.id_map, sel);
        let index = self.inner()?.clone();
        let mut index = index.write();
        let removed = index.remove_ids(&translated)?;
        ids::remove(&mut self.id_map, &translated);
        self.ntotal = index.base().ntotal;
        Ok(removed)
    }
    fn check_compatible_for_merge(&self, other: &dyn IndexBinary) -> Result<()> {
        Error::check(std::ptr::eq(self.info(), other.info()), "typeid(*this) == typeid(*other)")?;
        let Some(other) = cast::<IndexBinaryIDMap>(other) else { return Ok(()) };
        self.inner()?.read().check_compatible_for_merge(&*other.inner()?.read())
    }
    fn merge_from(&mut self, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        merge(self, other, add_id)
    }
}

fn merge(this: &mut IndexBinaryIDMap, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
    let Some(theirs) = cast_mut::<IndexBinaryIDMap>(other) else { return Ok(()) };
    let (from, to) = (theirs.inner()?.clone(), this.inner()?.clone());
    if from.same(&to) {
        return Err(Error::value("both indexes map the same one"));
    }
    let mut to = to.write();
    // Lists have the ids with the vectors: those that come count on from those that are there.
    let shift = if cast::<IndexBinaryIVF>(&*to).is_some() { to.base().ntotal } else { 0 };
    to.merge_from(&mut *from.write(), shift)?;
    this.id_map.to_mut().extend(theirs.id_map.to_mut().drain(..).map(|id| id.wrapping_add(add_id)));
    this.ntotal = to.base().ntotal;
    theirs.ntotal = 0;
    Ok(())
}

/// As [`IndexBinaryIDMap`], with a map back, so that vectors can be reconstructed by the user's ids.
#[derive(Object, Default, Clone)]
#[object(methods, implements(IndexBinary), copy(map))]
pub struct IndexBinaryIDMap2 {
    /// The index inside and its ids.
    #[object(parent)]
    pub map: IndexBinaryIDMap,
    rev_map: Places,
}

pub(crate) const ROW2: Row =
    Row::of::<IndexBinaryIDMap2>().format(crate::file_format!(IndexBinaryIDMap2, ["IBM2"], |index| {
        index.map;
        read { index.construct_rev_map(); }
    }));

#[methods(new)]
impl IndexBinaryIDMap2 {
    /// Over an empty index.
    #[new]
    pub fn new(index: Shared<dyn IndexBinary>) -> Result<Self> {
        Ok(IndexBinaryIDMap2 { map: IndexBinaryIDMap::new(index)?, ..Default::default() })
    }

    /// Makes the map back from `id_map`, after that was changed.
    pub fn construct_rev_map(&mut self) {
        self.rev_map = Places::of(&self.map.id_map);
    }

    /// An error where the two maps disagree.
    pub fn check_consistency(&self) -> Result<()> {
        self.rev_map.check(&self.id_map, self.ntotal)
    }
}

impl IndexBinary for IndexBinaryIDMap2 {
    binary_base!();

    fn train(&mut self, x: &[u8]) -> Result<()> {
        self.map.train(x)
    }
    fn add(&mut self, x: &[u8]) -> Result<()> {
        self.map.add(x)
    }
    fn add_with_ids(&mut self, x: &[u8], ids: &[i64]) -> Result<()> {
        let before = self.id_map.len();
        let added = self.map.add_with_ids(x, ids);
        self.rev_map.extend(&self.map.id_map, before);
        added
    }
    fn search(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
    ) -> Result<()> {
        self.map.search(x, k, params, distances, labels)
    }
    fn range_search(&self, x: &[u8], radius: i32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        self.map.range_search(x, radius, params)
    }
    fn search_and_reconstruct(
        &self,
        x: &[u8],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [i32],
        labels: &mut [i64],
        recons: &mut [u8],
    ) -> Result<()> {
        self.map.search_and_reconstruct(x, k, params, distances, labels, recons)
    }
    fn reset(&mut self) -> Result<()> {
        self.map.reset()?;
        self.rev_map.clear();
        Ok(())
    }
    fn remove_ids(&mut self, sel: &dyn IDSelector) -> Result<usize> {
        let removed = self.map.remove_ids(sel)?;
        self.construct_rev_map();
        Ok(removed)
    }
    fn reconstruct(&self, key: i64, out: &mut [u8]) -> Result<()> {
        self.inner()?.read().reconstruct(self.rev_map.get(key)?, out)
    }
    fn check_compatible_for_merge(&self, other: &dyn IndexBinary) -> Result<()> {
        Error::check(std::ptr::eq(self.info(), other.info()), "typeid(*this) == typeid(*other)")?;
        let Some(other) = cast::<IndexBinaryIDMap>(other) else { return Ok(()) };
        self.inner()?.read().check_compatible_for_merge(&*other.inner()?.read())
    }
    fn merge_from(&mut self, other: &mut dyn IndexBinary, add_id: i64) -> Result<()> {
        self.check_compatible_for_merge(other)?;
        merge(&mut self.map, other, add_id)?;
        self.construct_rev_map();
        if let Some(other) = cast_mut::<IndexBinaryIDMap2>(other) {
            other.rev_map.clear();
        }
        Ok(())
    }
}
