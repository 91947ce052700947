//! Streams and events of the current device, owned.

use crate::error::{Result, note};
use crate::sys::{self, Event, Stream};

/// A stream that waits for no other, not even the legacy one.
pub(crate) struct OwnedStream(Stream);
// SAFETY: a stream may be used from any thread.
unsafe impl Send for OwnedStream {}
// SAFETY: as above, by several at once.
unsafe impl Sync for OwnedStream {}

impl OwnedStream {
    pub fn new() -> Result<OwnedStream> {
        let runtime = &sys::cuda()?.runtime;
        let mut stream = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the call; 1 is cudaStreamNonBlocking.
        runtime.check("cudaStreamCreate", unsafe { (runtime.stream_create)(&mut stream, 1) })?;
        Ok(OwnedStream(stream))
    }

    pub fn raw(&self) -> Stream {
        self.0
    }
}

impl Drop for OwnedStream {
    fn drop(&mut self) {
        if let Ok(cuda) = sys::cuda() {
            // SAFETY: the stream was made by this crate and is destroyed once.
            let status = unsafe { (cuda.runtime.stream_destroy)(self.0) };
            note(cuda.runtime.check("cudaStreamDestroy", status));
        }
    }
}

/// A moment in a stream, without its time. One that was never recorded counts as past.
pub(crate) struct OwnedEvent(Event);
// SAFETY: an event may be used from any thread.
unsafe impl Send for OwnedEvent {}
// SAFETY: as above, by several at once.
unsafe impl Sync for OwnedEvent {}

impl OwnedEvent {
    pub fn new() -> Result<OwnedEvent> {
        let runtime = &sys::cuda()?.runtime;
        let mut event = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the call; 2 is cudaEventDisableTiming.
        runtime.check("cudaEventCreate", unsafe { (runtime.event_create)(&mut event, 2) })?;
        Ok(OwnedEvent(event))
    }

    /// What `stream` was given until now.
    pub fn record(&self, stream: Stream) -> Result<()> {
        let runtime = &sys::cuda()?.runtime;
        // SAFETY: the event lives, and so does the caller's stream.
        runtime.check("cudaEventRecord", unsafe { (runtime.event_record)(self.0, stream) })
    }

    /// Makes the host wait for it.
    pub fn wait(&self) -> Result<()> {
        let runtime = &sys::cuda()?.runtime;
        // SAFETY: the event lives.
        runtime.check("cudaEventSynchronize", unsafe { (runtime.event_synchronize)(self.0) })
    }

    /// Makes what `stream` is given from now on wait for it.
    pub fn hold(&self, stream: Stream) -> Result<()> {
        let runtime = &sys::cuda()?.runtime;
        // SAFETY: the event lives, and so does the caller's stream; no flag is set.
        runtime.check("cudaStreamWaitEvent", unsafe { (runtime.stream_wait_event)(stream, self.0, 0) })
    }
}

impl Drop for OwnedEvent {
    fn drop(&mut self) {
        if let Ok(cuda) = sys::cuda() {
            // SAFETY: the event was made by this crate and is destroyed once.
            let status = unsafe { (cuda.runtime.event_destroy)(self.0) };
            note(cuda.runtime.check("cudaEventDestroy", status));
        }
    }
}
