"""Binary indexes to and from files, and functions on binary codes."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import contiguous, elements
from faiss.classes import wrap
from faiss.files import _path, is_stream

__all__ = [
    "binary_to_real",
    "clone_binary_index",
    "crosshamming_count_thres",
    "deserialize_index_binary",
    "downcast_IndexBinary",
    "hamming_count_thres",
    "hamming_range_search",
    "hammings",
    "hammings_knn",
    "hammings_knn_hc",
    "hammings_knn_mc",
    "index_binary_factory",
    "knn_hamming",
    "match_hamming_thres",
    "obj",
    "read_index_binary",
    "real_to_binary",
    "serialize_index_binary",
    "symbol",
    "write_index_binary",
]


def _native(index: Any) -> Any:
    if not isinstance(index, faiss.IndexBinary):
        raise TypeError(f"a binary index is wanted, not {type(index).__name__}")
    return index.this


def write_index_binary(index: Any, where: Any) -> None:
    """Writes a binary index to a file (a path) or to an IOWriter; see write_index."""
    if is_stream(where, "IOWriter"):
        _faiss.write_index_to(_native(index), where.this, 0)
    else:
        _faiss.write_index(_native(index), _path(where, "the file"), 0)


def read_index_binary(where: Any, io_flags: int = 0) -> Any:
    """Reads a binary index from a file (a path) or from an IOReader, as the class that it was written as."""
    if is_stream(where, "IOReader"):
        return wrap(_faiss.read_index_binary_from(where.this, io_flags))
    return wrap(_faiss.read_index_binary(_path(where, "the file"), io_flags))


def serialize_index_binary(index: Any) -> np.ndarray:
    """The file of a binary index, as an array of uint8."""
    return _faiss.serialize_index(_native(index), 0)


def deserialize_index_binary(data: np.ndarray) -> Any:
    """The binary index that serialize_index_binary made an array of."""
    (_,) = data.shape
    assert data.dtype == np.uint8, f"an index is deserialized from an array of uint8, not {data.dtype}"
    return wrap(_faiss.deserialize_index_binary(np.ascontiguousarray(data)))


def clone_binary_index(index: Any) -> Any:
    """A deep copy."""
    return wrap(_faiss.clone_object(_native(index)))


def downcast_IndexBinary(index: Any) -> Any:
    """The binary index as the most derived of its classes, which it is already here."""
    return None if index is None else wrap(_native(index))


def index_binary_factory(d: int, description: str, own_invlists: bool = True) -> Any:
    """The index over vectors of d bits that the description describes, as in 'BIVF1024_HNSW32'; it may have to be trained."""
    return wrap(_faiss.index_binary_factory(d, description, own_invlists))


# Functions on codes: uint8, shape (n, code_size).


def _codes(pointer: Any, n: int, size: int) -> np.ndarray:
    return elements(pointer, n * size, "uint8").reshape(n, size)


def knn_hamming(xq: np.ndarray, xb: np.ndarray, k: int, variant: str = "hc") -> tuple[np.ndarray, np.ndarray]:
    """The k nearest codes of each query, found without an index.

    xq: queries, uint8, shape (nq, code_size). xb: database, shape (nb, code_size). variant: "hc" or "mc", which give the same.

    Returns Hamming distances (int32) and positions in xb (int64), shape (nq, k), nearest first; -1 is no result.
    """
    (nq, size), (_, size2) = xq.shape, xb.shape
    assert size == size2, f"the queries have {size} bytes, the database {size2}"
    if variant not in ("hc", "mc"):
        raise NotImplementedError(f"knn_hamming has the variants 'hc' and 'mc', not {variant!r}")
    D, labels = np.empty((nq, k), "int32"), np.empty((nq, k), "int64")
    _faiss.hammings_knn(contiguous(xq, "uint8"), contiguous(xb, "uint8"), None, D, labels)
    return D, labels


def hammings(a: Any, b: Any, na: int, nb: int, nbytespercode: int, dis: Any) -> None:
    """All Hamming distances between na codes a and nb codes b; pointers. dis: int32, na * nb."""
    out = elements(dis, na * nb, "int32").reshape(na, nb)
    _faiss.hammings(_codes(a, na, nbytespercode), _codes(b, nb, nbytespercode), out)


def hammings_knn_mc(
    a: Any, b: Any, na: int, nb: int, k: int, ncodes: int, distances: Any, labels: Any, sel: Any = None
) -> None:
    """The k of nb codes b nearest to each of na codes a, of `ncodes` bytes; pointers. distances: int32, labels: int64, na * k."""
    D, found = elements(distances, na * k, "int32").reshape(na, k), elements(labels, na * k, "int64").reshape(na, k)
    selector = None if sel is None else sel.this
    _faiss.hammings_knn(_codes(a, na, ncodes), _codes(b, nb, ncodes), selector, D, found)


def hammings_knn_hc(
    ha: Any, a: Any, b: Any, nb: int, ncodes: int, ordered: int = 1, approx_topk_mode: int = 0, sel: Any = None
) -> None:
    """As hammings_knn_mc, into the heaps `ha` (int_maxheap_array_t), always ordered."""
    D, found = elements(ha.val, ha.nh * ha.k, "int32"), elements(ha.ids, ha.nh * ha.k, "int64")
    hammings_knn_mc(a, b, ha.nh, nb, ha.k, ncodes, D, found, sel)


def hammings_knn(ha: Any, a: Any, b: Any, nb: int, ncodes: int, ordered: int) -> None:
    """The older name of hammings_knn_hc."""
    hammings_knn_hc(ha, a, b, nb, ncodes, ordered)


def hamming_range_search(
    a: Any, b: Any, na: int, nb: int, radius: int, ncodes: int, result: Any, sel: Any = None
) -> None:
    """The codes b at a Hamming distance below radius of each code a, into a RangeSearchResult; pointers."""
    selector = None if sel is None else sel.this
    result.fill(_faiss.hamming_range_search(_codes(a, na, ncodes), _codes(b, nb, ncodes), radius, selector))


def _pairs_within(a: np.ndarray, b: np.ndarray, ht: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs at a distance of at most ht, in order of a, then of b, and their distances."""
    lims, distances, ids = _faiss.hamming_range_search(a, b, ht + 1, None)
    return np.repeat(np.arange(len(a)), np.diff(lims.astype("int64"))), ids, distances


