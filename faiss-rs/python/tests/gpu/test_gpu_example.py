"""The article's program on a GPU, at a small size; its file is searched on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "quantized_index.py"
SIZES = ["--nb", "20000", "--d", "60", "--nlist", "64", "--m", "20", "--nq", "500", "--nprobe", "16"]


# Another process launches them; without a GPU the program ends with an error.
@pytest.mark.launches_none
def test_quantized_index(tmp_path):
    file = tmp_path / "index.ivfpq"

    def run(*words: str) -> list[str]:
        command = [sys.executable, str(EXAMPLE), *SIZES, *words, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert "20000 vectors" in run("--gpu", "--file")[0]
    (line,) = run("--read")
    assert float(line.split("; ")[1].split("%")[0]) > 90
