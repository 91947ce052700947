"""Tensors of PyTorch as arguments: importing this lets the methods of indexes, and `faiss.knn_gpu` and `faiss.pairwise_distance_gpu`, take tensors
beside arrays, and return tensors for tensors. `reconstruct` and `reconstruct_n`, which are given none, return tensors too, on the index's GPU if it
has one, unless the output is a numpy array.

Tensors of the host share their memory with numpy. Those of a GPU go to indexes on that GPU alone, which read and write them in place, in order with
torch's current stream.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import faiss
from faiss import gpu_arrays
from faiss.pointer import Pointer

__all__ = [
    "swig_ptr_from_FloatTensor",
    "swig_ptr_from_HalfTensor",
    "swig_ptr_from_IndicesTensor",
    "swig_ptr_from_IntTensor",
    "swig_ptr_from_UInt8Tensor",
    "torch_replace_method",
    "using_stream",
]


def _pointer(x: Any, dtype: Any, name: str) -> Pointer:
    assert x.is_contiguous(), "the tensor must be contiguous"
    assert x.dtype == dtype, f"a tensor of {dtype} is wanted, not of {x.dtype}"
    # To memory of the host it knows its end; to that of a GPU it is an address, and the tensor is the caller's to keep.
    return Pointer(None, name, x.data_ptr()) if x.is_cuda else Pointer(x.detach().numpy(), name)


def swig_ptr_from_UInt8Tensor(x: Any) -> Pointer:
    """A pointer to the numbers of a contiguous uint8 tensor."""
    return _pointer(x, torch.uint8, "uint8")


def swig_ptr_from_HalfTensor(x: Any) -> Pointer:
    """A pointer to the numbers of a contiguous float16 tensor, untyped, as C++ takes it."""
    return _pointer(x, torch.float16, "void")


def swig_ptr_from_FloatTensor(x: Any) -> Pointer:
    """A pointer to the numbers of a contiguous float32 tensor."""
    return _pointer(x, torch.float32, "float32")


def swig_ptr_from_IntTensor(x: Any) -> Pointer:
    """A pointer to the numbers of a contiguous int32 tensor."""
    return _pointer(x, torch.int32, "int32")


def swig_ptr_from_IndicesTensor(x: Any) -> Pointer:
    """A pointer to the numbers of a contiguous int64 tensor."""
    return _pointer(x, torch.int64, "int64")


@contextlib.contextmanager
def using_stream(res: Any, pytorch_stream: Any = None) -> Iterator[None]:
    """Work of these resources on torch's current GPU goes to torch's current stream, or to one that is given, until the block ends. Calls with tensors
    of a GPU need this not: they follow the stream by themselves."""
    stream = torch.cuda.current_stream() if pytorch_stream is None else pytorch_stream
    device = torch.cuda.current_device()
    res.setDefaultStream(device, stream.cuda_stream)
    try:
        yield
    finally:
        res.revertDefaultStream(device)


def torch_replace_method(
    the_class: type,
    name: str,
    replacement: Callable[..., Any],
    ignore_missing: bool = False,
    ignore_no_base: bool = False,
) -> None:
    """Puts a function in the place of a method, which stays as `name + '_numpy'`."""
    if not hasattr(the_class, name):
        if ignore_missing:
            return
        raise AttributeError(f"{the_class.__name__} has no method {name}")
    original = getattr(the_class, name)
    if hasattr(the_class, f"{name}_numpy") and f"{name}_numpy" in the_class.__dict__:
        return
    setattr(the_class, f"{name}_numpy", original)
    setattr(the_class, name, replacement)


def _numpy(x: Any) -> Any:
    """A tensor of the host as an array over the same memory; what is no tensor as it is."""
    if not isinstance(x, torch.Tensor):
        return x
    assert not x.is_cuda, "a tensor of a GPU among those of the host"
    x = x.detach()
    # Numpy has no bfloat16.
    return (x.float() if x.dtype == torch.bfloat16 else x).contiguous().numpy()


def _tensor(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(_tensor(part) for part in x)
    if not isinstance(x, np.ndarray):
        return x
    # Torch has no arithmetic for uint64.
    return torch.from_numpy(x.astype("int64") if x.dtype == np.uint64 else x)


def _of_tensors(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that takes tensors beside arrays."""

    @functools.wraps(method)
    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
        if not tensors:
            result = method(self, *args, **kwargs)
            if method.__name__ in ("reconstruct", "reconstruct_n") and not any(
                isinstance(a, np.ndarray) for a in (*args, *kwargs.values())
            ):
                device = torch.device("cuda", self.getDevice()) if hasattr(self, "getDevice") else torch.device("cpu")
                result = _to_device(_tensor(result), device)
            return result
        if not any(t.is_cuda for t in tensors):
            given = {id(a): a for a in tensors}
            result = method(self, *map(_numpy, args), **{name: _numpy(a) for name, a in kwargs.items()})
            # What was given to be written to is what is given back.
            named = [kwargs.get(name) for name in ("D", "I", "R", "labels", "x", "codes")]
            return _given_back(_tensor(result), [a for a in named if id(a) in given])
        assert hasattr(self, "getDevice"), "GPU tensor on CPU index not allowed"
        in_place = ("add", "add_with_ids", "search", "assign", "train")
        if method.__name__ in in_place and isinstance(self, faiss.GpuIndex):
            return method(self, *args, **kwargs)
        device = next(t.device for t in tensors if t.is_cuda)
        args = tuple(_to_cpu(a) for a in args)
        kwargs = {name: _to_cpu(a) for name, a in kwargs.items()}
        return _to_device(_tensor(method(self, *args, **kwargs)), device)

    return replaced


