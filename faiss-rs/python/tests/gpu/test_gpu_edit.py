"""What changes single vectors of an index on a GPU, or gives them back: against the same on the CPU."""

import faiss
import numpy as np
import pytest
from faiss.contrib.ivf_tools import add_preassigned


def ivf(key, rng, n=2000, d=16):
    x = rng.random((n, d), dtype="f4")
    cpu = faiss.index_factory(d, key)
    cpu.train(x)
    cpu.add_with_ids(x, np.arange(n) * 3 + 5) if key.startswith("IVF") else cpu.add(x)
    cpu.nprobe = 4
    return cpu, x


KEYS = ["IVF8,Flat", "IVF8,SQ8", "IVF8,SQ4", "IVF8,PQ4x8", "IVF8,SQfp16"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("indices", [faiss.INDICES_64_BIT, faiss.INDICES_32_BIT, faiss.INDICES_CPU])
def test_vectors_come_back(resources, rng, key, indices):
    cpu, _ = ivf(key, rng)
    options = faiss.GpuClonerOptions()
    options.indicesOptions = indices
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu, options)
    cpu.set_direct_map_type(faiss.DirectMap.Hashtable)
    keys = np.array([5, 5 + 3 * 77, 5 + 3 * 1999, 5], "i8")
    np.testing.assert_allclose(gpu.reconstruct_batch(keys), cpu.reconstruct_batch(keys), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(gpu.reconstruct(8), cpu.reconstruct(8), rtol=1e-6, atol=1e-7)
    with pytest.raises(RuntimeError, match="not found"):
        gpu.reconstruct(6)
    D, ids, R = gpu.search_and_reconstruct(cpu.reconstruct_batch(keys), 3)
    np.testing.assert_array_equal(ids, gpu.search(cpu.reconstruct_batch(keys), 3)[1])
    np.testing.assert_allclose(R[ids >= 0], cpu.reconstruct_batch(ids[ids >= 0]), rtol=1e-6, atol=1e-7)
    assert np.isnan(R[ids < 0]).all()
    assert (D[:, 0] < 1e-3).all()


def test_in_a_row(resources, rng):
    x = rng.random((300, 8), dtype="f4")
    for gpu in (faiss.GpuIndexIVFFlat(resources, 8, 5), faiss.GpuIndexFlatL2(resources, 8)):
        gpu.train(x)
        gpu.add(x)
        np.testing.assert_array_equal(gpu.reconstruct_n(20, 100), x[20:120])
        np.testing.assert_array_equal(gpu.reconstruct_n(), x)
        with pytest.raises(RuntimeError):
            gpu.reconstruct_n(250, 100)


@pytest.mark.parametrize("key", KEYS)
def test_removed_and_merged(resources, rng, key):
    cpu, x = ivf(key, rng)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    gone = np.arange(0, 2000, 7) * 3 + 5
    assert gpu.remove_ids(gone) == cpu.remove_ids(gone) == len(gone)
    assert gpu.remove_ids(gone) == 0
    assert gpu.ntotal == cpu.ntotal
    np.testing.assert_array_equal(gpu.search(x[:50], 5)[1], cpu.search(x[:50], 5)[1])
    other = faiss.index_cpu_to_gpu(resources, 0, cpu)
    gpu.merge_from(other, 100_000)
    assert (gpu.ntotal, other.ntotal) == (2 * cpu.ntotal, 0)
    ids = gpu.search(x[:50], 6)[1]
    np.testing.assert_array_equal(np.sort(ids % 100_000, axis=1)[:, ::2], np.sort(ids % 100_000, axis=1)[:, 1::2])
    with pytest.raises(RuntimeError):
        gpu.merge_from(faiss.GpuIndexIVFFlat(resources, 16, 9), 0)


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L1])
def test_flat(resources, rng, metric):
    x = rng.random((900, 11), dtype="f4")
    cpu, gpu = faiss.IndexFlat(11, metric), faiss.GpuIndexFlat(resources, 11, metric)
    for index in (cpu, gpu):
        index.add(x)
        assert index.remove_ids(np.arange(100, 200)) == 100
    np.testing.assert_array_equal(gpu.reconstruct_n(), cpu.reconstruct_n())
    radius = float(np.median(cpu.search(x[:20], 40)[0][:, -1]))
    for params in (None, faiss.SearchParameters(sel=faiss.IDSelectorRange(3, 500))):
        found, wanted = gpu.range_search(x[:20], radius, params=params), cpu.range_search(x[:20], radius, params=params)
        differ = 0
        for i in range(20):
            a, b = (set(r[2][int(r[0][i]) : int(r[0][i + 1])].tolist()) for r in (found, wanted))
            differ += len(a ^ b)
        # Those at the radius itself, up to rounding.
        assert differ <= 2
        assert len(found[2]) > 100
    other = faiss.GpuIndexFlat(resources, 11, metric)
    other.add(x[:5])
    gpu.merge_from(other)
    assert (gpu.ntotal, other.ntotal) == (805, 0)


