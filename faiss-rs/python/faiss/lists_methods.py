"""Inverted lists and direct maps; what C++ has as pointers is checked as far as it is known."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.classes import Items, Object
from faiss.pointer import CppObject, Pointer
from faiss.scanner_methods import InvertedListsIterator


class InvertedListsMethods(Object):
    nlist: int
    code_size: int
    # Whether pointers to ids and codes lead into the lists.
    _in_memory: bool = False

    def _ids(self, list_no: int) -> np.ndarray:
        """A list's ids: those in memory, or a copy of those that are not."""
        if self._in_memory:
            return _faiss.list_view(self.this, list_no, True)
        ids: np.ndarray = self.this.call("get_ids", list_no)
        return ids

    def _codes(self, list_no: int) -> np.ndarray:
        """A list's codes, as its ids."""
        if self._in_memory:
            return _faiss.list_view(self.this, list_no, False)
        codes: np.ndarray = self.this.call("get_codes", list_no)
        return codes

    def get_ids(self, list_no: int) -> Pointer:
        """A pointer to a list's ids."""
        return pointer_to(self._ids(list_no))

    def get_codes(self, list_no: int) -> Pointer:
        """A pointer to a list's codes."""
        return pointer_to(self._codes(list_no))

    def get_single_code(self, list_no: int, offset: int) -> Pointer:
        """A pointer to one code of a list."""
        codes = self._codes(list_no).reshape(-1, self.code_size)
        if not 0 <= offset < len(codes):
            raise RuntimeError(f"Error: 'offset < list_size(list_no)' failed: list {list_no} has {len(codes)} codes")
        return pointer_to(codes[offset])

    def release_ids(self, list_no: int, ids: Pointer) -> None:
        """Says that get_ids' result is no longer needed, which nothing has to know here."""

    def release_codes(self, list_no: int, codes: Pointer) -> None:
        """Says that get_codes' result is no longer needed, which nothing has to know here."""

    def prefetch_lists(self, list_nos: Any, nlist: int) -> None:
        """Says which nlist lists will be looked into, so that those on disk are read ahead. list_nos: a pointer."""
        self.this.call("prefetch_lists", elements(list_nos, nlist, "int64"))

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
        codes = elements(code, n_entry * self.code_size, "uint8").reshape(n_entry, self.code_size)
        self.this.call("update_entries", list_no, offset, elements(ids, n_entry, "int64"), codes)

    def update_entry(self, list_no: int, offset: int, id: int, code: Any) -> None:
        """Replaces an entry of a list."""
        self.update_entries(list_no, offset, 1, np.array([id], "int64"), code)

    def get_iterator(self, list_no: int, inverted_list_context: Any = None) -> Any:
        """An InvertedListsIterator over a copy of a list."""
        return InvertedListsIterator(self._ids(list_no).copy(), self._codes(list_no).reshape(-1, self.code_size).copy())

    def print_stats(self) -> None:
        """Prints how many lists there are of each size, by powers of two."""
        sizes = np.array([self.this.call("list_size", i) for i in range(self.nlist)], "int64")
        for bits in range(64):
            least = 1 << bits
            count = int(((sizes >= least >> 1) & (sizes < least)).sum()) if bits else int((sizes == 0).sum())
            if count:
                print(f"list size in < {least}: {count} instances")


class BlockInvertedListsMethods(InvertedListsMethods):
    @property
    def codes(self) -> Any:
        """The codes of each list as they are packed: copies."""
        tables = []
        for list_no in range(self.nlist):
            packed = self.this.call("packed_codes", list_no)
            tables.append(faiss.AlignedTableUint8(len(packed)))
            faiss.copy_array_to_AlignedTable(packed, tables[-1])
        return Items(tables)

    @property
    def ids(self) -> Any:
        """The ids of each list: copies."""
        return Items(_vector(faiss.Int64Vector(), self._ids(list_no)) for list_no in range(self.nlist))

    def get_codes(self, list_no: int) -> Pointer:
        """A pointer to a list's codes as they are packed, whole blocks."""
        return pointer_to(self.this.call("packed_codes", list_no))


class ArrayInvertedListsMethods(InvertedListsMethods):
    _in_memory: bool = True

    @property
    def codes(self) -> Any:
        """The codes of each list: copies."""
        made = faiss.MaybeOwnedVectorUInt8Vector()
        for list_no in range(self.nlist):
            made.push_back(_vector(faiss.MaybeOwnedVectorUInt8(), self._codes(list_no).ravel()))
        return made

    @property
    def ids(self) -> Any:
        """The ids of each list: copies."""
        return Items(_vector(faiss.Int64Vector(), self._ids(list_no)) for list_no in range(self.nlist))

    def permute_invlists(self, map: Any) -> None:
        """Gives the lists other numbers: list i is then the one that was map[i]. map: a pointer to nlist numbers."""
        self.this.call("permute_invlists", elements(map, self.nlist, "int64"))


