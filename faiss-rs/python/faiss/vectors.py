"""The methods of `std::vector`, and its kinds that are made here."""

import warnings
from typing import Any

import faiss
from faiss import _faiss
from faiss.classes import Object
from faiss.pointer import Pointer

__all__ = [
    "ByteVector",
    "CharVector",
    "DoubleVector",
    "FloatVector",
    "IntVector",
    "InvertedListsPtrVector",
    "LongLongVector",
    "LongVector",
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


class MaybeOwnedVectorUInt8(VectorMethods):
    """A vector of bytes that may be mapped from a file."""

    _faiss_name = "UInt8Vector"
    # Bytes that are mapped say so when they are to be changed.
    is_owned: bool = True
    view_size: int = 0

    @property
    def c_size(self) -> int:
        """Number of elements."""
        return self.this.size()

    @property
    def c_ptr(self) -> Pointer:
        """A pointer to the elements."""
        return self.data()

    def byte_size(self) -> int:
        """Number of bytes."""
        return self.this.size()


class InvertedListsPtrVector:
    """A vector of inverted lists, which it keeps alive."""

    def __init__(self) -> None:
        self._items: list[Any] = []

    def size(self) -> int:
        """Number of elements."""
        return len(self._items)

    def at(self, n: int) -> Any:
        """Element n."""
        if not 0 <= n < len(self._items):
            raise IndexError(f"element {n} of {len(self._items)}")
        return self._items[n]

    def push_back(self, item: Any) -> None:
        """Appends an element."""
        if not isinstance(item, faiss.InvertedLists):
            raise TypeError(f"an InvertedLists is wanted, not {type(item).__name__}")
        self._items.append(item)

    def clear(self) -> None:
        """Removes all elements."""
        self._items.clear()

    def resize(self, n: int) -> None:
        """Removes elements from the end; there are no lists to be added."""
        if not 0 <= n <= len(self._items):
            raise ValueError(f"{n} elements of {len(self._items)}")
        del self._items[n:]

    def data(self) -> list[Any]:
        """What stands for a pointer to the elements."""
        return self._items

    def swap(self, other: Any) -> None:
        """Exchanges contents with another vector."""
        self._items, other._items = other._items, self._items


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
