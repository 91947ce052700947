"""Runs the client programs against a wheel, each in an environment of its own.

    python run.py --wheel FILE --environments FOLDER [NAME...]

FOLDER keeps the environments between runs; one is made anew when its lock or the interpreter has changed. The wheel is installed again every
time, and each program proves that it is what it loaded. The last line counts what passed, as `N passed`.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent


def install(python: Path, *asked: str | Path) -> None:
    """Installs into the environment of an interpreter, by our own pip: one of its own takes longer than the packages of many a client.
    What is imported of them gets its bytecode then."""
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "--python", python, "install", *quiet, "--no-deps", "--no-compile"]
    subprocess.run([*command, *asked], check=True)


def environment(folder: Path, lock: Path) -> Path:
    """The interpreter of an environment that holds exactly what the lock names."""
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode() + sys.executable.encode()).hexdigest()[:16]
    home = folder / f"client-{lock.stem}-{key}"
    python, mark = home / "bin/python", home / "complete"
    if not mark.exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=False)
        install(python, "--require-hashes", "--only-binary", ":all:", "-r", lock)
        mark.touch()
    return python


def passed(python: Path, wheel: Path, name: str) -> int | None:
    """How many tests of the program passed; None where one failed."""
    install(python, "--no-index", "--force-reinstall", wheel)
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key != "LD_LIBRARY_PATH"}
    own["FAISS_DISTRIBUTION"] = wheel.name.split("-")[0].replace("_", "-")
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--noconftest",
        "-c",
        os.devnull,
        "--rootdir",
        HERE,
    ]
    done = subprocess.run(
        [*command, HERE / f"use_{name}.py"], env=own, cwd=python.parent, capture_output=True, text=True, check=False
    )
    counts = re.search(r"(\d+) passed", done.stdout)
    if done.returncode == 0 and counts:
        return int(counts[1])
    print(done.stdout, done.stderr, sep="\n")
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    counts = {}
    for name in given.names or sorted(lock.stem for lock in HERE.glob("*.lock")):
        python = environment(given.environments.absolute(), HERE / f"{name}.lock")
        counts[name] = passed(python, given.wheel.absolute(), name)
        print(f"{name}: {'failed' if counts[name] is None else f'{counts[name]} passed'}", flush=True)
    if failed := [name for name, count in counts.items() if count is None]:
        sys.exit(f"failed: {', '.join(failed)}")
    print(f"{sum(counts.values())} passed")


if __name__ == "__main__":
    main()
