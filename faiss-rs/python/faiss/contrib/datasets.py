"""Data sets for tests and benchmarks."""

from collections.abc import Iterator

import numpy as np

import faiss
from faiss.contrib._missing import getattr_of

__all__ = ["Dataset", "SyntheticDataset", "dataset_from_name", "sanitize"]

# Those that are read from files.
NAMED = "DatasetBigANN DatasetDINO10B DatasetDeep1B DatasetGIST1M DatasetGlove DatasetMusic100 DatasetSIFT1M set_dataset_basedir"
__getattr__ = getattr_of(__name__, NAMED.split())


def sanitize(x: np.ndarray) -> np.ndarray:
    """The array as float32, C-contiguous."""
    return np.ascontiguousarray(x, dtype="float32")


def dataset_from_name(dataset: str = "deep1M", download: bool = False) -> "Dataset":
    """Data sets that are read from files: not here yet."""
    raise NotImplementedError(f"data set {dataset}: only SyntheticDataset is implemented in this version")


class Dataset:
    """Training, database and query vectors, and what their nearest neighbours are."""

    def __init__(self) -> None:
        self.d = -1
        self.metric = "L2"
        self.nq = self.nb = self.nt = -1

    def get_queries(self) -> np.ndarray:
        """The queries, shape (nq, d)."""
        raise NotImplementedError

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        """The training vectors, shape (nt, d), or the first maxtrain of them."""
        raise NotImplementedError

    def get_database(self) -> np.ndarray:
        """The database, shape (nb, d)."""
        raise NotImplementedError

    def get_groundtruth(self, k: int | None = None) -> np.ndarray:
        """The ids of each query's k nearest neighbours, shape (nq, k)."""
        raise NotImplementedError

    def database_iterator(self, bs: int = 128, split: tuple[int, int] = (1, 0)) -> Iterator[np.ndarray]:
        """The database in blocks of bs vectors; split is (number of parts, which part)."""
        xb = self.get_database()
        parts, rank = split
        start, end = self.nb * rank // parts, self.nb * (rank + 1) // parts
        for i in range(start, end, bs):
            yield xb[i : min(i + bs, end)]

    def __str__(self) -> str:
        return f"dataset in dimension {self.d}, with metric {self.metric}, size: Q {self.nq} B {self.nb} T {self.nt}"

    def check_sizes(self) -> None:
        """Fails where the arrays do not have the sizes that the data set states."""
        assert self.get_queries().shape == (self.nq, self.d)
        if self.nt > 0:
            assert self.get_train(maxtrain=123).shape == (min(123, self.nt), self.d)
        assert self.get_database().shape == (self.nb, self.d)
        assert self.get_groundtruth(k=13).shape == (self.nq, 13)


class SyntheticDataset(Dataset):
    """Vectors of low intrinsic dimension: not completely random, but still challenging to index."""

    def __init__(self, d: int, nt: int, nb: int, nq: int, metric: str = "L2", seed: int = 1338) -> None:
        super().__init__()
        self.d, self.nt, self.nb, self.nq = d, nt, nb, nq
        self.metric = metric
        latent = 10
        rs = np.random.RandomState(seed)
        x = rs.normal(size=(nt + nb + nq, latent)) @ rs.rand(latent, d)
        x = np.sin(x * (rs.rand(d) * 4 + 0.1)).astype("float32")
        self.xt, self.xb, self.xq = x[:nt], x[nt : nt + nb], x[nt + nb :]

    def get_queries(self) -> np.ndarray:
        return self.xq

    def get_train(self, maxtrain: int | None = None) -> np.ndarray:
        return self.xt[:maxtrain]

    def get_database(self) -> np.ndarray:
        return self.xb

    def get_groundtruth(self, k: int | None = 100) -> np.ndarray:
        metric = faiss.METRIC_L2 if self.metric == "L2" else faiss.METRIC_INNER_PRODUCT
        _, labels = faiss.knn(self.xq, self.xb, k or 100, metric)
        return labels
