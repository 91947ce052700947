//! Inverted lists: for each cluster, the ids and codes of its vectors. The kind in memory is here, others have files of their own.

use std::borrow::Cow;
use std::mem::replace;

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::codes::Codes;
use super::ids::Ids;
use crate::base::object::{Object, VectorField};
use crate::base::{Error, Result, threads};
use crate::registry::{Format, Row};
use crate::storage::lists_format;

/// Copy the ids from `a1` to before `a2`.
pub const SUBSET_TYPE_ID_RANGE: i32 = 0;
/// Copy the ids that are `a2` modulo `a1`.
pub const SUBSET_TYPE_ID_MOD: i32 = 1;
/// Copy the entries from number `a1` to before `a2`, counted over all lists.
pub const SUBSET_TYPE_ELEMENT_RANGE: i32 = 2;
/// Copy the part `a2` of each list, cut into `a1` parts.
pub const SUBSET_TYPE_INVLIST_FRACTION: i32 = 3;
/// Copy the lists from `a1` to before `a2`.
pub const SUBSET_TYPE_INVLIST: i32 = 4;

/// What all inverted lists have.
#[derive(Object, Default, Clone, Debug)]
#[object(name = "InvertedLists", abstract, methods(super::lists_methods::ListsMethods))]
pub struct InvertedListsBase {
    /// Number of lists.
    #[object(readonly)]
    pub nlist: usize,
    /// Bytes of one code.
    #[object(readonly)]
    pub code_size: usize,
    /// Accepted for compatibility: lists are always read as arrays here.
    pub use_iterator: bool,
}

pub(crate) const ROW: Row = Row::of::<InvertedListsBase>();

/// How the codes of a list lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One after the other, `code_size` bytes each.
    Rows,
    /// Packed in blocks of `n_per_block` codes, `block_size` bytes each; the last may not be full.
    Blocks {
        /// Codes of a block.
        n_per_block: usize,
        /// Bytes of a block.
        block_size: usize,
    },
}

impl Layout {
    /// The bytes of `n` codes.
    pub fn bytes(self, n: usize, code_size: usize) -> Option<usize> {
        match self {
            Layout::Rows => n.checked_mul(code_size),
            Layout::Blocks { n_per_block, block_size } => n.div_ceil(n_per_block).checked_mul(block_size),
        }
    }
}

/// A list as it lies in memory or in a file that is mapped; copied where it does not lie as it must.
pub struct ListView<'a> {
    /// The ids.
    pub ids: Cow<'a, [i64]>,
    /// The codes.
    pub codes: Cow<'a, [u8]>,
    /// How codes lie.
    pub layout: Layout,
}

/// Lists of ids and codes. List numbers are below `nlist`; anything else is an error of the caller that the `check_` methods find.
pub trait InvertedLists: Object {
    /// What all lists have.
    fn base(&self) -> &InvertedListsBase;
    /// Entries of a list.
    fn list_size(&self, list: usize) -> usize;
    /// How codes lie.
    fn layout(&self) -> Layout {
        Layout::Rows
    }
    /// The codes as they lie.
    fn codes(&self, list: usize) -> Cow<'_, [u8]>;
    /// The ids of a list.
    fn ids(&self, list: usize) -> Cow<'_, [i64]>;
    /// Appends entries and returns where the first of them is.
    fn add_entries(&mut self, list: usize, ids: &[i64], codes: &[u8]) -> Result<usize>;
    /// Overwrites entries from `offset` on.
    fn update_entries(&mut self, list: usize, offset: usize, ids: &[i64], codes: &[u8]) -> Result<()>;
    /// Changes the number of entries; new ones are zero.
    fn resize(&mut self, list: usize, n: usize) -> Result<()>;

