"""Flat indexes and exhaustive search on a GPU, against f64 and against the CPU."""

import gc
import threading

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours, naive_knn

METRICS = ["L2", "INNER_PRODUCT", "L1", "Linf", "Lp", "Canberra", "BrayCurtis", "JensenShannon", "Jaccard"]


def both(resources, d, metric=faiss.METRIC_L2, **config):
    options = faiss.GpuIndexFlatConfig()
    for name, value in config.items():
        setattr(options, name, value)
    return faiss.IndexFlat(d, metric), faiss.GpuIndexFlat(resources, d, metric, options)


@pytest.mark.parametrize("d", [1, 3, 16, 31, 100, 128, 769])
@pytest.mark.parametrize(("nq", "nb", "k"), [(1, 1, 1), (1, 3000, 10), (17, 5000, 100), (300, 2000, 7), (5, 40, 64)])
@pytest.mark.parametrize("inner_product", [False, True])
def test_search(resources, rng, d, nq, nb, k, inner_product):
    xq, xb = rng.random((nq, d), dtype="f4"), rng.random((nb, d), dtype="f4")
    index = faiss.GpuIndexFlatIP(resources, d) if inner_product else faiss.GpuIndexFlatL2(resources, d)
    index.add(xb)
    assert index.ntotal == nb
    D, ids = index.search(xq, k)
    m = min(k, nb)
    assert_same_neighbours((D[:, :m], ids[:, :m]), naive_knn(xq, xb, m, inner_product), rtol=1e-4)
    assert (ids[:, m:] == -1).all()


