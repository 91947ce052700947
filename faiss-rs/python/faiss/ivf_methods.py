"""Inverted files and inverted lists with numpy arrays; a method that C++ has with pointers is there with `_c` appended."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous, elements
from faiss.classes import Object
from faiss.index_methods import IndexMethods, Results, native_params, output
from faiss.pointer import Pointer

__all__ = ["IVFSearchParameters"]


class PreassignedMethods(IndexMethods):
    """What inverted files on every device do with lists that the caller chose."""

    nprobe: int

    def _probes(self, n: int, Iq: np.ndarray, Dq: np.ndarray | None, params: Any) -> tuple[np.ndarray, np.ndarray]:
        """The lists to look into for each of n queries, and the distances of their centroids."""
        nprobe = self.nprobe if params is None else params.nprobe
        lists = contiguous(Iq, "int64")
        assert lists.shape == (n, nprobe), f"the lists have shape {lists.shape}, {(n, nprobe)} is wanted"
        distances = np.zeros((n, nprobe), "float32") if Dq is None else contiguous(Dq, "float32")
        assert distances.shape == lists.shape, f"the distances have shape {distances.shape}, {lists.shape} is wanted"
        return lists, distances

    def search_preassigned(
        self,
        x: np.ndarray,
        k: int,
        Iq: np.ndarray,
        Dq: np.ndarray | None,
        *,
        params: Any = None,
        D: np.ndarray | None = None,
        I: np.ndarray | None = None,  # noqa: E741
    ) -> Results:
        """As search, in lists that the caller chose: Iq, int64, shape (nq, nprobe), and the distances of their centroids, Dq."""
        x = self._vectors(x)
        assert k > 0, "k must be positive"
        n = len(x)
        D = output(D, (n, k), "float32")
        I = output(I, (n, k), "int64")  # noqa: E741
        lists, distances = self._probes(n, Iq, Dq, params)
        D[...], I[...] = self.this.call("search_preassigned", x, k, lists, distances, native_params(params))
        return D, I


class GpuIVFMethods(PreassignedMethods):
    def getListIndices(self, listId: int) -> Any:
        """The ids of a list, as an Int64Vector."""
        ids = faiss.Int64Vector()
        faiss.copy_array_to_vector(self.this.call("getListIndices", listId), ids)
        return ids

    def getListVectorData(self, listId: int, gpuFormat: bool = False) -> Any:
        """The codes of a list as on the CPU, a UInt8Vector. The GPU keeps them in the same format."""
        codes = faiss.UInt8Vector()
        faiss.copy_array_to_vector(self.this.call("getListVectorData", listId, gpuFormat), codes)
        return codes


class IVFMethods(PreassignedMethods):
    def update_vectors(self, keys: np.ndarray, x: np.ndarray) -> None:
        """Replaces the vectors with these ids; needs a direct map."""
        x = self._vectors(x)
        keys = contiguous(keys, "int64")
        assert keys.shape == (len(x),), "not same number of vectors as ids"
        self.this.call("update_vectors", keys, x)

    def update_vectors_c(self, nv: int, idx: Any, v: Any) -> None:
        self.update_vectors(elements(idx, nv, "int64"), self._pointed(nv, v))

    def reconstruct_from_offset(self, list_no: int, offset: int, recons: Any = None) -> np.ndarray:
        """The vector at an offset of a list, shape (d,); written to where `recons` points too, if it is given."""
        x: np.ndarray = self.this.call("reconstruct_from_offset", list_no, offset)
        if recons is not None:
            elements(recons, self.d, "float32")[...] = x
        return x

    def train_q1(self, n: int, x: Any, verbose: bool, metric_type: int) -> None:
        """Trains the coarse quantizer on n vectors that a pointer leads to."""
        self.this.call("train_q1", self._pointed(n, x))


class InvertedListsMethods(Object):
    code_size: int

    def get_ids(self, list_no: int) -> Pointer:
        """A pointer to a copy of a list's ids."""
        return _pointer(self.this.call("get_ids", list_no))

    def get_codes(self, list_no: int) -> Pointer:
        """A pointer to a copy of a list's codes."""
        return _pointer(self.this.call("get_codes", list_no))

    def get_single_code(self, list_no: int, offset: int) -> Pointer:
        """A pointer to a copy of one code of a list."""
        codes = self.this.call("get_codes", list_no).reshape(-1, self.code_size)
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


def _pointer(array: np.ndarray) -> Pointer:
    # What is written to a copy would be lost.
    array = np.ascontiguousarray(array).reshape(-1)
    array.flags.writeable = False
    return Pointer(array, array.dtype.name)


class VectorTransformMethods(Object):
    d_in: int
    d_out: int

    def _rows(self, x: np.ndarray, wanted: int) -> np.ndarray:
        _, d = x.shape
        if d != wanted:
            raise AssertionError(f"the vectors have {d} dimensions, the transformation {wanted}")
        return contiguous(x, "float32")

    def train(self, x: np.ndarray) -> None:
        """Trains on vectors of shape (n, d_in)."""
        self.this.call("train", self._rows(x, self.d_in))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Transforms vectors: shape (n, d_in) to (n, d_out)."""
        made: np.ndarray = self.this.call("apply", self._rows(x, self.d_in))
        return made

    def apply_py(self, x: np.ndarray) -> np.ndarray:
        """As apply."""
        return self.apply(x)

    def reverse_transform(self, x: np.ndarray) -> np.ndarray:
        """Undoes apply, as well as that can be: shape (n, d_out) to (n, d_in)."""
        made: np.ndarray = self.this.call("reverse_transform", self._rows(x, self.d_out))
        return made

    def train_c(self, n: int, x: Any) -> None:
        self.train(elements(x, n * self.d_in, "float32").reshape(n, self.d_in))

    def apply_noalloc(self, n: int, x: Any, xt: Any) -> None:
        """As apply, from and to where pointers lead."""
        made = self.apply(elements(x, n * self.d_in, "float32").reshape(n, self.d_in))
        elements(xt, n * self.d_out, "float32")[...] = made.reshape(-1)

    def reverse_transform_c(self, n: int, xt: Any, x: Any) -> None:
        made = self.reverse_transform(elements(xt, n * self.d_out, "float32").reshape(n, self.d_out))
        elements(x, n * self.d_in, "float32")[...] = made.reshape(-1)


# Faiss's former name.
IVFSearchParameters = faiss.SearchParametersIVF
