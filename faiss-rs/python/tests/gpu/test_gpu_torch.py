"""Tensors of PyTorch in every call of an index that takes vectors, through faiss.contrib.torch_utils and without it."""

import importlib

import faiss
import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module", autouse=True)
def utils():
    """The module, whose import changes classes: as they were, afterwards, for the tests of arrays."""
    module = importlib.import_module("faiss.contrib.torch_utils")
    yield module
    for name, methods in module._METHODS.items():
        cls = getattr(faiss, name)
        for method in methods.split():
            if f"{method}_numpy" in cls.__dict__:
                setattr(cls, method, cls.__dict__[f"{method}_numpy"])
                delattr(cls, f"{method}_numpy")
    for name in ("knn_gpu", "pairwise_distance_gpu"):
        setattr(faiss, name, getattr(faiss, name).__wrapped__)


@pytest.fixture
def vectors(rng):
    return rng.random((2000, 24), dtype="f4"), rng.random((40, 24), dtype="f4")


def indexes(resources):
    yield faiss.GpuIndexFlatL2(resources, 24)
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = True
    yield faiss.GpuIndexFlatIP(resources, 24, config)
    for options in (faiss.INDICES_64_BIT, faiss.INDICES_CPU):
        config = faiss.GpuIndexIVFFlatConfig()
        config.indicesOptions = options
        yield faiss.GpuIndexIVFFlat(resources, 24, 16, faiss.METRIC_L2, config)
    yield faiss.GpuIndexIVFPQ(resources, 24, 16, 6, 8)
    yield faiss.GpuIndexIVFScalarQuantizer(resources, 24, 16, faiss.ScalarQuantizer.QT_8bit)


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_indexes(resources, vectors, where):
    _x, xq = vectors
    there, queries = (torch.from_numpy(a).to(where) for a in vectors)
    for index in indexes(resources):
        index.train(there)
        index.add(there[:1500])
        index.add(there[1500:])
        if isinstance(index, faiss.GpuIndexIVF):
            index.nprobe = 16
        assert index.ntotal == 2000
        D, found = index.search(queries, 5)
        assert isinstance(D, torch.Tensor)
        assert D.device.type == found.device.type == where
        assert D.dtype == torch.float32
        wanted = index.search(xq, 5)
        np.testing.assert_array_equal(found.cpu().numpy(), wanted[1])
        np.testing.assert_array_equal(D.cpu().numpy(), wanted[0])
        own = torch.empty((40, 5), device=where), torch.empty((40, 5), dtype=torch.int64, device=where)
        assert index.search(queries, 5, D=own[0], I=own[1])[0] is own[0]
        assert torch.equal(own[1], found)
        assert torch.equal(index.assign(queries, 3), found[:, :3])
        one, rows = index.reconstruct(7), index.reconstruct_n(5, 4)
        assert one.is_cuda
        assert torch.equal(rows[2], one)
        assert isinstance(index.reconstruct(7, np.empty(24, "f4")), np.ndarray)
        index.reset()
        if isinstance(index, faiss.GpuIndexIVF):
            index.add_with_ids(there, torch.arange(2000, device=where) + 10_000)
            assert int(index.search(queries, 1)[1].min()) >= 10_000
        # f16 and bf16, and rows that are not one after the other.
        index.reset()
        index.add(there.half())
        index.add(there.bfloat16())
        index.add(there.T.contiguous().T)
        assert index.ntotal == 6000
    assert index.search(queries[:0], 3)[0].shape == (0, 3)


def test_on_another_stream(resources, vectors):
    x, xq = vectors
    index = faiss.GpuIndexFlatL2(resources, 24)
    index.add(x)
    wanted = index.search(xq, 5)[1]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(20):
            # Results that the stream has not made yet when the call begins.
            big = torch.rand(4000, 4000, device="cuda")
            queries = torch.from_numpy(xq).cuda() + 0 * (big @ big)[:40, :24].clamp(0, 0)
            found = index.search(queries, 5)[1]
            np.testing.assert_array_equal(found.cpu().numpy(), wanted)


@pytest.mark.launches_none
def test_what_is_refused(resources, vectors):
    x, _ = vectors
    there = torch.from_numpy(x).cuda()
    with pytest.raises(AssertionError, match="GPU tensor on CPU index not allowed"):
        faiss.IndexFlatL2(24).add(there)
    index = faiss.GpuIndexFlatL2(resources, 24)
    with pytest.raises(AssertionError):
        index.add(there[:, :20])
    index.add(there)
    with pytest.raises(AssertionError):
        index.search(
            there, 2, D=torch.empty((3, 2), device="cuda"), I=torch.empty((3, 2), dtype=torch.int64, device="cuda")
        )
    with pytest.raises(AssertionError):
        index.search(there, 0)


