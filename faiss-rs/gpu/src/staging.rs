//! Host memory to the device, and back, at the bus's speed. The driver copies pageable memory by one thread; here several threads fill
//! pinned slots while those filled before are copied by a stream of their own, beside the kernels.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use faiss_core::base::threads;

use crate::device::DeviceGuard;
use crate::error::{Error, Result, check_interrupt};
use crate::memory::{Element, PinnedBuffer, Ptr, PtrMut, copy_async};
use crate::resources::Context;
use crate::stream::{OwnedEvent, OwnedStream};
use crate::sys::{CopyKind, Stream};

/// Equal parts of the pinned memory, in pairs for the threads.
const SLOTS: usize = 16;
const MAX_THREADS: usize = SLOTS / 2;
/// From this many slots on, several threads are worth their start.
const THREADS_FROM_SLOTS: usize = 3;
/// Bytes that are copied between two looks at whether to stop.
const ROUND_BYTES: usize = 1 << 30;
/// Bytes that go to or from the host at a time where there is no pinned memory, or another call has it.
const PAGE_BYTES: usize = 32 << 20;

pub(crate) struct Staging {
    buffer: PinnedBuffer,
    /// When the last copy from each slot was done.
    copied: Vec<OwnedEvent>,
    ring: Mutex<Ring>,
}

/// What one streamed upload at a time uses.
struct Ring {
    stream: OwnedStream,
    /// When the work on each half of the device's buffer was done, and when the copies to it were.
    used: [OwnedEvent; 2],
    filled: [OwnedEvent; 2],
}

impl Staging {
    /// Needs a current device.
    pub fn new(bytes: usize) -> Result<Staging> {
        let copied = (0..SLOTS).map(|_| OwnedEvent::new()).collect::<Result<_>>()?;
        let (used, filled) = ([OwnedEvent::new()?, OwnedEvent::new()?], [OwnedEvent::new()?, OwnedEvent::new()?]);
        let ring = Mutex::new(Ring { stream: OwnedStream::new()?, used, filled });
        Ok(Staging { buffer: PinnedBuffer::new(bytes)?, copied, ring })
    }

    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Elements of a slot; a slot starts where any element may.
    fn slot_len<T>(&self) -> usize {
        self.buffer.len() / SLOTS / 64 * 64 / size_of::<T>()
    }

    /// Fills a slot once its last copy is done, and copies it to `target`.
    fn send<T: Element>(
        &self,
        slot: usize,
        len: usize,
        target: PtrMut<T>,
        stream: Stream,
        fill: impl FnOnce(&mut [T]) -> Result<()>,
    ) -> Result<()> {
        self.copied[slot].wait()?;
        // SAFETY: the slot lies in the buffer and is used by one thread at a time, which this is; no copy reads it any more.
        let staged = unsafe { std::slice::from_raw_parts_mut(self.slot::<T>(slot), len) };
        fill(staged)?;
        copy_async(target.raw(), staged.as_ptr(), len, CopyKind::HostToDevice, stream)?;
        self.copied[slot].record(stream)
    }