    /// The ids and codes of a list.
    fn view(&self, list: usize) -> ListView<'_> {
        ListView { ids: self.ids(list), codes: self.codes(list), layout: self.layout() }
    }
    /// One code by itself, of `code_size` bytes; the entry must exist.
    fn single_code(&self, list: usize, offset: usize) -> Result<Vec<u8>> {
        let size = self.base().code_size;
        Ok(self.codes(list)[offset * size..(offset + 1) * size].to_vec())
    }
    /// The codes of a list as they are packed, and the vectors of a block, where that is how they lie. `codes` unpacks them.
    fn packed(&self, _list: usize) -> Option<(&[u8], usize)> {
        None
    }
    /// Hints that these lists are looked into next; negative numbers are none.
    fn prefetch_lists(&self, _lists: &[i64]) {}
    /// An error where entries can't be added or changed.
    fn check_can_write(&self) -> Result<()> {
        Ok(())
    }

    /// The ids of a list as they lie in memory, where they do.
    fn ids_field(&mut self, _list: usize) -> Option<&mut dyn VectorField> {
        None
    }
    /// The codes of a list as they lie in memory, where they do.
    fn codes_field(&mut self, _list: usize) -> Option<&mut dyn VectorField> {
        None
    }

    /// The number of the list, if there is such a one.
    fn check_list(&self, list: i64) -> Result<usize> {
        let nlist = self.base().nlist;
        match usize::try_from(list) {
            Ok(at) if at < nlist => Ok(at),
            _ => Err(Error::failed("list_no < nlist", format!("there is no list {list} among {nlist}"))),
        }
    }
    /// The entry's place in its list, if there is such a one.
    fn check_entry(&self, list: i64, offset: i64) -> Result<(usize, usize)> {
        let at = self.check_list(list)?;
        match usize::try_from(offset) {
            Ok(offset) if offset < self.list_size(at) => Ok((at, offset)),
            _ => Err(Error::failed("offset < list_size(list_no)", format!("list {list} has no entry {offset}"))),
        }
    }
    /// Appends entry `i` to list `list_nos[i]`, in order, but for those of a negative number; writes where it came to `offsets[i]`.
    fn add_many(&mut self, list_nos: &[i64], ids: &[i64], codes: &[u8], offsets: &mut [i64]) -> Result<()> {
        let size = self.base().code_size;
        let mut order: Vec<usize> = (0..list_nos.len()).filter(|i| list_nos[*i] >= 0).collect();
        order.iter().try_for_each(|i| self.check_list(list_nos[*i]).map(drop))?;
        order.sort_by_key(|i| list_nos[*i]);
        for own in order.chunk_by(|a, b| list_nos[*a] == list_nos[*b]) {
            let own_ids: Vec<i64> = own.iter().map(|i| ids[*i]).collect();
            let own_codes: Vec<u8> = own.iter().flat_map(|i| &codes[i * size..(i + 1) * size]).copied().collect();
            let first = self.add_entries(list_nos[own[0]] as usize, &own_ids, &own_codes)?;
            own.iter().enumerate().for_each(|(at, i)| offsets[*i] = (first + at) as i64);
        }
        Ok(())
    }
    /// Empties all lists.
    fn reset(&mut self) -> Result<()> {
        (0..self.base().nlist).try_for_each(|list| self.resize(list, 0))
    }
    /// Entries of all lists.
    fn compute_ntotal(&self) -> usize {
        (0..self.base().nlist).map(|list| self.list_size(list)).sum()
    }
    /// 1 where all lists have the same size, more where they differ.
    fn imbalance_factor(&self) -> f64 {
        let sizes = (0..self.base().nlist).map(|list| self.list_size(list) as f64);
        let (total, squares) = sizes.fold((0.0, 0.0), |(t, s), n| (t + n, s + n * n));
        squares * self.base().nlist as f64 / (total * total)
    }
    /// Moves all entries of `other` here, with `add_id` added to their ids.
    fn merge_from(&mut self, other: &mut dyn InvertedLists, add_id: i64) -> Result<()> {
        self.check_can_write()?;
        other.check_can_write()?;
        for list in 0..self.base().nlist {
            let ids: Vec<i64> = other.ids(list).iter().map(|id| id.wrapping_add(add_id)).collect();
            self.add_entries(list, &ids, &other.codes(list))?;
            other.resize(list, 0)?;
        }
        Ok(())
    }
    /// Copies some entries to `other`, chosen by one of the `SUBSET_TYPE`s. Returns how many they are.
    fn copy_subset_to(&self, other: &mut dyn InvertedLists, subset_type: i32, a1: i64, a2: i64) -> Result<usize> {
        let (nlist, size) = (self.base().nlist, self.base().code_size);
        Error::check(
            other.base().nlist == nlist && other.base().code_size == size,
            "nlist == oivf.nlist && code_size == oivf.code_size",
        )?;
        Error::check((0..=4).contains(&subset_type), "subset type 0 to 4")?;
        let positive = matches!(subset_type, SUBSET_TYPE_ID_MOD | SUBSET_TYPE_INVLIST_FRACTION);
        Error::check(!positive || a1 > 0, "a1 > 0")?;
        other.check_can_write()?;
        let ntotal = self.compute_ntotal() as i128;
        // Of all entries up to a list, so many are before the position `at` if each list gives its share.
        let share = |entries: i128, at: i64| (entries * i128::from(at) / ntotal.max(1)).clamp(0, entries) as i64;
        let (mut before, mut copied) = (0i128, 0);
        for list in 0..nlist {
            let (ids, codes) = (self.ids(list), self.codes(list));
            let n = ids.len() as i64;
            let (from, to) = match subset_type {
                SUBSET_TYPE_ELEMENT_RANGE => {
                    let own = |at| (share(before + i128::from(n), at) - share(before, at)).clamp(0, n);
                    (own(a1), own(a2))
                }
                SUBSET_TYPE_INVLIST_FRACTION => ((n * a2 / a1).clamp(0, n), (n * (a2 + 1) / a1).clamp(0, n)),
                SUBSET_TYPE_INVLIST if (a1..a2).contains(&(list as i64)) => (0, n),
                SUBSET_TYPE_INVLIST => (0, 0),
                _ => (0, n),
            };
            before += i128::from(n);
            let member = |id: i64| match subset_type {
                SUBSET_TYPE_ID_RANGE => a1 <= id && id < a2,
                SUBSET_TYPE_ID_MOD => id.rem_euclid(a1) == a2,
                _ => true,
            };
            for i in (from as usize..to.max(from) as usize).filter(|i| member(ids[*i])) {
                other.add_entries(list, &ids[i..=i], &codes[i * size..(i + 1) * size])?;
                copied += 1;
            }
        }
        Ok(copied)
    }
}

