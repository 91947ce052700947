"""Faiss's names where its extension has them, for programs that import them from there: `from faiss.swigfaiss import IndexIDMap`."""

from typing import Any

import faiss


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(faiss, name)


def __dir__() -> list[str]:
    return sorted(name for name in dir(faiss) if not name.startswith("_"))
