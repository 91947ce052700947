"""Inverted files on a GPU, against f64 and against the CPU's: what a user does, and the inputs that are hard."""

import gc
import threading

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours, naive_knn

METRICS = [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT]


def clumps(rng, n, d, nlist):
    """Vectors around some of `nlist` centroids, a third of them around the first; the others get empty lists."""
    centroids = rng.random((nlist, d), dtype="f4") * 2 - 1
    clump = np.where(rng.random(n) < 0.3, 0, rng.integers(0, (nlist + 1) // 2, n))
    return centroids[clump] + 0.1 * rng.standard_normal((n, d)).astype("f4"), centroids


def trained(centroids, metric=faiss.METRIC_L2):
    """An empty CPU index with these centroids."""
    nlist, d = centroids.shape
    quantizer = faiss.IndexFlat(d, metric)
    quantizer.add(centroids)
    return faiss.IndexIVFFlat(quantizer, d, nlist, metric)


def on_gpu(resources, cpu, **config):
    made = faiss.GpuIndexIVFFlatConfig()
    for name, value in config.items():
        setattr(made, name, value)
    return faiss.GpuIndexIVFFlat(resources, cpu, made)


def lists_of(index):
    if isinstance(index, faiss.GpuIndexIVF):
        lists = range(index.getNumLists())
        ids = [faiss.vector_to_array(index.getListIndices(i)) for i in lists]
        return ids, [faiss.vector_to_array(index.getListVectorData(i)) for i in lists]
    lists, sizes = index.invlists, [index.get_list_size(i) for i in range(index.nlist)]
    ids = [faiss.rev_swig_ptr(lists.get_ids(i), n) for i, n in enumerate(sizes)]
    return ids, [faiss.rev_swig_ptr(lists.get_codes(i), n * lists.code_size) for i, n in enumerate(sizes)]


def assert_same_lists(found, wanted):
    for a, b in zip(lists_of(found), lists_of(wanted), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def assert_same_search(found, wanted, rtol=1e-5):
    np.testing.assert_array_equal(found[1] < 0, wanted[1] < 0)
    none = wanted[1] < 0
    assert_same_neighbours(
        (np.where(none, 0, found[0]), found[1]), (np.where(none, 0, wanted[0]), wanted[1]), rtol=rtol
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("d", "nlist"), [(1, 3), (16, 20), (33, 7), (128, 50), (300, 4)])
def test_search(resources, rng, d, nlist, metric):
    x, centroids = clumps(rng, 3000, d, nlist)
    cpu = trained(centroids, metric)
    gpu = on_gpu(resources, cpu)
    assert (gpu.is_trained, gpu.ntotal, gpu.nlist, gpu.metric_type) == (True, 0, nlist, metric)
    for part in np.array_split(x, 4):
        cpu.add(part)
        gpu.add(part)
    assert_same_lists(gpu, cpu)
    xq = rng.random((300, d), dtype="f4") * 2 - 1
    for nq, k, nprobe in [(1, 1, 1), (1, 20, nlist), (7, 50, 2), (300, 10, 3), (300, 4, nlist), (5, 2500, nlist + 10)]:
        cpu.nprobe = gpu.nprobe = nprobe
        found = gpu.search(xq[:nq], k)
        assert_same_search(found, cpu.search(xq[:nq], k), rtol=2e-5)
        again = gpu.search(xq[:nq], k)
        np.testing.assert_array_equal(found[0], again[0])
        np.testing.assert_array_equal(found[1], again[1])


def test_all_lists_are_an_exhaustive_search(resources, rng):
    x, xq = rng.random((4000, 20), dtype="f4"), rng.random((50, 20), dtype="f4")
    gpu = faiss.GpuIndexIVFFlat(resources, 20, 16, faiss.METRIC_L2)
    assert not gpu.is_trained
    gpu.train(x)
    gpu.add(x)
    gpu.nprobe = 16
    assert_same_neighbours(gpu.search(xq, 30), naive_knn(xq, x, 30), rtol=1e-5)


def test_trained_as_on_the_cpu(resources, rng):
    x, _ = clumps(rng, 5000, 24, 30)
    cpu = faiss.IndexIVFFlat(faiss.IndexFlatL2(24), 24, 30)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    for index in (cpu, gpu):
        index.train(x)
        assert index.is_trained
        assert index.quantizer.ntotal == 30
    found = gpu.quantizer.reconstruct_n(0, 30)
    np.testing.assert_allclose(found, cpu.quantizer.reconstruct_n(0, 30), rtol=1e-4, atol=1e-4)


HARD = {
    "one giant list": lambda rng: (rng.random((6000, 8), dtype="f4"), np.r_[np.zeros((1, 8)), np.full((9, 8), 50)]),
    "empty lists": lambda rng: (rng.random((10, 8), dtype="f4"), rng.random((500, 8), dtype="f4")),
    "duplicates": lambda rng: (np.repeat(rng.random((3, 8), dtype="f4"), 700, 0), rng.random((4, 8), dtype="f4")),
    "one dimension": lambda rng: (rng.random((900, 1), dtype="f4"), rng.random((9, 1), dtype="f4")),
    "one list": lambda rng: (rng.random((900, 8), dtype="f4"), rng.random((1, 8), dtype="f4")),
    "one vector": lambda rng: (rng.random((1, 8), dtype="f4"), rng.random((3, 8), dtype="f4")),
    "no vector": lambda rng: (rng.random((0, 8), dtype="f4"), rng.random((3, 8), dtype="f4")),
}


@pytest.mark.parametrize("hard", [h for h in HARD if h != "no vector"])
def test_hard_inputs(resources, rng, hard):
    x, centroids = HARD[hard](rng)
    cpu = trained(np.ascontiguousarray(centroids, "f4"))
    gpu = on_gpu(resources, cpu)
    cpu.add(x)
    gpu.add(x)
    assert_same_lists(gpu, cpu)
    xq = np.r_[x[:40], rng.random((40, x.shape[1]), dtype="f4")]
    for nprobe in (1, 2, len(centroids)):
        cpu.nprobe = gpu.nprobe = nprobe
        for k in (1, 30, 5000):  # more than a list has, and more than there are
            for nq in (1, len(xq)):
                assert_same_search(gpu.search(xq[:nq], k), cpu.search(xq[:nq], k))


@pytest.mark.launches_none
def test_no_vectors(resources, rng):
    x, centroids = HARD["no vector"](rng)
    gpu = on_gpu(resources, trained(centroids))
    gpu.add(x)
    assert gpu.ntotal == 0
    D, ids = gpu.search(centroids, 4)
    assert (ids == -1).all()
    assert (np.finfo("f4").max == D).all()
    D, ids = gpu.search(x, 4)
    assert D.shape == ids.shape == (0, 4)
    assert faiss.vector_to_array(gpu.getListIndices(1)).size == 0


def test_nan_and_inf(resources, rng):
    x = rng.random((200, 4), dtype="f4")
    x[3], x[5, 0] = np.nan, np.inf
    gpu = on_gpu(resources, trained(x[10:15]))
    gpu.add(x)
    gpu.nprobe = 5
    assert gpu.ntotal == 200
    _, ids = gpu.search(x[10:60], 250)
    assert not np.isin([3, 5], ids).any()
    assert (gpu.search(np.full((2, 4), np.nan, "f4"), 3)[1] == -1).all()


@pytest.mark.parametrize("metric", METRICS)
def test_infinite_numbers_are_assigned_as_in_faiss(resources, rng, metric):
    centroids = rng.standard_normal((70, 24)).astype("f4")
    x = rng.standard_normal((3000, 24)).astype("f4")
    x[3, 5], x[70, 0], x[71], x[1500, 3:5] = np.inf, -np.inf, np.inf, (np.inf, -np.inf)
    x[2000] = np.nan
    gpu = on_gpu(resources, trained(centroids, metric))
    gpu.add(x)
    # By inner product to the first centroid with an infinite one; by L2 all are infinitely far.
    with np.errstate(invalid="ignore"):
        products = x @ centroids.T
    wanted = np.full(3000, -1)
    for i, row in enumerate(products):
        if metric == faiss.METRIC_INNER_PRODUCT and (row > -np.inf).any():
            wanted[i] = np.nanargmax(row)
        elif np.isfinite(x[i]).all():
            wanted[i] = ((x[i] - centroids) ** 2).sum(1).argmin()
    found = np.full(3000, -1)
    for i in range(70):
        found[faiss.vector_to_array(gpu.getListIndices(i))] = i
    assert (found != wanted).sum() <= 2  # near ties
    hard = [3, 70, 71, 1500, 2000]
    np.testing.assert_array_equal(found[hard], wanted[hard])


@pytest.mark.parametrize(
    "metric", ["L1", "Linf", "Lp", "Canberra", "BrayCurtis", "JensenShannon", "Jaccard", "NaNEuclidean", "GOWER"]
)
@pytest.mark.parametrize("d", [1, 33])
def test_every_metric(resources, rng, metric, d):
    metric = getattr(faiss, f"METRIC_{metric}")
    x = rng.random((3000, d), dtype="f4") + 0.001
    cpu = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, 20, metric)
    cpu.metric_arg = 3.0
    cpu.train(x)
    gpu = on_gpu(resources, cpu)
    assert gpu.metric_type == metric
    assert gpu.metric_arg == 3.0
    cpu.add(x)
    gpu.add(x)
    assert_same_lists(gpu, cpu)
    for nq, k, nprobe in ((1, 5, 3), (40, 30, 7), (40, 3000, 20)):
        cpu.nprobe = gpu.nprobe = nprobe
        # Twice more: small searches are recorded.
        for _ in range(3):
            assert_same_search(gpu.search(x[:nq], k), cpu.search(x[:nq], k), rtol=1e-4)
    gpu.nprobe = 20
    radius = float(np.median(gpu.search(x[:9], 50)[0]))
    wanted, found = cpu.range_search(x[:9], radius), gpu.range_search(x[:9], radius)
    assert abs(int(found[0][-1]) - int(wanted[0][-1])) <= 2
    own = faiss.GpuIndexIVFFlat(resources, d, 20, metric)
    own.metric_arg = own.quantizer.metric_arg = 3.0
    own.train(x)
    own.add(x)
    own.nprobe = 20
    exact = faiss.IndexFlat(d, metric)
    exact.metric_arg = 3.0
    exact.add(x)
    assert_same_search(own.search(x[:40], 10), exact.search(x[:40], 10), rtol=1e-4)
    assert_same_search(faiss.index_gpu_to_cpu(own).search(x[:5], 4), own.search(x[:5], 4), rtol=1e-4)


def test_selectors(resources, rng):
    x, centroids = clumps(rng, 2000, 10, 12)
    cpu = trained(centroids)
    cpu.add(x)
    gpu = on_gpu(resources, cpu)
    chosen = faiss.IDSelectorBatch(np.arange(0, 2000, 7))
    for sel in (chosen, faiss.IDSelectorRange(100, 150), faiss.IDSelectorNot(chosen), faiss.IDSelectorRange(5, 5)):
        for nprobe in (3, 12):
            params = faiss.SearchParametersIVF(sel=sel, nprobe=nprobe)
            for nq, k in ((1, 40), (60, 300)):
                found, wanted = gpu.search(x[:nq], k, params=params), cpu.search(x[:nq], k, params=params)
                assert_same_search(found, wanted)
    params = faiss.SearchParametersIVF(sel=faiss.PyCallbackIDSelector(lambda i: i % 2 == 1), nprobe=12)
    found = gpu.search(x[:5], 100, params=params)[1]
    assert (found % 2 == 1).all()


def test_parameters_of_a_search(resources, rng):
    x, centroids = clumps(rng, 2000, 10, 12)
    cpu = trained(centroids)
    cpu.add(x)
    gpu = on_gpu(resources, cpu)
    for kw in (dict(nprobe=5), dict(nprobe=5, max_codes=200), dict(nprobe=50, max_lists_num=4)):
        params = faiss.SearchParametersIVF(**kw)
        assert_same_search(gpu.search(x[:30], 20, params=params), cpu.search(x[:30], 20, params=params))
    cpu.nprobe = gpu.nprobe = 4
    cpu.max_codes = gpu.max_codes = 150
    assert_same_search(gpu.search(x[:30], 20), cpu.search(x[:30], 20))


def test_preassigned_lists(resources, rng):
    x, centroids = clumps(rng, 2000, 10, 12)
    cpu = trained(centroids)
    cpu.add(x)
    gpu = on_gpu(resources, cpu)
    cpu.nprobe = gpu.nprobe = 3
    Dq, Iq = cpu.quantizer.search(x[:25], 3)
    Iq[4, 1] = Iq[5] = -1
    assert_same_search(gpu.search_preassigned(x[:25], 9, Iq, Dq), cpu.search_preassigned(x[:25], 9, Iq, Dq))
    with pytest.raises(AssertionError):
        gpu.search_preassigned(x[:25], 9, Iq[:, :2], Dq)
    # The longest list several times is more than any lists are that differ.
    longest = np.full((25, 3), int(np.argmax([cpu.get_list_size(i) for i in range(12)])))
    found = gpu.search_preassigned(x[:25], 2000, longest, Dq)
    assert_same_search(found, cpu.search_preassigned(x[:25], 2000, longest, Dq))
    Iq[0, 0] = 12
    with pytest.raises(RuntimeError, match="Invalid key=12"):
        gpu.search_preassigned(x[:25], 9, Iq, Dq)


def test_more_entries_than_32_bits_count(resources, rng):
    x = rng.random((1 << 20, 1), dtype="f4")
    gpu = on_gpu(resources, trained(np.zeros((1, 1), "f4")))
    gpu.add(x)
    gpu.nprobe = 4200
    lists, coarse = np.zeros((2, 4200), "i8"), np.zeros((2, 4200), "f4")
    with pytest.raises(RuntimeError, match="more than can be searched at once"):
        gpu.search_preassigned(x[:2], 5, lists, coarse)
    gpu.max_codes = 5000
    assert_same_search(gpu.search_preassigned(x[:2], 5, lists, coarse), naive_knn(x[:2], x[:5000], 5))


@pytest.mark.parametrize("options", ["INDICES_CPU", "INDICES_32_BIT", "INDICES_64_BIT", "INDICES_IVF"])
def test_where_ids_are_kept(resources, rng, options):
    x, centroids = clumps(rng, 1500, 10, 12)
    cpu = trained(centroids)
    ids = rng.permutation(1500) * 1000
    cpu.add_with_ids(x, ids)
    gpu = on_gpu(resources, trained(centroids), indicesOptions=getattr(faiss, options))
    gpu.add_with_ids(x[:700], ids[:700])
    gpu.add_with_ids(x[700:], ids[700:])
    cpu.nprobe = gpu.nprobe = 3
    D, found = gpu.search(x[:50], 5)
    if options != "INDICES_IVF":
        assert_same_search((D, found), cpu.search(x[:50], 5))
        assert_same_lists(gpu, cpu)
        assert_same_lists(faiss.index_gpu_to_cpu(gpu), cpu)
    else:
        by_list = lists_of(cpu)[0]
        named = np.array([by_list[i >> 32][i & 0xFFFFFFFF] for i in found.ravel()]).reshape(found.shape)
        assert_same_search((D, named), cpu.search(x[:50], 5))
        for refused in (
            lambda: gpu.getListIndices(0),
            lambda: faiss.index_gpu_to_cpu(gpu),
            lambda: gpu.search(x, 1, params=faiss.SearchParametersIVF(sel=faiss.IDSelectorAll())),
        ):
            with pytest.raises(RuntimeError, match="INDICES_IVF"):
                refused()
    if options == "INDICES_32_BIT":
        # Of larger ids the lower 32 bits stay, as in Faiss; a whole index with such ids is refused.
        gpu.reset()
        gpu.add_with_ids(x[:1], np.array([(1 << 40) + 17]))
        assert gpu.search(x[:1], 1)[1].item() == 17
        cpu.add_with_ids(x[:1], np.array([1 << 40]))
        with pytest.raises(RuntimeError, match="32 bits"):
            on_gpu(resources, cpu, indicesOptions=faiss.INDICES_32_BIT)


@pytest.mark.parametrize("metric", METRICS)
def test_to_a_gpu_and_back(resources, rng, metric):
    x, centroids = clumps(rng, 2000, 16, 10)
    cpu = trained(centroids, metric)
    cpu.add(x)
    cpu.nprobe = 4
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert isinstance(gpu, faiss.GpuIndexIVFFlat)
    assert isinstance(gpu.quantizer, faiss.GpuIndexFlat)
    assert (gpu.d, gpu.ntotal, gpu.nlist, gpu.nprobe, gpu.is_trained) == (16, 2000, 10, 4, True)
    assert_same_search(gpu.search(x[:40], 8), cpu.search(x[:40], 8), rtol=2e-5)
    back = faiss.index_gpu_to_cpu(gpu)
    assert isinstance(back, faiss.IndexIVFFlat)
    np.testing.assert_array_equal(faiss.serialize_index(back), faiss.serialize_index(cpu))
    back.make_direct_map()
    np.testing.assert_array_equal(back.reconstruct(42), x[42])
    gpu.add(x[:10])
    other = faiss.IndexIVFFlat(faiss.IndexFlatL2(3), 3, 2)
    gpu.copyTo(other)
    assert (other.d, other.ntotal, other.nlist) == (16, 2010, 10)
    assert_same_lists(other, gpu)
    gpu.copyFrom(back)
    assert gpu.ntotal == 2000
    with pytest.raises(RuntimeError):
        faiss.serialize_index(gpu)


def test_composite_indexes(resources, rng):
    x, _ = clumps(rng, 3000, 16, 10)
    for description in ("PCA8,IVF10,Flat", "IDMap,IVF10,Flat", "IVF10,Flat,RFlat", "IDMap2,Flat", "OPQ4_8,IVF10,Flat"):
        cpu = faiss.index_factory(16, description)
        cpu.train(x)
        ids = np.arange(3000) * 3
        if description.startswith("IDMap"):
            cpu.add_with_ids(x, ids)
        else:
            cpu.add(x)
        gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
        assert type(gpu) is type(cpu)
        inner = faiss.downcast_index(gpu.base_index if hasattr(gpu, "base_index") else gpu.index)
        assert isinstance(inner, faiss.GpuIndex)
        assert_same_search(gpu.search(x[:30], 6), cpu.search(x[:30], 6), rtol=1e-4)
        back = faiss.index_gpu_to_cpu(gpu)
        np.testing.assert_array_equal(faiss.serialize_index(back), faiss.serialize_index(cpu))


def test_quantizers(resources, rng):
    x, centroids = clumps(rng, 2000, 16, 10)
    wanted = trained(centroids)
    wanted.add(x)
    wanted.nprobe = 3
    flat = faiss.IndexFlatL2(16)
    flat.add(centroids)
    for quantizer in (flat, faiss.index_cpu_to_gpu(resources, 0, flat)):
        gpu = faiss.GpuIndexIVFFlat(resources, quantizer, 16, 10, faiss.METRIC_L2)
        assert gpu.is_trained
        assert gpu.quantizer.ntotal == 10
        gpu.add(x)
        gpu.nprobe = 3
        assert_same_search(gpu.search(x[:50], 5), wanted.search(x[:50], 5))
    # One without a GPU form may stay on the CPU, if it is allowed to.
    pq = faiss.IndexPQ(16, 4, 4)
    pq.train(x)
    pq.add(centroids)
    cpu = faiss.IndexIVFFlat(pq, 16, 10)
    options = faiss.GpuClonerOptions()
    with pytest.raises(RuntimeError, match="allowCpuCoarseQuantizer"):
        faiss.index_cpu_to_gpu(resources, 0, cpu, options)
    options.allowCpuCoarseQuantizer = True
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu, options)
    assert isinstance(gpu.quantizer, faiss.IndexPQ)
    for index in (cpu, gpu):
        index.train(x)
        index.add(x)
        index.nprobe = 3
    assert_same_search(gpu.search(x[:50], 5), cpu.search(x[:50], 5))


def test_float16_quantizer(resources, rng):
    x, centroids = clumps(rng, 2000, 16, 10)
    cpu = trained(centroids)
    cpu.add(x)
    options = faiss.GpuClonerOptions()
    options.useFloat16CoarseQuantizer = True
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu, options)
    cpu.nprobe = gpu.nprobe = 10
    assert_same_search(gpu.search(x[:50], 5), cpu.search(x[:50], 5))
    gpu.add(x)
    assert gpu.ntotal == 4000


