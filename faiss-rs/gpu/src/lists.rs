//! Inverted lists on a GPU: what an inverted file keeps.
//!
//! One arena for the codes and one for the ids. A list is one piece of both, from entry `starts[list]` on, with room to grow; when
//! one has no room left, all of them move to larger arenas at once. The host knows the lengths and starts, too.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use faiss_core::storage::codes::Codes;
use faiss_core::storage::ids::Ids as ListIds;
use faiss_core::storage::lists::{ArrayInvertedLists, InvertedLists};

use crate::config::IndicesOptions;
use crate::error::{Error, Result};
use crate::launchers;
use crate::memory::{DeviceBuffer, Element, MemorySpace, Ptr, PtrMut};
use crate::ops::{group, rows};
use crate::resources::{Context, Held};

/// Inverted lists on one device. A code is `code_size` bytes, as the CPU's lists have it.
pub struct DeviceLists {
    code_size: usize,
    indices: IndicesOptions,
    arena: Arena,
    /// Entries of each list, on the device and here.
    device_lengths: DeviceBuffer<u32>,
    lengths: Vec<u32>,
    /// The ids, where the host keeps them.
    host_ids: Vec<Vec<i64>>,
    /// `largest[n]`: entries of the n + 1 longest lists together.
    largest: Vec<usize>,
    generation: u64,
    held: Held,
}

/// A number that was never given before: of a state of lists, or of what a family derived.
pub(crate) fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

struct Arena {
    codes: DeviceBuffer<u8>,
    ids: Ids,
    device_starts: DeviceBuffer<i64>,
    /// One more than there are lists: the last is the arena's end.
    starts: Vec<i64>,
}

/// The arena of ids, in the type that the index was configured with.
enum Ids {
    I64(DeviceBuffer<i64>),
    I32(DeviceBuffer<i32>),
    /// The host has them, or nobody.
    None,
}

/// What kernels need of the lists.
#[derive(Clone, Copy)]
pub struct ListsView {
    pub codes: Ptr<u8>,
    pub code_size: usize,
    pub nlist: usize,
    /// The first entry of each list.
    pub starts: Ptr<i64>,
    pub lengths: Ptr<u32>,
    /// Ids by entry: one of both is null, or both.
    pub ids: Ptr<i64>,
    pub narrow_ids: Ptr<i32>,
    /// Entries of all lists, and of the longest.
    pub count: usize,
    pub longest: usize,
    /// Entries of the arena, with room that no entry has.
    pub room: usize,
    /// Another number whenever entries or their places changed; that of no other lists. For what families derive from entries.
    pub generation: u64,
}

/// Lists begin at 16 bytes in every arena.
fn alignment(code_size: usize) -> usize {
    let codes = 16 >> code_size.trailing_zeros().min(4);
    codes.max(4) // an id of four bytes
}

impl Arena {
    fn new(
        context: &Context<'_>,
        space: MemorySpace,
        code_size: usize,
        ids: IndicesOptions,
        room: &[usize],
    ) -> Result<Arena> {
        let align = alignment(code_size);
        let mut starts = Vec::with_capacity(room.len() + 1);
        let mut end = 0;
        for entries in room {
            starts.push(end as i64);
            end += entries.next_multiple_of(align);
        }
        starts.push(end as i64);
        let device = context.device;
        let mut device_starts = DeviceBuffer::new(device, room.len(), space)?;
        context.upload_to(&starts[..room.len()], device_starts.ptr_mut())?;
        let mut ids = match ids {
            IndicesOptions::Int64Bit => Ids::I64(DeviceBuffer::new(device, end, space)?),
            IndicesOptions::Int32Bit => Ids::I32(DeviceBuffer::new(device, end, space)?),
            IndicesOptions::Cpu | IndicesOptions::Ivf => Ids::None,
        };
        let bytes = end.checked_mul(code_size);
        let bytes = bytes.ok_or(Error::OutOfMemory { device, bytes: usize::MAX, free: 0 })?;
        let mut codes = DeviceBuffer::<u8>::new(device, bytes, space)?;
        // What is copied sixteen bytes at a time, or a page at a time, reaches beyond the last entry of a list.
        rows::fill(context, PtrMut::new(codes.ptr_mut().raw().cast::<i64>()), 0, bytes / 8)?;
        match &mut ids {
            Ids::I64(ids) => rows::fill(context, ids.ptr_mut(), 0, end)?,
            Ids::I32(ids) => rows::fill(context, PtrMut::new(ids.ptr_mut().raw().cast::<i64>()), 0, end / 2)?,
            Ids::None => {}
        }
        Ok(Arena { codes, ids, device_starts, starts })
    }