@pytest.mark.parametrize("k", [1024, 2048, 2049, 5000])
def test_large_k(resources, rng, k):
    xq, xb = rng.random((3, 24), dtype="f4"), rng.random((9000, 24), dtype="f4")
    index = faiss.GpuIndexFlatL2(resources, 24)
    index.add(xb)
    assert_same_neighbours(index.search(xq, k), naive_knn(xq, xb, k), rtol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_metrics(resources, rng, metric):
    xq, xb = rng.random((9, 21), dtype="f4") + 0.1, rng.random((700, 21), dtype="f4") + 0.1
    cpu, gpu = both(resources, 21, getattr(faiss, f"METRIC_{metric}"))
    for index in (cpu, gpu):
        index.metric_arg = 3
        index.add(xb)
    assert_same_neighbours(gpu.search(xq, 9), cpu.search(xq, 9), rtol=1e-4)


def test_float16(resources, rng):
    xq, xb = rng.random((20, 64), dtype="f4"), rng.random((3000, 64), dtype="f4")
    _, index = both(resources, 64, useFloat16=True)
    index.add(xb)
    half = naive_knn(xq.astype("f2"), xb.astype("f2"), 10)
    assert_same_neighbours(index.search(xq, 10), half, rtol=2e-3)
    np.testing.assert_array_equal(index.reconstruct_n(0, 5), xb[:5].astype("f2"))


def test_the_same_bits_every_time(resources, rng):
    xq, xb = rng.random((200, 48), dtype="f4"), rng.random((20000, 48), dtype="f4")
    index = faiss.GpuIndexFlatL2(resources, 48)
    index.add(xb)
    D, ids = index.search(xq, 50)
    for _ in range(5):
        D1, ids1 = index.search(xq, 50)
        np.testing.assert_array_equal(D, D1)
        np.testing.assert_array_equal(ids, ids1)


HARD = {
    "plain": lambda x, q: (x, q),
    "offset": lambda x, q: (x + np.float32(1e4), q + np.float32(1e4)),
    "by the thousand": lambda x, q: (np.resize(x[:50], x.shape), q),
    "far ones": lambda x, q: (x * np.where(np.arange(len(x)) % 1000 == 7, 1e6, 1).astype("f4")[:, None], q),
    "queries of other sizes": lambda x, q: (x, q * np.logspace(-6, 6, len(q)).astype("f4")[:, None]),
    "tiny": lambda x, q: (x * np.float32(1e-15), q * np.float32(1e-15)),
    "huge": lambda x, q: (x * np.float32(1e15), q * np.float32(1e15)),
    "no numbers": lambda x, q: (np.where(np.arange(len(x)) % 3 == 1, np.float32("nan"), 1)[:, None] * x, q),
}


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize(("d", "nq", "half"), [(64, 60, False), (63, 130, False), (64, 60, True)])
def test_few_queries_of_many_vectors(resources, rng, hard, d, nq, half):
    # So many that matrix units read the vectors once for all queries; calls after the first are recorded.
    if half and hard in ("offset", "far ones", "queries of other sizes", "tiny", "huge"):
        hard = "plain"  # beyond what f16 tells apart
    x, q = HARD[hard](rng.standard_normal((70_001, d), dtype="f4"), rng.standard_normal((nq, d), dtype="f4"))
    _, index = both(resources, d, useFloat16=half)
    index.add(x)
    wide_x, wide_q = (v.astype("f2" if half else "f4").astype("f8") for v in (x, q))
    D0 = (wide_q**2).sum(1)[:, None] + (wide_x**2).sum(1)[None] - 2 * wide_q @ wide_x.T
    D0 = np.where(np.isnan(D0), np.inf, D0)
    rows = np.arange(nq)[:, None]
    for k in (1, 10, 100):
        best = np.sort(np.partition(D0, k - 1, axis=1)[:, :k], axis=1)
        for _ in range(3):
            D, ids = index.search(q, k)
            assert (np.diff(np.sort(ids, axis=1), axis=1) > 0).all()
            own = ((wide_q[:, None] - wide_x[ids]) ** 2).sum(-1)
            tolerance = 1e-5 * own + 1e-13 * ((wide_q**2).sum(1)[:, None] + (wide_x[ids] ** 2).sum(-1))
            assert (np.abs(own - D) <= tolerance).all()
            assert (np.abs(D0[rows, ids] - best) <= tolerance).all()


def test_few_queries_find_what_is_allowed(resources, rng):
    x, q = rng.standard_normal((90_000, 50), dtype="f4"), rng.standard_normal((40, 50), dtype="f4")
    index = faiss.GpuIndexFlatIP(resources, 50)
    index.add(x)
    for share in (0.5, 0.01, 1e-4):
        allowed = np.flatnonzero(rng.random(len(x)) < share)
        selector = faiss.SearchParameters(sel=faiss.IDSelectorBatch(allowed))
        D, ids = index.search(q, 12, params=selector)
        wanted = naive_knn(q, x[allowed], 12, True)
        m = min(12, len(allowed))
        assert_same_neighbours((D[:, :m], ids[:, :m]), (wanted[0], allowed[wanted[1]]), rtol=1e-5)


def test_duplicates_nan_and_inf(resources, rng):
    xb = np.repeat(rng.random((3, 6), dtype="f4"), 50, axis=0)
    xb[60], xb[70, 0] = np.nan, np.inf
    cpu, gpu = both(resources, 6)
    cpu.add(xb)
    gpu.add(xb)
    for nq in (1, 40):
        xq = np.repeat(xb[:1], nq, axis=0)
        D, ids = gpu.search(xq, 30)
        np.testing.assert_array_equal(ids, np.tile(np.arange(30), (nq, 1)))
        np.testing.assert_allclose(D, 0, atol=1e-5)
        _, ids = gpu.search(xq, 150)
        assert not np.isin([60, 70], ids).any()


def test_added_in_parts(resources, rng):
    xb = rng.random((1000, 10), dtype="f4")
    index = faiss.GpuIndexFlatL2(resources, 10)
    for i in range(0, 1000, 37):
        index.add(xb[i : i + 37])
    np.testing.assert_array_equal(index.reconstruct_n(), xb)
    np.testing.assert_array_equal(index.reconstruct(999), xb[999])
    np.testing.assert_array_equal(index.reconstruct_batch([5, 1, 999]), xb[[5, 1, 999]])
    assert_same_neighbours(index.search(xb[:5], 3), naive_knn(xb[:5], xb, 3), rtol=1e-4)
    with pytest.raises(RuntimeError):
        index.reconstruct(1000)
    index.reset()
    assert index.ntotal == 0
    assert (index.search(xb[:2], 3)[1] == -1).all()


@pytest.mark.parametrize("name", ["IndexFlatL2", "IndexFlatIP", "IndexFlat"])
def test_to_a_gpu_and_back(resources, rng, name):
    args = (12, faiss.METRIC_L1) if name == "IndexFlat" else (12,)
    cpu = getattr(faiss, name)(*args)
    cpu.add(rng.random((300, 12), dtype="f4"))
    xq = rng.random((20, 12), dtype="f4")
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert isinstance(gpu, faiss.GpuIndexFlat)
    assert (gpu.d, gpu.ntotal, gpu.metric_type) == (cpu.d, cpu.ntotal, cpu.metric_type)
    assert_same_neighbours(gpu.search(xq, 8), cpu.search(xq, 8), rtol=1e-4)
    back = faiss.index_gpu_to_cpu(gpu)
    assert isinstance(back, faiss.IndexFlat)
    np.testing.assert_array_equal(back.reconstruct_n(), cpu.reconstruct_n())
    del cpu
    gc.collect()
    assert gpu.search(xq, 8)[1].min() >= 0
    with pytest.raises(RuntimeError):
        faiss.serialize_index(gpu)


def test_one_of_all_gpus(resources, rng):
    cpu = faiss.IndexFlatL2(8)
    cpu.add(rng.random((100, 8), dtype="f4"))
    xq = rng.random((5, 8), dtype="f4")
    gpu = faiss.index_cpu_to_all_gpus(cpu, ngpu=1)
    np.testing.assert_array_equal(gpu.search(xq, 4)[1], cpu.search(xq, 4)[1])
    copied = faiss.index_cpu_to_gpu(resources, 0, cpu, faiss.GpuClonerOptions())
    np.testing.assert_array_equal(copied.search(xq, 4)[1], cpu.search(xq, 4)[1])


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L1])
def test_knn_gpu(resources, rng, metric):
    xq, xb = rng.random((30, 20), dtype="f4"), rng.random((2000, 20), dtype="f4")
    wanted = faiss.knn(xq, xb, 9, metric)
    assert_same_neighbours(faiss.knn_gpu(resources, xq, xb, 9, metric=metric), wanted, rtol=1e-4)
    for limits in ((20 * 4 * 300, 0), (0, 20 * 4 * 7), (20 * 4 * 300, 20 * 4 * 7)):
        found = faiss.knn_gpu(
            resources, xq, xb, 9, metric=metric, vectorsMemoryLimit=limits[0], queriesMemoryLimit=limits[1]
        )
        assert_same_neighbours(found, wanted, rtol=1e-4)
    transposed = faiss.knn_gpu(resources, np.asfortranarray(xq), np.asfortranarray(xb), 9, metric=metric)
    assert_same_neighbours(transposed, wanted, rtol=1e-4)
    strided = faiss.knn_gpu(resources, np.repeat(xq, 2, 1)[:, ::2], xb.astype("f8"), 9, metric=metric)
    assert_same_neighbours(strided, wanted, rtol=1e-4)
    D, ids = np.empty((30, 9), "f4"), np.empty((30, 9), "i4")
    found = faiss.knn_gpu(resources, xq, xb, 9, D=D, I=ids, metric=metric, device=0)
    assert found[0] is D
    assert found[1] is ids
    assert_same_neighbours(found, wanted, rtol=1e-4)
    half = faiss.knn_gpu(resources, xq.astype("f2"), xb.astype("f2"), 9, metric=metric)
    exact = faiss.knn(xq.astype("f2").astype("f4"), xb.astype("f2").astype("f4"), 9, metric)
    assert_same_neighbours(half, exact, rtol=2e-3)