def test_memory(resources, rng):
    x, centroids = clumps(rng, 2000, 16, 10)
    gpu = on_gpu(resources, trained(centroids))
    gpu.reserveMemory(5000)
    for part in np.array_split(x, 20):
        gpu.add(part)
    lists = sum(gpu.getListLength(i) for i in range(10))
    assert lists == 2000
    assert gpu.reclaimMemory() > 0
    assert gpu.reclaimMemory() == 0
    gpu.nprobe = 10
    assert_same_neighbours(gpu.search(x[:20], 5), naive_knn(x[:20], x, 5), rtol=1e-5)
    gpu.reset()
    assert gpu.ntotal == 0
    assert gpu.is_trained
    assert (gpu.search(x[:2], 3)[1] == -1).all()
    gpu.add(x)
    assert_same_neighbours(gpu.search(x[:20], 5), naive_knn(x[:20], x, 5), rtol=1e-5)


@pytest.mark.parametrize("memory", [0, 1 << 16, 64 << 20])
def test_small_temporary_memory_and_pages(rng, memory):
    own = faiss.StandardGpuResources()
    own.setTempMemory(memory)
    x, centroids = clumps(rng, 6000, 12, 9)
    cpu = trained(centroids)
    gpu = on_gpu(own, cpu)
    for index in (cpu, gpu):
        index.add(x)
        index.nprobe = 9
    xq = rng.random((3000, 12), dtype="f4") * 2 - 1
    for k in (5, 2100):
        wanted = cpu.search(xq, k)
        assert_same_search(gpu.search(xq, k), wanted, rtol=2e-5)
    gpu.setMinPagingSize(50_000)
    assert_same_search(gpu.search(xq, k), wanted, rtol=2e-5)


