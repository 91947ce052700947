"""What stands for the names of Faiss that are not here: real classes and functions, so that programs can import and compare them, which raise
NotImplementedError when used."""

from collections.abc import Callable
from typing import Any

import faiss
from faiss import loader

MARK = "_faiss_placeholder"


def make(name: str) -> Any:
    """The placeholder of a name that loader.upstream() lists."""
    described = loader.placeholder_classes().get(name)
    return _function(name) if described is None else _class(name, described)


def missing(name: str) -> NotImplementedError:
    return NotImplementedError(f"faiss.{name} is not implemented in this version; docs/python-api.md lists what is")


def _function(name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise missing(name)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "faiss"
    function.__doc__ = "Not implemented."
    setattr(function, MARK, True)
    return function


def _class(name: str, described: dict[str, Any]) -> type:
    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        # A class that is here may have further bases that are not.
        nearest = next(c for c in cls.__mro__ if MARK in c.__dict__ or "_faiss_name" in c.__dict__)
        if is_placeholder(nearest):
            raise missing(name)
        return object.__new__(cls)

    bases = tuple(getattr(faiss, base) for base in described["bases"])
    namespace = {
        "__module__": "faiss",
        "__doc__": "Not implemented.",
        "__new__": __new__,
        MARK: True,
        **described.get("constants", {}),
    }
    return type(name, bases or (object,), namespace)


def is_placeholder(value: Any) -> bool:
    return MARK in getattr(value, "__dict__", {})
