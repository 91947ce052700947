"""Classes of Faiss that programs seldom use by themselves: bases that only `isinstance` asks for, contexts of selectors, cloners, hooks."""

from typing import Any, ClassVar

import numpy as np

import faiss
from faiss.arrays import elements
from faiss.scanner_methods import InvertedListsIterator

__all__ = [
    "Cloner",
    "ConcatenatedInvertedLists",
    "DirectMapAdd",
    "IDScanContext",
    "IDSelectorContextDispatch",
    "IDSelectorWithContext",
    "InvertedListsIOHook",
    "InvertedListsIterator",
    "MappedFileIOReader",
    "MmappedFileMappingOwner",
    "SwigPyIterator",
    "Version",
]


class _Abstract:
    def __init__(self, *_: Any, **__: Any) -> None:
        raise AttributeError("No constructor defined - class is abstract")


def _no_iterator(self: Any, *_: Any) -> None:
    raise TypeError("an iterator of C++ is wanted, an object that Python can't make")


class SwigPyIterator(_Abstract):
    """Iterates over a container of C++. There are none here."""

    advance = copy = decr = distance = equal = incr = previous = value = _no_iterator


class IDScanContext:
    """What a selector may be told beside an id: the ids among which it is, and where."""

    ids: Any = None
    list_size: int = 0
    j: int = 0


class IDSelectorWithContext(faiss.IDSelector):
    """A selector that is told a context."""

    _faiss_name = "IDSelectorWithContext"

    def is_member_with_context(self, id: int, ctx: IDScanContext) -> bool:
        """Whether the selector has an id."""
        return bool(self.is_member(id))


class IDSelectorContextDispatch:
    """Asks a selector with the context or without, as it wants to be asked."""

    sel: Any = None
    ctx_sel: Any = None

    def __init__(self, sel: Any, store_pairs: bool) -> None:
        self.sel = sel
        self.ctx_sel = sel if isinstance(sel, IDSelectorWithContext) and not store_pairs else None

    def is_member(self, id: int, ctx: IDScanContext) -> bool:
        """Whether the selector has an id."""
        if self.ctx_sel is not None:
            return bool(self.ctx_sel.is_member_with_context(id, ctx))
        return self.sel is None or bool(self.sel.is_member(id))


class Cloner:
    """Makes deep copies."""

    def clone_Index(self, index: Any) -> Any:
        """A copy of an index."""
        return faiss.clone_index(index)

    def clone_IndexIVF(self, ivf: Any) -> Any:
        """A copy of an inverted file."""
        return faiss.clone_index(ivf)

    def clone_VectorTransform(self, vt: Any) -> Any:
        """A copy of a transform."""
        return faiss.clone_VectorTransform(vt)


class DirectMapAdd:
    """Notes where n vectors came, which are added in any order, in a direct map."""

    direct_map: Any = None
    type: int = 0
    ntotal: int = 0
    n: int = 0
    xids: Any = None
    all_ofs: Any = None

    def __init__(self, direct_map: Any, n: int, xids: Any) -> None:
        """xids: a pointer to n ids; None for ids that count up."""
        direct_map.check_can_add(xids)
        self.direct_map, self.n, self.xids = direct_map, n, xids
        self.type, self.ntotal = direct_map.type, direct_map.array.size()
        self._places = np.full(n, -1, "int64")
        self.all_ofs = faiss.Int64Vector()
        self._ids = None if xids is None else elements(xids, n, "int64")
        if self.type == 1:
            for i in range(n):
                direct_map.add_single_id(self.ntotal + i, -1, 0)
            faiss.copy_array_to_vector(self._places, self.all_ofs)

    def add(self, i: int, list_no: int, offset: int) -> None:
        """Vector i is at an offset of a list."""
        if not 0 <= i < self.n:
            raise RuntimeError(f"Error: 'i < n' failed: there is no vector {i} among {self.n}")
        if self.type == 1:
            self._places[i] = list_no << 32 | offset
            faiss.copy_array_to_vector(self._places, self.all_ofs)
            places = faiss.vector_to_array(self.direct_map.array)
            places[self.ntotal + i] = self._places[i]
            faiss.copy_array_to_vector(places, self.direct_map.array)
        elif self.type == 2:
            id = self.ntotal + i if self._ids is None else int(self._ids[i])
            self.direct_map.add_single_id(id, list_no, offset)


