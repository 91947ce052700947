"""Nothing that a program does ends the interpreter or makes it hang."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def said(program: str, *args: object) -> str:
    """What a program of this folder prints at last, in a process of its own."""
    command = [sys.executable, "-X", "faulthandler", HERE / program, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("seed", range(4))
def test_random_calls(seed):
    assert said("random_calls.py", seed, 1500).endswith("done\n")


@pytest.mark.parametrize("seed", range(3))
def test_every_type(seed):
    *_, made, done = said("random_types.py", seed).splitlines()
    assert done == "done"
    # Each type that can be made was made.
    assert made.endswith("missing []"), made
