//! Lanes: what one call at a time needs of a device, so that calls run beside each other. A lane is a stream, a cuBLAS handle, temporary
//! memory and pinned memory; a device has as many as there are calls at once, up to a limit, and shares one [`Staging`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::blas::Blas;
use crate::error::{Result, check_interrupt};
use crate::memory::{Element, PinnedBuffer, Ptr, PtrMut, TempStack, copy_async, memory_info};
use crate::replay::{Places, Recordings};
use crate::staging::Staging;
use crate::stream::{OwnedEvent, OwnedStream};
use crate::sys::{CopyKind, Stream};

/// Calls on a device at once; others wait for one of them to end.
const MOST_LANES: usize = 32;
/// How long a call waits for a lane before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(20);

/// Temporary memory of a lane unless set otherwise: one part in 64 of the device's memory, within these bounds, and no more than a
/// quarter of what is free. All lanes together keep at most [`LANES_SHARE`] times as much between calls.
const DEFAULT_TEMP_MEMORY: std::ops::RangeInclusive<usize> = 256 << 20..=1536 << 20;
const LANES_SHARE: usize = 4;

/// Pinned memory of a lane, in two halves; less where the user allows less.
const LANE_PINNED: usize = 2 << 20;

/// What a user may set, and lanes follow from their next call on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneSettings {
    /// Bytes, if the user said so.
    pub temp_memory: Option<usize>,
    pub pinned_memory: usize,
}

/// What one call has for itself.
pub(crate) struct Lane {
    pub stream: OwnedStream,
    pub blas: Blas,
    pub temp: TempStack,
    pub pinned: Option<LanePinned>,
    /// Of this lane's memory: they go when it moves.
    pub recordings: Recordings,
    settings: LaneSettings,
}

impl Lane {
    fn new(device: i32, settings: LaneSettings, limit: usize) -> Result<Lane> {
        let bytes = LANE_PINNED.min(settings.pinned_memory / 8) / 128 * 128;
        Ok(Lane {
            stream: OwnedStream::new()?,
            blas: Blas::default(),
            temp: TempStack::new(device, limit)?,
            pinned: if bytes > 0 { Some(LanePinned::new(bytes)?) } else { None },
            recordings: Recordings::default(),
            settings,
        })
    }
}

/// Pinned memory in two halves, filled in turn while the other is copied.
pub(crate) struct LanePinned {
    buffer: PinnedBuffer,
    /// When the last copy from each half was done.
    copied: [OwnedEvent; 2],
    turn: std::cell::Cell<usize>,
}

impl LanePinned {
    fn new(bytes: usize) -> Result<LanePinned> {
        let copied = [OwnedEvent::new()?, OwnedEvent::new()?];
        Ok(LanePinned { buffer: PinnedBuffer::new(bytes)?, copied, turn: Default::default() })
    }

    /// Bytes of a half.
    fn half(&self) -> usize {
        self.buffer.len() / 2
    }

    fn address(&self, half: usize) -> *mut u8 {
        self.buffer.address().wrapping_add(half * self.half())
    }

    /// A half for so many bytes that go to the device, and one for those that come back; none where they do not fit.
    pub fn places(&self, to_device: usize, to_host: usize) -> Option<Places> {
        (to_device.max(to_host) <= self.half()).then(|| (self.address(0), self.address(1)))
    }

    /// Copies from the host, which may reuse `source` when this returns.
    pub fn upload<T: Element>(&self, source: &[T], target: PtrMut<T>, stream: Stream) -> Result<()> {
        let len = self.half() / size_of::<T>();
        for (i, chunk) in source.chunks(len).enumerate() {
            let half = self.turn.replace((self.turn.get() + 1) % 2);
            self.copied[half].wait()?;
            let place: *mut T = self.address(half).cast();
            // SAFETY: the half has room for `len` elements and starts where any may; one thread has the lane, and no copy reads the
            // half any more.
            unsafe { std::ptr::copy_nonoverlapping(chunk.as_ptr(), place, chunk.len()) };
            copy_async(target.at(i * len).raw(), place, chunk.len(), CopyKind::HostToDevice, stream)?;
            self.copied[half].record(stream)?;
        }
        Ok(())
    }

    /// Copies to the host and waits, by `sync`; false, with nothing done, where both do not fit.
    pub fn download<A: Element, B: Element>(
        &self,
        (first, to_first): (Ptr<A>, &mut [A]),
        (second, to_second): (Ptr<B>, &mut [B]),
        stream: Stream,
        sync: impl FnOnce() -> Result<()>,
    ) -> Result<bool> {
        if size_of_val(to_first).max(size_of_val(to_second)) > self.half() {
            return Ok(false);
        }
        let (a, b): (*mut A, *mut B) = (self.address(0).cast(), self.address(1).cast());
        // Uploads from the halves come before in the stream.
        copy_async(a, first.raw(), to_first.len(), CopyKind::DeviceToHost, stream)?;
        copy_async(b, second.raw(), to_second.len(), CopyKind::DeviceToHost, stream)?;
        sync()?;
        // SAFETY: the copies to both halves are done, and one thread has the lane.
        unsafe {
            std::ptr::copy_nonoverlapping(a, to_first.as_mut_ptr(), to_first.len());
            std::ptr::copy_nonoverlapping(b, to_second.as_mut_ptr(), to_second.len());
        }
        Ok(true)
    }
}

