//! Functions on arrays, and switches of the library.

use std::sync::atomic::{AtomicUsize, Ordering};

use faiss_core::base::{Error, MetricType, progress, threads};
use faiss_core::binary::hash::INDEX_BINARY_HASH_STATS;
use faiss_core::index::ivf::pq::PRECOMPUTED_TABLE_MAX_BYTES;
use faiss_core::index::stats;
use faiss_core::{cluster, distance, random, simd, stream};
use numpy::{
    PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyAttributeError, PyMemoryError};
use pyo3::prelude::*;

use crate::doorway::{enter, exception};
use crate::object::NativeObject;

fn metric_of(number: i64) -> PyResult<MetricType> {
    MetricType::try_from(number).map_err(exception)
}

/// `n` zeros, or an exception where memory can't hold them.
fn zeros<T: Copy + Default>(n: usize) -> PyResult<Vec<T>> {
    let mut items = Vec::new();
    items.try_reserve_exact(n).map_err(|_| PyMemoryError::new_err(format!("could not get memory for {n} elements")))?;
    items.resize(n, T::default());
    Ok(items)
}

#[pyfunction]
pub fn knn(
    py: Python<'_>,
    xq: PyReadonlyArray2<'_, f32>,
    xb: PyReadonlyArray2<'_, f32>,
    metric: i64,
    metric_arg: f32,
    mut distances: PyReadwriteArray2<'_, f32>,
    mut labels: PyReadwriteArray2<'_, i64>,
) -> PyResult<()> {
    let metric = metric_of(metric)?;
    let (nq, nb, d, k) = (xq.shape()[0], xb.shape()[0], xb.shape()[1], distances.shape()[1]);
    let (xq, xb) = (xq.as_slice()?, xb.as_slice()?);
    let (out_d, out_l) = (distances.as_slice_mut()?, labels.as_slice_mut()?);
    enter(py, || distance::knn(xq, nq, &distance::Database::new(xb, nb, d)?, metric, metric_arg, k, out_d, out_l))
}

#[pyfunction]
pub fn pairwise_distances<'py>(
    py: Python<'py>,
    xq: PyReadonlyArray2<'_, f32>,
    xb: PyReadonlyArray2<'_, f32>,
    metric: i64,
    metric_arg: f32,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let metric = metric_of(metric)?;
    let (nq, nb, d) = (xq.shape()[0], xb.shape()[0], xb.shape()[1]);
    let (xq, xb) = (xq.as_slice()?, xb.as_slice()?);
    let mut out = zeros(nq.saturating_mul(nb))?;
    enter(py, || distance::pairwise_distances(xq, nq, xb, nb, d, metric, metric_arg, &mut out))?;
    array2(py, out, nq, nb)
}

/// An array of a vector's elements without copying them.
fn array2<T: numpy::Element>(
    py: Python<'_>,
    items: Vec<T>,
    rows: usize,
    columns: usize,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    use numpy::PyArrayMethods;
    PyArray1::from_vec(py, items).reshape([rows, columns])
}

#[pyfunction]
pub fn merge_knn_results<'py>(
    py: Python<'py>,
    distances: PyReadonlyArray3<'_, f32>,
    labels: PyReadonlyArray3<'_, i64>,
    keep_max: bool,
) -> PyResult<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<i64>>)> {
    let [nshard, n, k] = [0, 1, 2].map(|axis| distances.shape()[axis]);
    let (distances, labels) = (distances.as_slice()?, labels.as_slice()?);
    let (mut out_d, mut out_l) = (zeros(n * k)?, zeros(n * k)?);
    enter(py, || distance::merge_knn_results(n, k, nshard, distances, labels, keep_max, &mut out_d, &mut out_l))?;
    Ok((array2(py, out_d, n, k)?, array2(py, out_l, n, k)?))
}

#[pyfunction]
pub fn kmeans1d<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'_, f32>,
    k: usize,
) -> PyResult<(Bound<'py, PyArray1<f32>>, f64)> {
    let x = x.as_slice()?;
    let (centroids, imbalance) = enter(py, || cluster::kmeans1d(x, k))?;
    Ok((PyArray1::from_vec(py, centroids), imbalance))
}

#[pyfunction]
pub fn is_similarity_metric(metric: i64) -> PyResult<bool> {
    Ok(metric_of(metric)?.is_similarity())
}

#[pyfunction]
#[pyo3(name = "normalize_L2")]
pub fn normalize_l2(py: Python<'_>, mut x: PyReadwriteArray2<'_, f32>) -> PyResult<()> {
    let d = x.shape()[1];
    let x = x.as_slice_mut()?;
    enter(py, || if d == 0 { Ok(()) } else { distance::fvec_renorm_L2(x, d) })
}

