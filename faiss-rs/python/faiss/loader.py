"""Finds what a name of the package stands for, when it is first asked for.

Looked for in this order: classes and functions described by the extension, constants, what is written in Python (the modules of MODULES),
and at last the names of Faiss that are not here, which resolve to placeholders that say so when used.
"""

import ast
import importlib
import json
import sys
from functools import cache, lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

from faiss import _faiss

# Held while a name is looked for; looking for one may need others.
LOCK = RLock()

# Each lists in `__all__` what it adds to the package.
MODULES = (
    "additive_methods",
    "arrays",
    "files",
    "extra",
    "references",
    "gpu",
    "clustering",
    "ivf_methods",
    "ivflib",
    "statistics",
    "autotune",
    "integers",
    "heaps",
    "vectors",
    "object_vectors",
    "tables",
    "beam_search",
    "plumbing",
    "range_results",
    "distance_computers",
    "kernel_functions",
    "hashing",
    "sharding",
    "interrupts",
    "pointers",
    "vector_functions",
    "graph_methods",
    "graphs",
    "neural",
    "pq_codes",
    "rabitq_functions",
    "eden_functions",
    "quantiles",
    "fast_scan_methods",
    "binary",
    "simd",
    "compatibility",
    "cpp_only",
    "global_variables",
)


# Modules of Faiss that are there once it is imported.
SUBMODULES = frozenset({"array_conversions", "class_wrappers", "extra_wrappers", "gpu_wrappers", "swigfaiss"})


def find(name: str) -> Any:
    """The value of `faiss.name`. AttributeError where Faiss has no such name."""
    if name == "__all__":
        return [n for n in names() if not n.startswith("_")]
    if name in SUBMODULES:
        return importlib.import_module(f"faiss.{name}")
    if not name.startswith("_"):
        if name in described():
            from faiss import classes

            return classes.make(name)
        if name in functions():
            from faiss import declared

            return declared.make(name)
        if name in upstream()["constants"]:
            return upstream()["constants"][name]
        for module in MODULES:
            if _may_have(module, name):
                contents = importlib.import_module(f"faiss.{module}")
                if name in contents.__all__:
                    return getattr(contents, name)
        if name in placeholder_classes() or name in upstream()["functions"]:
            from faiss import placeholders

            return placeholders.make(name)
    raise AttributeError(f"module 'faiss' has no attribute '{name}'", name=name, obj=sys.modules["faiss"])


@cache
def _listed(module: str) -> frozenset[str] | None:
    """What a module says in `__all__`, read without importing it; None where that has to be computed."""
    text = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    start = text.find("__all__ = [")
    try:
        return frozenset(ast.literal_eval(text[start + len("__all__ = ") : text.index("]", start) + 1]))
    except (ValueError, SyntaxError):
        return None


def _may_have(module: str, name: str) -> bool:
    listed = _listed(module)
    return listed is None or name in listed


def names() -> list[str]:
    """Every name that is here, and every name of Faiss that is not."""
    written = [n for module in MODULES for n in importlib.import_module(f"faiss.{module}").__all__]
    listed = upstream()
    return sorted(
        {*described(), *functions(), *written, *listed["constants"], *placeholder_classes(), *listed["functions"]}
    )


@lru_cache(maxsize=1)
def described() -> frozenset[str]:
    """The names of the classes that the extension describes."""
    return frozenset(_faiss.type_names())


@lru_cache(maxsize=1)
def functions() -> frozenset[str]:
    """The names of the functions that the extension declares."""
    return frozenset(name for name in _faiss.function_names() if not name.startswith("_"))


@lru_cache(maxsize=1)
def placeholder_classes() -> dict[str, Any]:
    """All classes that Faiss's modules for CPUs and for GPUs have."""
    return {**upstream()["classes"], **upstream()["gpu_classes"]}


@lru_cache(maxsize=1)
def upstream() -> dict[str, Any]:
    """Faiss's public names: `classes` with their direct bases and own constants, `functions`, and `constants` with their values. Those
    are of the module for CPUs; `gpu_classes` are further classes of the one for GPUs."""
    text = Path(__file__).with_name("names.json").read_text(encoding="utf-8")
    listed: dict[str, Any] = json.loads(text)
    return listed


@lru_cache(maxsize=1)
def _all_members() -> dict[str, str]:
    text = Path(__file__).with_name("members.json").read_text(encoding="utf-8")
    listed: dict[str, str] = json.loads(text)
    return listed


def __getattr__(name: str) -> Any:
    # Faiss's names are found where its own module of this name has them: `from faiss.loader import supported_instruction_sets`.
    if name.startswith("_"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(sys.modules["faiss"], name)


def upstream_members(name: str) -> list[str]:
    """The public members that a class has in Faiss beyond those of its base classes."""
    return _all_members().get(name, "").split()