def test_pairwise_distance_gpu(resources, rng):
    xq, xb = rng.random((30, 20), dtype="f4"), rng.random((500, 20), dtype="f4")
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT, faiss.METRIC_Linf):
        found = faiss.pairwise_distance_gpu(resources, xq, xb, metric=metric)
        np.testing.assert_allclose(found, faiss.pairwise_distances(xq, xb, metric), rtol=1e-4, atol=1e-4)


def test_bfKnn_with_pointers(resources, rng):
    xq, xb = rng.random((6, 10), dtype="f4"), rng.random((400, 10), dtype="f4")
    D, ids = np.empty((6, 5), "f4"), np.empty((6, 5), "i8")
    args = faiss.GpuDistanceParams()
    args.metric, args.k, args.dims = faiss.METRIC_L2, 5, 10
    args.vectors, args.numVectors = faiss.swig_ptr(xb), 400
    args.queries, args.numQueries = faiss.swig_ptr(xq), 6
    args.outDistances, args.outIndices = faiss.swig_ptr(D), faiss.swig_ptr(ids)
    faiss.bfKnn(resources, args)
    assert_same_neighbours((D, ids), naive_knn(xq, xb, 5), rtol=1e-4)


def test_threads_share_an_index(resources, rng):
    index = faiss.GpuIndexFlatL2(resources, 16)
    index.add(rng.random((5000, 16), dtype="f4"))
    xq = rng.random((50, 16), dtype="f4")
    wanted, failed = index.search(xq, 10)[1], []

    def work():
        failed.extend(i for i in range(20) if (index.search(xq, 10)[1] != wanted).any())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


def test_memory_report(resources, rng):
    index = faiss.GpuIndexFlatL2(resources, 16)
    index.add(rng.random((100, 16), dtype="f4"))
    index.search(rng.random((2, 16), dtype="f4"), 3)
    kinds = resources.getMemoryInfo()[0]
    assert set(kinds) >= {"TemporaryMemoryBuffer", "PinnedMemory", "FlatData"}
    assert kinds["FlatData"] >= (1, 100 * 16 * 4)


@pytest.mark.launches_none
def test_errors(resources):
    config = faiss.GpuIndexFlatConfig()
    config.device = 99
    with pytest.raises(RuntimeError, match="GPU 99 does not exist"):
        faiss.GpuIndexFlatL2(resources, 4, config)
    index = faiss.GpuIndexFlatL2(resources, 4)
    with pytest.raises(RuntimeError):
        index.add_with_ids(np.zeros((2, 4), "f4"), np.arange(2))


def test_selectors(resources, rng):
    x = rng.random((400, 6), dtype="f4")
    cpu, gpu = both(resources, 6)
    cpu.add(x)
    gpu.add(x)
    for sel in (faiss.IDSelectorRange(30, 60), faiss.IDSelectorNot(faiss.IDSelectorBatch(np.arange(0, 400, 3)))):
        params = faiss.SearchParameters(sel=sel)
        found, wanted = gpu.search(x[:9], 40, params=params), cpu.search(x[:9], 40, params=params)
        np.testing.assert_array_equal(found[1] < 0, wanted[1] < 0)
        assert_same_neighbours((found[0][:, :20], found[1][:, :20]), (wanted[0][:, :20], wanted[1][:, :20]), rtol=1e-4)
