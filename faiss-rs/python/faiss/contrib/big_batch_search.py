"""Searches of very many queries in an inverted file, list by list: each list is decoded once and compared with all queries that visit it.

An IndexIVF on the CPU goes through its lists so by itself; this way is for lists on disk, for distances that another library computes (a GPU's,
say), and for runs of hours that must survive a stop.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import faiss
from faiss.contrib.inspect_tools import get_invlist

__all__ = ["BigBatchSearcher", "BlockComputer", "big_batch_search"]

METHODS = ("index", "pairwise_distances", "knn_function")


class BlockComputer:
    """Compares queries with the entries of one list.

    method: "knn_function" and "pairwise_distances" call that function on decoded vectors; "index" searches the codes. The functions are
    faiss.knn and faiss.pairwise_distances, or others that take the same arguments.
    """

    def __init__(
        self,
        index: Any,
        method: str = "knn_function",
        pairwise_distances: Callable[..., Any] = faiss.pairwise_distances,
        knn: Callable[..., Any] = faiss.knn,
    ) -> None:
        assert method in METHODS, f"method {method!r}: one of {', '.join(METHODS)} is wanted"
        self.index = index
        self.method = method
        self.pairwise_distances = pairwise_distances
        self.knn = knn
        self.index_help: Any = _codes_index(index) if method == "index" else None
        # Codes of residuals lack the list's centroid, which the queries lose too (L2) or the products get (inner product); everywhere else
        # it is added to what is decoded.
        self.by_residual = method == "index" and bool(getattr(index, "by_residual", False))

    def decode(self, list_no: int, codes: np.ndarray) -> np.ndarray:
        """What block_search takes of a list's codes, shape (n, code_size): for "index" the codes, else vectors, shape (n, d)."""
        if self.method == "index":
            return codes
        vectors = np.empty((len(codes), self.index.d), "float32")
        keys = np.full(len(codes), list_no, "int64")
        self.index.decode_vectors(len(codes), faiss.swig_ptr(codes), faiss.swig_ptr(keys), faiss.swig_ptr(vectors))
        return vectors

    def block_search(
        self, xq_l: np.ndarray, xb_l: np.ndarray, list_ids: np.ndarray, k: int, **extra_args: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of a list's entries for each query: distances and ids, shape (len(xq_l), at most k)."""
        metric = self.index.metric_type
        if self.method == "index":
            faiss.copy_array_to_vector(np.ascontiguousarray(xb_l).ravel(), self.index_help.codes)
            self.index_help.ntotal = len(list_ids)
            D, at = self.index_help.search(xq_l, min(k, len(list_ids)))
        elif self.method == "pairwise_distances":
            D = np.asarray(self.pairwise_distances(xq_l, xb_l, metric=metric, **extra_args))
            at = np.broadcast_to(np.arange(len(list_ids)), D.shape)
        else:
            D, at = self.knn(xq_l, xb_l, min(k, len(list_ids)), metric=metric, **extra_args)
            D, at = np.asarray(D), np.asarray(at)
        return D, np.where(at < 0, -1, list_ids[np.maximum(at, 0)])


def _codes_index(index: Any) -> Any:
    """An empty index over the codes of an inverted file's lists."""
    if isinstance(index, faiss.IndexIVFFlat):
        return faiss.IndexFlat(index.d, index.metric_type)
    if isinstance(index, faiss.IndexIVFPQ):
        flat: Any = faiss.IndexPQ(index.d, index.pq.M, index.pq.nbits, index.metric_type)
        flat.pq = index.pq
    elif isinstance(index, faiss.IndexIVFScalarQuantizer):
        flat = faiss.IndexScalarQuantizer(index.d, index.sq.qtype, index.metric_type)
        flat.sq = index.sq
    else:
        raise NotImplementedError(f"method 'index' is not implemented for {type(index).__name__}; take 'knn_function'")
    flat.is_trained = True
    return flat


class BigBatchSearcher:
    """The state of a search: the queries, which of them visit which list, the results so far, and the time that each part took."""

    def __init__(self, index: Any, xq: np.ndarray, k: int, verbose: int = 0, use_float16: bool = False) -> None:
        self.index, self.k, self.verbose = index, k, verbose
        self.xq = np.ascontiguousarray(xq, dtype="float16" if use_float16 else "float32")
        assert self.xq.shape == (len(self.xq), index.d), (
            f"the queries have shape {self.xq.shape}, (n, {index.d}) is wanted"
        )
        self.rh = faiss.ResultHeap(len(self.xq), k, keep_max=faiss.is_similarity_metric(index.metric_type))
        self.q_assign: np.ndarray = np.empty((0, 0), "int64")
        self.t0 = time.monotonic()
        # Seconds of each part of the work.
        self.t_accu: dict[str, float] = {}
        self._started: list[tuple[str, float]] = []

    def tic(self, name: str) -> None:
        """Begins a part of the work."""
        self._started.append((name, time.monotonic()))

    def toc(self) -> float:
        """Ends the part that began last; returns its seconds."""
        name, start = self._started.pop()
        seconds = time.monotonic() - start
        self.t_accu[name] = self.t_accu.get(name, 0.0) + seconds
        if self.verbose > 1:
            print(f"{name}: {seconds:.3f} s")
        return seconds

    def report(self, l: int) -> None:  # noqa: E741
        """Prints how far the search is, after list l."""
        if self.verbose:
            seconds = time.monotonic() - self.t0
            left = seconds / (l + 1) * (self.index.nlist - l - 1)
            parts = " ".join(f"{name} {s:.3f}" for name, s in self.t_accu.items())
            print(
                f"[{seconds:.1f} s] list {l + 1}/{self.index.nlist}, {left:.0f} s left; {parts}", end="\r", flush=True
            )

    def coarse_quantization(self) -> None:
        """Finds the lists that each query visits: nprobe of them."""
        self.tic("coarse quantization")
        nprobe, block = min(self.index.nprobe, self.index.nlist), 65536
        self.q_assign = np.empty((len(self.xq), nprobe), "int64")
        for i in range(0, len(self.xq), block):
            rows = self.xq[i : i + block].astype("float32")
            self.q_assign[i : i + block] = self.index.quantizer.search(rows, nprobe)[1]
        self.toc()

    def reorder_assign(self) -> None:
        """Turns the lists of each query into the queries of each list."""
        self.tic("bucket sort")
        lists = self.q_assign.ravel()
        self._order = np.argsort(lists, kind="stable")
        counts = np.bincount(lists[lists >= 0], minlength=self.index.nlist)
        start = int((lists < 0).sum())
        self._lims = start + np.concatenate([[0], np.cumsum(counts)])
        self.toc()

    def prepare_bucket(self, l: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # noqa: E741
        """Of list l: the numbers of the queries that visit it, these queries, its ids and its codes."""
        q_subset = self._order[self._lims[l] : self._lims[l + 1]] // self.q_assign.shape[1]
        # The queries of a list are wanted first: the lists that none visits are not read.
        if not len(q_subset):
            return q_subset, np.empty((0, self.index.d), "float32"), np.empty(0, "int64"), np.empty((0, 0), "uint8")
        list_ids, codes = get_invlist(self.index.invlists, l)
        return q_subset, self.xq[q_subset].astype("float32"), list_ids, codes

    def add_results_to_heap(self, q_subset: np.ndarray, D: np.ndarray, list_ids: np.ndarray, I: np.ndarray) -> None:  # noqa: E741
        """Adds what block_search found in a list."""
        self.rh.add_result_subset(q_subset, D, I)

    def sizes_in_checkpoint(self) -> tuple[int, ...]:
        """What must be the same for a checkpoint to be taken up."""
        return (*self.xq.shape, self.k, self.index.nlist, self.index.ntotal, self.q_assign.shape[1])

    def write_checkpoint(self, fname: str | Path, completed: Iterable[int]) -> None:
        """Saves the results so far and the lists that they come from."""
        part = Path(f"{fname}.{os.getpid()}.part")
        with part.open("wb") as file:
            done = np.array(sorted(completed), "int64")
            np.savez(
                file, sizes=np.array(self.sizes_in_checkpoint(), "int64"), completed=done, D=self.rh.D, I=self.rh.I
            )
        part.replace(fname)

    def read_checkpoint(self, fname: str | Path) -> set[int]:
        """Takes up saved results; returns the lists that they come from."""
        with np.load(fname, allow_pickle=False) as saved:
            sizes = tuple(saved["sizes"].tolist())
            assert sizes == self.sizes_in_checkpoint(), (
                f"the checkpoint is of another search: {sizes}, not {self.sizes_in_checkpoint()}"
            )
            self.rh.D, self.rh.I = saved["D"], saved["I"]
            return set(saved["completed"].tolist())


def big_batch_search(
    index: Any,
    xq: np.ndarray,
    k: int,
    method: str = "knn_function",
    pairwise_distances: Callable[..., Any] = faiss.pairwise_distances,
    knn: Callable[..., Any] = faiss.knn,
    verbose: int = 0,
    threaded: int = 0,
    use_float16: bool = False,
    prefetch_threads: int = 1,
    computation_threads: int = 1,
    q_assign: np.ndarray | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_freq: float = 7200,
    start_list: int = 0,
    end_list: int | None = None,
    crash_at: int = -1,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest neighbours of many queries, shape (n, d), in an IndexIVF: distances and ids, shape (n, k).

    method, pairwise_distances, knn: how a list's entries are compared; see BlockComputer. threaded: 0 does one thing after another; more reads
    lists ahead in prefetch_threads and compares them in computation_threads, which pays where the functions leave Python's lock. use_float16:
    keeps the queries in half the memory. q_assign: the lists that each query visits, shape (n, any number), -1 for none. checkpoint: a file
    that the results are saved to every checkpoint_freq seconds, and taken up from if it is there. start_list, end_list: only these lists.
    crash_at: divides by zero at this list, to try a checkpoint.
    """
    searcher = BigBatchSearcher(index, xq, k, verbose, use_float16)
    computer = BlockComputer(index, method, pairwise_distances, knn)
    if q_assign is None:
        searcher.coarse_quantization()
    else:
        assert len(q_assign) == len(xq), f"lists for {len(q_assign)} queries, {len(xq)} are wanted"
        searcher.q_assign = np.ascontiguousarray(q_assign, dtype="int64")
        assert searcher.q_assign.max(initial=-1) < index.nlist, f"a list is not below {index.nlist}"
    searcher.reorder_assign()
    completed: set[int] = set()
    if checkpoint is not None and Path(checkpoint).exists():
        completed = searcher.read_checkpoint(checkpoint)
    wanted = [i for i in range(start_list, index.nlist if end_list is None else end_list) if i not in completed]

    def read(list_no: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        if list_no == crash_at:
            1 / 0  # noqa: B018
        q_subset, xq_l, list_ids, codes = searcher.prepare_bucket(list_no)
        if len(list_ids) and len(q_subset):
            if computer.by_residual and index.metric_type == faiss.METRIC_L2:
                xq_l = xq_l - index.quantizer.reconstruct(list_no)
            codes = computer.decode(list_no, codes)
        return list_no, q_subset, xq_l, list_ids, codes

    def compare(work: tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> tuple[Any, ...]:
        list_no, q_subset, xq_l, list_ids, xb_l = work
        if not len(list_ids) or not len(q_subset):
            return list_no, q_subset, None, None, list_ids
        D, ids = computer.block_search(xq_l, xb_l, list_ids, k)
        if computer.by_residual and index.metric_type == faiss.METRIC_INNER_PRODUCT:
            # The product with a residual lacks that with the centroid.
            rows = searcher.xq[q_subset].astype("float32")
            D = D + rows @ index.quantizer.reconstruct(list_no)[:, None]
        return list_no, q_subset, D, ids, list_ids

    last = time.monotonic()
    for list_no, q_subset, D, ids, list_ids in _results(
        wanted, read, compare, computer, threaded, prefetch_threads, computation_threads
    ):
        if D is not None:
            searcher.add_results_to_heap(q_subset, D, list_ids, ids)
        completed.add(list_no)
        searcher.report(list_no)
        if checkpoint is not None and time.monotonic() - last >= checkpoint_freq:
            searcher.write_checkpoint(checkpoint, completed)
            last = time.monotonic()
    if verbose:
        print()
    searcher.rh.finalize()
    return searcher.rh.D, searcher.rh.I


def _results(
    lists: list[int],
    read: Callable[[int], Any],
    compare: Callable[[Any], Any],
    computer: BlockComputer,
    threaded: int,
    prefetch_threads: int,
    computation_threads: int,
) -> Iterator[Any]:
    """What compare gives for each list, in their order; with threads, a few lists are under way at a time."""
    if not threaded:
        yield from (compare(read(i)) for i in lists)
        return
    # The index of method "index" holds one list at a time.
    computation_threads = 1 if computer.method == "index" else max(computation_threads, 1)
    prefetch_threads = max(prefetch_threads, 1)
    with ThreadPoolExecutor(prefetch_threads) as readers, ThreadPoolExecutor(computation_threads) as computers:
        under_way: deque[Future[Any]] = deque()

        def begin(list_no: int) -> None:
            got = readers.submit(read, list_no)
            under_way.append(computers.submit(lambda: compare(got.result())))

        ahead = prefetch_threads + computation_threads
        try:
            for list_no in lists:
                begin(list_no)
                if len(under_way) > ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
