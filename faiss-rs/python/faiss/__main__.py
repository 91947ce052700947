"""`python -m faiss` prints what a report of a problem needs to say: versions, processor, libraries, GPUs."""

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import faiss
from faiss.installed import distributions

HERE = Path(faiss.__file__).resolve().parent


def report() -> Iterator[tuple[str, str]]:
    """What is known of this installation, as lines of a name and a value."""
    yield "faiss", f"{faiss.__version__} in {HERE}"
    yield "installed by", ", ".join(distributions()) or "no distribution: the package was laid there"
    yield "Python", f"{sys.version.split()[0]} ({sys.implementation.name})"
    yield "numpy", np.__version__
    yield "platform", f"{platform.platform()}, libc {' '.join(platform.libc_ver())}"
    yield "processor", _processor()
    yield "instruction set", faiss.get_compile_options()
    yield "threads", str(faiss.omp_get_max_threads())
    yield "BLAS", _blas()
    gpu = faiss.gpu_report()
    for part in ("kernels", "CUDA", "GPU"):
        yield from ((part, text) for text in gpu[part])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _blas() -> str:
    """The library that is loaded, wherever it was found."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8").split()
    except OSError:
        mapped = []
    found = {path for path in mapped if "blas" in Path(path).name and "numpy" not in path}
    return ", ".join(sorted(found)) or "not found among the loaded libraries"


def main() -> None:
    rows = list(report())
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")


if __name__ == "__main__":
    main()
