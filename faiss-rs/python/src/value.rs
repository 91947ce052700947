//! What crosses the border: Python objects into [`Value`]s and back.

use faiss_core::base::declare::Arg;
use faiss_core::base::{Handle, Value};
use numpy::{Element, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

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
        Value::Unsigned(v) => PyInt::new(py, v).into_any().unbind(),
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

/// The arguments of a call, which lend what they hold to the library.
pub struct Given<'py> {
    args: Vec<Held<'py>>,
    keywords: Vec<(String, Held<'py>)>,
}

/// The arguments of a call as the library takes them: in order, and with keywords.
type Lent<'a> = (Vec<Arg<'a>>, Vec<(&'a str, Arg<'a>)>);

impl<'py> Given<'py> {
    pub fn new(args: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>) -> PyResult<Self> {
        let args = args.iter().map(|arg| Held::new(&arg)).collect::<PyResult<_>>()?;
        let named = |(name, arg): (Bound<'py, PyAny>, Bound<'py, PyAny>)| Ok((name.extract()?, Held::new(&arg)?));
        let keywords = keywords.into_iter().flat_map(|k| k.iter()).map(named).collect::<PyResult<_>>()?;
        Ok(Given { args, keywords })
    }

    /// As [`new`](Given::new), for a function: arrays are pointers, and so may be what no other argument can be.
    pub fn pointing(args: &Bound<'py, PyTuple>, keywords: Option<&Bound<'py, PyDict>>) -> PyResult<Self> {
        let args = args.iter().map(|arg| Held::pointing(&arg)).collect();
        let named = |(name, arg): (Bound<'py, PyAny>, Bound<'py, PyAny>)| Ok((name.extract()?, Held::pointing(&arg)));
        let keywords = keywords.into_iter().flat_map(|k| k.iter()).map(named).collect::<PyResult<_>>()?;
        Ok(Given { args, keywords })
    }

    pub fn args(&self) -> PyResult<Lent<'_>> {
        let args = self.args.iter().enumerate().map(|(i, held)| held.arg(i)).collect::<PyResult<_>>()?;
        let mut keywords = Vec::with_capacity(self.keywords.len());
        for (i, (name, held)) in self.keywords.iter().enumerate() {
            keywords.push((name.as_str(), held.arg(self.args.len() + i)?));
        }
        Ok((args, keywords))
    }

    /// The pointer that is said to be at a place among the arguments.
    pub fn pointer(&self, at: usize) -> &Bound<'py, PyAny> {
        let held = self.args.get(at).unwrap_or_else(|| &self.keywords[at - self.args.len()].1);
        let Held::Pointer(pointer) = held else { unreachable!("a pointer's place is a pointer's") };
        pointer
    }

    /// The objects among them.
    pub fn objects(&self) -> impl Iterator<Item = &Handle> {
        let all = self.args.iter().chain(self.keywords.iter().map(|(_, held)| held));
        all.filter_map(|held| if let Held::Object(object, _) = held { Some(object) } else { None })
    }
}

