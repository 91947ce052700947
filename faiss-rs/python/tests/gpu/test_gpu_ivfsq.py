"""Scalar-quantized lists on a GPU, against the CPU and against what codes decode to in f64."""

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours, naive_knn

L2, IP = faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT
SQ = faiss.ScalarQuantizer
TYPES = [
    SQ.QT_8bit,
    SQ.QT_4bit,
    SQ.QT_8bit_uniform,
    SQ.QT_4bit_uniform,
    SQ.QT_fp16,
    SQ.QT_8bit_direct,
    SQ.QT_6bit,
    SQ.QT_bf16,
    SQ.QT_8bit_direct_signed,
]


def vectors(rng, n, d, qtype):
    x = rng.random((n, d), dtype="f4")
    return np.floor(200 * x).astype("f4") - 100 * (qtype == SQ.QT_8bit_direct_signed) if "direct" in name(qtype) else x


def name(qtype):
    return next(n for n in dir(SQ) if n.startswith("QT_") and getattr(SQ, n) == qtype and n != "QT_count")


def trained(rng, d, nlist, qtype, metric=L2, n=3000, by_residual=True):
    x = vectors(rng, n, d, qtype)
    # What differs from a centroid is no byte.
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlat(d, metric), d, nlist, qtype, metric, by_residual)
    index.train(x)
    index.add(x)
    return index, x


def lists_of(index):
    lists = index.invlists
    out = []
    for i in range(lists.nlist):
        n = lists.list_size(i)
        codes = faiss.rev_swig_ptr(lists.get_codes(i), n * lists.code_size).copy()
        out.append((faiss.rev_swig_ptr(lists.get_ids(i), n).copy(), codes.reshape(n, lists.code_size)))
    return out


def decoded(index):
    index.make_direct_map()
    x = index.reconstruct_n(0, index.ntotal)
    index.make_direct_map(False)
    return x


@pytest.mark.parametrize("qtype", TYPES, ids=name)
@pytest.mark.parametrize("metric", [L2, IP])
@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize(("d", "nlist"), [(1, 3), (7, 9), (32, 16), (66, 1), (130, 5)])
def test_search(resources, rng, d, nlist, qtype, metric, by_residual):
    cpu, _ = trained(rng, d, nlist, qtype, metric, by_residual=by_residual and "direct" not in name(qtype))
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert isinstance(gpu, faiss.GpuIndexIVFScalarQuantizer)
    assert (gpu.by_residual, gpu.sq.qtype) == (cpu.by_residual, qtype)
    truth = decoded(cpu)
    # Few queries, tiles of them, and full tiles: all kernels.
    for nq, k, nprobe in [(1, 1, 1), (5, 10, 3), (40, 10, nlist), (300, 10, nlist), (3, 2500, nlist)]:
        xq = vectors(rng, nq, d, qtype)
        cpu.nprobe = gpu.nprobe = min(nprobe, nlist)
        found, wanted = gpu.search(xq, k), cpu.search(xq, k)
        np.testing.assert_array_equal(found[1] < 0, wanted[1] < 0)
        if nprobe == nlist:
            assert_same_neighbours(found, naive_knn(xq, truth, k, metric == IP))


@pytest.mark.parametrize("qtype", TYPES, ids=name)
@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("d", [1, 7, 32, 66])
def test_added_on_the_gpu(resources, rng, d, qtype, by_residual):
    by_residual = by_residual and "direct" not in name(qtype)
    cpu, x = trained(rng, d, 6, qtype, by_residual=by_residual)
    wanted = lists_of(cpu)
    cpu.reset()
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert (gpu.is_trained, gpu.ntotal) == (True, 0)
    gpu.add(x[:1000])
    gpu.add(x[1000:])
    back = faiss.index_gpu_to_cpu(gpu)
    assert isinstance(back, faiss.IndexIVFScalarQuantizer)
    for (ids, codes), (found_ids, found_codes) in zip(wanted, lists_of(back), strict=True):
        np.testing.assert_array_equal(found_ids, ids)
        np.testing.assert_array_equal(found_codes, codes)


