//! The methods that every index has, over floats and over bits. Arrays come C-contiguous and of the right type: the package sees to it, and this checks it again.

use faiss_core::base::{Error, Object, Result, Shared, View};
use faiss_core::binary::IndexBinary;
use faiss_core::distance::RangeSearchResult;
use faiss_core::index::Index;
use faiss_core::selector::IDSelector;
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, PyReadwriteArray2,
    PyReadwriteArray3, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::callbacks::callback_error;
use crate::doorway::{enter, exception};
use crate::object::NativeObject;
use faiss_core::base::lock::{read, write};

impl NativeObject {
    pub fn index(&self) -> PyResult<Shared<dyn Index>> {
        self.root.view().map_err(exception)
    }

    pub fn binary(&self) -> PyResult<Shared<dyn IndexBinary>> {
        self.root.view().map_err(exception)
    }

    pub fn selector(&self) -> PyResult<Shared<dyn IDSelector>> {
        self.root.view().map_err(exception)
    }
}

/// Runs `work` with the search parameters, and raises what their callbacks raised.
pub fn with_params<T: Send>(
    py: Python<'_>,
    params: Option<&NativeObject>,
    work: impl FnOnce(Option<&dyn Object>) -> Result<T> + Send,
) -> PyResult<T> {
    let Some(params) = params else { return enter(py, || work(None)) };
    let object = params.root.object();
    let result = enter(py, || work(Some(&*read(&object)?)));
    match callback_error(py, &params.root) {
        Some(error) => Err(error),
        None => result,
    }
}

pub type RangeResult<'py> = (Bound<'py, PyArray1<usize>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<i64>>);

/// What a range search found, as arrays.
pub fn range_arrays(py: Python<'_>, found: RangeSearchResult) -> RangeResult<'_> {
    (PyArray1::from_vec(py, found.lims), PyArray1::from_vec(py, found.distances), PyArray1::from_vec(py, found.labels))
}

/// Runs `work` with the index alone and the other one too, in an order that is the same for all threads.
fn with_both<I: ?Sized + View, T: Send>(
    py: Python<'_>,
    (index, other): (Shared<I>, Shared<I>),
    work: impl FnOnce(&mut I, &mut I) -> Result<T> + Send,
) -> PyResult<T> {
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

/// Results of a search that are worth being made in one go with it.
const FEW_RESULTS: usize = 1 << 14;

/// A small search by vectors that lie as they must, with new arrays for its results. None where it is none: the package then sees to the arrays.
#[pyfunction]
pub fn search_few<'py>(
    py: Python<'py>,
    this: &NativeObject,
    x: &Bound<'py, PyAny>,
    k: usize,
    params: Option<PyRef<'_, NativeObject>>,
) -> PyResult<Option<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<i64>>)>> {
    let Ok(x) = x.cast::<PyArray2<f32>>() else { return Ok(None) };
    if !(x.is_c_contiguous() && x.data().is_aligned()) {
        return Ok(None);
    }
    let Ok(x) = x.try_readonly() else { return Ok(None) };
    let (values, n, d) = (x.as_slice()?, x.shape()[0], x.shape()[1]);
    let index = this.index()?;
    // Nothing is waited for while others could not run.
    let fits = index.read_now().is_some_and(|index| index.base().dim() == d);
    if !fits || n.checked_mul(k).is_none_or(|results| results > FEW_RESULTS) {
        return Ok(None);
    }
    let (distances, labels) = (PyArray2::<f32>::zeros(py, [n, k], false), PyArray2::<i64>::zeros(py, [n, k], false));
    {
        let (mut distances, mut labels) = (distances.readwrite(), labels.readwrite());
        let (distances, labels) = (distances.as_slice_mut()?, labels.as_slice_mut()?);
        // Searches that add to results find none in new arrays.
        labels.fill(-1);
        with_params(py, params.as_deref(), |params| read(&index)?.search(values, k, params, distances, labels))?;
    }
    Ok(Some((distances, labels)))
}

