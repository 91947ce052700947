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

__all__ = [
    "ClusteringIterationStats",
    "ClusteringIterationStatsVector",
    "Kmeans",
    "SuperKMeansAssignScratch",
    "SuperKmeans",
    "kmeans_clustering",
    "super_kmeans_assign_iteration",
    "super_kmeans_assign_iteration_c",
]


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

    @classmethod
    def of(cls, table: np.ndarray) -> "ClusteringIterationStatsVector":
        """table: a row of obj, time, time_search, imbalance_factor and nsplit for each round."""
        made = cls()
        for row in table.tolist():
            stats = ClusteringIterationStats()
            stats.obj, stats.time, stats.time_search, stats.imbalance_factor = row[:4]
            stats.nsplit = int(row[4])
            made._items.append(stats)
        return made


class RoundsMethods(Object):
    """What every clustering tells of its rounds."""

    @property
    def iteration_stats(self) -> ClusteringIterationStatsVector:
        """What each round was like."""
        return ClusteringIterationStatsVector.of(self.this.call("iteration_stats_table"))


class ClusteringMethods(RoundsMethods):
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


class Clustering1DMethods(ClusteringMethods):
    def train_exact(self, x: np.ndarray) -> None:
        """Computes the centroids of numbers, shape (n, 1), that have the smallest sum of squared distances."""
        _, d = x.shape
        assert d == 1, f"numbers have one dimension, not {d}"
        self.this.call("train_exact", contiguous(x, "float32"))

    def train_exact_c(self, n: int, x: Any) -> None:
        self.this.call("train_exact", elements(x, n, "float32"))


class SuperKMeansMethods(RoundsMethods):
    d: int

    def train(self, x: np.ndarray) -> None:
        """Computes the centroids of vectors, shape (n, d)."""
        _, d = x.shape
        assert d == self.d, f"the vectors have {d} dimensions, the clustering {self.d}"
        self.this.call("train", contiguous(x, "float32"))

    def train_c(self, n: int, x: Any) -> None:
        self.this.call("train", elements(x, n * self.d, "float32"))


class SuperKMeansAssignScratch:
    """What Faiss's rounds reuse memory in; here they need none."""

    Y_trail: Any = None
    Y_pdx: Any = None
    x_norms_partial: Any = None
    y_norms_partial: Any = None
    partial_ip: Any = None


def super_kmeans_assign_iteration(
    X_tilde: np.ndarray,
    Y_tilde: np.ndarray,
    tau: np.ndarray,
    assignments: np.ndarray,
    d_prime: int,
    ad_coeff: np.ndarray,
    cp: Any,
) -> tuple[int, int]:
    """Assigns vectors (n, d) to the nearest of centroids (k, d), from assignments (n,) of int32 at squared distances tau (n,) on, which change.

    A centroid is passed over where the squared distance of the first d_prime coordinates is above tau times ad_coeff[d_prime], of d + 1 such numbers,
    and so from block to block of the others. Returns how many pairs there are, and how many were passed over at first.
    """
    arrays = {"X_tilde": X_tilde, "Y_tilde": Y_tilde, "tau": tau, "assignments": assignments, "ad_coeff": ad_coeff}
    (n, d), (k, _) = X_tilde.shape, Y_tilde.shape
    shapes = {"X_tilde": (n, d), "Y_tilde": (k, d), "tau": (n,), "assignments": (n,), "ad_coeff": (d + 1,)}
    for name, array in arrays.items():
        wanted = "int32" if name == "assignments" else "float32"
        if array.dtype != wanted:
            raise TypeError(f"{name} must be {wanted}, got {array.dtype}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous")
        if array.shape != shapes[name]:
            raise ValueError(f"{name} must have shape {shapes[name]}, got {array.shape}")
    counts = np.zeros(2, "int64")
    super_kmeans_assign_iteration_c(
        X_tilde, n, d, Y_tilde, k, tau, assignments, d_prime, ad_coeff, cp, counts[:1], counts[1:]
    )
    return int(counts[0]), int(counts[1])


def super_kmeans_assign_iteration_c(
    X_tilde: Any,
    n: int,
    d: int,
    Y_tilde: Any,
    k: int,
    tau: Any,
    assignments: Any,
    d_prime: int,
    ad_coeff: Any,
    cp: Any,
    total_pairs: Any = None,
    pruned_at_gemm: Any = None,
    scratch: Any = None,
) -> None:
    """As super_kmeans_assign_iteration, with pointers; the two counts are int64, and None where they are not wanted."""
    given = X_tilde, n, d, Y_tilde, k, tau, assignments, d_prime, ad_coeff, cp, total_pairs, pruned_at_gemm
    _faiss.call_function("_super_kmeans_assign_iteration", *given)


