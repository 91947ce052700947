"""Best results of several queries in memory of the caller's, as C++ has them: until `reorder`, the worst of a row comes first. Here the whole
row is then sorted, which is a heap too."""

from typing import Any, ClassVar

import numpy as np

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

    def _worst(self) -> Any:
        info = np.finfo("float32") if self.value_type == "float32" else np.iinfo("int32")
        return info.max if self.is_max else info.min

    def heapify(self) -> None:
        """Makes all rows empty."""
        values, ids = self._rows()
        values[...], ids[...] = self._worst(), -1

    def reorder(self) -> None:
        """Sorts the rows, best first; what has no id comes last."""
        values, ids = self._rows()
        keys = np.where(ids < 0, np.inf, values if self.is_max else -values.astype("float64"))
        # Of equal values the one with the smaller id comes first, of the largest the one with the larger.
        order = np.lexsort((ids if self.is_max else -ids, keys), axis=1)
        values[...], ids[...] = np.take_along_axis(values, order, axis=1), np.take_along_axis(ids, order, axis=1)
        values[ids < 0] = self._worst()

    def merge(self, values: np.ndarray, ids: np.ndarray, i0: int = 0) -> None:
        """Puts more results into the rows from i0 on: shape (rows, any number); an id of -1 is none."""
        own_values, own_ids = self._rows()
        end = i0 + len(values)
        values = np.where(ids < 0, self._worst(), values)
        values = np.concatenate([own_values[i0:end], values.astype(self.value_type)], axis=1)
        ids = np.concatenate([own_ids[i0:end], ids], axis=1)
        order = np.argsort(values if self.is_max else -values.astype("float64"), axis=1, kind="stable")[:, : self.k]
        order = order[:, ::-1]
        own_values[i0:end] = np.take_along_axis(values, order, axis=1)
        own_ids[i0:end] = np.take_along_axis(ids, order, axis=1)

    def addn(self, nj: int, vin: Any, j0: int = 0, i0: int = 0, ni: int = -1) -> None:
        """Adds nj values to each of ni rows from i0 on, with the ids j0, j0 + 1, ..."""
        ni = self.nh if ni == -1 else ni
        values = elements(vin, ni * nj, self.value_type).reshape(ni, nj)
        self.merge(values, np.broadcast_to(np.arange(j0, j0 + nj, dtype="int64"), (ni, nj)), i0)

    def addn_with_ids(
        self, nj: int, vin: Any, id_in: Any = None, id_stride: int = 0, i0: int = 0, ni: int = -1
    ) -> None:
        """As addn, with ids that a pointer leads to, those of a row id_stride after those of the row before."""
        self.merge(*self._given(self.nh if ni == -1 else ni, nj, vin, id_in, id_stride), i0)

    def _given(self, n: int, nj: int, vin: Any, id_in: Any, id_stride: int) -> tuple[np.ndarray, np.ndarray]:
        """nj values for each of n rows, and their ids: 0, 1, ... in each where none are given."""
        values, numbers = elements(vin, n * nj, self.value_type).reshape(n, nj), np.arange(nj, dtype="int64")
        if id_in is None:
            return values, np.broadcast_to(numbers, (n, nj))
        ids = elements(id_in, id_stride * (n - 1) + nj if n else 0, "int64")
        return values, ids[np.arange(n)[:, None] * id_stride + numbers]

    def addn_query_subset_with_ids(
        self, nsubset: int, subset: Any, nj: int, vin: Any, id_in: Any = None, id_stride: int = 0
    ) -> None:
        """As addn_with_ids, for the rows that `subset` names: nsubset int64."""
        rows = elements(subset, nsubset, "int64")
        if nsubset and (rows.min() < 0 or rows.max() >= self.nh):
            raise RuntimeError("Error: 'subset[i] < nh' failed")
        given = self._given(nsubset, nj, vin, id_in, id_stride)
        for row, own_values, own_ids in zip(rows.tolist(), *given, strict=True):
            self.merge(own_values[None], own_ids[None], row)

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