#[derive(Default, Clone)]
pub(in crate::storage) struct List {
    pub ids: Ids,
    pub codes: Codes,
}

impl List {
    fn append(&mut self, ids: &[i64], codes: &[u8]) -> Result<()> {
        let own = self.ids.owned()?;
        own.try_reserve(ids.len()).map_err(|e| Error::Memory(e.to_string()))?;
        self.codes.extend_from_slice(codes)?;
        own.extend_from_slice(ids);
        Ok(())
    }
}

/// Inverted lists in memory, as one array of ids and one of codes a list.
#[derive(Object, Default, Clone)]
#[object(methods, implements(InvertedLists), copy)]
pub struct ArrayInvertedLists {
    #[object(parent)]
    base: InvertedListsBase,
    pub(in crate::storage) lists: Vec<List>,
}

pub(crate) const ARRAY: Row = Row::of::<ArrayInvertedLists>().format(Format {
    fourccs: &["ilar"],
    read: lists_format::read_array,
    write: lists_format::write_array,
});

#[methods]
impl ArrayInvertedLists {
    /// Empty lists.
    #[new]
    pub fn new(nlist: usize, code_size: usize) -> Result<Self> {
        let mut lists = Vec::new();
        lists.try_reserve_exact(nlist).map_err(|e| Error::Memory(format!("{nlist} lists: {e}")))?;
        lists.resize_with(nlist, List::default);
        Ok(ArrayInvertedLists { base: InvertedListsBase { nlist, code_size, use_iterator: false }, lists })
    }

