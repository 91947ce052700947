"""GPUs: how many there are, indexes to and from them, exhaustive search on them. No CUDA library is loaded before the first such call."""

from pathlib import Path
from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import output
from faiss.classes import Object, wrap
from faiss.gpu_arrays import DeviceArray, on_device
from faiss.index_methods import native_index

__all__ = [
    "INDICES_32_BIT",
    "INDICES_64_BIT",
    "INDICES_CPU",
    "INDICES_IVF",
    "DistanceDataType_BF16",
    "DistanceDataType_F16",
    "DistanceDataType_F32",
    "GpuResourcesVector",
    "IndicesDataType_I32",
    "IndicesDataType_I64",
    "MemorySpace_Device",
    "MemorySpace_Unified",
    "bfKnn",
    "bfKnn_tiling",
    "get_num_gpus",
    "gpu_launch_count",
    "gpu_launches",
    "gpu_profiler_start",
    "gpu_profiler_stop",
    "gpu_report",
    "gpu_sync_all_devices",
    "index_binary_cpu_to_gpu",
    "index_binary_cpu_to_gpu_multiple",
    "index_binary_gpu_to_cpu",
    "index_cpu_to_all_gpus",
    "index_cpu_to_gpu",
    "index_cpu_to_gpu_multiple",
    "index_cpu_to_gpu_multiple_py",
    "index_cpu_to_gpus_list",
    "index_gpu_to_cpu",
    "knn_gpu",
    "pairwise_distance_gpu",
]

DistanceDataType_F32, DistanceDataType_F16, DistanceDataType_BF16 = 1, 2, 3
IndicesDataType_I64, IndicesDataType_I32 = 1, 2
INDICES_CPU, INDICES_IVF, INDICES_32_BIT, INDICES_64_BIT = 0, 1, 2, 3
MemorySpace_Device, MemorySpace_Unified = 1, 2


def get_num_gpus() -> int:
    """Number of GPUs that can be used; 0 where there is no driver or no GPU part, whose absence other calls explain."""
    return _faiss.gpu_count()


def gpu_launch_count() -> int:
    """Number of kernels that this process has launched: tests know by it that work was done on a GPU."""
    return _faiss.gpu_launch_count()


def gpu_launches() -> list[dict[str, Any]]:
    """Which kernels this process has launched: device, kernel, launches, and the compute capabilities (as 90 for 9.0) of its machine
    code and of the PTX behind it, which differ where the driver compiled PTX."""
    keys = ("device", "kernel", "launches", "code", "ptx")
    return [dict(zip(keys, row, strict=True)) for row in _faiss.gpu_launches()]


class GpuResourcesMethods(Object):
    def getMemoryInfo(self) -> dict[int, dict[str, tuple[int, int]]]:
        """For each GPU in use, by kind of memory: the number of allocations and their bytes."""
        info: dict[int, dict[str, tuple[int, int]]] = {}
        for device, kind, count, size in self.this.call("getMemoryInfo"):
            info.setdefault(device, {})[kind] = (count, size)
        return info


def _native(value: Any, cls: type, what: str) -> Any:
    if not isinstance(value, cls):
        raise TypeError(f"{what} must be {cls.__name__}, not {type(value).__name__}")
    assert isinstance(value, Object)
    return value.this


def _provider(resources: Any) -> Any:
    return _native(resources, faiss.GpuResourcesProvider, "the resources")


def _options(options: Any) -> Any:
    return None if options is None else _native(options, faiss.GpuClonerOptions, "the options")


def index_cpu_to_gpu(provider: Any, device: int, index: Any, options: Any = None) -> Any:
    """A copy of a CPU index on a GPU.

    provider: StandardGpuResources, shared by as many indexes as one likes. options: GpuClonerOptions.
    """
    return wrap(_faiss.index_cpu_to_gpu(_provider(provider), device, native_index(index), _options(options)))


def index_gpu_to_cpu(index: Any) -> Any:
    """A copy of a GPU index on the CPU."""
    return wrap(_faiss.index_gpu_to_cpu(native_index(index)))


