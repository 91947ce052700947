"""Functions on pointers that are searches or merges by another form of their arguments."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements, swig_ptr
from faiss.pointer import Pointer
from faiss.pointers import _floats, knn_by

__all__ = [
    "fvecs_maybe_subsample",
    "knn_extra_metrics",
    "merge_knn_results_CMax",
    "merge_knn_results_CMin",
]


def knn_extra_metrics(
    x: Any,
    y: Any,
    d: int,
    nx: int,
    ny: int,
    mt: int,
    metric_arg: float,
    k: int,
    distances: Any,
    indexes: Any,
    sel: Any = None,
) -> None:
    """The k best of ny vectors for each of nx, by a metric, among those that a selector has."""
    knn_by((mt, metric_arg), x, y, d, nx, ny, k, distances, indexes, sel)


def fvecs_maybe_subsample(d: int, n: Any, nmax: int, x: Any, verbose: bool = False, seed: int = 1234) -> Pointer:
    """At most nmax of n vectors, chosen by the seed. n: a pointer to their number (uint64), which becomes that of those that are left.

    Returns a pointer to them: x itself where there are no more than nmax."""
    number = elements(n, 1, "uint64")
    before = int(number[0])
    pointer: Pointer = swig_ptr(x) if isinstance(x, np.ndarray) else x
    vectors = _floats(pointer, before, d)
    if before <= nmax:
        return pointer
    if verbose:
        print(f"  Input training set too big (max size is {nmax}), sampling {nmax} / {before} vectors")
    chosen = np.ascontiguousarray(vectors[_faiss.rand_perm(before, seed, False)[:nmax]])
    number[0] = nmax
    return swig_ptr(chosen)


def _merge(keep_max: bool, args: tuple[Any, ...]) -> None:
    n, k, nshard, all_distances, all_labels, distances, labels = args
    dtype = "int32" if getattr(all_distances, "dtype", "") == "int32" else "float32"
    shape = (nshard, n, k)
    D = elements(all_distances, nshard * n * k, dtype).reshape(shape)
    I = elements(all_labels, nshard * n * k, "int64").reshape(shape)  # noqa: E741
    merged = faiss.merge_knn_results(D, I, keep_max)
    elements(distances, n * k, dtype)[...] = merged[0].ravel()
    elements(labels, n * k, "int64")[...] = merged[1].ravel()


def merge_knn_results_CMin(
    n: int, k: int, nshard: int, all_distances: Any, all_labels: Any, distances: Any, labels: Any
) -> None:
    """Merges the results of several shards, the smallest distances first: nshard * n * k float32 or int32, and ids, into n * k."""
    _merge(False, (n, k, nshard, all_distances, all_labels, distances, labels))


def merge_knn_results_CMax(
    n: int, k: int, nshard: int, all_distances: Any, all_labels: Any, distances: Any, labels: Any
) -> None:
    """As merge_knn_results_CMin, the largest distances first."""
    _merge(True, (n, k, nshard, all_distances, all_labels, distances, labels))
