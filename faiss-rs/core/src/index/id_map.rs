//! Ids of the user's own for indexes whose ids count up.

use faiss_derive::{Object, methods};

use super::ids::{self, Places};
use super::ivf::InvertedFile;
use super::{Index, IndexBase, RangeSearchResult};
use crate::base::object::{Object, receiver, receiver_mut};
use crate::base::view::seen_as;
use crate::base::{Error, Handle, Result, Shared};
use crate::grammar::{Around, Grammar};
use crate::index::flat_codes::check_same_type;
use crate::index::header::check_d;
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::selector::shared_ids::SharedIds;

/// Translates the ids of another index to the user's.
///
/// `add_with_ids` takes any int64 ids; the other index counts its vectors from 0. A selector is asked for the user's ids.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy(index, own_fields = true))]
pub struct IndexIDMap {
    /// What every index has.
    #[object(parent)]
    pub base: IndexBase,
    /// The index whose ids count up.
    pub index: Option<Shared<dyn Index>>,
    /// Whether that index belongs to this one. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// The user's id of each vector.
    pub id_map: SharedIds,
}

pub(crate) const ROW: Row = Row::of::<IndexIDMap>()
    .grammar(Grammar::Around(Around {
        name: "IDMap",
        leads: true,
        trails: true,
        nested: false,
        make: |index, _| Ok(Handle::new(IndexIDMap { own_fields: true, ..IndexIDMap::new(index)? })),
    }))
    .format(crate::file_format!(IndexIDMap, ["IxMp"], |index| {
        *index;
    }));

#[methods(new)]
impl IndexIDMap {
    /// Over an empty index.
    #[new]
    pub fn new(index: Shared<dyn Index>) -> Result<Self> {
        let base = index.read().base().clone();
        if base.ntotal != 0 {
            return Err(Error::failed("!(index_->ntotal == 0)", "index must be empty on input"));
        }
        Ok(IndexIDMap { base, index: Some(index), ..Default::default() })
    }
}

impl IndexIDMap {
    fn inner(&self) -> Result<&Shared<dyn Index>> {
        self.index.as_ref().ok_or_else(|| Error::failed("index", "the index map has no index"))
    }

    /// Has the inner index add vectors with these ids, and keeps the ids of those that it has afterwards.
    fn add_to_inner(&mut self, new: &[i64], add: impl FnOnce(&mut dyn Index) -> Result<()>) -> Result<()> {
        ids::reserve(&mut self.id_map, new.len())?;
        let index = self.inner()?.clone();
        let mut index = index.write();
        let added = add(&mut *index);
        ids::add(&mut self.id_map, new, index.base().ntotal);
        self.ntotal = index.base().ntotal;
        added
    }
}

crate::stored!(IndexIDMap, |map| {
    map.base;
    map.index;
    map.id_map;
    read {
        map.own_fields = true;
        Error::check(map.id_map.len() as i64 == map.ntotal, "id_map.size() == ntotal")?;
        check_d(map.index.as_ref(), &map.base, "index->d == d")?;
    }
});

impl Index for IndexIDMap {
    fn base(&self) -> &IndexBase {
        self
    }
    fn base_mut(&mut self) -> &mut IndexBase {
        self
    }
    fn train(&mut self, x: &[f32]) -> Result<()> {
        let index = self.inner()?.clone();
        let mut index = index.write();
        index.train(x)?;
        self.is_trained = index.base().is_trained;
        Ok(())
    }
    fn add(&mut self, _x: &[f32]) -> Result<()> {
        Err(Error::failed("", "add does not make sense with IndexIDMap, use add_with_ids"))
    }
    fn add_with_ids(&mut self, x: &[f32], new: &[i64]) -> Result<()> {
        Error::check(self.rows(x)? == new.len(), "xids.size() == n")?;
        self.add_to_inner(new, |index| index.add(x))
    }
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        ids::with_params(&self.id_map, params, |params| self.inner()?.read().search(x, k, params, distances, labels))?;
        ids::map_labels(&self.id_map, labels);
        Ok(())
    }
    fn range_search(&self, x: &[f32], radius: f32, params: Option<&dyn Object>) -> Result<RangeSearchResult> {
        let mut result =
            ids::with_params(&self.id_map, params, |params| self.inner()?.read().range_search(x, radius, params))?;
        ids::map_labels(&self.id_map, &mut result.labels);
        Ok(result)
    }
    fn search_and_reconstruct(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
        recons: &mut [f32],
    ) -> Result<()> {
        ids::with_params(&self.id_map, params, |params| {
            self.inner()?.read().search_and_reconstruct(x, k, params, distances, labels, recons)
        })?;
        ids::map_labels(&self.id_map, labels);
        Ok(())
    }
    fn reset(&mut self) -> Result<()> {
        self.inner()?.write().reset()?;
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
    fn sa_code_size(&self) -> Result<usize> {
        self.inner()?.read().sa_code_size()
    }
    fn sa_encode(&self, x: &[f32], codes: &mut [u8]) -> Result<()> {
        self.inner()?.read().sa_encode(x, codes)
    }
    fn sa_decode(&self, codes: &[u8], x: &mut [f32]) -> Result<()> {
        self.inner()?.read().sa_decode(codes, x)
    }
    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        let ids = ids.ok_or_else(|| Error::failed("xids", "ids are needed"))?;
        let size = self.sa_code_size()?;
        Error::check(ids.len().checked_mul(size) == Some(codes.len()), "codes.size() == n * sa_code_size()")?;
        self.add_to_inner(ids, |index| index.add_sa_codes(codes, None))
    }
    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        let theirs = receiver::<IndexIDMap>(other)?.inner()?.read();
        self.inner()?.read().check_compatible_for_merge(&*theirs)
    }
    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        check_same_type(self, other)?;
        merge(self, other, add_id)
    }
}