    /// Copies from the host by several threads; the host may reuse `source` when this returns. False, with nothing done, where that
    /// does not pay, or another call does it.
    pub fn upload<T: Element>(&self, context: &Context<'_>, source: &[T], target: PtrMut<T>) -> Result<bool> {
        let slot_len = self.slot_len::<T>();
        if source.len() > THREADS_FROM_SLOTS * slot_len
            && threads::available() > 1
            && let Some(ring) = self.ring.try_lock()
        {
            let fill = |first: usize, slot: &mut [T]| slot.copy_from_slice(&source[first..first + slot.len()]);
            self.stream(context, &ring, source.len(), source.len(), [target; 2], &fill, |_, _, _| Ok(()))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Copies to the host by several threads, and waits; false, with nothing done, where that does not pay.
    pub fn download<T: Element>(&self, context: &Context<'_>, source: Ptr<T>, target: &mut [T]) -> Result<bool> {
        let slot_len = self.slot_len::<T>();
        if target.len() <= THREADS_FROM_SLOTS * slot_len || threads::available() <= 1 {
            return Ok(false);
        }
        let Some(ring) = self.ring.try_lock() else { return Ok(false) };
        // SAFETY: both are as large and lie alike, and what is written is whole elements.
        let target = unsafe { std::slice::from_raw_parts_mut(target.as_mut_ptr().cast(), target.len()) };
        self.receive(context, &ring, source, gathered(std::iter::once((0, target)), slot_len))?;
        Ok(true)
    }

    /// Does copies to the host, each of at most a slot, by several threads, and waits.
    fn receive<T: Element>(
        &self,
        context: &Context<'_>,
        ring: &Ring,
        source: Ptr<T>,
        copies: Vec<Copied<'_, T>>,
    ) -> Result<()> {
        ring.used[0].record(context.stream)?;
        ring.used[0].hold(ring.stream.raw())?;
        let workers = threads::available().min(MAX_THREADS).min(copies.len());
        let (device, left) = (context.device, Mutex::new(copies.into_iter()));
        let receive = |worker: usize| -> Result<()> {
            let _current = DeviceGuard::new(device)?;
            let stream = ring.stream.raw();
            let finish = |(slot, copy): (usize, Copied<'_, T>)| -> Result<()> {
                self.copied[slot].wait()?;
                // SAFETY: the slot is this thread's alone, and its copy, of as many elements, is done.
                let all = unsafe { std::slice::from_raw_parts(self.slot::<T>(slot), copy.len) };
                copy.put(all);
                Ok(())
            };
            // One comes while the one before is copied on.
            let mut before: Option<(usize, Copied<'_, T>)> = None;
            for turn in 0.. {
                let next = left.lock().next();
                let Some(copy) = next else { break };
                let slot = 2 * worker + turn % 2;
                self.copied[slot].wait()?;
                copy_async(self.slot(slot), source.at(copy.first).raw(), copy.len, CopyKind::DeviceToHost, stream)?;
                self.copied[slot].record(stream)?;
                if let Some(before) = before.replace((slot, copy)) {
                    finish(before)?;
                }
            }
            before.map_or(Ok(()), finish)
        };
        let receive = &receive;
        std::thread::scope(|scope| {
            let started: Vec<_> = (0..workers).map(|worker| scope.spawn(move || receive(worker))).collect();
            let failed = || Error::invalid("a thread that copies results failed");
            started.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(failed())))
        })
    }

    /// Where a slot begins.
    fn slot<T>(&self, slot: usize) -> *mut T {
        self.buffer.address().wrapping_add(slot * (self.buffer.len() / SLOTS / 64 * 64)).cast()
    }

    /// Uploads `total` elements in batches of `batch`, alternately to both targets, and calls `work` with each, its first
    /// element and its length; the next batch is uploaded meanwhile. `fill` writes elements from a given one on.
    #[allow(clippy::too_many_arguments)]
    fn stream<T: Element>(
        &self,
        context: &Context<'_>,
        ring: &Ring,
        total: usize,
        batch: usize,
        targets: [PtrMut<T>; 2],
        fill: &(dyn Fn(usize, &mut [T]) + Sync),
        mut work: impl FnMut(Ptr<T>, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let slot_len = self.slot_len::<T>();
        let batches = total.div_ceil(batch);
        let pieces_a_batch = batch.div_ceil(slot_len);
        let device = context.device;
        let workers = threads::available().clamp(1, MAX_THREADS).min(batches * pieces_a_batch);
        let next = AtomicUsize::new(0);
        let shared = Mutex::new(Progress { allowed: 2, issued: vec![0; batches], error: None, stop: false });
        let changed = Condvar::new();
        let length = |b: usize| batch.min(total - b * batch);
        let upload = |worker: usize| -> Result<()> {
            let _current = DeviceGuard::new(device)?;
            for turn in 0.. {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                let (b, first) = (piece / pieces_a_batch, piece % pieces_a_batch * slot_len);
                if b >= batches {
                    break;
                }
                // The last batch may have fewer pieces.
                let len = slot_len.min(length(b).saturating_sub(first));
                let stream = ring.stream.raw();
                if len > 0 {
                    self.send(2 * worker + turn % 2, len, targets[b % 2].at(first), stream, |slot| {
                        fill(b * batch + first, slot);
                        let mut state = shared.lock();
                        while state.allowed <= b && !state.stop {
                            changed.wait(&mut state);
                        }
                        if state.stop { Err(Error::Interrupted) } else { Ok(()) }
                    })?;
                }
                let mut state = shared.lock();
                state.issued[b] += 1;
                if state.issued[b] == pieces_a_batch {
                    ring.filled[b % 2].record(stream)?;
                    changed.notify_all();
                }
            }
            Ok(())
        };
        let await_batch = |b: usize| -> Result<()> {
            let mut state = shared.lock();
            while state.issued[b] < pieces_a_batch && state.error.is_none() {
                changed.wait(&mut state);
            }
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            drop(state);
            ring.filled[b % 2].hold(context.stream)
        };
        // Former users of the targets' memory are before this in the call's stream.
        ring.used[0].record(context.stream)?;
        ring.used[0].hold(ring.stream.raw())?;
        let result = std::thread::scope(|scope| {
            for worker in 0..workers {
                let (upload, shared, changed) = (&upload, &shared, &changed);
                scope.spawn(move || {
                    if let Err(error) = upload(worker) {
                        let mut state = shared.lock();
                        state.error.get_or_insert(error);
                        changed.notify_all();
                    }
                });
            }
            let mut run = || -> Result<()> {
                for b in 0..batches {
                    check_interrupt()?;
                    await_batch(b)?;
                    work(targets[b % 2].read(), b * batch, length(b))?;
                    if b + 2 < batches {
                        ring.used[b % 2].record(context.stream)?;
                        ring.used[b % 2].hold(ring.stream.raw())?;
                        shared.lock().allowed = b + 3;
                        changed.notify_all();
                    }
                }
                Ok(())
            };
            // Also where `work` panics: the threads would wait for ever.
            let stop = Stop(&shared, &changed);
            let result = run();
            drop(stop);
            result
        });
        if result.is_err() {
            // Copies that nobody waits for must not write to memory that others get.
            ring.filled[0].record(ring.stream.raw())?;
            ring.filled[0].wait()?;
        }
        result
    }
}

/// A copy of elements of the device that follow each other, and where on the host each part of them goes.
struct Copied<'a, T> {
    first: usize,
    len: usize,
    /// Where a part begins, counted from `first`, and its place. Between parts are elements that nobody wants.
    parts: Vec<(usize, &'a mut [MaybeUninit<T>])>,
}

impl<T: Element> Copied<'_, T> {
    fn put(self, all: &[T]) {
        for (at, place) in self.parts {
            place.write_copy_of_slice(&all[at..at + place.len()]);
        }
    }
}

/// Elements that nobody wants, in bytes, up to which one copy is better than two.
const GAP_BYTES: usize = 16 << 10;

/// Pieces, given in ascending order by their first elements, as copies of at most `most` elements.
fn gathered<'a, T: Element>(
    pieces: impl Iterator<Item = (usize, &'a mut [MaybeUninit<T>])>,
    most: usize,
) -> Vec<Copied<'a, T>> {
    let mut copies: Vec<Copied<'a, T>> = Vec::new();
    for (mut first, mut place) in pieces {
        while !place.is_empty() {
            let joins = copies.last().is_some_and(|last| {
                (first - last.first - last.len) * size_of::<T>() <= GAP_BYTES && first - last.first < most
            });
            if !joins {
                copies.push(Copied { first, len: 0, parts: Vec::new() });
            }
            let Some(copy) = copies.last_mut() else { break };
            let at = first - copy.first;
            let (part, rest) = place.split_at_mut(place.len().min(most - at));
            copy.len = at + part.len();
            first += part.len();
            copy.parts.push((at, part));
            place = rest;
        }
    }
    copies
}

