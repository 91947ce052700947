"""mem0: the memory of an assistant."""

import pytest
from common import loaded, nearest, vectors
from mem0.vector_stores.faiss import FAISS

XB, XQ = vectors(80, 12), vectors(4, 12, seed=1)


@pytest.mark.parametrize("strategy", ["euclidean", "inner_product", "cosine"])
def test_memories(strategy, tmp_path):
    store = FAISS("memories", path=str(tmp_path), distance_strategy=strategy, embedding_model_dims=12)
    store.insert(XB.tolist(), [{"data": f"text {i}", "odd": i % 2} for i in range(80)], [f"m{i}" for i in range(80)])
    assert loaded()
    found = [memory.id for memory in store.search("", XQ[0].tolist(), top_k=5)]
    assert len(set(found)) == 5
    if strategy == "euclidean":
        assert found == [f"m{i}" for i in nearest(XB, XQ, 5)[0]]
    assert all(memory.payload["odd"] for memory in store.search("", XQ[0].tolist(), top_k=5, filters={"odd": 1}))
    store.update(found[1], payload={"data": "new", "odd": 0})
    assert store.get(found[1]).payload["data"] == "new"
    store.delete(found[0])
    assert store.get(found[0]) is None
    again = FAISS("memories", path=str(tmp_path), distance_strategy=strategy, embedding_model_dims=12)
    assert found[0] not in [memory.id for memory in again.search("", XQ[0].tolist(), top_k=5)]
    assert again.get("m7").payload
