"""Sets: of codes, and of what a search of a graph has visited."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements

__all__ = [
    "CodeSet",
    "VisitedTable",
    "VisitedTableSet",
    "VisitedTableVector",
]


class CodeSet:
    """A set of codes of d bytes."""

    d: int = 0
    # The codes, each as bytes.
    s: Any = frozenset()

    def __init__(self, d: int) -> None:
        self.d, self.s = d, set()

    def insert(self, codes: np.ndarray, inserted: np.ndarray | None = None) -> np.ndarray:
        """Adds codes, (n, d) of uint8, and returns which were not there before: bool, (n,)."""
        n, d = codes.shape
        assert d == self.d, f"codes of {self.d} bytes are wanted, not of {d}"
        inserted = np.empty(n, dtype=bool) if inserted is None else inserted
        assert inserted.shape == (n,), f"the output array has shape {inserted.shape}, {(n,)} is wanted"
        for i, code in enumerate(np.ascontiguousarray(codes, "uint8")):
            key = code.tobytes()
            inserted[i] = key not in self.s
            self.s.add(key)
        return inserted

    def insert_c(self, n: int, codes: Any, inserted: Any) -> None:
        flags = self.insert(elements(codes, n * self.d, "uint8").reshape(n, self.d))
        elements(inserted, n, "bool")[...] = flags


class VisitedTable:
    """Which vertices a search has visited. Searches here have one of their own; this is for programs that walk a graph themselves."""

    def __init__(self) -> None:
        raise AttributeError("No constructor defined - class is abstract")

    @staticmethod
    def get_reusable(size: int, use_hashset: bool | None = None) -> "VisitedTable":
        """A table for `size` vertices, none of which is visited."""
        return VisitedTableSet() if use_hashset else VisitedTableVector(size)

    def set(self, no: int) -> bool:
        """Visits a vertex. Whether it was not visited before."""
        raise NotImplementedError

    def get(self, no: int) -> bool:
        """Whether a vertex is visited."""
        raise NotImplementedError

    def advance(self) -> None:
        """Makes no vertex visited."""
        raise NotImplementedError

    def prefetch(self, no: int) -> None:
        """Says that a vertex will be asked for, which nothing has to know here."""

    def reserve(self, n: int) -> None:
        """Says how many vertices will be visited, which nothing has to know here."""


class VisitedTableVector(VisitedTable):
    """A byte for each vertex."""

    visited: Any = None
    # What the byte of a visited vertex is.
    visno: int = 1

    def __init__(self, size: int) -> None:
        self.visited, self.visno = faiss.UInt8Vector(), 1
        self.visited.resize(size)

    def _check(self, no: int) -> None:
        if not 0 <= no < self.visited.size():
            raise RuntimeError(f"Error: 'no < size' failed: there is no vertex {no} among {self.visited.size()}")

    def set(self, no: int) -> bool:
        """Visits a vertex. Whether it was not visited before."""
        self._check(no)
        bytes = faiss.rev_swig_ptr(self.visited.data(), self.visited.size())
        changed = bool(bytes[no] != self.visno)
        bytes[no] = self.visno
        return changed

    def get(self, no: int) -> bool:
        """Whether a vertex is visited."""
        self._check(no)
        return bool(self.visited.at(no) == self.visno)

    def ensure_size(self, size: int) -> None:
        """Makes room for vertices below `size`."""
        if size > self.visited.size():
            self.visited.resize(size)

    def advance(self) -> None:
        """Makes no vertex visited."""
        self.visno += 1
        if self.visno == 255:
            faiss.rev_swig_ptr(self.visited.data(), self.visited.size())[...] = 0
            self.visno = 1


class VisitedTableSet(VisitedTable):
    """A set of the visited vertices."""

    visited_set: Any = frozenset()

    def __init__(self) -> None:
        self.visited_set: Any = set()

    def set(self, no: int) -> bool:
        """Visits a vertex. Whether it was not visited before."""
        changed = no not in self.visited_set
        self.visited_set.add(no)
        return changed

    def get(self, no: int) -> bool:
        """Whether a vertex is visited."""
        return no in self.visited_set

    def advance(self) -> None:
        """Makes no vertex visited."""
        self.visited_set.clear()
