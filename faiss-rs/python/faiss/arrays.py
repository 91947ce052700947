"""Arrays as pointers, and vectors as arrays: what programs written for the C++ library's own calling conventions use."""

from typing import Any

import numpy as np

from faiss import _faiss
from faiss.classes import Object
from faiss.pointer import C_NAMES, Pointer

__all__ = [
    "cast_integer_to_float_ptr",
    "cast_integer_to_idx_t_ptr",
    "cast_integer_to_int_ptr",
    "cast_integer_to_uint8_ptr",
    "cast_integer_to_void_ptr",
    "copy_array_to_vector",
    "memcpy",
    "rev_swig_ptr",
    "swig_ptr",
    "vector_float_to_array",
    "vector_to_array",
]


# Types by name, which numpy would look up each time.
_DTYPES: dict[str, Any] = {name: np.dtype(name) for name in ("float32", "int64", "uint8")}


def swig_ptr(a: np.ndarray) -> Pointer:
    """A pointer to the array's data. The array must be C-contiguous."""
    if not isinstance(a, np.ndarray):
        raise ValueError("input not a numpy array")
    if not a.flags.c_contiguous:
        raise ValueError("array is not C-contiguous")
    if a.dtype.name not in C_NAMES:
        raise ValueError("did not recognize array type")
    return Pointer(a, a.dtype.name)


def rev_swig_ptr(pointer: Any, n: int) -> np.ndarray:
    """The n numbers behind a pointer, as an array over the same memory, which may be written to. Memory of an object of the library is the
    object's until the next call that changes the object; take a new array after it."""
    # The ids of a selector are a pointer in C++.
    if isinstance(pointer, Object) and callable(getattr(pointer, "data", None)):
        pointer = pointer.data()
    if not isinstance(pointer, Pointer):
        raise TypeError(f"a pointer is wanted, not {type(pointer).__name__}")
    if pointer.dtype == "void":
        raise TypeError("a pointer to void says nothing of what is there")
    return pointer.view(n)


def elements(pointer: Pointer | np.ndarray | None, n: int | None, dtype: str) -> np.ndarray:
    """The n numbers of an argument that is a pointer in C++, all that are known where n is None; a pointer that is None leads to no numbers."""
    if pointer is None:
        if n:
            raise ValueError(f"a null pointer where {n} elements are wanted")
        return np.empty(0, dtype)
    if isinstance(pointer, np.ndarray):
        pointer = swig_ptr(pointer)
    if not isinstance(pointer, Pointer):
        raise TypeError(f"a pointer to {C_NAMES[dtype]} is wanted, not {type(pointer).__name__}")
    return pointer.view(pointer.known_size() if n is None else n, dtype)


def output(array: np.ndarray | None, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """The array to write results to: the caller's own if it fits, else a new one."""
    if array is None:
        array = np.empty(shape, _DTYPES.get(dtype, dtype))
        if dtype == "int64":
            # Searches that add to results find none in new arrays.
            array.fill(-1)
        return array
    assert array.shape == shape, f"the output array has shape {array.shape}, {shape} is wanted"
    if array.dtype != dtype:
        raise TypeError(f"the output array is of {array.dtype}, {dtype} is wanted")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError("array is not C-contiguous and aligned")
    if not array.flags.writeable:
        raise ValueError("the output array is read-only")
    return array


def contiguous(array: Any, dtype: str) -> np.ndarray:
    """The array itself if the library can read it as it is, else a copy that it can."""
    # Most arrays are as they should be, which is told faster than a copy that would be none is asked for.
    if isinstance(array, np.ndarray) and array.dtype is _DTYPES.get(dtype):
        flags = array.flags
        if flags.c_contiguous and flags.aligned:
            return array
    made: np.ndarray = np.ascontiguousarray(array, dtype=dtype)
    return made if made.flags.aligned else made.copy()


def _at(address: int, dtype: str) -> Pointer | None:
    return Pointer(None, dtype, address) if address else None


def cast_integer_to_float_ptr(x: int) -> Pointer | None:
    """A pointer to an address. Nothing checks that there are numbers."""
    return _at(x, "float32")


def cast_integer_to_idx_t_ptr(x: int) -> Pointer | None:
    """A pointer to an address. Nothing checks that there are numbers."""
    return _at(x, "int64")


def cast_integer_to_int_ptr(x: int) -> Pointer | None:
    """A pointer to an address. Nothing checks that there are numbers."""
    return _at(x, "int32")


def cast_integer_to_uint8_ptr(x: int) -> Pointer | None:
    """A pointer to an address. Nothing checks that there are numbers."""
    return _at(x, "uint8")


def cast_integer_to_void_ptr(x: int) -> Pointer | None:
    """A pointer to an address. Nothing checks that there is anything."""
    return _at(x, "void")


def memcpy(dest: Pointer, src: Pointer, n: int) -> Pointer:
    """Copies n bytes."""

    def raw(pointer: Pointer) -> np.ndarray:
        size = np.dtype(pointer.dtype).itemsize if pointer.dtype != "void" else 1
        return pointer.view(-(-n // size)).view(np.uint8)[:n]

    raw(dest)[...] = raw(src)
    return dest


def _vector(v: Any) -> Any:
    kind = type(v).__name__
    if kind.endswith("Vector") and not isinstance(v, Object):
        # One of objects; Faiss looks its elements up among the types of numbers.
        raise KeyError(kind.removesuffix("Vector"))
    assert isinstance(v, Object), "not a vector"
    assert isinstance(v.this, _faiss.Vector), "not a vector"
    return v.this


def vector_to_array(v: Any) -> np.ndarray:
    """A copy of a vector's elements."""
    array: np.ndarray = _vector(v).to_array()
    return array


def vector_float_to_array(v: Any) -> np.ndarray:
    """A copy of a vector's elements."""
    return vector_to_array(v)


def copy_array_to_vector(a: np.ndarray, v: Any) -> None:
    """Replaces a vector's contents by those of an array of the same type."""
    (_,) = a.shape
    vector = _vector(v)
    wanted = vector.element().lower()
    assert a.dtype == wanted, f"cannot copy a {a.dtype} array to a {type(v).__name__} (should be {wanted})"
    if not a.flags.c_contiguous:
        raise ValueError("array is not C-contiguous")
    vector.assign(a)
