"""The GPU part where it can't work: everything can be named and made, and the first use says what is missing."""

import copy
import subprocess
import sys

import faiss
import numpy as np
import pytest

if faiss.get_num_gpus():
    pytest.skip("this machine has a GPU", allow_module_level=True)

x = np.zeros((3, 4), "f4")

CALLS = {
    "GpuIndexFlatL2": lambda res: faiss.GpuIndexFlatL2(res, 4),
    "GpuIndexFlatIP": lambda res: faiss.GpuIndexFlatIP(res, 4, faiss.GpuIndexFlatConfig()),
    "GpuIndexFlat": lambda res: faiss.GpuIndexFlat(res, 4, faiss.METRIC_L1),
    "GpuIndexIVFFlat": lambda res: faiss.GpuIndexIVFFlat(res, 4, 2),
    "GpuIndexIVFFlat of a CPU index": lambda res: faiss.index_cpu_to_gpu(
        res, 0, faiss.IndexIVFFlat(faiss.IndexFlatL2(4), 4, 2)
    ),
    "index_cpu_to_gpu": lambda res: faiss.index_cpu_to_gpu(res, 0, faiss.IndexFlatL2(4)),
    "index_cpu_to_gpu with options": lambda res: faiss.index_cpu_to_gpu(
        res, 0, faiss.IndexFlatL2(4), faiss.GpuClonerOptions()
    ),
    "index_cpu_to_all_gpus": lambda res: faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(4)),
    "index_cpu_to_gpu_multiple_py": lambda res: faiss.index_cpu_to_gpu_multiple_py([res], faiss.IndexFlatL2(4)),
    "knn_gpu": lambda res: faiss.knn_gpu(res, x, x, 2),
    "pairwise_distance_gpu": lambda res: faiss.pairwise_distance_gpu(res, x, x),
}


@pytest.mark.parametrize("call", CALLS)
def test_first_use_says_what_is_missing(call):
    with pytest.raises(RuntimeError, match=r"no GPU part|driver|no GPU is visible|is not installed"):
        CALLS[call](faiss.StandardGpuResources())


BAD = {
    "resources": lambda: faiss.index_cpu_to_gpu(3, 0, faiss.IndexFlatL2(4)),
    "index": lambda: faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, 3),
    "options": lambda: faiss.index_cpu_to_gpu(
        faiss.StandardGpuResources(), 0, faiss.IndexFlatL2(4), faiss.GpuIndexFlatConfig()
    ),
    "device": lambda: faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), "0", faiss.IndexFlatL2(4)),
    "arguments": lambda: faiss.GpuIndexFlatL2(4),
    "resources of knn_gpu": lambda: faiss.knn_gpu(None, x, x, 2),
    "parameters": lambda: faiss.bfKnn(faiss.StandardGpuResources(), 3),
}


@pytest.mark.parametrize("call", BAD)
def test_wrong_types(call):
    with pytest.raises(TypeError):
        BAD[call]()


def test_shapes_are_checked_first():
    res = faiss.StandardGpuResources()
    with pytest.raises(AssertionError):
        faiss.knn_gpu(res, x, x[:, :2], 2)
    with pytest.raises(AssertionError):
        faiss.knn_gpu(res, x, x, 0)
    with pytest.raises(AssertionError):
        faiss.knn_gpu(res, x, x, 2, D=np.empty((3, 3), "f4"))
    with pytest.raises(ValueError):
        faiss.knn_gpu(res, x[0], x, 2)


def test_an_index_of_the_cpu_is_no_index_of_a_gpu():
    with pytest.raises(RuntimeError, match="not a GPU index"):
        faiss.index_gpu_to_cpu(faiss.IndexFlatL2(4))


def test_options_and_resources():
    config = faiss.GpuIndexFlatConfig()
    assert (config.device, config.useFloat16, config.memorySpace) == (0, False, faiss.MemorySpace_Device)
    config.useFloat16 = True
    assert copy.copy(config).useFloat16
    assert not faiss.GpuIndexFlatConfig().useFloat16
    options = faiss.GpuMultipleClonerOptions()
    assert isinstance(options, faiss.GpuClonerOptions)
    assert options.indicesOptions == faiss.INDICES_64_BIT
    res = faiss.StandardGpuResources()
    res.setTempMemory(1 << 20)
    res.noTempMemory()
    with pytest.raises(OverflowError):
        res.setTempMemory(-1)
    assert len(res.getMemoryInfo()) == 0
    args = faiss.GpuDistanceParams()
    args.vectors = faiss.swig_ptr(x)
    assert args.vectors == x.ctypes.data


def test_classes():
    assert issubclass(faiss.GpuIndexFlatL2, faiss.GpuIndexFlat)
    assert issubclass(faiss.GpuIndexFlat, faiss.GpuIndex)
    assert issubclass(faiss.GpuIndex, faiss.Index)
    assert issubclass(faiss.GpuIndexIVFPQ, faiss.GpuIndex)
    with pytest.raises(NotImplementedError, match="GpuIndexCagra"):
        faiss.GpuIndexCagra(faiss.StandardGpuResources(), 4)


def test_the_cpu_part_works_after_the_failure():
    code = """
import faiss, numpy as np
assert faiss.get_num_gpus() == 0
try:
    faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), 4)
except RuntimeError as e:
    print(e)
index = faiss.IndexFlatL2(4)
index.add(np.eye(4, dtype='f4'))
print(index.search(np.eye(4, dtype='f4'), 1)[1].ravel())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[0 1 2 3]" in done.stdout
