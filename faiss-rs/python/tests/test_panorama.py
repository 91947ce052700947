"""Vectors cut into levels: found as by comparing whole vectors, stored and written as faiss-cpu does."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest

Oracle = Callable[..., dict[str, np.ndarray]]
METRICS = [(faiss.METRIC_L2, "FlatL2Panorama"), (faiss.METRIC_INNER_PRODUCT, "FlatIPPanorama")]


def decaying(n: int, d: int, seed: int) -> np.ndarray:
    """Vectors whose first coordinates hold most of the variance."""
    x = np.random.default_rng(seed).standard_normal((n, d)) * np.exp(-np.arange(d) / 6)
    return x.astype("float32")


def same_results(mine: Any, exact: Any) -> None:
    np.testing.assert_allclose(mine[0], exact[0], rtol=1e-4, atol=1e-5)
    # Ids of distances that differ by rounding alone may change places.
    assert (mine[1] == exact[1]).mean() > 0.99


@pytest.mark.parametrize(("metric", "name"), METRICS)
@pytest.mark.parametrize(("d", "levels", "batch"), [(1, 1, 1), (17, 5, 7), (64, 8, 128), (33, 33, 1024)])
def test_results_are_those_of_whole_vectors(metric: int, name: str, d: int, levels: int, batch: int) -> None:
    xb, xq = decaying(700, d, 1), decaying(11, d, 2)
    index = faiss.index_factory(d, f"{name}{levels}_{batch}", metric)
    exact = faiss.IndexFlat(d, metric)
    for part in (xb[:13], xb[13:400], xb[400:]):
        index.add(part)
        exact.add(part)
    for k in (1, 5, 1000):
        same_results(index.search(xq, k), exact.search(xq, k))
    params = faiss.SearchParameters(sel=faiss.IDSelectorRange(30, 90))
    same_results(index.search(xq, 9, params=params), exact.search(xq, 9, params=params))
    radius = float(np.median(exact.search(xq, 20)[0]))
    for mine, other in zip(index.range_search(xq, radius), exact.range_search(xq, radius), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(index.reconstruct_n(0, 700), xb)
    gone = np.array([0, 3, 500, 699])
    assert index.remove_ids(gone) == 4
    np.testing.assert_array_equal(index.reconstruct_n(0, 696), np.delete(xb, gone, axis=0))
    other = faiss.index_factory(d, f"{name}{levels}_{batch}", metric)
    other.add(xq)
    index.merge_from(other, 0)
    assert (index.ntotal, other.ntotal) == (707, 0)
    perm = np.random.default_rng(3).permutation(707)
    before = index.reconstruct_n(0, 707)
    index.permute_entries(perm)
    np.testing.assert_array_equal(index.reconstruct_n(0, 707), before[perm])
    index.reset()
    assert index.ntotal == 0
    assert (index.search(xq, 2)[1] == -1).all()


def test_most_levels_are_not_looked_at() -> None:
    stats = faiss.cvar.indexPanorama_stats
    index = faiss.IndexFlatL2Panorama(64, 8, 256)
    index.add(decaying(5000, 64, 1))
    stats.reset()
    assert (stats.total_dims, stats.ratio_dims_scanned) == (0, 1.0)
    index.search(decaying(10, 64, 2), 10)
    assert stats.total_dims == 10 * 5000 * 8
    assert stats.ratio_dims_scanned == pytest.approx(stats.total_dims_scanned / stats.total_dims)
    assert stats.ratio_dims_scanned < 0.5


def test_numbers_that_are_none() -> None:
    xb = decaying(50, 12, 1)
    xb[3], xb[7, 5], xb[9] = np.nan, np.inf, -np.inf
    index, exact = faiss.IndexFlatL2Panorama(12, 3, 8), faiss.IndexFlatL2(12)
    for each in (index, exact):
        each.add(xb)
    same_results(index.search(decaying(4, 12, 2), 47), exact.search(decaying(4, 12, 2), 47))
    assert (index.search(np.full((1, 12), np.nan, "float32"), 3)[1] == -1).all()


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ((16, 0), (16, 17), (16, 4, 0), (0, 1), (-1, 1)):
        with pytest.raises(RuntimeError):
            faiss.IndexFlatL2Panorama(*wrong)
    with pytest.raises(RuntimeError):
        faiss.IndexFlatPanorama(16, faiss.METRIC_L1, 4, 64)
    index = faiss.IndexFlatL2Panorama(16, 4, 8)
    index.add(decaying(9, 16, 1))
    index.cum_sums.resize(3)
    for call in (lambda: index.search(decaying(1, 16, 1), 1), lambda: index.reconstruct(0)):
        with pytest.raises(RuntimeError, match=r"codes\.size"):
            call()
    for text in ("FlatL2Panorama", "FlatL2Panorama4_", "IVF4,FlatL2Panorama4", "HNSW8,FlatPanorama4_64"):
        with pytest.raises(RuntimeError, match="could not parse"):
            faiss.index_factory(16, text)


KINDS = [
    "FlatL2Panorama4_64",
    "FlatL2Panorama5",
    "IVF8,FlatPanorama4_32",
    "IVF8,FlatPanorama",
    "HNSW8,FlatPanorama3",
    "SQ8,RefinePanorama(FlatL2Panorama4_1)",
]


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_those_of_faiss(kind: str, oracle: Oracle) -> None:
    xb, xq = decaying(300, 18, 1), decaying(5, 18, 2)
    code = f"""
