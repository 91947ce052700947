"""Additive quantizers as C++ has them: pointers to numbers of entries, tables and vectors."""

import time
from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements
from faiss.classes import Items, Object, wrap
from faiss.quantizer_methods import QuantizerMethods
from faiss.statistics import set_state, state_of

__all__ = ["IcmEncoder", "LSQTimer", "LSQTimerScope"]

# Of how many bits all codes are decoded at most, to be compared with.
MOST_BITS = 24


class AdditiveQuantizerMethods(QuantizerMethods):
    M: int
    tot_bits: int
    codebook_offsets: Any
    codebook_cross_products: Any
    centroid_norms: Any
    total_codebook_size: int

    def _numbers(self, codes: Any, n: int, ld_codes: int) -> np.ndarray:
        """The first M of each ld_codes numbers that a pointer leads to, shape (n, M)."""
        ld = self.M if ld_codes == -1 else ld_codes
        return np.ascontiguousarray(elements(codes, n * ld, "int32").reshape(n, ld)[:, : self.M])

    def _centroids(self, centroids: Any, n: int) -> np.ndarray | None:
        return None if centroids is None else self._pointed(centroids, n)

    def compute_codes_add_centroids(self, x: Any, codes: Any, n: int, centroids: Any = None) -> None:
        """Encodes the n vectors that x leads to; norms, where they are stored, are of what is decoded plus centroids."""
        made = self.this.call("compute_codes_add_centroids", self._pointed(x, n), self._centroids(centroids, n))
        elements(codes, n * self.code_size, "uint8")[...] = made.reshape(-1)

    def pack_codes(
        self, n: int, codes: Any, packed_codes: Any, ld_codes: int = -1, norms: Any = None, centroids: Any = None
    ) -> None:
        """Packs n rows of M numbers of entries, each row ld_codes after the one before. Norms are computed, whether given or not."""
        made = self.this.call("pack_codes", self._numbers(codes, n, ld_codes), self._centroids(centroids, n))
        elements(packed_codes, n * self.code_size, "uint8")[...] = made.reshape(-1)

    def decode_unpacked(self, codes: Any, x: Any, n: int, ld_codes: int = -1) -> None:
        """The sums of the entries that n rows of M numbers name."""
        self._pointed(x, n)[...] = self.this.call("decode_unpacked", self._numbers(codes, n, ld_codes))

    def compute_LUT(self, n: int, xq: Any, LUT: Any, alpha: float = 1.0, ld_lut: int = -1) -> None:
        """alpha times the products of n vectors with all entries; rows of LUT are ld_lut apart."""
        total = self.total_codebook_size
        ld = total if ld_lut == -1 else ld_lut
        table = self.this.call("compute_LUT", self._pointed(xq, n), alpha)
        elements(LUT, n * ld, "float32").reshape(n, ld)[:, :total] = table

    def decode_64bit(self, n: int, x: Any) -> None:
        """The vector that the code of a number decodes to."""
        elements(x, self.d, "float32")[...] = self.this.call("decode_64bit", n)

    def compute_centroid_norms(self, norms: Any) -> None:
        """Squared norms of the vectors of all codes."""
        made = self.this.call("compute_centroid_norms")
        elements(norms, len(made), "float32")[...] = made

    def _knn_centroids(self, metric: int, n: int, xq: Any, k: int, distances: Any, labels: Any) -> None:
        if self.tot_bits > MOST_BITS:
            raise RuntimeError(f"Error: 'tot_bits <= {MOST_BITS}' failed: there are 2^{self.tot_bits} centroids")
        numbers = np.arange(1 << self.tot_bits, dtype="<u8")
        codes = np.zeros((len(numbers), max(self.code_size, 8)), "uint8")
        codes[:, :8] = numbers.view("uint8").reshape(-1, 8)
        D, found = faiss.knn(
            self._pointed(xq, n), self.decode(np.ascontiguousarray(codes[:, : self.code_size])), k, metric
        )
        elements(distances, n * k, "float32")[...] = D.ravel()
        elements(labels, n * k, "int64")[...] = found.ravel()

    def knn_centroids_L2(self, n: int, xq: Any, k: int, distances: Any, labels: Any, centroid_norms: Any) -> None:
        """The k nearest of the vectors of all codes to each of n vectors. All are pointers; the norms are not needed here."""
        self._knn_centroids(faiss.METRIC_L2, n, xq, k, distances, labels)

    def knn_centroids_inner_product(self, n: int, xq: Any, k: int, distances: Any, labels: Any) -> None:
        """As knn_centroids_L2, by inner product."""
        self._knn_centroids(faiss.METRIC_INNER_PRODUCT, n, xq, k, distances, labels)

    def train_norm(self, n: int, norms: Any) -> None:
        """Learns how norms are stored."""
        self.this.call("train_norm", np.ascontiguousarray(elements(norms, n, "float32")))


