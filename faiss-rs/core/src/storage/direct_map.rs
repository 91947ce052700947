//! The direct map: from an id to its place in the inverted lists.

use faiss_derive::{Object, methods};
use rustc_hash::FxHashMap;

use super::lists::InvertedLists;
use crate::base::object::Object;
use crate::base::{Error, Result};
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::selector::sets::IDSelectorArray;

/// No map.
pub const NO_MAP: i32 = 0;
/// Ids count up from 0.
pub const ARRAY: i32 = 1;
/// Any ids.
pub const HASHTABLE: i32 = 2;

/// A list's number in the upper half, the place in it in the lower.
pub fn lo_build(list: usize, offset: usize) -> i64 {
    (list as i64) << 32 | offset as i64
}
/// The list of an entry's number.
pub fn lo_listno(lo: i64) -> usize {
    (lo >> 32) as usize
}
/// The place in its list.
pub fn lo_offset(lo: i64) -> usize {
    (lo & 0xffff_ffff) as usize
}

/// From ids to places in inverted lists: none, an array (ids count up from 0) or a hash table (any ids).
#[derive(Object, Default, Clone)]
#[object(methods(DirectMapMethods))]
pub struct DirectMap {
    /// 0 none, 1 array, 2 hash table.
    #[object(readonly, name = "type")]
    pub kind: i32,
    /// The place of each id, -1 for ids that are in no list.
    pub array: Vec<i64>,
    pub(crate) hashtable: FxHashMap<i64, i64>,
}

pub(crate) const ROW: Row = Row::of::<DirectMap>();

/// The constructors and methods of [`DirectMap`].
pub struct DirectMapMethods;

#[methods]
impl DirectMapMethods {
    #[new]
    fn empty() -> DirectMap {
        DirectMap::default()
    }

    /// True where there is no map.
    fn no(this: &DirectMap) -> bool {
        this.no()
    }

    /// The place of a vector: list number << 32 | offset.
    fn get(this: &DirectMap, id: i64) -> Result<i64> {
        this.get(id)
    }

    /// Forgets all places.
    fn clear(this: &mut DirectMap) {
        this.clear();
    }

    /// Makes a map of another type from the lists.
    fn set_type(this: &mut DirectMap, new_type: i32, invlists: &dyn InvertedLists, ntotal: usize) -> Result<()> {
        this.set_type(new_type.clamp(-1, 3), invlists, ntotal)
    }

    /// Notes where a vector came: in no list where its number is negative. Ids of a map by array come in order.
    fn add_single_id(this: &mut DirectMap, id: i64, list_no: i64, offset: usize) -> Result<()> {
        this.add_single_id(id, list_no, offset)
    }

    /// Removes entries from the lists, and their places. Returns how many there were.
    fn remove_ids(this: &mut DirectMap, sel: &dyn IDSelector, invlists: &mut dyn InvertedLists) -> Result<usize> {
        this.remove_ids(sel, invlists)
    }

    /// Gives ids (n,) new codes (n, code_size) in these lists (n,). Only for a map by array.
    fn update_codes(
        this: &mut DirectMap,
        invlists: &mut dyn InvertedLists,
        ids: &[i64],
        list_nos: &[i64],
        codes: &[u8],
    ) -> Result<()> {
        let size = invlists.base().code_size;
        let fit = ids.len() == list_nos.len() && ids.len().checked_mul(size) == Some(codes.len());
        Error::check(fit, "list_nos.size() == ids.size() && codes.size() == ids.size() * code_size")?;
        this.update_codes(invlists, ids, list_nos, codes)
    }

    /// Ids and places of a map by hash table, in the order of ids.
    fn entries(this: &DirectMap) -> (Vec<i64>, Vec<i64>) {
        let mut entries: Vec<(i64, i64)> = this.hashtable.iter().map(|(id, place)| (*id, *place)).collect();
        entries.sort_unstable();
        entries.into_iter().unzip()
    }
}