fn merge(this: &mut IndexIDMap, other: &mut dyn Index, add_id: i64) -> Result<()> {
    let theirs = receiver_mut::<IndexIDMap>(other)?;
    let (from, to) = (theirs.inner()?.clone(), this.inner()?.clone());
    if from.same(&to) {
        return Err(Error::value("both indexes map the same one"));
    }
    let mut to = to.write();
    // Lists have the ids with the vectors: those that come count on from those that are there.
    let shift = if seen_as::<dyn InvertedFile>(&*to).is_some() { to.base().ntotal } else { 0 };
    to.merge_from(&mut *from.write(), shift)?;
    this.id_map.to_mut().extend(theirs.id_map.to_mut().drain(..).map(|id| id.wrapping_add(add_id)));
    this.ntotal = to.base().ntotal;
    theirs.ntotal = 0;
    Ok(())
}

/// As [`IndexIDMap`], with a map back, so that vectors can be reconstructed by the user's ids.
#[derive(Object, Default, Clone)]
#[object(methods, implements(Index), copy(map))]
pub struct IndexIDMap2 {
    /// The index inside and its ids.
    #[object(parent)]
    pub map: IndexIDMap,
    rev_map: Places,
}

pub(crate) const ROW2: Row = Row::of::<IndexIDMap2>()
    .grammar(Grammar::Around(Around {
        name: "IDMap2",
        leads: true,
        trails: true,
        nested: false,
        make: |index, _| Ok(Handle::new(IndexIDMap2::from(IndexIDMap { own_fields: true, ..IndexIDMap::new(index)? }))),
    }))
    .format(crate::file_format!(IndexIDMap2, ["IxM2"], |index| {
        index.map;
        read { index.construct_rev_map(); }
    }));

#[methods(new)]
impl IndexIDMap2 {
    /// Around an empty index.
    #[new]
    pub fn new(index: Shared<dyn Index>) -> Result<Self> {
        Ok(IndexIDMap2 { map: IndexIDMap::new(index)?, ..Default::default() })
    }

    /// Makes the map back from `id_map`, after that was changed.
    #[name = "construct_rev_map"]
    fn make_rev_map(&mut self) {
        self.construct_rev_map();
    }

    /// Raises where the two maps disagree.
    pub fn check_consistency(&self) -> Result<()> {
        self.rev_map.check(&self.id_map, self.ntotal)
    }
}

impl IndexIDMap2 {
    /// Makes the map back from ids to places.
    pub fn construct_rev_map(&mut self) {
        self.rev_map = Places::of(&self.map.id_map);
    }
}

impl Index for IndexIDMap2 {
    crate::inherit_index!(map);

    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        let before = self.id_map.len();
        let added = self.map.add_with_ids(x, ids);
        self.rev_map.extend(&self.map.id_map, before);
        added
    }
    fn add_sa_codes(&mut self, codes: &[u8], ids: Option<&[i64]>) -> Result<()> {
        self.map.add_sa_codes(codes, ids)?;
        self.construct_rev_map();
        Ok(())
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
    fn reconstruct(&self, key: i64, out: &mut [f32]) -> Result<()> {
        self.inner()?.read().reconstruct(self.rev_map.get(key)?, out)
    }
    /// The vectors of the ids `i0` to `i0 + ni - 1`, not of these positions.
    fn reconstruct_n(&self, i0: i64, ni: usize, out: &mut [f32]) -> Result<()> {
        Error::check(ni.checked_mul(self.dim()) == Some(out.len()), "recons.size() == ni * d")?;
        let last =
            i64::try_from(ni).ok().and_then(|ni| i0.checked_add(ni)).ok_or_else(|| Error::overflow("i0 + ni"))?;
        self.reconstruct_batch(&(i0..last).collect::<Vec<i64>>(), out)
    }
    fn reconstruct_batch(&self, keys: &[i64], out: &mut [f32]) -> Result<()> {
        let places = keys.iter().map(|key| self.rev_map.get(*key)).collect::<Result<Vec<i64>>>()?;
        self.inner()?.read().reconstruct_batch(&places, out)
    }
    fn search_and_reconstruct(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
        recons: &mut [f32],
    ) -> Result<()> {
        self.map.search_and_reconstruct(x, k, params, distances, labels, recons)
    }
    fn check_compatible_for_merge(&self, other: &dyn Index) -> Result<()> {
        check_same_type(self, other)?;
        let theirs = receiver::<IndexIDMap>(other)?.inner()?.read();
        self.inner()?.read().check_compatible_for_merge(&*theirs)
    }
    fn merge_from(&mut self, other: &mut dyn Index, add_id: i64) -> Result<()> {
        check_same_type(self, other)?;
        merge(&mut self.map, other, add_id)?;
        self.construct_rev_map();
        receiver_mut::<IndexIDMap2>(other)?.rev_map.clear();
        Ok(())
    }
}

impl From<IndexIDMap> for IndexIDMap2 {
    fn from(map: IndexIDMap) -> Self {
        let mut made = IndexIDMap2 { map, ..Default::default() };
        made.construct_rev_map();
        made
    }
}
