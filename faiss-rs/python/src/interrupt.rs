//! Ctrl-C and time limits: long loops of the library ask now and then whether to stop; the answer is Python's.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faiss_core::base::{Error, interrupt};
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

thread_local! {
    /// What stopped the work of this thread, kept until the call returns. The library asks on the thread that called it.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

static DEADLINE: Mutex<Option<Instant>> = Mutex::new(None);

/// Makes the library ask.
pub fn install() {
    interrupt::set_callback(Some(Arc::new(stop)));
}

/// True where the work is to stop: time is up, or one of Python's signal handlers raised. Python runs them on its main thread only.
fn stop() -> bool {
    if timed_out() {
        stop_with(PyRuntimeError::new_err("computation interrupted"));
        return true;
    }
    match Python::attach(|py| py.check_signals()) {
        Ok(()) => false,
        Err(error) => {
            stop_with(error);
            true
        }
    }
}

/// Whether the time limit is over, which is said once: the limit is then gone.
#[pyfunction]
pub fn timed_out() -> bool {
    let mut deadline = DEADLINE.lock();
    let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
    if over {
        *deadline = None;
    }
    over
}

/// Stops the work of this thread with an exception: the error is to be returned to where the work began.
pub fn stop_with(error: PyErr) -> Error {
    RAISED.with(|raised| *raised.borrow_mut() = Some(error));
    Error::Interrupted
}

/// The exception that stopped the work of this thread, once.
pub fn raised() -> Option<PyErr> {
    RAISED.with(|raised| raised.borrow_mut().take())
}

/// Work that goes on for longer than this is stopped; None for no limit.
#[pyfunction]
#[pyo3(signature = (seconds))]
pub fn set_timeout(seconds: Option<f64>) -> PyResult<()> {
    let limit = seconds.map(Duration::try_from_secs_f64).transpose();
    let limit = limit.map_err(|_| PyValueError::new_err("the number of seconds must be positive"))?;
    *DEADLINE.lock() = limit.and_then(|limit| Instant::now().checked_add(limit));
    Ok(())
}