index = faiss.index_factory(18, {kind!r})
index.train(given["xb"])
index.add(given["xb"])
result["written"] = faiss.serialize_index(index)
result["D"], result["I"] = index.search(given["xq"], 4)
"""
    theirs = oracle(code, xb=xb, xq=xq)
    index = faiss.index_factory(18, kind)
    index.train(xb)
    index.add(xb)
    read = faiss.deserialize_index(theirs["written"])
    assert type(read) is type(faiss.deserialize_index(faiss.serialize_index(index)))
    np.testing.assert_array_equal(faiss.serialize_index(read), theirs["written"])
    same_results(read.search(xq, 4), (theirs["D"], theirs["I"]))
    copied = faiss.clone_index(read)
    same_results(copied.search(xq, 4), (theirs["D"], theirs["I"]))
    if not kind.startswith(("IVF", "SQ8")):
        # Nothing here is trained.
        np.testing.assert_array_equal(faiss.serialize_index(index), theirs["written"])
    mine = oracle(
        'index = faiss.deserialize_index(given["written"]); result["D"], result["I"] = index.search(given["xq"], 4)',
        written=faiss.serialize_index(index),
        xq=xq,
    )
    same_results(index.search(xq, 4), (mine["D"], mine["I"]))


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_inverted_files_find_what_flat_lists_do(metric: int) -> None:
    xb, xq = decaying(900, 24, 1), decaying(60, 24, 2)
    quantizer = faiss.IndexFlat(24, metric)
    quantizer.add(xb[:10])
    index = faiss.IndexIVFFlatPanorama(quantizer, 24, 10, 6, metric, True, 32)
    plain = faiss.IndexIVFFlat(quantizer, 24, 10, metric)
    assert (index.n_levels, index.batch_size, index.is_trained) == (6, 32, True)
    for each in (index, plain):
        each.add(xb[:500])
        each.add_with_ids(xb[500:], np.arange(1000, 1400))
        each.nprobe = 4
        each.remove_ids(np.arange(0, 100, 7))
    for k in (1, 10):
        same_results(index.search(xq, k), plain.search(xq, k))
        same_results(index.search(xq[:1], k), plain.search(xq[:1], k))
    params = faiss.SearchParametersIVF(sel=faiss.IDSelectorRange(40, 1100), nprobe=6)
    same_results(index.search(xq, 5, params=params), plain.search(xq, 5, params=params))
    lists = index.invlists
    assert isinstance(lists, faiss.ArrayInvertedLists)
    assert (lists.n_levels, lists.level_width, lists.pano.batch_size) == (6, 16, 32)
    codes = faiss.rev_swig_ptr(lists.get_single_code(3, 0), 96).view("float32")
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    own = int(faiss.rev_swig_ptr(lists.get_ids(3), 1)[0])
    np.testing.assert_array_equal(codes, index.reconstruct(own))
    scanner = index.get_InvertedListScanner()
    scanner.set_query(faiss.swig_ptr(xq[0]))
    scanner.set_list(3, 0.0)
    exact = ((xq[0] - codes) ** 2).sum() if metric == faiss.METRIC_L2 else (xq[0] * codes).sum()
    code = np.ascontiguousarray(codes.view("uint8"))
    np.testing.assert_allclose(scanner.distance_to_code(faiss.swig_ptr(code)), exact, rtol=1e-4)
    sums = faiss.rev_swig_ptr(lists.get_cum_sums(3), 1)
    np.testing.assert_allclose(sums[0], np.linalg.norm(codes), rtol=1e-5)


def test_cut_files_are_refused() -> None:
    for kind in KINDS[:5]:
        index = faiss.index_factory(18, kind)
        index.train(decaying(40, 18, 1))
        index.add(decaying(40, 18, 1))
        whole = faiss.serialize_index(index)
        for end in (*range(120), *range(120, len(whole), 997)):
            with pytest.raises(RuntimeError):
                faiss.deserialize_index(whole[:end])


def test_vectors_by_level() -> None:
    pano = faiss.Panorama(40, 4, 3)
    assert (pano.d, pano.n_levels, pano.level_width_floats, pano.kDefaultBatchSize) == (10, 4, 3, 1024)
    x = np.arange(20, dtype="float32").reshape(2, 10)
    codes, sums, out = np.zeros(30, "float32"), np.zeros(15, "float32"), np.zeros(10, "float32")
    ptr = faiss.swig_ptr
    pano.copy_codes_to_level_layout(ptr(codes.view("uint8")), 1, 2, ptr(x.view("uint8").reshape(-1)))
    pano.compute_cumulative_sums(ptr(sums), 1, 2, ptr(x))
    np.testing.assert_array_equal(codes[:9], [0, 0, 0, 0, 1, 2, 10, 11, 12])
    pano.reconstruct(2, ptr(out), ptr(codes.view("uint8")))
    np.testing.assert_array_equal(out, x[1])
    norms = np.zeros(5, "float32")
    pano.compute_query_cum_sums(ptr(x[1]), ptr(norms))
    np.testing.assert_allclose(norms, [np.linalg.norm(x[1, at:]) for at in (0, 3, 6, 9, 10)], rtol=1e-6)
    np.testing.assert_allclose(sums.reshape(5, 3)[:, 2], norms)
