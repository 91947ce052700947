//! Small calls again: what a call gave its stream is recorded once, as a CUDA graph, and given to the stream again as one launch by the next call
//! of the same shape. A search of few queries is a dozen launches and copies, each of which takes the time of the host and the driver's lock.
//!
//! A recording holds addresses: of the index, which its key names, and of the lane's temporary and pinned memory, with which it goes.

use std::cell::RefCell;
use std::ffi::c_void;

use crate::error::{Result, note};
use crate::lanes::LanePinned;
use crate::launchers;
use crate::memory::{Ptr, PtrMut};
use crate::module;
use crate::resources::Context;
use crate::sys;

/// All that a recording depends on beside the lane: what is searched, as numbers and addresses, and how.
pub(crate) type Key = [u64; 16];

/// Shapes that a lane remembers.
const MOST: usize = 32;

/// What a lane remembers of the calls that it had.
#[derive(Default)]
pub(crate) struct Recordings(RefCell<Vec<(Key, State)>>);

enum State {
    /// One call was like this: modules are loaded, memory is there.
    Seen,
    Recorded(Recording),
    /// It waits, or takes memory of the device.
    Refused,
}

struct Recording {
    graph: *mut c_void,
    /// The kernels in it, for the counters.
    kernels: Vec<usize>,
}

// SAFETY: a graph belongs to no thread; the lane, which one thread has at a time, keeps it.
unsafe impl Send for Recording {}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Ok(cuda) = sys::cuda() {
            // SAFETY: the graph was instantiated by this module and is destroyed once; its last launch is done when a lane is given back.
            let status = unsafe { (cuda.runtime.graph_exec_destroy)(self.graph) };
            note(cuda.runtime.check("cudaGraphExecDestroy", status));
        }
    }
}

impl Recordings {
    /// Forgets all: the lane's memory has moved.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    fn is_recorded(&self, key: &Key) -> bool {
        self.0.borrow().iter().any(|(known, state)| known == key && matches!(state, State::Recorded(_)))
    }

    /// Whether a call like this is to be recorded; remembers it.
    fn is_seen(&self, key: &Key) -> bool {
        let mut known = self.0.borrow_mut();
        if let Some((_, state)) = known.iter().find(|(known, _)| known == key) {
            return matches!(state, State::Seen);
        }
        if known.len() == MOST {
            known.remove(0);
        }
        known.push((*key, State::Seen));
        false
    }

    fn set(&self, key: &Key, state: State) {
        let mut known = self.0.borrow_mut();
        if let Some(entry) = known.iter_mut().find(|(known, _)| known == key) {
            entry.1 = state;
        }
    }
}

/// A host address and one behind it, for what goes in and what comes out.
pub(crate) type Places = (*mut u8, *mut u8);

impl Context<'_> {
    /// A search of host vectors `x` by a recording of `work`, which gets their address on the device and where distances and ids go. False, with
    /// nothing done, where there is none: it is made at the second call with this key.
    pub(crate) fn replay(
        &self,
        key: &Key,
        x: &[f32],
        (distances, labels): (&mut [f32], &mut [i64]),
        work: impl FnOnce(Ptr<f32>, PtrMut<f32>, PtrMut<i64>) -> Result<()>,
    ) -> Result<bool> {
        let count = labels.len();
        let Some((recordings, places)) = self.recordings.zip(self.places(x.len(), count)) else { return Ok(false) };
        if !recordings.is_recorded(key) {
            if !recordings.is_seen(key) {
                return Ok(false);
            }
            match self.record(x.len(), count, places, work) {
                Ok(made) => recordings.set(key, State::Recorded(made)),
                // What it was tells the call without a recording, if it happens there again.
                Err(_) => {
                    recordings.set(key, State::Refused);
                    return Ok(false);
                }
            }
        }
        let (input, output) = places;
        let known = recordings.0.borrow();
        let Some(State::Recorded(recording)) = known.iter().find(|(known, _)| known == key).map(|(_, state)| state)
        else {
            return Ok(false);
        };
        // SAFETY: the lane's pinned memory has room for both (`places`), no copy uses it, and one thread has the lane.
        unsafe { std::ptr::copy_nonoverlapping(x.as_ptr(), input.cast(), x.len()) };
        // SAFETY: the graph and the stream live, and so does all that the graph's key names, which the caller holds.
        let status = unsafe { (self.cuda.runtime.graph_launch)(recording.graph, self.stream) };
        self.cuda.runtime.check("cudaGraphLaunch", status)?;
        self.sync()?;
        module::count(self.modules, &recording.kernels);
        // SAFETY: the copy to it is done; ids come first, so both are aligned.
        unsafe {
            std::ptr::copy_nonoverlapping(output.cast(), labels.as_mut_ptr(), count);
            std::ptr::copy_nonoverlapping(output.add(8 * count).cast(), distances.as_mut_ptr(), count);
        }
        Ok(true)
    }

    /// Pinned memory for so many numbers and results, where both fit.
    fn places(&self, numbers: usize, results: usize) -> Option<Places> {
        self.pinned.and_then(|pinned: &LanePinned| pinned.places(4 * numbers, 12 * results))
    }

    fn record(
        &self,
        numbers: usize,
        count: usize,
        (input, output): Places,
        work: impl FnOnce(Ptr<f32>, PtrMut<f32>, PtrMut<i64>) -> Result<()>,
    ) -> Result<Recording> {
        let runtime = &self.cuda.runtime;
        // SAFETY: the stream is the lane's own; 1 is cudaStreamCaptureModeThreadLocal, so that other threads are not concerned.
        runtime.check("cudaStreamBeginCapture", unsafe { (runtime.stream_begin_capture)(self.stream, 1) })?;
        let (made, kernels) = module::recorded(|| {
            self.temp.fixed(|| {
                // Pinned memory is the device's, too: a kernel begins some microseconds sooner after another than a copy does.
                let copy = |from: Ptr<f32>, to: PtrMut<f32>, numbers: usize| {
                    launchers::convert::<f32, f32>(self.stride(numbers, 256), from, to, numbers as i64)
                };
                let mut queries = self.take::<f32>(numbers)?;
                copy(Ptr::new(input.cast()), queries.ptr_mut(), numbers)?;
                let mut found = self.take::<f32>(3 * count)?;
                let at = found.ptr_mut();
                work(queries.ptr(), at.at(2 * count), PtrMut::new(at.raw().cast()))?;
                copy(found.ptr(), PtrMut::new(output.cast()), 3 * count)
            })
        });
        let mut plan = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the call; a capture that failed ends, too.
        let ended =
            runtime.check("cudaStreamEndCapture", unsafe { (runtime.stream_end_capture)(self.stream, &mut plan) });
        let mut graph = std::ptr::null_mut();
        let instantiated = made.and(ended).and_then(|()| {
            // SAFETY: the plan is there, as the capture ended well; no flag is set.
            let status = unsafe { (runtime.graph_instantiate)(&mut graph, plan, 0) };
            runtime.check("cudaGraphInstantiate", status)
        });
        if !plan.is_null() {
            // SAFETY: it came from the capture and is destroyed once.
            unsafe { (runtime.graph_destroy)(plan) };
        }
        instantiated.map(|()| Recording { graph, kernels })
    }
}
