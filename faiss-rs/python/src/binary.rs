//! The methods that every binary index has, as `index.rs` has those of indexes over floats, and functions on binary codes.

use faiss_core::base::{Error, Result, Shared};
use faiss_core::binary::{self, IndexBinary, from_float, hamming};
use faiss_core::selector::IDSelector;
use numpy::{
    PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, PyReadwriteArray2, PyReadwriteArray3,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::callbacks::callback_error;
use crate::doorway::{enter, exception};
use crate::index::{RangeResult, with_params};
use crate::object::NativeObject;
use faiss_core::base::lock::{read, write};

impl NativeObject {
    pub fn binary(&self) -> PyResult<Shared<dyn IndexBinary>> {
        self.root.view().map_err(exception)
    }
}

/// The binary index that a description describes.
#[pyfunction]
pub fn index_binary_factory(py: Python<'_>, d: i64, description: &str, own_invlists: bool) -> PyResult<NativeObject> {
    let made = enter(py, || binary::factory::index_binary_factory(d, description, own_invlists));
    made.map(|index| NativeObject::root(index.object()))
}

#[pyfunction]
pub fn binary_train(py: Python<'_>, this: &NativeObject, x: PyReadonlyArray2<'_, u8>) -> PyResult<()> {
    let (index, x) = (this.binary()?, x.as_slice()?);
    enter(py, || write(&index)?.train(x))
}

#[pyfunction]
pub fn binary_add(py: Python<'_>, this: &NativeObject, x: PyReadonlyArray2<'_, u8>) -> PyResult<()> {
    let (index, x) = (this.binary()?, x.as_slice()?);
    enter(py, || write(&index)?.add(x))
}

#[pyfunction]
pub fn binary_add_with_ids(
    py: Python<'_>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, u8>,
    ids: PyReadonlyArray1<'_, i64>,
) -> PyResult<()> {
    let (index, x, ids) = (this.binary()?, x.as_slice()?, ids.as_slice()?);
    enter(py, || write(&index)?.add_with_ids(x, ids))
}

#[pyfunction]
pub fn binary_search(
    py: Python<'_>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, u8>,
    k: usize,
    params: Option<PyRef<'_, NativeObject>>,
    mut distances: PyReadwriteArray2<'_, i32>,
    mut labels: PyReadwriteArray2<'_, i64>,
) -> PyResult<()> {
    let (index, x, d, l) = (this.binary()?, x.as_slice()?, distances.as_slice_mut()?, labels.as_slice_mut()?);
    with_params(py, params.as_deref(), |params| read(&index)?.search(x, k, params, d, l))
}

#[pyfunction]
pub fn binary_search_and_reconstruct(
    py: Python<'_>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, u8>,
    k: usize,
    params: Option<PyRef<'_, NativeObject>>,
    mut distances: PyReadwriteArray2<'_, i32>,
    mut labels: PyReadwriteArray2<'_, i64>,
    mut recons: PyReadwriteArray3<'_, u8>,
) -> PyResult<()> {
    let (index, x) = (this.binary()?, x.as_slice()?);
    let (d, l, r) = (distances.as_slice_mut()?, labels.as_slice_mut()?, recons.as_slice_mut()?);
    with_params(py, params.as_deref(), |params| read(&index)?.search_and_reconstruct(x, k, params, d, l, r))
}

#[pyfunction]
pub fn binary_assign(
    py: Python<'_>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, u8>,
    k: usize,
    mut labels: PyReadwriteArray2<'_, i64>,
) -> PyResult<()> {
    let (index, x, labels) = (this.binary()?, x.as_slice()?, labels.as_slice_mut()?);
    enter(py, || read(&index)?.assign(x, k, labels))
}

#[pyfunction]
pub fn binary_range_search<'py>(
    py: Python<'py>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, u8>,
    radius: i32,
    params: Option<PyRef<'_, NativeObject>>,
) -> PyResult<RangeResult<'py>> {
    let (index, x) = (this.binary()?, x.as_slice()?);
    let found = with_params(py, params.as_deref(), |params| read(&index)?.range_search(x, radius, params))?;
    Ok((
        PyArray1::from_vec(py, found.lims),
        PyArray1::from_vec(py, found.distances),
        PyArray1::from_vec(py, found.labels),
    ))
}

#[pyfunction]
pub fn binary_reset(py: Python<'_>, this: &NativeObject) -> PyResult<()> {
    let index = this.binary()?;
    enter(py, || write(&index)?.reset())
}

#[pyfunction]
pub fn binary_reconstruct(
    py: Python<'_>,
    this: &NativeObject,
    key: i64,
    mut out: PyReadwriteArray1<'_, u8>,
) -> PyResult<()> {
    let (index, out) = (this.binary()?, out.as_slice_mut()?);
    enter(py, || read(&index)?.reconstruct(key, out))
}

#[pyfunction]
pub fn binary_reconstruct_n(
    py: Python<'_>,
    this: &NativeObject,
    i0: i64,
    ni: usize,
    mut out: PyReadwriteArray2<'_, u8>,
) -> PyResult<()> {
    let (index, out) = (this.binary()?, out.as_slice_mut()?);
    enter(py, || read(&index)?.reconstruct_n(i0, ni, out))
}

#[pyfunction]
pub fn binary_remove_ids(py: Python<'_>, this: &NativeObject, selector: &NativeObject) -> PyResult<usize> {
    let (index, sel) = (this.binary()?, selector.selector()?);
    let removed = enter(py, || write(&index)?.remove_ids(&*read(&sel)?));
    match callback_error(py, &selector.root) {
        Some(error) => Err(error),
        None => removed,
    }
}

