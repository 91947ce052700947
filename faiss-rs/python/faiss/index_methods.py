"""What every index does, with numpy arrays: shapes are checked here, inputs made contiguous and of the right type, results allocated.

A method that C++ has with pointers is there under its name with `_c` appended.
"""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import contiguous, elements, output, swig_ptr
from faiss.classes import Object, construct
from faiss.common_methods import CommonMethods, native_params
from faiss.pointer import Pointer

Results = tuple[np.ndarray, np.ndarray]


def native_index(index: Any) -> Any:
    if not isinstance(index, faiss.Index):
        raise TypeError(f"an index is wanted, not {type(index).__name__}")
    return index.this


class IndexMethods(CommonMethods):
    _strict = True

    def _vectors(self, x: np.ndarray) -> np.ndarray:
        _, d = x.shape
        x = contiguous(x, "float32")
        # Not an assert statement: without this check, `python -O` would take the numbers for other vectors.
        if d != self.d:
            raise AssertionError(f"the vectors have {d} dimensions, the index {self.d}")
        return x

    def train(self, x: np.ndarray, *, numeric_type: int = 0, xq_train: np.ndarray | None = None) -> None:
        """Trains the index on a set of vectors. Needed before any is added where `is_trained` is False.

        x: training vectors, shape (n, d); float32, other types are converted.
        xq_train: training queries, shape (nq, d), for the few indexes that use them.
        """
        x = self._vectors(x)
        self._check_type(numeric_type)
        if xq_train is not None:
            self._vectors(xq_train)
        _faiss.train(self.this, x)

    def add(self, x: np.ndarray, numeric_type: int = 0) -> None:
        """Adds vectors, which get the ids ntotal, ntotal + 1, ...

        x: vectors, shape (n, d); float32, other types are converted.
        """
        x = self._vectors(x)
        self._check_type(numeric_type)
        _faiss.add(self.this, x)

    def add_with_ids(self, x: np.ndarray, ids: np.ndarray, numeric_type: int = 0) -> None:
        """Adds vectors with ids of the caller's. Not all indexes can.

        x: vectors, shape (n, d). ids: int64, shape (n,).
        """
        x = self._vectors(x)
        ids = contiguous(ids, "int64")
        assert ids.shape == (x.shape[0],), "not same number of vectors as ids"
        self._check_type(numeric_type)
        _faiss.add_with_ids(self.this, x, ids)

    def search(
        self,
        x: np.ndarray,
        k: int,
        *,
        params: Any = None,
        D: np.ndarray | None = None,
        I: np.ndarray | None = None,  # noqa: E741
        numeric_type: int = 0,
    ) -> Results:
        """Finds the k nearest neighbours of each query.

        x: queries, shape (nq, d); float32, other types are converted.
        params: SearchParameters for this search only.
        D, I: where to write the results, instead of new arrays.

        Returns distances (float32) and ids (int64), shape (nq, k), best first. An id of -1 is no result.
        """
        if D is None and I is None and not numeric_type and k > 0:
            # Most calls are plain: one step for all that is below.
            found: Results | None = _faiss.search_few(
                self.this, x, k, None if params is None else native_params(params)
            )
            if found is not None:
                return found
        x = self._vectors(x)
        assert k > 0, "k must be positive"
        shape = (len(x), k)
        D = output(D, shape, "float32")
        I = output(I, shape, "int64")  # noqa: E741
        if numeric_type:
            self._check_type(numeric_type)
        _faiss.search(self.this, x, k, None if params is None else native_params(params), D, I)
        return D, I

    def search_and_reconstruct(
        self,
        x: np.ndarray,
        k: int,
        *,
        params: Any = None,
        D: np.ndarray | None = None,
        I: np.ndarray | None = None,  # noqa: E741
        R: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As search, and the vectors found as the index stores them, shape (nq, k, d); NaN where there is no result."""
        x = self._vectors(x)
        assert k > 0, "k must be positive"
        n = x.shape[0]
        D = output(D, (n, k), "float32")
        I = output(I, (n, k), "int64")  # noqa: E741
        R = output(R, (n, k, self.d), "float32")
        _faiss.search_and_reconstruct(self.this, x, k, native_params(params), D, I, R)
        return D, I, R

    def assign(self, x: np.ndarray, k: int, labels: np.ndarray | None = None) -> np.ndarray:
        """The ids of the k nearest neighbours of each query, shape (nq, k), best first."""
        x = self._vectors(x)
        labels = output(labels, (x.shape[0], k), "int64")
        _faiss.assign(self.this, x, k, labels)
        return labels

    def range_search(
        self, x: np.ndarray, thresh: float, *, params: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Finds all vectors nearer to each query than `thresh`: squared for L2; more similar than it for inner product.

        Returns lims (uint64, shape (nq + 1,)), distances and ids: those of query i are D[lims[i]:lims[i + 1]] and I[lims[i]:lims[i + 1]],
        in no particular order.
        """
        x = self._vectors(x)
        thresh, this_params = float(thresh), native_params(params)
        if len(x) == 0:
            return np.zeros(1, "uint64"), np.empty(0, "float32"), np.empty(0, "int64")
        return _faiss.range_search(self.this, x, thresh, this_params)

    def reconstruct(self, key: int, x: np.ndarray | None = None) -> np.ndarray:
        """The vector with this id as the index stores it, shape (d,)."""
        x = output(x, (self.d,), "float32")
        _faiss.reconstruct(self.this, key, x)
        return x

    def reconstruct_batch(self, key: Any, x: np.ndarray | None = None) -> np.ndarray:
        """The vectors with these ids, shape (n, d)."""
        key = contiguous(key, "int64")
        (n,) = key.shape
        x = output(x, (n, self.d), "float32")
        _faiss.reconstruct_batch(self.this, key, x)
        return x

    def sa_code_size(self) -> int:
        """Size of a code that sa_encode makes, in bytes."""
        return _faiss.sa_code_size(self.this)

    def sa_encode(self, x: np.ndarray, codes: np.ndarray | None = None) -> np.ndarray:
        """Encodes vectors without adding them: uint8, shape (n, sa_code_size())."""
        x = self._vectors(x)
        codes = output(codes, (x.shape[0], self.sa_code_size()), "uint8")
        _faiss.sa_encode(self.this, x, codes)
        return codes

    def _codes(self, codes: np.ndarray) -> np.ndarray:
        _, size = codes.shape
        if codes.dtype != np.uint8:
            raise TypeError(f"Input argument codes must be ndarray of dtype uint8, but found {codes.dtype}")
        assert size == self.sa_code_size(), f"the codes have {size} bytes, those of the index {self.sa_code_size()}"
        return np.ascontiguousarray(codes)

    def sa_decode(self, codes: np.ndarray, x: np.ndarray | None = None) -> np.ndarray:
        """The vectors that codes of sa_encode stand for, shape (n, d)."""
        codes = self._codes(codes)
        x = output(x, (codes.shape[0], self.d), "float32")
        _faiss.sa_decode(self.this, codes, x)
        return x

    def add_sa_codes(self, codes: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Adds vectors by their codes. ids: int64, shape (n,), for indexes that take ids."""
        codes = self._codes(codes)
        if ids is not None:
            ids = contiguous(ids, "int64")
            assert ids.shape == (codes.shape[0],), "not same number of codes as ids"
        _faiss.add_sa_codes(self.this, codes, ids)

    def compute_residual(self, x: Any, residual: Any, key: int) -> None:
        """residual = x - reconstruct(key), for pointers to d numbers."""
        self.compute_residual_n(1, x, residual, np.array([key], "int64"))

    def compute_residual_n(self, n: int, xs: Any, residuals: Any, keys: Any) -> None:
        """As compute_residual, for n vectors and n keys."""
        x = elements(xs, n * self.d, "float32").reshape(n, self.d)
        out = elements(residuals, n * self.d, "float32").reshape(n, self.d)
        out[...] = x - self.reconstruct_batch(elements(keys, n, "int64"))

    # More methods with pointers.

    def search_and_reconstruct_c(
        self, n: int, x: Any, k: int, distances: Any, labels: Any, recons: Any, params: Any = None
    ) -> None:
        D, labels = self._results(n, k, distances, labels)
        R = elements(recons, n * k * self.d, "float32").reshape(n, k, self.d)
        _faiss.search_and_reconstruct(self.this, self._pointed(n, x), k, native_params(params), D, labels, R)

    def reconstruct_batch_c(self, n: int, keys: Any, recons: Any) -> None:
        _faiss.reconstruct_batch(self.this, elements(keys, n, "int64"), self._pointed(n, recons))

    def search1(self, x: Any, handler: Any, params: Any = None) -> None:
        """As search_c of one query, into a ResultHandler of C++: Python can make none, here as in Faiss."""
        raise TypeError(f"a ResultHandler is wanted, not {type(handler).__name__}")

    def train_with_queries(self, n: int, x: Any, n_train_q: int, xq_train: Any) -> None:
        self._pointed(n_train_q, xq_train)
        self.train_c(n, x)

    def search_subset(self, n: int, x: Any, k_base: int, base_labels: Any, k: int, distances: Any, labels: Any) -> None:
        """Searches, for each of n queries, among its own k_base candidates; all are pointers."""
        candidates = elements(base_labels, n * k_base, "int64").reshape(n, k_base)
        D, labels = self._results(n, k, distances, labels)
        _faiss.search_subset(self.this, self._pointed(n, x), candidates, D, labels)

    def get_distance_computer(self) -> Any:
        """A DistanceComputer, for distances of one query after the other to single stored vectors."""
        return faiss.DistanceComputer(self)

    def sa_encode_c(self, n: int, x: Any, bytes: Any) -> None:
        size = self.sa_code_size()
        _faiss.sa_encode(self.this, self._pointed(n, x), elements(bytes, n * size, "uint8").reshape(n, size))

    def sa_decode_c(self, n: int, bytes: Any, x: Any) -> None:
        size = self.sa_code_size()
        _faiss.sa_decode(self.this, elements(bytes, n * size, "uint8").reshape(n, size), self._pointed(n, x))

    def add_sa_codes_c(self, n: int, codes: Any, xids: Any) -> None:
        size = self.sa_code_size()
        ids = None if xids is None else elements(xids, n, "int64")
        _faiss.add_sa_codes(self.this, elements(codes, n * size, "uint8").reshape(n, size), ids)


class FlatCodesMethods(Object):
    ntotal: int
    code_size: int

    def get_FlatCodesDistanceComputer(self) -> Any:
        """A FlatCodesDistanceComputer, which compares a query with codes too."""
        return faiss.FlatCodesDistanceComputer(self)

    def get_CodePacker(self) -> Any:
        """What puts codes into the blocks in which they lie: here a block is a code."""
        return faiss.CodePackerFlat(self.code_size)

    def permute_entries(self, perm: np.ndarray) -> None:
        """Reorders the vectors: the one at perm[i] moves to i."""
        (n,) = perm.shape
        assert n == self.ntotal, f"a permutation of {self.ntotal} vectors is wanted, not of {n}"
        self.this.call("permute_entries", contiguous(perm, "int64"))

    def permute_entries_c(self, perm: Any) -> None:
        self.permute_entries(elements(perm, self.ntotal, "int64"))

    def add_sa_codes_c(self, n: int, x: Any, xids: Any) -> None:
        IndexMethods.add_sa_codes_c(self, n, x, xids)  # type: ignore[arg-type]


class LSHMethods(Object):
    d: int

    def apply_preprocess(self, n: int, x: Any) -> Pointer:
        """A pointer to the projections of the n vectors that x leads to, less the thresholds: (n, nbits). Their signs are the codes."""
        return swig_ptr(self.this.call("preprocessed", np.ascontiguousarray(elements(x, n * self.d, "float32"))))


class FlatMethods(Object):
    d: int

    def compute_distance_subset(self, n: int, x: Any, k: int, distances: Any, labels: Any) -> None:
        """The distances of n queries to the k vectors that `labels` names for each; all are pointers."""
        queries = elements(x, n * self.d, "float32").reshape(n, self.d)
        ids = elements(labels, n * k, "int64").reshape(n, k)
        found = self.this.call("compute_distance_subset", queries, ids)
        found[ids < 0] = np.inf
        elements(distances, n * k, "float32")[...] = found.reshape(-1)


class Flat1DMethods(IndexMethods):
    continuous_update: bool

    def __init__(self, continuous_update: bool = True) -> None:
        super().__init__(continuous_update)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "continuous_update": self.continuous_update}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A file knows it as an IndexFlatL2.
        state = dict(state)
        construct(self, state.pop("continuous_update"))
        vectors = faiss.deserialize_index(np.frombuffer(state.pop("this"), dtype="uint8"))
        self.__dict__.update(state)
        _faiss.add(self.this, vectors.reconstruct_n())
