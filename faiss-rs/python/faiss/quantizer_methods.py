"""Quantizers with numpy arrays; a method that C++ has with pointers is there with `_c` appended."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous, elements
from faiss.classes import Object, copy_fields
from faiss.index_methods import IndexMethods
from faiss.pointer import CppObject, Pointer


class QuantizerMethods(Object):
    d: int
    code_size: int

    def train(self, x: np.ndarray) -> None:
        """Trains on vectors of shape (n, d)."""
        self.this.call("train", self._vectors(x))

    def compute_codes(self, x: np.ndarray) -> np.ndarray:
        """The codes of vectors: uint8, shape (n, code_size)."""
        codes: np.ndarray = self.this.call("compute_codes", self._vectors(x))
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The vectors that codes stand for, shape (n, d)."""
        _, size = codes.shape
        if codes.dtype != np.uint8:
            raise TypeError(f"Input argument codes must be ndarray of dtype uint8, but found {codes.dtype}")
        assert size == self.code_size, f"the codes have {size} bytes, those of the quantizer {self.code_size}"
        x: np.ndarray = self.this.call("decode", np.ascontiguousarray(codes))
        return x

    def _vectors(self, x: np.ndarray) -> np.ndarray:
        _, d = x.shape
        if d != self.d:
            raise AssertionError(f"the vectors have {d} dimensions, the quantizer {self.d}")
        return contiguous(x, "float32")

    def _pointed(self, x: Any, n: int) -> np.ndarray:
        return elements(x, n * self.d, "float32").reshape(n, self.d)

    def train_c(self, n: int, x: Any) -> None:
        self.train(self._pointed(x, n))

    def compute_codes_c(self, x: Any, codes: Any, n: int) -> None:
        elements(codes, n * self.code_size, "uint8")[...] = self.compute_codes(self._pointed(x, n)).reshape(-1)

    def decode_c(self, code: Any, x: Any, n: int = 1) -> None:
        codes = elements(code, n * self.code_size, "uint8").reshape(n, self.code_size)
        self._pointed(x, n)[...] = self.decode(codes)


class ScalarQuantizerMethods(QuantizerMethods):
    """What the description says of training, encoding and decoding is what the base class's methods call."""

    qtype: int

    @property
    def turboq_refine(self) -> CppObject:
        """How TurboQuant's codes are refined."""
        return CppObject("faiss::ScalarQuantizer::TurboQuantRefine *")

    def select_quantizer(self) -> Any:
        """What encodes and decodes single vectors in C++; here the quantizer itself does."""
        return self

    def get_distance_computer(self, metric: int = 1) -> Any:
        """What compares a query with codes, which are copied, by L2 or inner product."""
        index = faiss.IndexScalarQuantizer(self.d, self.qtype, metric)
        copy_fields(self, index.sq)
        index.is_trained = True
        return index.get_FlatCodesDistanceComputer()

    def select_InvertedListScanner(
        self, mt: int, quantizer: Any, store_pairs: bool, sel: Any, by_residual: bool = False
    ) -> Any:
        """What compares a query with codes of vectors, or of their residuals to the centroids of a coarse quantizer, list by list."""
        index = faiss.IndexIVFScalarQuantizer(quantizer, self.d, quantizer.ntotal, self.qtype, mt, by_residual)
        copy_fields(self, index.sq)
        index.is_trained = True
        return index.get_InvertedListScanner(store_pairs, sel)


