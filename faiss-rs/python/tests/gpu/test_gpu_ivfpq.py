"""IVFPQ on a GPU, against the CPU and against the definition in f64."""

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours, naive_knn

L2, IP = faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT


def trained(rng, d, nlist, M, nbits, metric=L2, n=3000, by_residual=True):
    """A CPU index with vectors, and the vectors."""
    x = rng.random((n, d), dtype="f4")
    index = faiss.IndexIVFPQ(faiss.IndexFlat(d, metric), d, nlist, M, nbits, metric)
    index.by_residual = by_residual
    index.train(x)
    index.add(x)
    return index, x


def decoded(index):
    """What the index stands for, in the order of ids."""
    index.make_direct_map()
    x = index.reconstruct_n(0, index.ntotal)
    index.make_direct_map(False)
    return x


def lists_of(index):
    lists = index.invlists
    out = []
    for i in range(lists.nlist):
        n = lists.list_size(i)
        ids = faiss.rev_swig_ptr(lists.get_ids(i), n).copy()
        codes = faiss.rev_swig_ptr(lists.get_codes(i), n * lists.code_size).copy()
        out.append((ids, codes.reshape(n, lists.code_size)))
    return out


SHAPES = [
    (32, 16, 8, 8),
    (32, 16, 32, 8),  # M = d
    (1, 7, 1, 8),  # d = 1
    (48, 5, 16, 8),
    (24, 9, 3, 6),
    (30, 4, 2, 5),
    (40, 3, 5, 4),
    (66, 6, 1, 8),  # a part wider than a thread keeps
    (16, 1, 4, 8),  # one list for all
    (12, 4, 6, 10),
]


@pytest.mark.parametrize(("d", "nlist", "M", "nbits"), SHAPES)
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("by_residual", [True, False])
def test_search(resources, rng, d, nlist, M, nbits, metric, by_residual):
    cpu, _ = trained(rng, d, nlist, M, nbits, metric, by_residual=by_residual)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert isinstance(gpu, faiss.GpuIndexIVFPQ)
    truth = decoded(cpu)
    for nq, k, nprobe in [(1, 1, 1), (5, 10, 3), (70, 10, 3), (9, 100, nlist), (3, 2500, nlist)]:
        xq = rng.random((nq, d), dtype="f4")
        cpu.nprobe = gpu.nprobe = nprobe
        found, wanted = gpu.search(xq, k), cpu.search(xq, k)
        np.testing.assert_array_equal(found[1] < 0, wanted[1] < 0)
        m = max(1, int((wanted[1] >= 0).sum(1).min()))
        assert_same_neighbours((found[0][:, :m], found[1][:, :m]), (wanted[0][:, :m], wanted[1][:, :m]))
        if nprobe == nlist:
            assert_same_neighbours(found, naive_knn(xq, truth, k, metric == IP))


@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize(("d", "nlist", "M", "nbits"), SHAPES)
def test_added_on_the_gpu(resources, rng, d, nlist, M, nbits, by_residual):
    cpu, x = trained(rng, d, nlist, M, nbits, by_residual=by_residual)
    wanted = lists_of(cpu)
    cpu.reset()
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert (gpu.is_trained, gpu.ntotal) == (True, 0)
    gpu.add(x[:1])
    gpu.add(x[1:1200])
    gpu.add(x[1200:])
    assert gpu.ntotal == len(x)
    back = faiss.index_gpu_to_cpu(gpu)
    assert isinstance(back, faiss.IndexIVFPQ)
    # A vector between two centroids may go to either by rounding.
    same = total = 0
    for (ids, codes), (ids0, codes0) in zip(lists_of(back), wanted, strict=True):
        common, at, at0 = np.intersect1d(ids, ids0, return_indices=True)
        assert (np.diff(ids) > 0).all()
        total += len(ids0)
        same += len(common)
        assert (codes[at] != codes0[at0]).any(1).sum() <= 1 + len(common) // 500
    assert same >= total * 0.998
    for i in range(nlist):
        assert gpu.getListLength(i) == back.invlists.list_size(i)
        np.testing.assert_array_equal(faiss.vector_to_array(gpu.getListIndices(i)), lists_of(back)[i][0])
        codes = faiss.vector_to_array(gpu.getListVectorData(i))
        np.testing.assert_array_equal(codes, lists_of(back)[i][1].ravel())


