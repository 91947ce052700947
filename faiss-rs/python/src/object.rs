//! The one native class: a handle to an object of the library, or to a part of one.

use std::sync::atomic::{AtomicBool, Ordering};

use faiss_core::base::declare::{self, descend, descend_mut, no_field, part_info};
use faiss_core::base::{Error, FieldRef, Handle, Object, Result, TypeInfo, Value};
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::callbacks::callback_error;
use crate::catalogue;
use crate::doorway::{enter, exception};
use crate::value::{Given, from_python, to_python};
use crate::vector::{NativeVector, NativeView};
use faiss_core::base::link::link;
use faiss_core::base::lock::{read, write_in_place};

/// A stand-alone object, and the names of the fields that lead from it to the part that is meant. The object lives as long as any handle
/// to it or to a part of it.
#[pyclass(name = "Object", module = "faiss._faiss", frozen)]
pub struct NativeObject {
    pub root: Handle,
    path: Vec<&'static str>,
    own: AtomicBool,
}

impl NativeObject {
    /// A new object.
    pub fn root(root: Handle) -> Self {
        NativeObject { root, path: Vec::new(), own: AtomicBool::new(true) }
    }

    /// An object that another one refers to.
    pub fn alias(root: Handle) -> Self {
        NativeObject { root, path: Vec::new(), own: AtomicBool::new(false) }
    }

    /// What a method returned.
    fn answer(&self, py: Python<'_>, value: Value) -> PyResult<Py<PyAny>> {
        match value {
            // Only here is it known which object's field is meant.
            Value::View(field, element) => {
                let vector = NativeVector::new(self.root.clone(), self.path.clone(), field);
                Ok(Py::new(py, NativeView { vector, element })?.into_any())
            }
            value => to_python(py, value),
        }
    }

    /// The handle, or for a part, which nothing else can refer to, a copy of it.
    pub fn as_argument(&self, py: Python<'_>) -> PyResult<Value> {
        if self.path.is_empty() {
            return Ok(Value::Handle(self.root.clone()));
        }
        let copy = self.read(py, |part| part.info().copy.map(|copy| copy(part)).transpose())?;
        let path = self.path.join(".");
        let error = || PyTypeError::new_err(format!("{path} is a part of another object, which can't be passed"));
        copy.map(Value::Handle).ok_or_else(error)
    }

    /// Runs `work` on the object as others see it at the same time.
    pub fn read<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&dyn Object) -> Result<T> + Send) -> PyResult<T> {
        let object = self.root.object();
        enter(py, || work(descend(&*read(&object)?, &self.path)?))
    }

    /// As an argument of a declared method: the object, or the part of it that is meant.
    pub fn reference(&self) -> (Handle, Vec<&'static str>) {
        (self.root.clone(), self.path.clone())
    }

    fn info(&self) -> Option<&'static TypeInfo> {
        part_info(self.root.info(), &self.path)
    }

    fn below(&self, field: &'static str) -> Vec<&'static str> {
        self.path.iter().copied().chain([field]).collect()
    }
}

/// What a field shows, with what only a handle can name left to the caller.
enum Shown {
    Value(Value),
    Vector,
    Part,
}

