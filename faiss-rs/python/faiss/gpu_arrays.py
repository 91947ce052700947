"""Arrays of a GPU: by their CUDA Array Interface (torch, CuPy, JAX) or by DLPack, read and written where they lie, in order with the stream they are
made on."""

import sys
from typing import Any

import numpy as np

from faiss import _faiss, dlpack
from faiss.arrays import contiguous
from faiss.common_methods import native_params
from faiss.index_methods import IndexMethods

_FLOAT32 = np.dtype("float32")


class DeviceArray:
    """An array of a GPU by its CUDA Array Interface or by DLPack, with as much of numpy's as is needed here."""

    def __init__(self, array: Any) -> None:
        self.kept: Any = array
        if is_torch(array):
            # One that takes part in gradients has no interface.
            array = array.detach()
        if hasattr(array, "__cuda_array_interface__"):
            interface = array.__cuda_array_interface__
        else:
            interface, self.capsule = dlpack.interface(array)
        self.dtype, self.shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
        self.address, self.read_only = interface["data"]
        size, steps = self.dtype.itemsize, interface.get("strides")
        rows = tuple(size * int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape)))
        columns = tuple(size * int(np.prod(self.shape[:i])) for i in range(len(self.shape)))
        # Where there is one row or column, or nothing, the steps along it may say anything.
        self.c_contiguous = steps is None or _agree(steps, rows, self.shape)
        self.f_contiguous = steps is not None and _agree(steps, columns, self.shape)
        self.stream = _stream_of(array, interface)


def _agree(steps: tuple[int, ...], wanted: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return 0 in shape or all(n == 1 or a == b for n, a, b in zip(shape, steps, wanted, strict=True))


def _stream_of(array: Any, interface: dict[str, Any]) -> int | None:
    """The stream that an array of a GPU is made on, as far as it says so."""
    if "stream" in interface:
        stream: int | None = interface["stream"]
        return stream
    # Torch's interface names none: it is the current one.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return int(torch.cuda.current_stream(array.device).cuda_stream)
    return None


def on_device(x: Any) -> bool:
    """Whether an array lies on a GPU. A torch tensor has the interface's name wherever it is."""
    if isinstance(x, np.ndarray):
        return False
    if is_torch(x):
        return bool(x.is_cuda)
    return hasattr(x, "__cuda_array_interface__") or dlpack.on_device(x)


def is_torch(x: Any) -> bool:
    """Whether it is a tensor of PyTorch, which this never imports."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def empty_like(x: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A new array of the same library on the same GPU; of the host where the library is not known here."""
    if is_torch(x):
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=getattr(torch, dtype), device=x.device)
    library = sys.modules.get(type(x).__module__.partition(".")[0])
    if getattr(library, "__name__", "") == "cupy":
        assert library is not None
        with x.device:
            return library.empty(shape, dtype)
    return np.empty(shape, dtype)


def _rows(index: Any, x: Any) -> tuple[Any, DeviceArray]:
    """Vectors of a GPU as f32 rows one after the other, which they mostly are, and where they lie."""
    if is_torch(x):
        torch = sys.modules["torch"]
        x = x.detach().to(torch.float32).contiguous()
    there = DeviceArray(x)
    if there.dtype != np.float32 and hasattr(x, "astype"):
        x = x.astype("float32")
        there = DeviceArray(x)
    _, d = there.shape
    assert d == index.d, f"the vectors have {d} dimensions, the index {index.d}"
    if there.dtype != np.float32 or not there.c_contiguous:
        raise TypeError(f"an array of a GPU must be float32 and C-contiguous, not {there.dtype}")
    return x, there


def to_host(x: Any) -> Any:
    """An array of any GPU as numpy's."""
    if is_torch(x):
        torch = sys.modules["torch"]
        return (x.detach().to(torch.float32) if x.is_floating_point() else x.detach()).cpu().numpy()
    if not on_device(x):
        return np.asarray(x)
    there = DeviceArray(x)
    if not there.c_contiguous:
        raise TypeError("an array of a GPU must be C-contiguous to be copied to the host")
    host = np.empty(there.shape, there.dtype)
    if host.size > 0:
        _faiss.gpu_read(there.address, host.reshape(-1).view("uint8"))
    return host


