"""Functions on inverted files wherever they are inside an index: behind transforms and id maps."""

import time
from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements
from faiss.files import extract_index_ivf
from faiss.index_methods import native_index

__all__ = [
    "check_compatible_for_merge",
    "get_invlist_range",
    "ivf_residual_add_from_flat_codes",
    "ivf_residual_from_quantizer",
    "merge_into",
    "range_search_with_parameters",
    "range_search_with_parameters_c",
    "search_and_return_centroids",
    "search_centroid",
    "search_with_parameters",
    "search_with_parameters_c",
    "set_invlist_range",
]


def check_compatible_for_merge(index1: Any, index2: Any) -> None:
    """RuntimeError unless both indexes are of the same type and trained in the same way."""
    _faiss.check_compatible_for_merge(native_index(index1), native_index(index2))


def merge_into(index0: Any, index1: Any, shift_ids: bool) -> None:
    """Moves the vectors of index1 to index0; both are inverted files, behind the same transforms perhaps.

    shift_ids: whether ntotal of index0 is added to the ids of index1.
    """
    check_compatible_for_merge(index0, index1)
    to, source = extract_index_ivf(index0), extract_index_ivf(index1)
    to.merge_from(source, to.ntotal if shift_ids else 0)
    index0.ntotal, index1.ntotal = to.ntotal, source.ntotal


def ivf_residual_from_quantizer(rq: Any, nlevel: int) -> Any:
    """An IndexIVFResidualQuantizer whose lists are the codes of the first nlevel codebooks of a trained quantizer, and whose codes are those of
    the others."""
    if not 0 < nlevel < rq.M - 1:
        raise RuntimeError("Error: 'nlevel > 0 && nlevel + 1 < rq.M' failed")
    nbits = faiss.vector_to_array(rq.nbits).astype("int64")
    first, coarse = (faiss.ResidualCoarseQuantizer(rq.d, nbits[:nlevel]) for _ in range(2))
    first.rq.initialize_from(rq)
    coarse.initialize_from(first)
    coarse.set_beam_factor(-1)
    index = faiss.IndexIVFResidualQuantizer(
        coarse, rq.d, coarse.ntotal, nbits[nlevel:], faiss.METRIC_L2, rq.search_type
    )
    index.rq.initialize_from(rq, nlevel)
    for part in (coarse.rq, index.rq):
        part.norm_min, part.norm_max = rq.norm_min, rq.norm_max
    index.is_trained, index.quantizer_trains_alone = True, 1
    return index


def ivf_residual_add_from_flat_codes(ivfrq: Any, ncode: int, codes: Any, code_size: int = -1) -> None:
    """Adds codes of the quantizer that ivf_residual_from_quantizer was given to what it made. Norms that stand behind codes of code_size bytes
    are not looked at."""
    coarse = faiss.vector_to_array(ivfrq.quantizer.rq.nbits).astype("int64")
    nbits = np.concatenate([coarse, faiss.vector_to_array(ivfrq.rq.nbits).astype("int64")])
    size = code_size if code_size >= 0 else (int(nbits.sum()) + ivfrq.rq.norm_bits + 7) // 8
    if 8 * size < nbits.sum():
        raise RuntimeError("Error: 'code_size * 8 >= rq.tot_bits' failed")
    given = elements(codes, ncode * size, "uint8").reshape(ncode, size)
    bits = np.unpackbits(given, axis=1, bitorder="little").astype("int64")
    ends = np.cumsum(nbits)
    numbers = [bits[:, end - own : end] @ (1 << np.arange(own)) for own, end in zip(nbits, ends, strict=True)]
    lists = sum(number << (end - own) for number, own, end in zip(numbers, coarse, ends, strict=False))
    own = ivfrq.rq.this.call("pack_codes", np.stack(numbers[len(coarse) :], 1).astype("int32"), None)
    heads = np.ascontiguousarray(lists, "<i8").view("uint8").reshape(ncode, 8)[:, : ivfrq.coarse_code_size()]
    ivfrq.add_sa_codes(np.ascontiguousarray(np.concatenate([heads, own], axis=1)))


