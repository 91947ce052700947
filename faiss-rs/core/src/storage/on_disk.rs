//! Inverted lists in a file of their own, which is mapped: their size is not limited by memory.
//!
//! A list has a slot of the file: room for `capacity` codes, then for as many ids. One that outgrows its slot moves to another. Entries are
//! written to the file and read through the map, so that a full disk is an error. A process that is killed leaves the lists as the last
//! written index file has them: what that file speaks of is never overwritten. A list is moved before its saved entries change, and slots that
//! files may still speak of are not used again until the index has been written twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use super::ids::numbers;
use super::lists::{InvertedLists, InvertedListsBase};
use crate::base::declare::Rows;
use crate::base::memory::filled;
use crate::base::object::receiver;
use crate::base::{Error, Handle, Result, interrupt};
use crate::registry::{Format, Row};
use crate::stream::{IO_FLAG_ONDISK_SAME_DIR, IO_FLAG_READ_ONLY, Reader, SharedBytes, Writer};

const ID: usize = size_of::<i64>();
/// The file grows to at least this size.
const MIN_FILE: usize = 1 << 16;

/// Where a list is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDiskOneList {
    /// Entries.
    pub size: usize,
    /// Entries that there is room for.
    pub capacity: usize,
    /// Where the slot begins in the file.
    pub offset: usize,
}

/// What the index files speak of that were written or read.
#[derive(Default)]
struct Saved {
    /// Slots by offset, and how many entries of each are spoken of.
    sizes: HashMap<usize, usize>,
    /// Slots that were given up since the last write, before it, and before the one before it, which are free again: offset and bytes.
    given_up: [Vec<(usize, usize)>; 3],
}

/// Inverted lists in a file that is mapped.
///
/// The lists of an index that need not fit in memory: give it to `IndexIVF.replace_invlists`, or read an index with `IO_FLAG_MMAP`.
#[derive(Object, Default)]
#[object(methods, implements(InvertedLists))]
pub struct OnDiskInvertedLists {
    #[object(parent)]
    base: InvertedListsBase,
    /// The file; empty where the lists are a part of an index's file.
    pub filename: String,
    /// Bytes of the file.
    #[object(readonly)]
    pub totsize: usize,
    /// Whether entries can't be added or changed.
    pub read_only: bool,
    /// Accepted for compatibility: the system reads ahead what is asked for.
    pub prefetch_nthread: i32,
    lists: Vec<OnDiskOneList>,
    /// Free slots by offset: bytes.
    slots: BTreeMap<usize, usize>,
    saved: Mutex<Saved>,
    file: Option<File>,
    map: Option<SharedBytes>,
}

pub(crate) const ROW: Row = Row::of::<OnDiskInvertedLists>().format(Format {
    fourccs: &["ilod"],
    read: |input, _| Ok(Handle::new(OnDiskInvertedLists::read(input)?)),
    write: |object, out| receiver::<OnDiskInvertedLists>(object)?.write(out),
});

#[methods]
impl OnDiskInvertedLists {
    /// Lists of no file, which can't be written to.
    #[new]
    fn empty() -> Self {
        OnDiskInvertedLists { read_only: true, ..Default::default() }
    }

    /// Empty lists in a new file.
    #[new]
    fn of(nlist: usize, code_size: usize, filename: &str, #[default = false] read_only: bool) -> Result<Self> {
        Ok(OnDiskInvertedLists { read_only, ..Self::create(nlist, code_size, filename)? })
    }

