"""Functions on arrays that need no index: exact search, distances, random numbers, evaluation, merging of results."""

from pathlib import Path
from types import TracebackType

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import contiguous
from faiss.simd import instruction_sets

__all__ = [
    "ResultHeap",
    "TimeoutGuard",
    "check_openmp",
    "checksum",
    "eval_intersection",
    "get_compile_options",
    "get_version",
    "is_similarity_metric",
    "kmax",
    "kmin",
    "knn",
    "lrand",
    "merge_knn_results",
    "metric_type_from_int",
    "normalize_L2",
    "omp_get_max_threads",
    "omp_set_num_threads",
    "pairwise_distances",
    "rand",
    "rand_smooth_vectors",
    "randint",
    "randn",
    "show_progress",
    "swig_version",
]

Shape = int | tuple[int, ...]

# Faiss's numbers of the metrics.
INNER_PRODUCT, L2 = 0, 1


def _pair(xq: np.ndarray, xb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    xq, xb = contiguous(xq, "float32"), contiguous(xb, "float32")
    (_, d), (_, d2) = xq.shape, xb.shape
    if d != d2:
        raise AssertionError(f"the queries have {d} dimensions, the database {d2}")
    return xq, xb


def knn(
    xq: np.ndarray, xb: np.ndarray, k: int, metric: int = L2, metric_arg: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest neighbours of each query, found exactly, without an index.

    xq: queries, shape (nq, d). xb: database, shape (nb, d). Both float32; other types are converted.
    metric: METRIC_L2 (squared distances), METRIC_INNER_PRODUCT, ...

    Returns distances (float32) and positions in xb (int64), shape (nq, k), best first; -1 is no result.
    """
    xq, xb = _pair(xq, xb)
    D = np.empty((len(xq), k), dtype="float32")
    labels = np.empty((len(xq), k), dtype="int64")
    _faiss.knn(xq, xb, metric, metric_arg, D, labels)
    return D, labels


def pairwise_distances(xq: np.ndarray, xb: np.ndarray, metric: int = L2, metric_arg: float = 0) -> np.ndarray:
    """The distance of every query to every vector of the database: float32, shape (nq, nb). Arguments as for knn."""
    xq, xb = _pair(xq, xb)
    return _faiss.pairwise_distances(xq, xb, metric, metric_arg)


def is_similarity_metric(metric_type: int) -> bool:
    """True where a larger value is a better one."""
    return _faiss.is_similarity_metric(metric_type)


def metric_type_from_int(x: int) -> int:
    """The metric with this number; RuntimeError where there is none."""
    _faiss.is_similarity_metric(x)
    return x


def normalize_L2(x: np.ndarray) -> None:
    """Divides each row by its L2 norm, in place; rows of zeros stay. x: float32, C-contiguous, shape (n, d)."""
    _, _ = x.shape
    if x.dtype != np.float32:
        raise TypeError(f"normalize_L2 works in place on float32, not {x.dtype}")
    if not x.flags.c_contiguous:
        raise ValueError("array is not C-contiguous")
    if not x.flags.writeable:
        raise ValueError("the array is read-only")
    _faiss.normalize_L2(x)


# Random numbers: the same as Faiss's for the same seed, whatever the number of threads.


def rand(n: Shape, seed: int = 12345) -> np.ndarray:
    """Numbers uniform in [0, 1): float32, of shape n."""
    return _faiss.float_rand(int(np.prod(n)), seed).reshape(n)


def randn(n: Shape, seed: int = 12345) -> np.ndarray:
    """Numbers of the standard normal distribution: float32, of shape n."""
    return _faiss.float_randn(int(np.prod(n)), seed).reshape(n)


def randint(n: Shape, seed: int = 12345, vmax: int | None = None) -> np.ndarray:
    """Integers in [0, vmax), or non-negative ones: int64, of shape n."""
    return _faiss.int64_rand(int(np.prod(n)), seed, vmax).reshape(n)


lrand = randint


def rand_smooth_vectors(n: int, d: int, seed: int = 1234) -> np.ndarray:
    """Vectors of low intrinsic dimension, which are easier to index than uniform ones: float32, shape (n, d)."""
    latent = 10
    x = randn((n, latent), seed) @ rand((latent, d), seed + 1)
    scaled: np.ndarray = x * (rand(d, seed + 2) * np.float32(4) + np.float32(0.1))
    np.sin(scaled, out=scaled)
    return scaled


def checksum(a: np.ndarray) -> int | np.ndarray:
    """A checksum of an array's bytes, quick to compute and compare: one number, or one of each row where there are two dimensions."""
    data = a.view("uint8")
    if data.ndim == 1:
        return faiss.bvec_checksum(data.size, np.ascontiguousarray(data))
    n, d = data.shape
    sums = np.empty(n, dtype="uint64")
    faiss.bvecs_checksum(n, d, np.ascontiguousarray(data), sums)
    return sums


# Evaluation and merging of results.


def eval_intersection(I1: np.ndarray, I2: np.ndarray) -> int:
    """Number of ids that two tables of results share, row by row."""
    n = I1.shape[0]
    assert I2.shape[0] == n, f"the tables have {n} and {I2.shape[0]} rows"
    (_, k1), (_, k2) = I1.shape, I2.shape
    ids, codes = np.unique(np.concatenate([I1.ravel(), I2.ravel()]), return_inverse=True)
    keys = codes.ravel() + np.concatenate([np.repeat(np.arange(n), k1), np.repeat(np.arange(n), k2)]) * max(len(ids), 1)
    return len(np.intersect1d(keys[: n * k1], keys[n * k1 :]))


def _order(keys: np.ndarray, ids: np.ndarray, sign: float) -> np.ndarray:
    """By keys; of equal ones the smaller id comes first or, where sign is negative and the largest values are kept, the larger one."""
    order: np.ndarray = np.lexsort((sign * ids, keys), axis=1)
    return order


def _best(array: np.ndarray, k: int, sign: float) -> tuple[np.ndarray, np.ndarray]:
    n, m = array.shape
    array = np.ascontiguousarray(array, dtype="float32")
    positions = np.argsort(sign * array, axis=1, kind="stable")[:, :k].astype("int64")
    positions = np.take_along_axis(
        positions, _order(np.take_along_axis(sign * array, positions, 1), positions, sign), 1
    )
    D = np.full((n, k), sign * np.finfo("float32").max, dtype="float32")
    labels = np.full((n, k), -1, dtype="int64")
    D[:, :m] = np.take_along_axis(array, positions, axis=1)
    labels[:, :m] = positions
    return D, labels


def kmin(array: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest values of each row, in ascending order, and their columns."""
    return _best(array, k, 1.0)


def kmax(array: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest values of each row, in descending order, and their columns."""
    return _best(array, k, -1.0)


def merge_knn_results(Dall: np.ndarray, Iall: np.ndarray, keep_max: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Merges the results of several shards: float32 or int32, and int64, of shape (nshard, nq, k), sorted in each shard, into (nq, k).

    keep_max: larger is better (inner product).
    """
    assert Dall.shape == Iall.shape, f"distances have shape {Dall.shape}, ids {Iall.shape}"
    nshard, n, k = Dall.shape
    if Dall.dtype not in (np.float32, np.int32) or Iall.dtype != np.int64:
        raise TypeError(f"distances must be float32 or int32 and ids int64, not {Dall.dtype} and {Iall.dtype}")
    if Dall.dtype == np.int32:
        # Of equal distances those of the first shard come first or, where the largest are kept, those of the last.
        Dall, Iall = (Dall[::-1], Iall[::-1]) if keep_max else (Dall, Iall)
        D, labels = (np.moveaxis(a, 0, 1).reshape(n, nshard * k) for a in (Dall, Iall))
        D, labels = _merge(D, labels, k, keep_max)
        info = np.iinfo("int32")
        D[labels < 0] = info.min if keep_max else info.max
        return D, labels
    return _faiss.merge_knn_results(contiguous(Dall, "float32"), contiguous(Iall, "int64"), keep_max)


def _merge(D: np.ndarray, labels: np.ndarray, k: int, keep_max: bool) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each row; no result (-1) comes after every result."""
    worst = -np.inf if keep_max else np.inf
    values = np.where(labels < 0, worst, D)
    order = np.argsort(-values if keep_max else values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(D, order, axis=1), np.take_along_axis(labels, order, axis=1)


class ResultHeap:
    """Keeps the k best results of nq queries while results come in batches. `D` and `I` are the results after finalize()."""

    def __init__(self, nq: int, k: int, keep_max: bool = False) -> None:
        self.nq, self.k, self.keep_max = nq, k, keep_max
        limit = np.finfo("float32").max
        self.D = np.full((nq, k), -limit if keep_max else limit, dtype="float32")
        self.I = np.full((nq, k), -1, dtype="int64")

    def add_result(self, D: np.ndarray, I: np.ndarray) -> None:  # noqa: E741
        """Results for all queries, shape (nq, any number)."""
        assert D.shape == I.shape, f"distances have shape {D.shape}, ids {I.shape}"
        assert D.shape[0] == self.nq, f"results of {D.shape[0]} queries, {self.nq} are wanted"
        D, I = np.concatenate([self.D, D], axis=1), np.concatenate([self.I, I], axis=1)  # noqa: E741
        self.D, self.I = self._merged(D, I)

    def add_result_subset(self, subset: np.ndarray, D: np.ndarray, I: np.ndarray) -> None:  # noqa: E741
        """Results for the queries whose numbers are in `subset`."""
        assert D.shape == I.shape, f"distances have shape {D.shape}, ids {I.shape}"
        assert len(subset) == len(D), f"results of {len(D)} queries, {len(subset)} are wanted"
        D, I = np.concatenate([self.D[subset], D], axis=1), np.concatenate([self.I[subset], I], axis=1)  # noqa: E741
        self.D[subset], self.I[subset] = self._merged(D, I)

    def _merged(self, D: np.ndarray, I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: E741
        D, I = _merge(D.astype("float32"), I.astype("int64"), self.k, self.keep_max)  # noqa: E741
        sign = -1.0 if self.keep_max else 1.0
        order = _order(np.where(I < 0, np.inf, sign * D), I, sign)
        return np.take_along_axis(D, order, axis=1), np.take_along_axis(I, order, axis=1)

    def finalize(self) -> None:
        """Sorts the results, best first; here they always are."""


# Threads, versions, time.


def omp_set_num_threads(num_threads: int) -> None:
    """Sets the number of threads that calls use from now on."""
    _faiss.omp_set_num_threads(num_threads)


def omp_get_max_threads() -> int:
    """Number of threads that a call may use."""
    return _faiss.omp_get_max_threads()


def show_progress(on: bool = True) -> None:
    """Shows a progress bar for training and adding on the standard error, where that is a terminal; off when the package is imported."""
    _faiss.show_progress(on)


def check_openmp() -> bool:
    """True: threads work here."""
    return True


def get_compile_options() -> str:
    """What this build and machine use, as in 'OPTIMIZE DD GPU AVX2 AVX512'; DD says that the instruction set is chosen at run time."""
    # The GPU part is the same in every build; its kernels come with the wheels for GPUs.
    gpu = ("GPU",) if Path(faiss.__file__).with_name("kernels").is_dir() else ()
    return " ".join(("OPTIMIZE", "DD", *gpu, *instruction_sets()))


def get_version() -> str:
    """The Faiss release whose API, formats and results this package matches."""
    return faiss.__version__


def swig_version() -> int:
    """A version of SWIG that makes the same API as is here; SWIG itself is not used."""
    return 0x040500


class TimeoutGuard:
    """Ends work inside a `with` block that takes longer than this many seconds with a RuntimeError."""

    def __init__(self, timeout_in_seconds: float) -> None:
        self.timeout = timeout_in_seconds

    def __enter__(self) -> "TimeoutGuard":  # noqa: PYI034 (typing.Self is newer than CPython 3.10)
        _faiss.set_timeout(self.timeout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _faiss.set_timeout(None)
