"""Functions on inverted files wherever they are inside an index: behind transforms and id maps."""

from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import contiguous, elements
from faiss.index_methods import native_index

__all__ = [
    "check_compatible_for_merge",
    "range_search_with_parameters",
    "range_search_with_parameters_c",
    "search_with_parameters",
    "search_with_parameters_c",
]


def check_compatible_for_merge(index1: Any, index2: Any) -> None:
    """RuntimeError unless both indexes are of the same type and trained in the same way."""
    _faiss.check_compatible_for_merge(native_index(index1), native_index(index2))


def _pointed(index: Any, n: int, x: Any) -> np.ndarray:
    return elements(x, n * index.d, "float32").reshape(n, index.d)


def _checked(index: Any, x: np.ndarray) -> tuple[int, int]:
    n, d = x.shape
    if d != index.d:
        raise AssertionError(f"the vectors have {d} dimensions, the index {index.d}")
    return d, n


def _named(took: np.ndarray) -> dict[str, float]:
    """What a search took, by Faiss's names."""
    transforms, coarse, scan, ndis = took.tolist()
    return {
        "pre_transform_ms": transforms,
        "coarse_quantizer_ms": coarse,
        "invlist_scan_ms": scan,
        "ndis": int(ndis),
    }


def search_with_parameters(index: Any, x: np.ndarray, k: int, params: Any = None, output_stats: bool = False) -> Any:
    """As the index's search, for an inverted file behind transforms too, with SearchParametersIVF.

    Returns distances and ids; with output_stats also a dict: ndis, pre_transform_ms, coarse_quantizer_ms, invlist_scan_ms.
    """
    assert k > 0, "k must be positive"
    d, n = _checked(index, x)
    D, labels, took = _faiss.call_function("_search_with_parameters", index, d, n, contiguous(x, "float32"), k, params)
    return (D, labels, _named(took)) if output_stats else (D, labels)


def range_search_with_parameters(
    index: Any, x: np.ndarray, radius: float, params: Any = None, output_stats: bool = False
) -> Any:
    """As the index's range_search, for an inverted file behind transforms too; otherwise as search_with_parameters."""
    d, n = _checked(index, x)
    x = contiguous(x, "float32")
    found, took = _faiss.call_function("_range_search_with_parameters", index, d, n, x, radius, params)
    return (*found, _named(took)) if output_stats else found


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