    /// Fills these lists, which are empty, with the entries of several others, list by list in one pass over the file. With `shift_ids`, the ids
    /// of each are counted on from those before. Returns how many entries there are.
    pub fn merge_from_multiple(
        &mut self,
        #[class = "list[InvertedLists]"] ils: Vec<&dyn InvertedLists>,
        #[default = false] shift_ids: bool,
        #[default = false] verbose: bool,
    ) -> Result<usize> {
        self.check_can_write()?;
        for other in &ils {
            let same = other.base().nlist == self.nlist && other.base().code_size == self.code_size;
            Error::check(same, "il->nlist == nlist && il->code_size == code_size")?;
        }
        if self.compute_ntotal() > 0 {
            return Err(Error::failed("ntotal == 0", "lists that others are merged into must be empty"));
        }
        let mut total = 0;
        for list in 0..self.nlist {
            interrupt::check()?;
            let n: usize = ils.iter().map(|other| other.list_size(list)).sum();
            self.relocate(list, n, 0)?;
            let (mut at, mut shift) = (0, 0i64);
            for other in &ils {
                let mut ids = other.ids(list);
                if shift_ids {
                    ids.to_mut().iter_mut().for_each(|id| *id = id.wrapping_add(shift));
                    shift += other.compute_ntotal() as i64;
                }
                self.write_entries(list, at, &ids, &other.codes(list))?;
                at += ids.len();
            }
            self.lists[list].size = n;
            total += n;
            if verbose {
                println!("merged {total} entries of {} lists", list + 1);
            }
        }
        Ok(total)
    }

    /// Where each list is: entries, entries that there is room for, and the first byte.
    #[name = "_places"]
    fn places(&self) -> Rows<i64> {
        let places = self.lists.iter().flat_map(|list| [list.size, list.capacity, list.offset]);
        Rows(places.map(|v| v as i64).collect(), 3)
    }

    /// The free slots: first byte and bytes.
    #[name = "_free_slots"]
    fn free_slots(&self) -> Rows<i64> {
        Rows(self.slots.iter().flat_map(|(offset, bytes)| [*offset as i64, *bytes as i64]).collect(), 2)
    }

    /// The bytes of the file.
    #[name = "_bytes"]
    fn all_bytes(&self) -> Result<Vec<u8>> {
        let own = self.bytes(0..self.totsize);
        let mut bytes = filled(&[own.len()], 0u8)?;
        bytes.copy_from_slice(own);
        Ok(bytes)
    }

    /// Takes a slot of so many bytes, by growing the file if no free one is large enough. Returns its first byte.
    fn allocate_slot(&mut self, capacity: usize) -> Result<usize> {
        self.check_can_write()?;
        self.allocate(capacity)
    }

    /// Gives back a slot of so many bytes, which must be in no list and not free.
    fn free_slot(&mut self, offset: usize, capacity: usize) -> Result<()> {
        self.check_can_write()?;
        let end = offset.checked_add(capacity).filter(|end| *end <= self.totsize);
        let end = end.ok_or_else(|| Error::failed("offset + capacity <= totsize", "the slot is not in the file"))?;
        let apart = |at: usize, bytes: usize| bytes == 0 || at + bytes <= offset || end <= at;
        let used = self.lists.iter().any(|list| !apart(list.offset, list.capacity * self.entry()));
        let given_up = self.saved.get_mut().given_up.iter().flatten().any(|(at, bytes)| !apart(*at, *bytes));
        let free = self.slots.iter().any(|(at, bytes)| !apart(*at, *bytes));
        Error::check(!used && !given_up && !free, "the slot is neither a list's nor free")?;
        self.free(offset, capacity);
        Ok(())
    }

    /// Makes the file longer.
    fn update_totsize(&mut self, new_size: usize) -> Result<()> {
        self.check_can_write()?;
        if new_size < self.totsize {
            let message = format!("the file has {} bytes, to which lists may refer", self.totsize);
            return Err(Error::failed("new_size >= totsize", message));
        }
        let old = self.totsize;
        self.lengthen(new_size)?;
        if new_size > old {
            join(&mut self.slots, old, new_size - old);
        }
        Ok(())
    }

    /// As `resize`.
    fn resize_locked(&mut self, list_no: i64, new_size: usize) -> Result<()> {
        let list = self.check_list(list_no)?;
        self.resize(list, new_size)
    }

