"""Steps of the residual quantizer's beam search, one at a time, on pointers."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements

__all__ = [
    "ComputeCodesAddCentroidsLUT0MemoryPool",
    "ComputeCodesAddCentroidsLUT1MemoryPool",
    "RefineBeamLUTMemoryPool",
    "RefineBeamMemoryPool",
    "approx_topk_by_mode",
    "beam_search_encode_step",
    "beam_search_encode_step_tab",
    "compute_codes_add_centroids_mp_lut0",
    "compute_codes_add_centroids_mp_lut1",
    "refine_beam_LUT_mp",
    "refine_beam_mp",
]


class RefineBeamMemoryPool:
    """What Faiss's searches reuse memory in; here they need none."""

    codes: Any = None
    new_codes: Any = None
    residuals: Any = None
    new_residuals: Any = None
    distances: Any = None


class RefineBeamLUTMemoryPool:
    """What Faiss's searches reuse memory in; here they need none."""

    codes: Any = None
    new_codes: Any = None
    distances: Any = None
    new_distances: Any = None


class ComputeCodesAddCentroidsLUT0MemoryPool:
    """What Faiss's searches reuse memory in; here they need none."""

    codes: Any = None
    norms: Any = None
    distances: Any = None
    residuals: Any = None
    refine_beam_pool: Any = RefineBeamMemoryPool


class ComputeCodesAddCentroidsLUT1MemoryPool:
    """What Faiss's searches reuse memory in; here they need none."""

    codes: Any = None
    distances: Any = None
    query_norms: Any = None
    query_cp: Any = None
    residuals: Any = None
    refine_beam_lut_pool: Any = RefineBeamLUTMemoryPool


def compute_codes_add_centroids_mp_lut0(rq: Any, x: Any, codes_out: Any, n: int, centroids: Any, pool: Any) -> None:
    """As ResidualQuantizer.compute_codes_add_centroids; the pool, which C++ reuses memory in, is not needed."""
    if not isinstance(rq, faiss.ResidualQuantizer):
        raise TypeError(f"a ResidualQuantizer is wanted, not {type(rq).__name__}")
    rq.compute_codes_add_centroids(x, codes_out, n, centroids)


def compute_codes_add_centroids_mp_lut1(rq: Any, x: Any, codes_out: Any, n: int, centroids: Any, pool: Any) -> None:
    """As compute_codes_add_centroids_mp_lut0."""
    compute_codes_add_centroids_mp_lut0(rq, x, codes_out, n, centroids, pool)


