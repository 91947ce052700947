"""Tools for programs that change classes of the package themselves, where Faiss has them: `from faiss.class_wrappers import replace_method`."""

from typing import Any

import faiss

__all__ = ["add_to_referenced_objects", "replace_method"]


def replace_method(the_class: Any, name: str, replacement: Any, ignore_missing: bool = False) -> None:
    """Puts another method in the place of a class's; the one that was there gets the name with `_c` appended."""
    if not hasattr(the_class, name):
        if ignore_missing:
            return
        raise AttributeError(f"{the_class.__name__} has no method {name}")
    original = getattr(the_class, name)
    if original.__name__ == "replacement_" + name:
        # Done before, for a class that this one is derived from.
        return
    setattr(the_class, name + "_c", original)
    setattr(the_class, name, replacement)


def add_to_referenced_objects(self: Any, ref: Any) -> None:
    """Keeps an object alive as long as another."""
    faiss.add_to_referenced_objects(self, ref)
