"""Bits one after the other, and numbers made of bits."""

from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import elements

__all__ = [
    "BitstringReader",
    "BitstringWriter",
    "bitvec_print",
    "generalized_hamming_64",
    "generalized_hammings_knn_hc",
    "kmeans1d",
    "lo_build",
    "lo_listno",
    "lo_offset",
    "popcount32",
    "popcount64",
]


class BitstringWriter:
    """Writes numbers of some bits each into bytes, lowest bits first."""

    code: Any = None
    code_size: int = 0
    # The bit that comes next.
    i: int = 0

    def __init__(self, code: Any, code_size: int) -> None:
        """code: a pointer to code_size bytes, which become 0."""
        self.code = elements(code, code_size, "uint8")
        self.code_size, self.i = code_size, 0
        self.code[...] = 0

    def write(self, x: int, nbit: int) -> None:
        """Writes the lowest nbit bits of x."""
        if not 0 <= nbit <= 64 or self.i + nbit > 8 * self.code_size:
            raise RuntimeError("Error: 'code_size * 8 >= nbit + i' failed")
        for bit in range(nbit):
            self.code[(self.i + bit) // 8] |= (x >> bit & 1) << (self.i + bit) % 8
        self.i += nbit


class BitstringReader:
    """Reads what a BitstringWriter wrote."""

    code: Any = None
    code_size: int = 0
    # The bit that comes next.
    i: int = 0

    def __init__(self, code: Any, code_size: int) -> None:
        """code: a pointer to code_size bytes."""
        self.code = elements(code, code_size, "uint8")
        self.code_size, self.i = code_size, 0

    def read(self, nbit: int) -> int:
        """The next number, of nbit bits."""
        if not 0 <= nbit <= 64 or self.i + nbit > 8 * self.code_size:
            raise RuntimeError("Error: 'code_size * 8 >= nbit + i' failed")
        bits = [int(self.code[i // 8]) >> i % 8 & 1 for i in range(self.i, self.i + nbit)]
        self.i += nbit
        return sum(bit << i for i, bit in enumerate(bits))


def bitvec_print(b: Any, d: int) -> None:
    """Prints d bits, in groups of eight."""
    bits = np.unpackbits(elements(b, (d + 7) // 8, "uint8"), bitorder="little")[:d]
    print("".join(f"{bit} " if i % 8 == 7 else str(bit) for i, bit in enumerate(bits)))


def popcount32(x: int) -> int:
    """The number of bits that are set."""
    return (x & 0xFFFFFFFF).bit_count()


def popcount64(x: int) -> int:
    """The number of bits that are set."""
    return (x & 0xFFFFFFFFFFFFFFFF).bit_count()


def generalized_hamming_64(a: int) -> int:
    """The number of bytes of 64 bits that are not 0."""
    return sum(1 for i in range(8) if a >> 8 * i & 255)


def generalized_hammings_knn_hc(ha: Any, a: Any, b: Any, nb: int, code_size: int, ordered: int = 1) -> None:
    """The nearest of nb codes for each of the codes a, as many as the heaps `ha` are: by the number of bytes that differ."""
    n, k = ha.nh, ha.k
    _faiss.call_function("_generalized_hammings_knn", n, a, nb, b, code_size, k, ha.val, ha.ids)


def lo_build(list_id: int, offset: int) -> int:
    """The number that stands for an entry of a list."""
    return list_id << 32 | offset


def lo_listno(lo: int) -> int:
    """The list of an entry."""
    return lo >> 32


def lo_offset(lo: int) -> int:
    """Where in its list an entry is."""
    return lo & 0xFFFFFFFF


def kmeans1d(x: Any, n: int, nclusters: int, centroids: Any) -> float:
    """The nclusters centroids of n numbers that are best of all, in ascending order. Returns the imbalance factor."""
    if not 1 <= nclusters <= n:
        raise RuntimeError("Error: 'n >= nclusters' failed")
    found, imbalance = _faiss.kmeans1d(np.ascontiguousarray(elements(x, n, "float32")), nclusters)
    elements(centroids, nclusters, "float32")[...] = found
    return imbalance
