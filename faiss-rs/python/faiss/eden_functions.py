"""The types of scalar quantizers that are EDEN's, the sizes of its codes, and its codes without an index."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.classes import copy_fields
from faiss.distance_computers import FlatCodesDistanceComputer

__all__ = [
    "EDENFlatCodesDistanceComputer",
    "code_size",
    "compute_codes",
    "decode",
    "get_distance_computer",
    "is_eden_quantizer_type",
    "nb_bits_for_qtype",
    "packed_code_size",
    "quantizer_type_for_bits",
]

# Each code has two numbers of 32 bits beside its coordinates.
FACTORS = 8


def _types() -> dict[int, int]:
    return {getattr(faiss.ScalarQuantizer, f"QT_{bits}bit_eden"): bits for bits in range(1, 9)}


def is_eden_quantizer_type(qtype: int) -> bool:
    """Whether a type of scalar quantizer is EDEN's."""
    return qtype in _types()


def nb_bits_for_qtype(qtype: int) -> int:
    """Bits of a coordinate of a type of EDEN's."""
    if qtype not in _types():
        raise RuntimeError(f"Error: {qtype} is no type of EDEN's")
    return _types()[qtype]


def quantizer_type_for_bits(nb_bits: int) -> int:
    """The type of EDEN's with so many bits a coordinate."""
    for qtype, bits in _types().items():
        if bits == nb_bits:
            return qtype
    raise RuntimeError("Error: EDEN nb_bits must be in [1, 8]")


def packed_code_size(d: int, nb_bits: int) -> int:
    """Bytes of the coordinates of a code."""
    return (d * nb_bits + 7) // 8


def code_size(d: int, nb_bits: int) -> int:
    """Bytes of a code."""
    return packed_code_size(d, nb_bits) + FACTORS


def _index(sq: Any, metric_type: int, scale_type: int, centroid: Any) -> Any:
    """An index of codes with the levels of a scalar quantizer, of vectors less a centroid, a pointer to it or None for 0."""
    index = faiss.IndexEDEN(sq.d, metric_type, nb_bits_for_qtype(sq.qtype), scale_type)
    copy_fields(sq, index.sq)
    center = np.zeros(sq.d, "float32") if centroid is None else elements(centroid, sq.d, "float32")
    faiss.copy_array_to_vector(np.ascontiguousarray(center), index.center)
    index.is_trained = True
    return index


def compute_codes(sq: Any, metric_type: int, scale_type: int, x: Any, codes: Any, n: int, centroid: Any = None) -> None:
    """Encodes n vectors that x leads to, less a centroid, with the levels of a scalar quantizer of EDEN's."""
    index = _index(sq, metric_type, scale_type, centroid)
    made = index.sa_encode(elements(x, n * sq.d, "float32").reshape(n, sq.d))
    elements(codes, made.size, "uint8")[...] = made.ravel()


def decode(sq: Any, codes: Any, x: Any, n: int, centroid: Any = None) -> None:
    """The reverse of compute_codes."""
    index = _index(sq, faiss.METRIC_L2, 1, centroid)
    given = elements(codes, n * index.code_size, "uint8").reshape(n, index.code_size)
    elements(x, n * sq.d, "float32")[...] = index.sa_decode(given).ravel()


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