def _split(index: Any, x: np.ndarray) -> tuple[Any, np.ndarray]:
    """The inverted file in an index, and the vectors as it gets them."""
    ivf = extract_index_ivf(index)
    while isinstance(index, faiss.IndexPreTransform):
        for transform in index.chain:
            x = transform.apply(x)
        index = index.index
    return ivf, np.ascontiguousarray(x, dtype="float32")


def _pointed(index: Any, n: int, x: Any) -> np.ndarray:
    return elements(x, n * index.d, "float32").reshape(n, index.d)


def search_centroid(index: Any, x: Any, n: int, centroid_ids: Any) -> None:
    """The list that each of n vectors belongs to; x and centroid_ids are pointers."""
    ivf, rows = _split(index, _pointed(index, n, x))
    elements(centroid_ids, n, "int64")[...] = ivf.quantizer.assign(rows, 1).ravel()


def search_and_return_centroids(
    index: Any,
    n: int,
    xin: Any,
    k: int,
    distances: Any,
    labels: Any,
    query_centroid_ids: Any,
    result_centroid_ids: Any,
) -> None:
    """As search_c, with the list nearest to each query (n) and the list of each result (n * k); None for what is not wanted."""
    ivf, x = _split(index, _pointed(index, n, xin))
    Dq, Iq = ivf.quantizer.search(x, ivf.nprobe)
    D, pairs = ivf.this.call("search_preassigned", x, k, Iq, Dq, None, True)
    lists, offsets = np.where(pairs < 0, -1, pairs >> 32), pairs & 0xFFFFFFFF
    found = np.full(pairs.shape, -1, "int64")
    for number in np.unique(lists[lists >= 0]).tolist():
        here = lists == number
        found[here] = _faiss.list_view(ivf.invlists.this, number, True)[offsets[here]]
    elements(distances, n * k, "float32")[...] = D.ravel()
    elements(labels, n * k, "int64")[...] = found.ravel()
    if query_centroid_ids is not None:
        elements(query_centroid_ids, n, "int64")[...] = Iq[:, 0]
    if result_centroid_ids is not None:
        elements(result_centroid_ids, n * k, "int64")[...] = lists.ravel()


def get_invlist_range(index: Any, i0: int, i1: int) -> Any:
    """A copy of the lists i0 to before i1."""
    invlists = extract_index_ivf(index).invlists
    if not 0 <= i0 <= i1 <= invlists.nlist:
        raise RuntimeError(f"Error: '0 <= i0 && i0 <= i1 && i1 <= nlist' failed: there are {invlists.nlist} lists")
    made = faiss.ArrayInvertedLists(i1 - i0, invlists.code_size)
    for i in range(i0, i1):
        made.add_entries(i - i0, invlists.list_size(i), invlists.get_ids(i), invlists.get_codes(i))
    return made


def set_invlist_range(index: Any, i0: int, i1: int, src: Any) -> None:
    """Replaces the lists i0 to before i1 by copies of others."""
    ivf = extract_index_ivf(index)
    invlists = ivf.invlists
    if not 0 <= i0 <= i1 <= invlists.nlist:
        raise RuntimeError(f"Error: '0 <= i0 && i0 <= i1 && i1 <= nlist' failed: there are {invlists.nlist} lists")
    if src.nlist != i1 - i0 or src.code_size != invlists.code_size:
        raise RuntimeError("Error: 'src->nlist == i1 - i0 && src->code_size == ivf->invlists->code_size' failed")
    for i in range(i0, i1):
        invlists.resize(i, 0)
        invlists.add_entries(i, src.list_size(i - i0), src.get_ids(i - i0), src.get_codes(i - i0))
    ivf.ntotal = invlists.compute_ntotal()
    index.ntotal = ivf.ntotal


