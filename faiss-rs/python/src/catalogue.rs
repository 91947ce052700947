//! Every described type by name, for the Python package that makes its classes from the descriptions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::own_types::is_vector;
use faiss_core::base::declare::Method;
use faiss_core::base::object::ElementKind;
use faiss_core::base::{Kind, TypeInfo};
use faiss_core::registry::Row;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

static ENTRIES: LazyLock<BTreeMap<&'static str, &'static TypeInfo>> = LazyLock::new(|| {
    let mut entries = BTreeMap::new();
    for row in rows() {
        entries.insert(row.info.name, row.info);
        add_related(&mut entries, row.info);
    }
    entries
});

fn rows() -> impl Iterator<Item = &'static Row> {
    faiss_core::registry::REGISTRY.iter().chain(faiss_gpu::registry::REGISTRY).chain(crate::own_types::REGISTRY)
}

/// Base classes and parts have descriptions without needing rows of their own.
fn add_related(entries: &mut BTreeMap<&'static str, &'static TypeInfo>, info: &'static TypeInfo) {
    let parts = info.fields.iter().filter_map(|f| if let Kind::Part(part) = f.kind { Some(part()) } else { None });
    for related in info.parent.into_iter().chain(parts) {
        entries.insert(related.name, related);
        add_related(entries, related);
    }
}

pub fn find(name: &str) -> Option<&'static TypeInfo> {
    ENTRIES.get(name).copied()
}

/// The names of all described types, sorted.
#[pyfunction]
pub fn type_names(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, ENTRIES.keys())
}

pub fn element_name(element: ElementKind) -> &'static str {
    match element {
        ElementKind::U8 => "UInt8",
        ElementKind::I8 => "Int8",
        ElementKind::U16 => "UInt16",
        ElementKind::I16 => "Int16",
        ElementKind::U32 => "UInt32",
        ElementKind::I32 => "Int32",
        ElementKind::U64 => "UInt64",
        ElementKind::I64 => "Int64",
        ElementKind::F32 => "Float32",
        ElementKind::F64 => "Float64",
    }
}

/// A field's kind as `(kind, detail)`: `('int', 'int32')`, `('vector', 'Float32')`, `('part', class)`, `('pointer', base class)`.
fn kind_name(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Bool => ("bool", ""),
        Kind::I32 => ("int", "int32"),
        Kind::U32 => ("int", "uint32"),
        Kind::I64 => ("int", "int64"),
        Kind::U8 => ("int", "uint8"),
        Kind::USize => ("int", "uint64"),
        Kind::F32 => ("float", "float32"),
        Kind::F64 => ("float", "float64"),
        Kind::Str => ("str", ""),
        Kind::Vector(element) => ("vector", element_name(element)),
        Kind::Part(info) => ("part", info().name),
        Kind::Pointer(base) => ("pointer", base),
        Kind::List(class) => ("list", class),
    }
}

/// The description of a type, its own fields and methods only. Raises KeyError for a name that is not described.
#[pyfunction]
pub fn describe<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
    let info = find(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
    let fields = info.fields.iter().map(|f| {
        let (kind, detail) = kind_name(f.kind);
        (f.name, kind, detail, f.doc, f.readonly)
    });
    let methods =
        info.methods.iter().flat_map(|m| m.overloads.iter().map(|o| (m.name, o.signature(Some(info)), m.doc)));
    let signatures = info.constructors.iter().map(|o| o.signature(Some(info)));
    let described = PyDict::new(py);
    described.set_item("doc", info.doc)?;
    described.set_item("parent", info.parent.map(|p| p.name))?;
    described.set_item("abstract", info.constructors.is_empty())?;
    described.set_item("vector", is_vector(info))?;
    described.set_item("signatures", PyList::new(py, signatures.collect::<Vec<_>>())?)?;
    described.set_item("fields", PyList::new(py, fields.collect::<Vec<_>>())?)?;
    described.set_item("methods", PyList::new(py, methods.collect::<Vec<_>>())?)?;
    Ok(described)
}

/// The names of all declared functions.
#[pyfunction]
pub fn function_names(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, faiss_core::registry::functions().map(|function| function.name))
}

/// A way to call a function: its signature, and its parameters' names and defaults.
type Way = (String, Vec<(&'static str, Option<&'static str>)>);

/// The ways to call a declared function, and its help. Raises KeyError for a name that is not one's.
#[pyfunction]
pub fn describe_function(name: &str) -> PyResult<(Vec<Way>, &'static str)> {
    let function = find_function(name)?;
    let ways = function.overloads.iter().map(|way| (way.signature(None), way.names().collect()));
    Ok((ways.collect(), function.doc))
}

pub fn find_function(name: &str) -> PyResult<&'static Method> {
    faiss_core::registry::function(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))
}
