"""Indexes of codes that neural networks make: the codes are stored by the library, the network encodes and decodes them here."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.index_methods import FlatCodesMethods

# Vectors that are decoded at a time.
BLOCK = 4096


class NeuralCodecMethods(FlatCodesMethods):
    M: int
    nbits: int
    code_size: int
    metric_type: int
    net: Any = None
    _check_type: Any
    _pointed: Any

    def _net(self) -> Any:
        if self.net is None:
            raise RuntimeError("Error: 'net' failed: the index has no network; set its `net`")
        return self.net

    def train(self, x: Any, *, numeric_type: int = 0, xq_train: Any = None) -> None:
        """RuntimeError: networks are trained by PyTorch."""
        raise RuntimeError("Error: Training not implemented in C++, use Pytorch")

    def sa_encode(self, x: Any, codes: np.ndarray | None = None) -> np.ndarray:
        """The codes of vectors (n, d): (n, code_size) of uint8."""
        rows = np.ascontiguousarray(x, "float32")
        assert rows.ndim == 2, "vectors are rows"
        assert rows.shape[1] == self.d, "rows have d numbers"
        made = faiss.pack_bitstrings(self._net().encode(faiss.Tensor2D(rows)).numpy(), self.nbits)
        if codes is None:
            return made
        codes[...] = made
        return codes

    def sa_decode(self, codes: Any, x: np.ndarray | None = None) -> np.ndarray:
        """The vectors of codes (n, code_size): (n, d)."""
        rows = np.ascontiguousarray(codes, "uint8")
        assert rows.ndim == 2, "codes are rows"
        assert rows.shape[1] == self.code_size, "rows have code_size bytes"
        numbers = faiss.unpack_bitstrings(rows, self.M, self.nbits).astype("int32")
        made: np.ndarray = self._net().decode(faiss.Int32Tensor2D(numbers)).numpy()
        if x is None:
            return made
        x[...] = made
        return x

    def add(self, x: Any, numeric_type: int = 0) -> None:
        """Encodes vectors (n, d) and stores their codes."""
        self._check_type(numeric_type)
        if not self.is_trained:
            raise RuntimeError("Error: 'is_trained' failed")
        self.add_sa_codes(self.sa_encode(x))

    def _stored(self, first: int, n: int) -> np.ndarray:
        size = self.code_size
        return faiss.vector_to_array(self.codes)[first * size : (first + n) * size].reshape(n, size)

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: np.ndarray | None = None) -> np.ndarray:
        """The vectors n0 to n0 + ni, one a row; to the last where ni is -1."""
        n = self.ntotal - n0 if ni == -1 else ni
        if n and not (n0 >= 0 and n0 + n <= self.ntotal):
            raise RuntimeError("Error: 'ni == 0 || (i0 >= 0 && i0 + ni <= ntotal)' failed")
        return self.sa_decode(self._stored(n0, n), x)

    def reconstruct(self, key: int, x: np.ndarray | None = None) -> np.ndarray:
        """The vector of a number."""
        made: np.ndarray = self.reconstruct_n(key, 1)[0]
        if x is None:
            return made
        x[...] = made
        return x

    def _decoded(self) -> Any:
        """The stored vectors, in an index that compares them."""
        self._net()
        whole = faiss.IndexFlat(self.d, self.metric_type)
        for first in range(0, self.ntotal, BLOCK):
            whole.add(self.reconstruct_n(first, min(BLOCK, self.ntotal - first)))
        return whole

    def search(
        self,
        x: Any,
        k: int,
        *,
        params: Any = None,
        D: Any = None,
        I: Any = None,  # noqa: E741
        numeric_type: int = 0,
    ) -> Any:
        """The k nearest of the decoded vectors for each row of x: distances and numbers (n, k)."""
        return self._decoded().search(x, k, params=params, D=D, I=I, numeric_type=numeric_type)

    def range_search(self, x: Any, thresh: float, *, params: Any = None) -> Any:
        """The decoded vectors within a radius of each row of x."""
        return self._decoded().range_search(x, thresh, params=params)

    def assign(self, x: Any, k: int, labels: Any = None) -> np.ndarray:
        """The numbers that search finds."""
        found: np.ndarray = self.search(x, k, I=labels)[1]
        return found

    def search_and_reconstruct(self, x: Any, k: int, *, params: Any = None, **into: Any) -> Any:
        """As search, and the vectors that were found (n, k, d)."""
        return self._decoded().search_and_reconstruct(x, k, params=params, **into)

    def _native(self, name: str, *args: Any) -> Any:
        # The forms with pointers come here with arrays of the caller's; the library knows no network.
        if name in ("search", "range_search", "assign", "search_and_reconstruct"):
            return getattr(_faiss, name)(self._decoded().this, *args)
        if name in ("add", "train", "reconstruct", "reconstruct_n"):
            return getattr(self, name)(*args)
        return getattr(_faiss, name)(self.this, *args)

    def get_distance_computer(self) -> Any:
        """Compares queries with the vectors that are stored now, as they are decoded."""
        return self._decoded().get_distance_computer()

    def search_and_reconstruct_c(
        self, n: int, x: Any, k: int, distances: Any, labels: Any, recons: Any, params: Any = None
    ) -> None:
        self._decoded().search_and_reconstruct_c(n, x, k, distances, labels, recons, params)

    def sa_encode_c(self, n: int, x: Any, bytes: Any) -> None:
        elements(bytes, n * self.code_size, "uint8")[...] = self.sa_encode(self._pointed(n, x)).ravel()

    def sa_decode_c(self, n: int, bytes: Any, x: Any) -> None:
        codes = elements(bytes, n * self.code_size, "uint8").reshape(n, self.code_size)
        self._pointed(n, x)[...] = self.sa_decode(codes)

    def reconstruct_batch_c(self, n: int, keys: Any, recons: Any) -> None:
        for key, out in zip(elements(keys, n, "int64").tolist(), self._pointed(n, recons), strict=True):
            out[...] = self.reconstruct(key)


class QINCoMethods(NeuralCodecMethods):
    qinco: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = dict(zip(("d", "M", "nbits", "L", "h"), args, strict=False)) | kwargs
        if named:
            self.qinco = faiss.QINCo(self.d, 1 << self.nbits, named["L"], self.M, named["h"])

    @property
    def net(self) -> Any:
        """The network: `qinco`."""
        return self.qinco
