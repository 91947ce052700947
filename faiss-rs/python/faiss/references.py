"""What keeps the Python objects alive that a call was given: for programs that wrap classes of their own as Faiss does its."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import faiss

__all__ = [
    "add_ref_in_constructor",
    "add_ref_in_function",
    "add_ref_in_method",
    "add_ref_in_method_explicit_own",
    "add_to_referenced_objects",
]


def add_to_referenced_objects(self: Any, ref: Any) -> None:
    """Lets an object keep another alive."""
    self.referenced_objects = [*getattr(self, "referenced_objects", []), ref]


def _keeping(function: Callable[..., Any], parameter_no: int) -> Callable[..., Any]:
    """A method that lets its object keep its argument of this number."""

    @wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = function(self, *args, **kwargs)
        if len(args) > parameter_no:
            add_to_referenced_objects(self, args[parameter_no])
        return answer

    return method


def add_ref_in_constructor(the_class: type, parameter_no: int) -> None:
    """Lets objects of a class keep the argument of this number that they are made with."""
    the_class.__init__ = _keeping(the_class.__init__, parameter_no)  # type: ignore[misc]


def add_ref_in_method(the_class: type, method_name: str, parameter_no: int) -> None:
    """Lets objects of a class keep the argument of this number that a method gets."""
    setattr(the_class, method_name, _keeping(getattr(the_class, method_name), parameter_no))


def add_ref_in_method_explicit_own(the_class: type, method_name: str) -> None:
    """Lets objects of a class keep the first argument of a method, unless its second says that it is owned."""
    function = getattr(the_class, method_name)

    @wraps(function)
    def method(self: Any, ref: Any, own: bool = False) -> Any:
        answer = function(self, ref, own)
        if not own:
            add_to_referenced_objects(self, ref)
        return answer

    setattr(the_class, method_name, method)


def add_ref_in_function(function_name: str, parameter_no: int) -> None:
    """Lets what a function of the module returns keep the function's argument of this number."""
    function = getattr(faiss, function_name)

    @wraps(function)
    def keeping(*args: Any, **kwargs: Any) -> Any:
        answer = function(*args, **kwargs)
        add_to_referenced_objects(answer, args[parameter_no])
        return answer

    setattr(faiss, function_name, keeping)
