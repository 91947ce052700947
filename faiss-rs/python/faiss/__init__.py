"""Similarity search and clustering of dense vectors, on the CPU and on CUDA GPUs.

The package offers what Faiss's own Python module does. Names are looked up when they are first used (see loader.py), so that importing
costs little; `dir(faiss)` lists them all, and the stubs (__init__.pyi) tell an editor what they are.
"""

import os

from faiss import _faiss, installed, loader

__version__: str = _faiss.VERSION

installed.warn_of_others()

# Where the kernels and the CUDA libraries' names are. Nothing is opened before a GPU is asked for.
_faiss.gpu_set_library_dir(os.path.dirname(os.path.abspath(__file__)))


def __getattr__(name: str) -> object:
    # Two threads that ask for a class at the same time must get the same one.
    with loader.LOCK:
        if name not in globals():
            globals()[name] = loader.find(name)
        return globals()[name]


def __dir__() -> list[str]:
    return sorted(set(loader.names()) | set(globals()))
