"""What every binary index does, with numpy arrays of uint8, shape (n, d / 8). A method that C++ has with pointers is there with `_c` appended."""

import operator
from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import contiguous, elements, output
from faiss.common_methods import CommonMethods, native_params
from faiss.distance_computers import DistanceComputer
from faiss.index_methods import Results
from faiss.pointer import CppObject


class IndexBinaryMethods(CommonMethods):
    _item = "uint8"
    _distance = "int32"
    _prefix = "binary_"
    code_size: int
    is_trained: bool

    def _width(self) -> int:
        return self.code_size

    def _vectors(self, x: np.ndarray) -> np.ndarray:
        _, size = x.shape
        if x.dtype != np.uint8:
            raise TypeError(f"Input argument codes must be ndarray of dtype  uint8, but found {x.dtype}")
        if size != self.code_size:
            raise AssertionError(f"the vectors have {size} bytes, those of the index {self.code_size}")
        return contiguous(x, "uint8")

    def train(self, x: np.ndarray) -> None:
        """Trains the index on a set of vectors, shape (n, d / 8). Needed before any is added where `is_trained` is False."""
        _faiss.binary_train(self.this, self._vectors(x))

    def add(self, x: np.ndarray) -> None:
        """Adds vectors, shape (n, d / 8), which get the ids ntotal, ntotal + 1, ..."""
        _faiss.binary_add(self.this, self._vectors(x))

    def add_with_ids(self, x: np.ndarray, ids: np.ndarray) -> None:
        """Adds vectors, shape (n, d / 8), with ids of the caller's, int64, shape (n,). Not all indexes can."""
        x, ids = self._vectors(x), contiguous(ids, "int64")
        assert ids.shape == (x.shape[0],), "not same number of vectors as ids"
        _faiss.binary_add_with_ids(self.this, x, ids)

    def search(self, x: np.ndarray, k: int, *, params: Any = None) -> Results:
        """Finds the k nearest neighbours of each query, shape (nq, d / 8).

        Returns Hamming distances (int32) and ids (int64), shape (nq, k), nearest first. An id of -1 is no result.
        """
        x = self._vectors(x)
        assert k > 0, "k must be positive"
        D, labels = np.empty((len(x), k), "int32"), np.empty((len(x), k), "int64")
        _faiss.binary_search(self.this, x, k, native_params(params), D, labels)
        return D, labels

    def assign(self, x: np.ndarray, k: int, labels: np.ndarray | None = None) -> np.ndarray:
        """The ids of the k nearest neighbours of each query, shape (nq, k), nearest first."""
        x = self._vectors(x)
        labels = output(labels, (x.shape[0], k), "int64")
        _faiss.binary_assign(self.this, x, k, labels)
        return labels

    def range_search(
        self, x: np.ndarray, thresh: int, *, params: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Finds all vectors at a Hamming distance below `thresh` of each query.

        Returns lims (uint64, shape (nq + 1,)), distances (float32) and ids: those of query i are D[lims[i]:lims[i + 1]] and
        I[lims[i]:lims[i + 1]].
        """
        x = self._vectors(x)
        if len(x) == 0:
            return np.zeros(1, "uint64"), np.empty(0, "float32"), np.empty(0, "int64")
        return _faiss.binary_range_search(self.this, x, operator.index(thresh), native_params(params))

    def reconstruct(self, key: int) -> np.ndarray:
        """The vector with this id, shape (d / 8,)."""
        x = np.empty(self.code_size, "uint8")
        _faiss.binary_reconstruct(self.this, key, x)
        return x

    def sa_code_size(self) -> int:
        """Size of a vector's code, in bytes."""
        return self.code_size

    def display(self) -> None:
        """Prints what the index is."""
        trained = "" if self.is_trained else " not trained"
        print(f"Index: {type(self).__name__}  -> {self.ntotal} elements{trained}")

    def add_sa_codes(self, n: int, codes: Any, xids: Any = None) -> None:
        """Adds n vectors by their codes, which are the vectors; pointers."""
        ids = None if xids is None else elements(xids, n, "int64")
        _faiss.binary_add_sa_codes(self.this, self._pointed(n, codes), ids)

    def search_and_reconstruct(
        self, n: int, x: Any, k: int, distances: Any, labels: Any, recons: Any, params: Any = None
    ) -> None:
        """A search, and the vectors found; pointers."""
        D, labels = self._results(n, k, distances, labels)
        R = elements(recons, n * k * self.code_size, "uint8").reshape(n, k, self.code_size)
        _faiss.binary_search_and_reconstruct(self.this, self._pointed(n, x), k, native_params(params), D, labels, R)


class IndexBinaryIVFMethods(IndexBinaryMethods):
    nprobe: int

    def _probes(self, n: int, Iq: np.ndarray, Dq: np.ndarray | None) -> np.ndarray:
        lists = contiguous(Iq, "int64")
        assert lists.shape == (n, self.nprobe), f"the lists have shape {lists.shape}, {(n, self.nprobe)} is wanted"
        assert Dq is None or np.shape(Dq) == lists.shape, "the distances have the shape of the lists"
        return lists

    def search_preassigned(self, x: np.ndarray, k: int, Iq: np.ndarray, Dq: np.ndarray | None) -> Results:
        """As search, in lists that the caller chose: Iq, int64, shape (nq, nprobe); Dq, the distances of their centroids, is not needed."""
        x = self._vectors(x)
        assert k > 0, "k must be positive"
        found: Results = self.this.call("search_preassigned", x, k, self._probes(len(x), Iq, Dq))
        return found

    def search_preassigned_c(
        self, n: int, x: Any, k: int, assign: Any, centroid_dis: Any, distances: Any, labels: Any, *_: Any
    ) -> None:
        lists = elements(assign, n * self.nprobe, "int64").reshape(n, self.nprobe)
        D, found = self.this.call("search_preassigned", self._pointed(n, x), k, lists)
        elements(distances, n * k, "int32")[...] = D.ravel()
        elements(labels, n * k, "int64")[...] = found.ravel()

    def range_search_preassigned(
        self, x: np.ndarray, thresh: int, Iq: np.ndarray, Dq: np.ndarray | None, *, params: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As range_search, in lists that the caller chose; see search_preassigned."""
        x = self._vectors(x)
        found = self.this.call("range_search_preassigned", x, operator.index(thresh), self._probes(len(x), Iq, Dq))
        return found[0].astype("uint64"), found[1], found[2]

    def range_search_preassigned_c(
        self, n: int, x: Any, radius: int, assign: Any, centroid_dis: Any, result: Any, *_: Any
    ) -> None:
        lists = elements(assign, n * self.nprobe, "int64").reshape(n, self.nprobe)
        found = self.this.call("range_search_preassigned", self._pointed(n, x), radius, lists)
        result.fill((found[0].astype("uint64"), found[1], found[2]))

    def get_InvertedListScanner(self, store_pairs: bool = False) -> Any:
        """What compares a query with codes, list by list. store_pairs: results are places in lists."""
        return faiss.BinaryInvertedListScanner(self.code_size, store_pairs)

    def add_core(self, n: int, x: Any, xids: Any, precomputed_idx: Any) -> None:
        """Adds n vectors to the given lists; pointers. xids may be None."""
        ids = None if xids is None else elements(xids, n, "int64")
        self.this.call("add_core", self._pointed(n, x), ids, elements(precomputed_idx, n, "int64"))

    def reconstruct_from_offset(self, list_no: int, offset: int, recons: Any = None) -> Any:
        """The vector of an entry of a list; written to a pointer where one is given."""
        x = self.this.call("reconstruct_from_offset", list_no, offset)
        if recons is None:
            return x
        elements(recons, self.code_size, "uint8")[...] = x
        return None


class BinaryDistanceComputer(DistanceComputer):
    """As DistanceComputer, of bits: a query is a pointer to as many bytes as a vector has, in float32 as C++ has it."""

    def set_query(self, x: Any) -> None:
        """The query, which is copied."""
        size = int(self._index.code_size)
        self._query = elements(x, -(-size // 4), "float32").view("uint8")[:size].copy()

    def compared(self) -> Any:
        raise TypeError("a DistanceComputer of floats is wanted, not one of bits")

    def _bits(self, one: np.ndarray, other: np.ndarray) -> float:
        return float(np.unpackbits(one ^ other).sum())

    def __call__(self, i: int) -> float:
        """The number of bits in which the query and vector i differ."""
        return self._bits(self._query, self._index.reconstruct(i))

    def symmetric_dis(self, i: int, j: int) -> float:
        """The number of bits in which the vectors i and j differ."""
        return self._bits(self._index.reconstruct(i), self._index.reconstruct(j))


class BinaryHNSWMethods(IndexBinaryMethods):
    def get_distance_computer(self) -> BinaryDistanceComputer:
        """What compares a query with the stored vectors, one at a time."""
        return BinaryDistanceComputer(self)


class BinaryHashMethods(IndexBinaryMethods):
    @property
    def invlists(self) -> Any:
        """The lists by hash."""
        return CppObject("std::unordered_map< long,faiss::IndexBinaryHash::InvertedList > *")


class BinaryMultiHashMethods(IndexBinaryMethods):
    @property
    def maps(self) -> Any:
        """The lists by hash, of each hash."""
        return CppObject("std::vector< std::unordered_map< long,std::vector< long > > > *")