    /// Gives all lists, which are empty, sizes (nlist,), one after the other from the beginning of the file; what the file has there are then their
    /// entries.
    fn set_all_lists_sizes(&mut self, sizes: &[i64]) -> Result<()> {
        self.check_can_write()?;
        Error::check(sizes.len() == self.nlist, "sizes.size() == nlist")?;
        Error::check(self.compute_ntotal() == 0, "ntotal == 0")?;
        let mut lists = Vec::with_capacity(sizes.len());
        let mut offset = 0usize;
        for size in sizes {
            let size = usize::try_from(*size).map_err(|_| Error::failed("sizes[i] >= 0", "a size is negative"))?;
            lists.push(OnDiskOneList { size, capacity: size, offset });
            let end = size.checked_mul(self.entry()).and_then(|bytes| offset.checked_add(bytes));
            offset = end.ok_or_else(|| Error::Memory("lists too long".into()))?;
        }
        if offset > self.totsize {
            self.lengthen(offset)?;
        }
        self.lists = lists;
        self.saved = Mutex::default();
        self.slots.clear();
        if offset < self.totsize {
            self.slots.insert(offset, self.totsize - offset);
        }
        Ok(())
    }

    /// Keeps the lists `l0` to `l1 - 1` only.
    pub fn crop_invlists(&mut self, l0: usize, l1: usize) -> Result<()> {
        self.check_can_write()?;
        Error::check(l0 <= l1 && l1 <= self.nlist, "0 <= l0 && l0 <= l1 && l1 <= nlist")?;
        for list in (0..l0).chain(l1..self.nlist) {
            let own = self.lists[list];
            self.free(own.offset, own.capacity * self.entry());
        }
        self.lists = self.lists[l0..l1].to_vec();
        self.base.nlist = l1 - l0;
        Ok(())
    }
}