class GpuResourcesVector:
    """A `std::vector` of resources, one for each GPU of an index."""

    def __init__(self, items: Any = ()) -> None:
        self._items = list(items)

    def push_back(self, res: Any) -> None:
        """Appends resources, which stay alive as long as the vector."""
        _provider(res)
        self._items.append(res)

    def size(self) -> int:
        """Number of elements."""
        return len(self._items)

    def at(self, n: int) -> Any:
        """Element n."""
        if not 0 <= n < len(self._items):
            raise RuntimeError(f"Error: 'n < size()' failed: there are {len(self._items)} elements, none is {n}")
        return self._items[n]

    def clear(self) -> None:
        """Removes all elements."""
        self._items.clear()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Any:
        return iter(self._items)


def _several(provider: Any, devices: Any) -> tuple[list[Any], list[int]]:
    providers = [_provider(p) for p in provider]
    return providers, [int(d) for d in (faiss.vector_to_array(devices) if isinstance(devices, Object) else devices)]


def index_binary_cpu_to_gpu(provider: Any, device: int, index: Any, options: Any = None) -> Any:
    """A copy of an IndexBinaryFlat on a GPU. The options say nothing of binary indexes."""
    _options(options)
    return wrap(_faiss.index_binary_cpu_to_gpu(_provider(provider), device, _binary(index)))


def index_binary_cpu_to_gpu_multiple(provider: Any, devices: Any, index: Any, options: Any = None) -> Any:
    """A copy of an IndexBinaryFlat on the one GPU of a list; on several it is not implemented."""
    _options(options)
    return wrap(_faiss.index_binary_cpu_to_gpu_multiple(*_several(provider, devices), _binary(index)))


def index_binary_gpu_to_cpu(index: Any) -> Any:
    """A copy of a binary GPU index on the CPU."""
    return wrap(_faiss.index_binary_gpu_to_cpu(_binary(index)))


def _binary(index: Any) -> Any:
    return _native(index, faiss.IndexBinary, "the index")


def index_cpu_to_gpu_multiple(provider: Any, devices: Any, index: Any, options: Any = None) -> Any:
    """A copy of a CPU index on several GPUs: resources and numbers of the GPUs, one each. options: GpuMultipleClonerOptions."""
    providers, numbers = _several(provider, devices)
    return wrap(_faiss.index_cpu_to_gpu_multiple(providers, numbers, native_index(index), _options(options)))


def index_cpu_to_gpu_multiple_py(resources: Any, index: Any, co: Any = None, gpus: Any = None) -> Any:
    """A copy of a CPU index on the GPUs with these numbers, by default as many as there are resources."""
    return index_cpu_to_gpu_multiple(resources, range(len(resources)) if gpus is None else gpus, index, co)


def index_cpu_to_all_gpus(index: Any, co: Any = None, ngpu: int = -1) -> Any:
    """A copy of a CPU index on all GPUs, or on the first ngpu."""
    return index_cpu_to_gpus_list(index, co=co, gpus=None, ngpu=ngpu)


def index_cpu_to_gpus_list(index: Any, co: Any = None, gpus: Any = None, ngpu: int = -1) -> Any:
    """A copy of a CPU index on the GPUs with these numbers, or on the first ngpu."""
    if gpus is None:
        # Raises the reason where there is none.
        count = _faiss.gpu_check()
        gpus = range(count if ngpu == -1 else ngpu)
    return index_cpu_to_gpu_multiple_py([faiss.StandardGpuResources() for _ in gpus], index, co, gpus)


def gpu_sync_all_devices() -> None:
    """Waits for all work on GPUs. Every call has already waited for its own when it returns, so that nothing is left to do."""


def gpu_profiler_start() -> None:
    """Does nothing: profilers see the work of this library without being told."""


def gpu_profiler_stop() -> None:
    """Does nothing, as gpu_profiler_start does."""