def _best(distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of distances (n, beam, K) the k smallest of each row: distances, and the beam and the centroid that they are of."""
    n, beam, centroids = distances.shape
    if k > beam * centroids:
        raise RuntimeError(f"Error: 'new_beam_size <= beam_size * K' failed: {k} of {beam * centroids}")
    flat = distances.reshape(n, beam * centroids)
    order = np.argsort(flat, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(flat, order, axis=1), order // max(centroids, 1), order % max(centroids, 1)


def beam_search_encode_step(
    d: int,
    K: int,
    cent: Any,
    n: int,
    beam_size: int,
    residuals: Any,
    m: int,
    codes: Any,
    new_beam_size: int,
    new_codes: Any,
    new_residuals: Any,
    new_distances: Any,
    assign_index: Any = None,
    approx_topk_mode: int = 0,
) -> None:
    """One step: from n * beam_size residuals and their codes of m numbers to the new_beam_size best ones, with one number more.

    cent: K centroids. All are pointers; the outputs may be None. The search is exact, whatever the mode and assign_index.
    """
    centroids = elements(cent, K * d, "float32").reshape(K, d)
    left = elements(residuals, n * beam_size * d, "float32").reshape(n, beam_size, d)
    before = elements(codes, n * beam_size * m, "int32").reshape(n, beam_size, m)
    distances = faiss.pairwise_distances(left.reshape(n * beam_size, d), centroids).reshape(n, beam_size, K)
    best, beams, numbers = _best(distances, new_beam_size)
    rows = np.arange(n)[:, None]
    _codes_out(new_codes, before[rows, beams], numbers)
    if new_residuals is not None:
        made = left[rows, beams] - centroids[numbers]
        elements(new_residuals, made.size, "float32")[...] = made.ravel()
    if new_distances is not None:
        elements(new_distances, best.size, "float32")[...] = best.ravel()


def _codes_out(out: Any, before: np.ndarray, numbers: np.ndarray) -> None:
    """Writes codes and the number that comes next."""
    if out is not None:
        made = np.concatenate([before, numbers[:, :, None]], axis=2)
        elements(out, made.size, "int32")[...] = made.ravel()


def beam_search_encode_step_tab(
    K: int,
    n: int,
    beam_size: int,
    codebook_cross_norms: Any,
    ldc: int,
    codebook_offsets: Any,
    query_cp: Any,
    ldqc: int,
    cent_norms_i: Any,
    m: int,
    codes: Any,
    distances: Any,
    new_beam_size: int,
    new_codes: Any,
    new_distances: Any,
    approx_topk_mode: int = 0,
) -> None:
    """As beam_search_encode_step, by tables: products of the K centroids with those before, row codebook_offsets[j] + code of number j, and with
    each query, and their squared norms; distances are those of the n * beam_size sums so far."""
    before = elements(codes, n * beam_size * m, "int32").reshape(n, beam_size, m)
    so_far = elements(distances, n * beam_size, "float32").reshape(n, beam_size)
    norms = elements(cent_norms_i, K, "float32")
    queries = elements(query_cp, ldqc * (n - 1) + K if n else 0, "float32")
    products = queries[np.arange(n)[:, None] * ldqc + np.arange(K)]
    table = np.broadcast_to(norms - 2 * products[:, None, :], (n, beam_size, K)).copy()
    if m:
        offsets = elements(codebook_offsets, m, "uint64").astype("int64")
        rows = offsets + before
        size = int(rows.max(initial=-1)) * ldc + K
        cross = elements(codebook_cross_norms, size if n else 0, "float32")
        table += 2 * cross[(rows * ldc)[..., None] + np.arange(K)].sum(axis=2, dtype="float32")
    best, beams, numbers = _best(so_far[:, :, None] + table, new_beam_size)
    _codes_out(new_codes, before[np.arange(n)[:, None], beams], numbers)
    if new_distances is not None:
        elements(new_distances, best.size, "float32")[...] = best.ravel()


def refine_beam_mp(
    rq: Any,
    n: int,
    beam_size: int,
    x: Any,
    out_beam_size: int,
    out_codes: Any,
    out_residuals: Any,
    out_distances: Any,
    pool: RefineBeamMemoryPool,
) -> None:
    """As rq.refine_beam."""
    rq.refine_beam(n, beam_size, x, out_beam_size, out_codes, out_residuals, out_distances)


def refine_beam_LUT_mp(
    rq: Any,
    n: int,
    query_norms: Any,
    query_cp: Any,
    out_beam_size: int,
    out_codes: Any,
    out_distances: Any,
    pool: RefineBeamLUTMemoryPool,
) -> None:
    """As rq.refine_beam_LUT."""
    rq.refine_beam_LUT(n, query_norms, query_cp, out_beam_size, out_codes, out_distances)


def approx_topk_by_mode(
    mode: int, beam_size: int, n_per_beam: int, distances: Any, k: int, bh_val: Any, bh_ids: Any
) -> None:
    """Puts the smallest of beam_size * n_per_beam distances, with their positions, into a heap of k; here exactly, whatever the mode."""
    values, ids = elements(bh_val, k, "float32"), elements(bh_ids, k, "int32")
    given = elements(distances, beam_size * n_per_beam, "float32")
    joined = np.concatenate([values, given])
    labels = np.concatenate([ids, np.arange(len(given), dtype="int32")])
    # The largest first, which is a heap.
    order = np.argsort(joined, kind="stable")[:k][::-1]
    values[...], ids[...] = joined[order], labels[order]
