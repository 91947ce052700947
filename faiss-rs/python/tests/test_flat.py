"""Flat indexes against a naive reference in f64, on easy and on hard input."""

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours, naive_knn

METRICS = {
    "METRIC_L2": lambda q, b: ((q - b) ** 2).sum(-1),
    "METRIC_INNER_PRODUCT": lambda q, b: (q * b).sum(-1),
    "METRIC_L1": lambda q, b: np.abs(q - b).sum(-1),
    "METRIC_Linf": lambda q, b: np.abs(q - b).max(-1),
    "METRIC_Lp": lambda q, b: (np.abs(q - b) ** 3).sum(-1),
    "METRIC_Canberra": lambda q, b: (np.abs(q - b) / (np.abs(q) + np.abs(b))).sum(-1),
    "METRIC_BrayCurtis": lambda q, b: np.abs(q - b).sum(-1) / np.abs(q + b).sum(-1),
    "METRIC_JensenShannon": lambda q, b: 0.5 * (-q * np.log((q + b) / 2 / q) - b * np.log((q + b) / 2 / b)).sum(-1),
    "METRIC_Jaccard": lambda q, b: np.minimum(q, b).sum(-1) / np.maximum(q, b).sum(-1),
}


@pytest.mark.parametrize("d", [1, 2, 3, 7, 16, 31, 64, 100, 129, 513])
@pytest.mark.parametrize(("nq", "nb", "k"), [(1, 1, 1), (1, 300, 10), (37, 1000, 5), (25, 7, 20), (300, 500, 100)])
@pytest.mark.parametrize("inner_product", [False, True])
def test_search(rng, d, nq, nb, k, inner_product):
    xq, xb = rng.random((nq, d), dtype="f4"), rng.random((nb, d), dtype="f4")
    index = faiss.IndexFlatIP(d) if inner_product else faiss.IndexFlatL2(d)
    index.add(xb)
    D, ids = index.search(xq, k)
    m = min(k, nb)
    D0, ids0 = naive_knn(xq, xb, m, inner_product)
    assert_same_neighbours((D[:, :m], ids[:, :m]), (D0, ids0), rtol=1e-4)
    assert (ids[:, m:] == -1).all()
    limit = np.finfo("f4").max
    assert (D[:, m:] == (-limit if inner_product else limit)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 5, 32])
