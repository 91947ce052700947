//! `std::vector` as Python sees it: a field of an object, or a vector of its own.

use std::sync::Arc;

use faiss_core::base::exports::{self, Export, Locate};
use faiss_core::base::object::{ElementKind, VectorField};
use faiss_core::base::view::seen_as_mut;
use faiss_core::base::{Error, FieldRef, Handle, Object, Result, Shared};
use faiss_core::storage::lists::InvertedLists;
use numpy::ndarray::ArrayView1;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyAssertionError, PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;

use crate::catalogue::element_name;
use crate::doorway::{enter, exception};
use crate::object::NativeObject;
use crate::own_types::is_vector;
use faiss_core::base::declare::{descend, descend_mut, no_field};
use faiss_core::base::lock::{read, write, write_in_place};

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
                _ => Err(no_field(owner.info(), self.field)),
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
            let error = no_field(owner.info(), self.field);
            work(owner.field_mut(self.field).and_then(|f| f.vector_mut()).ok_or(error)?)
        })
    }

    fn locate(&self) -> Locate {
        let (path, field) = (self.path.clone(), self.field);
        Box::new(move |object| descend_mut(object, &path).ok()?.field_mut(field)?.vector_mut())
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

    /// Whether the vector is said to belong to Python: only one of its own does, and no memory depends on it.
    #[pyo3(signature = (flag = None))]
    fn own(&self, flag: Option<bool>) -> bool {
        let _ = flag;
        is_vector(self.root.info())
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

    /// The elements themselves, as an array over the same memory; see [`Export`].
    fn view(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        export(py, self.root.object(), None, self.locate())
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
            let fill = |v: &mut dyn VectorField| {
                v.resize(items.len())?;
                v.bytes_mut().copy_from_slice(bytemuck::cast_slice(items));
                Ok(())
            };
            // Memory that is seen elsewhere need not move where the size stays.
            let object = self.root.object();
            enter(py, || {
                let mut guard = write_in_place(&object)?;
                if self.locate()(&mut *guard).is_none_or(|v| v.len() != items.len()) {
                    exports::before_change(object.address(), &mut *guard);
                }
                fill(self.locate()(&mut *guard).ok_or_else(|| Error::type_error("there is no such vector"))?)
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
    /// The elements themselves, as an array over the same memory; see [`Export`].
    fn view(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        export(py, self.vector.root.object(), Some(self.element), self.vector.locate())
    }
}

/// What keeps the memory of an array.
#[pyclass(name = "Memory", module = "faiss._faiss", frozen)]
pub struct NativeMemory {
    _export: Arc<Export>,
}

/// An array over a vector of an object, which may be written to. It keeps the object; when the object is changed otherwise, it keeps the
/// memory as it was.
fn export(
    py: Python<'_>,
    object: Shared<dyn Object>,
    element: Option<ElementKind>,
    locate: Locate,
) -> PyResult<Py<PyAny>> {
    let export = enter(py, || Export::new(&object, locate))?;
    let (address, bytes, element) = (export.address, export.bytes, element.unwrap_or(export.element));
    let memory = Bound::new(py, NativeMemory { _export: export })?.into_any();
    by_element!(element, T => {
        let n = bytes / size_of::<T>();
        // SAFETY: the address leads to `n` aligned elements as long as the export lives, which the array keeps. Any bits are an element.
        let array = unsafe {
            let view = ArrayView1::from_shape_ptr(n, address as *const T);
            PyArray1::borrow_from_array(&view, memory)
        };
        Ok(array.into_any().unbind())
    })
}

/// The ids or the codes of an inverted list, as an array over the same memory. TypeError where they do not lie in memory.
#[pyfunction]
pub fn list_view(py: Python<'_>, lists: &NativeObject, list_no: i64, ids: bool) -> PyResult<Py<PyAny>> {
    let handle = lists.root.view::<dyn InvertedLists>().map_err(exception)?;
    let list = enter(py, || read(&handle)?.check_list(list_no))?;
    let locate: Locate = Box::new(move |object| {
        let lists = seen_as_mut::<dyn InvertedLists>(object)?;
        if ids { lists.ids_field(list) } else { lists.codes_field(list) }
    });
    export(py, lists.root.object(), None, locate)
}
