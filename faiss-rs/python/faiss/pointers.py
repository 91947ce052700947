"""Faiss's functions on pointers. Each checks that the pointers lead as far as it reads or writes; numpy arrays are taken for pointers too."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.range_results import RangeSearchResult

__all__ = [
    "byte_rand",
    "float_rand",
    "float_randn",
    "int64_rand",
    "int64_rand_max",
    "knn_L2sqr",
    "knn_inner_product",
    "range_search_L2sqr",
    "range_search_inner_product",
]


def _floats(x: Any, *shape: int) -> np.ndarray:
    return elements(x, int(np.prod(shape)), "float32").reshape(shape)


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
