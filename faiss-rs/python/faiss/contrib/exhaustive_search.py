"""Exact search over databases that need not fit into memory."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import faiss
from faiss import knn

__all__ = [
    "apply_maxres",
    "exponential_query_iterator",
    "knn",
    "knn_ground_truth",
    "range_ground_truth",
    "range_search_gpu",
    "range_search_max_results",
    "threshold_radius",
    "threshold_radius_nres",
]

LOG = logging.getLogger(__name__)


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
        LOG.info("%d vectors compared", start)
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
        LOG.info("%d vectors compared", start)
    counts = [sum(map(len, found)) for found in labels]
    flat_d = [a for found in distances for a in found] or [np.empty(0, "float32")]
    flat_i = [a for found in labels for a in found] or [np.empty(0, "int64")]
    return np.concatenate([[0], np.cumsum(counts)]).astype("uint64"), np.concatenate(flat_d), np.concatenate(flat_i)


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


def exponential_query_iterator(xq: np.ndarray, start_bs: int = 32, max_bs: int = 20000) -> Iterator[np.ndarray]:
    """The queries in batches that double in size from start_bs until they reach max_bs, so that a radius can be adjusted before many results
    come."""
    at, size = 0, start_bs
    while at < len(xq):
        yield xq[at : at + size]
        at += size
        if size < max_bs:
            size *= 2


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def apply_maxres(res_batches: list[Batch], target_nres: int, keep_max: bool = False) -> tuple[float, int]:
    """Restricts batches of results (nres, distances, ids), in place, to the best target_nres of all; returns the radius and their number."""
    distances = np.concatenate([dis for _, dis, _ in res_batches])
    assert target_nres < len(distances), f"there are only {len(distances)} results, not more than {target_nres}"
    if keep_max:
        radius = float(np.partition(distances, len(distances) - target_nres - 1)[len(distances) - target_nres - 1])
    else:
        radius = float(np.partition(distances, target_nres)[target_nres])
    for i, (nres, dis, ids) in enumerate(res_batches):
        res_batches[i] = threshold_radius_nres(nres, dis, ids, radius, keep_max)
    return radius, sum(len(dis) for _, dis, _ in res_batches)


def range_search_max_results(
    index: "faiss.Index",
    query_iterator: Iterable[np.ndarray],
    radius: float,
    max_results: int | None = None,
    min_results: int | None = None,
    shard: bool = False,
    ngpu: int = 0,
    clip_to_min: bool = False,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """A range search of many queries whose radius shrinks so that there are at most max_results in all.

    min_results: to how many the results are cut when there are too many; 0.8 * max_results if it is not given. clip_to_min: cut to
    min_results in the end. ngpu and shard are accepted: the CPU does the work. Returns the radius, lims, distances and ids.
    """
    assert max_results is not None, "max_results is wanted"
    if min_results is None:
        min_results = int(0.8 * max_results)
    keep_max = faiss.is_similarity_metric(index.metric_type)
    batches: list[Batch] = []
    total = 0
    for xq in query_iterator:
        lims, dis, ids = index.range_search(xq, radius)
        batches.append((np.diff(lims.astype("int64")), dis, ids))
        total += len(dis)
        if total > max_results:
            radius, total = apply_maxres(batches, min_results, keep_max)
    if clip_to_min and total > min_results:
        radius, total = apply_maxres(batches, min_results, keep_max)
    nres, all_dis, all_ids = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return radius, np.concatenate([[0], np.cumsum(nres)]).astype("uint64"), all_dis, all_ids


def range_search_gpu(
    xq: np.ndarray, r2: float, index_gpu: "faiss.Index", index_cpu: Any, gpu_k: int = 1024
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A range search by the gpu_k nearest neighbours that a GPU index finds; queries with more within the radius go to the CPU.

    index_cpu: an index, or the database as an array, or None: then at most gpu_k results of a query are returned. Returns lims,
    distances and ids.
    """
    nq, d = xq.shape
    keep_max = faiss.is_similarity_metric(index_gpu.metric_type)
    k = min(index_gpu.ntotal, gpu_k)
    D, labels = index_gpu.search(xq, k)
    within = ((r2 < D) if keep_max else (r2 > D)) & (labels >= 0)
    parts = [(D[i, within[i]], labels[i, within[i]]) for i in range(nq)]
    full = np.flatnonzero(within.all(axis=1) & (k < index_gpu.ntotal) & (index_cpu is not None))
    if len(full):
        if isinstance(index_cpu, np.ndarray):
            flat = faiss.IndexFlat(d, index_gpu.metric_type)
            flat.add(index_cpu)
            index_cpu = flat
        lims, dis, ids = index_cpu.range_search(np.ascontiguousarray(xq[full]), r2)
        for j, i in enumerate(full):
            a, b = int(lims[j]), int(lims[j + 1])
            parts[i] = (dis[a:b], ids[a:b])
    ends = np.concatenate([[0], np.cumsum([len(dis) for dis, _ in parts])])
    empty = np.empty(0, "float32"), np.empty(0, "int64")
    dis, ids = (np.concatenate([e, *p]) for e, p in zip(empty, zip(*parts, strict=True), strict=True))
    return ends.astype("uint64"), dis, ids
