"""Arrays of a GPU that come by DLPack: what their capsule says of them. (The layout is DLPack's `DLManagedTensor`, the same in all versions of
`__dlpack__` without a `max_version`.)"""

import ctypes
from typing import Any

import numpy as np

# `kDLCUDA` and `kDLCUDAManaged`.
_CUDA = (2, 13)
# What the capsule is asked to be ready on: the legacy default stream, as DLPack and CUDA number it.
LEGACY_STREAM = 1


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def on_device(x: Any) -> bool:
    """Whether it is an array of a GPU of NVIDIA's that DLPack gives."""
    return hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in _CUDA


def interface(x: Any) -> tuple[dict[str, Any], Any]:
    """What the CUDA Array Interface would say of an array, and what keeps its memory."""
    capsule = x.__dlpack__(stream=LEGACY_STREAM)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    # The capsule is not taken over: with it goes what it holds.
    tensor = _Tensor.from_address(pointer(capsule, b"dltensor"))
    kind = "iuf"[tensor.code] if tensor.code < 3 else "V"
    if tensor.lanes != 1 or kind == "V":
        raise TypeError("an array that comes by DLPack must be of integers or floating-point numbers that numpy knows")
    dtype = np.dtype(f"{kind}{tensor.bits // 8}")
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = tuple(tensor.strides[i] * dtype.itemsize for i in range(tensor.ndim)) if tensor.strides else None
    described = {
        "typestr": dtype.str,
        "shape": shape,
        "data": ((tensor.data or 0) + tensor.byte_offset, False),
        "strides": strides,
        "stream": LEGACY_STREAM,
    }
    return described, capsule
