"""The same small search again and again, which is recorded once: results stay those of the first call, and follow every change of the index."""

import threading

import faiss
import numpy as np
import pytest

D = 24


def made(resources, kind):
    if kind == "flat":
        return faiss.GpuIndexFlatL2(resources, D)
    if kind == "half":
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        return faiss.GpuIndexFlatIP(resources, D, config)
    if kind == "ivfpq":
        return faiss.GpuIndexIVFPQ(resources, D, 16, 6, 8)
    if kind == "ivfsq":
        return faiss.GpuIndexIVFScalarQuantizer(resources, D, 16, faiss.ScalarQuantizer.QT_8bit)
    config = faiss.GpuIndexIVFFlatConfig()
    config.indicesOptions = faiss.INDICES_CPU if kind == "host ids" else faiss.INDICES_64_BIT
    return faiss.GpuIndexIVFFlat(resources, D, 16, faiss.METRIC_L2, config)


KINDS = ["flat", "half", "ivfflat", "host ids", "ivfpq", "ivfsq"]


def fresh(index, queries, k):
    """The same search by resources that never saw one like it."""
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, faiss.index_gpu_to_cpu(index)).search(queries, k)


@pytest.mark.parametrize("kind", KINDS)
def test_follows_every_change(resources, rng, kind):
    x, queries = rng.random((6000, D), dtype="f4"), rng.random((40, D), dtype="f4")
    index = made(resources, kind)
    index.train(x)
    index.add(x[:3000])
    lists = isinstance(index, faiss.GpuIndexIVF)

    def check():
        for n in (1, 3, 8, 23):
            for k in (1, 10):
                # Six queries in turn, as recordings must read theirs.
                found = [index.search(queries[i : i + n], k) for i in range(6)]
                again = [index.search(queries[i : i + n], k) for i in range(6)]
                for a, b in zip(found, again, strict=True):
                    np.testing.assert_array_equal(a[0], b[0])
                    np.testing.assert_array_equal(a[1], b[1])
                if kind != "half":
                    wanted = fresh(index, queries[5 : 5 + n], k)
                    np.testing.assert_array_equal(found[5][1], wanted[1])
                    np.testing.assert_array_equal(found[5][0], wanted[0])

    check()
    index.add(x[3000:])
    check()
    if lists:
        index.nprobe = 5
        check()
        index.max_codes = 100
        check()
        index.max_codes = 0
    index.remove_ids(np.arange(0, 6000, 3))
    check()
    if kind in ("ivfpq", "ivfsq"):
        # Another codec over the same lists.
        index.train(x[::2].copy())
        check()
    index.reset()
    found = index.search(queries[:3], 4)
    assert (found[1] == -1).all()
    index.add(x[:100])
    check()


def test_counts_its_kernels(resources, rng):
    x = rng.random((5000, D), dtype="f4")
    index = made(resources, "ivfflat")
    index.train(x)
    index.add(x)
    index.nprobe = 3
    counts = []
    for _ in range(8):
        before = faiss.gpu_launch_count()
        index.search(x[:5], 7)
        counts.append(faiss.gpu_launch_count() - before)
    # A recording copies queries and results by kernels.
    assert counts[1:] == [counts[0] + 2] * 7, counts


def test_of_several_threads(resources, rng):
    x = rng.random((20_000, D), dtype="f4")
    indexes = [made(resources, kind) for kind in ("flat", "ivfflat", "ivfpq")]
    for index in indexes:
        index.train(x)
        index.add(x)
        if isinstance(index, faiss.GpuIndexIVF):
            index.nprobe = 4
    wanted = {(i, n): index.search(x[:n], 5) for i, index in enumerate(indexes) for n in (1, 8)}
    wrong = []

    def work(seed):
        order = np.random.default_rng(seed)
        for _ in range(60):
            i, n = int(order.integers(3)), int(order.choice([1, 8]))
            found = indexes[i].search(x[:n], 5)
            if not all(np.array_equal(a, b) for a, b in zip(found, wanted[i, n], strict=True)):
                wrong.append((i, n))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_without_temporary_memory(rng):
    resources = faiss.StandardGpuResources()
    resources.noTempMemory()
    x = rng.random((3000, D), dtype="f4")
    index = made(resources, "ivfflat")
    index.train(x)
    index.add(x)
    first = index.search(x[:4], 3)
    for _ in range(5):
        np.testing.assert_array_equal(index.search(x[:4], 3)[1], first[1])