def test_ids_of_32_bits(resources, rng):
    """Larger ones are cut to their lower 32 bits, as Faiss does it."""
    x = rng.random((400, 8), dtype="f4")
    config = faiss.GpuIndexIVFFlatConfig()
    config.indicesOptions = faiss.INDICES_32_BIT
    index = faiss.GpuIndexIVFFlat(resources, 8, 4, faiss.METRIC_L2, config)
    index.train(x)
    index.add_with_ids(x, np.arange(400) + 2**32)
    index.nprobe = 4
    np.testing.assert_array_equal(index.search(x, 1)[1].ravel(), np.arange(400))


def test_range_search_of_lists(resources, rng):
    for key in KEYS:
        cpu, x = ivf(key, rng)
        gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
        for radius in (0.0, 0.5, 1.5):
            found, wanted = gpu.range_search(x[:30], radius), cpu.range_search(x[:30], radius)
            counts = np.abs(np.diff(found[0].astype("i8")) - np.diff(wanted[0].astype("i8")))
            assert counts.sum() <= max(3, len(wanted[1]) // 1000)
            assert (found[1] < radius).all()


@pytest.mark.parametrize("key", KEYS)
def test_given_lists(resources, rng, key):
    """Vectors in lists that the caller chose, as `add_core` of the CPU puts them there."""
    cpu, x = ivf(key, rng)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    lists, added = np.random.default_rng(3).integers(-1, 8, 300), rng.random((300, 16), dtype="f4")
    for index in (cpu, gpu):
        add_preassigned(index, added, lists, np.arange(300) + 50_000)
        assert index.ntotal == 2300
        index.nprobe = 8
    np.testing.assert_array_equal(gpu.search(x[:60], 4)[1], cpu.search(x[:60], 4)[1])
    for bad in (np.full(300, 8), np.full(299, 1)):
        with pytest.raises((RuntimeError, AssertionError)):
            add_preassigned(gpu, added, bad)
    assert gpu.ntotal == 2300


@pytest.mark.parametrize("key", KEYS)
def test_updated(resources, rng, key):
    cpu, x = ivf(key, rng)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    cpu.set_direct_map_type(faiss.DirectMap.Hashtable)
    keys, other = np.arange(0, 400, 4) * 3 + 5, rng.random((100, 16), dtype="f4")
    for index in (cpu, gpu):
        index.update_vectors(keys, other)
        index.nprobe = 8
        assert index.ntotal == 2000
    np.testing.assert_allclose(gpu.reconstruct_batch(keys), cpu.reconstruct_batch(keys), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(gpu.search(x[:60], 3)[1], cpu.search(x[:60], 3)[1])
    before = gpu.search(x[:60], 3)
    with pytest.raises(RuntimeError, match="key 6 not found"):
        gpu.update_vectors(np.array([5, 6]), other[:2])
    np.testing.assert_array_equal(gpu.search(x[:60], 3)[1], before[1])
    # Of an id that is named twice the last vector stays.
    gpu.update_vectors(np.array([5, 5]), other[:2])
    cpu.update_vectors(np.array([5, 5]), other[:2])
    np.testing.assert_allclose(gpu.reconstruct(5), cpu.reconstruct(5), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("key", KEYS)
def test_only_like_lists_are_merged(resources, rng, key):
    gpu = faiss.index_cpu_to_gpu(resources, 0, ivf(key, rng)[0])
    other = faiss.index_cpu_to_gpu(resources, 0, ivf(key, np.random.default_rng(9))[0])
    counts = gpu.ntotal, other.ntotal
    with pytest.raises(RuntimeError, match="the same"):
        gpu.merge_from(other, 0)
    assert (gpu.ntotal, other.ntotal) == counts


@pytest.mark.launches_none
def test_there_is_no_cuvs(resources):
    for cls, config in (
        (lambda c: faiss.GpuIndexFlatL2(resources, 8, c), faiss.GpuIndexFlatConfig()),
        (lambda c: faiss.GpuIndexIVFFlat(resources, 8, 4, faiss.METRIC_L2, c), faiss.GpuIndexIVFFlatConfig()),
        (lambda c: faiss.GpuIndexIVFPQ(resources, 8, 4, 2, 8, faiss.METRIC_L2, c), faiss.GpuIndexIVFPQConfig()),
        (lambda c: faiss.GpuIndexBinaryFlat(resources, 8, c), faiss.GpuIndexBinaryFlatConfig()),
    ):
        config.use_cuvs = True
        with pytest.raises(NotImplementedError, match="cuVS"):
            cls(config)
    options = faiss.GpuClonerOptions()
    options.use_cuvs = True
    with pytest.raises(NotImplementedError, match="cuVS"):
        faiss.index_cpu_to_gpu(resources, 0, faiss.IndexFlatL2(8), options)
    x = np.zeros((4, 8), "f4")
    with pytest.raises(NotImplementedError, match="cuVS"):
        faiss.knn_gpu(resources, x, x, 1, use_cuvs=True)
    for name in ("GpuIndexCagra", "GpuIndexCagraConfig"):
        with pytest.raises(NotImplementedError, match=name):
            getattr(faiss, name)()
