"""Indexes of packed codes as C++ has them: pointers to tables and codes."""

from typing import Any

import numpy as np

from faiss.arrays import elements
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
    ksub: int

    def compute_float_LUT(self, lut: Any, n: int, x: Any, context: Any = None) -> None:
        """Writes the tables of the n queries that x leads to, n * M * ksub numbers before they are rounded."""
        tables: np.ndarray = self.this.call("compute_float_LUT", self._pointed(n, x))
        elements(lut, n * self.M * self.ksub, "float32")[...] = tables

    def compute_codes(self, codes: Any, n: int, x: Any) -> None:
        """Writes the codes of the n vectors that x leads to, which are not packed."""
        made = self.sa_encode(self._pointed(n, x))
        elements(codes, made.size, "uint8")[...] = made.reshape(-1)