class ResidualQuantizerMethods(AdditiveQuantizerMethods):
    def retrain_AQ_codebook(self, n: int, x: Any) -> float:
        """Solves for the codebooks that decode the codes of n vectors with the least error, and returns it."""
        error: float = self.this.call("retrain_AQ_codebook", self._pointed(x, n))
        return error

    def refine_beam(
        self,
        n: int,
        beam_size: int,
        residuals: Any,
        new_beam_size: int,
        new_codes: Any,
        new_residuals: Any = None,
        new_distances: Any = None,
    ) -> None:
        """The best new_beam_size sums for n * beam_size vectors; outputs are pointers, of which the last two may be None."""
        x = elements(residuals, n * beam_size * self.d, "float32")
        codes, left, distances = self.this.call("refine_beam", x, beam_size, new_beam_size)
        for out, made, dtype in (
            (new_codes, codes, "int32"),
            (new_residuals, left, "float32"),
            (new_distances, distances, "float32"),
        ):
            if out is not None:
                elements(out, len(made), dtype)[...] = made

    def refine_beam_LUT(
        self, n: int, query_norms: Any, query_cp: Any, new_beam_size: int, new_codes: Any, new_distances: Any = None
    ) -> None:
        """The best new_beam_size sums for n vectors by their squared norms and their products with all centroids: total_codebook_size a row.

        Needs compute_codebook_tables. All are pointers; new_distances may be None.
        """
        norms = elements(query_norms, n, "float32")
        products = elements(query_cp, n * self.total_codebook_size, "float32")
        codes, distances = self.this.call("refine_beam_LUT", norms, products, new_beam_size)
        elements(new_codes, codes.size, "int32")[...] = codes
        if new_distances is not None:
            elements(new_distances, distances.size, "float32")[...] = distances


class ProductAdditiveQuantizerMethods(AdditiveQuantizerMethods):
    nsplits: int

    def subquantizer(self, m: int) -> Any:
        """The quantizer of a part."""
        return wrap(self.this.call("subquantizer", m))

    @property
    def quantizers(self) -> Items:
        """The quantizers of the parts."""
        return Items(self.subquantizer(m) for m in range(self.nsplits))

    def init(self, d: int, aqs: Any, search_type: int) -> None:
        """Becomes a quantizer of d dimensions, cut into parts for the quantizers that are given, as `quantizers` gives them."""
        self.this.call("_init", d, [aq.this for aq in aqs], search_type)

    def compute_unpacked_codes(self, x: Any, codes: Any, n: int, centroids: Any = None) -> None:
        """Writes the numbers of entries that n vectors are encoded to, n * M int32. All are pointers; centroids are not needed."""
        elements(codes, n * self.M, "int32")[...] = self.this.call("_unpacked_codes", self._pointed(x, n)).ravel()


class OverAdditiveQuantizer(Object):
    """Indexes over an additive quantizer of any kind."""

    @property
    def aq(self) -> Any:
        """The quantizer: the index's `rq`, `lsq`, `prq` or `plsq`."""
        return next(getattr(self, name) for name in ("rq", "lsq", "prq", "plsq") if name in dir(type(self)))


class OverPackedAdditiveQuantizer(OverAdditiveQuantizer):
    """Indexes of packed codes of an additive quantizer of any kind."""

    def __new__(cls, *args: Any, **_: Any) -> Any:
        """Of a base class that is made from an index or a quantizer, the kind that is for it."""
        if cls._faiss_abstract:
            given = (getattr(type(arg), "_faiss_name", "") for arg in args[:2])
            names = (
                name if name.startswith("Index") else f"Index{'IVF' * ('IVF' in cls._faiss_name)}{name}"
                for name in given
            )
            kinds = (getattr(faiss, f"{name}FastScan", None) for name in names)
            cls = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, cls)), cls)
        return super().__new__(cls)

    def estimate_norm_scale(self, n: int, x: Any) -> None:
        """Finds norm_scale from the n vectors that x leads to."""
        self.this.call("_estimate_norm_scale", self._pointed(n, x))

    def init(self, aq: Any, *args: Any) -> None:
        """Becomes an index without vectors over a quantizer, which is copied. Further arguments: metric and bbs; of inverted files nlist before them,
        and own_invlists after."""
        if isinstance(self, faiss.IndexIVF):
            args = (self.quantizer, aq, self.d, *(args or (self.nlist,)))
        else:
            args = (aq, *args)
        self.this = type(self)(*args).this


