"""Distances to codes of EDEN's that are in no index."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.classes import copy_fields
from faiss.distance_computers import FlatCodesDistanceComputer

__all__ = [
    "EDENFlatCodesDistanceComputer",
    "get_distance_computer",
]


def _index(sq: Any, metric_type: int, scale_type: int, centroid: Any) -> Any:
    """An index of codes with the levels of a scalar quantizer, of vectors less a centroid, a pointer to it or None for 0."""
    index = faiss.IndexEDEN(sq.d, metric_type, faiss.nb_bits_for_qtype(sq.qtype), scale_type)
    copy_fields(sq, index.sq)
    center = np.zeros(sq.d, "float32") if centroid is None else elements(centroid, sq.d, "float32")
    faiss.copy_array_to_vector(np.ascontiguousarray(center), index.center)
    index.is_trained = True
    return index


class EDENFlatCodesDistanceComputer(FlatCodesDistanceComputer):
    """Distances of a query to codes. Made by get_distance_computer."""

    def __init__(self, *_: Any) -> None:
        raise AttributeError("No constructor defined - class is abstract")

    @classmethod
    def _over(cls, index: Any) -> "EDENFlatCodesDistanceComputer":
        made = cls.__new__(cls)
        FlatCodesDistanceComputer.__init__(made, index)
        return made

    def distance_to_code(self, code: Any) -> float:
        """The distance of the query to the code that a pointer leads to."""
        index = self._index
        index.reset()
        index.add_sa_codes(elements(code, index.code_size, "uint8").reshape(1, -1))
        return _faiss.distance_to(index.this, self._query, 0)

    def _consecutive(self, n: int, first: int, distances: Any) -> None:
        elements(distances, n, "float32")[...] = [self(first + i) for i in range(n)]

    def consecutive_distances_batch_8(self, first: int, distances: Any) -> None:
        """The distances of the query to eight stored codes, from one on."""
        self._consecutive(8, first, distances)

    def consecutive_distances_batch_16(self, first: int, distances: Any) -> None:
        """The distances of the query to sixteen stored codes, from one on."""
        self._consecutive(16, first, distances)


def get_distance_computer(sq: Any, metric_type: int, centroid: Any = None) -> EDENFlatCodesDistanceComputer:
    """What compares a query with codes of compute_codes."""
    return EDENFlatCodesDistanceComputer._over(_index(sq, metric_type, 1, centroid))
