"""The file formats .fvecs, .ivecs and .bvecs: each vector is its dimension as a 32-bit integer, then its numbers."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "bvecs_iter",
    "bvecs_iter_chunked",
    "bvecs_mmap",
    "fvecs_mmap",
    "fvecs_read",
    "fvecs_write",
    "ivecs_mmap",
    "ivecs_read",
    "ivecs_write",
]

if sys.byteorder != "little":
    raise ImportError("these files are little-endian, and so must the machine be")


def _table(a: Any, fname: Any) -> Any:
    """Rows of 4-byte words, each with the dimension first."""
    if a.size == 0:
        return a.reshape(0, 0)
    d = int(a[0])
    if d <= 0 or a.size % (d + 1):
        raise ValueError(f"{fname} holds no whole vectors of dimension {d}")
    rows = a.reshape(-1, d + 1)
    if (rows[:, 0] != d).any():
        raise ValueError(f"the vectors of {fname} are not all of dimension {d}")
    return rows[:, 1:]


def ivecs_read(fname: str | Path) -> np.ndarray:
    """The vectors of a file of int32, shape (n, d)."""
    rows: np.ndarray = _table(np.fromfile(fname, dtype="int32"), fname)
    return rows.copy()


def ivecs_mmap(fname: str | Path) -> np.ndarray:
    """As ivecs_read, mapped rather than read."""
    a: np.ndarray = np.memmap(fname, dtype="int32", mode="r")
    d = int(a[0])
    if d <= 0 or a.size % (d + 1):
        raise ValueError(f"{fname} holds no whole vectors of dimension {d}")
    return a.reshape(-1, d + 1)[:, 1:]


def fvecs_read(fname: str | Path) -> np.ndarray:
    """The vectors of a file of float32, shape (n, d)."""
    return ivecs_read(fname).view("float32")


def fvecs_mmap(fname: str | Path) -> np.ndarray:
    """As fvecs_read, mapped rather than read."""
    return ivecs_mmap(fname).view("float32")


def bvecs_mmap(fname: str | Path) -> np.ndarray:
    """The vectors of a file of uint8, shape (n, d), mapped."""
    a: np.ndarray = np.memmap(fname, dtype="uint8", mode="r")
    d = int(a[:4].view("int32")[0])
    if d <= 0 or a.size % (d + 4):
        raise ValueError(f"{fname} holds no whole vectors of dimension {d}")
    return a.reshape(-1, d + 4)[:, 4:]


def ivecs_write(fname: str | Path, m: np.ndarray) -> None:
    """Writes vectors of int32."""
    n, d = m.shape
    rows = np.empty((n, d + 1), dtype="int32")
    rows[:, 0] = d
    rows[:, 1:] = m
    rows.tofile(fname)


def fvecs_write(fname: str | Path, m: np.ndarray) -> None:
    """Writes vectors of float32."""
    ivecs_write(fname, np.ascontiguousarray(m, dtype="float32").view("int32"))


def bvecs_iter(filepath: str | Path, batch_size: int = 100000) -> Iterator[np.ndarray]:
    """The vectors of a file of uint8, batch by batch: shape (batch_size, d), the last may be shorter."""
    x = bvecs_mmap(filepath)
    for i in range(0, len(x), batch_size):
        yield np.array(x[i : i + batch_size])


def bvecs_iter_chunked(chunk_folder: str | Path, batch_size: int = 100000) -> Iterator[np.ndarray]:
    """As bvecs_iter, over the files chunk_0000.bvecs, chunk_0001.bvecs, ... of a folder; a batch may span files."""
    found = {
        int(m[1]): file
        for file in Path(chunk_folder).iterdir()
        if (m := re.fullmatch(r"chunk_(\d+)\.bvecs", file.name))
    }
    if not found:
        raise ValueError(f"No chunk files found in {chunk_folder}")
    if sorted(found) != list(range(len(found))):
        raise ValueError(f"the files of {chunk_folder} are not numbered without a gap: {sorted(found)}")
    rest: np.ndarray | None = None
    for number in sorted(found):
        for block in bvecs_iter(found[number], batch_size):
            rest = block if rest is None else np.concatenate([rest, block])
            if len(rest) >= batch_size:
                yield rest[:batch_size]
                rest = rest[batch_size:]
    if rest is not None and len(rest):
        yield rest