class InvertedListsIOHook(_Abstract):
    """What reads and writes a class of inverted lists. Here read_InvertedLists and write_InvertedLists know all of them."""

    key: str = ""
    classname: str = ""
    _known: ClassVar[dict[str, str]] = {"ilod": "OnDiskInvertedLists", "ilbl": "BlockInvertedLists"}

    @classmethod
    def _hook(cls, key: str) -> "InvertedListsIOHook":
        made = object.__new__(cls)
        made.key, made.classname = key, f"N5faiss{len(cls._known[key])}{cls._known[key]}E"
        return made

    @classmethod
    def lookup(cls, h: int) -> "InvertedListsIOHook":
        """The hook of the four characters that a number stands for; RuntimeError where there is none."""
        key = faiss.fourcc_inv(h)
        if key not in cls._known:
            raise RuntimeError(f"read_InvertedLists: could not load ArrayInvertedLists as {key!r}")
        return cls._hook(key)

    @classmethod
    def lookup_classname(cls, classname: str) -> "InvertedListsIOHook":
        """The hook of a class by the name that C++ gives it; RuntimeError where there is none."""
        for key in cls._known:
            hook = cls._hook(key)
            if hook.classname == classname:
                return hook
        raise RuntimeError(f"read_InvertedLists: could not find classname {classname}")

    @classmethod
    def print_callbacks(cls) -> None:
        """Prints the hooks that there are."""
        print(f"registered {len(cls._known)} InvertedListsIOHooks:")
        for key in cls._known:
            print(f"{faiss.fourcc(key):08x} {key} {cls._hook(key).classname}")

    @classmethod
    def add_callback(cls, hook: Any) -> None:
        """Classes of other programs can't be added."""
        raise NotImplementedError("inverted lists of a class of one's own can't be read from a file")

    def read(self, f: Any, io_flags: int = 0) -> Any:
        """Reads inverted lists from an IOReader, behind the four characters that name their class."""
        whole = faiss.PyCallbackIOReader(_Behind(self.key.encode("latin-1"), f).read)
        return faiss.read_InvertedLists(whole, io_flags)

    def write(self, ils: Any, f: Any) -> None:
        """Writes inverted lists to an IOWriter, with the four characters that name their class."""
        faiss.write_InvertedLists(ils, f)

    def read_ArrayInvertedLists(self, f: Any, io_flags: int, nlist: int, code_size: int, sizes: Any) -> Any:
        """Not possible for these classes."""
        raise RuntimeError(f"read to {self.classname} not implemented")


class _Behind:
    """Bytes, and what a reader has after them."""

    def __init__(self, head: bytes, reader: Any) -> None:
        self._head, self._reader = head, reader

    def read(self, size: int) -> bytes:
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        data: bytes = self._reader.read_bytes(size)
        return data


class MmappedFileMappingOwner(faiss.MaybeOwnedVectorOwner):
    """A file's bytes in memory, as they are when they are looked at."""

    def __init__(self, filename: Any) -> None:
        self._bytes = np.memmap(filename, "uint8", "r")

    def data(self) -> Any:
        """A pointer to the bytes, which can't be written to."""
        return faiss.swig_ptr(np.asarray(self._bytes))

    def size(self) -> int:
        """Number of bytes."""
        return len(self._bytes)


class MappedFileIOReader(faiss.ZeroCopyIOReader):
    """Reads from a mapped file: an index read from it sees its codes where they are."""

    mmap_owner: Any = None

    def __init__(self, owner: MmappedFileMappingOwner) -> None:
        super().__init__(owner._bytes, owner.size())
        self.__dict__["mmap_owner"] = owner

    @property
    def pos(self) -> int:
        """How many bytes have been read."""
        return int(self.this.get("rp_"))

    def mmap(self, ptr: Any, size: int, nitems: int) -> int:
        """TypeError: where the view goes is a pointer to a pointer, which Python can't make."""
        raise TypeError("MappedFileIOReader.mmap takes a void **, an object of C++ that Python can't make")


class _Version(tuple[int, ...]):
    """A version by its numbers, where the package `packaging` is not installed."""

    __slots__ = ()

    def __new__(cls, version: str) -> "_Version":  # noqa: PYI034 (typing.Self is newer than CPython 3.10)
        return super().__new__(cls, (int(part) for part in version.split(".")))

    def __str__(self) -> str:
        return ".".join(map(str, self))


def _version() -> Any:
    try:
        from packaging.version import Version
    except ImportError:
        return _Version
    return Version


Version: Any = _version()

# Faiss's older name.
ConcatenatedInvertedLists = faiss.HStackInvertedLists
