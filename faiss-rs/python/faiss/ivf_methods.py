"""Inverted files with numpy arrays; a method that C++ has with pointers is there with `_c` appended."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous, elements, output
from faiss.common_methods import native_params
from faiss.index_methods import IndexMethods, Results

__all__ = ["IVFSearchParameters", "IndexIVFInterface", "initialize_IVFPQ_precomputed_table"]


class IndexIVFInterface(faiss.Level1Quantizer):
    """What all inverted files have, each in its own way."""

    _faiss_name = "IndexIVFInterface"
    _faiss_abstract = True
    # Number of lists that a search looks into, and of codes at most; 0 for no limit.
    nprobe: int = 1
    max_codes: int = 0

    def search_preassigned(self, *args: Any, **kwargs: Any) -> Any:
        """As search, in lists that the caller chose."""
        raise NotImplementedError

    def range_search_preassigned(self, *args: Any, **kwargs: Any) -> Any:
        """As range_search, in lists that the caller chose."""
        raise NotImplementedError


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

    def search_preassigned_c(
        self,
        n: int,
        x: Any,
        k: int,
        assign: Any,
        centroid_dis: Any,
        distances: Any,
        labels: Any,
        store_pairs: bool,
        params: Any = None,
        stats: Any = None,
    ) -> None:
        if k <= 0:
            raise RuntimeError("Error: 'k > 0' failed")
        lists, coarse = self._pointed_probes(n, assign, centroid_dis, params)
        D, found = elements(distances, n * k, "float32"), elements(labels, n * k, "int64")
        params = native_params(params)
        results = self.this.call("search_preassigned", self._pointed(n, x), k, lists, coarse, params, store_pairs)
        D[...], found[...] = results[0].ravel(), results[1].ravel()

    def _pointed_probes(self, n: int, assign: Any, coarse: Any, params: Any) -> tuple[np.ndarray, np.ndarray]:
        size = n * (self.nprobe if params is None else params.nprobe)
        return elements(assign, size, "int64"), elements(coarse, size, "float32")


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

    def add_core(self, n: int, x: Any, xids: Any, precomputed_idx: Any, inverted_list_context: Any = None) -> None:
        """Adds n vectors to the lists that precomputed_idx names, with ids that xids leads to, or counted up where it is None."""
        ids = None if xids is None else elements(xids, n, "int64")
        self.this.call("add_core", self._pointed(n, x), ids, elements(precomputed_idx, n, "int64"))

    def update_vectors(self, keys: np.ndarray, x: np.ndarray) -> None:
        """Replaces the vectors with these ids, which may go to other lists."""
        x = self._vectors(x)
        keys = contiguous(keys, "int64")
        assert keys.shape == (len(x),), "not same number of vectors as ids"
        self.this.call("update_vectors", keys, x)


class IVFMethods(PreassignedMethods):
    nlist: int
    code_size: int
    quantizer: Any
    invlists: Any
    coarse_code_size: Any

    def merge_from(self, otherIndex: Any, add_id: Any = None) -> None:
        """Moves the vectors of another inverted file with the same centroids here; the other is empty afterwards. add_id is added to its ids."""
        if add_id is None:
            # As in Faiss: without it, ids would be given twice.
            raise TypeError("merge_from() missing 1 required positional argument: 'add_id'")
        super().merge_from(otherIndex, add_id)

    def range_search_preassigned(
        self, x: np.ndarray, thresh: float, Iq: np.ndarray, Dq: np.ndarray | None, *, params: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As range_search, in lists that the caller chose; see search_preassigned."""
        x = self._vectors(x)
        lists, distances = self._probes(len(x), Iq, Dq, params)
        return self._range_search_preassigned(x, thresh, lists, distances, params)

    def _range_search_preassigned(
        self, x: np.ndarray, radius: float, lists: np.ndarray, distances: np.ndarray, params: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = self.this.call("range_search_preassigned", x, float(radius), lists, distances, native_params(params))
        return found[0].astype("uint64"), found[1], found[2]

    def range_search_preassigned_c(
        self,
        nx: int,
        x: Any,
        radius: float,
        keys: Any,
        coarse_dis: Any,
        result: Any,
        store_pairs: bool = False,
        params: Any = None,
        stats: Any = None,
    ) -> None:
        if store_pairs:
            raise NotImplementedError("range_search_preassigned_c with store_pairs is not implemented")
        lists, coarse = self._pointed_probes(nx, keys, coarse_dis, params)
        result.fill(self._range_search_preassigned(self._pointed(nx, x), radius, lists, coarse, params))

    def search_and_return_codes(
        self,
        x: np.ndarray,
        k: int,
        *,
        include_listnos: bool = False,
        params: Any = None,
        D: np.ndarray | None = None,
        I: np.ndarray | None = None,  # noqa: E741
        codes: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As search, and the codes found: uint8, shape (nq, k, code_size); with include_listnos, the list's number stands before each."""
        x = self._vectors(x)
        n, size = len(x), self.code_size + (self.coarse_code_size() if include_listnos else 0)
        D, I = output(D, (n, k), "float32"), output(I, (n, k), "int64")  # noqa: E741
        codes = output(codes, (n, k, size), "uint8")
        found = self.this.call("search_and_return_codes", x, k, include_listnos, native_params(params))
        D[...], I[...], codes[...] = found
        return D, I, codes

    def search_and_return_codes_c(
        self,
        n: int,
        x: Any,
        k: int,
        distances: Any,
        labels: Any,
        recons: Any,
        include_listno: bool = False,
        params: Any = None,
    ) -> None:
        D, found, codes = self.search_and_return_codes(
            self._pointed(n, x), k, include_listnos=include_listno, params=params
        )
        elements(distances, n * k, "float32")[...] = D.ravel()
        elements(labels, n * k, "int64")[...] = found.ravel()
        elements(recons, codes.size, "uint8")[...] = codes.ravel()

    def add_core(self, n: int, x: Any, xids: Any, precomputed_idx: Any, inverted_list_context: Any = None) -> None:
        """Adds n vectors to the lists that precomputed_idx names, with ids that xids leads to, or counted up where it is None."""
        ids = None if xids is None else elements(xids, n, "int64")
        self.this.call("add_core", self._pointed(n, x), ids, elements(precomputed_idx, n, "int64"))

    def encode_vectors(self, n: int, x: Any, list_nos: Any, codes: Any, include_listno: bool = False) -> None:
        """Encodes n vectors for their lists, to code_size bytes each, before which the list's number comes if that is wanted."""
        lists = elements(list_nos, n, "int64")
        made = self.this.call("encode_vectors", self._pointed(n, x), lists)
        if include_listno:
            numbers = lists.astype("<i8").view("uint8").reshape(n, 8)[:, : self.coarse_code_size()]
            made = np.concatenate([numbers, made], axis=1)
        elements(codes, made.size, "uint8")[...] = made.ravel()

    def decode_vectors(self, n: int, codes: Any, list_nos: Any, x: Any) -> None:
        """The reverse of encode_vectors."""
        rows = elements(codes, n * self.code_size, "uint8").reshape(n, self.code_size)
        self._pointed(n, x)[...] = self.this.call("decode_vectors", rows, elements(list_nos, n, "int64"))

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

    def get_InvertedListScanner(self, store_pairs: bool = False, sel: Any = None, params: Any = None) -> Any:
        """What compares a query with codes, list by list. store_pairs: results are places in lists. sel: an IDSelector."""
        return faiss.InvertedListScanner(self, store_pairs, sel, params)

    def get_CodePacker(self) -> Any:
        """What puts codes into the blocks in which they lie in the lists."""
        return faiss.CodePackerFlat(self.code_size)

    def train_encoder(self, n: int, x: Any, assign: Any = None) -> None:
        """Trains what encodes vectors: n pointed-to vectors or, if by_residual, residuals, and the lists that they are of."""
        lists = None if assign is None else elements(assign, n, "int64")
        self.this.call("train_encoder", self._pointed(n, x), lists)

    def train_q1(self, n: int, x: Any, verbose: bool, metric_type: int) -> None:
        """Trains the coarse quantizer on n vectors that a pointer leads to."""
        self.this.call("train_q1", self._pointed(n, x))


class IVFPQMethods(IVFMethods):
    def encode(self, key: int, x: Any, code: Any) -> None:
        """Encodes one vector for list `key`."""
        self.encode_multiple(1, np.array([key], "int64"), x, code)

    def encode_multiple(self, n: int, keys: Any, x: Any, codes: Any, compute_keys: bool = False) -> None:
        """Encodes n vectors for the lists `keys`, which are found and written first if compute_keys."""
        lists = elements(keys, n, "int64")
        if compute_keys:
            lists[...] = self.quantizer.assign(self._pointed(n, x), 1).ravel()
        self.encode_vectors(n, x, lists, codes)

    def decode_multiple(self, n: int, keys: Any, xcodes: Any, x: Any) -> None:
        """The reverse of encode_multiple."""
        self.decode_vectors(n, xcodes, keys, x)

    def add_core_o(
        self,
        n: int,
        x: Any,
        xids: Any,
        residuals_2: Any,
        precomputed_idx: Any = None,
        inverted_list_context: Any = None,
    ) -> None:
        """As add_core, to the nearest lists where none are given; what is left of each vector after its code goes to residuals_2, if that is given."""
        rows = self._pointed(n, x)
        lists = (
            self.quantizer.assign(rows, 1).ravel() if precomputed_idx is None else elements(precomputed_idx, n, "int64")
        )
        self.add_core(n, rows, xids, lists)
        if residuals_2 is not None:
            known = lists >= 0
            left = self._pointed(n, residuals_2)
            left[~known] = 0
            codes = self.this.call("encode_vectors", rows[known], lists[known])
            left[known] = rows[known] - self.this.call("decode_vectors", codes, lists[known])

    def find_duplicates(self, ids: Any, lims: Any) -> int:
        """Groups of entries with equal codes: ids[lims[i]] to before ids[lims[i + 1]] are a group. Returns how many there are.

        ids: a pointer to room for ntotal ids. lims: to room for ntotal / 2 + 1 offsets (uint64).
        """
        found, ends = self.this.call("duplicates")
        elements(lims, len(ends), "uint64")[...] = ends
        elements(ids, len(found), "int64")[...] = found
        return len(ends) - 1


# Faiss's former name.
IVFSearchParameters = faiss.SearchParametersIVF


def initialize_IVFPQ_precomputed_table(
    use_precomputed_table: Any, quantizer: Any, pq: Any, precomputed_table: Any, by_residual: bool, verbose: bool
) -> None:
    """Fills an AlignedTableFloat32 as IndexIVFPQ.precompute_table does, and says to where the first, a pointer to int32, leads which kind it is."""
    kind = elements(use_precomputed_table, 1, "int32")
    if quantizer.d != pq.d:
        raise RuntimeError(f"Error: 'd == pq.d' failed: {quantizer.d} and {pq.d} dimensions")
    index = faiss.IndexIVFPQ(quantizer, pq.d, quantizer.ntotal, pq.M, pq.nbits)
    index.pq, index.is_trained, index.by_residual = pq, True, by_residual
    index.use_precomputed_table, index.verbose = int(kind[0]), verbose
    index.precompute_table()
    kind[0] = index.use_precomputed_table
    numbers = faiss.vector_to_array(index.precomputed_table)
    precomputed_table.resize(len(numbers))
    faiss.rev_swig_ptr(precomputed_table.data(), len(numbers))[...] = numbers