def test_managed_memory(resources, rng):
    x, centroids = clumps(rng, 2000, 16, 10)
    cpu = trained(centroids)
    gpu = on_gpu(resources, cpu, memorySpace=faiss.MemorySpace_Unified)
    for index in (cpu, gpu):
        index.add(x)
        index.nprobe = 4
    assert_same_search(gpu.search(x[:30], 7), cpu.search(x[:30], 7))


def test_memory_report(rng):
    own = faiss.StandardGpuResources()
    x, centroids = clumps(rng, 2000, 16, 10)
    gpu = on_gpu(own, trained(centroids))
    gpu.add(x)
    rows = own.getMemoryInfo()[0]
    assert rows["IVFLists"][0] == 1
    assert rows["IVFLists"][1] >= 2000 * (16 * 4 + 8)
    assert rows["FlatData"][1] >= 10 * 16 * 4
    del gpu
    gc.collect()
    assert "IVFLists" not in own.getMemoryInfo()[0]


def test_aliases_and_copies(resources, rng):
    x, centroids = clumps(rng, 500, 8, 5)
    gpu = on_gpu(resources, trained(centroids))
    gpu.cp.niter = 3
    assert gpu.cp.niter == 3
    quantizer = gpu.quantizer
    gpu.add(x)
    wanted = gpu.search(x[:5], 3)
    twin = faiss.clone_index(gpu)
    gpu.reset()
    assert_same_search(twin.search(x[:5], 3), wanted)
    del gpu
    gc.collect()
    assert quantizer.ntotal == 5