def bfKnn(res: Any, args: Any) -> None:
    """Exhaustive search as GpuDistanceParams say. They hold addresses, which nothing checks; knn_gpu takes arrays."""
    bfKnn_tiling(res, args, 0, 0)


def bfKnn_tiling(res: Any, args: Any, vectorsMemoryLimit: int, queriesMemoryLimit: int) -> None:
    """As bfKnn, with at most so many bytes of vectors and of queries on the GPU at a time; 0 is no limit."""
    params = _native(args, faiss.GpuDistanceParams, "args")
    _faiss.bf_knn(_provider(res), params, vectorsMemoryLimit, queriesMemoryLimit, None)


def _set_vectors(args: Any, name: str, plural: str, x: Any) -> Any:
    """Lets the parameters name an array; returns it, or the copy of it that they name."""
    n, _ = x.shape
    if isinstance(x, DeviceArray):
        if not (x.c_contiguous or x.f_contiguous):
            raise ValueError("an array on a GPU must be contiguous, in C or Fortran order")
        setattr(args, plural, x.address)
        setattr(args, f"{name}Type", DistanceDataType_F32 if x.dtype == np.float32 else DistanceDataType_F16)
        setattr(args, f"{plural}RowMajor", x.c_contiguous)
        setattr(args, f"num{plural.capitalize()}", n)
        return x
    if x.dtype not in (np.float32, np.float16):
        x = x.astype("float32")
    row_major = x.flags.c_contiguous
    if not (row_major or x.flags.f_contiguous) or not x.flags.aligned:
        x, row_major = np.ascontiguousarray(x).copy(), True
    setattr(args, plural, x.ctypes.data)
    setattr(args, f"{name}Type", DistanceDataType_F32 if x.dtype == np.float32 else DistanceDataType_F16)
    setattr(args, f"{plural}RowMajor", row_major)
    setattr(args, f"num{plural.capitalize()}", n)
    return x


def _exhaustive(
    res: Any,
    xq: Any,
    xb: Any,
    metric: int,
    device: int,
    D: Any,
    labels: Any,
    limits: tuple[int, int] = (0, 0),
    use_cuvs: bool = False,
) -> None:
    args = faiss.GpuDistanceParams()
    args.metric = metric
    args.use_cuvs = use_cuvs
    args.k = D.shape[1] if labels is not None else -1
    args.dims = xb.shape[1]
    # Both must be of one type: f16 only if both are.
    there = [a for a in (xq, xb, D, labels) if isinstance(a, DeviceArray)]
    if there and (xq.dtype != xb.dtype or xq.dtype not in (np.float32, np.float16)):
        raise TypeError(f"arrays on a GPU must both be float32 or both float16, not {xq.dtype} and {xb.dtype}")
    if xq.dtype != xb.dtype:
        xq, xb = xq.astype("float32"), xb.astype("float32")
    kept = _set_vectors(args, "vector", "vectors", xb), _set_vectors(args, "query", "queries", xq)
    args.outDistances = _address(D)
    if labels is not None:
        args.outIndicesType = IndicesDataType_I64 if labels.dtype == np.int64 else IndicesDataType_I32
        args.outIndices = _address(labels)
    args.device = device
    streams = {a.stream for a in there if a.stream is not None}
    if len(streams) > 1:
        raise ValueError("the arrays are made on several streams")
    params = _native(args, faiss.GpuDistanceParams, "args")
    _faiss.bf_knn(_provider(res), params, *limits, next(iter(streams), None))
    del kept


def _address(array: Any) -> int:
    address: int = array.address if isinstance(array, DeviceArray) else array.ctypes.data
    return address


def _input(x: Any) -> Any:
    return DeviceArray(x) if on_device(x) else x


