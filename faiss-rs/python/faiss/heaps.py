"""Best results of several queries in memory of the caller's, as C++ has them: until `reorder`, the worst of a row comes first. Here the whole
row is then sorted, which is a heap too."""

from typing import Any, ClassVar

import numpy as np

from faiss import _faiss
from faiss.arrays import elements
from faiss.pointer import Pointer

__all__ = ["float_maxheap_array_t", "float_minheap_array_t", "int_maxheap_array_t", "int_minheap_array_t", "the_class"]


class _Heaps:
    """nh rows of k values and ids, which the pointers `val` and `ids` lead to."""

    nh: int = 0
    k: int = 0
    val: Any = None
    ids: Any = None
    value_type: ClassVar[str]
    # Whether the largest of a row is at its top, so that the smallest values are kept.
    is_max: ClassVar[bool]

    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        size, shape = self.nh * self.k, (self.nh, self.k)
        return elements(self.val, size, self.value_type).reshape(shape), elements(self.ids, size, "int64").reshape(
            shape
        )

    def _call(self, name: str, *args: Any) -> None:
        kind = "float" if self.value_type == "float32" else "int"
        _faiss.call_function(f"_{kind}_{name}", self.nh, self.k, self.val, self.ids, not self.is_max, *args)

    def heapify(self) -> None:
        """Makes all rows empty."""
        self._call("heapify")

    def reorder(self) -> None:
        """Sorts the rows, best first; what has no id comes last."""
        self._call("reorder")

    def merge(self, values: np.ndarray, ids: np.ndarray, i0: int = 0) -> None:
        """Puts more results into the rows from i0 on: shape (rows, any number); an id of -1 is none."""
        n, nj = values.shape
        values = np.ascontiguousarray(values, self.value_type)
        self._call("addn", nj, values, 0, np.ascontiguousarray(ids, "int64"), nj, i0, n, None)

    def addn(self, nj: int, vin: Any, j0: int = 0, i0: int = 0, ni: int = -1) -> None:
        """Adds nj values to each of ni rows from i0 on, with the ids j0, j0 + 1, ..."""
        self._call("addn", nj, vin, j0, None, 0, i0, self.nh if ni == -1 else ni, None)

    def addn_with_ids(
        self, nj: int, vin: Any, id_in: Any = None, id_stride: int = 0, i0: int = 0, ni: int = -1
    ) -> None:
        """As addn, with ids that a pointer leads to, those of a row id_stride after those of the row before; without it 0, 1, ..."""
        self._call("addn", nj, vin, 0, id_in, id_stride, i0, self.nh if ni == -1 else ni, None)

    def addn_query_subset_with_ids(
        self, nsubset: int, subset: Any, nj: int, vin: Any, id_in: Any = None, id_stride: int = 0
    ) -> None:
        """As addn_with_ids, for the rows that `subset` names: nsubset int64."""
        self._call("addn", nj, vin, 0, id_in, id_stride, 0, nsubset, subset)

    def get_val(self, key: int) -> Pointer:
        """A pointer to the values of a row."""
        return Pointer(self._rows()[0][key], self.value_type)

    def get_ids(self, key: int) -> Pointer:
        """A pointer to the ids of a row."""
        return Pointer(self._rows()[1][key], "int64")

    def per_line_extrema(self, vals_out: Any, idx_out: Any) -> None:
        """The first value of each row and its id, to where pointers lead; None for what is not wanted."""
        values, ids = self._rows()
        if vals_out is not None:
            elements(vals_out, self.nh, self.value_type)[...] = values[:, 0]
        if idx_out is not None:
            elements(idx_out, self.nh, "int64")[...] = ids[:, 0]


class float_maxheap_array_t(_Heaps):
    """The k smallest floats of each row. In Faiss's words, a template structure for a set of [min|max]-heaps."""

    value_type, is_max = "float32", True


class float_minheap_array_t(_Heaps):
    """The k largest floats of each row. In Faiss's words, a template structure for a set of [min|max]-heaps."""

    value_type, is_max = "float32", False


class int_maxheap_array_t(_Heaps):
    """The k smallest integers of each row. In Faiss's words, a template structure for a set of [min|max]-heaps."""

    value_type, is_max = "int32", True


class int_minheap_array_t(_Heaps):
    """The k largest integers of each row. In Faiss's words, a template structure for a set of [min|max]-heaps."""

    value_type, is_max = "int32", False


# A variable of a loop over these classes, which Faiss's module keeps.
the_class = int_minheap_array_t
