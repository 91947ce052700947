"""LlamaIndex's vector stores (llama-index-vector-stores-faiss)."""

import faiss
import numpy as np
import pytest
from common import distances, loaded, nearest, vectors
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.vector_stores.faiss import FaissMapVectorStore, FaissVectorStore

XB, XQ = vectors(150, 16), vectors(4, 16, seed=1)


def nodes(numbers):
    return [TextNode(text=f"text {i}", id_=f"node{i}", embedding=XB[i].tolist()) for i in numbers]


def ask(store, i, k=5):
    return store.query(VectorStoreQuery(query_embedding=XQ[i].tolist(), similarity_top_k=k))


def test_search_and_files(tmp_path):
    assert loaded()
    store = FaissVectorStore(faiss.IndexFlatL2(16))
    assert store.add(nodes(range(150)))
    path = tmp_path / "vectors.faiss"
    store.persist(str(path))
    assert type(faiss.read_index(str(path))).__name__ == "IndexFlatL2"
    for these in (store, FaissVectorStore.from_persist_path(str(path))):
        for i in range(4):
            answer = ask(these, i)
            exact = nearest(XB, XQ, 5)[i]
            assert [int(number) for number in answer.ids] == exact.tolist()
            np.testing.assert_allclose(answer.similarities, distances(XB, XQ)[i, exact], rtol=1e-5)


def test_hnsw():
    store = FaissVectorStore(faiss.IndexHNSWFlat(16, 32))
    store.add(nodes(range(150)))
    assert [int(number) for number in ask(store, 1, 3).ids] == nearest(XB, XQ, 3)[1].tolist()


@pytest.mark.parametrize("kind", [faiss.IndexIDMap, faiss.IndexIDMap2])
def test_map_store_deletes(kind, tmp_path):
    store = FaissMapVectorStore(kind(faiss.IndexFlatL2(16)))
    store.add(nodes(range(150)))
    first, second = nearest(XB, XQ, 2)[0]
    assert ask(store, 0, 2).ids == [f"node{first}", f"node{second}"]
    store.delete_nodes([f"node{first}"])
    assert ask(store, 0, 1).ids == [f"node{second}"]
    store.add(nodes([first]))
    assert ask(store, 0, 1).ids == [f"node{first}"]
    store.persist(str(tmp_path / "map"))
    again = FaissMapVectorStore.from_persist_path(str(tmp_path / "map"))
    assert ask(again, 0, 2).ids == [f"node{first}", f"node{second}"]
