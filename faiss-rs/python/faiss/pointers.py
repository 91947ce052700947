"""Faiss's functions on pointers. Each checks that the pointers lead as far as it reads or writes; numpy arrays are taken for pointers too."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.range_results import RangeSearchResult

__all__ = [
    "bvec_checksum",
    "bvecs_checksum",
    "byte_rand",
    "float_rand",
    "float_randn",
    "fvec_L1",
    "fvec_L2sqr",
    "fvec_L2sqr_ny",
    "fvec_Linf",
    "fvec_add",
    "fvec_inner_product",
    "fvec_inner_products_ny",
    "fvec_madd",
    "fvec_norm_L2sqr",
    "fvec_norms_L2",
    "fvec_norms_L2sqr",
    "fvec_renorm_L2",
    "fvec_sub",
    "int64_rand",
    "int64_rand_max",
    "ivec_checksum",
    "knn_L2sqr",
    "knn_inner_product",
    "pairwise_L2sqr",
    "range_search_L2sqr",
    "range_search_inner_product",
]


def _floats(x: Any, *shape: int) -> np.ndarray:
    return elements(x, int(np.prod(shape)), "float32").reshape(shape)


def fvec_L2sqr(x: Any, y: Any, d: int) -> float:
    """Squared L2 distance of two vectors."""
    return float(_faiss.pairwise_distances(_floats(x, 1, d), _floats(y, 1, d), 1, 0)[0, 0])


def fvec_inner_product(x: Any, y: Any, d: int) -> float:
    """Inner product of two vectors."""
    return float(_faiss.pairwise_distances(_floats(x, 1, d), _floats(y, 1, d), 0, 0)[0, 0])


def fvec_L1(x: Any, y: Any, d: int) -> float:
    """L1 distance of two vectors."""
    return float(_faiss.pairwise_distances(_floats(x, 1, d), _floats(y, 1, d), 2, 0)[0, 0])


def fvec_Linf(x: Any, y: Any, d: int) -> float:
    """Largest difference of two vectors."""
    return float(_faiss.pairwise_distances(_floats(x, 1, d), _floats(y, 1, d), 3, 0)[0, 0])


def fvec_norm_L2sqr(x: Any, d: int) -> float:
    """Squared L2 norm of a vector."""
    return fvec_inner_product(x, x, d)


def fvec_norms_L2sqr(norms: Any, x: Any, d: int, nx: int) -> None:
    """Squared L2 norms of nx vectors."""
    vectors = _floats(x, nx, d)
    _floats(norms, nx)[...] = np.einsum("ij,ij->i", vectors, vectors)


def fvec_norms_L2(norms: Any, x: Any, d: int, nx: int) -> None:
    """L2 norms of nx vectors."""
    fvec_norms_L2sqr(norms, x, d, nx)
    out = _floats(norms, nx)
    np.sqrt(out, out=out)


def fvec_renorm_L2(d: int, nx: int, x: Any) -> None:
    """Divides nx vectors by their L2 norms."""
    _faiss.normalize_L2(_floats(x, nx, d))


def fvec_L2sqr_ny(dis: Any, x: Any, y: Any, d: int, ny: int) -> None:
    """Squared L2 distances of x to ny vectors."""
    _floats(dis, ny)[...] = _faiss.pairwise_distances(_floats(x, 1, d), _floats(y, ny, d), 1, 0)[0]


def fvec_inner_products_ny(ip: Any, x: Any, y: Any, d: int, ny: int) -> None:
    """Inner products of x with ny vectors."""
    _floats(ip, ny)[...] = _faiss.pairwise_distances(_floats(x, 1, d), _floats(y, ny, d), 0, 0)[0]


def fvec_madd(n: int, a: Any, bf: float, b: Any, c: Any) -> None:
    """c = a + bf * b."""
    _floats(c, n)[...] = _floats(a, n) + np.float32(bf) * _floats(b, n)


def fvec_add(d: int, a: Any, b: Any, c: Any) -> None:
    """c = a + b, where b is a vector or a number."""
    _floats(c, d)[...] = _floats(a, d) + (np.float32(b) if isinstance(b, float | int) else _floats(b, d))


def fvec_sub(d: int, a: Any, b: Any, c: Any) -> None:
    """c = a - b."""
    _floats(c, d)[...] = _floats(a, d) - _floats(b, d)


def rows(x: Any, n: int, width: int, stride: int) -> np.ndarray:
    """n rows of `width` numbers that a pointer leads to, `stride` numbers apart; -1 for no gaps."""
    stride = width if stride == -1 else stride
    if stride < width:
        raise ValueError(f"rows of {width} numbers can't be {stride} numbers apart")
    flat = elements(x, (n - 1) * stride + width if n else 0, "float32")
    return np.lib.stride_tricks.as_strided(flat, (n, width), (stride * 4, 4))


def pairwise_L2sqr(
    d: int, nq: int, xq: Any, nb: int, xb: Any, dis: Any, ldq: int = -1, ldb: int = -1, ldd: int = -1
) -> None:
    """Squared L2 distances of nq to nb vectors. Rows are ldq, ldb and ldd numbers apart; -1 for no gaps."""
    queries, base = rows(xq, nq, d, ldq), rows(xb, nb, d, ldb)
    rows(dis, nq, nb, ldd)[...] = faiss.pairwise_distances(queries, base)


def knn_by(
    metric: tuple[int, float], x: Any, y: Any, d: int, nx: int, ny: int, k: int, vals: Any, ids: Any, sel: Any
) -> None:
    """The k best of ny vectors for each of nx, by a metric with its argument, among those that a selector has."""
    distances, labels = _floats(vals, nx, k), elements(ids, nx * k, "int64").reshape(nx, k)
    index = faiss.IndexFlat(d, metric[0])
    index.metric_arg = metric[1]
    index.add_c(ny, y)
    params = None if sel is None else faiss.SearchParameters(sel=sel)
    index.search(_floats(x, nx, d), k, params=params, D=distances, I=labels)


def _knn(
    metric: int, given: tuple[Any, Any, int, int, int], k: Any, rest: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """`rest` follows k: pointers to distances and ids, unless k is a heap, which has them; then the norms of y, for L2, and a selector."""
    heap = k if hasattr(k, "val") else None
    names = (() if heap else ("vals", "ids")) + (("y_norm2",) if metric else ()) + ("sel",)
    of = dict(zip(names, rest, strict=False))
    if len(rest) > len(names) or of.keys() & named.keys() or named.keys() - set(names):
        raise TypeError(f"after k come {', '.join(names)}")
    of |= {"vals": heap.val, "ids": heap.ids} if heap else {}
    of |= named
    if "vals" not in of or "ids" not in of:
        raise TypeError("pointers to distances and ids are wanted, or a heap in the place of k")
    knn_by((metric, 0.0), *given, heap.k if heap else k, of["vals"], of["ids"], of.get("sel"))


def knn_L2sqr(x: Any, y: Any, d: int, nx: int, ny: int, k: Any, *rest: Any, **named: Any) -> None:
    """The k nearest of ny vectors to each of nx, by squared L2 distance. After k: vals, ids, y_norm2, sel, of which the last two can be
    left out; or, with a float_maxheap_array_t in the place of k, y_norm2 and sel."""
    _knn(1, (x, y, d, nx, ny), k, rest, named)


def knn_inner_product(x: Any, y: Any, d: int, nx: int, ny: int, k: Any, *rest: Any, **named: Any) -> None:
    """The k of ny vectors with the largest inner product with each of nx. After k: vals, ids, sel, of which the last can be left out; or,
    with a float_minheap_array_t in the place of k, sel."""
    _knn(0, (x, y, d, nx, ny), k, rest, named)


def _range_search(metric: int, x: Any, y: Any, d: int, nx: int, ny: int, radius: float, result: Any, sel: Any) -> None:
    index = faiss.IndexFlat(d, metric)
    index.add_c(ny, y)
    params = None if sel is None else faiss.SearchParameters(sel=sel)
    result.fill(index.range_search(_floats(x, nx, d), radius, params=params))


def range_search_L2sqr(
    x: Any, y: Any, d: int, nx: int, ny: int, radius: float, result: RangeSearchResult, sel: Any = None
) -> None:
    """Of ny vectors those nearer than the radius to each of nx, by squared L2 distance."""
    _range_search(1, x, y, d, nx, ny, radius, result, sel)


def range_search_inner_product(
    x: Any, y: Any, d: int, nx: int, ny: int, radius: float, result: RangeSearchResult, sel: Any = None
) -> None:
    """Of ny vectors those whose inner product with each of nx is larger than the radius."""
    _range_search(0, x, y, d, nx, ny, radius, result, sel)


# Random numbers into memory of the caller's.


def float_rand(x: Any, n: int, seed: int) -> None:
    """n numbers uniform in [0, 1]."""
    elements(x, n, "float32")[...] = _faiss.float_rand(n, seed)


def float_randn(x: Any, n: int, seed: int) -> None:
    """n numbers of the standard normal distribution."""
    elements(x, n, "float32")[...] = _faiss.float_randn(n, seed)


def int64_rand(x: Any, n: int, seed: int) -> None:
    """n non-negative integers."""
    elements(x, n, "int64")[...] = _faiss.int64_rand(n, seed, None)


def int64_rand_max(x: Any, n: int, max: int, seed: int) -> None:
    """n integers in [0, max)."""
    elements(x, n, "int64")[...] = _faiss.int64_rand(n, seed, max)


def byte_rand(x: Any, n: int, seed: int) -> None:
    """n bytes."""
    elements(x, n, "uint8")[...] = _faiss.byte_rand(n, seed)


# Checksums: a polynomial modulo 2**64 whose coefficients are the elements, weighted modulo 2**32.

FACTOR, WEIGHT, START = 65713, 1686049, 112909


def _checksums(rows: np.ndarray) -> np.ndarray:
    """The checksum of each row of bytes."""
    n, size = rows.shape
    words = size // 4
    powers = np.cumprod(np.concatenate([np.ones(1, "uint64"), np.full(words, FACTOR, "uint64")]), dtype="uint64")
    numbers = np.ascontiguousarray(rows[:, : words * 4]).view("uint32").reshape(n, words)
    weighted = (numbers * np.uint32(WEIGHT)).astype("uint64")
    sums = np.full(n, START * int(powers[words]) % 2**64, "uint64")
    sums += (weighted * powers[:words]).sum(axis=1, dtype="uint64")
    for column in range(words * 4, size):
        sums *= np.uint64(FACTOR)
        sums += rows[:, column].astype("uint64") * np.uint64(WEIGHT)
    return sums


def ivec_checksum(n: int, a: Any) -> int:
    """The checksum of n integers."""
    return int(_checksums(elements(a, n, "int32").view("uint8").reshape(1, 4 * n))[0])


def bvec_checksum(n: int, a: Any) -> int:
    """The checksum of n bytes."""
    return int(_checksums(elements(a, n, "uint8").reshape(1, n))[0])


def bvecs_checksum(n: int, d: int, a: Any, cs: Any) -> None:
    """The checksums of n rows of d bytes."""
    elements(cs, n, "uint64")[...] = _checksums(elements(a, n * d, "uint8").reshape(n, d))
