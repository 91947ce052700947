"""What stands for names of Faiss's contrib modules that are not here."""

from collections.abc import Callable, Iterable
from typing import Any


def getattr_of(module: str, names: Iterable[str] | None = None) -> Callable[[str], Any]:
    """A module's `__getattr__`: NotImplementedError for these names, or for all public ones."""
    known = None if names is None else frozenset(names)

    def find(name: str) -> Any:
        if not name.startswith("_") and (known is None or name in known):
            raise NotImplementedError(f"{module}.{name} is not implemented in this version")
        raise AttributeError(f"module '{module}' has no attribute '{name}'")

    return find