def hamming_count_thres(bs1: Any, bs2: Any, n1: int, n2: int, ht: int, ncodes: int, nptr: Any) -> None:
    """The number of pairs of n1 codes bs1 and n2 codes bs2 at a Hamming distance of at most ht, to where nptr points."""
    found = _pairs_within(_codes(bs1, n1, ncodes), _codes(bs2, n2, ncodes), ht)
    elements(nptr, 1, "uint64")[0] = len(found[0])


def crosshamming_count_thres(dbs: Any, n: int, ht: int, ncodes: int, nptr: Any) -> None:
    """The number of pairs among n codes at a Hamming distance of at most ht, to where nptr points."""
    codes = _codes(dbs, n, ncodes)
    first, second, _ = _pairs_within(codes, codes, ht)
    elements(nptr, 1, "uint64")[0] = int((first < second).sum())


def match_hamming_thres(bs1: Any, bs2: Any, n1: int, n2: int, ht: int, ncodes: int, idx: Any, dis: Any) -> int:
    """The pairs at a Hamming distance of at most ht: positions in bs1 and bs2 by turns to idx (int64), distances to dis (int32).

    Returns how many they are.
    """
    first, second, distances = _pairs_within(_codes(bs1, n1, ncodes), _codes(bs2, n2, ncodes), ht)
    n = len(first)
    elements(idx, 2 * n, "int64")[...] = np.stack([first, second], 1).ravel()
    elements(dis, n, "int32")[...] = distances
    return n


def binary_to_real(d: int, x_in: Any, x_out: Any) -> None:
    """A binary vector of d bits as +1 and -1; pointers."""
    _faiss.binary_to_real(elements(x_in, d // 8, "uint8"), elements(x_out, d, "float32"))


def real_to_binary(d: int, x_in: Any, x_out: Any) -> None:
    """Numbers above 0 to bits that are set, others to bits that are not; pointers."""
    _faiss.real_to_binary(elements(x_in, d, "float32"), elements(x_out, d // 8, "uint8"))


# A variable of a loop over these functions, which Faiss's module keeps.
obj, symbol = write_index_binary, "write_index_binary"
