"""Distances of a query to stored vectors, one at a time."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements, swig_ptr
from faiss.pointer import Pointer

__all__ = [
    "DistanceComputer",
    "FlatCodesDistanceComputer",
    "NegativeDistanceComputer",
    "get_extra_distance_computer",
    "storage_distance_computer",
]


class DistanceComputer:
    """Distances of a query to stored vectors, one at a time. Made by Index.get_distance_computer."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._query = np.zeros(index.d, "float32")

    def set_query(self, x: Any) -> None:
        """The query: a pointer to d numbers, which are copied."""
        self._query = elements(x, self._index.d, "float32").copy()

    def compared(self) -> tuple[Any, bool, np.ndarray]:
        """The native index whose vectors are compared, whether distances are negated, and the query."""
        return self._index.this, False, self._query

    def __call__(self, i: int) -> float:
        """The distance of the query to vector i."""
        return _faiss.distance_to(self._index.this, self._query, i)

    def symmetric_dis(self, i: int, j: int) -> float:
        """The distance between the vectors i and j."""
        return _faiss.distance_between(self._index.this, i, j)

    def distances_batch_4(
        self, idx0: int, idx1: int, idx2: int, idx3: int, dis0: Any, dis1: Any, dis2: Any, dis3: Any
    ) -> None:
        """The distances of the query to four vectors, each written to where a pointer leads."""
        for i, out in ((idx0, dis0), (idx1, dis1), (idx2, dis2), (idx3, dis3)):
            elements(out, 1, "float32")[0] = self(i)


class FlatCodesDistanceComputer(DistanceComputer):
    """As DistanceComputer, and distances to codes. Made by IndexFlatCodes.get_FlatCodesDistanceComputer."""

    @property
    def code_size(self) -> int:
        """Bytes of a code."""
        return int(self._index.code_size)

    @property
    def codes(self) -> Pointer:
        """A pointer to the index's codes."""
        pointer: Pointer = self._index.codes.data()
        return pointer

    @property
    def q(self) -> Pointer:
        """A pointer to the query."""
        return Pointer(self._query, "float32")

    def distance_to_code(self, code: Any) -> float:
        """The distance of the query to the vector that a code stands for: a pointer to code_size bytes."""
        codes = elements(code, self.code_size, "uint8").reshape(1, self.code_size)
        metric, arg = self._index.metric_type, self._index.metric_arg
        distances = faiss.pairwise_distances(self._query[None], self._index.sa_decode(codes), metric, arg)
        return float(distances[0, 0])

    def distance_to_code_batch_4(self, c1: Any, c2: Any, c3: Any, c4: Any, d1: Any, d2: Any, d3: Any, d4: Any) -> None:
        """The distances of the query to four codes, each written to where a pointer leads."""
        for code, out in ((c1, d1), (c2, d2), (c3, d3), (c4, d4)):
            elements(out, 1, "float32")[0] = self.distance_to_code(code)

    def partial_dot_product(self, i: int, offset: int, num_components: int) -> float:
        """The inner product of num_components numbers of the query and of vector i, from `offset` on."""
        if not 0 <= offset <= offset + num_components <= self._index.d:
            raise RuntimeError(f"Error: 'offset + num_components <= d' failed: there are {self._index.d} dimensions")
        part = slice(offset, offset + num_components)
        return float(np.dot(self._query[part], self._index.reconstruct(i)[part]))

    def partial_dot_product_batch_4(
        self,
        idx0: int,
        idx1: int,
        idx2: int,
        idx3: int,
        dp0: Any,
        dp1: Any,
        dp2: Any,
        dp3: Any,
        offset: int,
        num_components: int,
    ) -> None:
        """As partial_dot_product, for four vectors, each result written to where a pointer leads."""
        for i, out in ((idx0, dp0), (idx1, dp1), (idx2, dp2), (idx3, dp3)):
            elements(out, 1, "float32")[0] = self.partial_dot_product(i, offset, num_components)


class NegativeDistanceComputer(DistanceComputer):
    """The negative distances of another one, so that of similarities too the smaller is the better."""

    def __init__(self, basedis_: Any) -> None:
        if not isinstance(basedis_, DistanceComputer):
            raise TypeError(f"a DistanceComputer is wanted, not {type(basedis_).__name__}")
        super().__init__(basedis_._index)
        self._base = basedis_

    @property
    def basedis(self) -> DistanceComputer:
        """The other one."""
        return self._base

    def set_query(self, x: Any) -> None:
        """The query: a pointer to d numbers, which are copied."""
        self._base.set_query(x)

    def compared(self) -> tuple[Any, bool, np.ndarray]:
        """As that of the other one, with distances of the other sign."""
        index, negated, query = self._base.compared()
        return index, not negated, query

    def __call__(self, i: int) -> float:
        """The negative distance of the query to vector i."""
        return -self._base(i)

    def symmetric_dis(self, i: int, j: int) -> float:
        """The negative distance between the vectors i and j."""
        return -self._base.symmetric_dis(i, j)


def compared(qdis: Any) -> tuple[Any, bool, np.ndarray]:
    """What a DistanceComputer compares. TypeError for anything else."""
    if not isinstance(qdis, DistanceComputer):
        raise TypeError(f"a DistanceComputer is wanted, not {type(qdis).__name__}")
    return qdis.compared()


def storage_distance_computer(storage: Any) -> DistanceComputer:
    """A DistanceComputer of an index, of which the smaller is the better whatever the metric."""
    made: DistanceComputer = storage.get_distance_computer()
    return NegativeDistanceComputer(made) if faiss.is_similarity_metric(storage.metric_type) else made


def get_extra_distance_computer(d: int, mt: int, metric_arg: float, xb: Any) -> FlatCodesDistanceComputer:
    """A FlatCodesDistanceComputer by a metric, for vectors of d numbers that a pointer leads to; they are copied."""
    pointer = swig_ptr(xb) if isinstance(xb, np.ndarray) else xb
    index = faiss.IndexFlat(d, mt)
    index.metric_arg = metric_arg
    index.add_c(pointer.known_size() // d, pointer)
    return FlatCodesDistanceComputer(index)