fn failed<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::failed("", message.into()))
}

impl DirectMap {
    /// Whether there is no map.
    pub fn no(&self) -> bool {
        self.kind == NO_MAP
    }

    /// Makes a map of that kind from the lists.
    pub fn set_type(&mut self, kind: i32, lists: &dyn InvertedLists, ntotal: usize) -> Result<()> {
        Error::check(
            (NO_MAP..=HASHTABLE).contains(&kind),
            "new_type == NoMap || new_type == Array || new_type == Hashtable",
        )?;
        if kind == self.kind {
            return Ok(());
        }
        let mut made = DirectMap { kind, ..Default::default() };
        if kind == ARRAY {
            made.array.try_reserve_exact(ntotal).map_err(|e| Error::Memory(e.to_string()))?;
            made.array.resize(ntotal, -1);
        }
        for list in 0..if kind == NO_MAP { 0 } else { lists.base().nlist } {
            for (offset, id) in lists.ids(list).iter().enumerate() {
                if kind == HASHTABLE {
                    made.hashtable.insert(*id, lo_build(list, offset));
                } else if let Some(place) = usize::try_from(*id).ok().and_then(|id| made.array.get_mut(id)) {
                    *place = lo_build(list, offset);
                } else {
                    return Err(Error::failed(
                        "0 <= idlist[ofs] && idlist[ofs] < ntotal",
                        "direct map supported only for sequential ids",
                    ));
                }
            }
        }
        *self = made;
        Ok(())
    }

    /// The place of an id.
    pub fn get(&self, key: i64) -> Result<i64> {
        match self.kind {
            ARRAY => match usize::try_from(key).ok().and_then(|k| self.array.get(k)) {
                Some(lo) if *lo >= 0 => Ok(*lo),
                Some(_) => Err(Error::failed("!(lo >= 0)", "-1 entry in direct_map")),
                None => Err(Error::failed("!(key >= 0 && static_cast<size_t>(key) < array.size())", "invalid key")),
            },
            HASHTABLE => match self.hashtable.get(&key) {
                Some(lo) => Ok(*lo),
                None => Err(Error::failed("res == hashtable.end()", "key not found")),
            },
            _ => failed("direct map not initialized"),
        }
    }

    /// An error where vectors with such ids can't be added.
    pub fn check_can_add(&self, ids: Option<&[i64]>) -> Result<()> {
        if self.kind == ARRAY && ids.is_some() {
            return failed("cannot have array direct map and add with ids");
        }
        Ok(())
    }

    /// Notes an added vector; a negative list number means that it is in no list.
    pub fn add_single_id(&mut self, id: i64, list_no: i64, offset: usize) -> Result<()> {
        let next = self.kind != ARRAY || usize::try_from(id).is_ok_and(|id| id == self.array.len());
        Error::check(next, "id == array.size()")?;
        Error::check(list_no <= i64::from(i32::MAX) && offset <= u32::MAX as usize, "list_no and offset have 32 bits")?;
        self.add(&[id], &[list_no], &[offset as i64]);
        Ok(())
    }