/// The functions of a trait of indexes: how an object is seen as one, what vectors consist of, what distances are, and the functions' names.
macro_rules! index_functions {
    (
        $get:ident, $item:ty, $distance:ty;
        $train:ident $add:ident $add_with_ids:ident $search:ident $search_and_reconstruct:ident $assign:ident
        $range_search:ident $reset:ident $reconstruct:ident $reconstruct_n:ident $remove_ids:ident
        $merge_from:ident $check_compatible_for_merge:ident $add_sa_codes:ident
    ) => {
        #[pyfunction]
        pub fn $train(py: Python<'_>, this: &NativeObject, x: PyReadonlyArray2<'_, $item>) -> PyResult<()> {
            let (index, x) = (this.$get()?, x.as_slice()?);
            enter(py, || write(&index)?.train(x))
        }

        #[pyfunction]
        pub fn $add(py: Python<'_>, this: &NativeObject, x: PyReadonlyArray2<'_, $item>) -> PyResult<()> {
            let (index, x) = (this.$get()?, x.as_slice()?);
            enter(py, || write(&index)?.add(x))
        }

        #[pyfunction]
        pub fn $add_with_ids(
            py: Python<'_>,
            this: &NativeObject,
            x: PyReadonlyArray2<'_, $item>,
            ids: PyReadonlyArray1<'_, i64>,
        ) -> PyResult<()> {
            let (index, x, ids) = (this.$get()?, x.as_slice()?, ids.as_slice()?);
            enter(py, || write(&index)?.add_with_ids(x, ids))
        }

        #[pyfunction]
        pub fn $search(
            py: Python<'_>,
            this: &NativeObject,
            x: PyReadonlyArray2<'_, $item>,
            k: usize,
            params: Option<PyRef<'_, NativeObject>>,
            mut distances: PyReadwriteArray2<'_, $distance>,
            mut labels: PyReadwriteArray2<'_, i64>,
        ) -> PyResult<()> {
            let (index, x, d, l) = (this.$get()?, x.as_slice()?, distances.as_slice_mut()?, labels.as_slice_mut()?);
            with_params(py, params.as_deref(), |params| read(&index)?.search(x, k, params, d, l))
        }

        #[pyfunction]
        pub fn $search_and_reconstruct(
            py: Python<'_>,
            this: &NativeObject,
            x: PyReadonlyArray2<'_, $item>,
            k: usize,
            params: Option<PyRef<'_, NativeObject>>,
            mut distances: PyReadwriteArray2<'_, $distance>,
            mut labels: PyReadwriteArray2<'_, i64>,
            mut recons: PyReadwriteArray3<'_, $item>,
        ) -> PyResult<()> {
            let (index, x) = (this.$get()?, x.as_slice()?);
            let (d, l, r) = (distances.as_slice_mut()?, labels.as_slice_mut()?, recons.as_slice_mut()?);
            with_params(py, params.as_deref(), |params| read(&index)?.search_and_reconstruct(x, k, params, d, l, r))
        }

        #[pyfunction]
        pub fn $assign(
            py: Python<'_>,
            this: &NativeObject,
            x: PyReadonlyArray2<'_, $item>,
            k: usize,
            mut labels: PyReadwriteArray2<'_, i64>,
        ) -> PyResult<()> {
            let (index, x, labels) = (this.$get()?, x.as_slice()?, labels.as_slice_mut()?);
            enter(py, || read(&index)?.assign(x, k, labels))
        }

        #[pyfunction]
        pub fn $range_search<'py>(
            py: Python<'py>,
            this: &NativeObject,
            x: PyReadonlyArray2<'_, $item>,
            radius: $distance,
            params: Option<PyRef<'_, NativeObject>>,
        ) -> PyResult<RangeResult<'py>> {
            let (index, x) = (this.$get()?, x.as_slice()?);
            let found = with_params(py, params.as_deref(), |params| read(&index)?.range_search(x, radius, params))?;
            Ok(range_arrays(py, found))
        }

        #[pyfunction]
        pub fn $reset(py: Python<'_>, this: &NativeObject) -> PyResult<()> {
            let index = this.$get()?;
            enter(py, || write(&index)?.reset())
        }

        #[pyfunction]
        pub fn $reconstruct(
            py: Python<'_>,
            this: &NativeObject,
            key: i64,
            mut out: PyReadwriteArray1<'_, $item>,
        ) -> PyResult<()> {
            let (index, out) = (this.$get()?, out.as_slice_mut()?);
            enter(py, || read(&index)?.reconstruct(key, out))
        }

        #[pyfunction]
        pub fn $reconstruct_n(
            py: Python<'_>,
            this: &NativeObject,
            i0: i64,
            ni: usize,
            mut out: PyReadwriteArray2<'_, $item>,
        ) -> PyResult<()> {
            let (index, out) = (this.$get()?, out.as_slice_mut()?);
            enter(py, || read(&index)?.reconstruct_n(i0, ni, out))
        }

        #[pyfunction]
        pub fn $remove_ids(py: Python<'_>, this: &NativeObject, selector: &NativeObject) -> PyResult<usize> {
            let (index, sel) = (this.$get()?, selector.selector()?);
            let removed = enter(py, || write(&index)?.remove_ids(&*read(&sel)?));
            match callback_error(py, &selector.root) {
                Some(error) => Err(error),
                None => removed,
            }
        }

        #[pyfunction]
        pub fn $merge_from(py: Python<'_>, this: &NativeObject, other: &NativeObject, add_id: i64) -> PyResult<()> {
            with_both(py, (this.$get()?, other.$get()?), |index, other| index.merge_from(other, add_id))
        }

        #[pyfunction]
        pub fn $check_compatible_for_merge(py: Python<'_>, this: &NativeObject, other: &NativeObject) -> PyResult<()> {
            let (index, other) = (this.$get()?, other.$get()?);
            enter(py, || read(&index)?.check_compatible_for_merge(&*read(&other)?))
        }

        #[pyfunction]
        #[pyo3(signature = (this, codes, ids))]
        pub fn $add_sa_codes(
            py: Python<'_>,
            this: &NativeObject,
            codes: PyReadonlyArray2<'_, u8>,
            ids: Option<PyReadonlyArray1<'_, i64>>,
        ) -> PyResult<()> {
            let (index, codes) = (this.$get()?, codes.as_slice()?);
            let ids = ids.as_ref().map(|ids| ids.as_slice()).transpose()?;
            enter(py, || write(&index)?.add_sa_codes(codes, ids))
        }
    };
}

