"""Binary vectors on a GPU, against the definition."""

import faiss
import numpy as np
import pytest


def bits(rng, n, d):
    return rng.integers(0, 256, (n, d // 8), dtype="u1")


def naive(xq, xb):
    return np.unpackbits(xq[:, None] ^ xb[None], axis=2).sum(2).astype("i4")


@pytest.mark.parametrize("d", [8, 24, 32, 128, 264, 2048])
@pytest.mark.parametrize(("n", "nq", "k"), [(1, 1, 1), (300, 7, 10), (5000, 20, 100), (3000, 3, 2500), (5, 2, 9)])
def test_search(resources, rng, d, n, nq, k):
    xb, xq = bits(rng, n, d), bits(rng, nq, d)
    index = faiss.GpuIndexBinaryFlat(resources, d)
    index.add(xb[: n // 2])
    index.add(xb[n // 2 :])
    assert index.ntotal == n
    D, ids = index.search(xq, k)
    all_distances = naive(xq, xb)
    m = min(k, n)
    np.testing.assert_array_equal(D[:, :m], np.sort(all_distances, axis=1)[:, :m])
    np.testing.assert_array_equal(np.take_along_axis(all_distances, ids[:, :m], 1), D[:, :m])
    # Ties by lower id.
    np.testing.assert_array_equal(ids[:, :m], np.argsort(all_distances, axis=1, kind="stable")[:, :m])
    assert (ids[:, m:] == -1).all()
    assert (D[:, m:] == 2**31 - 1).all()
    np.testing.assert_array_equal(index.reconstruct_n(0, n), xb)
    np.testing.assert_array_equal(index.reconstruct(n - 1), xb[-1])


def test_to_and_from_the_cpu(resources, rng):
    xb, xq = bits(rng, 700, 96), bits(rng, 9, 96)
    cpu = faiss.IndexBinaryFlat(96)
    cpu.add(xb)
    gpu = faiss.index_binary_cpu_to_gpu(resources, 0, cpu)
    assert isinstance(gpu, faiss.GpuIndexBinaryFlat)
    assert gpu.getDevice() == 0
    np.testing.assert_array_equal(gpu.search(xq, 5)[0], cpu.search(xq, 5)[0])
    back = faiss.index_binary_gpu_to_cpu(gpu)
    np.testing.assert_array_equal(faiss.vector_to_array(back.xb), xb.ravel())
    other = faiss.GpuIndexBinaryFlat(resources, cpu, faiss.GpuIndexBinaryFlatConfig())
    other.copyFrom(cpu)
    target = faiss.IndexBinaryFlat(96)
    other.copyTo(target)
    assert target.ntotal == 700
    params = faiss.SearchParameters(sel=faiss.IDSelectorRange(10, 40))
    found = gpu.search(xq, 3, params=params)
    np.testing.assert_array_equal(found[0], cpu.search(xq, 3, params=params)[0])
    gpu.reset()
    assert gpu.ntotal == 0
    assert (gpu.search(xq, 2)[1] == -1).all()


def test_bad_input(resources, rng):
    with pytest.raises(RuntimeError):
        faiss.GpuIndexBinaryFlat(resources, 13)
    with pytest.raises(RuntimeError, match="not implemented on GPU"):
        faiss.index_binary_cpu_to_gpu(resources, 0, faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(8), 8, 2))
    index = faiss.GpuIndexBinaryFlat(resources, 16)
    index.add(bits(rng, 3, 16))
    with pytest.raises(AssertionError):
        index.search(bits(rng, 3, 8), 1)
    with pytest.raises(RuntimeError):
        index.reconstruct(3)
    assert index.search(bits(rng, 2, 16), 1)[1].shape == (2, 1)