impl OnDiskInvertedLists {
    /// Empty lists in a new file.
    pub fn create(nlist: usize, code_size: usize, path: &str) -> Result<Self> {
        let mut lists = Vec::new();
        lists.try_reserve_exact(nlist).map_err(|e| Error::Memory(format!("{nlist} lists: {e}")))?;
        lists.resize(nlist, OnDiskOneList::default());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| Error::failed("f", format!("could not open {path} in mode w+: {e}")))?;
        Ok(OnDiskInvertedLists {
            base: InvertedListsBase { nlist, code_size, use_iterator: false },
            filename: path.to_owned(),
            prefetch_nthread: 32,
            lists,
            file: Some(file),
            ..Default::default()
        })
    }

    /// Lists that lie in `map`, which stays as it is. They were checked to be inside.
    pub(super) fn mapped(code_size: usize, lists: Vec<OnDiskOneList>, map: SharedBytes) -> Self {
        OnDiskInvertedLists {
            base: InvertedListsBase { nlist: lists.len(), code_size, use_iterator: false },
            totsize: map.len(),
            read_only: true,
            prefetch_nthread: 32,
            lists,
            map: Some(map),
            ..Default::default()
        }
    }

    fn entry(&self) -> usize {
        self.code_size + ID
    }

    fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.map.as_ref().and_then(|map| map.as_slice().get(range)).unwrap_or_default()
    }

    fn write_at(&self, bytes: &[u8], at: usize) -> Result<()> {
        let file = self.file.as_ref().ok_or_else(|| Error::failed("file", "the lists have no file to write to"))?;
        file.write_all_at(bytes, at as u64).map_err(|e| Error::io(format!("write error in {}: {e}", self.filename)))
    }

    /// A slot of so many bytes, by growing the file if no free one is large enough.
    fn allocate(&mut self, bytes: usize) -> Result<usize> {
        if bytes == 0 {
            return Ok(0);
        }
        for (offset, bytes) in std::mem::take(&mut self.saved.get_mut().given_up[2]) {
            join(&mut self.slots, offset, bytes);
        }
        let free = self.slots.iter().find(|(_, size)| **size >= bytes).map(|(offset, size)| (*offset, *size));
        let (offset, size) = match free {
            Some(slot) => slot,
            None => {
                let old = self.totsize;
                let last = self.slots.last_key_value().filter(|(at, size)| *at + *size == old).map(|(at, _)| *at);
                let start = last.unwrap_or(old);
                let too_large = || Error::Memory("the file of the lists is larger than can be addressed".into());
                let end = start.checked_add(bytes).ok_or_else(too_large)?;
                let total = end.max(old.saturating_mul(2)).max(MIN_FILE);
                self.lengthen(total)?;
                (start, total - start)
            }
        };
        self.slots.remove(&offset);
        if size > bytes {
            self.slots.insert(offset + bytes, size - bytes);
        }
        Ok(offset)
    }

    /// Makes the file so many bytes long, no fewer than it has.
    fn lengthen(&mut self, total: usize) -> Result<()> {
        let file = self.file.as_ref().ok_or_else(|| Error::failed("file", "the lists have no file"))?;
        let failed = |e| Error::io(format!("could not make {} {total} bytes long: {e}", self.filename));
        file.set_len(total as u64).map_err(failed)?;
        self.map = if total > 0 { Some(SharedBytes::map(file, &self.filename)?) } else { None };
        self.totsize = total;
        Ok(())
    }

    /// Gives a slot up: at once, or when no index file speaks of it any more.
    fn free(&mut self, offset: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let saved = self.saved.get_mut();
        if saved.sizes.contains_key(&offset) {
            saved.given_up[0].push((offset, bytes));
        } else {
            join(&mut self.slots, offset, bytes);
        }
    }

    /// Moves a list to a slot for `capacity` entries, of which the first `keep` go along.
    fn relocate(&mut self, list: usize, capacity: usize, keep: usize) -> Result<()> {
        let too_long = || Error::Memory("a list too long".into());
        let bytes = capacity.checked_mul(self.entry()).ok_or_else(too_long)?;
        let old = self.lists[list];
        let offset = self.allocate(bytes)?;
        if keep > 0 {
            let size = self.code_size;
            let codes = self.bytes(old.offset..old.offset + keep * size);
            self.write_at(codes, offset)?;
            let ids = old.offset + old.capacity * size;
            self.write_at(self.bytes(ids..ids + keep * ID), offset + capacity * size)?;
        }
        self.lists[list] = OnDiskOneList { size: old.size.min(capacity), capacity, offset };
        self.free(old.offset, old.capacity * self.entry());
        Ok(())
    }

    /// Makes sure that entries from `first` on can be written without touching what an index file speaks of.
    fn make_writable(&mut self, list: usize, first: usize) -> Result<()> {
        let own = self.lists[list];
        let saved = self.saved.get_mut().sizes.get(&own.offset).copied().unwrap_or(0);
        if own.capacity > 0 && first < saved { self.relocate(list, own.capacity, own.size) } else { Ok(()) }
    }

    fn write_entries(&self, list: usize, first: usize, ids: &[i64], codes: &[u8]) -> Result<()> {
        let own = self.lists[list];
        self.write_at(codes, own.offset + first * self.code_size)?;
        self.write_at(bytemuck::cast_slice(ids), own.offset + own.capacity * self.code_size + first * ID)
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<()> {
        if self.filename.is_empty() {
            let message =
                "lists that lie in an index's file can't be written by themselves: read that file without IO_FLAG_MMAP";
            return Err(Error::failed("!filename.empty()", message));
        }
        let mut saved = self.saved.lock();
        let mut slots = self.slots.clone();
        saved.given_up.iter().flatten().for_each(|(offset, bytes)| join(&mut slots, *offset, *bytes));
        out.fourcc("ilod")?;
        out.usize(self.nlist)?;
        out.usize(self.code_size)?;
        out.usize(self.nlist)?;
        for list in &self.lists {
            out.usize(list.size)?;
            out.usize(list.capacity)?;
            out.usize(list.offset)?;
        }
        out.usize(slots.len())?;
        for (offset, capacity) in slots {
            out.usize(offset)?;
            out.usize(capacity)?;
        }
        out.codes(self.filename.as_bytes())?;
        out.usize(self.totsize)?;
        saved.remember(&self.lists);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let (nlist, code_size) = (input.usize()?, input.usize()?);
        input.check_loop(nlist, "nlist")?;
        let count = input.usize()?;
        Error::check(count == nlist, "lists.size() == nlist")?;
        let triple = count.checked_mul(3).ok_or_else(|| Error::failed("size fits", ""))?;
        let places: Vec<i64> = input.elements(triple)?;
        let count = input.usize()?;
        let pairs: Vec<i64> = input.elements(count.checked_mul(2).ok_or_else(|| Error::failed("size fits", ""))?)?;
        let name = String::from_utf8(input.codes()?.as_slice().to_vec());
        let name = name.map_err(|_| Error::failed("", "the name of the lists' file is not UTF-8"))?;
        let totsize = input.usize()?;
        let filename = if input.has_flag(IO_FLAG_ONDISK_SAME_DIR) { beside(&input.name(), &name) } else { name };

        let lists: Vec<OnDiskOneList> = places
            .chunks_exact(3)
            .map(|p| OnDiskOneList { size: p[0] as usize, capacity: p[1] as usize, offset: p[2] as usize })
            .collect();
        let entry = code_size.checked_add(ID);
        let inside = |list: &OnDiskOneList| {
            let end = entry.and_then(|entry| list.capacity.checked_mul(entry)?.checked_add(list.offset));
            list.size <= list.capacity && (list.capacity == 0 || end.is_some_and(|end| end <= totsize))
        };
        Error::check(lists.iter().all(inside), "list.size <= list.capacity && list.offset + capacity <= totsize")?;
        let mut slots = BTreeMap::new();
        for pair in pairs.chunks_exact(2) {
            let (offset, bytes) = (pair[0] as usize, pair[1] as usize);
            let fits = offset.checked_add(bytes).is_some_and(|end| end <= totsize);
            Error::check(fits, "slot.offset + slot.capacity <= totsize")?;
            slots.insert(offset, bytes);
        }
        keep_apart(&lists, &mut slots, code_size);

        let read_only = input.has_flag(IO_FLAG_READ_ONLY);
        let file = OpenOptions::new().read(true).write(!read_only).open(&filename);
        let failed = |e: std::io::Error| Error::failed("f", format!("could not open {filename}: {e}"));
        let file = file.map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len < totsize as u64 {
            let message = format!("{filename} has {len} bytes, the index says {totsize}");
            return Err(Error::failed("file size >= totsize", message));
        }
        let map = if totsize > 0 { Some(SharedBytes::map(&file, &filename)?) } else { None };
        let mut saved = Saved::default();
        saved.remember(&lists);
        Ok(OnDiskInvertedLists {
            base: InvertedListsBase { nlist, code_size, use_iterator: false },
            filename,
            totsize,
            read_only,
            prefetch_nthread: 32,
            lists,
            slots,
            saved: Mutex::new(saved),
            file: Some(file),
            map,
        })
    }
}

