//! The one doorway from Python into the library: it lets other Python threads run, and turns errors and panics into exceptions.
//!
//! Locks of objects are taken inside, never while the GIL is held: a thread that waits for an object while holding the GIL would block the
//! thread that holds the object and calls back into Python.

use std::panic::{AssertUnwindSafe, catch_unwind};

use faiss_core::base::{Error, Result};
use pyo3::exceptions as exc;
use pyo3::prelude::*;

use crate::interrupt;

/// Runs `work` without the GIL.
pub fn enter<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(exception(error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let text = text.unwrap_or("no message");
            Err(exc::PyRuntimeError::new_err(format!("internal error of faiss, please report it: {text}")))
        }
    }
}

/// The exception that users of Faiss catch for this error.
pub fn exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Value(_) => exc::PyValueError::new_err(text),
        Error::Type(_) => exc::PyTypeError::new_err(text),
        Error::Overflow(_) => exc::PyOverflowError::new_err(text),
        Error::Assertion(_) => exc::PyAssertionError::new_err(text),
        Error::NotImplemented(_) => exc::PyNotImplementedError::new_err(text),
        Error::Memory(_) => exc::PyMemoryError::new_err(text),
        Error::Interrupted => interrupt::raised().unwrap_or_else(|| exc::PyKeyboardInterrupt::new_err(text)),
        // Conditions of the library, files, and what later layers add: Faiss raises RuntimeError for all of these.
        _ => exc::PyRuntimeError::new_err(text),
    }
}
