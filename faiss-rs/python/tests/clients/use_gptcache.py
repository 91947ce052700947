"""GPTCache: answers that were given to similar questions."""

from common import loaded, nearest, vectors
from gptcache.manager.vector_data.base import VectorData
from gptcache.manager.vector_data.faiss import Faiss

XB, XQ = vectors(100, 10), vectors(4, 10, seed=1)


def test_store(tmp_path):
    path = str(tmp_path / "cache.index")
    store = Faiss(path, 10, 3)
    store.mul_add([VectorData(id=i * 7, data=x) for i, x in enumerate(XB)])
    assert loaded()
    assert store.count() == 100
    for query, exact in zip(XQ, nearest(XB, XQ, 3), strict=True):
        assert [int(i) for _, i in store.search(query)] == (exact * 7).tolist()
    first, second = nearest(XB, XQ, 2)[0]
    store.delete([int(first) * 7])
    assert store.count() == 99
    assert int(store.search(XQ[0], 1)[0][1]) == second * 7
    store.flush()
    assert int(Faiss(path, 10, 3).search(XQ[0], 1)[0][1]) == second * 7