def test_cpu_index(vectors):
    x, xq = vectors
    index, arrays = faiss.index_factory(24, "IVF8,Flat"), faiss.index_factory(24, "IVF8,Flat")
    there = torch.from_numpy(x)
    index.train(there)
    arrays.train(x)
    index.add_with_ids(there, torch.arange(2000) + 5)
    arrays.add_with_ids(x, np.arange(2000) + 5)
    for found, wanted in zip(index.search(torch.from_numpy(xq), 3), arrays.search(xq, 3), strict=True):
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), wanted)
    lims, D, ids = index.range_search(torch.from_numpy(xq), 2.0)
    assert lims.dtype == ids.dtype == torch.int64
    assert int(lims[-1]) == len(D)
    assert index.remove_ids(torch.arange(10) + 5) == 10
    # Arrays stay arrays.
    assert isinstance(index.search(xq, 3)[0], np.ndarray)
    faiss.knn_gpu(faiss.StandardGpuResources(), xq, x, 1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_without_an_index(resources, vectors, dtype, where):
    x, xq = (torch.from_numpy(a).to(getattr(torch, dtype)).to(where) for a in vectors)
    D, found = faiss.knn_gpu(resources, xq, x, 4)
    truth = torch.cdist(xq.double(), x.double()) ** 2
    assert D.device.type == where
    assert found.dtype == torch.int64
    np.testing.assert_allclose(D.cpu().numpy(), truth.sort(1)[0][:, :4].cpu().numpy(), rtol=2e-3, atol=1e-3)
    all_of_them = faiss.pairwise_distance_gpu(resources, xq, x)
    np.testing.assert_allclose(all_of_them.cpu().numpy(), truth.cpu().numpy(), rtol=2e-3, atol=2e-3)


def test_pointers_and_streams(utils, resources, vectors):
    x, _ = vectors
    index = faiss.IndexFlatL2(24)
    there = torch.from_numpy(x)
    index.add_c(2000, utils.swig_ptr_from_FloatTensor(there))
    assert index.ntotal == 2000
    assert int(utils.swig_ptr_from_IndicesTensor(torch.arange(3).cuda())) > 0
    with pytest.raises(AssertionError):
        utils.swig_ptr_from_FloatTensor(there.T)
    gpu = faiss.GpuIndexFlatL2(resources, 24)
    with utils.using_stream(resources):
        gpu.add(there.cuda())
        assert int(gpu.search(there[:5].cuda(), 1)[1][3]) == 3


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_whole_numbers(resources, rng, dtype):
    x, xq = (torch.from_numpy(rng.integers(0, 100, (n, 24)).astype(dtype)).cuda() for n in (500, 20))
    D, found = faiss.knn_gpu(resources, xq, x, 3)
    truth = (torch.cdist(xq.double(), x.double()) ** 2).sort(1)[0][:, :3]
    np.testing.assert_allclose(D.cpu().numpy(), truth.cpu().numpy(), rtol=1e-5)
    index = faiss.GpuIndexFlatL2(resources, 24)
    index.add(x)
    assert torch.equal(index.search(xq, 3)[0], D)
    assert found.dtype == torch.int64


def test_tensors_with_gradients(resources, vectors):
    x, xq = (torch.from_numpy(a).cuda().requires_grad_() for a in vectors)
    index = faiss.GpuIndexFlatL2(resources, 24)
    index.add(x)
    _, found = index.search(xq, 3)
    assert torch.equal(faiss.knn_gpu(resources, xq, x, 3)[1], found)


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_clustering_of_tensors(resources, rng, where):
    clustering = importlib.import_module("faiss.contrib.torch.clustering")
    x = torch.from_numpy(rng.random((3000, 16), dtype="f4")).to(where)
    data = clustering.DatasetAssignGPU(resources, x)
    centroids, stats = clustering.kmeans(20, data, niter=6, verbose=False, return_stats=True)
    assert isinstance(centroids, torch.Tensor)
    assert (centroids.device.type, tuple(centroids.shape), len(stats)) == (where, (20, 16), 6)
    again = clustering.kmeans(20, clustering.DatasetAssignGPU(resources, x), niter=6, verbose=False)
    assert torch.equal(again, centroids)
    host = importlib.import_module("faiss.contrib.clustering")
    wanted = host.kmeans(20, host.DatasetAssign(x.cpu().numpy()), niter=6, verbose=False, return_stats=True)
    np.testing.assert_allclose(stats[-1]["obj"], wanted[1][-1]["obj"], rtol=1e-3)
    nearest, D, sums = data.assign_to(centroids, weights=torch.ones(3000, device=where))
    for c in (0, 7, 19):
        np.testing.assert_allclose(sums[c].cpu(), x[nearest == c].sum(0).cpu(), rtol=1e-4, atol=1e-4)
    assert D.shape == (3000,)


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_quantizers_of_tensors(resources, rng, where):
    quantization = importlib.import_module("faiss.contrib.torch.quantization")
    x = torch.from_numpy(rng.random((4000, 16), dtype="f4")).to(where)
    pq = quantization.ProductQuantizer(16, 4, 6)
    pq.train(x)
    codes = pq.encode(x)
    assert (codes.dtype, tuple(codes.shape), codes.device.type) == (torch.uint8, (4000, 4), where)
    error = float(((pq.decode(codes) - x) ** 2).sum())
    other = faiss.ProductQuantizer(16, 4, 6)
    other.train(x.cpu().numpy())
    np.testing.assert_allclose(
        error, ((other.decode(other.compute_codes(x.cpu().numpy())) - x.cpu().numpy()) ** 2).sum(), rtol=0.05
    )
    vq = quantization.VectorQuantizer(16, 300)
    vq.train(x)
    assert vq.code_size == 2
    assert float(((vq.decode(vq.encode(x)) - x) ** 2).sum(1).mean()) < float(((x - x.mean(0)) ** 2).sum(1).mean())
    faiss.knn_gpu(resources, x, x[:3], 1)
    for bad in ((16, 3, 8), (16, 4, 9), (16, 0, 8)):
        with pytest.raises(ValueError, match=r"parts|bits"):
            quantization.ProductQuantizer(*bad)
    with pytest.raises(ValueError, match="shape"):
        pq.encode(x[:, :8])
