"""Readers and writers that call Python functions, so that an index can come from or go to anything that has bytes."""

from collections.abc import Callable

from faiss import _faiss
from faiss.classes import Object

# Bytes handed over at a time.
BLOCK = 1 << 20


def _checked(callback: Callable[..., object], bs: int) -> int:
    if not callable(callback):
        raise TypeError("the callback must be callable")
    if bs <= 0:
        raise ValueError("the block size must be positive")
    return bs


class ReaderOfCallback(Object):
    def __init__(self, callback: Callable[[int], bytes], bs: int = BLOCK) -> None:
        """callback(n) returns at most n bytes, and none at the end: `file.read` is one."""
        self.this = _faiss.callback_stream(True, callback, _checked(callback, bs))


class WriterToCallback(Object):
    def __init__(self, callback: Callable[[bytes], object], bs: int = BLOCK) -> None:
        """callback(b) takes bytes: `file.write` is one."""
        self.this = _faiss.callback_stream(False, callback, _checked(callback, bs))
