"""Points of a lattice by number: what C++ has with pointers, and numbers of 64 bits without a sign."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements
from faiss.classes import Object
from faiss.object_vectors import Repeat, RepeatVector
from faiss.pointer import CppObject

MASK = (1 << 64) - 1


def _unsigned(numbers: np.ndarray) -> int:
    """The one number, of 64 bits without a sign."""
    return int(numbers[0]) & MASK


def _uint64_vector(numbers: list[int]) -> Any:
    made = faiss.UInt64Vector()
    faiss.copy_array_to_vector(np.array(numbers, "uint64"), made)
    return made


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
    @property
    def code_segments(self) -> Any:
        """The numbers of each atom's permutations."""
        return CppObject("std::vector< faiss::ZnSphereCodec::CodeSegment > *")

    def search_and_encode(self, x: Any) -> int:
        """The number of the point in whose direction a vector lies."""
        return self.encode(x)


class ZnSphereCodecRecMethods(EnumeratedVectorsMethods):
    r2: int

    # Of how many dimensions points are kept decoded, at most, as a power of two.
    _CACHED = 3

    @property
    def _levels(self) -> int:
        return self.dim.bit_length() - 1

    @property
    def all_nv(self) -> Any:
        """`get_nv` of each number of dimensions and of each squared radius up to r2."""
        table = [self.get_nv(ld, r2a) for ld in range(self._levels + 1) for r2a in range(self.r2 + 1)]
        return _uint64_vector(table)

    @property
    def all_nv_cum(self) -> Any:
        """`get_nv_cum` of each number of dimensions and of each two squared radii up to r2; 0 where there is none."""
        radii = range(self.r2 + 1)
        return _uint64_vector(
            [self.get_nv_cum(ld, t, a) for ld in range(self._levels + 1) for t in radii for a in radii]
        )

    def get_nv_cum(self, ld: int, r2t: int, r2a: int) -> int:
        """Of the points of 2^ld dimensions on the sphere of squared radius r2t, those whose first half has a squared length below r2a."""
        if not (0 <= ld <= self._levels and 0 <= r2t <= self.r2 and 0 <= r2a <= self.r2):
            raise RuntimeError(f"Error: 'ld <= log2_dim && r2t <= r2 && r2a <= r2' failed: {ld}, {r2t}, {r2a}")
        if ld == 0 or r2a > r2t:
            return 0
        return sum(self.get_nv(ld - 1, r) * self.get_nv(ld - 1, r2t - r) for r in range(r2a))

    def set_nv_cum(self, ld: int, r2t: int, r2a: int, v: int) -> None:
        """RuntimeError unless the number is the one that is there: the numbers of the codec follow from its radius."""
        if self.get_nv_cum(ld, r2t, r2a) != v:
            raise RuntimeError("Error: 'get_nv_cum(ld, r2t, r2a) == v' failed: what is counted can't be changed")

    @property
    def decode_cache_ld(self) -> int:
        """Points of 2^decode_cache_ld dimensions are kept decoded."""
        return min(self._CACHED, self._levels - 1)

    @property
    def decode_cache(self) -> Any:
        """The points of so many dimensions, in the order of their numbers, for each squared radius up to r2."""
        dim, made = 1 << max(self.decode_cache_ld, 0), faiss.Float32VectorVector()
        for radius in range(self.r2 + 1):
            points, n = faiss.Float32Vector(), self.get_nv(self.decode_cache_ld, radius)
            if n:
                numbers = np.arange(n, dtype="int64")
                codec = faiss.ZnSphereCodecRec(dim, radius)
                faiss.copy_array_to_vector(codec.this.call("decode_multi", numbers).ravel(), points)
            made.push_back(points)
        return made

    def encode_centroid(self, c: Any) -> int:
        """The number of a point of the sphere, which a pointer leads to."""
        return self.encode(c)

    def get_nv(self, ld: int, r2a: int) -> int:
        """Number of points of 2^ld dimensions on the sphere of squared radius r2a."""
        return _unsigned(self.this.call("get_nv", ld, r2a))