index_functions! {
    index, f32, f32;
    train add add_with_ids search search_and_reconstruct assign
    range_search reset reconstruct reconstruct_n remove_ids
    merge_from check_compatible_for_merge add_sa_codes
}

index_functions! {
    binary, u8, i32;
    binary_train binary_add binary_add_with_ids binary_search binary_search_and_reconstruct binary_assign
    binary_range_search binary_reset binary_reconstruct binary_reconstruct_n binary_remove_ids
    binary_merge_from binary_check_compatible_for_merge binary_add_sa_codes
}

#[pyfunction]
pub fn reconstruct_batch(
    py: Python<'_>,
    this: &NativeObject,
    keys: PyReadonlyArray1<'_, i64>,
    mut out: PyReadwriteArray2<'_, f32>,
) -> PyResult<()> {
    let (index, keys, out) = (this.index()?, keys.as_slice()?, out.as_slice_mut()?);
    enter(py, || read(&index)?.reconstruct_batch(keys, out))
}

/// True where the selector holds the id.
#[pyfunction]
pub fn is_member(py: Python<'_>, this: &NativeObject, id: i64) -> PyResult<bool> {
    let selector = this.selector()?;
    let answer = enter(py, || Ok(read(&selector)?.is_member(id)));
    match callback_error(py, &this.root) {
        Some(error) => Err(error),
        None => answer,
    }
}

#[pyfunction]
pub fn sa_code_size(py: Python<'_>, this: &NativeObject) -> PyResult<usize> {
    let index = this.index()?;
    enter(py, || read(&index)?.sa_code_size())
}

#[pyfunction]
pub fn sa_encode(
    py: Python<'_>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, f32>,
    mut codes: PyReadwriteArray2<'_, u8>,
) -> PyResult<()> {
    let (index, x, codes) = (this.index()?, x.as_slice()?, codes.as_slice_mut()?);
    enter(py, || read(&index)?.sa_encode(x, codes))
}

#[pyfunction]
pub fn sa_decode(
    py: Python<'_>,
    this: &NativeObject,
    codes: PyReadonlyArray2<'_, u8>,
    mut out: PyReadwriteArray2<'_, f32>,
) -> PyResult<()> {
    let (index, codes, out) = (this.index()?, codes.as_slice()?, out.as_slice_mut()?);
    enter(py, || read(&index)?.sa_decode(codes, out))
}

#[pyfunction]
pub fn search_subset(
    py: Python<'_>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, f32>,
    candidates: PyReadonlyArray2<'_, i64>,
    mut distances: PyReadwriteArray2<'_, f32>,
    mut labels: PyReadwriteArray2<'_, i64>,
) -> PyResult<()> {
    let (k_base, k) = (candidates.shape()[1], labels.shape()[1]);
    let (index, x, candidates) = (this.index()?, x.as_slice()?, candidates.as_slice()?);
    let (d, l) = (distances.as_slice_mut()?, labels.as_slice_mut()?);
    enter(py, || read(&index)?.search_subset(x, k_base, candidates, k, d, l))
}

/// The distance of a vector to the stored vector `i`.
#[pyfunction]
pub fn distance_to(py: Python<'_>, this: &NativeObject, x: PyReadonlyArray1<'_, f32>, i: i64) -> PyResult<f32> {
    let (index, x) = (this.index()?, x.as_slice()?);
    enter(py, || {
        let index = read(&index)?;
        Error::check(x.len() == index.base().dim(), "x.size() == d")?;
        let i = index.base().position(i)?;
        let mut computer = index.get_distance_computer()?;
        computer.set_query(x)?;
        Ok(computer.distance(i))
    })
}

/// The distance between two stored vectors.
#[pyfunction]
pub fn distance_between(py: Python<'_>, this: &NativeObject, i: i64, j: i64) -> PyResult<f32> {
    let index = this.index()?;
    enter(py, || {
        let index = read(&index)?;
        let (i, j) = (index.base().position(i)?, index.base().position(j)?);
        Ok(index.get_distance_computer()?.symmetric_distance(i, j))
    })
}
