"""Arrays that lie on a GPU: read and written in place by exhaustive search."""

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours, naive_knn

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("transposed", [False, True])
def test_knn_of_tensors(resources, rng, dtype, transposed):
    xq, xb = (rng.random((n, 24), dtype="f4").astype(dtype) for n in (30, 3000))
    there = [torch.from_numpy(x).cuda() for x in (xq, xb)]
    if transposed:
        there = [t.T.contiguous().T for t in there]
    D = torch.empty((30, 7), dtype=torch.float32, device="cuda")
    labels = torch.empty((30, 7), dtype=torch.int64, device="cuda")
    got = faiss.knn_gpu(resources, *there, 7, D=D, I=labels)
    assert got[0] is D
    assert got[1] is labels
    assert_same_neighbours((D.cpu().numpy(), labels.cpu().numpy()), naive_knn(xq, xb, 7), rtol=2e-3)
    # Results may go to the host, too.
    host = faiss.knn_gpu(resources, *there, 7)
    assert isinstance(host[0], np.ndarray)
    np.testing.assert_array_equal(host[1], labels.cpu().numpy())


def test_tensors_on_a_stream_of_their_own(resources, rng):
    xb = rng.random((20_000, 16), dtype="f4")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        there = torch.from_numpy(xb).cuda()
        for _ in range(50):
            there = there * 1.0
        there += 1
        D, ids = faiss.knn_gpu(resources, there[:5], there, 1)
    np.testing.assert_array_equal(ids[:, 0], np.arange(5))
    np.testing.assert_array_equal(D, 0)


@pytest.mark.launches_none
def test_what_does_not_fit_is_refused(resources):
    x = torch.zeros((4, 8), device="cuda")
    with pytest.raises(ValueError, match="contiguous"):
        faiss.knn_gpu(resources, x[:, ::2], x[:, ::2], 1)
    with pytest.raises(TypeError, match="both"):
        faiss.knn_gpu(resources, x, x.half(), 1)
    with pytest.raises(AssertionError, match="shape"):
        faiss.knn_gpu(resources, x, x, 1, D=torch.zeros((3, 1), device="cuda"))


class OnlyDLPack:
    """An array of which nothing is known but what DLPack says."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, stream=None):
        return self.tensor.__dlpack__(stream=stream)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()

    @property
    def shape(self):
        return self.tensor.shape


def test_arrays_that_come_by_dlpack(resources, rng):
    x, xq = (rng.random((n, 24), dtype="f4") for n in (2000, 30))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        there, queries = (OnlyDLPack(torch.from_numpy(a).cuda() + 0) for a in (x, xq))
        D = torch.empty((30, 5), device="cuda")
        labels = torch.empty((30, 5), dtype=torch.int64, device="cuda")
        index = faiss.GpuIndexFlatL2(resources, 24)
        index.add(there)
        own = index.search(queries, 5)
        index.search(queries, 5, D=OnlyDLPack(D), I=OnlyDLPack(labels))
        knn = faiss.knn_gpu(resources, queries, there, 5)
    wanted = naive_knn(xq, x, 5)
    for found in (own, knn, (D.cpu().numpy(), labels.cpu().numpy())):
        assert_same_neighbours(found, wanted)
    with pytest.raises(TypeError):
        index.add(OnlyDLPack(torch.zeros((3, 24), device="cuda", dtype=torch.bfloat16)))
    assert index.ntotal == 2000


def test_steps_along_one_row_say_nothing(resources, rng):
    x = torch.from_numpy(rng.random((10, 8), dtype="f4")).cuda()
    index = faiss.GpuIndexFlatL2(resources, 8)
    index.add(x)
    one = x.as_strided((1, 8), (3, 1), 16)
    assert int(index.search(one, 1)[1][0, 0]) == 2
