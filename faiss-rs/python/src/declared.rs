//! Calls of declared functions. A pointer among the arguments becomes the memory that it leads to, as far as the declaration says that it is to
//! lead.

use std::ops::Range;

use faiss_core::base::declare::{self, Arg, Memory, Overload};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray1, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::callbacks::callback_error;
use crate::catalogue::{element_name, find_function};
use crate::doorway::{enter, exception};
use crate::value::{Given, to_python};

/// Memory that is lent to a call.
enum Lent<'py> {
    Read(PyReadonlyArray1<'py, u8>),
    Write(PyReadwriteArray1<'py, u8>),
}

/// Calls a function.
#[pyfunction]
#[pyo3(signature = (name, *args, **keywords))]
pub fn call_function(
    py: Python<'_>,
    name: &str,
    args: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    let function = find_function(name)?;
    let given = Given::pointing(args, keywords)?;
    let (args, keywords) = given.args()?;
    let (overload, mut args) = declare::bind(function, args, keywords).map_err(exception)?;
    let mut lent = lend(py, &given, overload, &mut args)?;
    for (place, memory) in &mut lent {
        args[*place] = match memory {
            Lent::Read(array) => Arg::Memory(array.as_slice()?),
            Lent::Write(array) => Arg::MemoryMut(array.as_slice_mut()?),
        };
    }
    let result = enter(py, || declare::run(function, overload, &mut args));
    if let Some(error) = given.objects().find_map(|object| callback_error(py, object)) {
        return Err(error);
    }
    to_python(py, result?)
}

/// The memory that the pointers among the arguments lead to, with their places.
fn lend<'py>(
    py: Python<'py>,
    given: &Given<'py>,
    overload: &Overload,
    args: &mut [Arg<'_>],
) -> PyResult<Vec<(usize, Lent<'py>)>> {
    let mut found: Vec<(usize, &Memory, Bound<'py, PyArray1<u8>>)> = Vec::new();
    for (place, parameter) in overload.parameters.iter().enumerate() {
        let Some(memory) = &parameter.memory else { continue };
        let pointer = match args[place] {
            Arg::Pointer(at) => given.pointer(at).clone(),
            Arg::None if !parameter.optional => py.None().into_bound(py),
            _ => continue,
        };
        let len = memory.len.map(|len| len(args)).transpose().map_err(exception)?;
        // Checks type and length.
        let elements = py.import("faiss.arrays")?.getattr("elements")?;
        let array = elements.call1((pointer, len, element_name(memory.element).to_lowercase()))?;
        found.push((place, memory, array.call_method1("view", ("uint8",))?.cast_into()?));
    }
    let addresses = |array: &Bound<'py, PyArray1<u8>>| -> Range<usize> {
        let first = array.data() as usize;
        first..first + array.len()
    };
    let written: Vec<_> = found.iter().filter(|(_, m, _)| m.writes).map(|(i, _, a)| (*i, addresses(a))).collect();
    let meets = |place: usize, array: &Bound<'py, PyArray1<u8>>| {
        let own = addresses(array);
        written.iter().any(|(other, range)| *other != place && own.start < range.end && range.start < own.end)
    };
    let mut lent = Vec::with_capacity(found.len());
    for (place, memory, array) in found {
        let refused = |error: numpy::BorrowError| PyValueError::new_err(error.to_string());
        lent.push((
            place,
            match (memory.writes, meets(place, &array)) {
                (true, true) => return Err(PyValueError::new_err("two results are to go to the same memory")),
                (true, false) => Lent::Write(array.try_readwrite().map_err(refused)?),
                // What is read is what was there before the call.
                (false, true) => Lent::Read(array.call_method0("copy")?.cast_into::<PyArray1<u8>>()?.readonly()),
                (false, false) => Lent::Read(array.try_readonly().map_err(refused)?),
            },
        ));
    }
    Ok(lent)
}
