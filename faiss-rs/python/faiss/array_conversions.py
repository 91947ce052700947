"""Conversions between arrays and vectors, where Faiss has them: `from faiss.array_conversions import vector_to_array`."""

from typing import Any

import faiss


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(faiss, name)


def __dir__() -> list[str]:
    return sorted(name for name in dir(faiss) if not name.startswith("_"))
