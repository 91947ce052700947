"""Functions on integers: sorting into buckets, packing into bits, counting, maps."""

from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import elements

__all__ = [
    "MapInt64ToInt64",
    "MapLong2Long",
    "bucket_sort",
    "imbalance_factor",
    "matrix_bucket_sort_inplace",
    "pack_bitstrings",
    "unpack_bitstrings",
]


def _buckets(tab: np.ndarray, nbucket: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The offsets of the buckets, and the positions of the elements ordered by bucket."""
    flat = tab.ravel()
    if nbucket is None:
        nbucket = int(flat.max()) + 1 if flat.size else 0
    if flat.size and (flat.min() < 0 or flat.max() >= nbucket):
        raise ValueError(f"elements must be at least 0 and below nbucket, {nbucket}")
    counts = np.bincount(flat, minlength=nbucket)
    return np.concatenate([[0], np.cumsum(counts)]).astype("int64"), np.argsort(flat, kind="stable")


def bucket_sort(tab: np.ndarray, nbucket: int | None = None, nt: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sorts integers into buckets.

    tab: integers below nbucket, shape (n,). nt is accepted and ignored.
    Returns the offsets of the buckets (int64, shape (nbucket + 1,)) and the positions of the elements, bucket after bucket.
    """
    return _buckets(np.asarray(tab), nbucket)


def matrix_bucket_sort_inplace(tab: np.ndarray, nbucket: int | None = None, nt: int = 0) -> np.ndarray:
    """Sorts the row numbers of a matrix into the buckets that its elements name.

    tab: int32 or int64, shape (n, m), elements below nbucket; afterwards tab.ravel()[lims[i]:lims[i + 1]] are the rows of bucket i.
    Returns lims. nt is accepted and ignored.
    """
    n, columns = tab.shape
    assert tab.dtype in (np.int32, np.int64), f"the matrix must be int32 or int64, not {tab.dtype}"
    if not tab.flags.c_contiguous:
        raise ValueError("array is not C-contiguous")
    lims, order = _buckets(tab, nbucket)
    tab[...] = (order // max(columns, 1)).astype(tab.dtype).reshape(n, columns)
    return lims


def _widths(columns: int, nbit: Any) -> np.ndarray:
    widths: np.ndarray = np.full(columns, nbit) if np.ndim(nbit) == 0 else np.asarray(nbit)
    assert widths.shape == (columns,), f"{len(widths)} numbers of bits for {columns} columns"
    return widths.astype("int32")


def pack_bitstrings(a: np.ndarray, nbit: Any) -> np.ndarray:
    """Packs integers of shape (n, m), column j into nbit[j] bits, or all into nbit: uint8, shape (n, code_size)."""
    n, columns = a.shape
    widths = _widths(columns, nbit)
    packed = np.empty((n, (int(widths.sum()) + 7) // 8), "uint8")
    _faiss.call_function(
        "_pack_bitstrings", n, columns, widths, np.ascontiguousarray(a, "int64"), packed, packed.shape[1]
    )
    return packed


def unpack_bitstrings(b: np.ndarray, M_or_nbits: Any, nbit: int | None = None) -> np.ndarray:
    """The reverse of pack_bitstrings, for M columns of nbit bits, or columns of nbits[j] bits each: int32, shape (n, m)."""
    widths = _widths(len(M_or_nbits), M_or_nbits) if nbit is None else _widths(int(M_or_nbits), nbit)
    n, size = b.shape
    total = int(widths.sum())
    assert size >= -(-total // 8), f"codes of {size} bytes can't hold {total} bits"
    out = np.empty((n, len(widths)), "int32")
    _faiss.call_function("_unpack_bitstrings", n, len(widths), widths, np.ascontiguousarray(b), size, out)
    return out


def imbalance_factor(*args: Any) -> float:
    """How far from equal an assignment of n points to k clusters is, (n, k, assign), or a histogram, (k, hist): 1 is balanced, k the worst."""
    if len(args) == 3:
        n, k, assign = args
        counts = np.bincount(elements(assign, n, "int64"), minlength=k).astype("float64")
    elif len(args) == 2:
        k, hist = args
        counts = elements(hist, k, "int64" if getattr(hist, "dtype", "") == "int64" else "int32").astype("float64")
    else:
        raise TypeError("imbalance_factor() takes (n, k, assign) or (k, hist)")
    return float((counts**2).sum() * k / counts.sum() ** 2)


class MapInt64ToInt64:
    """A map from integers to integers for at most `capacity` keys, a power of two, with arrays."""

    def __init__(self, capacity: int) -> None:
        self.log2_capacity = int(np.log2(capacity))
        assert capacity == 1 << self.log2_capacity, "need power of 2 capacity"
        self.capacity = capacity
        self._map: dict[int, int] = {}

    @property
    def tab(self) -> np.ndarray:
        """The pairs of key and value as a hash table has them, int64, shape (capacity, 2); -1 where there is room. A copy."""
        table = np.empty((self.capacity, 2), "int64")
        keys, vals = (np.fromiter(each, "int64", len(self._map)) for each in (self._map.keys(), self._map.values()))
        _faiss.call_function("hashtable_int64_to_int64_init", self.log2_capacity, table)
        _faiss.call_function("hashtable_int64_to_int64_add", self.log2_capacity, table, len(keys), keys, vals)
        return table

    def add(self, keys: np.ndarray, vals: np.ndarray) -> None:
        """Adds keys and values, shape (n,)."""
        (n,) = keys.shape
        assert vals.shape == (n,), f"{n} keys and {len(vals)} values"
        if len(self._map.keys() | set(keys.tolist())) > self.capacity:
            raise RuntimeError(f"hashtable capacity exhausted: the map has room for {self.capacity} keys only")
        self._map.update(zip(keys.tolist(), vals.tolist(), strict=True))

    def lookup(self, keys: np.ndarray) -> np.ndarray:
        """The values of keys, -1 for those that are not there."""
        (n,) = keys.shape
        return np.fromiter((self._map.get(key, -1) for key in keys.tolist()), "int64", n)


class MapLong2Long:
    """A map from integers to integers, with arrays."""

    def __init__(self) -> None:
        self._map: dict[int, int] = {}

    def add(self, keys: np.ndarray, vals: np.ndarray) -> None:
        """Adds keys and values, shape (n,)."""
        (n,) = keys.shape
        assert vals.shape == (n,), f"{n} keys and {len(vals)} values"
        self._map.update(zip(keys.tolist(), vals.tolist(), strict=True))

    def search(self, key: int) -> int:
        """The value of a key, -1 where it is not there."""
        return self._map.get(key, -1)

    def search_multiple(self, keys: np.ndarray) -> np.ndarray:
        """The values of keys, -1 for those that are not there."""
        (n,) = keys.shape
        return np.fromiter((self._map.get(key, -1) for key in keys.tolist()), "int64", n)

    @property
    def map(self) -> dict[int, int]:
        """The values by key."""
        return self._map

    def add_c(self, n: int, keys: Any, vals: Any) -> None:
        self.add(elements(keys, n, "int64"), elements(vals, n, "int64"))

    def search_multiple_c(self, n: int, keys: Any, vals: Any) -> None:
        elements(vals, n, "int64")[...] = self.search_multiple(elements(keys, n, "int64"))
