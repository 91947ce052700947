"""Haystack's document store (faiss-haystack)."""

import numpy as np
import pytest
from common import loaded, nearest, vectors
from haystack import Document
from haystack_integrations.components.retrievers.faiss import FAISSEmbeddingRetriever
from haystack_integrations.document_stores.faiss import FAISSDocumentStore

XB, XQ = vectors(120, 18), vectors(4, 18, seed=1)


def documents():
    return [
        Document(id=f"d{i}", content=f"text {i}", embedding=XB[i].tolist(), meta={"odd": i % 2}) for i in range(120)
    ]


@pytest.mark.parametrize("description", ["Flat", "HNSW32"])
def test_search(description, tmp_path):
    store = FAISSDocumentStore(index_string=description, embedding_dim=18)
    assert store.write_documents(documents()) == 120
    assert loaded()
    retriever = FAISSEmbeddingRetriever(document_store=store, top_k=5)
    for i, exact in enumerate(nearest(XB, XQ, 5)):
        found = retriever.run(query_embedding=XQ[i].tolist())["documents"]
        assert [document.id for document in found] == [f"d{j}" for j in exact]
    store.save(tmp_path / "store")
    again = FAISSDocumentStore(index_string=description, embedding_dim=18)
    again.load(tmp_path / "store")
    assert again.count_documents() == 120
    assert [d.id for d in again.search(XQ[2].tolist(), 5)] == [f"d{j}" for j in nearest(XB, XQ, 5)[2]]


def test_filter_and_delete():
    store = FAISSDocumentStore(embedding_dim=18)
    store.write_documents(documents())
    odd = nearest(XB[1::2], XQ, 3)[0] * 2 + 1
    where = {"field": "meta.odd", "operator": "==", "value": 1}
    found = store.search(XQ[0].tolist(), 3, where)
    assert {document.id for document in found} <= {f"d{i}" for i in range(1, 120, 2)}
    assert found[0].id == f"d{odd[0]}"
    store.delete_documents([f"d{odd[0]}"])
    assert store.count_documents() == 119
    assert f"d{odd[0]}" not in [document.id for document in store.search(XQ[0].tolist(), 100)]
    assert np.isfinite([document.score for document in store.search(XQ[0].tolist(), 3)]).all()