@pytest.mark.parametrize("metric", [L2, IP])
def test_trained_on_the_gpu_and_saved_for_the_cpu(resources, rng, tmp_path, metric):
    d, nlist, M, n = 32, 40, 8, 20000
    x, xq = rng.random((n, d), dtype="f4"), rng.random((50, d), dtype="f4")
    gpu = faiss.GpuIndexIVFPQ(resources, d, nlist, M, 8, metric)
    assert not gpu.is_trained
    gpu.train(x)
    gpu.add(x)
    assert gpu.is_trained
    assert gpu.ntotal == n
    path = str(tmp_path / "index.ivfpq")
    faiss.write_index(faiss.index_gpu_to_cpu(gpu), path)
    cpu = faiss.read_index(path)
    assert isinstance(cpu, faiss.IndexIVFPQ)
    for nprobe in (1, 8, nlist):
        gpu.nprobe = cpu.nprobe = nprobe
        assert_same_neighbours(gpu.search(xq, 20), cpu.search(xq, 20))
    again = faiss.index_cpu_to_gpu(resources, 0, cpu)
    again.nprobe = nlist
    np.testing.assert_array_equal(again.search(xq, 20)[1], gpu.search(xq, 20)[1])
    # As good as what the CPU learns.
    other = faiss.IndexIVFPQ(faiss.IndexFlat(d, metric), d, nlist, M, 8, metric)
    other.train(x)
    other.add(x)
    error = [((decoded(i) - x) ** 2).sum() for i in (cpu, other)]
    assert error[0] <= 1.02 * error[1]


def test_the_same_bits_every_time(resources, rng):
    x, xq = rng.random((30000, 24), dtype="f4"), rng.random((300, 24), dtype="f4")
    made = []
    for _ in range(2):
        gpu = faiss.GpuIndexIVFPQ(resources, 24, 64, 6, 8, L2)
        gpu.train(x)
        gpu.add(x)
        gpu.nprobe = 10
        made.append(gpu)
    first = made[0].search(xq, 30)
    for gpu in (made[0], made[0], made[1]):
        D, ids = gpu.search(xq, 30)
        np.testing.assert_array_equal(D, first[0])
        np.testing.assert_array_equal(ids, first[1])
    stored = [faiss.serialize_index(faiss.index_gpu_to_cpu(gpu)) for gpu in made]
    np.testing.assert_array_equal(*stored)
    # However a batch is cut, a query's result is its own.
    D, ids = made[0].search(xq[:7], 30)
    np.testing.assert_allclose(D, first[0][:7], rtol=1e-6)
    np.testing.assert_array_equal(ids, first[1][:7])


def test_empty_and_giant_lists(resources, rng):
    d = 16
    x = np.zeros((5000, d), "f4")
    x[:, 0] = 1
    x[:4000] += 0.01 * rng.random((4000, d), dtype="f4")
    # Five lists: one with nearly everything, one for the duplicates, three that nothing is near to.
    quantizer = faiss.IndexFlatL2(d)
    centroids = np.eye(5, d, dtype="f4")
    centroids[4] = x[:4000].mean(0)
    quantizer.add(centroids)
    cpu = faiss.IndexIVFPQ(quantizer, d, 5, 4, 8)
    cpu.train(x[:4000])
    cpu.add(x)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert sorted(gpu.getListLength(i) for i in range(5))[:3] == [0, 0, 0]
    for nprobe in (1, 3, 5):
        cpu.nprobe = gpu.nprobe = nprobe
        for k in (3, 900, 6000):
            found, wanted = gpu.search(x[:20], k), cpu.search(x[:20], k)
            np.testing.assert_array_equal(found[1] < 0, wanted[1] < 0)
            np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5, atol=1e-5)
    # Equal codes come in the order in which they were added.
    _, ids = gpu.search(np.eye(1, d, dtype="f4"), 5)
    assert (np.diff(ids) > 0).all()


