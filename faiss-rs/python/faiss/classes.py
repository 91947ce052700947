"""Makes a Python class from the description of a type: its properties, methods and base class."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import faiss
from faiss import _faiss, cpp_only, loader
from faiss.pointer import Pointer

# What instances of the library's own classes may be given besides the fields of their description.
EXTRA_ATTRIBUTES = frozenset({"this", "thisown", "referenced_objects"})


class MissingMember(NotImplementedError, AttributeError):
    """A member that a class has in Faiss but not here. An AttributeError too, so that `hasattr` tells the truth."""


def check_member(cls: type, name: str) -> None:
    """MissingMember where the class has such a member in Faiss, which is not here."""
    if not name.startswith("_") and any(name in loader.upstream_members(c.__name__) for c in cls.__mro__):
        what = f"faiss.{cls.__name__}.{name}"
        raise MissingMember(f"{what} is not implemented in this version; docs/python-api.md lists what is")


class Object:
    """Base of all classes that stand for an object of the library, which `this` refers to.

    Several Python objects may stand for one object of the library: `index.quantizer` makes a new one each time. The library's object
    lives as long as one of them, or another object that refers to it.
    """

    _faiss_name: ClassVar[str] = ""
    _faiss_abstract: ClassVar[bool] = True
    # Whether objects have no attributes but those that their class has.
    _strict: ClassVar[bool] = False
    this: Any
    referenced_objects: list[Any]

    @property
    def thisown(self) -> bool:
        """Whether the object belongs to Python. Memory is managed by reference counts, whatever this says; it is for programs that tell."""
        return bool(self.this.own())

    @thisown.setter
    def thisown(self, value: bool) -> None:
        self.this.own(bool(value))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        # The library's objects hold each other by themselves; programs look here for the Python objects that they passed.
        referenced = [a for a in (*args, *kwargs.values()) if isinstance(a, Object)]
        if referenced:
            self.referenced_objects = referenced

    def __getattr__(self, name: str) -> Any:
        # Asked for only where there is no such attribute.
        check_member(type(self), name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        # A field that is missing here must not pass unnoticed, nor a misspelt one of an index. Other objects may be given attributes, as in Faiss,
        # and so may those of users' own subclasses.
        cls = type(self)
        if name not in EXTRA_ATTRIBUTES and "_faiss_name" in cls.__dict__ and not hasattr(cls, name):
            check_member(cls, name)
            if not self._strict:
                object.__setattr__(self, name, value)
                return
            raise AttributeError(f"'{cls.__name__}' object has no attribute '{name}'.", name=name, obj=self)
        object.__setattr__(self, name, value)

    def __copy__(self) -> Any:
        """A copy of the object of the library; other attributes are shared."""
        made = around(type(self), _faiss.clone_object(self.this))
        for name, value in self.__dict__.items():
            made.__dict__.setdefault(name, value)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = around(type(self), _faiss.clone_object(self.this))
        for name, value in self.__dict__.items():
            made.__dict__.setdefault(name, copy.deepcopy(value, memo) if name != "this" else value)
        return made

    def __repr__(self) -> str:
        this = self.__dict__.get("this")
        where = f"at {int(this):#x}" if this is not None else "not initialized"
        return f"<{type(self).__module__}.{type(self).__qualname__} {where}>"


def copy_fields(source: Any, target: Any) -> None:
    """Gives an object the values that another of its class has in the fields of its description; sub-objects are shared."""
    name = target._faiss_name
    while name:
        described = _faiss.describe(name)
        for field, kind, _, _, readonly in described["fields"]:
            if kind == "part":
                copy_fields(getattr(source, field), getattr(target, field))
            elif not readonly and kind != "list":
                setattr(target, field, getattr(source, field))
        name = described["parent"]


def construct(self: Object, *args: Any, **kwargs: Any) -> None:
    """Makes the object of the library that `self` is to stand for."""
    if self._faiss_abstract:
        raise AttributeError(f"No constructor defined - class {self._faiss_name} is abstract")
    self.this = _faiss.construct(self._faiss_name, *args, **kwargs)


class Items(tuple[Any, ...]):
    """The objects of a `std::vector`, with the methods that Faiss gives it."""

    __slots__ = ()

    def size(self) -> int:
        return len(self)

    def at(self, i: int) -> Any:
        if not 0 <= i < len(self):
            raise RuntimeError(f"Error: 'n < size()' failed: there are {len(self)} elements, none is {i}")
        return self[i]


def wrap(value: Any) -> Any:
    """Puts a Python object around a native one; other values pass as they are."""
    if isinstance(value, _faiss.Object):
        cls: Any = getattr(faiss, value.type_name())
    elif isinstance(value, _faiss.Vector):
        cls = getattr(faiss, f"{value.element()}Vector")
    elif isinstance(value, _faiss.View):
        return Pointer.to_native(value)
    elif isinstance(value, tuple):
        return tuple(wrap(item) for item in value)
    else:
        return value
    return around(cls, value)


def around(cls: Any, native: Any) -> Any:
    made = cls.__new__(cls)
    made.this = native
    return made


def make(name: str) -> type[Object]:
    """The class of a described type."""
    from faiss import mixins

    described = _faiss.describe(name)
    parent = described["parent"]
    mixin = mixins.find(name)
    namespace: dict[str, Any] = {
        "__module__": "faiss",
        "__doc__": described["doc"],
        "_faiss_name": name,
        "_faiss_abstract": described["abstract"],
    }
    # What is in a vector is reached by its methods.
    fields = () if described["vector"] else described["fields"]
    for field, kind, detail, doc, readonly in fields:
        namespace[field] = _property(name, field, kind, detail, doc, readonly)
    described_methods: dict[str, list[tuple[str, str]]] = {}
    for method, signature, doc in described["methods"]:
        described_methods.setdefault(method, []).append((signature, doc))
    for method, overloads in described_methods.items():
        if mixin is None or not hasattr(mixin, method):
            namespace[method] = _method(name, method, overloads)
    for method, refusal in cpp_only.methods(name).items():
        if mixin is None or not hasattr(mixin, method):
            namespace.setdefault(method, refusal)
    namespace.update(loader.upstream()["classes"].get(name, {}).get("constants", {}))
    base = getattr(faiss, parent) if parent else Object
    # Where no class above has one that is written in Python.
    if described["signatures"] and all(c.__init__.__module__ in (__name__, "faiss") for c in (mixin, base) if c):
        namespace["__init__"] = _constructor(name, described["signatures"])
    # Bases that the library has no need of are there for isinstance.
    known = {cls.__name__ for cls in base.__mro__}
    further = [b for b in loader.upstream()["classes"].get(name, {}).get("bases", []) if b not in known]
    bases = [base, *(getattr(faiss, b) for b in further)]
    return type(name, tuple(bases if mixin is None else [mixin, *bases]), namespace)


def _property(class_name: str, field: str, kind: str, detail: str, doc: str, readonly: bool) -> property:
    if kind in ("part", "pointer", "vector", "list"):
        own_class = OWN_VECTORS.get((class_name, field)) if kind == "vector" else None

        def get(self: Object) -> Any:
            native = self.this.get(field)
            if kind == "list":
                return Items(wrap(item) for item in native)
            return wrap(native) if own_class is None else around(getattr(faiss, own_class), native)

    elif field in CHARACTERS:

        def get(self: Object) -> Any:
            return chr(self.this.get(field))

    else:

        def get(self: Object) -> Any:
            return self.this.get(field)

    def put(self: Object, value: Any) -> None:
        if kind == "vector":
            self.this.get(field).assign(value.this.to_array() if isinstance(value, Object) else value)
        elif kind == "part" and isinstance(value, Object):
            if not isinstance(value, getattr(faiss, detail)):
                raise TypeError(f"'{field}' is a {detail}, not a {type(value).__name__}")
            copy_fields(value, get(self))
        elif field in CHARACTERS and isinstance(value, str):
            if len(value) != 1:
                raise TypeError(f"'{field}' is one character, not {len(value)}")
            self.this.set(field, ord(value))
        elif isinstance(value, Pointer):
            # As an address; what is there lives as long as the object that has it.
            self.__dict__.setdefault("pointers", {})[field] = value
            self.this.set(field, int(value))
        else:
            self.this.set(field, value)

    return property(get, None if readonly else put, doc=doc)


# Small numbers that C++ has as `char`: Python reads a string, and may write either.
CHARACTERS = frozenset({"build_type", "quantizer_trains_alone"})

# Vectors that Faiss may also map from a file have a type of their own there.
OWN_VECTORS = {("IndexFlatCodes", "codes"): "MaybeOwnedVectorUInt8"}


# Methods whose object keeps the one that it is given.
KEEPING = frozenset({"add_replica", "add_shard", "add_sub_index", "addIndex", "prepend_transform"})


def _method(class_name: str, name: str, overloads: list[tuple[str, str]]) -> Callable[..., Any]:
    # With no parameters where it has none: that is what editors and type checkers see.
    def plain(self: Object) -> Any:
        return wrap(self.this.call(name))

    def method(self: Object, *args: Any, **kwargs: Any) -> Any:
        return wrap(self.this.call(name, *args, **kwargs))

    def keeping(self: Object, *args: Any, **kwargs: Any) -> Any:
        answer = wrap(self.this.call(name, *args, **kwargs))
        for given in (*args[:1], *kwargs.values()):
            if isinstance(given, Object):
                self.referenced_objects = [*getattr(self, "referenced_objects", []), given]
        return answer

    made: Callable[..., Any] = keeping if name in KEEPING else method
    if all(signature.startswith("(self) ->") for signature, _ in overloads):
        made = plain
    prototypes = "\n".join(name + signature for signature, _ in overloads)
    return _named(made, class_name, name, f"{prototypes}\n\n{overloads[0][1]}")


def _constructor(class_name: str, signatures: list[str]) -> Callable[..., None]:
    """As Object's, with the ways to call it as its help."""

    def plain(self: Object) -> None:
        Object.__init__(self)

    def constructor(self: Object, *args: Any, **kwargs: Any) -> None:
        Object.__init__(self, *args, **kwargs)

    made: Callable[..., None] = plain if signatures == ["()"] else constructor
    return _named(made, class_name, "__init__", "\n".join(class_name + signature for signature in signatures))


def _named(made: Callable[..., Any], class_name: str, name: str, doc: str) -> Callable[..., Any]:
    made.__name__, made.__qualname__, made.__module__, made.__doc__ = name, f"{class_name}.{name}", "faiss", doc
    return made