impl Saved {
    /// Notes what the newest file speaks of.
    fn remember(&mut self, lists: &[OnDiskOneList]) {
        self.sizes = lists.iter().filter(|list| list.capacity > 0).map(|list| (list.offset, list.size)).collect();
        // The file before it may still be there, if this one was written elsewhere or its writing fails; those before that are gone.
        let [now, before, free] = &mut self.given_up;
        free.append(before);
        std::mem::swap(now, before);
    }
}

/// Adds a free slot, as one with those that it touches.
fn join(slots: &mut BTreeMap<usize, usize>, mut offset: usize, mut bytes: usize) {
    if let Some((before, size)) = slots.range(..offset).next_back().map(|(at, size)| (*at, *size))
        && before + size == offset
    {
        slots.remove(&before);
        (offset, bytes) = (before, size + bytes);
    }
    if let Some(size) = slots.remove(&(offset + bytes)) {
        bytes += size;
    }
    slots.insert(offset, bytes);
}

/// Forgets free slots of a file that lists lie in.
fn keep_apart(lists: &[OnDiskOneList], slots: &mut BTreeMap<usize, usize>, code_size: usize) {
    let used = lists.iter().filter(|list| list.capacity > 0);
    let mut used: Vec<(usize, usize)> =
        used.map(|list| (list.offset, list.offset + list.capacity * (code_size + ID))).collect();
    used.sort_unstable();
    let mut end = 0;
    for (_, own) in &mut used {
        end = end.max(*own);
        *own = end;
    }
    slots.retain(|offset, bytes| {
        let before = used.partition_point(|(start, _)| *start < offset + *bytes);
        before == 0 || used[before - 1].1 <= *offset
    });
}

