"""Readers and writers, among them those that call Python functions, so that an index can come from or go to anything that has bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements, swig_ptr
from faiss.classes import Object
from faiss.pointer import CppObject

# Bytes handed over at a time.
BLOCK = 1 << 20


def _checked(callback: Callable[..., object], bs: int) -> int:
    if not callable(callback):
        raise TypeError("the callback must be callable")
    if bs <= 0:
        raise ValueError("the block size must be positive")
    return bs


class ReaderMethods(Object):
    def read_bytes(self, totsz: int) -> bytes:
        """Up to so many bytes; fewer only at the end."""
        return _faiss.read_bytes(self.this, totsz)

    def __call__(self, ptr: Any, size: int, nitems: int) -> int:
        """Reads up to nitems items of `size` bytes each to where a pointer leads; returns how many."""
        out = elements(ptr, size * nitems, "uint8")
        data = self.read_bytes(size * nitems)
        out[: len(data)] = np.frombuffer(data, "uint8")
        return len(data) // size if size else 0

    def filedescriptor(self) -> int:
        raise RuntimeError("Error: IOReader does not support memory mapping")


class WriterMethods(Object):
    def write_bytes(self, b: bytes) -> int:
        """Writes bytes; returns how many."""
        _faiss.write_bytes(self.this, b)
        return len(b)

    def __call__(self, ptr: Any, size: int, nitems: int) -> int:
        """Writes nitems items of `size` bytes each from where a pointer leads; returns how many."""
        self.write_bytes(elements(ptr, size * nitems, "uint8").tobytes())
        return nitems

    def filedescriptor(self) -> int:
        raise RuntimeError("Error: IOWriter does not support memory mapping")


class FileMethods(Object):
    @property
    def f(self) -> Any:
        """The file."""
        return CppObject("FILE *")

    @property
    def need_close(self) -> bool:
        """Whether the file is closed when this is let go: always."""
        return True


class FileReader(FileMethods):
    """Reads from a file."""


class FileWriter(FileMethods):
    """Writes to a file."""


class ReaderOfCallback(Object):
    callback: Callable[[int], bytes] | None = None

    def __init__(self, callback: Callable[[int], bytes], bs: int = BLOCK) -> None:
        """callback(n) returns at most n bytes, and none at the end: `file.read` is one."""
        self.callback = callback
        self.this = _faiss.callback_stream(True, callback, _checked(callback, bs))


class WriterToCallback(Object):
    callback: Callable[[bytes], object] | None = None

    def __init__(self, callback: Callable[[bytes], object], bs: int = BLOCK) -> None:
        """callback(b) takes bytes: `file.write` is one."""
        self.callback = callback
        self.this = _faiss.callback_stream(False, callback, _checked(callback, bs))


class ReaderOfMemory(Object):
    rp_: int

    def __init__(self, data: Any, size: int) -> None:
        """Of `size` bytes that a pointer leads to. An index read from them sees its codes where they are; it keeps them."""
        self.__dict__["_data"] = elements(data, size, "uint8")
        super().__init__(self.__dict__["_data"])

    @property
    def data_(self) -> Any:
        """A pointer to the bytes."""
        return swig_ptr(self.__dict__["_data"])

    def get_data_view(self, ptr: Any, size: int, nitems: int) -> int:
        """TypeError: where the view goes is a pointer to a pointer, which Python can't make."""
        raise TypeError("ZeroCopyIOReader.get_data_view takes a void **, an object of C++ that Python can't make")


class BufferedReader(Object):
    @property
    def reader(self) -> Any:
        """The other reader."""
        return self.referenced_objects[0]

    @property
    def buffer(self) -> Any:
        """The buffer."""
        return CppObject("std::vector< char > *")

    def __init__(self, reader: Any, bsz: int = BLOCK) -> None:
        """Reads from another reader, bsz bytes at a time."""
        self.this = _faiss.buffered_stream(_stream(reader, "IOReader"), True, bsz)
        self.referenced_objects = [reader]


class BufferedWriter(Object):
    @property
    def writer(self) -> Any:
        """The other writer."""
        return self.referenced_objects[0]

    @property
    def buffer(self) -> Any:
        """The buffer."""
        return CppObject("std::vector< char > *")

    def __init__(self, writer: Any, bsz: int = BLOCK) -> None:
        """Writes to another writer, bsz bytes at a time; the rest when it is let go or an index is complete."""
        self.this = _faiss.buffered_stream(_stream(writer, "IOWriter"), False, bsz)
        self.referenced_objects = [writer]


def _stream(stream: Any, kind: str) -> Any:
    if not isinstance(stream, getattr(faiss, kind)):
        raise TypeError(f"an {kind} is wanted, not {type(stream).__name__}")
    return stream.this
