"""Functions on pointers by other metrics than L2 and inner product, on four vectors or transposed ones at a time, and on matrices."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements, swig_ptr
from faiss.binary import _codes
from faiss.pointer import Pointer
from faiss.pointers import _floats, knn_by, rows

__all__ = [
    "bitvec_shuffle",
    "compute_PQ_dis_tables_dsub2",
    "fvec_L2sqr_batch_4",
    "fvec_L2sqr_ny_nearest_y_transposed",
    "fvec_L2sqr_ny_transposed",
    "fvec_inner_product_batch_4",
    "fvecs_maybe_subsample",
    "knn_extra_metrics",
    "matrix_qr",
    "merge_knn_results_CMax",
    "merge_knn_results_CMin",
    "pairwise_extra_distances",
    "smawk",
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


def pairwise_extra_distances(
    d: int,
    nq: int,
    xq: Any,
    nb: int,
    xb: Any,
    mt: int,
    metric_arg: float,
    dis: Any,
    ldq: int = -1,
    ldb: int = -1,
    ldd: int = -1,
) -> None:
    """Distances of nq to nb vectors by a metric. Rows are ldq, ldb and ldd numbers apart; -1 for no gaps."""
    queries, base = rows(xq, nq, d, ldq), rows(xb, nb, d, ldb)
    rows(dis, nq, nb, ldd)[...] = faiss.pairwise_distances(queries, base, mt, metric_arg)


def _batch_4(metric: int, x: Any, y: tuple[Any, ...], d: int, out: tuple[Any, ...]) -> None:
    base = np.stack([_floats(one, d) for one in y])
    distances = _faiss.pairwise_distances(_floats(x, 1, d), base, metric, 0)[0]
    for where, distance in zip(out, distances, strict=True):
        _floats(where, 1)[0] = distance


def fvec_L2sqr_batch_4(
    x: Any, y0: Any, y1: Any, y2: Any, y3: Any, d: int, dis0: Any, dis1: Any, dis2: Any, dis3: Any
) -> None:
    """Squared distances of x to four vectors."""
    _batch_4(1, x, (y0, y1, y2, y3), d, (dis0, dis1, dis2, dis3))


def fvec_inner_product_batch_4(
    x: Any, y0: Any, y1: Any, y2: Any, y3: Any, d: int, dis0: Any, dis1: Any, dis2: Any, dis3: Any
) -> None:
    """Inner products of x with four vectors."""
    _batch_4(0, x, (y0, y1, y2, y3), d, (dis0, dis1, dis2, dis3))


def fvec_L2sqr_ny_transposed(dis: Any, x: Any, y: Any, y_sqlen: Any, d: int, d_offset: int, ny: int) -> None:
    """Squared distances of x to ny vectors that are the columns of y: number j of vector i is at y[i + j * d_offset]. y_sqlen: their squared
    norms."""
    if d_offset < ny:
        raise ValueError(f"rows of {ny} numbers can't be {d_offset} numbers apart")
    flat = elements(y, d_offset * (d - 1) + ny if d else 0, "float32")
    columns = np.lib.stride_tricks.as_strided(flat, (d, ny), (4 * d_offset, 4))
    query = _floats(x, d)
    _floats(dis, ny)[...] = query @ query + _floats(y_sqlen, ny) - 2 * (query @ columns)


def fvec_L2sqr_ny_nearest_y_transposed(
    distances_tmp_buffer: Any, x: Any, y: Any, y_sqlen: Any, d: int, d_offset: int, ny: int
) -> int:
    """The number of the nearest of ny vectors; arguments as for fvec_L2sqr_ny_transposed."""
    fvec_L2sqr_ny_transposed(distances_tmp_buffer, x, y, y_sqlen, d, d_offset, ny)
    return int(_floats(distances_tmp_buffer, ny).argmin()) if ny else 0


def compute_PQ_dis_tables_dsub2(
    d: int, ksub: int, centroids: Any, nx: int, x: Any, is_inner_product: bool, dis_tables: Any
) -> None:
    """Distances of the parts of nx vectors, two numbers each, to the ksub centroids of each part: nx * d / 2 * ksub."""
    if d % 2:
        raise RuntimeError("Error: 'd % 2 == 0' failed")
    table = _floats(dis_tables, nx, d // 2, ksub)
    parts, centers = _floats(x, nx, d // 2, 2), _floats(centroids, d // 2, ksub, 2)
    if is_inner_product:
        table[...] = np.einsum("nmd,mkd->nmk", parts, centers)
    else:
        table[...] = ((parts[:, :, None] - centers) ** 2).sum(3)


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


def matrix_qr(m: int, n: int, a: Any) -> None:
    """Makes the rows of a, n of m numbers each, orthonormal; they span what they spanned before. m is at least n."""
    if m < n:
        raise RuntimeError(f"Error: 'm >= n' failed: {n} vectors of {m} numbers")
    vectors = _floats(a, n, m)
    # Of the two signs that each has, the one of LAPACK's factorization.
    q, _ = np.linalg.qr(vectors.T.astype("float64"))
    vectors[...] = q.T


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


def smawk(nrows: int, ncols: int, x: Any, argmins: Any) -> None:
    """The column of the smallest number of each row of a matrix."""
    elements(argmins, nrows, "int64")[...] = _floats(x, nrows, ncols).argmin(axis=1)


def bitvec_shuffle(n: int, da: int, db: int, order: Any, a: Any, b: Any) -> None:
    """For n codes: bit j of b is bit order[j] of a; they have da and db bits."""
    chosen = elements(order, db, "int32")
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= da):
        raise RuntimeError("Error: 'order[i] < da' failed")
    bits = np.unpackbits(_codes(a, n, (da + 7) // 8), axis=1, bitorder="little")
    _codes(b, n, (db + 7) // 8)[...] = np.packbits(bits[:, chosen], axis=1, bitorder="little")
