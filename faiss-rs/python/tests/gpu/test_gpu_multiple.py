"""Indexes on several GPUs, or on one several times: replicas and shards, their parameters, and the way back."""

import faiss
import numpy as np
import pytest


@pytest.fixture
def several(resources):
    """Two resources on two GPUs, or on one twice."""
    count = faiss.get_num_gpus()
    return [resources, faiss.StandardGpuResources()], [0, 1 % count]


def made(key, rng, n=3000, d=16):
    x = rng.random((n, d), dtype="f4")
    cpu = faiss.index_factory(d, key)
    cpu.train(x)
    cpu.add(x)
    return cpu, x


def same(found, wanted):
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-4, atol=1e-5)


KEYS = ["Flat", "IVF12,Flat", "IVF12,PQ4x8", "IVF12,SQ8", "PCA8,IVF12,Flat"]


@pytest.mark.parametrize("key", KEYS)
def test_replicas(several, rng, key):
    cpu, x = made(key, rng)
    gpu = faiss.index_cpu_to_gpu_multiple_py(several[0], cpu, gpus=several[1])
    space = faiss.GpuParameterSpace()
    if "IVF" in key:
        space.set_index_parameter(gpu, "nprobe", 5)
        faiss.ParameterSpace().set_index_parameter(cpu, "nprobe", 5)
        space.initialize(gpu)
        assert space.parameter_ranges.at(0).name == "nprobe"
    for nq in (1, 2, 101):
        same(gpu.search(x[:nq], 7), cpu.search(x[:nq], 7))
    assert gpu.ntotal == cpu.ntotal
    same(faiss.index_gpu_to_cpu(gpu).search(x[:9], 3), cpu.search(x[:9], 3))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("shard_type", [1, 2, 4])
@pytest.mark.parametrize("common", [True, False])
def test_shards(several, rng, key, shard_type, common):
    cpu, x = made(key, rng)
    options = faiss.GpuMultipleClonerOptions()
    options.shard, options.shard_type, options.common_ivf_quantizer = True, shard_type, common
    providers, devices = faiss.GpuResourcesVector(), faiss.Int32Vector()
    for provider, device in zip(*several, strict=True):
        providers.push_back(provider)
        devices.push_back(device)
    gpu = faiss.index_cpu_to_gpu_multiple(providers, devices, cpu, options)
    if "IVF" in key:
        faiss.GpuParameterSpace().set_index_parameter(gpu, "nprobe", 6)
        faiss.ParameterSpace().set_index_parameter(cpu, "nprobe", 6)
    same(gpu.search(x[:50], 9), cpu.search(x[:50], 9))
    if key == "Flat":
        assert [gpu.at(i).ntotal for i in range(2)] == [1500, 1500]


def test_new_vectors(several, rng):
    cpu, x = made("IVF12,Flat", rng)
    cpu.reset()
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True
    gpu = faiss.index_cpu_to_gpu_multiple_py(several[0], cpu, options, several[1])
    gpu.add(x)
    gpu.add(x[:10] + 1)
    cpu.add(x)
    cpu.add(x[:10] + 1)
    assert gpu.ntotal == cpu.ntotal
    same(gpu.search(x[:30], 4), cpu.search(x[:30], 4))


def test_all_gpus(rng):
    cpu, x = made("Flat", rng)
    for gpu in (
        faiss.index_cpu_to_all_gpus(cpu),
        faiss.index_cpu_to_all_gpus(cpu, ngpu=1),
        faiss.index_cpu_to_gpus_list(cpu, gpus=[0]),
        faiss.index_cpu_to_gpu_multiple_py([faiss.StandardGpuResources()], cpu),
    ):
        same(gpu.search(x[:20], 5), cpu.search(x[:20], 5))
    assert isinstance(faiss.index_cpu_to_gpus_list(cpu, gpus=[0]), faiss.GpuIndexFlat)
    with pytest.raises(RuntimeError):
        faiss.index_cpu_to_gpu_multiple_py([faiss.StandardGpuResources()], cpu, gpus=[99])


def test_what_there_is_not(several):
    lsh = faiss.IndexPQ(8, 2, 4)
    with pytest.raises(RuntimeError, match="not implemented on GPU"):
        faiss.index_cpu_to_gpu_multiple_py(several[0], lsh, gpus=several[1])
    quantizer = faiss.IndexHNSWFlat(8, 4)
    index = faiss.IndexIVFFlat(quantizer, 8, 20)
    index.train(np.random.default_rng(1).random((900, 8), dtype="f4"))
    with pytest.raises(RuntimeError, match="allowCpuCoarseQuantizer is set to false"):
        faiss.index_cpu_to_gpu(several[0][0], 0, index)
    options = faiss.GpuClonerOptions()
    options.allowCpuCoarseQuantizer = True
    gpu = faiss.index_cpu_to_gpu(several[0][0], 0, index, options)
    gpu.add(np.eye(8, dtype="f4"))
    assert gpu.search(np.eye(8, dtype="f4"), 1)[0].max() == 0


def test_memory_is_reported(several, rng):
    cpu, _ = made("IVF12,Flat", rng)
    gpu = faiss.index_cpu_to_gpu(several[0][1], several[1][1], cpu)
    info = several[0][1].getMemoryInfo()
    count, size = info[several[1][1]]["IVFLists"]
    assert count >= 1
    assert size >= 4 * 16 * 3000
    assert gpu.ntotal == 3000
