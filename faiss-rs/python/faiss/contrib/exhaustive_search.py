"""Exact search over databases that need not fit into memory."""

from collections.abc import Iterable

import numpy as np

import faiss

__all__ = ["knn_ground_truth", "range_ground_truth", "threshold_radius", "threshold_radius_nres"]


def knn_ground_truth(
    xq: np.ndarray,
    db_iterator: Iterable[np.ndarray],
    k: int,
    metric_type: int = faiss.METRIC_L2,
    shard: bool = False,
    ngpu: int = -1,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest neighbours in a database that comes in blocks.

    ngpu: how many GPUs to use; -1 for all, 0 for none. shard: split a block over the GPUs rather than copy it to each.
    """
    index: faiss.Index = faiss.IndexFlat(xq.shape[1], metric_type)
    if ngpu == -1:
        ngpu = faiss.get_num_gpus()
    if ngpu:
        options = faiss.GpuMultipleClonerOptions()
        options.shard = shard
        index = faiss.index_cpu_to_all_gpus(index, co=options, ngpu=ngpu)
    heap = faiss.ResultHeap(len(xq), k, keep_max=faiss.is_similarity_metric(metric_type))
    start = 0
    for block in db_iterator:
        index.add(block)
        D, labels = index.search(xq, k)
        heap.add_result(D, np.where(labels < 0, labels, labels + start))
        index.reset()
        start += len(block)
    heap.finalize()
    return heap.D, heap.I


def range_ground_truth(
    xq: np.ndarray,
    db_iterator: Iterable[np.ndarray],
    threshold: float,
    metric_type: int = faiss.METRIC_L2,
    shard: bool = False,
    ngpu: int = -1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All vectors within a radius in a database that comes in blocks; on the CPU, whatever ngpu is. Returns lims, distances and ids."""
    nq, d = xq.shape
    index = faiss.IndexFlat(d, metric_type)
    distances: list[list[np.ndarray]] = [[] for _ in range(nq)]
    labels: list[list[np.ndarray]] = [[] for _ in range(nq)]
    start = 0
    for block in db_iterator:
        index.add(block)
        lims, D, ids = index.range_search(xq, threshold)
        for i, (a, b) in enumerate(zip(lims[:-1].tolist(), lims[1:].tolist(), strict=True)):
            distances[i].append(D[a:b])
            labels[i].append(ids[a:b] + start)
        index.reset()
        start += len(block)
    counts = [sum(map(len, found)) for found in labels]
    flat_d = [a for found in distances for a in found] or [np.empty(0, "float32")]
    flat_i = [a for found in labels for a in found] or [np.empty(0, "int64")]
    return np.concatenate([[0], np.cumsum(counts)]).astype("int64"), np.concatenate(flat_d), np.concatenate(flat_i)


def threshold_radius_nres(
    nres: np.ndarray, dis: np.ndarray, ids: np.ndarray, thresh: float, keep_max: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Restricts results, nres[i] of query i, to those within a smaller radius."""
    mask = dis > thresh if keep_max else dis < thresh
    before = np.concatenate([[0], np.cumsum(mask)])
    ends = np.cumsum(nres)
    kept = before[ends] - before[ends - nres]
    return kept.astype(nres.dtype), dis[mask], ids[mask]


def threshold_radius(
    lims: np.ndarray, dis: np.ndarray, ids: np.ndarray, thresh: float, keep_max: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Restricts the results of a range search to those within a smaller radius."""
    counts, dis, ids = threshold_radius_nres(np.diff(lims.astype("int64")), dis, ids, thresh, keep_max)
    return np.concatenate([[0], np.cumsum(counts)]).astype(lims.dtype), dis, ids
