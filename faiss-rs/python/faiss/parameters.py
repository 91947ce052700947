"""Constructors of selectors and search parameters with numpy arrays and keywords."""

from collections.abc import Callable
from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import elements
from faiss.classes import Object, construct
from faiss.pointer import Pointer


class SearchParametersMethods(Object):
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(getattr(type(self), name, None), property):
            # The object of the library is kept by the library; here the Python object too, until another takes its place.
            kept = self.__dict__.setdefault("_kept", {})
            kept.pop(name, None)
            if isinstance(value, Object):
                kept[name] = value

    def original_init(self) -> None:
        """Makes parameters without keywords."""
        construct(self)

    def __init__(self, **fields: Any) -> None:
        construct(self)
        for name, value in fields.items():
            assert hasattr(type(self), name), f"{type(self).__name__} has no parameter '{name}'"
            setattr(self, name, value)


class SelectorMethods(Object):
    def is_member(self, id: int) -> bool:
        """True where the selector holds this id."""
        return _faiss.is_member(self.this, id)


def _elements(n: int, data: Any, dtype: str) -> np.ndarray:
    return data.view(n, dtype) if isinstance(data, Pointer) else np.ascontiguousarray(data, dtype=dtype)[:n]


class SelectorOfRange(SelectorMethods):
    imin: int
    imax: int

    def find_sorted_ids_bounds(self, list_size: int, ids: Any, jmin: Any, jmax: Any) -> None:
        """Where the selector's ids begin and end among list_size ascending ones: pointers to ids and to one number each."""
        numbers = elements(ids, list_size, "int64")
        first = int(np.searchsorted(numbers, self.imin))
        last = int(np.searchsorted(numbers, self.imax))
        if first == list_size:
            last = list_size
        elements(jmin, 1, "uint64")[0], elements(jmax, 1, "uint64")[0] = first, max(first, last)


class SelectorOfIds(Object):
    # Whether programs find the array that they gave in `referenced_objects`, as Faiss keeps it. The library has a copy.
    _keeps_array = False

    def original_init(self, n: int, data: Any) -> None:
        """As C++ makes it: of n elements that a pointer leads to."""
        self.__init__(n, data)  # type: ignore[misc]

    def __init__(self, *args: Any) -> None:
        """Takes an array-like of ids, or their number and a pointer to them."""
        if len(args) == 2:
            ids = _elements(*args, dtype="int64")
        elif len(args) == 1:
            ids = np.ascontiguousarray(args[0], dtype="int64")
            assert ids.ndim == 1, "ids must have one dimension"
        else:
            raise TypeError(f"{self._faiss_name}() takes ids, or their number and a pointer, not {len(args)} arguments")
        construct(self, ids)
        if len(args) == 1 and self._keeps_array:
            self.referenced_objects = [ids]


class SelectorOfArray(SelectorOfIds):
    _keeps_array = True


class SelectorOfTwo(SelectorMethods):
    def __init__(self, lhs: Any, rhs: Any) -> None:
        super().__init__(lhs, rhs)
        # As one, as in Faiss.
        self.referenced_objects = [(lhs, rhs)]


class SelectorOfPlaces(SelectorMethods):
    def __init__(self, id_map: Any, sel: Any) -> None:
        """id_map: the ids by place, an Int64Vector or an array, or an index that has them (IndexIDMap). sel: the selector of ids, or None."""
        ids = getattr(id_map, "id_map", id_map)
        if isinstance(ids, np.ndarray):
            ids = np.ascontiguousarray(ids, "int64")
        super().__init__(ids, sel)


class SelectorOfBits(Object):
    def original_init(self, n: int, data: Any) -> None:
        """As C++ makes it: of n elements that a pointer leads to."""
        self.__init__(n, data)  # type: ignore[misc]

    def __init__(self, *args: Any) -> None:
        """Takes an array of uint8, bit i % 8 of byte i / 8 for id i, or the number of bytes and a pointer to them."""
        if len(args) == 2:
            bits = _elements(*args, dtype="uint8")
        elif len(args) == 1:
            if not isinstance(args[0], np.ndarray):
                raise ValueError("input not a numpy array")
            if args[0].dtype != np.uint8:
                raise TypeError(f"a bitmap is an array of uint8, not {args[0].dtype}")
            bits = np.ascontiguousarray(args[0]).ravel()
        else:
            raise TypeError(
                f"{self._faiss_name}() takes a bitmap, or its size in bytes and a pointer, not {len(args)} arguments"
            )
        construct(self, bits)
        if len(args) == 1:
            self.referenced_objects = [bits]


class CallbackMethods(Object):
    callback: Callable[[int], object] | None = None

    def __init__(self, callback: Callable[[int], object]) -> None:
        if not callable(callback):
            raise TypeError("the callback must be callable")
        self.callback = callback
        self.this = _faiss.callback_selector(callback)


class IVFParametersMethods(SearchParametersMethods):
    # What inverted lists of a program's own class are given; those here have no use for it.
    inverted_list_context: Any = None
