//! Functions on binary codes.

use faiss_core::base::Shared;
use faiss_core::binary::{self, from_float, hamming};
use faiss_core::selector::IDSelector;
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::doorway::enter;
use crate::index::{RangeResult, range_arrays};
use crate::object::NativeObject;
use faiss_core::base::lock::read;

/// The binary index that a description describes.
#[pyfunction]
pub fn index_binary_factory(py: Python<'_>, d: i64, description: &str, own_invlists: bool) -> PyResult<NativeObject> {
    let made = enter(py, || binary::factory::index_binary_factory(d, description, own_invlists));
    made.map(|index| NativeObject::root(index.object()))
}

// Codes are (n, code_size) of bytes.

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
    Ok(range_arrays(py, found))
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
