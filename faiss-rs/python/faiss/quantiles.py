"""Quantiles of the normal and chi-squared distributions, by which pruning in sampled dimensions is told when to stop (Gao and Long, 2023)."""

import statistics
from typing import Any

import numpy as np

import faiss

__all__ = ["chi2_quantile_wh", "normal_quantile", "precompute_ad_thresholds"]


def normal_quantile(p: float) -> float:
    """What a standard normal variable is less than with probability p; NaN unless 0 < p < 1."""
    return statistics.NormalDist().inv_cdf(p) if 0 < p < 1 else float("nan")


def chi2_quantile_wh(p: int, alpha: float) -> float:
    """What a chi-squared variable of p degrees of freedom is less than with probability alpha, to 2% (Wilson and Hilferty, 1931)."""
    step = 2 / (9 * p)
    return float(p * (1 - step + normal_quantile(alpha) * step**0.5) ** 3)


def precompute_ad_thresholds(d: int, epsilon: float) -> Any:
    """The part of a squared length of d dimensions that p of them have with probability 1 - epsilon at most, for p from 0 to d, as a Float32Vector."""
    parts = [0.0] + [chi2_quantile_wh(p, 1 - epsilon) / d for p in range(1, d + 1)]
    made = faiss.Float32Vector()
    faiss.copy_array_to_vector(np.array(parts, "float32"), made)
    return made
