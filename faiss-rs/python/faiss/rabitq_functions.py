"""RaBitQ's queries and codes as objects of C++: vectors that are filled, tables, and what compares them."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements, swig_ptr
from faiss.distance_computers import FlatCodesDistanceComputer
from faiss.index_methods import FlatCodesMethods
from faiss.pointer import Pointer
from faiss.quantizer_methods import QuantizerMethods

__all__ = [
    "RaBitQDistanceComputer",
    "compute_query_factors",
    "populate_block_aux_from_flat_storage",
]


def populate_block_aux_from_flat_storage(
    flat_storage: Any,
    codes: Any,
    num_vectors: int,
    bbs: int,
    M2: int,
    old_block_stride: int,
    new_block_stride: int,
    storage_size: int,
    id_map: Any = None,
) -> None:
    """Lays blocks of packed signs, an AlignedTableUint8, out anew, each with room behind it for what else its codes have, and fills that from a
    UInt8Vector: storage_size bytes a vector, by id, which id_map has for each place, or by place."""
    blocks = -(-num_vectors // bbs)
    flat, packed = faiss.vector_to_array(flat_storage), faiss.AlignedTable_to_array(codes)
    if len(packed) < blocks * old_block_stride:
        raise RuntimeError("Error: 'codes.size() >= n_blocks * old_block_stride' failed")
    made = np.empty(blocks * new_block_stride, "uint8")
    sizes = blocks, num_vectors, bbs, M2, old_block_stride, new_block_stride, storage_size
    _faiss.call_function("_populate_block_aux", flat, *sizes, id_map, packed, made)
    faiss.copy_array_to_AlignedTable(made, codes)


def _vector(x: Any, d: int) -> np.ndarray | None:
    return None if x is None else elements(x, d, "float32")


def compute_query_factors(
    query: Any, d: int, centroid: Any, qb: int, centered: bool, metric_type: int, rotated_q: Any, rotated_qq: Any
) -> Any:
    """The numbers of a query rounded to qb bits; rotated_q and rotated_qq, vectors, become the query less the centroid, and that rounded."""
    factors = faiss.QueryFactorsData()
    rounded = factors.this.call("_set", _vector(query, d), _vector(centroid, d), qb, centered, metric_type)
    faiss.copy_array_to_vector(faiss.vector_to_array(factors.rotated_q), rotated_q)
    faiss.copy_array_to_vector(np.asarray(rounded, "uint8"), rotated_qq)
    return factors


class RaBitQDistanceComputer(FlatCodesDistanceComputer):
    """Distances of a query, rounded to qb bits, to the codes of an index or, by distance_to_code, to any codes."""

    def __init__(self, quantizer: Any, qb: int, centroid: Any, centered: bool, index: Any = None) -> None:
        super().__init__(quantizer)
        self._qb, self._centroid, self._centered = qb, centroid, centered
        self._codes = index
        self._distances(np.zeros(0, "uint8"))

    def _distances(self, codes: np.ndarray) -> np.ndarray:
        found = self._index.this.call(
            "distances_to_codes", self._query, codes.reshape(-1), self._qb, self._centroid, self._centered
        )
        return np.asarray(found, "float32")

    def distance_to_code(self, code: Any) -> float:
        """The distance of the query to the code that a pointer leads to."""
        return float(self._distances(elements(code, self._index.code_size, "uint8"))[0])

    def __call__(self, i: int) -> float:
        """The distance of the query to stored vector i."""
        if self._codes is None or not 0 <= i < self._codes.ntotal:
            raise RuntimeError("Error: 'i < ntotal' failed: there is no such code")
        size = self._index.code_size
        return float(self._distances(faiss.vector_to_array(self._codes.codes)[i * size : (i + 1) * size])[0])

    @property
    def d(self) -> int:
        """Numbers of a vector."""
        return int(self._index.d)

    @property
    def metric_type(self) -> int:
        """How vectors are compared."""
        return int(self._index.metric_type)

    @property
    def nb_bits(self) -> int:
        """Bits of a coordinate."""
        return int(self._index.nb_bits)

    @property
    def centroid(self) -> Pointer | None:
        """A pointer to what was subtracted from the vectors; None for 0."""
        return None if self._centroid is None else swig_ptr(self._centroid)

    def set_centroid(self, centroid_in: Any) -> None:
        """Another centroid, which is copied: a pointer, or None for 0."""
        self._centroid = None if centroid_in is None else elements(centroid_in, self.d, "float32").copy()

    @property
    def g_error(self) -> float:
        """The length of the query less the centroid, by which the errors that codes have are multiplied."""
        centroid = 0.0 if self._centroid is None else self._centroid
        return float(np.linalg.norm(self._query - centroid))

    @property
    def stats(self) -> Any:
        """What was counted: nothing, as each distance is computed from a whole code."""
        return faiss.RaBitQStats()

    def distance_to_code_1bit(self, code: Any) -> float:
        """The distance of the query to a code that a pointer leads to, by its signs alone."""
        # A code of signs alone has two numbers behind them, the first two of those that others have.
        signs = faiss.RaBitQuantizer(self.d, self.metric_type, 1)
        data = np.ascontiguousarray(elements(code, self._index.code_size, "uint8")[: signs.code_size])
        found = signs.this.call("distances_to_codes", self._query, data, self._qb, self._centroid, self._centered)
        return float(np.float32(found[0]))

    def distance_to_code_full(self, code: Any) -> float:
        """The distance of the query to a code that a pointer leads to, by all of it."""
        return self.distance_to_code(code)

    def scan_codes_multibit(self, *_: Any) -> int:
        """TypeError: it takes a ResultHandler, which Python can't make."""
        raise TypeError("RaBitQDistanceComputer.scan_codes_multibit takes a ResultHandler, which Python can't make")

    def compared(self) -> Any:
        """As that of an index."""
        if self._codes is None:
            raise TypeError("the DistanceComputer has no stored vectors")
        return self._codes.this, False, self._query

    def symmetric_dis(self, i: int, j: int) -> float:
        """The distance between the stored vectors i and j."""
        assert self._codes is not None, "codes that are stored have numbers"
        return float(self._codes.get_distance_computer().symmetric_dis(i, j))