/// Runs `work` on two indexes, locked in an order of their own, so that two threads can't wait for each other.
fn with_both<T: Send>(
    py: Python<'_>,
    this: &NativeObject,
    other: &NativeObject,
    work: impl FnOnce(&mut dyn IndexBinary, &mut dyn IndexBinary) -> Result<T> + Send,
) -> PyResult<T> {
    let (index, other) = (this.binary()?, other.binary()?);
    enter(py, || {
        if index.same(&other) {
            return Err(Error::failed("other != this", "an index can't be merged with itself"));
        }
        if index.address() < other.address() {
            let mut index = write(&index)?;
            work(&mut *index, &mut *write(&other)?)
        } else {
            let mut other = write(&other)?;
            work(&mut *write(&index)?, &mut *other)
        }
    })
}

#[pyfunction]
pub fn binary_merge_from(py: Python<'_>, this: &NativeObject, other: &NativeObject, add_id: i64) -> PyResult<()> {
    with_both(py, this, other, |index, other| index.merge_from(other, add_id))
}

#[pyfunction]
pub fn binary_check_compatible_for_merge(py: Python<'_>, this: &NativeObject, other: &NativeObject) -> PyResult<()> {
    let (index, other) = (this.binary()?, other.binary()?);
    enter(py, || read(&index)?.check_compatible_for_merge(&*read(&other)?))
}

#[pyfunction]
#[pyo3(signature = (this, codes, ids))]
pub fn binary_add_sa_codes(
    py: Python<'_>,
    this: &NativeObject,
    codes: PyReadonlyArray2<'_, u8>,
    ids: Option<PyReadonlyArray1<'_, i64>>,
) -> PyResult<()> {
    let (index, codes) = (this.binary()?, codes.as_slice()?);
    let ids = ids.as_ref().map(|ids| ids.as_slice()).transpose()?;
    enter(py, || write(&index)?.add_sa_codes(codes, ids))
}

// Functions on codes, (n, code_size) of bytes.

/// All distances: (na, nb).
#[pyfunction]
pub fn hammings(
    py: Python<'_>,
    a: PyReadonlyArray2<'_, u8>,
    b: PyReadonlyArray2<'_, u8>,
    mut out: PyReadwriteArray2<'_, i32>,
) -> PyResult<()> {
    let size = a.shape()[1];
    let (a, b, out) = (a.as_slice()?, b.as_slice()?, out.as_slice_mut()?);
    enter(py, || hamming::hammings(a, b, size, out))
}

/// The nearest codes of each: (na, k).
#[pyfunction]
pub fn hammings_knn(
    py: Python<'_>,
    a: PyReadonlyArray2<'_, u8>,
    b: PyReadonlyArray2<'_, u8>,
    sel: Option<PyRef<'_, NativeObject>>,
    mut distances: PyReadwriteArray2<'_, i32>,
    mut labels: PyReadwriteArray2<'_, i64>,
) -> PyResult<()> {
    let (size, k) = (a.shape()[1], labels.shape()[1]);
    let sel: Option<Shared<dyn IDSelector>> = sel.map(|sel| sel.selector()).transpose()?;
    let (a, b, d, l) = (a.as_slice()?, b.as_slice()?, distances.as_slice_mut()?, labels.as_slice_mut()?);
    enter(py, || match &sel {
        Some(sel) => hamming::knn(a, b, size, k, Some(&*read(sel)?), d, l),
        None => hamming::knn(a, b, size, k, None, d, l),
    })
}

/// The codes within a radius of each.
#[pyfunction]
pub fn hamming_range_search<'py>(
    py: Python<'py>,
    a: PyReadonlyArray2<'_, u8>,
    b: PyReadonlyArray2<'_, u8>,
    radius: i32,
    sel: Option<PyRef<'_, NativeObject>>,
) -> PyResult<RangeResult<'py>> {
    let size = a.shape()[1];
    let sel: Option<Shared<dyn IDSelector>> = sel.map(|sel| sel.selector()).transpose()?;
    let (a, b) = (a.as_slice()?, b.as_slice()?);
    let found = enter(py, || match &sel {
        Some(sel) => hamming::range_search(a, b, size, radius, Some(&*read(sel)?)),
        None => hamming::range_search(a, b, size, radius, None),
    })?;
    Ok((
        PyArray1::from_vec(py, found.lims),
        PyArray1::from_vec(py, found.distances),
        PyArray1::from_vec(py, found.labels),
    ))
}

/// Bits to +1 and -1.
#[pyfunction]
pub fn binary_to_real(
    py: Python<'_>,
    bits: PyReadonlyArray1<'_, u8>,
    mut x: PyReadwriteArray1<'_, f32>,
) -> PyResult<()> {
    let (bits, x) = (bits.as_slice()?, x.as_slice_mut()?);
    enter(py, || from_float::binary_to_real(bits, x))
}

/// Numbers above 0 to bits that are set.
#[pyfunction]
pub fn real_to_binary(
    py: Python<'_>,
    x: PyReadonlyArray1<'_, f32>,
    mut bits: PyReadwriteArray1<'_, u8>,
) -> PyResult<()> {
    let (x, bits) = (x.as_slice()?, bits.as_slice_mut()?);
    enter(py, || from_float::real_to_binary(x, bits))
}