def test_threads_share_an_index(resources, rng):
    x, centroids = clumps(rng, 5000, 16, 20)
    gpu = on_gpu(resources, trained(centroids))
    gpu.add(x)
    gpu.nprobe = 5
    wanted, failed = gpu.search(x[:50], 10)[1], []

    def work():
        failed.extend(i for i in range(20) if (gpu.search(x[:50], 10)[1] != wanted).any())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


def test_bad_input(resources, rng):
    x, _ = clumps(rng, 500, 8, 5)
    gpu = faiss.GpuIndexIVFFlat(resources, 8, 5, faiss.METRIC_L2)
    for early in (lambda: gpu.add(x), lambda: gpu.add_with_ids(x, np.arange(500)), lambda: gpu.search(x, 1)):
        with pytest.raises(RuntimeError, match="trained"):
            early()
    with pytest.raises(RuntimeError, match="at least as large as number of clusters"):
        gpu.train(x[:3])
    gpu.train(x)
    gpu.add(x)
    for wrong in (lambda: gpu.add(x[:, :7]), lambda: gpu.search(x[:, :7], 1), lambda: gpu.train(x[:, :7])):
        with pytest.raises(AssertionError):
            wrong()
    for wrong in (lambda: gpu.search(x, 0), lambda: gpu.add_with_ids(x, np.arange(3))):
        with pytest.raises(AssertionError):
            wrong()
    gpu.nprobe = 0
    with pytest.raises(RuntimeError, match="nprobe > 0"):
        gpu.search(x, 1)
    gpu.nprobe = 1
    for wrong in (lambda: gpu.getListLength(5), lambda: gpu.getListIndices(-1), lambda: gpu.getListVectorData(99)):
        with pytest.raises(RuntimeError, match="there is no list"):
            wrong()
    with pytest.raises(RuntimeError, match="params have incorrect type"):
        gpu.search(x, 1, params=faiss.SearchParameters())
    assert gpu.ntotal == 500
    assert (gpu.search(x[:20], 1)[1][:, 0] == np.arange(20)).all()


@pytest.mark.launches_none
def test_bad_constructions(resources):
    with pytest.raises(RuntimeError, match="L2 or inner product"):
        faiss.GpuIndexIVFScalarQuantizer(resources, 8, 5, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L1)
    with pytest.raises(RuntimeError, match="the quantizer has dimension 3, the index 8"):
        faiss.GpuIndexIVFFlat(resources, faiss.IndexFlatL2(3), 8, 5, faiss.METRIC_L2)
    for args in ((8, 0), (0, 5), (-1, 5)):
        with pytest.raises(RuntimeError):
            faiss.GpuIndexIVFFlat(resources, *args, faiss.METRIC_L2)
    with pytest.raises(TypeError):
        faiss.GpuIndexIVFFlat(8, 5)
    with pytest.raises(RuntimeError, match="not implemented on GPU: IndexPQ"):
        faiss.index_cpu_to_gpu(resources, 0, faiss.IndexPQ(8, 2, 4))
