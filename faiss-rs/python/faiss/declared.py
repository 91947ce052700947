"""The functions that the extension declares, as functions of Python."""

import inspect
from collections.abc import Callable
from typing import Any

from faiss import _faiss
from faiss.classes import wrap


def make(name: str) -> Callable[..., Any]:
    """The function of that name. Pointers are checked, by the types and lengths of its declaration; arrays are taken for pointers too."""

    def function(*args: Any, **kwargs: Any) -> Any:
        return wrap(_faiss.call_function(name, *args, **kwargs))

    ways, doc = _faiss.describe_function(name)
    function.__name__ = function.__qualname__ = name
    function.__module__ = "faiss"
    function.__doc__ = "\n".join(name + signature for signature, _ in ways) + f"\n\n{doc}"
    if len(ways) == 1:
        _, parameters = ways[0]
        function.__signature__ = inspect.Signature([_parameter(*each) for each in parameters])  # type: ignore[attr-defined]
    return function


def _parameter(name: str, default: str | None) -> inspect.Parameter:
    known = {"None": None, "True": True, "False": False, "-1": -1, "0": 0, "1": 1}
    value = inspect.Parameter.empty if default is None else known.get(default, ...)
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value)