def test_far_from_the_origin(resources, rng):
    d, offset = 16, 300
    x = rng.random((4000, d), dtype="f4") + np.float32(offset)
    xq = rng.random((30, d), dtype="f4") + np.float32(offset)
    cpu = faiss.IndexIVFPQ(faiss.IndexFlatL2(d), d, 20, 8, 8)
    cpu.train(x)
    cpu.add(x)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    gpu.nprobe = 20
    D, ids = gpu.search(xq, 10)
    exact = ((xq[:, None].astype("f8") - decoded(cpu)[ids].astype("f8")) ** 2).sum(-1)
    # The centroids themselves are rounded to 3e-5 here.
    np.testing.assert_allclose(D, exact, rtol=1e-3)


def test_a_quantizer_of_the_cpu_and_of_another_metric(resources, rng):
    x, xq = rng.random((4000, 20), dtype="f4"), rng.random((10, 20), dtype="f4")
    for metric, coarse in ((L2, IP), (IP, L2)):
        cpu = faiss.IndexIVFPQ(faiss.IndexFlat(20, coarse), 20, 16, 5, 8, metric)
        cpu.train(x)
        cpu.add(x)
        gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
        cpu.nprobe = gpu.nprobe = 5
        assert_same_neighbours(gpu.search(xq, 10), cpu.search(xq, 10))
    cpu, _ = trained(rng, 20, 16, 5, 8)
    quantizer = faiss.IndexFlatL2(20)
    quantizer.add(cpu.quantizer.reconstruct_n(0, 16))
    config = faiss.GpuIndexIVFPQConfig()
    config.allowCpuCoarseQuantizer = True
    gpu = faiss.GpuIndexIVFPQ(resources, quantizer, 20, 16, 5, 8, L2, config)
    gpu.train(x)
    gpu.add(x)
    gpu.nprobe = 16
    back = faiss.index_gpu_to_cpu(gpu)
    back.nprobe = 16
    assert_same_neighbours(gpu.search(xq, 10), back.search(xq, 10))


def test_float16_quantizer(resources, rng):
    x, xq = rng.random((4000, 24), dtype="f4"), rng.random((20, 24), dtype="f4")
    config = faiss.GpuIndexIVFPQConfig()
    config.flatConfig.useFloat16 = True
    gpu = faiss.GpuIndexIVFPQ(resources, 24, 16, 6, 8, L2, config)
    gpu.train(x)
    gpu.add(x)
    gpu.nprobe = 16
    back = faiss.index_gpu_to_cpu(gpu)
    back.nprobe = 16
    assert_same_neighbours(gpu.search(xq, 10), back.search(xq, 10), rtol=2e-3)


def test_parameters_selectors_and_given_lists(resources, rng):
    cpu, x = trained(rng, 24, 30, 6, 8)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    for sel in (None, faiss.IDSelectorRange(100, 1500), faiss.IDSelectorBatch(np.arange(0, 3000, 7))):
        params = faiss.SearchParametersIVF(nprobe=9, sel=sel)
        for k in (10, 2300):
            found, wanted = gpu.search(x[:30], k, params=params), cpu.search(x[:30], k, params=params)
            np.testing.assert_array_equal(found[1] < 0, wanted[1] < 0)
            m = int((wanted[1] >= 0).sum(1).min())
            assert_same_neighbours((found[0][:, :m], found[1][:, :m]), (wanted[0][:, :m], wanted[1][:, :m]))
    Dq, Iq = cpu.quantizer.search(x[:30], 5)
    Iq[3, 2:] = -1
    cpu.nprobe = gpu.nprobe = 5
    found = gpu.search_preassigned(x[:30], 8, Iq, Dq)
    wanted = cpu.search_preassigned(x[:30], 8, Iq, Dq)
    assert_same_neighbours(found, wanted)


@pytest.mark.parametrize("indices", [0, 1, 2, 3])
def test_ids(resources, rng, indices):
    x = rng.random((2000, 16), dtype="f4")
    ids = rng.permutation(100_000)[:2000].astype("i8")
    config = faiss.GpuIndexIVFPQConfig()
    config.indicesOptions = indices
    gpu = faiss.GpuIndexIVFPQ(resources, 16, 10, 4, 8, L2, config)
    gpu.train(x)
    gpu.add_with_ids(x, ids)
    gpu.nprobe = 10
    D, found = gpu.search(x[:50], 4)
    if indices == 1:
        lists, offsets = found >> 32, found & 0xFFFFFFFF
        assert (lists < 10).all()
        assert all(offsets.ravel()[i] < gpu.getListLength(int(lists.ravel()[i])) for i in range(200))
        return
    cpu = faiss.index_gpu_to_cpu(gpu)
    cpu.nprobe = 10
    assert_same_neighbours((D, found), cpu.search(x[:50], 4))
    assert np.isin(found, ids).all()


