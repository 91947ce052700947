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


@pytest.fixture(scope="session")
def here() -> Callable[..., Arrays]:
    """here(code, **arrays): what such code results in with the module under test."""
    import faiss

    def run(code: str, **arrays: np.ndarray) -> Arrays:
        result: Arrays = {}
        exec(code, {"faiss": faiss, "np": np, "given": arrays, "result": result})
        return result

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)
