"""What all tests share: data, and an oracle that runs code under the interpreter of FAISS_ORACLE_PYTHON, whose environment has faiss-cpu."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PROLOGUE = """
import sys
import numpy as np
import faiss
given = dict(np.load(sys.argv[1], allow_pickle=False))
result = {}
"""
EPILOGUE = """
np.savez(sys.argv[2], **result)
"""

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def oracle() -> Callable[..., Arrays]:
    """oracle(code, **arrays): runs code that reads `given[...]` and fills `result[...]`; returns the results."""
    python = os.environ.get("FAISS_ORACLE_PYTHON")
    if not python:
        pytest.skip("FAISS_ORACLE_PYTHON does not name an interpreter that has faiss-cpu")

    def run(code: str, **arrays: np.ndarray) -> Arrays:
        with tempfile.TemporaryDirectory() as folder:
            given, result = Path(folder, "given.npz"), Path(folder, "result.npz")
            np.savez(given, **arrays)
            # The module under test must not be found by the oracle's interpreter.
            env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k != "LD_LIBRARY_PATH"}
            command = [python, "-c", PROLOGUE + code + EPILOGUE, str(given), str(result)]
            done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, check=False)
            assert done.returncode == 0, done.stderr
            with np.load(result) as loaded:
                return dict(loaded)

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)


def naive_knn(xq: np.ndarray, xb: np.ndarray, k: int, inner_product: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest by distances computed in f64, ties by position."""
    xq, xb = xq.astype("float64"), xb.astype("float64")
    dis = -xq @ xb.T if inner_product else ((xq[:, None, :] - xb[None, :, :]) ** 2).sum(-1)
    ids = np.argsort(dis, axis=1, kind="stable")[:, :k]
    sorted_dis = np.take_along_axis(dis, ids, axis=1)
    return (-sorted_dis if inner_product else sorted_dis), ids


def assert_same_neighbours(
    found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray], rtol: float = 1e-5
) -> None:
    """Equal distances, and equal ids wherever distances do not tie."""
    (D, ids), (D0, ids0) = found, wanted
    np.testing.assert_allclose(D, D0, rtol=rtol, atol=rtol * max(1.0, float(np.abs(D0).max(initial=0))))
    differ = ids != ids0
    if differ.any():
        scale = rtol * np.maximum(np.abs(D0), 1.0) * 4
        gaps = np.abs(np.diff(D0, axis=1))
        near = np.zeros_like(differ)
        near[:, 1:] |= gaps <= scale[:, 1:]
        near[:, :-1] |= gaps <= scale[:, :-1]
        near[:, -1] = True  # a tie with one that is not among the k
        assert not (differ & ~near).any()
