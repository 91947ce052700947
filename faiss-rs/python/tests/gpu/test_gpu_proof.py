"""What proves that the wheel's kernels ran: a hash, and which images they came from."""

import hashlib
import os
import subprocess
import sys

import faiss
import pytest
from faiss import _faiss


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 65, 1000])
def test_a_hash_by_a_kernel(length):
    message = os.urandom(length)
    assert _faiss.gpu_sha256(0, message) == hashlib.sha256(message).digest()


def test_launches_name_their_images():
    _faiss.gpu_sha256(0, b"x")
    own = [launch for launch in faiss.gpu_launches() if launch["kernel"] == "sha256"]
    assert own
    assert own[0]["launches"] > 0
    major, minor = _faiss.gpu_properties(0)["capability"]
    assert own[0]["code"] <= 10 * major + minor


PROGRAM = """
import faiss, hashlib, sys
from faiss import _faiss
try:
    right = _faiss.gpu_sha256(0, b"nonce") == hashlib.sha256(b"nonce").digest()
except RuntimeError as error:
    print("refused", error)
else:
    launch = faiss.gpu_launches()[0]
    print("ran" if right else "wrong", launch["code"], launch["ptx"])
"""


def run(images):
    environment = {**os.environ, "FAISS_CUDA_IMAGES": images}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_images_of_one_kind():
    """Machine code and PTX alone. A wheel may have either of them, and a driver refuses the PTX of a newer toolkit."""
    code, ptx = run("code"), run("ptx")
    assert code.startswith("ran") or "image" in code, code
    assert ptx.startswith("ran") or "image" in ptx or "PTX" in ptx, ptx
    assert "ran" in code + ptx
    assert "may be 'code' or 'ptx'" in run("something")
    _faiss.gpu_sha256(0, b"here, too")
