"""`std::vector`s of objects and of vectors. As in Faiss, `push_back` and `at` copy an element that is a plain struct or a vector; one that C++
has by pointer stays the same object."""

import copy
import warnings
from typing import Any, ClassVar

import faiss

__all__ = [
    "ByteVectorVector",
    "Float32VectorVector",
    "FloatVectorVector",
    "Int32VectorVector",
    "Int64VectorVector",
    "InvertedListsPtrVector",
    "LongVectorVector",
    "MaybeOwnedVectorFloat32Vector",
    "MaybeOwnedVectorInt32Vector",
    "MaybeOwnedVectorUInt8Vector",
    "OnDiskOneList",
    "OnDiskOneListVector",
    "Repeat",
    "RepeatVector",
    "UInt8VectorVector",
    "VectorTransformVector",
]


class ObjectVector:
    """A `std::vector` of objects of the class `_class`."""

    _class: ClassVar[str]
    # Whether the elements are pointers to objects, which may be null.
    _pointers: ClassVar[bool] = False

    def __init__(self, items: Any = ()) -> None:
        self._items: list[Any] = list(items)

    def _taken(self, item: Any) -> Any:
        """An element as the vector has it."""
        if item is None and self._pointers:
            return None
        if not isinstance(item, getattr(faiss, self._class)):
            raise TypeError(f"an object of type {self._class} is wanted, not {type(item).__name__}")
        if self._pointers:
            return item
        if not hasattr(item, "this"):
            return copy.copy(item)
        made = type(item)()
        faiss.copy_array_to_vector(faiss.vector_to_array(item), made)
        return made

    def size(self) -> int:
        """Number of elements."""
        return len(self._items)

    def at(self, n: int) -> Any:
        """Element n. RuntimeError where there is none."""
        if not 0 <= n < len(self._items):
            raise RuntimeError(f"Error: 'n < size()' failed: there are {len(self._items)} elements, none is {n}")
        return self._items[n] if self._pointers else self._taken(self._items[n])

    def push_back(self, item: Any) -> None:
        """Appends an element."""
        self._items.append(self._taken(item))

    def clear(self) -> None:
        """Removes all elements."""
        self._items.clear()

    def resize(self, n: int) -> None:
        """Changes the number of elements; new ones are as the class makes them, or null pointers."""
        if n < 0:
            raise OverflowError("the number of elements is negative")
        del self._items[n:]
        make = (lambda: None) if self._pointers else getattr(faiss, self._class)
        self._items.extend(make() for _ in range(n - len(self._items)))

    def data(self) -> list[Any]:
        """What stands for a pointer to the elements."""
        return self._items

    def swap(self, other: Any) -> None:
        """Exchanges contents with another vector of the same class."""
        if not isinstance(other, ObjectVector) or other._class != self._class:
            raise TypeError(f"a vector of {self._class} is wanted, not {type(other).__name__}")
        self._items, other._items = other._items, self._items


class InvertedListsPtrVector(ObjectVector):
    """A vector of inverted lists, which it keeps alive."""

    _class, _pointers = "InvertedLists", True


class VectorTransformVector(ObjectVector):
    """A vector of transforms, which it keeps alive."""

    _class, _pointers = "VectorTransform", True


class Float32VectorVector(ObjectVector):
    """A vector of vectors of float32."""

    _class = "Float32Vector"


class Int32VectorVector(ObjectVector):
    """A vector of vectors of int32."""

    _class = "Int32Vector"


class Int64VectorVector(ObjectVector):
    """A vector of vectors of int64."""

    _class = "Int64Vector"


class UInt8VectorVector(ObjectVector):
    """A vector of vectors of uint8."""

    _class = "UInt8Vector"


class MaybeOwnedVectorFloat32Vector(ObjectVector):
    """A vector of vectors of float32 that may be mapped from a file."""

    _class = "MaybeOwnedVectorFloat32"


class MaybeOwnedVectorInt32Vector(ObjectVector):
    """A vector of vectors of int32 that may be mapped from a file."""

    _class = "MaybeOwnedVectorInt32"


class MaybeOwnedVectorUInt8Vector(ObjectVector):
    """A vector of vectors of uint8 that may be mapped from a file."""

    _class = "MaybeOwnedVectorUInt8"


class OnDiskOneList:
    """Where a list is in the file of OnDiskInvertedLists: how many entries it has and has room for, and its first byte."""

    size: int = 0
    capacity: int = 0
    offset: int = 0


class OnDiskOneListVector(ObjectVector):
    """Where the lists of a file are."""

    _class = "OnDiskOneList"


class Repeat:
    """A value of a vector, and how often it is there."""

    val: float = 0.0
    n: int = 0


class RepeatVector(ObjectVector):
    """The values of a vector."""

    _class = "Repeat"


def _deprecated(old: str, new: type) -> type:
    def __init__(self: Any, items: Any = ()) -> None:
        message = f"The class faiss.{old} is deprecated in favour of faiss.{new.__name__}!"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        ObjectVector.__init__(self, items)

    namespace = {"__module__": "faiss", "__init__": __init__, "__doc__": f"Deprecated name of {new.__name__}."}
    return type(old, (new,), namespace)


ByteVectorVector = _deprecated("ByteVectorVector", UInt8VectorVector)
FloatVectorVector = _deprecated("FloatVectorVector", Float32VectorVector)
LongVectorVector = _deprecated("LongVectorVector", Int64VectorVector)
