"""Thresholds of pruning in sampled dimensions, as a vector."""

from typing import Any

import faiss
from faiss import _faiss

__all__ = ["precompute_ad_thresholds"]


def precompute_ad_thresholds(d: int, epsilon: float) -> Any:
    """The part of a squared length of d dimensions that p of them have with probability 1 - epsilon at most, for p from 0 to d, as a Float32Vector."""
    made = faiss.Float32Vector()
    faiss.copy_array_to_vector(_faiss.call_function("_precompute_ad_thresholds", d, epsilon), made)
    return made
