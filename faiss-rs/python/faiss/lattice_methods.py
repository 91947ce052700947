"""Points of a lattice by number: what C++ has with pointers, and numbers of 64 bits without a sign."""

from typing import Any

import numpy as np

from faiss.arrays import elements
from faiss.classes import Object
from faiss.object_vectors import Repeat, RepeatVector

MASK = (1 << 64) - 1


def _unsigned(numbers: np.ndarray) -> int:
    """The one number, of 64 bits without a sign."""
    return int(numbers[0]) & MASK


def _signed(code: int) -> np.ndarray:
    """A number of 64 bits without a sign, as the library takes it."""
    return np.array([code], "uint64").view("int64")


class RepeatsMethods(Object):
    dim: int

    def __init__(self, dim: int = 0, c: Any = None) -> None:
        """Of the first `dim` numbers that a pointer leads to."""
        super().__init__(dim, elements(c, dim if c is not None else 0, "float32"))

    @property
    def repeats(self) -> RepeatVector:
        """The numbers, each with how often it occurs."""
        items = []
        for val, n in self.this.call("table").tolist():
            repeat = Repeat()
            repeat.val, repeat.n = val, int(n)
            items.append(repeat)
        return RepeatVector(items)

    def count(self) -> int:
        """Number of different permutations."""
        return _unsigned(self.this.call("count"))

    def encode(self, c: Any) -> int:
        """The number of a permutation, `dim` numbers that a pointer leads to."""
        return _unsigned(self.this.call("encode", elements(c, self.dim, "float32")))

    def decode(self, code: int, c: Any) -> None:
        """Writes the permutation of a number to where a pointer leads."""
        elements(c, self.dim, "float32")[...] = self.this.call("decode", _signed(code))


class EnumeratedVectorsMethods(Object):
    dim: int

    @property
    def nv(self) -> int:
        """How many vectors there are."""
        return _unsigned(self.this.call("count_bits"))

    def encode(self, x: Any) -> int:
        """The number of the vector nearest to the one that a pointer leads to."""
        return _unsigned(self.this.call("encode_multi", elements(x, self.dim, "float32")))

    def decode(self, code: int, c: Any) -> None:
        """Writes the vector of a number to where a pointer leads."""
        elements(c, self.dim, "float32")[...] = self.this.call("decode_multi", _signed(code))[0]

    def encode_multi(self, nc: int, c: Any, codes: Any) -> None:
        """Writes the numbers of nc vectors, uint64; pointers."""
        found = self.this.call("encode_multi", elements(c, nc * self.dim, "float32"))
        elements(codes, nc, "uint64")[...] = found.view("uint64")

    def decode_multi(self, nc: int, codes: Any, c: Any) -> None:
        """Writes the vectors of nc numbers, uint64; pointers."""
        numbers = elements(codes, nc, "uint64").view("int64")
        elements(c, nc * self.dim, "float32")[...] = self.this.call("decode_multi", numbers).ravel()

    def find_nn(self, n: int, codes: Any, nq: int, xq: Any, idx: Any, dis: Any) -> None:
        """Writes for each of nq queries which of n numbered vectors has the largest inner product with it, int64, and that product."""
        vectors = self.this.call("decode_multi", elements(codes, n, "uint64").view("int64"))
        products = elements(xq, nq * self.dim, "float32").reshape(nq, self.dim) @ vectors.T
        best = products.argmax(axis=1)
        elements(idx, nq, "int64")[...] = best
        elements(dis, nq, "float32")[...] = products[np.arange(nq), best]


class ZnSphereSearchMethods(Object):
    dimS: int

    def search(self, x: Any, c: Any, tmp: Any = None, tmp_int: Any = None, ibest_out: Any = None) -> float:
        """Writes the point in whose direction the vector lies to where `c` leads; returns the inner product. The other pointers lead to
        memory that C++ wants, but for the last: the point's atom is written there, int32."""
        found, products = self.this.call("search_multi", elements(x, self.dimS, "float32"))
        elements(c, self.dimS, "float32")[...] = found[0]
        if ibest_out is not None:
            atoms = self.voc.this.to_array().reshape(-1, self.dimS)
            own = np.sort(np.abs(found[0]))[::-1]
            elements(ibest_out, 1, "int32")[0] = np.flatnonzero((atoms == own).all(axis=1))[0]
        return float(products[0])

    def search_multi(self, n: int, x: Any, c_out: Any, dp_out: Any) -> None:
        """Writes the points in whose directions n vectors lie, and the inner products; pointers."""
        found, products = self.this.call("search_multi", elements(x, n * self.dimS, "float32"))
        elements(c_out, n * self.dimS, "float32")[...] = found.ravel()
        elements(dp_out, n, "float32")[...] = products


class ZnSphereCodecMethods(ZnSphereSearchMethods, EnumeratedVectorsMethods):
    def search_and_encode(self, x: Any) -> int:
        """The number of the point in whose direction a vector lies."""
        return self.encode(x)


class ZnSphereCodecRecMethods(EnumeratedVectorsMethods):
    def encode_centroid(self, c: Any) -> int:
        """The number of a point of the sphere, which a pointer leads to."""
        return self.encode(c)

    def get_nv(self, ld: int, r2a: int) -> int:
        """Number of points of 2^ld dimensions on the sphere of squared radius r2a."""
        return _unsigned(self.this.call("get_nv", ld, r2a))