def _given_back(result: Any, outputs: list[Any]) -> Any:
    parts = result if isinstance(result, tuple) else (result,)
    addresses = {o.data_ptr(): o for o in outputs if isinstance(o, torch.Tensor)}
    parts = tuple(addresses.get(p.data_ptr(), p) if isinstance(p, torch.Tensor) else p for p in parts)
    return parts if isinstance(result, tuple) else parts[0]


def _to_cpu(x: Any) -> Any:
    return gpu_arrays.to_host(x) if isinstance(x, torch.Tensor) else x


def _to_device(x: Any, device: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(_to_device(part, device) for part in x)
    return x.to(device) if isinstance(x, torch.Tensor) else x


# What takes vectors, ids or codes, by class.
_METHODS = {
    "Index": (
        "add add_with_ids assign range_search reconstruct reconstruct_batch reconstruct_n remove_ids sa_decode sa_encode add_sa_codes search "
        "search_and_reconstruct train"
    ),
    "IndexIVF": "search_preassigned range_search_preassigned update_vectors search_and_return_codes",
    "GpuIndex": "add add_with_ids assign search train",
    "GpuIndexIVF": "search_preassigned update_vectors",
    "IndexBinary": (
        "add add_with_ids assign range_search reconstruct reconstruct_n remove_ids search search_and_reconstruct train"
    ),
    "VectorTransform": "apply reverse_transform train",
    "Clustering": "train",
}


def _replace_methods() -> None:
    for name, methods in _METHODS.items():
        cls = getattr(faiss, name)
        for method in methods.split():
            # Where a class has its own, which may be that of a mixin.
            if hasattr(cls, method):
                torch_replace_method(cls, method, _of_tensors(getattr(cls, method)))


def _exhaustive(function: Callable[..., Any], outputs: int) -> Callable[..., Any]:
    """`knn_gpu` or `pairwise_distance_gpu`, with tensors for tensors."""

    @functools.wraps(function)
    def replaced(res: Any, xq: Any, xb: Any, *args: Any, **kwargs: Any) -> Any:
        if not (isinstance(xq, torch.Tensor) and isinstance(xb, torch.Tensor)):
            return function(res, xq, xb, *args, **kwargs)
        as_they_are = xq.dtype == xb.dtype and xq.dtype in (torch.float32, torch.float16)
        xq, xb = (x if as_they_are else x.float() for x in (xq, xb))
        names = ["k", "D", "I"] if outputs == 2 else ["D"]
        kwargs = {**dict(zip([*names, "metric", "device"], args, strict=False)), **kwargs}
        shape = (xq.shape[0], kwargs["k"] if outputs == 2 else xb.shape[0])
        if kwargs.get("D") is None:
            kwargs["D"] = torch.empty(shape, dtype=torch.float32, device=xq.device)
        if outputs == 2 and kwargs.get("I") is None:
            kwargs["I"] = torch.empty(shape, dtype=torch.int64, device=xq.device)
        if xq.is_cuda and kwargs.get("device", -1) == -1:
            kwargs["device"] = xq.device.index
        native = {name: a if isinstance(a, torch.Tensor) and a.is_cuda else _numpy(a) for name, a in kwargs.items()}
        there = [x if x.is_cuda else _numpy(x) for x in (xq, xb)]
        function(res, *there, **native)
        return (kwargs["D"], kwargs["I"]) if outputs == 2 else kwargs["D"]

    return replaced


_replace_methods()
for _name, _outputs in (("knn_gpu", 2), ("pairwise_distance_gpu", 1)):
    setattr(faiss, _name, _exhaustive(getattr(faiss, _name), _outputs))