def test_memory_and_reset(resources, rng):
    cpu, x = trained(rng, 16, 12, 4, 8)
    gpu = faiss.GpuIndexIVFPQ(resources, cpu)
    gpu.nprobe = 12
    wanted = gpu.search(x[:20], 5)
    gpu.reserveMemory(100_000)
    np.testing.assert_array_equal(gpu.search(x[:20], 5)[1], wanted[1])
    assert gpu.reclaimMemory() > 0
    np.testing.assert_array_equal(gpu.search(x[:20], 5)[1], wanted[1])
    gpu.reset()
    assert gpu.ntotal == 0
    assert (gpu.search(x[:3], 2)[1] == -1).all()
    gpu.add(x)
    np.testing.assert_allclose(gpu.search(x[:20], 5)[0], wanted[0], rtol=1e-5, atol=1e-5)
    copy = faiss.GpuIndexIVFPQ(resources, 16, 12, 4, 8, L2)
    copy.copyFrom(cpu)
    copy.nprobe = 12
    np.testing.assert_array_equal(copy.search(x[:20], 5)[1], wanted[1])
    other = faiss.IndexIVFPQ()
    copy.copyTo(other)
    assert (other.ntotal, other.pq.M, other.nlist) == (3000, 4, 12)


def test_constructors_and_numbers(resources, rng):
    x = rng.random((1000, 8), dtype="f4")
    config = faiss.GpuIndexIVFPQConfig()
    config.usePrecomputedTables = True
    config.useFloat16LookupTables = True
    config.interleavedLayout = True
    made = [
        faiss.GpuIndexIVFPQ(resources, 8, 4, 2, 6, L2, config),
        faiss.GpuIndexIVFPQ(resources, faiss.GpuIndexFlatL2(resources, 8), 8, 4, 2, 6, L2, config),
    ]
    for gpu in made:
        assert isinstance(gpu, faiss.GpuIndexIVF)
        assert gpu.getPrecomputedCodes()
        gpu.setPrecomputedCodes(False)
        assert not gpu.getPrecomputedCodes()
        numbers = (gpu.getNumSubQuantizers(), gpu.getBitsPerCode(), gpu.getCentroidsPerSubQuantizer())
        assert numbers == (2, 6, 64)
        assert (gpu.pq.M, gpu.pq.nbits, gpu.pq.dsub, gpu.nlist, gpu.nprobe) == (2, 6, 4, 4, 1)
        gpu.pq.cp.niter = 5
        gpu.train(x)
        gpu.add(x)
        assert gpu.search(x[:2], 3)[1].min() >= 0
    gpu = faiss.clone_index(made[0])
    np.testing.assert_array_equal(gpu.search(x[:9], 3)[1], made[0].search(x[:9], 3)[1])


@pytest.mark.launches_none
def test_errors(resources, rng):
    for args, message in (
        ((8, 4, 3, 8), "multiple of the number of subquantizers"),
        ((8, 4, 2, 17), "Bits per code"),
        ((8, 4, 2, 0), "Bits per code"),
        ((8, 0, 2, 8), "nlist"),
        ((8, 4, 0, 8), "M must be"),
    ):
        with pytest.raises(RuntimeError, match=message):
            faiss.GpuIndexIVFPQ(resources, *args)
    with pytest.raises(RuntimeError):
        faiss.GpuIndexIVFPQ(resources, 8, 4, 2, 8, faiss.METRIC_L1)
    index = faiss.GpuIndexIVFPQ(resources, 8, 4, 2, 8, L2)
    x = rng.random((10, 8), dtype="f4")
    with pytest.raises(RuntimeError, match="trained"):
        index.add(x)
    with pytest.raises(RuntimeError, match="trained"):
        index.search(x, 1)
    assert (index.ntotal, index.is_trained) == (0, False)
