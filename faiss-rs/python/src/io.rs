//! Indexes to and from files, streams and bytes.

use faiss_core::base::object::{copy, receiver};
use faiss_core::base::{Error, Handle, MetricType, Object, Result, View};
use faiss_core::binary::IndexBinary;
use faiss_core::index::Index;
use faiss_core::io;
use faiss_core::storage::lists::InvertedLists;
use faiss_core::stream::buffered::{BufferedIOReader, BufferedIOWriter};
use faiss_core::stream::{Sink, Source, as_sink, as_source};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::callbacks::{PyCallbackIOReader, PyCallbackIOWriter};
use crate::doorway::{enter, exception};
use crate::object::NativeObject;
use faiss_core::base::lock::{read, write};

#[pyfunction]
pub fn write_index(py: Python<'_>, this: &NativeObject, path: &str, io_flags: i32) -> PyResult<()> {
    let object = this.root.object();
    enter(py, || io::write_index_file(&*read(&object)?, path, io_flags))
}

/// Writes that there is no index.
#[pyfunction]
pub fn write_null(py: Python<'_>, writer: &NativeObject) -> PyResult<()> {
    let writer = writer.root.object();
    enter(py, || io::write_null(sink(&mut *write(&writer)?)?))
}

/// None where the file says that there is no index.
#[pyfunction]
pub fn read_index(py: Python<'_>, path: &str, io_flags: i32) -> PyResult<Option<NativeObject>> {
    let read = enter(py, || io::read_index_file_or_null(path, io_flags)?.map(index_only).transpose())?;
    Ok(read.map(NativeObject::root))
}

#[pyfunction]
pub fn serialize_index<'py>(py: Python<'py>, this: &NativeObject, io_flags: i32) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let object = this.root.object();
    let bytes = enter(py, || io::serialize_index(&*read(&object)?, io_flags))?;
    Ok(PyArray1::from_vec(py, bytes))
}

#[pyfunction]
pub fn deserialize_index(
    py: Python<'_>,
    data: PyReadonlyArray1<'_, u8>,
    io_flags: i32,
) -> PyResult<Option<NativeObject>> {
    let mut bytes = data.as_slice()?;
    let read = enter(py, || io::read_index_or_null(&mut bytes, io_flags)?.map(index_only).transpose())?;
    Ok(read.map(NativeObject::root))
}

/// The index that a description describes.
#[pyfunction]
pub fn index_factory(py: Python<'_>, d: i64, description: &str, metric: i64) -> PyResult<NativeObject> {
    let made = enter(py, || faiss_core::factory::index_factory(d, description, MetricType::try_from(metric)?));
    made.map(NativeObject::root)
}

#[pyfunction]
pub fn clone_object(py: Python<'_>, this: &NativeObject) -> PyResult<NativeObject> {
    let object = this.root.object();
    enter(py, || copy(&*read(&object)?)).map(NativeObject::root)
}

fn sink(object: &mut dyn Object) -> Result<&mut dyn Sink> {
    if object.as_any().is::<PyCallbackIOWriter>() {
        return object
            .as_any_mut()
            .downcast_mut::<PyCallbackIOWriter>()
            .map(|w| w as &mut dyn Sink)
            .ok_or_else(no_writer);
    }
    as_sink(object).ok_or_else(no_writer)
}

fn no_writer() -> Error {
    Error::type_error("an IOWriter is wanted")
}

fn source(object: &mut dyn Object) -> Result<&mut dyn Source> {
    if object.as_any().is::<PyCallbackIOReader>() {
        return object
            .as_any_mut()
            .downcast_mut::<PyCallbackIOReader>()
            .map(|r| r as &mut dyn Source)
            .ok_or_else(no_reader);
    }
    as_source(object).ok_or_else(no_reader)
}

/// A reader or writer around another, of whatever kind.
#[pyfunction]
pub fn buffered_stream(py: Python<'_>, inner: &NativeObject, reader: bool, bsz: usize) -> PyResult<NativeObject> {
    let inner = inner.root.object();
    let made = enter(py, || {
        Ok(if reader {
            source(&mut *write(&inner)?)?;
            Handle::new(BufferedIOReader::new(inner.clone(), |object| source(object).ok(), bsz)?)
        } else {
            sink(&mut *write(&inner)?)?;
            Handle::new(BufferedIOWriter::new(inner.clone(), |object| sink(object).ok(), bsz)?)
        })
    });
    made.map(NativeObject::root)
}

fn no_reader() -> Error {
    Error::type_error("an IOReader is wanted")
}

/// Files of transforms have the form of an index's, but are none.
fn index_only(read: Handle) -> Result<Handle> {
    only::<dyn Index>(read)
}

fn only<T: ?Sized + View>(read: Handle) -> Result<Handle> {
    if read.is::<T>() {
        return Ok(read);
    }
    let (wanted, name) = (T::NAME, read.info().name);
    Err(Error::failed("", format!("the file holds no {wanted}: Index type {name} not recognized")))
}

