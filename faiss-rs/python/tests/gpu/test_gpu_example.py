"""Examples on a GPU: the article's program at a small size, whose file is searched on the CPU, and the one of the GPU guide."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIZES = ["--nb", "20000", "--d", "60", "--nlist", "64", "--m", "20", "--nq", "500", "--nprobe", "16"]


# Another process launches them; without a GPU the program ends with an error.
@pytest.mark.launches_none
def test_quantized_index(tmp_path):
    file = tmp_path / "index.ivfpq"

    def run(*words: str) -> list[str]:
        command = [sys.executable, str(EXAMPLES / "quantized_index.py"), *SIZES, *words, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert "20000 vectors" in run("--gpu", "--file")[0]
    (line,) = run("--read")
    assert float(line.split("; ")[1].split("%")[0]) > 90


@pytest.mark.launches_none
def test_gpu_guide():
    done = subprocess.run([sys.executable, EXAMPLES / "gpu.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, spread = done.stdout.splitlines()
    assert float(found.split("%")[0]) > 30
    assert spread.startswith("100000 vectors on ")
