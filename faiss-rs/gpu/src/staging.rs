//! Host memory to the device, and back, at the bus's speed. The driver copies pageable memory by one thread; here several threads fill
//! pinned slots while those filled before are copied by a stream of their own, beside the kernels.

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
        ring.used[0].record(context.stream)?;
        ring.used[0].hold(ring.stream.raw())?;
        let workers = threads::available().min(MAX_THREADS);
        let mut shares: Vec<Vec<(usize, &mut [T])>> = (0..workers).map(|_| Vec::new()).collect();
        for (i, piece) in target.chunks_mut(slot_len).enumerate() {
            shares[i % workers].push((i * slot_len, piece));
        }
        let (ring, device) = (&*ring, context.device);
        let receive = |worker: usize, pieces: Vec<(usize, &mut [T])>| -> Result<()> {
            let _current = DeviceGuard::new(device)?;
            let stream = ring.stream.raw();
            // One piece comes while the one before is copied on.
            let mut before: Option<(usize, &mut [T])> = None;
            let finish = |(slot, piece): (usize, &mut [T])| -> Result<()> {
                self.copied[slot].wait()?;
                // SAFETY: the slot is this thread's alone, and its copy, of as many elements, is done.
                piece.copy_from_slice(unsafe { std::slice::from_raw_parts(self.slot::<T>(slot), piece.len()) });
                Ok(())
            };
            for (turn, (first, piece)) in pieces.into_iter().enumerate() {
                let slot = 2 * worker + turn % 2;
                self.copied[slot].wait()?;
                copy_async(self.slot(slot), source.at(first).raw(), piece.len(), CopyKind::DeviceToHost, stream)?;
                self.copied[slot].record(stream)?;
                if let Some(before) = before.replace((slot, piece)) {
                    finish(before)?;
                }
            }
            before.map_or(Ok(()), finish)
        };
        let receive = &receive;
        std::thread::scope(|scope| {
            let started: Vec<_> =
                shares.into_iter().enumerate().map(|(w, pieces)| scope.spawn(move || receive(w, pieces))).collect();
            let failed = || Error::invalid("a thread that copies results failed");
            started.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(failed())))
        })?;
        Ok(true)
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
        let fill = chosen_rows(x, d, chosen)?;
        let total = chosen.len() * d;
        if let Some((staging, ring)) = self.staging.and_then(|s| Some((s, s.ring.try_lock()?)))
            && total > 0
        {
            return staging.stream(self, &ring, total, total, [target; 2], &fill, |_, _, _| Ok(()));
        }
        let mut host = vec![0f32; total];
        fill(0, &mut host);
        self.upload_to(&host, target)
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
