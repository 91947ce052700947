"""The methods of `std::vector`, and its kinds that are made here."""

import warnings
from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.classes import Object
from faiss.pointer import Pointer

__all__ = [
    "ByteVector",
    "CharVector",
    "DoubleVector",
    "FloatVector",
    "IntVector",
    "LongLongVector",
    "LongVector",
    "MaybeOwnedVectorFloat32",
    "MaybeOwnedVectorInt32",
    "MaybeOwnedVectorOwner",
    "MaybeOwnedVectorUInt8",
    "Uint64Vector",
    "deprecated_name_map",
    "vector_name_map",
]

deprecated_name_map = {
    "Float": "Float32",
    "Double": "Float64",
    "Char": "Int8",
    "Int": "Int32",
    "Long": "Int64",
    "LongLong": "Int64",
    "Byte": "UInt8",
    "Uint64": "UInt64",
}

# The numpy type of a vector's elements, by the part of its name before 'Vector'.
vector_name_map = {
    name: name.lower()
    for name in ("Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
}
vector_name_map |= {old: vector_name_map[new] for old, new in deprecated_name_map.items()}


class VectorMethods(Object):
    """A vector of numbers: one of its own, or one that belongs to an object and lives with it."""

    this: _faiss.Vector

    def __init__(self) -> None:
        self.this = _faiss.construct(self._faiss_name).get("items")

    def size(self) -> int:
        """Number of elements."""
        return self.this.size()

    def resize(self, n: int) -> None:
        """Changes the number of elements; new ones are zero."""
        self.this.resize(n)

    def clear(self) -> None:
        """Removes all elements."""
        self.this.resize(0)

    def at(self, n: int) -> Any:
        """Element n."""
        return self.this.at(n)

    def push_back(self, item: Any) -> None:
        """Appends an element."""
        self.this.push_back(item)

    def data(self) -> Pointer:
        """A pointer to the elements."""
        return Pointer.to_native(self.this)

    def swap(self, other: "VectorMethods") -> None:
        """Exchanges contents with another vector of the same type."""
        self.this.swap(other.this)


class MaybeOwnedVectorOwner:
    """What keeps memory that a vector does not own."""


class _MaybeOwned(VectorMethods):
    # A vector that is mapped says so when it is to be changed.
    is_owned: bool = True
    view_size: int = 0
    view_data: Pointer | None = None
    owner: Any = None

    def __init__(self, given: Any = 0) -> None:
        """given: the number of elements, which are zero, or a vector whose elements are copied."""
        super().__init__()
        if isinstance(given, int):
            self.resize(given)
        else:
            self.this.assign(given.this.to_array())

    @classmethod
    def create_view(cls, address: Any, n_elements: int, owner: Any = None) -> Any:
        """A vector of the elements that a pointer leads to. Here it has a copy of them, and need not keep the owner."""
        made = cls(0)
        made.this.assign(elements(address, n_elements, made.this.element().lower()))
        return made

    @property
    def owned_data(self) -> Any:
        """The elements."""
        return self

    @property
    def c_size(self) -> int:
        """Number of elements."""
        return self.this.size()

    @property
    def c_ptr(self) -> Pointer | None:
        """A pointer to the elements; None where there are none."""
        return self.data() if self.this.size() else None

    def begin(self) -> Pointer:
        """A pointer to the first element."""
        return self.data()

    def end(self) -> Pointer:
        """A pointer behind the last element."""
        first = self.data()
        return Pointer(None, first.dtype, int(first) + self.byte_size())

    def erase(self, begin: Pointer, end: Pointer) -> None:
        """Removes the elements between two pointers of this vector."""
        items = self.this.to_array()
        first, last = ((int(pointer) - int(self.data())) // items.itemsize for pointer in (begin, end))
        if not 0 <= first <= last <= len(items):
            raise ValueError("the pointers do not lead into the vector")
        self.this.assign(np.delete(items, slice(first, last)))

    def byte_size(self) -> int:
        """Number of bytes."""
        array = self.this.to_array()
        return int(array.nbytes)


class MaybeOwnedVectorUInt8(_MaybeOwned):
    """A vector of bytes that may be mapped from a file."""

    _faiss_name = "UInt8Vector"


class MaybeOwnedVectorInt32(_MaybeOwned):
    """A vector of int32 that may be mapped from a file."""

    _faiss_name = "Int32Vector"


class MaybeOwnedVectorFloat32(_MaybeOwned):
    """A vector of float32 that may be mapped from a file."""

    _faiss_name = "Float32Vector"


def _deprecated(old: str, new: str) -> type:
    def __init__(self: Any) -> None:
        message = f"The class faiss.{old}Vector is deprecated in favour of faiss.{new}Vector!"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        VectorMethods.__init__(self)

    base = getattr(faiss, f"{new}Vector")
    namespace = {
        "__module__": "faiss",
        "__init__": __init__,
        "__doc__": f"Deprecated name of {new}Vector.",
        "_faiss_name": f"{new}Vector",
    }
    return type(f"{old}Vector", (base,), namespace)


ByteVector = _deprecated("Byte", "UInt8")
CharVector = _deprecated("Char", "Int8")
DoubleVector = _deprecated("Double", "Float64")
FloatVector = _deprecated("Float", "Float32")
IntVector = _deprecated("Int", "Int32")
LongLongVector = _deprecated("LongLong", "Int64")
LongVector = _deprecated("Long", "Int64")
Uint64Vector = _deprecated("Uint64", "UInt64")
