//! The GPU part: what is not a method of its types. No CUDA library is opened before the first of these calls that needs one.

use std::path::PathBuf;

use faiss_core::base::object::{cast, receiver};
use faiss_core::base::{Object, Result, Shared};
use faiss_core::binary::IndexBinary;
use faiss_gpu::index::on_device::{self, Addresses};
use faiss_gpu::standard::resources_of;
use faiss_gpu::{GpuClonerOptions, GpuDistanceParams, GpuMultipleClonerOptions};
use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::doorway::{enter, exception};
use crate::index::with_params;
use crate::object::NativeObject;
use faiss_core::base::lock::{read, write};

/// Names the folder that holds `libfaiss_cuda.so` and `kernels/`.
#[pyfunction]
pub fn gpu_set_library_dir(path: PathBuf) {
    faiss_gpu::set_library_dir(&path);
}

/// How many GPUs can be used; 0 where none can, whatever the reason.
#[pyfunction]
pub fn gpu_count(py: Python<'_>) -> PyResult<usize> {
    enter(py, || Ok(faiss_gpu::get_num_gpus()))
}

/// As gpu_count, but raises the reason why there is none.
#[pyfunction]
pub fn gpu_check(py: Python<'_>) -> PyResult<usize> {
    enter(py, || Ok(faiss_gpu::check_gpus()?))
}

/// How many kernels this process has launched.
#[pyfunction]
pub fn gpu_launch_count() -> u64 {
    faiss_gpu::launch_count()
}

/// (device, kernel, launches, architecture of its machine code, of the PTX behind it) of each kernel that was launched.
#[pyfunction]
pub fn gpu_launches(py: Python<'_>) -> PyResult<Vec<(i32, &'static str, u64, i32, i32)>> {
    enter(py, || {
        let all = faiss_gpu::launches()?;
        Ok(all.into_iter().map(|k| (k.device, k.kernel, k.launches, k.code, k.ptx)).collect())
    })
}

/// SHA-256 of some bytes, computed by a kernel of the wheel on a device: what proves that its kernels run there.
#[pyfunction]
pub fn gpu_sha256<'py>(py: Python<'py>, device: i32, message: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let digest = enter(py, || Ok(faiss_gpu::proof::sha256(device, message)?))?;
    Ok(PyBytes::new(py, &digest))
}

