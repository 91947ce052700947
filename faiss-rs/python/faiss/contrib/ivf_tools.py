"""Inverted files with lists that the caller chose, and changes of their quantizer and lists."""

from typing import Any

import numpy as np

import faiss
from faiss.contrib.inspect_tools import get_invlist_sizes

__all__ = [
    "add_preassigned",
    "get_invlist_sizes",
    "permute_invlists",
    "range_search_preassigned",
    "replace_ivf_quantizer",
    "search_preassigned",
    "sort_invlists_by_size",
]


def _inside(index: Any, x: np.ndarray) -> tuple[Any, np.ndarray]:
    """The inverted file in an index, and the vectors as it gets them."""
    _, d = x.shape
    assert d == index.d, f"the vectors have {d} dimensions, the index {index.d}"
    while isinstance(index, faiss.IndexPreTransform):
        for transform in index.chain:
            x = transform.apply(x)
        index = index.index
    return index, np.ascontiguousarray(x, dtype="float32")


def add_preassigned(index_ivf: Any, x: np.ndarray, a: np.ndarray, ids: np.ndarray | None = None) -> None:
    """Adds vectors, shape (n, d), to the lists `a`, shape (n,), with ids or counted up."""
    n, _ = x.shape
    assert a.shape == (n,), "not same number of vectors as lists"
    inside, rows = _inside(index_ivf, x)
    if ids is not None:
        assert ids.shape == (n,), "not same number of vectors as ids"
        ids = np.ascontiguousarray(ids, dtype="int64")
    inside.add_core(n, rows, ids, np.ascontiguousarray(a, dtype="int64"))
    index_ivf.ntotal = inside.ntotal


def _given(inside: Any, n: int, list_nos: np.ndarray, coarse_dis: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    list_nos = np.ascontiguousarray(list_nos, dtype="int64")
    if list_nos.ndim == 1:
        list_nos = list_nos.reshape(-1, 1)
    assert list_nos.shape == (n, inside.nprobe), (
        f"the lists have shape {list_nos.shape}, {(n, inside.nprobe)} is wanted"
    )
    if coarse_dis is None:
        coarse_dis = np.zeros(list_nos.shape, "float32")
    return list_nos, np.ascontiguousarray(coarse_dis, dtype="float32").reshape(list_nos.shape)


def search_preassigned(
    index_ivf: Any, xq: np.ndarray, k: int, list_nos: np.ndarray, coarse_dis: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A search in the lists `list_nos`, shape (nq, nprobe), for an inverted file behind transforms too.

    coarse_dis: the distances to the lists' centroids, which inverted files of residuals may need.
    """
    inside, rows = _inside(index_ivf, xq)
    lists, distances = _given(inside, len(rows), list_nos, coarse_dis)
    D, labels = inside.search_preassigned(rows, k, lists, distances)
    return D, labels


def range_search_preassigned(
    index_ivf: Any, x: np.ndarray, radius: float, list_nos: np.ndarray, coarse_dis: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A range search in the lists `list_nos`; otherwise as search_preassigned. Returns lims, distances and ids."""
    inside, rows = _inside(index_ivf, x)
    lists, distances = _given(inside, len(rows), list_nos, coarse_dis)
    lims, D, labels = inside.range_search_preassigned(rows, radius, lists, distances)
    return lims, D, labels


def replace_ivf_quantizer(index_ivf: Any, new_quantizer: Any) -> Any:
    """Gives the inverted file another quantizer, which gets the old one's centroids if it is empty. Returns the old one."""
    old = index_ivf.quantizer
    if new_quantizer.ntotal == 0:
        centroids = old.reconstruct_n(0, old.ntotal)
        new_quantizer.train(centroids)
        new_quantizer.add(centroids)
    assert new_quantizer.ntotal == index_ivf.nlist, (
        f"the quantizer has {new_quantizer.ntotal} centroids, {index_ivf.nlist} are wanted"
    )
    index_ivf.quantizer = new_quantizer
    return old


def permute_invlists(index_ivf: Any, perm: np.ndarray) -> None:
    """Gives the lists other numbers, and the quantizer's centroids with them: list i is then the one that was perm[i]."""
    (nlist,) = perm.shape
    assert nlist == index_ivf.nlist, f"a permutation of {index_ivf.nlist} lists is wanted, not of {nlist}"
    perm = np.ascontiguousarray(perm, dtype="int64")
    index_ivf.quantizer.permute_entries(perm)
    index_ivf.invlists.permute_invlists(perm)


def sort_invlists_by_size(index_ivf: Any) -> None:
    """Numbers the lists by size, the smallest first."""
    permute_invlists(index_ivf, np.argsort(get_invlist_sizes(index_ivf.invlists), kind="stable"))