    fn room(&self, list: usize) -> usize {
        (self.starts[list + 1] - self.starts[list]) as usize
    }

    fn bytes(&self) -> usize {
        let ids = match &self.ids {
            Ids::I64(ids) => 8 * ids.len(),
            Ids::I32(ids) => 4 * ids.len(),
            Ids::None => 0,
        };
        self.codes.len() + ids + 8 * self.device_starts.len()
    }
}

impl DeviceLists {
    /// Empty lists, which take no memory for entries yet.
    pub fn new(
        context: &Context<'_>,
        space: MemorySpace,
        nlist: usize,
        code_size: usize,
        indices: IndicesOptions,
    ) -> Result<DeviceLists> {
        let arena = Arena::new(context, space, code_size, indices, &vec![0; nlist])?;
        let device_lengths = DeviceBuffer::new(context.device, nlist, space)?;
        let host_ids = vec![Vec::new(); if indices == IndicesOptions::Cpu { nlist } else { 0 }];
        let mut lists = DeviceLists {
            code_size,
            indices,
            arena,
            device_lengths,
            lengths: Vec::new(),
            host_ids,
            largest: Vec::new(),
            generation: 0,
            held: Held::default(),
        };
        lists.set_lengths(context, vec![0; nlist])?;
        Ok(lists)
    }

    /// Tells from now on how many bytes these are.
    pub fn report_to(&mut self, held: Held) {
        held.set(self.bytes());
        self.held = held;
    }

    pub fn nlist(&self) -> usize {
        self.lengths.len()
    }

    pub fn code_size(&self) -> usize {
        self.code_size
    }

    /// Entries of each list.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Entries of all lists.
    pub fn count(&self) -> usize {
        self.largest.last().copied().unwrap_or(0)
    }