class GpuIndexMethods(IndexMethods):
    """What indexes on a GPU do with arrays that lie there. Arrays of the host go the way of all indexes."""

    def train(self, x: Any, *args: Any, **kwargs: Any) -> None:
        """Learns from vectors what the index needs; those of a GPU are copied to the host."""
        super().train(to_host(x) if on_device(x) else x, *args, **kwargs)

    def _add_there(self, x: Any, ids: Any) -> bool:
        """Adds vectors of the index's GPU. False, with nothing done, where the index takes none."""
        if not (on_device(x) and _faiss.gpu_takes_arrays(self.this)):
            return False
        kept, there = _rows(self, x)
        if ids is not None:
            ids = contiguous(to_host(ids) if on_device(ids) or is_torch(ids) else ids, "int64")
            assert ids.shape == there.shape[:1], "not same number of vectors as ids"
        _faiss.gpu_add(self.this, there.address or 0, there.shape[0], ids, there.stream)
        del kept
        return True

    def add(self, x: Any, *args: Any, **kwargs: Any) -> None:
        """Adds vectors, which get the ids ntotal, ntotal + 1, ...

        x: vectors, shape (n, d), of the host or of the index's GPU.
        """
        if not self._add_there(x, None):
            super().add(to_host(x) if on_device(x) else x, *args, **kwargs)

    def add_with_ids(self, x: Any, ids: Any, *args: Any, **kwargs: Any) -> None:
        """Adds vectors with ids of the caller's: int64, shape (n,). Not all indexes can."""
        if not self._add_there(x, ids):
            ids = to_host(ids) if on_device(ids) else ids
            super().add_with_ids(to_host(x) if on_device(x) else x, ids, *args, **kwargs)

    def search(self, x: Any, k: int, *, params: Any = None, D: Any = None, I: Any = None, **kwargs: Any) -> Any:  # noqa: E741
        """As every index's search. Queries of the index's GPU are read there, and results are then arrays of the same library on it."""
        # What most calls are, in as few steps as can be: threads share the time that Python takes, and only that.
        if type(x) is np.ndarray and params is None and D is None and I is None and not kwargs:
            plain = x.dtype == _FLOAT32 and x.ndim == 2 and x.flags.c_contiguous and x.flags.aligned
            if plain and k > 0 and x.shape[1] == self.d:
                D, I = np.empty((len(x), k), "float32"), np.empty((len(x), k), "int64")  # noqa: E741
                _faiss.search(self.this, x, k, None, D, I)
                return D, I
        if not (on_device(x) and _faiss.gpu_takes_arrays(self.this)):
            return super().search(to_host(x) if on_device(x) else x, k, params=params, D=D, I=I, **kwargs)
        assert k > 0, "k must be positive"
        kept, there = _rows(self, x)
        n = there.shape[0]
        D = empty_like(x, (n, k), "float32") if D is None else D
        I = empty_like(x, (n, k), "int64") if I is None else I  # noqa: E741
        if not (on_device(D) and on_device(I)):
            host = super().search(to_host(x), k, params=params)
            D[...], I[...] = host
            return D, I
        out = DeviceArray(D), DeviceArray(I)
        for array, dtype in zip(out, ("float32", "int64"), strict=True):
            assert array.shape == (n, k), f"the output array has shape {array.shape}, {(n, k)} is wanted"
            if array.dtype != dtype:
                raise TypeError(f"the output array is of {array.dtype}, {dtype} is wanted")
            if array.read_only or not array.c_contiguous:
                raise ValueError("the output array is read-only or not C-contiguous")
        if n > 0:
            addresses = (there.address, out[0].address, out[1].address)
            _faiss.gpu_search(self.this, n, k, native_params(params), addresses, there.stream)
        del kept
        return D, I

    def assign(self, x: Any, k: int = 1, labels: Any = None) -> Any:
        """The ids of the k nearest neighbours of each query, shape (nq, k), best first."""
        if not on_device(x):
            return super().assign(x, k, labels)
        _, found = self.search(x, k)
        if labels is None:
            return found
        labels[...] = found
        return labels