#[pyfunction]
pub fn float_rand(py: Python<'_>, n: usize, seed: i64) -> PyResult<Bound<'_, PyArray1<f32>>> {
    let mut x = zeros(n)?;
    enter(py, || random::float_rand(&mut x, seed))?;
    Ok(PyArray1::from_vec(py, x))
}

#[pyfunction]
pub fn float_randn(py: Python<'_>, n: usize, seed: i64) -> PyResult<Bound<'_, PyArray1<f32>>> {
    let mut x = zeros(n)?;
    enter(py, || random::float_randn(&mut x, seed))?;
    Ok(PyArray1::from_vec(py, x))
}

#[pyfunction]
#[pyo3(signature = (n, seed, vmax))]
pub fn int64_rand(py: Python<'_>, n: usize, seed: i64, vmax: Option<u64>) -> PyResult<Bound<'_, PyArray1<i64>>> {
    let mut x = zeros(n)?;
    enter(py, || match vmax {
        None => random::int64_rand(&mut x, seed),
        Some(0) => Err(Error::value("vmax must be positive")),
        Some(vmax) => random::int64_rand_max(&mut x, vmax, seed),
    })?;
    Ok(PyArray1::from_vec(py, x))
}

#[pyfunction]
pub fn byte_rand(py: Python<'_>, n: usize, seed: i64) -> PyResult<Bound<'_, PyArray1<u8>>> {
    let mut x = zeros(n)?;
    enter(py, || random::byte_rand(&mut x, seed))?;
    Ok(PyArray1::from_vec(py, x))
}

/// A switch of the library by its name in Faiss's `cvar`.
fn switch(name: &str) -> PyResult<&'static AtomicUsize> {
    match name {
        "distance_compute_blas_threshold" => Ok(&distance::DISTANCE_COMPUTE_BLAS_THRESHOLD),
        "distance_compute_blas_query_bs" => Ok(&distance::DISTANCE_COMPUTE_BLAS_QUERY_BS),
        "distance_compute_blas_database_bs" => Ok(&distance::DISTANCE_COMPUTE_BLAS_DATABASE_BS),
        "distance_compute_min_k_reservoir" => Ok(&distance::DISTANCE_COMPUTE_MIN_K_RESERVOIR),
        "precomputed_table_max_bytes" => Ok(&PRECOMPUTED_TABLE_MAX_BYTES),
        _ => Err(PyAttributeError::new_err(format!("there is no global variable '{name}'"))),
    }
}

/// A switch's number, or an object that the library has one of.
#[pyfunction]
pub fn get_global(py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
    let binary = || (name == "indexBinaryHash_stats").then(|| INDEX_BINARY_HASH_STATS.object());
    match stats::global(name).or_else(binary) {
        Some(stats) => Ok(Py::new(py, NativeObject::root(stats))?.into_any()),
        None => Ok(switch(name)?.load(Ordering::Relaxed).into_pyobject(py)?.into_any().unbind()),
    }
}

#[pyfunction]
pub fn set_global(name: &str, value: usize) -> PyResult<()> {
    switch(name)?.store(value, Ordering::Relaxed);
    Ok(())
}

#[pyfunction]
pub fn get_deserialization_limit(name: &str) -> PyResult<usize> {
    match name {
        "vector_byte" => Ok(stream::get_deserialization_vector_byte_limit()),
        "loop" => Ok(stream::get_deserialization_loop_limit()),
        "lattice_r2" => Ok(stream::get_deserialization_lattice_r2_limit()),
        _ => Err(PyAttributeError::new_err(format!("there is no limit '{name}'"))),
    }
}

#[pyfunction]
pub fn set_deserialization_limit(name: &str, value: usize) -> PyResult<()> {
    match name {
        "vector_byte" => stream::set_deserialization_vector_byte_limit(value),
        "loop" => stream::set_deserialization_loop_limit(value),
        "lattice_r2" => stream::set_deserialization_lattice_r2_limit(value),
        _ => return Err(PyAttributeError::new_err(format!("there is no limit '{name}'"))),
    }
    Ok(())
}

#[pyfunction]
pub fn omp_set_num_threads(n: i32) {
    threads::omp_set_num_threads(n);
}

#[pyfunction]
pub fn omp_get_max_threads() -> usize {
    threads::omp_get_max_threads()
}

/// A permutation of `0..n`, the one of Faiss's generator or of its SplitMix64.
#[pyfunction]
pub fn rand_perm(py: Python<'_>, n: usize, seed: i64, splitmix64: bool) -> PyResult<Bound<'_, PyArray1<i32>>> {
    let mut perm = zeros(n)?;
    enter(py, || {
        if splitmix64 {
            random::rand_perm_splitmix64(&mut perm, seed);
        } else {
            random::rand_perm(&mut perm, seed);
        }
        Ok(())
    })?;
    Ok(PyArray1::from_vec(py, perm))
}

/// A progress bar on the terminal, or no longer one.
#[pyfunction]
pub fn show_progress(on: bool) {
    progress::show_bar(on);
}

/// The number of the instruction set in use.
#[pyfunction]
pub fn simd_level() -> i32 {
    simd::level().number()
}

/// The number of the best instruction set of this machine.
#[pyfunction]
pub fn detected_simd_level() -> i32 {
    simd::detect().number()
}

/// The number of the instruction set that kernels run with.
#[pyfunction]
pub fn dispatched_simd_level() -> i32 {
    simd::dispatched_level().number()
}

/// Uses an instruction set; false where it is not available.
#[pyfunction]
pub fn set_simd_level(number: i32) -> bool {
    simd::LEVELS.into_iter().find(|level| level.number() == number).is_some_and(simd::set_level)
}

/// The numbers of the instruction sets that this build has code for and, if that is wanted, this machine can run.
#[pyfunction]
pub fn simd_levels(available: bool) -> Vec<i32> {
    let usable = |level: &simd::Level| if available { level.is_available() } else { level.is_compiled() };
    simd::LEVELS.into_iter().filter(usable).map(simd::Level::number).collect()
}

/// Whether this processor works through a register of AVX-512 in two halves.
#[pyfunction]
pub fn avx512_split() -> bool {
    simd::avx512_split()
}