    /// Notes added vectors; a negative list number means that a vector is in no list.
    pub fn add(&mut self, ids: &[i64], list_nos: &[i64], offsets: &[i64]) {
        let place = |i: usize| if list_nos[i] >= 0 { lo_build(list_nos[i] as usize, offsets[i] as usize) } else { -1 };
        match self.kind {
            ARRAY => self.array.extend((0..ids.len()).map(place)),
            HASHTABLE => {
                for i in (0..ids.len()).filter(|i| list_nos[*i] >= 0) {
                    self.hashtable.insert(ids[i], place(i));
                }
            }
            _ => {}
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.array.clear();
        self.hashtable.clear();
    }

    /// Removes entries from the lists; the last of a list takes a removed one's place.
    pub fn remove_ids(&mut self, sel: &dyn IDSelector, lists: &mut dyn InvertedLists) -> Result<usize> {
        let size = lists.base().code_size;
        match self.kind {
            NO_MAP => {
                let nlist = lists.base().nlist;
                // All questions are asked before anything moves.
                let removed: Vec<Vec<bool>> =
                    (0..nlist).map(|list| lists.ids(list).iter().map(|id| sel.is_member(*id)).collect()).collect();
                let mut count = 0;
                for (list, mut removed) in removed.into_iter().enumerate().filter(|(_, r)| r.contains(&true)) {
                    let (mut ids, mut codes) = (lists.ids(list).into_owned(), lists.codes(list).into_owned());
                    let before = ids.len();
                    let mut i = 0;
                    while i < ids.len() {
                        if removed[i] {
                            let last = ids.len() - 1;
                            ids.swap_remove(i);
                            removed.swap_remove(i);
                            codes.copy_within(last * size..(last + 1) * size, i * size);
                            codes.truncate(last * size);
                        } else {
                            i += 1;
                        }
                    }
                    count += before - ids.len();
                    lists.resize(list, ids.len())?;
                    lists.update_entries(list, 0, &ids, &codes)?;
                }
                Ok(count)
            }
            HASHTABLE => {
                // Faiss takes lists of ids only; here any selector will do.
                let ids = match (sel as &dyn Object).as_any().downcast_ref::<IDSelectorArray>() {
                    Some(array) => array.ids.clone(),
                    None => {
                        let mut ids: Vec<i64> =
                            self.hashtable.keys().copied().filter(|id| sel.is_member(*id)).collect();
                        ids.sort_unstable();
                        ids
                    }
                };
                let mut count = 0;
                for id in &ids {
                    let Some(lo) = self.hashtable.remove(id) else { continue };
                    let (list, offset) = (lo_listno(lo), lo_offset(lo));
                    self.fill_hole(lists, list, offset)?;
                    count += 1;
                }
                Ok(count)
            }
            _ => failed("remove not supported with this direct_map format"),
        }
    }

    /// The list's last entry goes to `offset`, whose entry is to go; the list is then one shorter.
    fn fill_hole(&mut self, lists: &mut dyn InvertedLists, list: usize, offset: usize) -> Result<()> {
        let size = lists.base().code_size;
        let last = lists.list_size(list).checked_sub(1).filter(|last| offset <= *last);
        let last = last.ok_or_else(|| Error::failed("offset < list_size", "the direct map and the lists disagree"))?;
        if offset != last {
            let id = lists.ids(list)[last];
            let code = lists.codes(list)[last * size..].to_vec();
            lists.update_entries(list, offset, &[id], &code)?;
            if self.kind == HASHTABLE {
                self.hashtable.insert(id, lo_build(list, offset));
            } else if let Some(place) = usize::try_from(id).ok().and_then(|id| self.array.get_mut(id)) {
                *place = lo_build(list, offset);
            }
        }
        lists.resize(list, last)
    }

    /// Gives the ids new codes in maybe other lists. Only for a map by array.
    pub fn update_codes(
        &mut self,
        lists: &mut dyn InvertedLists,
        ids: &[i64],
        list_nos: &[i64],
        codes: &[u8],
    ) -> Result<()> {
        Error::check(self.kind == ARRAY, "type == Array")?;
        let size = lists.base().code_size;
        ids.iter().try_for_each(|id| self.get(*id).map(drop))?;
        list_nos.iter().try_for_each(|list| lists.check_list(*list).map(drop))?;
        for (i, id) in ids.iter().enumerate() {
            let lo = self.get(*id)?;
            self.fill_hole(lists, lo_listno(lo), lo_offset(lo))?;
            let list = list_nos[i] as usize;
            let offset = lists.add_entries(list, &[*id], &codes[i * size..(i + 1) * size])?;
            self.array[*id as usize] = lo_build(list, offset);
        }
        Ok(())
    }
}
