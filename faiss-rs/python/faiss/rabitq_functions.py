"""RaBitQ's parts by name: single bits and numbers of codes, the numbers beside them, and distances from those."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements, swig_ptr
from faiss.distance_computers import FlatCodesDistanceComputer
from faiss.index_methods import FlatCodesMethods
from faiss.pointer import Pointer
from faiss.quantizer_methods import QuantizerMethods

__all__ = [
    "RaBitQDistanceComputer",
    "compute_1bit_adjusted_distance",
    "compute_factors_from_intermediates",
    "compute_full_multibit_distance",
    "compute_per_vector_storage_size",
    "compute_query_factors",
    "compute_vector_factors",
    "compute_vector_intermediate_values",
    "extract_bit_fastscan",
    "extract_bit_standard",
    "extract_code",
    "extract_code_inline",
    "populate_block_aux_from_flat_storage",
    "round_clamped_to_uint8",
    "round_nonnegative_to_uint8",
    "round_nonnegative_to_uint16",
    "set_bit_fastscan",
    "set_bit_standard",
    "should_refine_candidate",
    "unpack_sign_bits_from_packed",
]

INNER_PRODUCT, L2 = 0, 1


def _bytes(code: Any, bit_index: int) -> np.ndarray:
    return elements(code, bit_index // 8 + 1, "uint8")


def _rounded(x: float, most: int) -> int:
    # A half goes up.
    return int(np.minimum(np.maximum(np.float32(x), 0) + np.float32(0.5), most))


def round_nonnegative_to_uint8(x: float) -> int:
    """The nearest whole number from 0 to 255."""
    return _rounded(x, 255)


def round_nonnegative_to_uint16(x: float) -> int:
    """The nearest whole number from 0 to 65535."""
    return _rounded(x, 65535)


def round_clamped_to_uint8(x: float, max_code: int) -> int:
    """The nearest whole number from 0 to max_code."""
    return _rounded(x, max_code)


def extract_bit_standard(code: Any, bit_index: int) -> bool:
    """Whether the sign of a coordinate is positive, in a code that a pointer leads to."""
    return bool(_bytes(code, bit_index)[-1] >> bit_index % 8 & 1)


def set_bit_standard(code: Any, bit_index: int) -> None:
    """Makes the sign of a coordinate positive, in a code that a pointer leads to."""
    _bytes(code, bit_index)[-1] |= 1 << bit_index % 8


def extract_bit_fastscan(code: Any, bit_index: int) -> bool:
    """As extract_bit_standard: numbers of four signs lie in the order of the signs."""
    return extract_bit_standard(code, bit_index)


def set_bit_fastscan(code: Any, bit_index: int) -> None:
    """As set_bit_standard."""
    set_bit_standard(code, bit_index)


def extract_code_inline(ex_code: Any, index: int, ex_bits: int) -> int:
    """A coordinate's number of ex_bits bits in the second part of a code."""
    first, last = index * ex_bits, (index + 1) * ex_bits
    data = elements(ex_code, (last + 7) // 8, "uint8")[first // 8 :]
    return int.from_bytes(data.tobytes(), "little") >> first % 8 & ((1 << ex_bits) - 1)


def extract_code(codes: Any, index: int, nb_bits: int) -> int:
    """As extract_code_inline."""
    return extract_code_inline(codes, index, nb_bits)


def unpack_sign_bits_from_packed(
    block: Any, bbs: int, nsq: int, offset: int, block_stride: int, sign_bits_out: Any
) -> None:
    """Writes the signs of the vector at a place of packed codes, nsq numbers of four signs, one after the other."""
    packer, first = faiss.CodePackerPQ4(nsq, bbs), (offset // bbs) * block_stride
    own = elements(block, first + packer.block_size, "uint8")[first:]
    signs = packer.unpack_1(own.reshape(1, -1), offset % bbs)
    elements(sign_bits_out, -(-nsq // 2), "uint8")[...] = signs[: -(-nsq // 2)]


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
    signs = bbs * M2 // 2
    made = np.zeros((blocks, new_block_stride), "uint8")
    made[:, :signs] = packed[: blocks * old_block_stride].reshape(blocks, old_block_stride)[:, :signs]
    ids = np.arange(num_vectors) if id_map is None else elements(id_map, num_vectors, "int64")
    rows = flat[: len(flat) // max(storage_size, 1) * storage_size].reshape(-1, storage_size) if storage_size else flat
    if storage_size and len(ids):
        known = (ids >= 0) & (ids < len(rows))
        places = np.flatnonzero(known)
        aux = made[:, signs : signs + bbs * storage_size].reshape(blocks, -1).copy()
        aux.reshape(blocks * bbs, storage_size)[places] = rows[ids[known]]
        made[:, signs : signs + bbs * storage_size] = aux
    faiss.copy_array_to_AlignedTable(made.ravel(), codes)


def compute_per_vector_storage_size(nb_bits: int, d: int) -> int:
    """Bytes of a code of nb_bits bits a coordinate behind its signs."""
    return int(faiss.RaBitQuantizer(d, L2, nb_bits).code_size) - (d + 7) // 8


def _vector(x: Any, d: int) -> np.ndarray | None:
    return None if x is None else elements(x, d, "float32")


def compute_vector_intermediate_values(
    x: Any, d: int, centroid: Any, norm_L2sqr: Any, or_L2sqr: Any, dp_oO: Any
) -> None:
    """Writes the squared length of x less the centroid, that of x, and the sum of the former's absolute coordinates to where pointers lead."""
    sums = faiss.SignBitFactorsWithError().this.call("_sums", _vector(x, d), _vector(centroid, d))
    for out, value in zip((norm_L2sqr, or_L2sqr, dp_oO), sums, strict=True):
        elements(out, 1, "float32")[0] = value


def compute_factors_from_intermediates(
    norm_L2sqr: float, or_L2sqr: float, dp_oO: float, d: int, metric_type: int, compute_error: bool = True
) -> Any:
    """The numbers beside a code's signs, from those sums."""
    factors = faiss.SignBitFactorsWithError()
    factors.this.call("_from_sums", norm_L2sqr, or_L2sqr, dp_oO, d, metric_type, compute_error)
    return factors


def compute_vector_factors(x: Any, d: int, centroid: Any, metric_type: int, compute_error: bool = True) -> Any:
    """The numbers beside the signs of the vector that x leads to."""
    sums = np.zeros(3, "float32")
    compute_vector_intermediate_values(x, d, centroid, sums[:1], sums[1:2], sums[2:])
    norm, residual, product = map(float, sums)
    return compute_factors_from_intermediates(norm, residual, product, d, metric_type, compute_error)


def compute_query_factors(
    query: Any, d: int, centroid: Any, qb: int, centered: bool, metric_type: int, rotated_q: Any, rotated_qq: Any
) -> Any:
    """The numbers of a query rounded to qb bits; rotated_q and rotated_qq, vectors, become the query less the centroid, and that rounded."""
    factors = faiss.QueryFactorsData()
    rounded = factors.this.call("_set", _vector(query, d), _vector(centroid, d), qb, centered, metric_type)
    faiss.copy_array_to_vector(faiss.vector_to_array(factors.rotated_q), rotated_q)
    faiss.copy_array_to_vector(np.asarray(rounded, "uint8"), rotated_qq)
    return factors


def compute_1bit_adjusted_distance(
    normalized_distance: float, db_factors: Any, query_factors: Any, centered: bool, qb: int, d: int
) -> float:
    """The distance that signs say, from the sum of FastScan's tables."""
    q = query_factors
    if centered:
        product = q.int_dot_scale * (((1 << qb) - 1) * d - 2 * int(normalized_distance))
    else:
        product = normalized_distance - q.c34
    distance = db_factors.or_minus_c_l2sqr + q.qr_to_c_L2sqr - 2 * db_factors.dp_multiplier * product
    # Without a length, the query is compared by L2.
    return float(-0.5 * (distance - q.qr_norm_L2sqr) if q.qr_norm_L2sqr else max(0.0, distance))


def compute_full_multibit_distance(
    sign_bits: Any, ex_code: Any, ex_fac: Any, rotated_q: Any, qr_base: float, d: int, ex_bits: int, metric_type: int
) -> float:
    """The distance that a whole code says. qr_base: the squared length of the query less the centroid; of similarities, query times centroid."""
    signs = np.unpackbits(elements(sign_bits, (d + 7) // 8, "uint8"), bitorder="little")[:d].astype("int64")
    numbers = np.array([extract_code_inline(ex_code, i, ex_bits) for i in range(d)]) + (signs << ex_bits)
    product = elements(rotated_q, d, "float32") @ (numbers - (2**ex_bits - 0.5)).astype("float32")
    distance = qr_base + ex_fac.f_add_ex + ex_fac.f_rescale_ex * float(product)
    return float(distance if metric_type == INNER_PRODUCT else max(0.0, distance))


def should_refine_candidate(
    est_distance: float, f_error: float, g_error: float, threshold: float, is_similarity: bool
) -> bool:
    """Whether a code may be better than the threshold, by its signs and their error."""
    error = f_error * g_error
    return est_distance + error > threshold if is_similarity else est_distance - error < threshold


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
