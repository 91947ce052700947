"""Quantizers of tensors: codes of vectors by k-means, of the whole (VectorQuantizer) or of parts (ProductQuantizer)."""

from typing import Any

import torch

import faiss
from faiss.contrib.torch.clustering import DatasetAssign, DatasetAssignGPU, kmeans

__all__ = ["ProductQuantizer", "Quantizer", "VectorQuantizer"]


class Quantizer:
    """What makes codes of `code_size` bytes from vectors of dimension d, and vectors from codes."""

    def __init__(self, d: int, code_size: int) -> None:
        self.d = d
        self.code_size = code_size

    def train(self, x: Any) -> None:
        """Learns from vectors, shape (n, d)."""
        raise NotImplementedError

    def encode(self, x: Any) -> Any:
        """The codes of vectors, shape (n, d)."""
        raise NotImplementedError

    def decode(self, codes: Any) -> Any:
        """What codes stand for, shape (n, d)."""
        raise NotImplementedError


_resources: list[Any] = []


def _data(x: Any) -> Any:
    """Rows that are assigned where they are."""
    if x.device.type != "cuda":
        return DatasetAssign(x)
    if not _resources:
        _resources.append(faiss.StandardGpuResources())
    return DatasetAssignGPU(_resources[0], x)


def _check(x: Any, d: int) -> None:
    if x.ndim != 2 or x.shape[1] != d:
        raise ValueError(f"vectors of shape (n, {d}) are wanted, not {tuple(x.shape)}")


class VectorQuantizer(Quantizer):
    """Each vector becomes the number of the nearest of k centroids: codes are int64, shape (n,)."""

    def __init__(self, d: int, k: int) -> None:
        super().__init__(d, ((k - 1).bit_length() + 7) // 8)
        self.k = k
        # None before the training; shape (k, d).
        self.codebook: Any = None

    def train(self, x: Any) -> None:
        _check(x, self.d)
        self.codebook = kmeans(self.k, _data(x), verbose=False)

    def encode(self, x: Any) -> Any:
        _check(x, self.d)
        _, labels = _data(x).perform_search(self.codebook)
        return labels.ravel()

    def decode(self, codes: Any) -> Any:
        return self.codebook[codes.to(torch.int64)]


class ProductQuantizer(Quantizer):
    """Each of M parts of a vector becomes the number of the nearest of 2^nbits centroids: codes are uint8, shape (n, M)."""

    def __init__(self, d: int, M: int, nbits: int) -> None:
        if M <= 0 or d % M != 0:
            raise ValueError(f"{d} dimensions can't be cut into {M} parts")
        if not 1 <= nbits <= 8:
            raise ValueError(f"a part has 1 to 8 bits, not {nbits}")
        super().__init__(d, M)
        self.M, self.nbits, self.dsub, self.k = M, nbits, d // M, 1 << nbits
        # None before the training; shape (M, k, dsub).
        self.codebook: Any = None

    def _parts(self, x: Any) -> list[Any]:
        _check(x, self.d)
        return list(x.split(self.dsub, dim=1))

    def train(self, x: Any) -> None:
        self.codebook = torch.stack([kmeans(self.k, _data(part), verbose=False) for part in self._parts(x)])

    def encode(self, x: Any) -> Any:
        found = [_data(part).perform_search(book)[1] for part, book in zip(self._parts(x), self.codebook, strict=True)]
        return torch.cat(found, dim=1).to(torch.uint8)

    def decode(self, codes: Any) -> Any:
        parts = [book[codes[:, m].to(torch.int64)] for m, book in enumerate(self.codebook)]
        return torch.cat(parts, dim=1)