    /// No `n` lists have more entries together.
    pub fn largest(&self, n: usize) -> usize {
        match n.min(self.largest.len()) {
            0 => 0,
            n => self.largest[n - 1],
        }
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> usize {
        self.arena.bytes() + 4 * self.device_lengths.len()
    }

    pub fn view(&self) -> ListsView {
        let (ids, narrow_ids) = match &self.arena.ids {
            Ids::I64(ids) => (ids.ptr(), Ptr::null()),
            Ids::I32(ids) => (Ptr::null(), ids.ptr()),
            Ids::None => (Ptr::null(), Ptr::null()),
        };
        ListsView {
            codes: self.arena.codes.ptr(),
            code_size: self.code_size,
            nlist: self.nlist(),
            starts: self.arena.device_starts.ptr(),
            lengths: self.device_lengths.ptr(),
            ids,
            narrow_ids,
            count: self.count(),
            longest: self.largest(1),
            room: *self.arena.starts.last().unwrap_or(&0) as usize,
            generation: self.generation,
        }
    }

    /// Appends entry `i` to list `list_of[i]`, in order; negative numbers go nowhere. `codes` holds `ids.len()` of them. `expected` is how
    /// many entries all lists will have soon, as far as the caller knows. On an error nothing is appended. Waits for the stream.
    pub fn append(
        &mut self,
        context: &Context<'_>,
        list_of: Ptr<i32>,
        codes: Ptr<u8>,
        ids: &[i64],
        expected: usize,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let narrow = self.narrow(ids);
        let nlist = self.nlist();
        let grouped = group::group(context, list_of, ids.len(), nlist)?;
        let mut places = vec![0u32; nlist + 1];
        context.download(grouped.offsets.ptr(), &mut places)?;
        let added = |list: usize| places[list + 1] - places[list];
        let mut lengths = Vec::with_capacity(nlist);
        for (list, length) in self.lengths.iter().enumerate() {
            let sum = length.checked_add(added(list));
            lengths.push(sum.ok_or_else(|| Error::invalid(format!("list {list} gets more than 2^32 entries")))?);
        }
        if (0..nlist).any(|list| lengths[list] as usize > self.arena.room(list)) {
            self.grow(context, &lengths, expected)?;
        }
        let scatter = |source: Ptr<u8>, target: PtrMut<u8>, width: usize| {
            launchers::scatter_entries(
                context.stride(ids.len(), 8),
                list_of,
                grouped.order.ptr(),
                grouped.offsets.ptr(),
                nlist as u32,
                self.arena.device_starts.ptr(),
                self.device_lengths.ptr(),
                source,
                target,
                width as u32,
            )
        };
        scatter(codes, self.arena.codes.ptr_mut(), self.code_size)?;
        match &mut self.arena.ids {
            Ids::I64(target) => scatter(bytes(context.upload(ids)?.ptr()), bytes_mut(target.ptr_mut()), 8)?,
            Ids::I32(target) => scatter(bytes(context.upload(&narrow)?.ptr()), bytes_mut(target.ptr_mut()), 4)?,
            Ids::None => {}
        }
        let mut list_nos = vec![0i32; if self.indices == IndicesOptions::Cpu { ids.len() } else { 0 }];
        context.download(list_of, &mut list_nos)?;
        self.set_lengths(context, lengths)?;
        // Nothing can fail any more.
        if self.indices == IndicesOptions::Cpu {
            for (list, id) in list_nos.iter().zip(ids).filter(|(list, _)| **list >= 0) {
                if let Some(list) = self.host_ids.get_mut(*list as usize) {
                    list.push(*id);
                }
            }
        }
        Ok(())
    }

    /// The ids as 32-bit numbers, if those are what the lists keep: of larger ones the lower 32 bits, as in Faiss.
    fn narrow(&self, ids: &[i64]) -> Vec<i32> {
        let kept = if self.indices == IndicesOptions::Int32Bit { ids } else { &[] };
        kept.iter().map(|id| *id as i32).collect()
    }

    fn set_lengths(&mut self, context: &Context<'_>, lengths: Vec<u32>) -> Result<()> {
        self.generation = next_generation();
        context.upload_to(&lengths, self.device_lengths.ptr_mut())?;
        context.sync()?;
        let mut sorted: Vec<usize> = lengths.iter().map(|n| *n as usize).collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum = 0;
        self.largest = sorted
            .into_iter()
            .map(|n| {
                sum += n;
                sum
            })
            .collect();
        self.lengths = lengths;
        Ok(())
    }

    /// Moves everything to an arena with room for `lengths`, and as far as memory allows for what will follow.
    fn grow(&mut self, context: &Context<'_>, lengths: &[u32], expected: usize) -> Result<()> {
        let total: usize = lengths.iter().map(|n| *n as usize).sum();
        // Lists grow as they did so far, give or take two standard deviations; exactly so much if nothing more is known to come.
        let factor = (expected as f64 / total.max(1) as f64).max(if self.count() == 0 { 1.0 } else { 1.5 });
        let predicted = |n: f64| ((n + 2.0 * n.sqrt()) * factor) as usize;
        let room = |n: &u32| if factor > 1.0 { predicted(f64::from(*n)).max(*n as usize) } else { *n as usize };
        let wanted: Vec<usize> = lengths.iter().map(room).collect();
        match self.relocate(context, &wanted) {
            Err(Error::OutOfMemory { .. }) => {
                self.relocate(context, &lengths.iter().map(|n| *n as usize).collect::<Vec<_>>())
            }
            done => done,
        }
    }

    /// Moves everything to an arena with that much room for each list.
    fn relocate(&mut self, context: &Context<'_>, room: &[usize]) -> Result<()> {
        let space = self.arena.codes.space();
        let mut arena = Arena::new(context, space, self.code_size, self.indices, room)?;
        if self.count() > 0 {
            let nlist = self.nlist();
            // A block for each 64 KiB of the longest list, unless that makes blocks beyond number.
            let splits = (self.largest(1) * self.code_size.max(8)).div_ceil(1 << 16).min((1 << 20) / nlist).max(1);
            let (lengths, from, to) =
                (self.device_lengths.ptr(), self.arena.device_starts.ptr(), arena.device_starts.ptr());
            let shift = |source: Ptr<u8>, target: PtrMut<u8>, width: usize| {
                let launch = context.launch(nlist * splits);
                launchers::move_lists(launch, source, from, target, to, lengths, width as u32, splits as u32)
            };
            shift(self.arena.codes.ptr(), arena.codes.ptr_mut(), self.code_size)?;
            match (&self.arena.ids, &mut arena.ids) {
                (Ids::I64(source), Ids::I64(target)) => shift(bytes(source.ptr()), bytes_mut(target.ptr_mut()), 8)?,
                (Ids::I32(source), Ids::I32(target)) => shift(bytes(source.ptr()), bytes_mut(target.ptr_mut()), 4)?,
                _ => {}
            }
            context.sync()?;
        }
        self.arena = arena;
        self.generation = next_generation();
        self.held.set(self.bytes());
        Ok(())
    }

    /// Makes room for as many entries in all, spread as those that are there, or evenly.
    pub fn reserve(&mut self, context: &Context<'_>, entries: usize) -> Result<()> {
        let (count, nlist) = (self.count(), self.nlist().max(1));
        let share = |n: u32| match count {
            0 => entries.div_ceil(nlist),
            _ => (entries as f64 * f64::from(n) / count as f64).ceil() as usize,
        };
        let lists = self.lengths.iter().enumerate();
        let room: Vec<usize> = lists.map(|(list, n)| share(*n).max(self.arena.room(list))).collect();
        self.relocate(context, &room)
    }

    /// Gives back the room that no entry needs, and returns how many bytes that were.
    pub fn compact(&mut self, context: &Context<'_>) -> Result<usize> {
        let before = self.bytes();
        self.relocate(context, &self.lengths.iter().map(|n| *n as usize).collect::<Vec<_>>())?;
        Ok(before.saturating_sub(self.bytes()))
    }

    /// Forgets all entries and keeps the room.
    pub fn reset(&mut self, context: &Context<'_>) -> Result<()> {
        self.set_lengths(context, vec![0; self.nlist()])?;
        self.host_ids.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    /// An error where nobody keeps the ids.
    fn check_ids(&self) -> Result<()> {
        match self.indices {
            IndicesOptions::Ivf => Err(Error::invalid("the index was made with INDICES_IVF and keeps no ids")),
            _ => Ok(()),
        }
    }

    /// The ids of entries `first..first + count` of the arena.
    fn read_ids(&self, context: &Context<'_>, first: usize, count: usize) -> Result<Vec<i64>> {
        match &self.arena.ids {
            Ids::I64(ids) => {
                let mut out = vec![0; count];
                context.download(ids.ptr().at(first), &mut out)?;
                Ok(out)
            }
            Ids::I32(ids) => {
                let mut out = vec![0i32; count];
                context.download(ids.ptr().at(first), &mut out)?;
                Ok(out.into_iter().map(i64::from).collect())
            }
            Ids::None => Ok(Vec::new()),
        }
    }

    /// The codes of a list.
    pub fn list_codes(&self, context: &Context<'_>, list: usize) -> Result<Vec<u8>> {
        self.read_codes(context, list, 0..self.lengths[list] as usize)
    }

    /// The codes of some entries of a list.
    pub fn read_codes(&self, context: &Context<'_>, list: usize, entries: Range<usize>) -> Result<Vec<u8>> {
        if entries.end > self.lengths[list] as usize {
            return Err(Error::invalid(format!("list {list} has no entry {}", entries.end)));
        }
        let mut codes = vec![0; entries.len() * self.code_size];
        let first = (self.arena.starts[list] as usize + entries.start) * self.code_size;
        context.download(self.arena.codes.ptr().at(first), &mut codes)?;
        Ok(codes)
    }

    /// The ids of a list.
    pub fn list_ids(&self, context: &Context<'_>, list: usize) -> Result<Vec<i64>> {
        self.check_ids()?;
        match self.indices {
            IndicesOptions::Cpu => Ok(self.host_ids[list].clone()),
            _ => self.read_ids(context, self.arena.starts[list] as usize, self.lengths[list] as usize),
        }
    }

    /// The id of an entry, where the host keeps the ids.
    pub fn host_id(&self, list: usize, offset: usize) -> Option<i64> {
        self.host_ids.get(list)?.get(offset).copied()
    }

    /// Whether anybody keeps the ids.
    pub fn has_ids(&self) -> bool {
        self.indices != IndicesOptions::Ivf
    }

    /// What each list has of something that is given for the whole arena.
    pub fn entries<'a, T>(&'a self, all: &'a [T]) -> impl Iterator<Item = &'a [T]> {
        self.arena.starts.iter().zip(&self.lengths).map(|(start, n)| &all[*start as usize..][..*n as usize])
    }

    /// Whether the host keeps the ids.
    pub fn has_host_ids(&self) -> bool {
        self.indices == IndicesOptions::Cpu
    }

    /// The id of each entry of the arena; of what is no entry, any number.
    pub fn arena_ids(&self, context: &Context<'_>) -> Result<Vec<i64>> {
        self.check_ids()?;
        let room = *self.arena.starts.last().unwrap_or(&0) as usize;
        if !self.has_host_ids() {
            return self.read_ids(context, 0, room);
        }
        let mut ids = vec![-1; room];
        for (start, list) in self.arena.starts.iter().zip(&self.host_ids) {
            ids[*start as usize..][..list.len()].copy_from_slice(list);
        }
        Ok(ids)
    }

    /// A byte for each entry of the arena: 1 where `is_member` holds for its id, given by [`arena_ids`](Self::arena_ids).
    pub fn marks(&self, ids: &[i64], is_member: impl Fn(i64) -> bool) -> Vec<u8> {
        let mut marks = vec![0; ids.len()];
        for (start, length) in self.arena.starts.iter().zip(&self.lengths) {
            let list = *start as usize..*start as usize + *length as usize;
            marks[list.clone()].iter_mut().zip(&ids[list]).for_each(|(mark, id)| *mark = is_member(*id).into());
        }
        marks
    }

    /// The same lists on the CPU.
    pub fn download(&self, context: &Context<'_>) -> faiss_core::base::Result<ArrayInvertedLists> {
        self.check_ids()?;
        let (codes, ids) = (self.codes_on_host(context)?, self.ids_on_host(context)?);
        let mut lists = ArrayInvertedLists::new(self.nlist(), self.code_size)?;
        for (list, (codes, ids)) in codes.into_iter().zip(ids).enumerate() {
            lists.set_list(list, ListIds::Owned(ids), codes)?;
        }
        Ok(lists)
    }

    /// The codes of all lists, written where they will stay: new memory costs more than the copy, and less by several threads.
    fn codes_on_host(&self, context: &Context<'_>) -> faiss_core::base::Result<Vec<Codes>> {
        let mut lists: Vec<Codes> = Vec::new();
        lists.resize_with(self.nlist(), Codes::default);
        let bytes = |list: usize| self.lengths[list] as usize * self.code_size;
        for (list, codes) in lists.iter_mut().enumerate() {
            codes.try_reserve_exact(bytes(list))?;
        }
        let place = |list: usize| self.arena.starts[list] as usize * self.code_size;
        let pieces = lists.iter_mut().enumerate();
        let pieces = pieces.map(|(list, codes)| (place(list), &mut codes.room()[..bytes(list)]));
        context.download_pieces(self.arena.codes.ptr(), pieces)?;
        for (list, codes) in lists.iter_mut().enumerate() {
            // SAFETY: as many bytes of the room were written.
            unsafe { codes.take_from_room(bytes(list)) };
        }
        Ok(lists)
    }

    /// The ids of all lists, where anybody keeps them.
    fn ids_on_host(&self, context: &Context<'_>) -> faiss_core::base::Result<Vec<Vec<i64>>> {
        match &self.arena.ids {
            Ids::I64(ids) => self.numbers_on_host(context, ids.ptr()),
            Ids::I32(ids) => {
                let narrow = self.numbers_on_host(context, ids.ptr())?;
                Ok(narrow.into_iter().map(|list| list.into_iter().map(i64::from).collect()).collect())
            }
            Ids::None => Ok(self.host_ids.clone()),
        }
    }

    /// One number an entry, of all lists.
    fn numbers_on_host<T: Element>(
        &self,
        context: &Context<'_>,
        numbers: Ptr<T>,
    ) -> faiss_core::base::Result<Vec<Vec<T>>> {
        let mut lists: Vec<Vec<T>> = vec![Vec::new(); self.nlist()];
        for (list, length) in lists.iter_mut().zip(&self.lengths) {
            let reserved = list.try_reserve_exact(*length as usize);
            reserved.map_err(|e| faiss_core::base::Error::Memory(format!("{length} ids: {e}")))?;
        }
        let places = lists.iter_mut().zip(self.arena.starts.iter().zip(&self.lengths));
        let pieces = places.map(|(list, (start, n))| (*start as usize, &mut list.spare_capacity_mut()[..*n as usize]));
        context.download_pieces(numbers, pieces)?;
        for (list, length) in lists.iter_mut().zip(&self.lengths) {
            // SAFETY: as many numbers were written.
            unsafe { list.set_len(*length as usize) };
        }
        Ok(lists)
    }

    /// The CPU's lists on a device.
    pub fn upload(
        context: &Context<'_>,
        space: MemorySpace,
        lists: &dyn InvertedLists,
        indices: IndicesOptions,
    ) -> Result<DeviceLists> {
        let (nlist, code_size) = (lists.base().nlist, lists.base().code_size);
        let mut made = DeviceLists::new(context, space, nlist, code_size, indices)?;
        let sizes: Vec<usize> = (0..nlist).map(|list| lists.list_size(list)).collect();
        let lengths: Option<Vec<u32>> = sizes.iter().map(|n| u32::try_from(*n).ok()).collect();
        let lengths = lengths.ok_or_else(|| Error::invalid("a list has more than 2^32 entries"))?;
        made.arena = Arena::new(context, space, code_size, indices, &sizes)?;
        let starts = &made.arena.starts;
        let room = *starts.last().unwrap_or(&0) as usize;
        let codes = made.arena.codes.ptr_mut();
        context.upload_filled(room * code_size, codes, &|first, slot| {
            write_lists(starts, code_size, first, slot, |list| lists.codes(list));
        })?;
        match &mut made.arena.ids {
            Ids::I64(ids) => context.upload_filled(room, ids.ptr_mut(), &|first, slot| {
                write_lists(starts, 1, first, slot, |list| lists.ids(list));
            })?,
            Ids::I32(ids) => {
                for list in 0..nlist {
                    let ids = lists.ids(list);
                    ids.iter().find(|id| i32::try_from(**id).is_err()).map_or(Ok(()), |id| Err(too_wide(*id)))?;
                }
                context.upload_filled(room, ids.ptr_mut(), &|first, slot| {
                    write_lists(starts, 1, first, slot, |list| lists.ids(list).iter().map(|id| *id as i32).collect());
                })?;
            }
            Ids::None => {}
        }
        if indices == IndicesOptions::Cpu {
            made.host_ids = (0..nlist).map(|list| lists.ids(list).into_owned()).collect();
        }
        made.set_lengths(context, lengths)?;
        Ok(made)
    }
}

fn too_wide(id: i64) -> Error {
    Error::invalid(format!("id {id} needs more than the 32 bits of INDICES_32_BIT"))
}

/// Writes what an arena has from element `first` on, `width` elements an entry: the lists' own, and zeros behind each up to where the next begins.
fn write_lists<'a, T: Element>(
    starts: &[i64],
    width: usize,
    first: usize,
    slot: &mut [T],
    elements: impl Fn(usize) -> Cow<'a, [T]>,
) {
    let place = |list: usize| starts[list] as usize * width;
    // The last list that begins there or before.
    let mut list = starts.partition_point(|start| *start as usize * width <= first).saturating_sub(1);
    let (mut at, mut left) = (first, slot);
    while !left.is_empty() {
        let (own, rest) = left.split_at_mut((place(list + 1) - at).min(left.len()));
        let all = elements(list);
        let there = all.get(at - place(list)..).unwrap_or_default();
        let (full, gap) = own.split_at_mut(there.len().min(own.len()));
        full.copy_from_slice(&there[..full.len()]);
        gap.fill(T::default());
        (at, list, left) = (at + full.len() + gap.len(), list + 1, rest);
    }
}

fn bytes<T>(address: Ptr<T>) -> Ptr<u8> {
    Ptr::new(address.raw().cast())
}

fn bytes_mut<T>(address: PtrMut<T>) -> PtrMut<u8> {
    PtrMut::new(address.raw().cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_from_any_element_on() {
        // Lists of 2, 0, 3 and 0 entries of three bytes, with room for 4, 0, 4 and 4.
        let starts = [0, 4, 4, 8, 12];
        let lists: [Vec<u8>; 4] = [(1..7).collect(), vec![], (11..20).collect(), vec![]];
        let mut whole = [0u8; 36];
        whole[..6].copy_from_slice(&lists[0]);
        whole[12..21].copy_from_slice(&lists[2]);
        for first in 0..36 {
            for end in first..=36 {
                let mut slot = vec![99; end - first];
                write_lists(&starts, 3, first, &mut slot, |list| Cow::Borrowed(&lists[list][..]));
                assert_eq!(slot, whole[first..end], "{first}..{end}");
            }
        }
    }
}