    /// List `i` is then the one that was `map[i]`.
    pub fn permute_invlists(&mut self, map: &[i64]) -> Result<()> {
        let mut seen = vec![false; self.nlist];
        for from in map {
            let fresh =
                usize::try_from(*from).ok().and_then(|from| seen.get_mut(from)).is_some_and(|s| !replace(s, true));
            Error::check(fresh, "map is a permutation of the lists")?;
        }
        Error::check(map.len() == self.nlist, "map.size() == nlist")?;
        self.lists = map.iter().map(|from| std::mem::take(&mut self.lists[*from as usize])).collect();
        Ok(())
    }
}

impl ArrayInvertedLists {
    /// Fills a list, as it comes from a file.
    pub fn set_list(&mut self, list: usize, ids: Ids, codes: Codes) -> Result<()> {
        Error::check(codes.len() == ids.len() * self.code_size, "codes.size() == ids.size() * code_size")?;
        self.lists[list] = List { ids, codes };
        Ok(())
    }
}

impl InvertedLists for ArrayInvertedLists {
    fn base(&self) -> &InvertedListsBase {
        self
    }
    fn list_size(&self, list: usize) -> usize {
        self.lists[list].ids.len()
    }
    fn codes(&self, list: usize) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.lists[list].codes.as_slice())
    }
    fn ids(&self, list: usize) -> Cow<'_, [i64]> {
        self.lists[list].ids.get()
    }
    fn ids_field(&mut self, list: usize) -> Option<&mut dyn VectorField> {
        Some(&mut self.lists.get_mut(list)?.ids)
    }
    /// One list that can't be written stands for all: they come from one file.
    fn check_can_write(&self) -> Result<()> {
        self.lists.iter().find(|list| !list.ids.is_empty()).map_or(Ok(()), |list| list.codes.check_owned())
    }
    fn codes_field(&mut self, list: usize) -> Option<&mut dyn VectorField> {
        Some(&mut self.lists.get_mut(list)?.codes)
    }
    fn add_entries(&mut self, list: usize, ids: &[i64], codes: &[u8]) -> Result<usize> {
        Error::check(codes.len() == ids.len() * self.code_size, "codes.size() == n * code_size")?;
        let list = &mut self.lists[list];
        let first = list.ids.len();
        list.append(ids, codes)?;
        Ok(first)
    }
    fn update_entries(&mut self, list: usize, offset: usize, ids: &[i64], codes: &[u8]) -> Result<()> {
        let size = self.code_size;
        let list = &mut self.lists[list];
        let fits = offset.checked_add(ids.len()).is_some_and(|end| end <= list.ids.len());
        Error::check(fits && codes.len() == ids.len() * size, "n_entry + offset <= ids[list_no].size()")?;
        list.codes.check_owned()?;
        list.ids.owned()?[offset..offset + ids.len()].copy_from_slice(ids);
        list.codes.as_mut_slice()[offset * size..(offset + ids.len()) * size].copy_from_slice(codes);
        Ok(())
    }
    fn resize(&mut self, list: usize, n: usize) -> Result<()> {
        let bytes = n.checked_mul(self.code_size).ok_or_else(|| Error::Memory("a list too long".into()))?;
        let list = &mut self.lists[list];
        if n == 0 {
            // What was only seen can be dropped.
            *list = List::default();
        }
        if n != list.ids.len() {
            list.codes.try_resize(bytes)?;
            list.ids.owned()?.resize(n, 0);
        }
        Ok(())
    }

    /// Entries are sorted by list first, then each thread fills some of the lists.
    fn add_many(&mut self, list_nos: &[i64], ids: &[i64], codes: &[u8], offsets: &mut [i64]) -> Result<()> {
        let size = self.code_size;
        let mut ends = vec![0usize; self.nlist + 1];
        for list in list_nos.iter().filter(|list| **list >= 0) {
            ends[self.check_list(*list)? + 1] += 1;
        }
        for list in 0..self.nlist {
            ends[list + 1] += ends[list];
        }
        let mut next = ends.clone();
        let mut order = vec![0u32; ends[self.nlist]];
        for (i, list) in list_nos.iter().enumerate().filter(|(_, list)| **list >= 0) {
            let list = *list as usize;
            offsets[i] = (self.lists[list].ids.len() + next[list] - ends[list]) as i64;
            order[next[list]] = i as u32;
            next[list] += 1;
        }
        let chunk = self.nlist.div_ceil(threads::available() * 8).max(1);
        let pieces: Vec<Mutex<&mut [List]>> = self.lists.chunks_mut(chunk).map(Mutex::new).collect();
        threads::parallel_for(pieces.len(), |p| {
            for (at, list) in pieces[p].lock().iter_mut().enumerate() {
                let list_no = p * chunk + at;
                let own = &order[ends[list_no]..ends[list_no + 1]];
                list.codes.try_reserve_more(own.len() * size)?;
                if own.is_empty() {
                    continue;
                }
                list.ids.owned()?.try_reserve(own.len()).map_err(|e| Error::Memory(e.to_string()))?;
                for i in own.iter().map(|i| *i as usize) {
                    list.append(&ids[i..=i], &codes[i * size..(i + 1) * size])?;
                }
            }
            Ok(())
        })
    }
}