def _probed(index: Any, x: np.ndarray, params: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, float]]:
    """The inverted file, its queries, their lists and the distances of these; and what that took, in milliseconds."""
    started = time.perf_counter()
    _, d = x.shape
    if d != index.d:
        raise AssertionError(f"the vectors have {d} dimensions, the index {index.d}")
    ivf, rows = _split(index, x)
    transformed = time.perf_counter()
    nprobe, within = (ivf.nprobe, None) if params is None else (params.nprobe, params.quantizer_params)
    Dq, Iq = ivf.quantizer.search(rows, nprobe, params=within)
    stats = {
        "pre_transform_ms": (transformed - started) * 1e3,
        "coarse_quantizer_ms": (time.perf_counter() - transformed) * 1e3,
    }
    return ivf, rows, Iq, Dq, stats


def _scan(ivf: Any, work: Any, stats: dict[str, float]) -> Any:
    """Runs the scan of the lists, and notes its distances and its time."""
    before, started = faiss.cvar.indexIVF_stats.ndis, time.perf_counter()
    found = work()
    stats["invlist_scan_ms"] = (time.perf_counter() - started) * 1e3
    stats["ndis"] = faiss.cvar.indexIVF_stats.ndis - before
    return found


def search_with_parameters(index: Any, x: np.ndarray, k: int, params: Any = None, output_stats: bool = False) -> Any:
    """As the index's search, for an inverted file behind transforms too, with SearchParametersIVF.

    Returns distances and ids; with output_stats also a dict: ndis, pre_transform_ms, coarse_quantizer_ms, invlist_scan_ms.
    """
    assert k > 0, "k must be positive"
    ivf, rows, Iq, Dq, stats = _probed(index, x, params)
    D, labels = _scan(ivf, lambda: ivf.search_preassigned(rows, k, Iq, Dq, params=params), stats)
    return (D, labels, stats) if output_stats else (D, labels)


def range_search_with_parameters(
    index: Any, x: np.ndarray, radius: float, params: Any = None, output_stats: bool = False
) -> Any:
    """As the index's range_search, for an inverted file behind transforms too; otherwise as search_with_parameters."""
    ivf, rows, Iq, Dq, stats = _probed(index, x, params)
    found = _scan(ivf, lambda: ivf.range_search_preassigned(rows, radius, Iq, Dq, params=params), stats)
    return (*found, stats) if output_stats else found


def _tell(stats: dict[str, float], nb_dis: Any, ms_per_stage: Any) -> None:
    """Writes what a search took to where pointers lead; None for what is not wanted."""
    if nb_dis is not None:
        elements(nb_dis, 1, "uint64")[0] = stats["ndis"]
    if ms_per_stage is not None:
        stages = [stats[f"{stage}_ms"] for stage in ("pre_transform", "coarse_quantizer", "invlist_scan")]
        elements(ms_per_stage, 3, "float64")[...] = stages


def search_with_parameters_c(
    index: Any,
    n: int,
    x: Any,
    k: int,
    distances: Any,
    labels: Any,
    params: Any,
    nb_dis: Any = None,
    ms_per_stage: Any = None,
) -> None:
    """As search_with_parameters, with pointers: the number of distances (uint64) and the milliseconds of the three stages are written too."""
    D, found, stats = search_with_parameters(index, _pointed(index, n, x), k, params, True)
    elements(distances, n * k, "float32")[...] = D.ravel()
    elements(labels, n * k, "int64")[...] = found.ravel()
    _tell(stats, nb_dis, ms_per_stage)


def range_search_with_parameters_c(
    index: Any, n: int, x: Any, radius: float, result: Any, params: Any, nb_dis: Any = None, ms_per_stage: Any = None
) -> None:
    """As range_search_with_parameters, into a RangeSearchResult; otherwise as search_with_parameters_c."""
    *found, stats = range_search_with_parameters(index, _pointed(index, n, x), radius, params, True)
    result.fill(tuple(found))
    _tell(stats, nb_dis, ms_per_stage)