def test_metrics(rng, metric, d):
    xq, xb = rng.random((9, d), dtype="f4") + 0.1, rng.random((50, d), dtype="f4") + 0.1
    number = getattr(faiss, metric)
    index = faiss.IndexFlat(d, number)
    index.metric_arg = 3
    index.add(xb)
    wanted = METRICS[metric](xq[:, None].astype("f8"), xb[None].astype("f8"))
    D, ids = index.search(xq, 7)
    np.testing.assert_allclose(np.take_along_axis(wanted, ids, 1), D, rtol=1e-4, atol=1e-5)
    best = -np.sort(-wanted, axis=1) if faiss.is_similarity_metric(number) else np.sort(wanted, axis=1)
    np.testing.assert_allclose(D, best[:, :7], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(faiss.pairwise_distances(xq, xb, number, 3), wanted, rtol=1e-4, atol=1e-5)
    D1, ids1 = faiss.knn(xq, xb, 7, number, 3)
    np.testing.assert_array_equal(ids1, ids)
    np.testing.assert_allclose(D1, D, rtol=1e-5)


def test_an_unknown_metric_is_refused():
    with pytest.raises(RuntimeError):
        faiss.IndexFlat(8, 999)
    with pytest.raises(RuntimeError):
        faiss.knn(np.zeros((1, 2), "f4"), np.zeros((1, 2), "f4"), 1, metric=77)


def test_duplicates_come_in_order_of_id(rng):
    xb = np.repeat(rng.random((3, 6), dtype="f4"), 5, axis=0)
    index = faiss.IndexFlatL2(6)
    index.add(xb)
    for nq in (1, 30):
        D, ids = index.search(np.repeat(xb[:1], nq, axis=0), 5)
        assert (np.sort(ids, axis=1) == np.arange(5)).all()
        np.testing.assert_allclose(D, 0, atol=1e-5)


@pytest.mark.parametrize("nq", [1, 50])
def test_nan_and_inf_do_no_harm(rng, nq):
    xb, xq = rng.random((100, 8), dtype="f4"), rng.random((nq, 8), dtype="f4")
    xb[3], xb[5, 0], xb[7, 0] = np.nan, np.inf, -np.inf
    index = faiss.IndexFlatL2(8)
    index.add(xb)
    _, ids = index.search(xq, 10)
    good = np.setdiff1d(np.arange(100), [3, 5, 7])
    _, ids0 = naive_knn(xq, xb[good], 10)
    np.testing.assert_array_equal(ids, good[ids0])
    for value in (np.nan, np.inf, -np.inf):
        for k in (1, 5):
            _, ids = index.search(np.full((nq, 8), value, "f4"), k)
            assert (ids == -1).all()


def test_empty_index(rng):
    index = faiss.IndexFlatL2(4)
    D, ids = index.search(rng.random((3, 4), dtype="f4"), 2)
    assert (ids == -1).all()
    assert (np.finfo("f4").max == D).all()


def test_reconstruct(rng):
    x = rng.random((30, 5), dtype="f4")
    index = faiss.IndexFlatL2(5)
    index.add(x)
    np.testing.assert_array_equal(index.reconstruct(7), x[7])
    np.testing.assert_array_equal(index.reconstruct_n(3, 4), x[3:7])
    np.testing.assert_array_equal(index.reconstruct_n(), x)
    np.testing.assert_array_equal(index.reconstruct_batch([5, 1, 5]), x[[5, 1, 5]])
    D, ids, R = index.search_and_reconstruct(x[:3], 40)
    np.testing.assert_array_equal(R[:, :30], x[ids[:, :30]])
    assert np.isnan(R[:, 30:]).all()
    assert D.shape == (3, 40)


def test_remove_merge_permute_codes(rng):
    x = rng.random((20, 5), dtype="f4")
    index = faiss.IndexFlatL2(5)
    index.add(x)
    assert index.remove_ids(np.array([1, 2, 1000, -5])) == 2
    np.testing.assert_array_equal(index.reconstruct_n(), np.delete(x, [1, 2], 0))
    assert index.remove_ids(faiss.IDSelectorRange(0, 3)) == 3
    other = faiss.IndexFlatL2(5)
    other.add(x)
    other.check_compatible_for_merge(index)
    index.merge_from(other)
    assert (index.ntotal, other.ntotal) == (35, 0)
    perm = rng.permutation(35)
    before = index.reconstruct_n()
    index.permute_entries(perm)
    np.testing.assert_array_equal(index.reconstruct_n(), before[perm])
    codes = index.sa_encode(x)
    assert (codes.shape, index.sa_code_size()) == ((20, 20), 20)
    np.testing.assert_array_equal(index.sa_decode(codes), x)
    index.add_sa_codes(codes)
    np.testing.assert_array_equal(index.reconstruct_n(35, 20), x)
    index.reset()
    assert index.ntotal == 0


def test_one_dimension(rng):
    x = rng.random((100, 1), dtype="f4")
    index = faiss.IndexFlat1D()
    index.add(x)
    D, ids = index.search(x[:10], 5)
    wanted = np.sort(np.abs(x[:10].astype("f8") - x.T), axis=1)[:, :5]
    np.testing.assert_allclose(D, wanted, atol=1e-6)
    D, ids = index.search(x[:1], 120)
    assert (ids[0, 100:] == -1).all()
    assert np.isinf(D[0, 100:]).all()
    late = faiss.IndexFlat1D(False)
    late.add(x)
    with pytest.raises(RuntimeError, match="update_permutation"):
        late.search(x, 1)
    late.update_permutation()
    np.testing.assert_array_equal(late.search(x, 1)[1], index.search(x, 1)[1])


def test_norms_cache(rng):
    x = rng.random((50, 6), dtype="f4")
    index = faiss.IndexFlatL2(6)
    index.add(x)
    D, ids = index.search(x, 3)
    index.sync_l2norms()
    assert index.cached_l2norms.size() == 50
    D1, ids1 = index.search(x, 3)
    np.testing.assert_array_equal(ids, ids1)
    np.testing.assert_allclose(D, D1, atol=1e-5)
    index.clear_l2norms()
    assert index.cached_l2norms.size() == 0


def test_get_xb_leads_to_the_vectors_themselves(rng):
    x = rng.random((5, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    seen = faiss.rev_swig_ptr(index.get_xb(), 20).reshape(5, 4)
    np.testing.assert_array_equal(seen, x)
    seen[0] = 7
    np.testing.assert_array_equal(index.reconstruct(0), np.full(4, 7))
    with pytest.raises(ValueError):
        faiss.rev_swig_ptr(index.get_xb(), 21)
    x[0] = 7
    index.reset()
    np.testing.assert_array_equal(seen, x)
    np.testing.assert_array_equal(faiss.vector_to_array(faiss.IndexFlatL2(3).codes), np.zeros(0, "u1"))


def test_compute_distance_subset(rng):
    x = rng.random((10, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    distances, labels = np.zeros(3, "f4"), np.array([0, -1, 4])
    index.compute_distance_subset(1, faiss.swig_ptr(x[:1]), 3, faiss.swig_ptr(distances), faiss.swig_ptr(labels))
    np.testing.assert_allclose(distances, [0, np.inf, ((x[0] - x[4]) ** 2).sum()], rtol=1e-5, atol=1e-6)