/// An argument, and what keeps its memory. Arrays are not copied, unless their elements do not lie one after the other.
enum Held<'py> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Bound<'py, PyString>),
    Bytes(Bound<'py, PyBytes>),
    F32(PyReadonlyArrayDyn<'py, f32>),
    F64(PyReadonlyArrayDyn<'py, f64>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    U8(PyReadonlyArrayDyn<'py, u8>),
    Object(Handle, Vec<&'static str>),
    List(Vec<Held<'py>>),
    Pointer(Bound<'py, PyAny>),
}

impl<'py> Held<'py> {
    fn pointing(object: &Bound<'py, PyAny>) -> Self {
        let array = object.cast::<PyUntypedArray>().is_ok_and(|array| array.ndim() > 0);
        let other = if array { None } else { Held::new(object).ok() };
        other.unwrap_or_else(|| Held::Pointer(object.clone()))
    }

    fn new(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Held::Str(text.clone()));
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Held::Bytes(bytes.clone()));
        }
        if let Ok(array) = object.cast::<PyUntypedArray>()
            && array.ndim() > 0
        {
            return Held::array(array);
        }
        if let Ok(native) = object.extract::<PyRef<'_, NativeObject>>() {
            return Ok(Held::object(&native));
        }
        if let Some(native) = object.getattr_opt(pyo3::intern!(object.py(), THIS))? {
            if let Ok(native) = native.extract::<PyRef<'_, NativeObject>>() {
                return Ok(Held::object(&native));
            }
            // A vector is passed by its elements.
            let vector = native.extract::<PyRef<'_, NativeVector>>().map_err(|_| wrong_type(object))?;
            return Held::new(vector.to_array(object.py())?.bind(object.py()));
        }
        let items: Option<Vec<Bound<'py, PyAny>>> = match (object.cast::<PyList>(), object.cast::<PyTuple>()) {
            (Ok(items), _) => Some(items.iter().collect()),
            (_, Ok(items)) => Some(items.iter().collect()),
            _ => None,
        };
        if let Some(items) = items {
            return Ok(Held::List(items.iter().map(Held::new).collect::<PyResult<_>>()?));
        }
        Ok(match from_python(object)? {
            Value::None => Held::None,
            Value::Bool(v) => Held::Bool(v),
            Value::Int(v) => Held::Int(v),
            Value::Float(v) => Held::Float(v),
            _ => return Err(wrong_type(object)),
        })
    }

    fn object(native: &NativeObject) -> Self {
        let (object, path) = native.reference();
        Held::Object(object, path)
    }

    fn array(array: &Bound<'py, PyUntypedArray>) -> PyResult<Self> {
        let copied;
        let array = if array.is_c_contiguous() {
            array
        } else {
            copied = array.call_method0("copy")?.cast_into::<PyUntypedArray>()?;
            &copied
        };
        // Sizes and counts: an std::vector<size_t> has the bits of one of int64.
        let signed;
        let array = if array.cast::<PyArrayDyn<u64>>().is_ok() {
            signed = array.call_method1("view", ("int64",))?.cast_into::<PyUntypedArray>()?;
            &signed
        } else {
            array
        };
        macro_rules! try_types {
            ($($ty:ty => $variant:ident),*) => {
                $(if let Ok(typed) = array.cast::<PyArrayDyn<$ty>>() {
                    let lent = typed.try_readonly().map_err(|error| PyValueError::new_err(error.to_string()))?;
                    return Ok(Held::$variant(lent));
                })*
            };
        }
        try_types!(f32 => F32, i64 => I64, u8 => U8, f64 => F64, i32 => I32);
        Err(PyTypeError::new_err(format!("an array of dtype {} can't be passed to faiss", array.dtype().str()?)))
    }

    /// `place`: among all arguments.
    fn arg(&self, place: usize) -> PyResult<Arg<'_>> {
        Ok(match self {
            Held::None => Arg::None,
            Held::Bool(v) => Arg::Bool(*v),
            Held::Int(v) => Arg::Int(*v),
            Held::Float(v) => Arg::Float(*v),
            Held::Str(text) => Arg::Str(text.to_str()?),
            Held::Bytes(bytes) => Arg::Bytes(bytes.as_bytes()),
            Held::F32(array) => Arg::F32(array.as_slice()?, array.shape()),
            Held::F64(array) => Arg::F64(array.as_slice()?, array.shape()),
            Held::I64(array) => Arg::I64(array.as_slice()?, array.shape()),
            Held::I32(array) => Arg::I32(array.as_slice()?, array.shape()),
            Held::U8(array) => Arg::U8(array.as_slice()?, array.shape()),
            Held::Object(object, path) => Arg::Object(object.clone(), path.clone()),
            Held::List(items) => Arg::List(items.iter().map(|item| item.arg(place)).collect::<PyResult<_>>()?),
            Held::Pointer(_) => Arg::Pointer(place),
        })
    }
}
