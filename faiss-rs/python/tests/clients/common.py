"""Programs of others that use `faiss`, each a file `use_NAME.py` of tests that runs in an environment of its own.

The packages of an environment are pinned in `NAME.lock`, which `lock.py` writes from `clients.toml`; `run.py` makes the environments, puts
the wheel under test into them and runs the programs. Every one is held against numbers that numpy computes, never against another `faiss`.
Here is what they share: data, exact neighbours, and the proof of which `faiss` was loaded.
"""

import importlib.metadata
import os
import sys
from pathlib import Path

import numpy as np


def loaded() -> str:
    """The distribution that `faiss` was loaded from: the only one that provides it here, with its files in this environment."""
    faiss = sys.modules["faiss"]
    distributions = set(importlib.metadata.packages_distributions()["faiss"])
    assert len(distributions) == 1, f"several distributions provide faiss: {distributions}"
    (distribution,) = distributions
    if wanted := os.environ.get("FAISS_DISTRIBUTION"):
        assert distribution == wanted, f"faiss is that of {distribution}, not of {wanted}"
        assert Path(faiss.__file__).is_relative_to(sys.prefix), f"faiss was loaded from {faiss.__file__}"
    return distribution


def vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    """float32[n, d], distinct and spread evenly."""
    return np.random.default_rng(seed).random((n, d), dtype=np.float32)


def distances(xb: np.ndarray, xq: np.ndarray) -> np.ndarray:
    """float64[nq, nb]: squared L2 distances."""
    return ((xq[:, None].astype(np.float64) - xb[None].astype(np.float64)) ** 2).sum(2)


def nearest(xb: np.ndarray, xq: np.ndarray, k: int) -> np.ndarray:
    """int[nq, k]: the exact neighbours by L2, nearest first."""
    return np.argsort(distances(xb, xq), axis=1, kind="stable")[:, :k]


def most_similar(xb: np.ndarray, xq: np.ndarray, k: int) -> np.ndarray:
    """int[nq, k]: the exact neighbours by inner product, largest first."""
    return np.argsort(-(xq.astype(np.float64) @ xb.T.astype(np.float64)), axis=1, kind="stable")[:, :k]


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact neighbours that was found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, exact, strict=True)]))