@pytest.mark.parametrize("qtype", TYPES, ids=name)
@pytest.mark.parametrize("metric", [L2, IP])
def test_trained_on_the_gpu(resources, rng, qtype, metric):
    d, nlist = 24, 8
    x = vectors(rng, 4000, d, qtype)
    residual = "direct" not in name(qtype)
    gpu = faiss.GpuIndexIVFScalarQuantizer(resources, d, nlist, qtype, metric, residual)
    assert not gpu.is_trained
    gpu.train(x)
    gpu.add(x)
    gpu.nprobe = nlist
    cpu = faiss.index_gpu_to_cpu(gpu)
    truth = decoded(cpu)
    xq = vectors(rng, 70, d, qtype)
    assert_same_neighbours(gpu.search(xq, 9), naive_knn(xq, truth, 9, metric == IP))
    # What comes back is an index like any other: it is written, read and copied to a GPU again.
    again = faiss.index_cpu_to_gpu(resources, 0, faiss.deserialize_index(faiss.serialize_index(cpu)))
    np.testing.assert_array_equal(again.search(xq, 9)[1], gpu.search(xq, 9)[1])
    other = faiss.IndexIVFScalarQuantizer()
    gpu.copyTo(other)
    np.testing.assert_array_equal(other.search(xq, 9)[1][:, 0], cpu.search(xq, 9)[1][:, 0])


def test_what_there_is_not(resources):
    flat = faiss.IndexFlatL2(8)
    with pytest.raises(RuntimeError, match="not implemented on GPU"):
        faiss.index_cpu_to_gpu(resources, 0, faiss.IndexIVFScalarQuantizer(flat, 8, 2, SQ.QT_4bit_tqmse))
    with pytest.raises(RuntimeError, match="not implemented on GPU"):
        faiss.GpuIndexIVFScalarQuantizer(resources, 8, 2, SQ.QT_0bit)
    with pytest.raises(RuntimeError):
        faiss.GpuIndexIVFScalarQuantizer(resources, 8, 2, 99)
    index = faiss.GpuIndexIVFScalarQuantizer(resources, 8, 2, SQ.QT_8bit)
    with pytest.raises(RuntimeError):
        index.add(np.zeros((3, 8), "f4"))
    faiss.knn_gpu(resources, np.zeros((1, 8), "f4"), np.zeros((3, 8), "f4"), 1)


def test_selectors_ranges_and_places(resources, rng):
    cpu, x = trained(rng, 16, 7, SQ.QT_8bit)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    cpu.nprobe = gpu.nprobe = 4
    params = faiss.SearchParametersIVF(nprobe=7, sel=faiss.IDSelectorRange(100, 900))
    found, wanted = gpu.search(x[:20], 5, params=params), cpu.search(x[:20], 5, params=params)
    np.testing.assert_array_equal(found[1], wanted[1])
    lims, distances, ids = gpu.range_search(x[:9], 1.2)
    expected = cpu.range_search(x[:9], 1.2)
    np.testing.assert_array_equal(lims, expected[0])
    for i in range(9):
        own, other = slice(lims[i], lims[i + 1]), slice(expected[0][i], expected[0][i + 1])
        np.testing.assert_array_equal(np.sort(ids[own]), np.sort(expected[2][other]))
        np.testing.assert_allclose(np.sort(distances[own]), np.sort(expected[1][other]), rtol=1e-4)


def test_half_precision_codes_become_a_flat_index(resources, rng):
    x = rng.random((500, 12), dtype="f4")
    cpu = faiss.IndexScalarQuantizer(12, SQ.QT_fp16)
    cpu.add(x)
    gpu = faiss.index_cpu_to_gpu(resources, 0, cpu)
    assert isinstance(gpu, faiss.GpuIndexFlat)
    np.testing.assert_array_equal(gpu.reconstruct_n(0, 500), cpu.reconstruct_n(0, 500))
    np.testing.assert_array_equal(gpu.search(x[:9], 1)[1].ravel(), np.arange(9))
    other = faiss.IndexScalarQuantizer(12, SQ.QT_8bit)
    with pytest.raises(RuntimeError, match="not implemented on GPU"):
        faiss.index_cpu_to_gpu(resources, 0, other)