/// The file of that name in the folder of another.
fn beside(path: &str, name: &str) -> String {
    let name = Path::new(name).file_name().unwrap_or_default();
    Path::new(path).with_file_name(name).to_string_lossy().into_owned()
}

impl InvertedLists for OnDiskInvertedLists {
    fn base(&self) -> &InvertedListsBase {
        self
    }
    fn list_size(&self, list: usize) -> usize {
        self.lists[list].size
    }
    fn codes(&self, list: usize) -> Cow<'_, [u8]> {
        let own = self.lists[list];
        Cow::Borrowed(self.bytes(own.offset..own.offset + own.size * self.code_size))
    }
    fn ids(&self, list: usize) -> Cow<'_, [i64]> {
        let own = self.lists[list];
        let start = own.offset + own.capacity * self.code_size;
        numbers(self.bytes(start..start + own.size * ID))
    }
    fn prefetch_lists(&self, lists: &[i64]) {
        let Some(map) = &self.map else { return };
        for list in lists.iter().filter_map(|list| self.lists.get(usize::try_from(*list).ok()?)) {
            map.will_need(list.offset..list.offset + list.capacity * self.entry());
        }
    }
    fn check_can_write(&self) -> Result<()> {
        if self.read_only || self.file.is_none() {
            return Err(Error::failed("!read_only", "cannot modify a read-only OnDiskInvertedLists"));
        }
        Ok(())
    }
    fn add_entries(&mut self, list: usize, ids: &[i64], codes: &[u8]) -> Result<usize> {
        self.check_can_write()?;
        Error::check(codes.len() == ids.len() * self.code_size, "codes.size() == n * code_size")?;
        let first = self.lists[list].size;
        if ids.is_empty() {
            return Ok(first);
        }
        self.reserve(list, first + ids.len())?;
        self.make_writable(list, first)?;
        self.write_entries(list, first, ids, codes)?;
        // Only what is there counts.
        self.lists[list].size = first + ids.len();
        Ok(first)
    }
    fn update_entries(&mut self, list: usize, offset: usize, ids: &[i64], codes: &[u8]) -> Result<()> {
        self.check_can_write()?;
        let fits = offset.checked_add(ids.len()).is_some_and(|end| end <= self.lists[list].size);
        Error::check(fits && codes.len() == ids.len() * self.code_size, "n_entry + offset <= list_size(list_no)")?;
        if ids.is_empty() {
            return Ok(());
        }
        self.make_writable(list, offset)?;
        self.write_entries(list, offset, ids, codes)
    }
    fn resize(&mut self, list: usize, n: usize) -> Result<()> {
        self.check_can_write()?;
        let own = self.lists[list];
        if n == 0 {
            self.lists[list] = OnDiskOneList::default();
            self.free(own.offset, own.capacity * self.entry());
        } else if n <= own.size {
            self.lists[list].size = n;
        } else {
            let more = n - own.size;
            let codes = more.checked_mul(self.code_size).ok_or_else(|| Error::Memory("a list too long".into()))?;
            self.add_entries(list, &vec![0; more], &vec![0; codes])?;
        }
        Ok(())
    }
}