#[pyfunction]
pub fn read_index_binary(py: Python<'_>, path: &str, io_flags: i32) -> PyResult<NativeObject> {
    enter(py, || io::read_index_file(path, io_flags).and_then(only::<dyn IndexBinary>)).map(NativeObject::root)
}

#[pyfunction]
pub fn read_index_binary_from(py: Python<'_>, reader: &NativeObject, io_flags: i32) -> PyResult<NativeObject> {
    let reader = reader.root.object();
    let read = || io::read_index(source(&mut *write(&reader)?)?, io_flags).and_then(only::<dyn IndexBinary>);
    enter(py, read).map(NativeObject::root)
}

#[pyfunction]
pub fn deserialize_index_binary(py: Python<'_>, data: PyReadonlyArray1<'_, u8>) -> PyResult<NativeObject> {
    let bytes = data.as_slice()?;
    enter(py, || io::deserialize_index(bytes, 0).and_then(only::<dyn IndexBinary>)).map(NativeObject::root)
}

/// Writes an index or a transform.
#[pyfunction]
pub fn write_index_to(py: Python<'_>, this: &NativeObject, writer: &NativeObject, io_flags: i32) -> PyResult<()> {
    let (object, writer) = (this.root.object(), writer.root.object());
    enter(py, || io::write_index(&*read(&object)?, sink(&mut *write(&writer)?)?, io_flags))
}

/// Reads what [`write_index_to`] wrote, whether it is an index or not.
#[pyfunction]
pub fn read_object_from(py: Python<'_>, reader: &NativeObject, io_flags: i32) -> PyResult<NativeObject> {
    let reader = reader.root.object();
    enter(py, || io::read_index(source(&mut *write(&reader)?)?, io_flags)).map(NativeObject::root)
}

#[pyfunction]
pub fn read_index_from(py: Python<'_>, reader: &NativeObject, io_flags: i32) -> PyResult<Option<NativeObject>> {
    let reader = reader.root.object();
    let read = || io::read_index_or_null(source(&mut *write(&reader)?)?, io_flags)?.map(index_only).transpose();
    Ok(enter(py, read)?.map(NativeObject::root))
}

/// Writes a product quantizer, which may be a part of an index.
#[pyfunction]
pub fn write_product_quantizer(py: Python<'_>, this: &NativeObject, writer: &NativeObject) -> PyResult<()> {
    let writer = writer.root.object();
    this.read(py, |object| io::write_ProductQuantizer(receiver(object)?, sink(&mut *write(&writer)?)?))
}

#[pyfunction]
pub fn read_product_quantizer(py: Python<'_>, reader: &NativeObject) -> PyResult<NativeObject> {
    let reader = reader.root.object();
    let read = enter(py, || io::read_ProductQuantizer(source(&mut *write(&reader)?)?));
    read.map(|pq| NativeObject::root(Handle::new(pq)))
}

/// Writes inverted lists.
#[pyfunction]
pub fn write_inverted_lists(py: Python<'_>, this: &NativeObject, writer: &NativeObject) -> PyResult<()> {
    let writer = writer.root.object();
    let lists = this.root.view::<dyn InvertedLists>().map_err(exception)?;
    enter(py, || io::write_InvertedLists(&*read(&lists)?, sink(&mut *write(&writer)?)?))
}

/// Reads inverted lists; None where the file says that there are none.
#[pyfunction]
#[pyo3(signature = (reader, io_flags = 0))]
pub fn read_inverted_lists(py: Python<'_>, reader: &NativeObject, io_flags: i32) -> PyResult<Option<NativeObject>> {
    let reader = reader.root.object();
    let lists = enter(py, || io::read_InvertedLists(source(&mut *write(&reader)?)?, io_flags))?;
    Ok(lists.map(|lists| NativeObject::root(lists.object())))
}

/// Up to `n` bytes from a reader; fewer only at its end.
#[pyfunction]
pub fn read_bytes<'py>(py: Python<'py>, reader: &NativeObject, n: usize) -> PyResult<Bound<'py, PyBytes>> {
    let reader = reader.root.object();
    let bytes = enter(py, || {
        let mut reader = write(&reader)?;
        let source = source(&mut *reader)?;
        // Memory for what is there, not for what is asked for.
        let (mut bytes, mut block) = (Vec::new(), vec![0; n.min(1 << 20)]);
        while bytes.len() < n {
            let wanted = block.len().min(n - bytes.len());
            match source.read(&mut block[..wanted])? {
                0 => break,
                got => bytes.extend_from_slice(&block[..got]),
            }
        }
        Ok(bytes)
    })?;
    Ok(PyBytes::new(py, &bytes))
}

#[pyfunction]
pub fn write_bytes(py: Python<'_>, writer: &NativeObject, bytes: &[u8]) -> PyResult<()> {
    let writer = writer.root.object();
    enter(py, || sink(&mut *write(&writer)?)?.write(bytes))
}