/// The lanes of a device.
pub(crate) struct Lanes {
    device: i32,
    default_temp: usize,
    pool: Mutex<Pool>,
    returned: Condvar,
    /// Large copies of host memory, one at a time; others go by the lanes' own pinned memory.
    staging: Mutex<Option<Arc<Staging>>>,
    temp_bytes: AtomicUsize,
    pinned_bytes: AtomicUsize,
    overflows: AtomicUsize,
}

#[derive(Default)]
struct Pool {
    /// Not in use; the last one given back is the next one taken.
    idle: Vec<Lane>,
    /// In use.
    taken: usize,
}

/// What [`Lanes::report`] says.
#[derive(Clone, Copy, Debug, Default)]
pub struct LanesReport {
    pub temp_bytes: usize,
    pub pinned_bytes: usize,
    /// How often temporary memory was taken from the device for one call.
    pub overflows: usize,
}

impl Lanes {
    /// Needs a current device.
    pub fn new(device: i32) -> Result<Lanes> {
        let (free, total) = memory_info(device)?;
        let default_temp = (total / 64).clamp(*DEFAULT_TEMP_MEMORY.start(), *DEFAULT_TEMP_MEMORY.end()).min(free / 4);
        Ok(Lanes {
            device,
            default_temp,
            pool: Mutex::default(),
            returned: Condvar::new(),
            staging: Mutex::default(),
            temp_bytes: AtomicUsize::new(0),
            pinned_bytes: AtomicUsize::new(0),
            overflows: AtomicUsize::new(0),
        })
    }

    /// Bytes of temporary memory that a call may plan for.
    pub fn temp_limit(&self, settings: &LaneSettings) -> usize {
        settings.temp_memory.unwrap_or(self.default_temp)
    }

    /// A lane of one's own. Waits while all are taken, and hears Ctrl-C meanwhile.
    pub fn take(&self, settings: LaneSettings) -> Result<TakenLane<'_>> {
        let mut pool = self.pool.lock();
        while pool.taken >= MOST_LANES {
            let waited = self.returned.wait_for(&mut pool, WAIT);
            if waited.timed_out() {
                MutexGuard::unlocked(&mut pool, check_interrupt)?;
            }
        }
        pool.taken += 1;
        let (former, calls) = (pool.idle.pop(), pool.taken);
        drop(pool);
        let mut taken = TakenLane { lanes: self, lane: None, calls };
        taken.lane = match former {
            Some(lane) if lane.settings == settings => Some(lane),
            former => {
                self.forget(former);
                let lane = Lane::new(self.device, settings, self.temp_limit(&settings))?;
                self.pinned_bytes.fetch_add(pinned_bytes(&lane), Ordering::Relaxed);
                Some(lane)
            }
        };
        Ok(taken)
    }

    /// What copies large pieces of host memory.
    pub fn staging(&self, settings: &LaneSettings) -> Result<Option<Arc<Staging>>> {
        // Less than this is no help, and would not hold an element of every type.
        let bytes = if settings.pinned_memory < 1 << 16 { 0 } else { settings.pinned_memory };
        let mut staging = self.staging.lock();
        if staging.as_ref().map_or(0, |s| s.bytes()) != bytes {
            *staging = if bytes > 0 { Some(Arc::new(Staging::new(bytes)?)) } else { None };
        }
        Ok(staging.clone())
    }

    /// A lane that is no more.
    fn forget(&self, lane: Option<Lane>) {
        if let Some(lane) = lane {
            self.temp_bytes.fetch_sub(lane.temp.size(), Ordering::Relaxed);
            self.pinned_bytes.fetch_sub(pinned_bytes(&lane), Ordering::Relaxed);
        }
    }

    pub fn report(&self) -> LanesReport {
        let staging = self.staging.lock().as_ref().map_or(0, |s| s.bytes());
        LanesReport {
            temp_bytes: self.temp_bytes.load(Ordering::Relaxed),
            pinned_bytes: self.pinned_bytes.load(Ordering::Relaxed) + staging,
            overflows: self.overflows.load(Ordering::Relaxed),
        }
    }
}

fn pinned_bytes(lane: &Lane) -> usize {
    lane.pinned.as_ref().map_or(0, |p| p.buffer.len())
}

/// A lane in use, given back when dropped. Its stream must be done by then.
pub(crate) struct TakenLane<'a> {
    lanes: &'a Lanes,
    lane: Option<Lane>,
    /// Calls on the device when this one began, itself included.
    pub calls: usize,
}

impl TakenLane<'_> {
    pub fn lane(&self) -> &Lane {
        self.lane.as_ref().expect("a lane is there until it is given back")
    }
}

impl Drop for TakenLane<'_> {
    fn drop(&mut self) {
        let (lanes, mut lane) = (self.lanes, self.lane.take());
        // Work that a panic left behind may still use the lane's memory: freeing that waits for it.
        if std::thread::panicking() {
            lanes.forget(lane.take());
        }
        if let Some(lane) = &lane {
            lane.temp.forget_spare();
            let before = lane.temp.size();
            let all = LANES_SHARE * lanes.temp_limit(&lane.settings);
            lane.temp.grow(all.saturating_sub(lanes.temp_bytes.load(Ordering::Relaxed)));
            if lane.temp.size() != before {
                lane.recordings.clear();
            }
            lanes.temp_bytes.fetch_add(lane.temp.size().wrapping_sub(before), Ordering::Relaxed);
            lanes.overflows.fetch_add(lane.temp.take_overflows(), Ordering::Relaxed);
        }
        let mut pool = lanes.pool.lock();
        pool.taken -= 1;
        pool.idle.extend(lane);
        drop(pool);
        lanes.returned.notify_one();
    }
}