crate::view!(InvertedLists, "InvertedLists");

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> ArrayInvertedLists {
        let mut lists = ArrayInvertedLists::new(3, 2).unwrap();
        let mut offsets = [-1; 5];
        lists
            .add_many(&[2, 0, -1, 2, 2], &[10, 11, 12, 13, 14], &[0, 0, 1, 1, 2, 2, 3, 3, 4, 4], &mut offsets)
            .unwrap();
        assert_eq!(offsets, [0, 0, -1, 1, 2]);
        lists
    }

    #[test]
    fn entries_keep_their_order() {
        let mut lists = filled();
        assert_eq!((&*lists.ids(2), &*lists.codes(2)), (&[10, 13, 14][..], &[0, 0, 3, 3, 4, 4][..]));
        assert_eq!(lists.add_entries(2, &[5], &[9, 9]).unwrap(), 3);
        lists.update_entries(2, 1, &[7], &[8, 8]).unwrap();
        assert_eq!(&*lists.ids(2), &[10, 7, 14, 5]);
        assert!(lists.update_entries(2, 4, &[7], &[8, 8]).is_err());
        assert!(lists.add_many(&[3], &[1], &[0, 0], &mut [0]).is_err());
        assert_eq!(lists.compute_ntotal(), 5);
    }

    #[test]
    fn subsets() {
        let lists = filled();
        let copied = |kind, a1, a2| {
            let mut other = ArrayInvertedLists::new(3, 2).unwrap();
            let n = lists.copy_subset_to(&mut other, kind, a1, a2).unwrap();
            let ids: Vec<i64> = (0..3).flat_map(|l| other.ids(l).to_vec()).collect();
            assert_eq!(ids.len(), n);
            ids
        };
        assert_eq!(copied(SUBSET_TYPE_ID_RANGE, 11, 14), [11, 13]);
        assert_eq!(copied(SUBSET_TYPE_ID_MOD, 2, 1), [11, 13]);
        assert_eq!(copied(SUBSET_TYPE_ELEMENT_RANGE, 1, 3), [13, 14]);
        assert_eq!(copied(SUBSET_TYPE_ELEMENT_RANGE, 0, 4), [11, 10, 13, 14]);
        assert_eq!(copied(SUBSET_TYPE_INVLIST, 1, 3), [10, 13, 14]);
        assert_eq!(copied(SUBSET_TYPE_INVLIST_FRACTION, 3, 1), [13]);
    }

    #[test]
    fn lists_change_places() {
        let mut lists = filled();
        assert!(lists.permute_invlists(&[0, 1, 1]).is_err() && lists.permute_invlists(&[0, 1]).is_err());
        assert!(lists.permute_invlists(&[0, -1, 2]).is_err());
        lists.permute_invlists(&[2, 0, 1]).unwrap();
        assert_eq!((&*lists.ids(0), &*lists.ids(1), lists.list_size(2)), (&[10, 13, 14][..], &[11][..], 0));
    }

    #[test]
    fn merging_empties_the_other() {
        let (mut one, mut two) = (filled(), filled());
        one.merge_from(&mut two, 100).unwrap();
        assert_eq!(&*one.ids(2), &[10, 13, 14, 110, 113, 114]);
        assert_eq!(two.compute_ntotal(), 0);
    }
}
