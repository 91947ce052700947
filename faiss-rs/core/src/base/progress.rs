//! Progress of long work, told to a callback. Costs one atomic load where none is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

/// One step of a long piece of work: `done` of `total` units of `what`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    pub what: &'a str,
    pub done: usize,
    pub total: usize,
}

pub type Callback = Arc<dyn Fn(Step<'_>) + Send + Sync>;

static INSTALLED: AtomicBool = AtomicBool::new(false);
static CALLBACK: RwLock<Option<Callback>> = RwLock::new(None);

/// Installs the callback, or removes it.
pub fn set_callback(callback: Option<Callback>) {
    INSTALLED.store(callback.is_some(), Ordering::Release);
    *CALLBACK.write() = callback;
}

/// Tells the callback, if there is one.
pub fn report(what: &str, done: usize, total: usize) {
    if !INSTALLED.load(Ordering::Acquire) {
        return;
    }
    let callback = CALLBACK.read().clone();
    if let Some(callback) = callback {
        callback(Step { what, done, total });
    }
}