/// Makes an object of the class `name`.
#[pyfunction]
#[pyo3(signature = (name, *args, **keywords))]
pub fn construct(
    py: Python<'_>,
    name: &str,
    args: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<NativeObject> {
    let info = catalogue::find(name).ok_or_else(|| PyNotImplementedError::new_err(format!("{name} is not here")))?;
    if info.constructors.is_empty() {
        return Err(PyTypeError::new_err(format!("{name} is abstract: no object of it can be made")));
    }
    let given = Given::new(args, keywords)?;
    let (args, keywords) = given.args()?;
    enter(py, || declare::construct(info, args, keywords)).map(NativeObject::root)
}

#[pymethods]
impl NativeObject {
    /// The name of the most derived type.
    fn type_name(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.read(py, |object| Ok(object.info().name))
    }

    /// True where this is a part of another object, held by value.
    fn is_part(&self) -> bool {
        !self.path.is_empty()
    }

    /// True where both name the same object.
    fn same(&self, other: &Self) -> bool {
        self.path == other.path && self.root.object().same(&other.root.object())
    }

    fn __int__(&self) -> usize {
        self.root.object().address()
    }

    /// Whether the object is said to belong to Python, which no memory depends on; says so anew where a flag is given.
    #[pyo3(signature = (flag = None))]
    fn own(&self, flag: Option<bool>) -> bool {
        match flag {
            Some(flag) => self.own.swap(flag, Ordering::Relaxed),
            None => self.own.load(Ordering::Relaxed),
        }
    }

    /// Says that the object belongs to the library.
    fn disown(&self) {
        self.own.store(false, Ordering::Relaxed);
    }

    /// Says that the object belongs to Python.
    fn acquire(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    fn get(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        let show = |object: &dyn Object| {
            let object = descend(object, &self.path)?;
            let field = object.info().field(name).ok_or_else(|| no_field(object.info(), name))?.name;
            let shown = match object.field(field) {
                Some(FieldRef::Value(value)) => Shown::Value(value),
                Some(FieldRef::Vector(_)) => Shown::Vector,
                Some(FieldRef::Part(_)) => Shown::Part,
                None => return Err(no_field(object.info(), name)),
            };
            Ok((field, shown))
        };
        // Nothing is waited for while others could not run.
        let now = self.root.read_now().map(|object| show(&*object));
        let (field, shown) = match now {
            Some(shown) => shown.map_err(exception)?,
            None => enter(py, || show(&*read(&self.root)?))?,
        };
        match shown {
            Shown::Value(value) => to_python(py, value),
            Shown::Vector => {
                let vector = NativeVector::new(self.root.clone(), self.path.clone(), field);
                Ok(Py::new(py, vector)?.into_any())
            }
            Shown::Part => {
                let part =
                    NativeObject { root: self.root.clone(), path: self.below(field), own: AtomicBool::new(false) };
                Ok(Py::new(py, part)?.into_any())
            }
        }
    }

    fn set(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = from_python(value)?;
        let put = |object: &mut dyn Object, value: Value| {
            let object = descend_mut(object, &self.path)?;
            let own = object.info();
            let info = own.field(name).ok_or_else(|| no_field(own, name))?;
            if info.readonly {
                return Err(Error::type_error(format!("'{name}' of {} can't be assigned", own.name)));
            }
            object.field_mut(name).ok_or_else(|| no_field(own, name))?.set(value)
        };
        if !matches!(value, Value::Handle(_))
            && let Some(mut object) = self.root.write_in_place_now()
        {
            // Nothing is waited for while others could not run.
            return put(&mut *object, value).map_err(exception);
        }
        enter(py, || {
            let _linking = match &value {
                Value::Handle(target) => Some(link(&self.root, std::slice::from_ref(target))?),
                _ => None,
            };
            put(&mut *write_in_place(&self.root)?, value)
        })
    }

    /// Calls a method that the type's description lists.
    #[pyo3(signature = (name, *args, **keywords))]
    fn call(
        &self,
        py: Python<'_>,
        name: &str,
        args: &Bound<'_, PyTuple>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let info = self.info().ok_or_else(|| PyTypeError::new_err("the object has no description"))?;
        let unknown = || PyTypeError::new_err(format!("{} has no method '{name}'", info.name));
        let method = info.method(name).ok_or_else(unknown)?;
        let given = Given::new(args, keywords)?;
        let (args, keywords) = given.args()?;
        let result = enter(py, || declare::call(method, &self.root, &self.path, args, keywords));
        if let Some(error) = given.objects().find_map(|object| callback_error(py, object)) {
            return Err(error);
        }
        self.answer(py, result?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<faiss native object of type '{}' at {:#x}>", self.type_name(py)?, self.__int__()))
    }
}