class ProductQuantizerMethods(QuantizerMethods):
    M: int
    ksub: int
    dsub: int
    nbits: int

    centroids: Any

    def compute_code(self, x: Any, code: Any) -> None:
        """Encodes the vector that x leads to."""
        self.compute_codes_c(x, code, 1)

    def compute_codes_with_assign_index(self, x: Any, codes: Any, n: int) -> None:
        """As compute_codes_c."""
        self.compute_codes_c(x, codes, n)

    def compute_code_from_distance_table(self, tab: Any, code: Any) -> None:
        """The code of the vector whose distances to all centroids are given: M * ksub."""
        made = self.this.call("_code_of_table", elements(tab, self.M * self.ksub, "float32"))
        elements(code, self.code_size, "uint8")[...] = made

    def get_centroids(self, m: int, i: int) -> Pointer:
        """A pointer to centroid i of part m, and those that follow it."""
        if not (0 <= m < self.M and 0 <= i < self.ksub):
            raise RuntimeError(f"Error: 'm < M && i < ksub' failed: there is no centroid {i} of part {m}")
        whole = self.centroids.data().view(self.M * self.ksub * self.dsub)
        return Pointer(whole[(m * self.ksub + i) * self.dsub :], "float32")

    def set_params(self, centroids: Any, m: int) -> None:
        """Replaces the centroids of part m: a pointer to ksub * dsub numbers."""
        size = self.ksub * self.dsub
        self.get_centroids(m, 0).view(size)[...] = elements(centroids, size, "float32")

    def search(self, x: Any, nx: int, codes: Any, ncodes: int, res: Any, init_finalize_heap: bool = True) -> None:
        """Of ncodes codes the nearest to each of nx vectors, into the heaps `res`."""
        self._search(1, self._pointed(x, nx), codes, ncodes, res, init_finalize_heap)

    def search_ip(self, x: Any, nx: int, codes: Any, ncodes: int, res: Any, init_finalize_heap: bool = True) -> None:
        """As search, by inner product."""
        self._search(0, self._pointed(x, nx), codes, ncodes, res, init_finalize_heap)

    def search_sdc(
        self, qcodes: Any, nq: int, bcodes: Any, ncodes: int, res: Any, init_finalize_heap: bool = True
    ) -> None:
        """As search, for queries that are codes too."""
        queries = self.decode(elements(qcodes, nq * self.code_size, "uint8").reshape(nq, self.code_size))
        self._search(1, queries, bcodes, ncodes, res, init_finalize_heap)

    def _search(self, metric: int, x: np.ndarray, codes: Any, ncodes: int, res: Any, begin: bool) -> None:
        if res.nh != len(x):
            raise RuntimeError(f"Error: 'res->nh == nx' failed: {res.nh} heaps for {len(x)} queries")
        D, ids = self.this.call("_search", metric, x, elements(codes, ncodes * self.code_size, "uint8"), res.k)
        if begin:
            res.heapify()
        res.merge(D, ids)
        if begin:
            res.reorder()

    def compute_distance_tables(self, nx: int, x: Any, dis_tables: Any) -> None:
        """Squared distances of the parts of nx vectors to all centroids, M * ksub each; x and dis_tables are pointers."""
        self._tables("compute_distance_tables", nx, x, dis_tables)

    def compute_inner_prod_tables(self, nx: int, x: Any, dis_tables: Any) -> None:
        """As compute_distance_tables, for inner products."""
        self._tables("compute_inner_prod_tables", nx, x, dis_tables)

    def compute_distance_table(self, x: Any, dis_table: Any) -> None:
        """As compute_distance_tables, for one vector."""
        self._tables("compute_distance_tables", 1, x, dis_table)

    def compute_inner_prod_table(self, x: Any, dis_table: Any) -> None:
        """As compute_inner_prod_tables, for one vector."""
        self._tables("compute_inner_prod_tables", 1, x, dis_table)

    def _tables(self, method: str, n: int, x: Any, out: Any) -> None:
        out = elements(out, n * self.M * self.ksub, "float32")
        out[...] = self.this.call(method, self._pointed(x, n)).reshape(-1)


class PQIndexMethods(IndexMethods):
    pq: Any
    code_size: int
    codes: Any

    def hamming_distance_table(self, n: int, x: Any, dis: Any) -> None:
        """The Hamming distances of the codes of n vectors to those of the index: n * ntotal int32. All are pointers."""
        made = self.this.call("_hamming_distance_table", self._pointed(n, x))
        elements(dis, n * self.ntotal, "int32")[...] = made.ravel()

    def hamming_distance_histogram(self, n: int, x: Any, nb: int, xb: Any, dist_histogram: Any) -> None:
        """How often each Hamming distance is between the codes of n vectors and those of nb others, or of the index where nb is 0: int64.

        All are pointers. dist_histogram: a count for each distance from 0 to the number of bits of a code.
        """
        others = self._pointed(nb, xb) if nb else None
        made = self.this.call("_hamming_distance_histogram", self._pointed(n, x), others)
        elements(dist_histogram, len(made), "int64")[...] = made

    def search_core_polysemous(
        self, n: int, x: Any, k: int, distances: Any, labels: Any, polysemous_ht: int, generalized_hamming: bool
    ) -> None:
        """As search_c, among the codes whose Hamming distance to the query's is below polysemous_ht."""
        kind = faiss.IndexPQ.ST_polysemous_generalize if generalized_hamming else faiss.IndexPQ.ST_polysemous
        params = faiss.SearchParametersPQ(search_type=kind, polysemous_ht=polysemous_ht)
        self.search_c(n, x, k, distances, labels, params)
