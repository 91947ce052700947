"""k-means in Python, over data that only has to say which centroid is nearest, and in two levels, for many centroids."""

import importlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import faiss

__all__ = [
    "DatasetAssign",
    "DatasetAssignGPU",
    "DatasetAssignSparse",
    "balanced_assignment_with_penalties",
    "check_if_torch",
    "imbalance_factor",
    "kmeans",
    "print_nop",
    "reassign_centroids",
    "sparse_assign_to_dense",
    "sparse_assign_to_dense_blocks",
    "train_ivf_index_with_2level",
    "two_level_clustering",
]


def print_nop(*arg: Any, **kwargs: Any) -> None:
    """Prints nothing."""


def imbalance_factor(k: int, assign: np.ndarray) -> float:
    """1 where all k clusters are of one size, more where they are not."""
    return faiss.imbalance_factor(len(assign), k, np.ascontiguousarray(assign, dtype="int64"))


class DatasetAssign:
    """A matrix, shape (n, d), whose rows are assigned to centroids. Other data may have the same methods."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = np.ascontiguousarray(x, dtype="float32")

    def count(self) -> int:
        """Number of rows."""
        return len(self.x)

    def dim(self) -> int:
        """Their dimension."""
        return int(self.x.shape[1])

    def get_subset(self, indices: np.ndarray) -> np.ndarray:
        """Some rows."""
        rows: np.ndarray = self.x[indices]
        return rows

    def perform_search(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The squared distance of each row to its nearest centroid, and which that is: shape (n, 1)."""
        return faiss.knn(self.x, centroids, 1)

    def assign_to(
        self, centroids: np.ndarray, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The nearest centroid of each row, the squared distance to it, and the sum of the rows of each centroid."""
        D, labels = self.perform_search(centroids)
        return _sums(self.x, labels.ravel(), D.ravel(), len(centroids), weights)


def _sums(
    x: np.ndarray, nearest: np.ndarray, D: np.ndarray, k: int, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What assign_to returns, for dense rows."""
    order = np.argsort(nearest, kind="stable")
    rows = x if weights is None else x * weights[:, None]
    sums = np.zeros((k, x.shape[1]), "float32")
    counts = np.bincount(nearest, minlength=k)
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    filled = counts > 0
    if filled.any():
        sums[filled] = np.add.reduceat(rows[order], starts[filled], axis=0)
    return nearest, D, sums


class DatasetAssignGPU(DatasetAssign):
    """A matrix whose rows a GPU assigns to centroids; gpu_id -1 means all GPUs."""

    def __init__(self, x: np.ndarray, gpu_id: int, verbose: bool = False) -> None:
        super().__init__(x)
        index = faiss.IndexFlatL2(self.dim())
        if gpu_id >= 0:
            self.index: Any = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), gpu_id, index)
        else:
            self.index = faiss.index_cpu_to_all_gpus(index)

    def perform_search(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.index.reset()
        self.index.add(centroids)
        found: tuple[np.ndarray, np.ndarray] = self.index.search(self.x, 1)
        return found


def sparse_assign_to_dense(
    xq: Any, xb: np.ndarray, xq_norms: np.ndarray | None = None, xb_norms: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The squared distance of each sparse row (scipy's csr_matrix, shape (n, d)) to its nearest dense one, shape (k, d), and which that is.

    xq_norms, xb_norms: the squared norms of the rows, where they are known.
    """
    if xq_norms is None:
        xq_norms = np.asarray(xq.power(2).sum(1)).ravel()
    if xb_norms is None:
        xb_norms = (xb**2).sum(1)
    D = xb_norms - 2 * (xq @ xb.T)
    nearest = D.argmin(axis=1)
    return D[np.arange(len(D)), nearest] + xq_norms, nearest


def sparse_assign_to_dense_blocks(
    xq: Any,
    xb: np.ndarray,
    xq_norms: np.ndarray | None = None,
    xb_norms: np.ndarray | None = None,
    qbs: int = 16384,
    bbs: int = 16384,
    nt: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """As sparse_assign_to_dense, in blocks of qbs sparse and bbs dense rows, in nt threads (by default as many as Faiss's calls use)."""
    n = xq.shape[0]
    if xq_norms is None:
        xq_norms = np.asarray(xq.power(2).sum(1)).ravel()
    if xb_norms is None:
        xb_norms = (xb**2).sum(1)
    D, nearest = np.full(n, np.inf, "float32"), np.full(n, -1, "int64")

    def block(i: int) -> None:
        rows = xq[i : i + qbs]
        for j in range(0, len(xb), bbs):
            dis, ids = sparse_assign_to_dense(rows, xb[j : j + bbs], xq_norms[i : i + qbs], xb_norms[j : j + bbs])
            better = dis < D[i : i + qbs]
            D[i : i + qbs][better], nearest[i : i + qbs][better] = dis[better], ids[better] + j

    with ThreadPoolExecutor(nt or faiss.omp_get_max_threads()) as pool:
        list(pool.map(block, range(0, n, qbs)))
    return D, nearest


class DatasetAssignSparse(DatasetAssign):
    """Sparse rows (scipy's csr_matrix, shape (n, d)), assigned to dense centroids."""

    def __init__(self, x: Any) -> None:
        assert x.dtype == "float32", f"the matrix is of {x.dtype}, float32 is wanted"
        self.x = x
        self.squared_norms = np.asarray(x.power(2).sum(1)).ravel()

    def count(self) -> int:
        return int(self.x.shape[0])

    def get_subset(self, indices: np.ndarray) -> np.ndarray:
        rows: np.ndarray = self.x[indices].toarray()
        return rows

    def perform_search(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return sparse_assign_to_dense_blocks(self.x, centroids, xq_norms=self.squared_norms)

    def assign_to(
        self, centroids: np.ndarray, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        D, nearest = self.perform_search(centroids)
        n = self.count()
        ones = np.ones(n, "float32") if weights is None else np.asarray(weights, dtype="float32")
        # A matrix that has the weight of row i at (its centroid, i): its product with the rows sums them by centroid.
        chosen = importlib.import_module("scipy.sparse").csr_matrix(
            (ones, (nearest, np.arange(n))), shape=(len(centroids), n)
        )
        return nearest, D, (chosen @ self.x).toarray()


def check_if_torch(x: Any) -> bool:
    """Whether this is a torch tensor; torch is not imported for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def balanced_assignment_with_penalties(
    x: np.ndarray, centroids: np.ndarray, alpha: float = 0.03, num_iter: int = 20, maxk: int = 100
) -> tuple[np.ndarray, dict[str, float]]:
    """Assigns rows, shape (n, d), to centroids, shape (nc, d), so that clusters are of about one size (Tavenard, Jegou, Amsaleg, CBMI 2011).

    A cluster has a penalty, 1 at first, whose square is added to squared distances, and which is multiplied after each of num_iter rounds by
    (size / (n / nc)) ** alpha; a larger alpha gives more even sizes and a larger error. Only the maxk nearest centroids of a row are
    looked at. Returns the clusters, int64, shape (n,), and figures: imf (the imbalance factor), mse, binsize_min, binsize_max,
    penalty_min, penalty_max and alpha.
    """
    n, nc = len(x), len(centroids)
    D, near = faiss.knn(x, centroids, min(maxk, nc))
    penalties = np.ones(nc, "float32")
    rows = np.arange(n)
    for _ in range(max(num_iter, 1)):
        chosen = (D + penalties[near] ** 2).argmin(axis=1)
        assign = near[rows, chosen]
        sizes = np.bincount(assign, minlength=nc)
        penalties *= ((sizes / (n / nc)) ** alpha).astype("float32")
    return assign, {
        "alpha": alpha,
        "imf": imbalance_factor(nc, assign),
        "mse": float(D[rows, chosen].mean()),
        "binsize_min": int(sizes.min()),
        "binsize_max": int(sizes.max()),
        "penalty_min": float(penalties.min()),
        "penalty_max": float(penalties.max()),
    }


def reassign_centroids(hassign: np.ndarray, centroids: Any, rs: Any = None) -> int:
    """Lets each empty cluster take half of a large one, in place: hassign are the sizes, shape (k,). Returns how many were empty."""
    k, d = centroids.shape
    rs = np.random.mtrand._rand if rs is None else rs
    empty = np.flatnonzero(hassign == 0)
    sizes = hassign.astype("float64")
    # Small changes in opposite directions tell the halves apart.
    shift: Any = 1 + np.where(np.arange(d) % 2 == 0, 1, -1) / 1024
    if check_if_torch(centroids):
        shift = centroids.new_tensor(shift)
    for c in empty:
        chances = np.maximum(sizes - 1, 0)
        from_ = rs.choice(k, p=chances / chances.sum()) if chances.any() else 0
        centroids[c] = centroids[from_] * shift
        centroids[from_] *= 2 - shift
        sizes[c], sizes[from_] = sizes[from_] / 2, sizes[from_] / 2
    hassign[:] = sizes.astype(hassign.dtype)
    return len(empty)


def _on_host(x: Any) -> np.ndarray:
    return x.cpu().numpy() if check_if_torch(x) else np.asarray(x)


def kmeans(
    k: int,
    data: Any,
    niter: int = 25,
    seed: int = 1234,
    checkpoint: str | Path | None = None,
    verbose: bool = True,
    return_stats: bool = False,
) -> Any:
    """The centroids of k clusters, shape (k, d): an array, or a tensor where the data's rows are tensors.

    data: a DatasetAssign, of this module or of faiss.contrib.torch.clustering, or what has its methods. checkpoint: a file for the centroids after each round. return_stats: return also a list
    of what the rounds were like.
    """
    log: Callable[..., None] = print if verbose else print_nop
    n = data.count()
    assert n >= k, f"{n} points can't make {k} clusters"
    rs = np.random.RandomState(seed)
    first = data.get_subset(rs.choice(n, size=k, replace=False))
    centroids = first if check_if_torch(first) else np.array(first, dtype="float32")
    stats: list[dict[str, float]] = []
    log(f"Training k-means with {n} points of dimension {data.dim()}, {k} centroids")
    for i in range(niter):
        assign, D, sums = data.assign_to(centroids)
        assign = _on_host(assign)
        sizes = np.bincount(assign, minlength=k)
        divisors: Any = np.maximum(sizes, 1)[:, None].astype("float32")
        centroids = sums / (sums.new_tensor(divisors) if check_if_torch(sums) else divisors)
        factor = imbalance_factor(k, assign)
        nsplit = reassign_centroids(sizes, centroids, rs)
        stats.append({"obj": float(D.sum()), "imbalance_factor": factor, "nsplit": nsplit})
        log(f"  Iteration {i}: objective={D.sum():g} imbalance={factor:.3f} nsplit={nsplit}")
        if checkpoint is not None:
            np.save(checkpoint, _on_host(centroids))
    return (centroids, stats) if return_stats else centroids


def two_level_clustering(
    xt: np.ndarray, nc1: int, nc2: int, rebalance: bool = True, clustering_niter: int = 25, **args: Any
) -> tuple[np.ndarray, list[Any]]:
    """nc2 centroids, shape (nc2, d), by clustering into nc1 clusters and each of these again, which costs much less than all at once.

    rebalance: a cluster gets centroids by its size, else all get as many. clustering_niter: rounds of the first clustering, which takes 2,000
    points for each cluster. Other arguments are Kmeans's.
    Returns the centroids, and what the rounds of each clustering were like (Kmeans.iteration_stats), that of the first ones first.
    """
    n, d = xt.shape
    assert nc2 >= nc1, f"{nc2} centroids can't come from {nc1} clusters"
    first = faiss.Kmeans(d, nc1, niter=clustering_niter, max_points_per_centroid=2000, **args)
    first.train(xt)
    _, assign = first.assign(xt)
    sizes = np.bincount(assign, minlength=nc1)
    shares = np.cumsum(sizes) * nc2 // n if rebalance else (np.arange(nc1) + 1) * nc2 // nc1
    counts = np.diff(np.concatenate([[0], shares]))
    # Where clusters are sampled their points' order matters: it is Faiss's, which numpy's sorting makes.
    order = np.split(np.argsort(assign), np.cumsum(sizes)[:-1])
    made, stats = [], [first.iteration_stats]
    for c, k in enumerate(counts.tolist()):
        points = xt[order[c]]
        if k > len(points):
            raise RuntimeError(f"a cluster of {len(points)} points can't make {k}; rebalance=True gives it fewer")
        if k:
            second = faiss.Kmeans(d, k, **args)
            second.train(points)
            made.append(second.centroids)
            stats.append(second.iteration_stats)
    return np.vstack(made), stats


def train_ivf_index_with_2level(index: Any, xt: np.ndarray, **args: Any) -> None:
    """Trains an index that has an inverted file, whose centroids come from two levels of about sqrt(nlist) clusters each."""
    xt = np.ascontiguousarray(xt, dtype="float32")
    inside = index
    x = xt
    while isinstance(inside, faiss.IndexPreTransform):
        for i in range(inside.chain.size()):
            transform = inside.chain.at(i)
            if not transform.is_trained:
                transform.train(x)
            x = transform.apply(x)
        inside = inside.index
    ivf = faiss.extract_index_ivf(inside)
    centroids, _ = two_level_clustering(x, int(np.sqrt(ivf.nlist)), ivf.nlist, **args)
    ivf.quantizer.train(centroids)
    ivf.quantizer.add(centroids)
    # The quantizer has its centroids; what is left is trained as usual.
    index.train(xt)
