"""Quantizers with numpy arrays; a method that C++ has with pointers is there with `_c` appended."""

from typing import Any

import numpy as np

from faiss.arrays import contiguous, elements
from faiss.classes import Object


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


class ProductQuantizerMethods(QuantizerMethods):
    M: int
    ksub: int

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
