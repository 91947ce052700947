//! `std::vector` as Python sees it: a field of an object, or a vector of its own.

use faiss_core::base::object::{ElementKind, VectorField};
use faiss_core::base::{Error, FieldRef, Handle, Result};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyAssertionError, PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;

use crate::catalogue::element_name;
use crate::doorway::enter;
use crate::lock::{read, write};
use crate::object::{descend, descend_mut, no_field};

/// A vector inside an object: which one, the way to the part that has it, and the field's name.
#[pyclass(name = "Vector", module = "faiss._faiss", frozen)]
pub struct NativeVector {
    root: Handle,
    path: Vec<&'static str>,
    field: &'static str,
}

macro_rules! by_element {
    ($element:expr, $ty:ident => $body:expr) => {
        match $element {
            ElementKind::U8 => {
                type $ty = u8;
                $body
            }
            ElementKind::I8 => {
                type $ty = i8;
                $body
            }
            ElementKind::U16 => {
                type $ty = u16;
                $body
            }
            ElementKind::I16 => {
                type $ty = i16;
                $body
            }
            ElementKind::U32 => {
                type $ty = u32;
                $body
            }
            ElementKind::I32 => {
                type $ty = i32;
                $body
            }
            ElementKind::U64 => {
                type $ty = u64;
                $body
            }
            ElementKind::I64 => {
                type $ty = i64;
                $body
            }
            ElementKind::F32 => {
                type $ty = f32;
                $body
            }
            ElementKind::F64 => {
                type $ty = f64;
                $body
            }
        }
    };
}

impl NativeVector {
    pub fn new(root: Handle, path: Vec<&'static str>, field: &'static str) -> Self {
        NativeVector { root, path, field }
    }

    fn read<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&dyn VectorField) -> Result<T> + Send) -> PyResult<T> {
        let object = self.root.object();
        enter(py, || {
            let guard = read(&object)?;
            let owner = descend(&*guard, &self.path)?;
            match owner.field(self.field) {
                Some(FieldRef::Vector(vector)) => work(vector),
                _ => Err(no_field(owner, self.field)),
            }
        })
    }

    fn write<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut dyn VectorField) -> Result<T> + Send,
    ) -> PyResult<T> {
        let object = self.root.object();
        enter(py, || {
            let mut guard = write(&object)?;
            let owner = descend_mut(&mut *guard, &self.path)?;
            let error = no_field(owner, self.field);
            work(owner.field_mut(self.field).and_then(|f| f.vector_mut()).ok_or(error)?)
        })
    }

    fn kind(&self, py: Python<'_>) -> PyResult<ElementKind> {
        self.read(py, |v| Ok(v.element()))
    }

    /// A size that memory can't hold must not abort the process.
    fn checked_size(n: usize) -> PyResult<usize> {
        if n > isize::MAX as usize / 64 {
            return Err(PyMemoryError::new_err(format!("a vector of {n} elements does not fit into memory")));
        }
        Ok(n)
    }
}

#[pymethods]
impl NativeVector {
    /// The elements' name: `Float32`, `UInt8`, ...
    fn element(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.kind(py).map(element_name)
    }

    fn __int__(&self) -> usize {
        self.root.object().address()
    }

    fn size(&self, py: Python<'_>) -> PyResult<usize> {
        self.read(py, |v| Ok(v.len()))
    }

    fn resize(&self, py: Python<'_>, n: usize) -> PyResult<()> {
        let n = Self::checked_size(n)?;
        self.write(py, |v| v.resize(n))
    }

    fn at(&self, py: Python<'_>, i: usize) -> PyResult<Py<PyAny>> {
        let element = self.kind(py)?;
        by_element!(element, T => {
            let item: T = self.read(py, |v| {
                let range = format!("index {i} is out of range for a vector of {} elements", v.len());
                bytemuck::cast_slice::<u8, T>(v.bytes()).get(i).copied().ok_or(Error::failed("i < size()", range))
            })?;
            Ok(item.into_pyobject(py)?.into_any().unbind())
        })
    }

    fn push_back(&self, py: Python<'_>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let element = self.kind(py)?;
        by_element!(element, T => {
            let item: T = item.extract()?;
            self.write(py, |v| {
                let n = v.len();
                v.resize(n + 1)?;
                bytemuck::cast_slice_mut::<u8, T>(v.bytes_mut())[n] = item;
                Ok(())
            })
        })
    }

    /// A copy of the elements.
    pub fn to_array(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let element = self.kind(py)?;
        by_element!(element, T => {
            let items: Vec<T> = self.read(py, |v| Ok(bytemuck::cast_slice(v.bytes()).to_vec()))?;
            Ok(PyArray1::from_vec(py, items).into_any().unbind())
        })
    }

    /// Replaces the contents by an array of the same type.
    fn assign(&self, py: Python<'_>, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let element = self.kind(py)?;
        by_element!(element, T => {
            let wanted = element_name(element);
            let array = array
                .extract::<PyReadonlyArray1<'_, T>>()
                .map_err(|_| PyAssertionError::new_err(format!("a one-dimensional array of {} is wanted", wanted.to_lowercase())))?;
            let items = array.as_slice()?;
            self.write(py, |v| {
                v.resize(items.len())?;
                v.bytes_mut().copy_from_slice(bytemuck::cast_slice(items));
                Ok(())
            })
        })
    }

    /// Exchanges contents with another vector of the same type.
    fn swap(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        if self.element(py)? != other.element(py)? {
            return Err(PyRuntimeError::new_err("vectors of different types can't be swapped"));
        }
        let (mine, theirs) = (self.to_array(py)?, other.to_array(py)?);
        self.assign(py, theirs.bind(py))?;
        other.assign(py, mine.bind(py))
    }
}

/// A pointer into an object: its vector, seen as elements of another type (`get_xb`).
#[pyclass(name = "View", module = "faiss._faiss", frozen)]
pub struct NativeView {
    pub vector: NativeVector,
    pub element: ElementKind,
}

#[pymethods]
impl NativeView {
    /// A copy of the elements.
    fn to_array(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        by_element!(self.element, T => {
            let items: Vec<T> = self.vector.read(py, |v| {
                let whole = v.bytes().len() / size_of::<T>() * size_of::<T>();
                Ok(bytemuck::allocation::pod_collect_to_vec(&v.bytes()[..whole]))
            })?;
            Ok(PyArray1::from_vec(py, items).into_any().unbind())
        })
    }
}
