"""Inverted lists and direct maps; what C++ has as pointers is checked as far as it is known."""

from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import elements
from faiss.classes import Object
from faiss.pointer import Pointer


class InvertedListsMethods(Object):
    nlist: int
    code_size: int

    def get_ids(self, list_no: int) -> Pointer:
        """A pointer to a list's ids."""
        return _pointer(_faiss.list_view(self.this, list_no, True))

    def get_codes(self, list_no: int) -> Pointer:
        """A pointer to a list's codes."""
        return _pointer(_faiss.list_view(self.this, list_no, False))

    def get_single_code(self, list_no: int, offset: int) -> Pointer:
        """A pointer to one code of a list."""
        codes = _faiss.list_view(self.this, list_no, False).reshape(-1, self.code_size)
        if not 0 <= offset < len(codes):
            raise RuntimeError(f"Error: 'offset < list_size(list_no)' failed: list {list_no} has {len(codes)} codes")
        return _pointer(codes[offset])

    def release_ids(self, list_no: int, ids: Pointer) -> None:
        """Says that get_ids' result is no longer needed, which nothing has to know here."""

    def release_codes(self, list_no: int, codes: Pointer) -> None:
        """Says that get_codes' result is no longer needed, which nothing has to know here."""

    def prefetch_lists(self, list_nos: Any, nlist: int) -> None:
        """Says which lists will be looked into: a hint that means nothing for lists in memory."""

    def add_entries(self, list_no: int, n_entry: int, ids: Any, code: Any) -> int:
        """Appends n_entry ids and codes to a list; returns the offset of the first."""
        codes = elements(code, n_entry * self.code_size, "uint8").reshape(n_entry, self.code_size)
        offset: int = self.this.call("add_entries", list_no, elements(ids, n_entry, "int64"), codes)
        return offset

    def add_entry(self, list_no: int, theid: int, code: Any, inverted_list_context: Any = None) -> int:
        """Appends an id and a code to a list; returns its offset."""
        return self.add_entries(list_no, 1, np.array([theid], "int64"), code)

    def update_entries(self, list_no: int, offset: int, n_entry: int, ids: Any, code: Any) -> None:
        """Replaces n_entry entries of a list, from an offset on."""
        own = _faiss.list_view(self.this, list_no, True)
        if offset < 0 or n_entry < 0 or offset + n_entry > len(own):
            raise RuntimeError(
                f"Error: 'n_entry + offset <= ids[list_no].size()' failed: list {list_no} has {len(own)}"
            )
        new = elements(ids, n_entry, "int64"), elements(code, n_entry * self.code_size, "uint8")
        own[offset : offset + n_entry] = new[0]
        codes = _faiss.list_view(self.this, list_no, False)
        codes[offset * self.code_size : (offset + n_entry) * self.code_size] = new[1]

    def update_entry(self, list_no: int, offset: int, id: int, code: Any) -> None:
        """Replaces an entry of a list."""
        self.update_entries(list_no, offset, 1, np.array([id], "int64"), code)

    def print_stats(self) -> None:
        """Prints how many lists there are of each size, by powers of two."""
        sizes = np.array([self.this.call("list_size", i) for i in range(self.nlist)], "int64")
        for bits in range(64):
            least = 1 << bits
            count = int(((sizes >= least >> 1) & (sizes < least)).sum()) if bits else int((sizes == 0).sum())
            if count:
                print(f"list size in < {least}: {count} instances")


class ArrayInvertedListsMethods(InvertedListsMethods):
    def permute_invlists(self, map: Any) -> None:
        """Gives the lists other numbers: list i is then the one that was map[i]. map: a pointer to nlist numbers."""
        self.this.call("permute_invlists", elements(map, self.nlist, "int64"))


class DirectMapMethods(Object):
    type: int

    def check_can_add(self, ids: Any) -> None:
        """RuntimeError where vectors with such ids can't be added: a pointer, or None for ids that count up."""
        if self.type == 1 and ids is not None:
            raise RuntimeError("Error: '!ids' failed: cannot have array direct map and add with ids")


def _pointer(array: np.ndarray) -> Pointer:
    return Pointer(array, array.dtype.name)