#[pyfunction]
pub fn gpu_properties(py: Python<'_>, device: i32) -> PyResult<Bound<'_, PyDict>> {
    let properties = enter(py, || Ok(faiss_gpu::device_properties(device)?))?;
    let described = PyDict::new(py);
    described.set_item("name", &properties.name)?;
    described.set_item("capability", (properties.major, properties.minor))?;
    described.set_item("memory", properties.total_memory)?;
    described.set_item("multiprocessors", properties.multiprocessors)?;
    Ok(described)
}

/// The CUDA version that the wheel was built with and the newest that the driver supports, as in (12010, 12080).
#[pyfunction]
pub fn gpu_versions(py: Python<'_>) -> PyResult<(i32, i32)> {
    enter(py, || {
        let cuda = faiss_gpu::sys::cuda()?;
        Ok((cuda.built.0, cuda.driver_version.0))
    })
}

/// (name, version as 12010 for 12.1, file) of CUDA's libraries that the loader found.
#[pyfunction]
pub fn gpu_libraries(py: Python<'_>) -> PyResult<Vec<(&'static str, i32, String)>> {
    enter(py, || {
        let cuda = faiss_gpu::sys::cuda()?;
        Ok(cuda.libraries.iter().map(|l| (l.name, l.version.0, l.path.clone())).collect())
    })
}

/// Options that Python passed, or the defaults; a type derived from them counts as them.
fn options<T: Object + Default + Clone + faiss_core::base::Described>(given: Option<&Shared<dyn Object>>) -> Result<T> {
    match given {
        None => Ok(T::default()),
        Some(object) => receiver::<T>(&*read(object)?).cloned(),
    }
}

#[pyfunction]
#[pyo3(signature = (provider, device, index, given))]
pub fn index_cpu_to_gpu(
    py: Python<'_>,
    provider: &NativeObject,
    device: i32,
    index: &NativeObject,
    given: Option<PyRef<'_, NativeObject>>,
) -> PyResult<NativeObject> {
    let (provider, index) = (provider.root.object(), index.index()?);
    let given = given.map(|g| g.root.object());
    let made = enter(py, || {
        let resources = resources_of(&provider)?;
        let options = options::<GpuClonerOptions>(given.as_ref())?;
        faiss_gpu::index_cpu_to_gpu(&resources, device, &*read(&index)?, &options)
    });
    made.map(NativeObject::root)
}

#[pyfunction]
#[pyo3(signature = (providers, devices, index, given))]
pub fn index_cpu_to_gpu_multiple(
    py: Python<'_>,
    providers: Vec<PyRef<'_, NativeObject>>,
    devices: Vec<i32>,
    index: &NativeObject,
    given: Option<PyRef<'_, NativeObject>>,
) -> PyResult<NativeObject> {
    let providers: Vec<_> = providers.iter().map(|p| p.root.object()).collect();
    let (index, given) = (index.index()?, given.map(|g| g.root.object()));
    let made = enter(py, || {
        let resources = providers.iter().map(resources_of).collect::<Result<Vec<_>>>()?;
        let options = match &given {
            // Plain options say nothing of several GPUs.
            Some(object) if cast::<GpuMultipleClonerOptions>(&*read(object)?).is_none() => {
                GpuMultipleClonerOptions { base: options(Some(object))?, ..Default::default() }
            }
            other => options(other.as_ref())?,
        };
        faiss_gpu::index_cpu_to_gpu_multiple(&resources, &devices, &*read(&index)?, &options)
    });
    made.map(NativeObject::root)
}

#[pyfunction]
pub fn index_gpu_to_cpu(py: Python<'_>, index: &NativeObject) -> PyResult<NativeObject> {
    let index = index.index()?;
    enter(py, || faiss_gpu::index_gpu_to_cpu(&*read(&index)?)).map(NativeObject::root)
}

/// Whether an index takes arrays of its GPU by their addresses.
#[pyfunction]
pub fn gpu_takes_arrays(py: Python<'_>, this: &NativeObject) -> PyResult<bool> {
    let index = this.index()?;
    enter(py, || Ok(on_device::takes_arrays(&*read(&index)?)))
}

/// As `add`, of `n` vectors at an address of the index's GPU, in order with a stream. `ids` of the host.
#[pyfunction]
#[pyo3(signature = (this, x, n, ids, stream))]
pub fn gpu_add(
    py: Python<'_>,
    this: &NativeObject,
    x: usize,
    n: usize,
    ids: Option<PyReadonlyArray1<'_, i64>>,
    stream: Option<usize>,
) -> PyResult<()> {
    let index = this.index()?;
    let ids = ids.as_ref().map(|ids| ids.as_slice()).transpose()?;
    enter(py, || on_device::add(&mut *write(&index)?, x, n, ids, stream))
}

/// As `search`, for `n` queries at an address of the index's GPU; results go to two more addresses.
#[pyfunction]
#[pyo3(signature = (this, n, k, params, addresses, stream))]
pub fn gpu_search(
    py: Python<'_>,
    this: &NativeObject,
    n: usize,
    k: usize,
    params: Option<PyRef<'_, NativeObject>>,
    addresses: (usize, usize, usize),
    stream: Option<usize>,
) -> PyResult<()> {
    let index = this.index()?;
    let (x, distances, labels) = addresses;
    let at = Addresses { x, distances, labels, stream };
    with_params(py, params.as_deref(), |params| on_device::search(&*read(&index)?, n, k, params, at))
}

/// Copies memory of a GPU to an array of the host, of as many bytes.
#[pyfunction]
pub fn gpu_read(py: Python<'_>, address: usize, mut target: PyReadwriteArray1<'_, u8>) -> PyResult<()> {
    let target = target.as_slice_mut()?;
    enter(py, || Ok(faiss_gpu::given::read(address, target)?))
}

#[pyfunction]
pub fn index_binary_cpu_to_gpu(
    py: Python<'_>,
    provider: &NativeObject,
    device: i32,
    index: &NativeObject,
) -> PyResult<NativeObject> {
    let (provider, index) = (provider.root.object(), index.root.view::<dyn IndexBinary>().map_err(exception)?);
    let made = enter(py, || faiss_gpu::index_binary_cpu_to_gpu(&resources_of(&provider)?, device, &*read(&index)?));
    made.map(NativeObject::root)
}

#[pyfunction]
pub fn index_binary_cpu_to_gpu_multiple(
    py: Python<'_>,
    providers: Vec<PyRef<'_, NativeObject>>,
    devices: Vec<i32>,
    index: &NativeObject,
) -> PyResult<NativeObject> {
    let providers: Vec<_> = providers.iter().map(|p| p.root.object()).collect();
    let index = index.root.view::<dyn IndexBinary>().map_err(exception)?;
    let made = enter(py, || {
        let resources = providers.iter().map(resources_of).collect::<Result<Vec<_>>>()?;
        faiss_gpu::index_binary_cpu_to_gpu_multiple(&resources, &devices, &*read(&index)?)
    });
    made.map(NativeObject::root)
}

#[pyfunction]
pub fn index_binary_gpu_to_cpu(py: Python<'_>, index: &NativeObject) -> PyResult<NativeObject> {
    let index = index.root.view::<dyn IndexBinary>().map_err(exception)?;
    enter(py, || faiss_gpu::index_binary_gpu_to_cpu(&*read(&index)?)).map(NativeObject::root)
}

/// Exhaustive search as the parameters say, whose addresses nothing can check: `faiss.knn_gpu` makes them from arrays.
#[pyfunction]
#[pyo3(signature = (provider, params, vectors_limit, queries_limit, stream = None))]
pub fn bf_knn(
    py: Python<'_>,
    provider: &NativeObject,
    params: &NativeObject,
    vectors_limit: usize,
    queries_limit: usize,
    stream: Option<usize>,
) -> PyResult<()> {
    let (provider, params) = (provider.root.object(), params.root.object());
    enter(py, || {
        let params = receiver::<GpuDistanceParams>(&*read(&params)?).cloned()?;
        let resources = resources_of(&provider)?;
        // SAFETY: the caller of `bfKnn` vouches for its addresses, as in C++; `knn_gpu` takes them from arrays that it holds.
        unsafe { faiss_gpu::bf_knn_on(&resources, &params, vectors_limit, queries_limit, stream) }?;
        Ok(())
    })
}