/// Lets the threads of an upload end when it is dropped.
struct Stop<'a>(&'a Mutex<Progress>, &'a Condvar);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.lock().stop = true;
        self.1.notify_all();
    }
}

struct Progress {
    /// Batches whose place on the device is free, or will be in stream order.
    allowed: usize,
    /// Pieces of each batch that the copying stream has.
    issued: Vec<usize>,
    error: Option<Error>,
    stop: bool,
}

impl Context<'_> {
    /// Calls `work` with batches of the rows on the device: address, number of the first row, number of rows. While the
    /// device works on one batch the next is uploaded, if `work` only launches. A batch's memory is free again in stream
    /// order when `work` returns.
    pub fn stream_rows(
        &self,
        x: &[f32],
        d: usize,
        rows_a_batch: usize,
        work: impl FnMut(Ptr<f32>, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let fill = |first: usize, slot: &mut [f32]| slot.copy_from_slice(&x[first..first + slot.len()]);
        self.stream_filled(x.len() / d.max(1), d, rows_a_batch, &fill, work)
    }

    /// [`stream_rows`](Self::stream_rows) of the rows that `chosen` names, in its order.
    pub fn stream_chosen_rows(
        &self,
        x: &[f32],
        d: usize,
        chosen: &[i32],
        rows_a_batch: usize,
        work: impl FnMut(Ptr<f32>, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let fill = chosen_rows(x, d, chosen)?;
        self.stream_filled(chosen.len(), d, rows_a_batch, &fill, work)
    }

    /// Copies the rows that `chosen` names, in its order, from the host, which may reuse `x` when this returns.
    pub fn upload_chosen_rows(&self, x: &[f32], d: usize, chosen: &[i32], target: PtrMut<f32>) -> Result<()> {
        self.upload_filled(chosen.len() * d, target, &chosen_rows(x, d, chosen)?)
    }

    /// Copies `total` elements from the host, which `fill` writes from a given one on.
    pub fn upload_filled<T: Element>(
        &self,
        total: usize,
        target: PtrMut<T>,
        fill: &(dyn Fn(usize, &mut [T]) + Sync),
    ) -> Result<()> {
        let most = ROUND_BYTES / size_of::<T>();
        let large = self.staging.filter(|s| total > THREADS_FROM_SLOTS * s.slot_len::<T>());
        let ring = large.and_then(|s| Some((s, s.ring.try_lock()?)));
        let mut page = vec![T::default(); if ring.is_some() { 0 } else { total.min(PAGE_BYTES / size_of::<T>()) }];
        let step = if ring.is_some() { most } else { page.len().max(1) };
        for first in (0..total).step_by(step) {
            check_interrupt()?;
            let (count, target) = (step.min(total - first), target.at(first));
            match &ring {
                Some((staging, ring)) => {
                    let fill = |at: usize, slot: &mut [T]| fill(first + at, slot);
                    staging.stream(self, ring, count, count, [target; 2], &fill, |_, _, _| Ok(()))?;
                }
                None => {
                    fill(first, &mut page[..count]);
                    self.upload_to(&page[..count], target)?;
                }
            }
        }
        Ok(())
    }

    /// Copies pieces of an array of the device, which are given in ascending order by their first elements, each to its place on the host, and
    /// waits. Places are written in full, unless this is an error.
    pub fn download_pieces<'a, T: Element>(
        &self,
        source: Ptr<T>,
        pieces: impl Iterator<Item = (usize, &'a mut [MaybeUninit<T>])>,
    ) -> Result<()> {
        let ring = self.staging.and_then(|s| Some((s, s.ring.try_lock()?)));
        let most = ring.as_ref().map_or(PAGE_BYTES / size_of::<T>(), |(staging, _)| staging.slot_len::<T>());
        let mut left = gathered(pieces, most).into_iter();
        let mut page = vec![T::default(); if ring.is_some() { 0 } else { most }];
        while left.len() > 0 {
            check_interrupt()?;
            let round: Vec<_> = left.by_ref().take((ROUND_BYTES / size_of::<T>()).div_ceil(most)).collect();
            match &ring {
                Some((staging, ring)) => staging.receive(self, ring, source, round)?,
                None => {
                    for copy in round {
                        let own = &mut page[..copy.len];
                        self.download(source.at(copy.first), own)?;
                        copy.put(own);
                    }
                }
            }
        }
        Ok(())
    }

    fn stream_filled(
        &self,
        rows: usize,
        d: usize,
        rows_a_batch: usize,
        fill: &(dyn Fn(usize, &mut [f32]) + Sync),
        mut work: impl FnMut(Ptr<f32>, usize, usize) -> Result<()>,
    ) -> Result<()> {
        if rows == 0 || d == 0 {
            return Ok(());
        }
        let batch = rows_a_batch.clamp(1, rows);
        let mut there = self.take::<f32>(batch * d)?;
        let mut other = self.take::<f32>(if batch < rows { batch * d } else { 0 })?;
        let targets = [there.ptr_mut(), other.ptr_mut()];
        let ring = self.staging.and_then(|s| Some((s, s.ring.try_lock()?)));
        if let Some((staging, ring)) = ring {
            let work = |rows: Ptr<f32>, first: usize, len: usize| work(rows, first / d, len / d);
            return staging.stream(self, &ring, rows * d, batch * d, targets, fill, work);
        }
        // No pinned memory, or it is in use by the batch that this one is a part of.
        let mut host = vec![0f32; batch * d];
        for first in (0..rows).step_by(batch) {
            check_interrupt()?;
            let count = batch.min(rows - first);
            fill(first * d, &mut host[..count * d]);
            copy_async(there.ptr_mut().raw(), host.as_ptr(), count * d, CopyKind::HostToDevice, self.stream)?;
            self.sync()?;
            work(there.ptr(), first, count)?;
        }
        Ok(())
    }
}

/// A function that writes the numbers of the chosen rows, one row after the other, from a given one on.
fn chosen_rows<'a>(x: &'a [f32], d: usize, chosen: &'a [i32]) -> Result<impl Fn(usize, &mut [f32]) + Sync + 'a> {
    let rows = x.len() / d.max(1);
    if let Some(row) = chosen.iter().find(|r| usize::try_from(**r).map_or(true, |r| r >= rows)) {
        return Err(Error::invalid(format!("row {row} of {rows} does not exist")));
    }
    Ok(move |first: usize, slot: &mut [f32]| {
        let (mut at, mut left) = (first, slot);
        while !left.is_empty() {
            let (row, column) = (chosen[at / d] as usize, at % d);
            let (now, rest) = left.split_at_mut((d - column).min(left.len()));
            now.copy_from_slice(&x[row * d + column..row * d + column + now.len()]);
            at += now.len();
            left = rest;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_gathered_into_copies_and_come_to_their_places() {
        let source: Vec<u8> = (0..60_000u32).map(|i| (i % 251) as u8).collect();
        // Empty pieces, some that touch, gaps that are copied along and one that is not.
        let pieces = [(0, 10), (10, 0), (10, 5), (16, 40), (57, 3), (30_000, 100), (30_101, 1), (59_999, 1)];
        for most in [1, 7, 64, 1 << 20] {
            let mut places: Vec<Vec<MaybeUninit<u8>>> =
                pieces.iter().map(|(_, len)| vec![MaybeUninit::new(0); *len]).collect();
            let given = pieces.iter().zip(&mut places).map(|((first, _), place)| (*first, &mut place[..]));
            let copies = gathered(given, most);
            assert!(copies.iter().all(|copy| (1..=most).contains(&copy.len)));
            assert!(most < 1 << 20 || copies.len() == 3);
            copies.into_iter().for_each(|copy| {
                let all = &source[copy.first..copy.first + copy.len];
                copy.put(all);
            });
            for ((first, len), place) in pieces.iter().zip(places) {
                // SAFETY: every byte was set above.
                let place: Vec<u8> = place.into_iter().map(|byte| unsafe { byte.assume_init() }).collect();
                assert_eq!(place, source[*first..first + len]);
            }
        }
    }
}
