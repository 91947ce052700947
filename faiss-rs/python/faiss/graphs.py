"""Graphs as tables of neighbours: small classes of Faiss that need nothing of the extension."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements
from faiss.pointer import Pointer

__all__ = [
    "NSG_Graph_int",
    "Neighbor",
    "Nhood",
]


class NSG_Graph_int:
    """The neighbours of N vertices, K places each; -1 where a vertex has fewer.

    NSG_Graph_int(N, K) makes one with places that hold 0, NSG_Graph_int(data, N, K) one over memory that a pointer to N * K int32 leads to, and
    NSG_Graph_int(graph) a copy.
    """

    N: int = 0
    K: int = 0
    own_fields: bool = True
    _table: np.ndarray

    def __init__(self, *args: Any) -> None:
        if len(args) == 1 and isinstance(args[0], NSG_Graph_int):
            self.N, self.K = args[0].N, args[0].K
            self._table = args[0]._table.copy()
        elif len(args) in (2, 3):
            self.N, self.K = int(args[-2]), int(args[-1])
            size = self.N * self.K
            self._table = elements(args[0], size, "int32") if len(args) == 3 else np.zeros(size, "int32")
        else:
            raise TypeError("NSG_Graph_int takes (data, N, K), (N, K) or another graph")
        self.own_fields = len(args) != 3

    @property
    def data(self) -> Pointer:
        """A pointer to the table, N * K numbers."""
        return Pointer(self._table, "int32")

    def _row(self, i: int) -> np.ndarray:
        if not 0 <= i < self.N:
            raise IndexError(f"there is no vertex {i} among {self.N}")
        row: np.ndarray = self._table[i * self.K : (i + 1) * self.K]
        return row

    def at(self, i: int, j: int) -> int:
        """Place j of vertex i."""
        if not 0 <= j < self.K:
            raise IndexError(f"there is no place {j} among {self.K}")
        return int(self._row(i)[j])

    def get_neighbors(self, i: int, neighbors: Any) -> int:
        """Writes the neighbours of vertex i to where a pointer to K int32 leads; returns how many they are."""
        row = self._row(i)
        ends = np.flatnonzero(row < 0)
        count = int(ends[0]) if len(ends) else self.K
        elements(neighbors, self.K, "int32")[:count] = row[:count]
        return count


class Neighbor:
    """A neighbour: its number, its distance, and whether it is new."""

    id: int = 0
    distance: float = 0.0
    flag: bool = False

    def __init__(self, id: int = 0, distance: float = 0.0, f: bool = False) -> None:
        self.id, self.distance, self.flag = int(id), float(np.float32(distance)), bool(f)

    def __lt__(self, other: "Neighbor") -> bool:
        return self.distance < other.distance


class Nhood:
    """The neighbours of a vertex while NNDescent builds a graph: at most M, and those that take part in its next round."""

    M: int = 0
    pool: Any = ()
    nn_new: Any = ()
    nn_old: Any = ()
    rnn_new: Any = ()
    rnn_old: Any = ()

    def __init__(self, other: "Nhood | None" = None) -> None:
        self.M = other.M if other else 0
        self.pool: list[Neighbor] = list(other.pool) if other else []
        for name in ("nn_new", "nn_old", "rnn_new", "rnn_old"):
            made = faiss.Int32Vector()
            if other:
                faiss.copy_array_to_vector(faiss.vector_to_array(getattr(other, name)), made)
            setattr(self, name, made)

    def insert(self, id: int, dist: float) -> None:
        """Adds a neighbour that is nearer than the farthest, in whose place it comes where there are M."""
        if len(self.pool) >= self.M and (not self.pool or dist > self.pool[-1].distance):
            return
        if any(neighbor.id == id for neighbor in self.pool):
            return
        self.pool = sorted([*self.pool, Neighbor(id, dist, True)])[: self.M]
