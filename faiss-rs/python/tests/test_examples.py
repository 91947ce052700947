"""The examples run as they are, at small sizes. Their type check is mypy's and pyright's (mypy.ini, pyrightconfig.json)."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import faiss
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZES = ["--nb", "3000", "--d", "24", "--nlist", "8", "--m", "6", "--nq", "100", "--nprobe", "8"]


@pytest.mark.parametrize("name", ["start", "typed"])
def test_programs_without_arguments(name):
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def command(*words: str | Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / "quantized_index.py"), *SIZES, *map(str, words)]


def test_quantized_index(tmp_path):
    file = tmp_path / "index.ivfpq"
    built = subprocess.run(command("--file", file), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    # Standard error is no terminal here: no bar, only what Faiss says of few training points.
    assert all(line.startswith("WARNING clustering 3000 points to 256") for line in built.stderr.splitlines())
    assert "3000 vectors" in built.stdout
    index = faiss.read_index(file)
    assert (type(index).__name__, index.ntotal, index.pq.M) == ("IndexIVFPQ", 3000, 6)
    # Ids, codes and the direct map, 8 + 256 centroids, and a little.
    expected = 3000 * (8 + 6 + 8) + (8 + 256) * 24 * 4
    assert expected < file.stat().st_size < expected + 1000

    read = subprocess.run(command("--read", file), capture_output=True, text=True, check=True)
    (line,) = read.stdout.splitlines()
    assert line.startswith("100 queries in ")
    share = float(line.split("; ")[1].split("%")[0])
    assert share > 90
    assert built.stdout.splitlines()[-1].split("; ")[1] == line.split("; ")[1]


@pytest.mark.skipif(faiss.get_num_gpus() > 0, reason="there is a GPU")
def test_quantized_index_without_a_gpu_says_so(tmp_path):
    done = subprocess.run(
        command("--gpu", "--file", tmp_path / "x"), capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode != 0
    assert "RuntimeError" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("switch", [[], ["--no-progress"]])
def test_progress_is_drawn_on_a_terminal_only_if_wanted(tmp_path, switch):
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command("--file", tmp_path / "x", *switch), stderr=theirs, stdout=-3, env=env) as child:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            drawn += piece
        os.close(ours)
        assert child.wait() == 0
    words = drawn.decode()
    for work in ("k-means", "product quantizer parts", "adding vectors"):
        assert (work in words) == (not switch)
    assert ("3,000 of 3,000" in words) == (not switch)
