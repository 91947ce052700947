"""k-means: the class Kmeans, and the methods of Clustering with numpy arrays."""

import warnings
from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import contiguous, elements
from faiss.classes import Object
from faiss.index_methods import native_index
from faiss.object_vectors import ObjectVector

__all__ = ["ClusteringIterationStats", "ClusteringIterationStatsVector", "Kmeans", "kmeans_clustering"]


class ClusteringIterationStats:
    """What one round of a clustering was like."""

    obj: float = 0.0
    time: float = 0.0
    time_search: float = 0.0
    imbalance_factor: float = 0.0
    nsplit: int = 0


class ClusteringIterationStatsVector(ObjectVector):
    """What the rounds of a clustering were like, over all redos."""

    _class = "ClusteringIterationStats"

    def __init__(self, table: np.ndarray | None = None) -> None:
        """table: a row of obj, time, time_search, imbalance_factor and nsplit for each round."""
        super().__init__()
        for row in [] if table is None else table.tolist():
            stats = ClusteringIterationStats()
            stats.obj, stats.time, stats.time_search, stats.imbalance_factor = row[:4]
            stats.nsplit = int(row[4])
            self._items.append(stats)


class ClusteringMethods(Object):
    d: int

    def train(self, x: np.ndarray, index: Any, weights: np.ndarray | None = None) -> None:
        """Computes the centroids.

        x: training vectors, shape (n, d). index: assigns vectors to centroids, and holds the centroids afterwards.
        weights: of the vectors, shape (n,).
        """
        n, d = x.shape
        x = contiguous(x, "float32")
        if d != self.d:
            raise AssertionError(f"the vectors have {d} dimensions, the clustering {self.d}")
        if weights is not None:
            weights = contiguous(weights, "float32")
            assert weights.shape == (n,), f"{n} weights are wanted"
        _faiss.clustering_train(self.this, x, native_index(index), weights)

    def train_encoded(self, x: np.ndarray, codec: Any, index: Any, weights: np.ndarray | None = None) -> None:
        """As train, with vectors as codes of another index: uint8, shape (n, codec.sa_code_size())."""
        self.train(codec.sa_decode(x), index, weights)

    def train_encoded_c(self, nx: int, x: Any, codec: Any, index: Any, weights: Any = None) -> None:
        vectors = x
        if codec is not None:
            size = codec.sa_code_size()
            vectors = codec.sa_decode(elements(x, nx * size, "uint8").reshape(nx, size))
        self.train_c(nx, vectors, index, weights)

    def train_c(self, n: int, x: Any, index: Any, x_weights: Any = None) -> None:
        weights = None if x_weights is None else elements(x_weights, n, "float32")
        vectors = elements(x, n * self.d, "float32").reshape(n, self.d)
        _faiss.clustering_train(self.this, vectors, native_index(index), weights)

    @property
    def iteration_stats(self) -> ClusteringIterationStatsVector:
        """What each round was like."""
        return ClusteringIterationStatsVector(self.this.call("iteration_stats_table"))


def kmeans_clustering(d: int, n: int, k: int, x: Any, centroids: Any) -> float:
    """Clusters n vectors; writes k centroids to where the last pointer leads, and returns the sum of the distances to them."""
    vectors = elements(x, n * d, "float32").reshape(n, d)
    return _faiss.kmeans_clustering(vectors, elements(centroids, k * d, "float32").reshape(k, d))


class Kmeans:
    """k-means clustering of d-dimensional vectors.

    Keywords are the fields of ClusteringParameters (niter, nredo, verbose, spherical, seed, ...), and `gpu`: True for all GPUs, or their
    number. With True and no GPU the CPU does the work, and a RuntimeWarning says why; a number of GPUs that are not there is a ValueError.

    After training: `centroids`, shape (k, d); `obj`, the objective after each round; `iteration_stats`, a dict for each round.
    """

    d: int
    k: int
    cp: Any
    gpu: bool | int
    # None before the training.
    centroids: Any
    obj: Any
    iteration_stats: Any

    def __init__(self, d: int, k: int, **kwargs: Any) -> None:
        self.d = d
        self.reset(k)
        self.gpu = False
        self.cp = faiss.ClusteringParameters()
        for name, value in kwargs.items():
            if name == "gpu":
                self.gpu = self._gpus(value)
            elif name == "progressive_dim_steps":
                raise NotImplementedError("Kmeans with progressive_dim_steps is not implemented")
            else:
                setattr(self.cp, name, value)
        self.set_index()

    @staticmethod
    def _gpus(asked: bool | int) -> bool | int:
        """How many GPUs do the work."""
        there = faiss.get_num_gpus()
        if asked is True or asked == -1:
            if not there:
                try:
                    _faiss.gpu_check()
                except RuntimeError as reason:
                    text = str(reason).removeprefix("Error: ")
                    warnings.warn(f"the CPU does the work of Kmeans: {text}", RuntimeWarning, stacklevel=3)
            return there
        if asked > there:
            raise ValueError(f"Kmeans can't use {asked} GPUs, there are {there}")
        return asked

    def set_index(self) -> None:
        """Makes the index that assigns vectors to centroids."""
        self.index: Any = faiss.IndexFlatIP(self.d) if self.cp.spherical else faiss.IndexFlatL2(self.d)
        if self.gpu:
            self.index = faiss.index_cpu_to_all_gpus(self.index, ngpu=int(self.gpu))

    def reset(self, k: int | None = None) -> None:
        """Forgets the training, for another one, of other vectors perhaps or with another number of centroids."""
        if k is not None:
            self.k = int(k)
        self.centroids = None
        self.obj = None
        self.iteration_stats = None

    def train(
        self, x: np.ndarray, weights: np.ndarray | None = None, init_centroids: np.ndarray | None = None
    ) -> float:
        """Trains on vectors of shape (n, d); returns the objective after the last round.

        weights: of the vectors, shape (n,). init_centroids: the first centroids, at most k, shape (m, d).
        """
        x = contiguous(x, "float32")
        _, d = x.shape
        assert d == self.d, f"the vectors have {d} dimensions, the clustering {self.d}"
        clustering = faiss.Clustering(self.d, self.k, self.cp)
        if init_centroids is not None:
            m, d2 = init_centroids.shape
            assert d2 == self.d, f"the centroids have {d2} dimensions, the clustering {self.d}"
            assert m <= self.k, f"{m} centroids are given, there are only {self.k}"
            faiss.copy_array_to_vector(contiguous(init_centroids, "float32").ravel(), clustering.centroids)
        clustering.train(x, self.index, weights)
        self.centroids = faiss.vector_to_array(clustering.centroids).reshape(self.k, self.d)
        stats = clustering.iteration_stats
        rounds = [stats.at(i) for i in range(stats.size())]
        self.obj = np.array([r.obj for r in rounds])
        fields = ("obj", "time", "time_search", "imbalance_factor", "nsplit")
        self.iteration_stats = [{f: getattr(r, f) for f in fields} for r in rounds]
        return self.obj[-1] if len(rounds) else 0.0

    def assign(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The distance to the nearest centroid, and which it is, for vectors of shape (n, d)."""
        assert self.centroids is not None, "should train before assigning"
        self.index.reset()
        self.index.add(self.centroids)
        D, labels = self.index.search(x, 1)
        return D.ravel(), labels.ravel()