impl OnDiskInvertedLists {
    /// Makes sure that a list has room for `n` entries.
    fn reserve(&mut self, list: usize, n: usize) -> Result<()> {
        let own = self.lists[list];
        if n <= own.capacity {
            return Ok(());
        }
        let capacity = n.checked_next_power_of_two().ok_or_else(|| Error::Memory("a list too long".into()))?;
        self.relocate(list, capacity, own.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::lists::ArrayInvertedLists;
    use proptest::prelude::*;

    fn same(one: &dyn InvertedLists, two: &dyn InvertedLists) {
        for list in 0..one.base().nlist {
            assert_eq!((one.ids(list), one.codes(list)), (two.ids(list), two.codes(list)), "list {list}");
        }
    }

    fn saved(lists: &OnDiskInvertedLists) -> Vec<u8> {
        let mut bytes = Vec::new();
        lists.write(&mut Writer::new(&mut bytes, 0)).unwrap();
        bytes
    }

    fn load(bytes: &[u8]) -> OnDiskInvertedLists {
        let mut source = &bytes[4..];
        OnDiskInvertedLists::read(&mut Reader::new(&mut source, IO_FLAG_READ_ONLY)).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// Whatever is done, the lists are those that memory would hold, and the last file that was written stays true.
        #[test]
        fn as_lists_in_memory(steps in prop::collection::vec((0..6u8, 0..4usize, 1..40usize), 1..60), code_size in 0..6usize) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lists");
            let mut lists = OnDiskInvertedLists::create(4, code_size, path.to_str().unwrap()).unwrap();
            let mut model = ArrayInvertedLists::new(4, code_size).unwrap();
            let mut written = None;
            for (step, (kind, list, n)) in steps.into_iter().enumerate() {
                let ids: Vec<i64> = (0..n as i64).map(|i| i + 100 * step as i64).collect();
                let codes = vec![step as u8; n * code_size];
                let size = model.list_size(list);
                match kind {
                    0..=2 => {
                        assert_eq!(lists.add_entries(list, &ids, &codes).unwrap(), size);
                        model.add_entries(list, &ids, &codes).unwrap();
                    }
                    3 => {
                        lists.resize(list, size / 2).unwrap();
                        model.resize(list, size / 2).unwrap();
                    }
                    4 if size >= n => {
                        lists.update_entries(list, size - n, &ids, &codes).unwrap();
                        model.update_entries(list, size - n, &ids, &codes).unwrap();
                    }
                    4 => assert!(lists.update_entries(list, 0, &ids, &codes).is_err()),
                    _ => written = Some((saved(&lists), model.clone())),
                }
                same(&lists, &model);
                if let Some((bytes, then)) = &written {
                    same(&load(bytes), then);
                }
            }
            let ends = lists.lists.iter().map(|l| l.offset + l.capacity * (code_size + ID));
            assert!(ends.max().unwrap() <= lists.totsize);
        }
    }

    #[test]
    fn several_become_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lists");
        let mut lists = OnDiskInvertedLists::create(2, 3, path.to_str().unwrap()).unwrap();
        let (mut one, mut two) = (ArrayInvertedLists::new(2, 3).unwrap(), ArrayInvertedLists::new(2, 3).unwrap());
        one.add_entries(0, &[0, 1], &[1, 1, 1, 2, 2, 2]).unwrap();
        two.add_entries(0, &[0], &[3, 3, 3]).unwrap();
        two.add_entries(1, &[1], &[4, 4, 4]).unwrap();
        assert_eq!(lists.merge_from_multiple(vec![&one, &two], true, false).unwrap(), 4);
        assert_eq!((&*lists.ids(0), &*lists.ids(1)), (&[0, 1, 2][..], &[3][..]));
        assert_eq!(&*lists.codes(0), &[1, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert!(lists.merge_from_multiple(vec![&one], true, false).is_err());
        lists.crop_invlists(1, 2).unwrap();
        assert_eq!((lists.base().nlist, &*lists.ids(0)), (1, &[3][..]));
        lists.read_only = true;
        assert!(lists.add_entries(0, &[1], &[0; 3]).is_err() && lists.resize(0, 0).is_err());
    }

    #[test]
    fn what_a_file_claims_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lists");
        let mut lists = OnDiskInvertedLists::create(2, 3, path.to_str().unwrap()).unwrap();
        lists.add_entries(1, &[7], &[1, 2, 3]).unwrap();
        let bytes = saved(&lists);
        for at in 4..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                let mut source = &bad[4..];
                if let Ok(lists) = OnDiskInvertedLists::read(&mut Reader::new(&mut source, IO_FLAG_READ_ONLY)) {
                    (0..lists.nlist).for_each(|list| drop((lists.ids(list), lists.codes(list))));
                }
            }
        }
    }
}
