//! What crosses the border: Python objects into [`Value`]s and back.

use faiss_core::base::Value;
use numpy::{Element, PyArray1, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::object::NativeObject;
use crate::vector::NativeVector;

/// The name of the attribute in which Python's objects keep their native one.
pub const THIS: &str = "this";

/// Converts an argument. Numpy arrays are copied; objects are passed by handle, never copied.
pub fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = object.py();
    if object.is_none() {
        return Ok(Value::None);
    }
    if let Ok(flag) = object.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return integer(object);
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(Value::Float(number.value()));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::Str(text.to_str()?.to_owned()));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().to_vec()));
    }
    if let Ok(array) = object.cast::<PyUntypedArray>() {
        return array_value(array);
    }
    if let Ok(native) = object.extract::<PyRef<'_, NativeObject>>() {
        return native.as_argument(py);
    }
    if let Some(native) = object.getattr_opt(pyo3::intern!(py, THIS))? {
        if let Ok(native) = native.extract::<PyRef<'_, NativeObject>>() {
            return native.as_argument(py);
        }
        // A vector is passed by its elements.
        let vector = native.extract::<PyRef<'_, NativeVector>>().map_err(|_| wrong_type(object))?;
        return from_python(vector.to_array(py)?.bind(py));
    }
    if let Ok(items) = object.cast::<PyList>() {
        return Ok(Value::List(items.iter().map(|item| from_python(&item)).collect::<PyResult<_>>()?));
    }
    if let Ok(items) = object.cast::<PyTuple>() {
        return Ok(Value::List(items.iter().map(|item| from_python(&item)).collect::<PyResult<_>>()?));
    }
    scalar(object)
}

/// Numpy's scalars: they are neither int nor float, but say which they are like.
fn scalar(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let kind = object.getattr_opt("dtype")?.and_then(|dtype| dtype.getattr("kind").ok());
    match kind.map(|kind| kind.extract::<String>()).transpose()?.as_deref() {
        Some("b") => Ok(Value::Bool(object.is_truthy()?)),
        Some("i" | "u") => integer(object),
        Some("f") => Ok(Value::Float(object.call_method0("__float__")?.extract()?)),
        _ => Err(wrong_type(object)),
    }
}

fn integer(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    match object.extract::<i64>() {
        Ok(number) => Ok(Value::Int(number)),
        Err(_) => Err(PyOverflowError::new_err(format!("{} does not fit into 64 bits", object.str()?))),
    }
}

fn wrong_type(object: &Bound<'_, PyAny>) -> PyErr {
    let name = object.get_type().name().map_or_else(|_| "this".to_owned(), |n| n.to_string());
    PyTypeError::new_err(format!("an argument of type {name} can't be passed to faiss"))
}

fn array_value(array: &Bound<'_, PyUntypedArray>) -> PyResult<Value> {
    fn take<T: Element + Copy>(array: &Bound<'_, PyUntypedArray>) -> Option<PyResult<(Vec<T>, Vec<usize>)>> {
        let typed = array.cast::<PyArrayDyn<T>>().ok()?;
        Some(match typed.try_readonly() {
            Ok(view) => match view.as_slice() {
                Ok(items) => Ok((items.to_vec(), array.shape().to_vec())),
                Err(_) => Ok((view.as_array().iter().copied().collect(), array.shape().to_vec())),
            },
            Err(error) => Err(PyValueError::new_err(error.to_string())),
        })
    }
    macro_rules! try_types {
        ($($ty:ty => $variant:ident),*) => {
            $(if let Some(taken) = take::<$ty>(array) {
                let (items, shape) = taken?;
                return Ok(Value::$variant(items, shape));
            })*
        };
    }
    try_types!(f32 => F32, i64 => I64, u8 => U8, f64 => F64, i32 => I32);
    Err(PyTypeError::new_err(format!("an array of dtype {} can't be passed to faiss", array.dtype().str()?)))
}

/// Converts a result. Handles become [`NativeObject`]s; the Python package puts its class around them.
pub fn to_python(py: Python<'_>, value: Value) -> PyResult<Py<PyAny>> {
    fn array<T: Element>(py: Python<'_>, items: Vec<T>, shape: &[usize]) -> PyResult<Py<PyAny>> {
        Ok(PyArray1::from_vec(py, items).reshape(shape)?.into_any().unbind())
    }
    Ok(match value {
        Value::None => py.None(),
        Value::Bool(v) => PyBool::new(py, v).to_owned().into_any().unbind(),
        Value::Int(v) => PyInt::new(py, v).into_any().unbind(),
        Value::Float(v) => PyFloat::new(py, v).into_any().unbind(),
        Value::Str(v) => PyString::new(py, &v).into_any().unbind(),
        Value::Bytes(v) => PyBytes::new(py, &v).into_any().unbind(),
        Value::Handle(h) => Py::new(py, NativeObject::alias(h))?.into_any(),
        Value::F32(items, shape) => array(py, items, &shape)?,
        Value::F64(items, shape) => array(py, items, &shape)?,
        Value::I64(items, shape) => array(py, items, &shape)?,
        Value::I32(items, shape) => array(py, items, &shape)?,
        Value::U8(items, shape) => array(py, items, &shape)?,
        Value::View(field, _) => return Err(PyTypeError::new_err(format!("a view of '{field}' without its object"))),
        Value::List(items) => {
            let items = items.into_iter().map(|item| to_python(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, items)?.into_any().unbind()
        }
    })
}
