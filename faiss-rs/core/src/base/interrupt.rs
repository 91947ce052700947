//! Ctrl-C: long loops poll a callback, and end with [`Error::Interrupted`] when it says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::RwLock;

use super::error::{Error, Result};

/// Returns true when the work at hand is to stop.
pub type Callback = Arc<dyn Fn() -> bool + Send + Sync>;

/// The callback is called at most this often: it may have to wait for an interpreter's lock.
const INTERVAL_NANOS: u64 = 5_000_000;

static INSTALLED: AtomicBool = AtomicBool::new(false);
static CALLBACK: RwLock<Option<Callback>> = RwLock::new(None);
static LAST: AtomicU64 = AtomicU64::new(0);
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Installs the callback, or removes it.
pub fn set_callback(callback: Option<Callback>) {
    INSTALLED.store(callback.is_some(), Ordering::Release);
    *CALLBACK.write() = callback;
}

/// An error once the callback asks to stop. Cheap enough to be called every few microseconds. Only the thread that called the library asks
/// the callback; the threads that help it learn of its end.
pub fn check() -> Result<()> {
    if let Some(stopped) = super::threads::is_stopped() {
        return if stopped { Err(Error::Interrupted) } else { Ok(()) };
    }
    if !INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    let now = START.elapsed().as_nanos() as u64;
    let last = LAST.load(Ordering::Relaxed);
    if now.wrapping_sub(last) < INTERVAL_NANOS
        || LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
    {
        return Ok(());
    }
    let callback = CALLBACK.read().clone();
    match callback {
        Some(stop) if stop() => Err(Error::Interrupted),
        _ => Ok(()),
    }
}