class OnDiskInvertedListsMethods(InvertedListsMethods):
    @property
    def lists(self) -> Any:
        """Where each list is in the file: copies."""
        made = faiss.OnDiskOneListVector()
        for size, capacity, offset in self.this.call("_places").tolist():
            place = faiss.OnDiskOneList()
            place.size, place.capacity, place.offset = size, capacity, offset
            made.push_back(place)
        return made

    @property
    def slots(self) -> Any:
        """The free slots of the file: first byte and bytes of each."""
        return Items(tuple(slot) for slot in self.this.call("_free_slots").tolist())

    @property
    def ptr(self) -> Any:
        """A pointer to a copy of the file's bytes, None where there are none."""
        bytes = self.this.call("_bytes")
        return pointer_to(bytes) if len(bytes) else None

    @property
    def locks(self) -> Any:
        """What locks the lists."""
        return CppObject("faiss::LockLevels *")

    @property
    def pf(self) -> Any:
        """What reads ahead."""
        return CppObject("faiss::OnDiskInvertedLists::OngoingPrefetch *")

    def do_mmap(self) -> None:
        """Maps the file anew; here it always is."""

    def set_all_lists_sizes(self, sizes: Any) -> None:
        """Gives all lists, which are empty, sizes, one after the other in the file; a pointer to nlist uint64."""
        self.this.call("set_all_lists_sizes", elements(sizes, self.nlist, "uint64").astype("int64"))

    def merge_from_multiple(self, ils: Any, n_il: int, shift_ids: bool = False, verbose: bool = False) -> int:
        """Fills these lists, which are empty, with the entries of n_il others. ils: `data()` of an InvertedListsPtrVector.

        With shift_ids, the ids of each are counted on from those before. Returns how many entries there are.
        """
        n: int = self.this.call("merge_from_multiple", _several(ils, n_il), shift_ids, verbose)
        return n

    def merge_from_1(self, il: Any, verbose: bool = False) -> int:
        """As merge_from_multiple, with one."""
        return self.merge_from_multiple([il], 1, False, verbose)


class StackedInvertedListsMethods(InvertedListsMethods):
    def __init__(self, nil: int, ils: Any) -> None:
        """Of nil lists. ils: `data()` of an InvertedListsPtrVector."""
        super().__init__(_several(ils, nil))


def _vector(made: Any, array: np.ndarray) -> Any:
    """Fills a vector."""
    faiss.copy_array_to_vector(np.ascontiguousarray(array), made)
    return made


def _several(ils: Any, n: int) -> list[Any]:
    """The first n of several lists."""
    if not isinstance(ils, list | tuple):
        raise TypeError(f"InvertedListsPtrVector.data() is wanted, not {type(ils).__name__}")
    if not 0 <= n <= len(ils):
        raise ValueError(f"{n} lists are wanted where there are {len(ils)}")
    return list(ils[:n])


class DirectMapMethods(Object):
    type: int

    def check_can_add(self, ids: Any) -> None:
        """RuntimeError where vectors with such ids can't be added: a pointer, or None for ids that count up."""
        if self.type == 1 and ids is not None:
            raise RuntimeError("Error: '!ids' failed: cannot have array direct map and add with ids")

    def remove_ids(self, sel: Any, invlists: Any) -> int:
        """Removes entries from lists, and their places. Returns how many there were."""
        return int(self.this.call("remove_ids", sel, invlists))

    def update_codes(self, invlists: Any, n: int, ids: Any, list_nos: Any, codes: Any) -> None:
        """Gives n ids new codes in these lists; all are pointers. Only for a map by array."""
        rows = elements(codes, n * invlists.code_size, "uint8")
        self.this.call("update_codes", invlists, elements(ids, n, "int64"), elements(list_nos, n, "int64"), rows)

    @property
    def hashtable(self) -> dict[int, int]:
        """The places by id, of a map by hash table: a copy."""
        ids, places = self.this.call("entries")
        return dict(zip(ids.tolist(), places.tolist(), strict=True))


def pointer_to(array: np.ndarray) -> Pointer:
    """A pointer to an array's numbers."""
    return Pointer(array, array.dtype.name)
