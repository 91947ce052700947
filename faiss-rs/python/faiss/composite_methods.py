"""Indexes around other indexes."""

from collections.abc import Callable
from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements
from faiss.classes import Object, wrap
from faiss.index_methods import native_index
from faiss.pointer import Pointer


class PreTransformMethods(Object):
    d: int
    chain: tuple[Any, ...]
    index: Any

    def apply_chain(self, n: int, x: Any) -> Pointer:
        """A pointer to n vectors, given by a pointer too, as the index within gets them."""
        rows = elements(x, n * self.d, "float32").reshape(n, self.d)
        for transform in self.chain:
            rows = transform.apply(rows)
        return Pointer(np.array(rows).reshape(-1), "float32")

    def reverse_chain(self, n: int, xt: Any, x: Any) -> None:
        """Undoes apply_chain, as well as that can be, from and to where pointers lead."""
        d = self.index.d
        rows = elements(xt, n * d, "float32").reshape(n, d)
        for transform in list(self.chain)[::-1]:
            rows = transform.reverse_transform(rows)
        elements(x, n * self.d, "float32")[...] = rows.reshape(-1)


class RefineFlatMethods(Object):
    def __init__(self, *args: Any) -> None:
        """Over an empty index; over one that has vectors, with a pointer to these vectors."""
        if len(args) != 2:
            super().__init__(*args)
            return
        base, xb = args
        native_index(base)
        super().__init__(base, elements(xb, base.ntotal * base.d, "float32").reshape(base.ntotal, base.d))


class IDMap2Methods(Object):
    id_map: Any

    @property
    def rev_map(self) -> dict[int, int]:
        """Where the vector of each id is: a copy."""
        ids = faiss.vector_to_array(self.id_map).tolist()
        return {id: place for place, id in enumerate(ids)}


class RowwiseMinMaxMethods(Object):
    d: int

    def train_inplace(self, x: np.ndarray) -> None:
        """As train. In Faiss it spares a copy of the vectors, which it changes and changes back."""
        self.train(x)

    def train_inplace_c(self, n: int, x: Any) -> None:
        self.train_inplace(elements(x, n * self.d, "float32").reshape(n, self.d))


class ThreadedMethods(Object):
    def runOnIndex(self, f: Callable[[int, Any], object]) -> None:
        """Calls a function with the number of each index and the index."""
        for i in range(self.this.call("count")):
            f(i, wrap(self.this.call("at", i)))