def _output(array: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Where results go: an array of the host, as `output` makes it, or the caller's on a GPU."""
    if not on_device(array):
        return output(array, shape, dtype)
    there = DeviceArray(array)
    assert there.shape == shape, f"the output array has shape {there.shape}, {shape} is wanted"
    if there.dtype != dtype:
        raise TypeError(f"the output array is of {there.dtype}, {dtype} is wanted")
    if there.read_only or not there.c_contiguous:
        raise ValueError("the output array is read-only or not C-contiguous")
    return there


def _given(array: Any) -> Any:
    return array.kept if isinstance(array, DeviceArray) else array


def _check_pair(xq: Any, xb: Any) -> tuple[int, int]:
    (nq, d), (nb, d2) = xq.shape, xb.shape
    if d != d2:
        raise AssertionError(f"the queries have {d} dimensions, the database {d2}")
    return nq, nb


def knn_gpu(
    res: Any,
    xq: Any,
    xb: Any,
    k: int,
    D: Any = None,
    I: Any = None,  # noqa: E741
    metric: int = 1,
    device: int = -1,
    use_cuvs: bool = False,
    vectorsMemoryLimit: int = 0,
    queriesMemoryLimit: int = 0,
) -> tuple[Any, Any]:
    """The k nearest neighbours of each query, found exactly on a GPU, without an index.

    Arrays may lie on that GPU: whatever has a CUDA Array Interface (torch, CuPy, JAX) is read and written in place, in order with
    the stream that it names, or torch's current one.

    res: StandardGpuResources. xq: queries, shape (nq, d). xb: database, shape (nb, d); float32 or float16, in C or Fortran order.
    D, I: where to write the results; I may be int64 or int32. metric: METRIC_L2 (squared distances), ...
    device: number of the GPU; -1 for the current one. vectorsMemoryLimit, queriesMemoryLimit: bytes of each on the GPU at a time;
    0 is no limit. use_cuvs: must be false, there is no cuVS here.

    Returns distances (float32) and positions in xb, shape (nq, k), best first; -1 is no result.
    """
    xq, xb = _input(xq), _input(xb)
    nq, _ = _check_pair(xq, xb)
    assert k > 0, "k must be positive"
    narrow = I is not None and (DeviceArray(I) if on_device(I) else I).dtype == np.int32
    D = _output(D, (nq, k), "float32")
    I = _output(I, (nq, k), "int32" if narrow else "int64")  # noqa: E741
    _exhaustive(res, xq, xb, metric, device, D, I, (vectorsMemoryLimit, queriesMemoryLimit), use_cuvs)
    return _given(D), _given(I)


def pairwise_distance_gpu(res: Any, xq: Any, xb: Any, D: Any = None, metric: int = 1, device: int = -1) -> Any:
    """The distance of every query to every vector, computed on a GPU: float32, shape (nq, nb). Arguments as for knn_gpu."""
    xq, xb = _input(xq), _input(xb)
    nq, nb = _check_pair(xq, xb)
    D = _output(D, (nq, nb), "float32")
    _exhaustive(res, xq, xb, metric, device, D, None)
    return _given(D)


def gpu_report() -> dict[str, list[str]]:
    """What is known of kernels, driver, CUDA libraries and GPUs, for `python -m faiss`."""
    families = sorted(p.stem for p in Path(faiss.__file__).with_name("kernels").glob("*.fatbin"))
    report = {"kernels": [", ".join(families) or "none: this is a wheel for CPUs"], "CUDA": [], "GPU": []}
    try:
        count = _faiss.gpu_check()
        built, driver = (f"{v // 1000}.{v % 1000 // 10}" for v in _faiss.gpu_versions())
        report["CUDA"] = [f"built with {built}, the driver supports {driver}"]
        libraries = _faiss.gpu_libraries()
        report["CUDA"] += [f"{name} {v // 1000}.{v % 1000 // 10} from {path}" for name, v, path in libraries]
        for device in range(count):
            p = _faiss.gpu_properties(device)
            major, minor = p["capability"]
            report["GPU"].append(f"{device}: {p['name']}, capability {major}.{minor}, {p['memory'] / 2**30:.0f} GiB")
    except RuntimeError as reason:
        report["GPU"] = [f"none: {str(reason).removeprefix('Error: ')}"]
    return report
