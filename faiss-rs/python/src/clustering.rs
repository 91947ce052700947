//! k-means.

use faiss_core::base::object::receiver_mut;
use faiss_core::cluster::{self, Clustering};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::doorway::enter;
use crate::object::NativeObject;
use faiss_core::base::lock::write;

#[pyfunction]
#[pyo3(signature = (this, x, index, weights))]
pub fn clustering_train(
    py: Python<'_>,
    this: &NativeObject,
    x: PyReadonlyArray2<'_, f32>,
    index: &NativeObject,
    weights: Option<PyReadonlyArray1<'_, f32>>,
) -> PyResult<()> {
    let (object, index, x) = (this.root.object(), index.index()?, x.as_slice()?);
    let weights = weights.as_ref().map(|w| w.as_slice()).transpose()?;
    enter(py, || {
        let mut object = write(&object)?;
        receiver_mut::<Clustering>(&mut *object)?.train(x, &mut *write(&index)?, weights)
    })
}

#[pyfunction]
pub fn kmeans_clustering(
    py: Python<'_>,
    x: PyReadonlyArray2<'_, f32>,
    mut centroids: PyReadwriteArray2<'_, f32>,
) -> PyResult<f32> {
    let (k, d) = (centroids.shape()[0], centroids.shape()[1]);
    let (x, centroids) = (x.as_slice()?, centroids.as_slice_mut()?);
    enter(py, || cluster::kmeans_clustering(d, x, k, centroids))
}