class RaBitQuantizerMethods(QuantizerMethods):
    metric_type: int

    def compute_codes_core(self, x: Any, codes: Any, n: int, centroid_in: Any) -> None:
        """Encodes the n vectors that x leads to, less a centroid; None is 0, or the quantizer's own."""
        made = self.this.call("compute_codes_core", self._pointed(x, n), _vector(centroid_in, self.d))
        elements(codes, n * self.code_size, "uint8")[...] = made.reshape(-1)

    def decode_core(self, codes: Any, x: Any, n: int, centroid_in: Any) -> None:
        """Decodes n codes, with the centroid that was subtracted."""
        given = elements(codes, n * self.code_size, "uint8").reshape(n, self.code_size)
        self._pointed(x, n)[...] = self.this.call("decode_core", given, _vector(centroid_in, self.d))

    def get_distance_computer(self, qb: int, centroid_in: Any = None, centered: bool = False) -> RaBitQDistanceComputer:
        """Compares queries, rounded to qb bits, with codes."""
        centroid = _vector(centroid_in, self.d)
        return RaBitQDistanceComputer(self, qb, None if centroid is None else centroid.copy(), centered)


class RaBitQIndexMethods(FlatCodesMethods):
    rabitq: Any
    center: Any

    def get_quantized_distance_computer(self, qb: int, centered: bool) -> RaBitQDistanceComputer:
        """As get_distance_computer, with queries rounded to qb bits."""
        return RaBitQDistanceComputer(self.rabitq, qb, faiss.vector_to_array(self.center), centered, self)
