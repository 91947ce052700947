"""Nothing that a program does ends the interpreter or makes it hang."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("seed", range(4))
def test_random_calls(seed):
    program = Path(__file__).with_name("random_calls.py")
    command = [sys.executable, "-X", "faulthandler", program, str(seed), "1500"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]
