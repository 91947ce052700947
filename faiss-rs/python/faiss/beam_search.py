"""Encoding by a residual quantizer with memory that is used again, of which there is none here."""

from typing import Any

import faiss

__all__ = [
    "ComputeCodesAddCentroidsLUT0MemoryPool",
    "ComputeCodesAddCentroidsLUT1MemoryPool",
    "RefineBeamLUTMemoryPool",
    "RefineBeamMemoryPool",
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
