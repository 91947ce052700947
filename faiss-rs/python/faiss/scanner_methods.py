"""Scanners in the caller's hands: pointers to queries, codes, ids and heaps."""

from typing import Any

import numpy as np

from faiss.arrays import elements
from faiss.classes import Object
from faiss.pointer import Pointer


class _Scanning(Object):
    """What the scanners of float and of binary codes have in common."""

    _item: Any
    _distance: Any

    def _codes(self, n: int, codes: Any) -> np.ndarray:
        return elements(codes, n * self._size(), "uint8")

    def _of_list(self, n: int, codes: Any) -> np.ndarray:
        """The first n codes of a list, one after the other."""
        return self._codes(n, codes)

    def _size(self) -> int:
        """Bytes of a code."""
        raise NotImplementedError

    def _width(self) -> int:
        """Numbers of a query."""
        raise NotImplementedError

    def _ids(self, n: int, ids: Any) -> Any:
        return None if ids is None else elements(ids, n, "int64")

    def set_query(self, query_vector: Any) -> None:
        """The query: a pointer to a vector, which is copied."""
        self.this.call("set_query", elements(query_vector, self._width(), self._item))

    def set_list(self, list_no: int, coarse_dis: float) -> None:
        """The list that the codes to come are of, and the query's distance to its centroid as the quantizer gave it."""
        self.this.call("set_list", list_no, coarse_dis)

    def distance_to_code(self, code: Any) -> Any:
        """The query's distance to a code that a pointer leads to."""
        return self.this.call("distance_to_code", self._codes(1, code))

    def scan_codes(self, n: int, codes: Any, ids: Any, distances: Any, labels: Any, k: int) -> int:
        """Offers n codes with their ids to a heap of k distances and labels, whose first is the worst. Returns how often it changed.

        All are pointers; ids may be None where results are places in lists.
        """
        return self._scanned(self._of_list(n, codes), self._ids(n, ids), distances, labels, k)

    def _scanned(self, codes: np.ndarray, ids: Any, distances: Any, labels: Any, k: int) -> int:
        values, found = elements(distances, k, self._distance), elements(labels, k, "int64")
        made = self.this.call("scan_codes", codes, ids, values, found)
        values[...], found[...] = made[0], made[1]
        return int(made[2])

    def scan_codes_range(self, n: int, codes: Any, ids: Any, radius: float, result: Any) -> None:
        """Adds those of n codes that are better than the radius to a RangeQueryResult."""
        self._scanned_range(self._of_list(n, codes), self._ids(n, ids), radius, result)

    def _scanned_range(self, codes: np.ndarray, ids: Any, radius: float, result: Any) -> None:
        made = self.this.call("scan_codes_range", codes, ids, radius)
        for distance, label in zip(*(array.tolist() for array in made), strict=True):
            result.add(distance, label)


class ScannerMethods(_Scanning):
    code_size: int
    keep_max: bool
    _item = _distance = "float32"

    def __init__(self, index: Any, store_pairs: bool = False, sel: Any = None, params: Any = None) -> None:
        """For an inverted file's codes. store_pairs: results are places in lists. sel: an IDSelector. params: SearchParametersIVF."""
        super().__init__(index, store_pairs, sel, params)
        self.__dict__["_d"] = index.d

    def _of_list(self, n: int, codes: Any) -> np.ndarray:
        # Where lists are packed, whole blocks.
        bytes = elements(codes, self.this.call("_bytes_of", n), "uint8")
        unpacked: np.ndarray = self.this.call("_unpacked", n, bytes)
        return unpacked

    def _size(self) -> int:
        return self.code_size

    def _width(self) -> int:
        return int(self.__dict__["_d"])

    def _entries(self, iterator: Any) -> tuple[np.ndarray, np.ndarray]:
        """The ids and codes of what an iterator has left."""
        ids, codes = [], [np.empty(0, "uint8")]
        while iterator.is_available():
            id, code = iterator.get_id_and_codes()
            ids.append(id)
            codes.append(elements(code, self.code_size, "uint8").copy())
            iterator.next()
        return np.array(ids, "int64"), np.concatenate(codes)

    def iterate_codes(self, iterator: Any, distances: Any, labels: Any, k: int, list_size: Any) -> int:
        """As scan_codes, for what an InvertedListsIterator gives; how much that is goes to where list_size points."""
        ids, codes = self._entries(iterator)
        elements(list_size, 1, "uint64")[0] = len(ids)
        return self._scanned(codes, ids, distances, labels, k)

    def iterate_codes_range(self, iterator: Any, radius: float, result: Any, list_size: Any) -> None:
        """As scan_codes_range, for what an InvertedListsIterator gives; how much that is goes to where list_size points."""
        ids, codes = self._entries(iterator)
        elements(list_size, 1, "uint64")[0] = len(ids)
        self._scanned_range(codes, ids, radius, result)


class BinaryScannerMethods(_Scanning):
    _item, _distance = "uint8", "int32"

    def __init__(self, code_size: int, store_pairs: bool = False) -> None:
        """For codes of code_size bytes. store_pairs: results are places in lists."""
        super().__init__(code_size, store_pairs)
        self.__dict__["_bytes"] = code_size

    def _size(self) -> int:
        return int(self.__dict__["_bytes"])

    def _width(self) -> int:
        return self._size()


class InvertedListsIterator:
    """Goes through the entries of a list. Made by InvertedLists.get_iterator."""

    # Whether the scanner tells the iterator of distances and of changes of its heap; none here wants to know.
    has_search_callbacks_: bool = False

    def __init__(self, ids: np.ndarray, codes: np.ndarray) -> None:
        """ids: (n,). codes: (n, code_size) of uint8."""
        self._entries, self._at = (ids, codes), 0

    def is_available(self) -> bool:
        """Whether there is an entry."""
        return self._at < len(self._entries[0])

    def next(self) -> None:
        """Goes to the next entry."""
        self._at += 1

    def get_id_and_codes(self) -> tuple[int, Pointer]:
        """The entry's id, and a pointer to its code."""
        if not self.is_available():
            raise RuntimeError("Error: 'is_available()' failed: there is no further entry")
        ids, codes = self._entries
        return int(ids[self._at]), Pointer(codes[self._at], "uint8")

    def on_distance_computed(self, *_: Any) -> None:
        """Told of a distance, where has_search_callbacks_ says so."""

    def on_heap_changed(self, *_: Any) -> None:
        """Told of a change of the best results, where has_search_callbacks_ says so."""