class LocalSearchQuantizerMethods(AdditiveQuantizerMethods):
    K: int

    def _improved(self, codes: np.ndarray, gen: Any, method: str, *args: Any) -> None:
        """Has a method change codes in place, and the generator of random numbers go on."""
        codes[...], state = self.this.call(method, codes, *args, state_of(gen))
        set_state(gen, state)

    def icm_encode(self, codes: Any, x: Any, n: int, ils_iters: int, gen: Any) -> None:
        """Improves the codes of n vectors, M int32 each, by a local search from ils_iters perturbed beginnings. gen: RandomGenerator.mt."""
        self._improved(self._codes(codes, n), gen, "icm_encode", self._pointed(x, n), ils_iters)

    def icm_encode_impl(
        self, codes: Any, x: Any, unaries: Any, gen: Any, n: int, ils_iters: int, verbose: bool = False
    ) -> None:
        """As icm_encode; the terms are computed anew."""
        self.icm_encode(codes, x, n, ils_iters, gen)

    def perturb_codes(self, codes: Any, n: int, gen: Any) -> None:
        """Changes nperts numbers of each of n codes at random. gen: RandomGenerator.mt."""
        self._improved(self._codes(codes, n), gen, "perturb_codes")

    def perturb_codebooks(self, T: float, stddev: Any, gen: Any) -> None:
        """Moves every entry at random by T times a share of the deviations in a Float32Vector. gen: RandomGenerator.mt."""
        set_state(gen, self.this.call("perturb_codebooks", T, faiss.vector_to_array(stddev), state_of(gen)))

    def _codes(self, codes: Any, n: int) -> np.ndarray:
        return elements(codes, n * self.M, "int32")

    def update_codebooks(self, x: Any, codes: Any, n: int) -> None:
        """Solves for the codebooks that decode the codes of n vectors, M numbers each, with the least error."""
        self.this.call("update_codebooks", self._pointed(x, n), self._codes(codes, n))

    def compute_unary_terms(self, x: Any, unaries: Any, n: int) -> None:
        """Writes what each entry alone adds to the errors of n vectors, M * n * K numbers."""
        terms = self.this.call("compute_unary_terms", self._pointed(x, n))
        elements(unaries, terms.size, "float32")[...] = terms.ravel()

    def compute_binary_terms(self, binaries: Any) -> None:
        """Writes what each two entries of different codebooks add beside each other, M * M * K * K numbers."""
        terms = self.this.call("compute_binary_terms")
        elements(binaries, terms.size, "float32")[...] = terms.ravel()

    def icm_encode_step(self, codes: Any, unaries: Any, binaries: Any, n: int, n_iters: int) -> None:
        """Improves n codes in place, in n_iters passes, by the terms of compute_unary_terms and compute_binary_terms."""
        size = self.M * self.K
        out = self._codes(codes, n)
        tables = elements(unaries, n * size, "float32"), elements(binaries, size * size, "float32")
        out[...] = self.this.call("icm_encode_step", out, *tables, n_iters)

    def evaluate(self, codes: Any, x: Any, n: int, objs: Any = None) -> float:
        """The mean squared error of n codes; writes the errors to where `objs` leads, if it is given."""
        mean, errors = self.this.call("evaluate", self._codes(codes, n), self._pointed(x, n))
        if objs is not None:
            elements(objs, n, "float32")[...] = errors
        return float(mean)


class IcmEncoder:
    """Improves codes for a LocalSearchQuantizer. Made from one, or by IcmEncoderFactory.get."""

    binaries: Any = None
    verbose: bool = False
    lsq: Any = None

    def __init__(self, lsq: Any) -> None:
        if not isinstance(lsq, faiss.LocalSearchQuantizer):
            raise TypeError(f"a LocalSearchQuantizer is wanted, not {type(lsq).__name__}")
        self.lsq, self.verbose, self.binaries = lsq, False, faiss.Float32Vector()

    def set_binary_term(self) -> None:
        """Computes what each two entries of different codebooks add beside each other."""
        self.binaries.resize((self.lsq.M * self.lsq.K) ** 2)
        self.lsq.compute_binary_terms(self.binaries.data())

    def encode(self, codes: Any, x: Any, gen: Any, n: int, ils_iters: int) -> None:
        """As LocalSearchQuantizer.icm_encode."""
        self.lsq.icm_encode(codes, x, n, ils_iters, gen)


class IcmEncoderFactoryMethods(Object):
    def get(self, lsq: Any) -> IcmEncoder:
        """An encoder for a quantizer."""
        return IcmEncoder(lsq)


class LSQTimer:
    """Adds up times by name. Nothing here takes them by itself."""

    t: Any = None

    def __init__(self) -> None:
        self.t = {}

    def get(self, name: str) -> float:
        """The time of a name, 0 for one that is not known."""
        return float(self.t.get(name, 0.0))

    def add(self, name: str, delta: float) -> None:
        """Adds to the time of a name."""
        self.t[name] = self.get(name) + delta

    def reset(self) -> None:
        """Forgets all times."""
        self.t.clear()


class LSQTimerScope:
    """Adds the milliseconds from here until `finish` to the time of a name."""

    t0: float = 0.0
    timer: Any = None
    name: str = ""
    finished: bool = False

    def __init__(self, timer: LSQTimer, name: str) -> None:
        self.t0, self.timer, self.name, self.finished = time.perf_counter() * 1e3, timer, name, False

    def finish(self) -> None:
        """Adds the time, once."""
        if not self.finished:
            self.finished = True
            self.timer.add(self.name, time.perf_counter() * 1e3 - self.t0)
