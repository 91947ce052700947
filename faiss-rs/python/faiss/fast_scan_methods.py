"""Indexes of packed codes as C++ has them: pointers to tables and codes."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements, swig_ptr
from faiss.classes import Object
from faiss.index_methods import IndexMethods

__all__ = ["FastScanDistancePostProcessing"]


class FastScanDistancePostProcessing:
    """What becomes of distances after a search among packed codes. Taken where Faiss takes it; indexes know by themselves."""

    pq2x4_scale: int = 0
    query_factors: Any = None
    nprobe: int = 0
    qb: int = 0
    centered: bool = False

    def has_norm_scaling(self) -> bool:
        """Whether the last two parts of codes are norms that are scaled."""
        return self.pq2x4_scale > 0

    def has_query_processing(self) -> bool:
        """Whether numbers of the queries are given."""
        return self.query_factors is not None


class FastScanMethods(IndexMethods):
    M: int
    M2: int
    ksub: int

    @property
    def orig_codes(self) -> Any:
        """A pointer to a copy of the codes as they were before they were packed, where the index was made from another; else None."""
        codes = self.this.call("_orig_codes")
        return swig_ptr(codes) if len(codes) else None

    def compute_float_LUT(self, lut: Any, n: int, x: Any, context: Any = None) -> None:
        """Writes the tables of the n queries that x leads to, n * M * ksub numbers before they are rounded."""
        tables: np.ndarray = self.this.call("compute_float_LUT", self._pointed(n, x))
        elements(lut, n * self.M * self.ksub, "float32")[...] = tables

    def compute_quantized_LUT(self, n: int, x: Any, lut: Any, normalizers: Any, context: Any = None) -> None:
        """Writes the tables of n queries as bytes, n * M2 * ksub, and for each query the `a` and `b` of quantize_LUT_and_bias."""
        tables = np.empty((n, self.M, self.ksub), "float32")
        self.compute_float_LUT(swig_ptr(tables), n, x, context)
        scales = elements(normalizers, 2 * n, "float32").reshape(n, 2)
        out = elements(lut, n * self.M2 * self.ksub, "uint8").reshape(n, self.M2 * self.ksub)
        for table, own, ab in zip(tables, out, scales, strict=True):
            a, b = (swig_ptr(ab[i:]) for i in (0, 1))
            faiss.quantize_LUT_and_bias(
                1, self.M, self.ksub, False, swig_ptr(table), None, swig_ptr(own), self.M2, None, a, b
            )

    def compute_codes(self, codes: Any, n: int, x: Any) -> None:
        """Writes the codes of the n vectors that x leads to, which are not packed."""
        made = self.sa_encode(self._pointed(n, x))
        elements(codes, made.size, "uint8")[...] = made.reshape(-1)


class IVFFastScanStatsMethods(Object):
    """Times by the name of a step, which are not taken here."""

    @property
    def times(self) -> Any:
        """A pointer to ten times, 0."""
        return swig_ptr(np.zeros(10, "uint64"))

    @property
    def reservoir_times(self) -> Any:
        """A pointer to four times, 0."""
        return swig_ptr(np.zeros(4, "uint64"))

    def Mcy_at(self, i: int) -> float:
        """A time in millions of cycles: 0."""
        return 0.0

    def Mcy_reservoir_at(self, i: int) -> float:
        """A time in millions of cycles: 0."""
        return 0.0


class IVFRaBitQFastScanMethods(Object):
    quantizer: Any
    M: int
    ksub: int
    d: int
    metric_type: int

    def compute_residual_LUT(
        self,
        query: Any,
        centroid_id: int,
        query_factors: Any,
        lut_out: Any,
        qb_param: int,
        centered_param: bool,
        rotated_q: Any,
        centroid_buf: Any,
    ) -> None:
        """Writes the tables of a query for a list, M * ksub numbers before they are rounded, and fills its QueryFactorsData. The last two, vectors,
        become the query less the centroid, and the centroid."""
        x, centroid = elements(query, self.d, "float32"), self.quantizer.reconstruct(centroid_id)
        elements(lut_out, self.M * self.ksub, "float32")[...] = self.this.call(
            "_residual_tables", x, centroid_id, qb_param, centered_param
        )
        query_factors.this.call("_set", x, centroid, qb_param, centered_param, self.metric_type)
        faiss.copy_array_to_vector(x - centroid, rotated_q)
        faiss.copy_array_to_vector(centroid, centroid_buf)


class IVFFastScanMethods(Object):
    by_residual: bool
    metric_type: int
    code_size: int

    def init_fastscan(
        self, fine_quantizer: Any, M: int, nbits: int, nlist: int, metric: int, bbs: int, own_invlists: bool
    ) -> None:
        """Sets what follows from these, for an index without vectors; the quantizer of codes is the index's own."""
        if fine_quantizer is not None and not isinstance(fine_quantizer, faiss.Quantizer):
            raise TypeError(f"a Quantizer is wanted, not {type(fine_quantizer).__name__}")
        self.this.call("init_fastscan", M, nbits, nlist, metric, bbs, own_invlists)

    def postprocess_packed_codes(self, list_no: int, list_offset: int, n_added: int, flat_codes: Any) -> None:
        """Says that codes were packed, n_added from a place in a list on. Here nothing is left to be done: they are packed as a whole."""
        elements(flat_codes, n_added * self.code_size, "uint8")

    @property
    def fine_quantizer(self) -> Any:
        """What makes the codes: `pq`, `rabitq` or the additive quantizer."""
        return next(getattr(self, name) for name in ("pq", "rabitq", "aq") if hasattr(type(self), name))

    def lookup_table_is_3d(self) -> bool:
        """Whether each list of a query has tables of its own."""
        if hasattr(type(self), "rabitq"):
            return True
        return hasattr(type(self), "pq") and self.by_residual and self.metric_type == faiss.METRIC_L2