class ProgressiveDimMethods(RoundsMethods):
    d: int

    def train(self, n: int, x: Any, factory: Any = None) -> None:
        """Computes the centroids of n vectors that a pointer leads to. factory: gives the indexes that assign vectors to centroids, those of the CPU
        unless it is given."""
        factory = faiss.ProgressiveDimIndexFactory() if factory is None else factory
        if not isinstance(factory, faiss.ProgressiveDimIndexFactory):
            raise TypeError(f"a ProgressiveDimIndexFactory is wanted, not a {type(factory).__name__}")
        assert isinstance(factory, Object)
        self.this.call("train", elements(x, n * self.d, "float32"), factory.this)


class ClusteringInitializationMethods(Object):
    d: int
    k: int

    def init_centroids(
        self, n: int, x: Any, centroids: Any, n_existing_centroids: int = 0, existing_centroids: Any = None
    ) -> None:
        """Writes k of n vectors to where `centroids` leads, away from existing ones: pointers to n * d, k * d and
        n_existing_centroids * d float32."""
        existing = elements(existing_centroids, n_existing_centroids * self.d, "float32")
        chosen = self.this.call("init_centroids", elements(x, n * self.d, "float32"), existing)
        elements(centroids, self.k * self.d, "float32")[...] = chosen.ravel()


def kmeans_clustering(d: int, n: int, k: int, x: Any, centroids: Any) -> float:
    """Clusters n vectors; writes k centroids to where the last pointer leads, and returns the sum of the distances to them."""
    vectors = elements(x, n * d, "float32").reshape(n, d)
    return _faiss.kmeans_clustering(vectors, elements(centroids, k * d, "float32").reshape(k, d))


class Kmeans:
    """k-means clustering of d-dimensional vectors.

    d: dimension. k: number of centroids. Keywords are the fields of ClusteringParameters, among them
        niter (25): rounds. nredo (1): how often to begin anew; the best result is kept. seed (1234): of the first centroids.
        spherical (False): centroids get length 1, and vectors are compared by inner product.
        max_points_per_centroid (256): with more vectors than k times this, a sample is used; min_points_per_centroid (39): fewer bring a warning.
        verbose (False): says how it goes.
    and `gpu`: True for all GPUs, or their number. With True and no GPU the CPU does the work, and a RuntimeWarning says why; a number of GPUs that
    are not there is a ValueError.

    After training: `centroids`, float32, shape (k, d); `obj`, the sum of squared distances after each round; `iteration_stats`, a dict for each round.
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
        self.cp = self._parameters(kwargs)
        for name, value in kwargs.items():
            if name == "gpu":
                self.gpu = self._gpus(value)
            else:
                # AttributeError where there is no such parameter.
                getattr(self.cp, name)
                setattr(self.cp, name, value)
        self.set_index()

    @staticmethod
    def _parameters(kwargs: dict[str, Any]) -> Any:
        """The parameters that have these fields."""
        if "progressive_dim_steps" in kwargs:
            return faiss.ProgressiveDimClusteringParameters()
        return faiss.ClusteringParameters()

    def _clustering(self) -> Any:
        """What does the work."""
        if isinstance(self.cp, faiss.ProgressiveDimClusteringParameters):
            return faiss.ProgressiveDimClustering(self.d, self.k, self.cp)
        return faiss.Clustering(self.d, self.k, self.cp)

    def _train(self, clustering: Any, x: np.ndarray, weights: np.ndarray | None) -> None:
        if isinstance(clustering, faiss.ProgressiveDimClustering):
            assert weights is None, "weights are not supported with progressive_dim_steps"
            there = faiss.GpuProgressiveDimIndexFactory(int(self.gpu)) if self.gpu else None
            clustering.train(len(x), x, there)
        else:
            clustering.train(x, self.index, weights)

    @staticmethod
    def _gpus(asked: bool | int) -> bool | int:
        """How many GPUs do the work."""
        there = faiss.get_num_gpus()
        # Faiss does not tell 1 from True.
        if asked is True or asked == -1 or (asked == 1 and not there):
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
        clustering = self._clustering()
        if init_centroids is not None:
            assert isinstance(clustering, faiss.Clustering), "init_centroids are not supported here"
            m, d2 = init_centroids.shape
            assert d2 == self.d, f"the centroids have {d2} dimensions, the clustering {self.d}"
            assert m <= self.k, f"{m} centroids are given, there are only {self.k}"
            faiss.copy_array_to_vector(contiguous(init_centroids, "float32").ravel(), clustering.centroids)
        self._train(clustering, x, weights)
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


class SuperKmeans(Kmeans):
    """As Kmeans, with the fields of SuperKMeansParameters, for vectors of at least 32 dimensions and without weights."""

    @staticmethod
    def _parameters(kwargs: dict[str, Any]) -> Any:
        return faiss.SuperKMeansParameters()

    def _clustering(self) -> Any:
        return faiss.SuperKMeans(self.d, self.k, self.cp)

    def _train(self, clustering: Any, x: np.ndarray, weights: np.ndarray | None) -> None:
        assert weights is None, "SuperKmeans does not support weights"
        clustering.train(x)
