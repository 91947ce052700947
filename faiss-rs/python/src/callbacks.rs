//! Types of the library that call Python: selectors, readers and writers. What a callback raises is raised by the call that did it.

use faiss_core::base::{Error, FieldRef, Handle, Object, Result, Value};
use faiss_core::registry::Row;
use faiss_core::selector::{IDSelector, IDSelectorBase};
use faiss_core::stream::{IOReaderBase, IOWriterBase, Sink, Source};
use faiss_derive::Object;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::interrupt;
use crate::object::NativeObject;

/// Asks a Python function which ids are members. After an exception no id is one, so that the work ends soon.
#[derive(Object, Default)]
#[object(implements(IDSelector))]
pub struct PyCallbackIDSelector {
    #[object(parent)]
    base: IDSelectorBase,
    callback: Option<Py<PyAny>>,
    raised: Mutex<Option<PyErr>>,
}

pub const SELECTOR: Row = Row::of::<PyCallbackIDSelector>();

impl IDSelector for PyCallbackIDSelector {
    fn is_member(&self, id: i64) -> bool {
        let Some(callback) = &self.callback else { return false };
        if self.raised.lock().is_some() {
            return false;
        }
        let answer = Python::attach(|py| callback.bind(py).call1((id,))?.is_truthy());
        answer.unwrap_or_else(|error| {
            *self.raised.lock() = Some(error);
            false
        })
    }
}

#[pyfunction]
pub fn callback_selector(callback: Py<PyAny>) -> NativeObject {
    let selector = PyCallbackIDSelector { callback: Some(callback), ..Default::default() };
    NativeObject::root(Handle::new(selector))
}

/// What a callback raised while the library used this argument, or a selector that the argument refers to.
pub fn callback_error(py: Python<'_>, object: &Handle) -> Option<PyErr> {
    py.detach(|| error_within(&*object.read(), 0))
}

fn error_within(object: &dyn Object, depth: usize) -> Option<PyErr> {
    // Deeper than any sensible expression of selectors: one that contains itself must not hang.
    if depth > 64 {
        return None;
    }
    if let Some(selector) = object.as_any().downcast_ref::<PyCallbackIDSelector>() {
        return selector.raised.lock().take();
    }
    object.info().lineage().flat_map(|info| info.fields).find_map(|field| match object.field(field.name) {
        Some(FieldRef::Value(Value::Handle(inner))) if inner.is::<dyn IDSelector>() => {
            error_within(&*inner.read(), depth + 1)
        }
        _ => None,
    })
}

/// Reads from what a Python function returns: it is called with the most bytes that are wanted, and returns some as `bytes`, none at the end.
#[derive(Object, Default)]
pub struct PyCallbackIOReader {
    #[object(parent)]
    base: IOReaderBase,
    /// The most bytes asked for at a time.
    pub bs: usize,
    callback: Option<Py<PyAny>>,
}

pub const READER: Row = Row::of::<PyCallbackIOReader>();

impl PyCallbackIOReader {
    fn call(&self, py: Python<'_>, out: &mut [u8]) -> PyResult<usize> {
        let Some(callback) = &self.callback else { return Ok(0) };
        let asked = out.len().min(self.bs.max(1));
        let answer = callback.bind(py).call1((asked,))?;
        let Ok(bytes) = answer.cast::<PyBytes>() else {
            return Err(PyRuntimeError::new_err("read callback did not return a bytes object"));
        };
        let bytes = bytes.as_bytes();
        if bytes.len() > asked {
            let text = format!("read callback returned {} bytes (asked {asked})", bytes.len());
            return Err(PyRuntimeError::new_err(text));
        }
        out[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Source for PyCallbackIOReader {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        Python::attach(|py| self.call(py, out)).map_err(interrupt::stop_with)
    }
}

/// Writes by a Python function, which is called with `bytes`.
#[derive(Object, Default)]
pub struct PyCallbackIOWriter {
    #[object(parent)]
    base: IOWriterBase,
    /// The most bytes handed over at a time.
    pub bs: usize,
    callback: Option<Py<PyAny>>,
}

pub const WRITER: Row = Row::of::<PyCallbackIOWriter>();

impl Sink for PyCallbackIOWriter {
    fn name(&self) -> String {
        self.base.name.clone()
    }
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(callback) = &self.callback else { return Err(Error::io("the writer has no callback")) };
        let call = |py: Python<'_>| -> PyResult<()> {
            for piece in bytes.chunks(self.bs.max(1)) {
                callback.bind(py).call1((PyBytes::new(py, piece),))?;
            }
            Ok(())
        };
        Python::attach(call).map_err(interrupt::stop_with)
    }
}

/// `reader`: whether bytes come from the callback, or go to it.
#[pyfunction]
pub fn callback_stream(reader: bool, callback: Py<PyAny>, bs: usize) -> NativeObject {
    let callback = Some(callback);
    NativeObject::root(if reader {
        Handle::new(PyCallbackIOReader { bs, callback, ..Default::default() })
    } else {
        Handle::new(PyCallbackIOWriter { bs, callback, ..Default::default() })
    })
}
