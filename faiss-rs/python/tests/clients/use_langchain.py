"""LangChain's vector store (langchain-community)."""

import faiss
import numpy as np
import pytest
from common import distances, loaded, nearest, vectors
from langchain_community.docstore.in_memory import InMemoryDocstore
from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy
from langchain_core.embeddings import Embeddings

XB, XQ = vectors(200, 24), vectors(5, 24, seed=1)
TEXTS = [f"text {i}" for i in range(200)]


class Given(Embeddings):
    """Embeds `text 7` as vector 7 and `query 3` as query 3."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        kind, number = text.split()
        return (XB if kind == "text" else XQ)[int(number)].tolist()


@pytest.fixture
def store():
    assert loaded()
    metadatas = [{"odd": i % 2, "number": i} for i in range(200)]
    return FAISS.from_texts(TEXTS, Given(), metadatas=metadatas, ids=[f"id{i}" for i in range(200)])


def numbers(documents):
    return [int(document.page_content.split()[1]) for document in documents]


def test_search(store):
    exact = nearest(XB, XQ, 6)
    for i in range(5):
        found = store.similarity_search_with_score(f"query {i}", k=6)
        assert numbers(document for document, _ in found) == exact[i].tolist()
        np.testing.assert_allclose([score for _, score in found], distances(XB, XQ)[i, exact[i]], rtol=1e-5)
    assert numbers(store.similarity_search_by_vector(XQ[2].tolist(), k=3)) == exact[2, :3].tolist()


def test_filter_and_threshold(store):
    odd = nearest(XB[1::2], XQ, 4)[0] * 2 + 1
    assert numbers(store.similarity_search("query 0", k=4, filter={"odd": 1}, fetch_k=200)) == odd.tolist()
    assert numbers(store.similarity_search("query 0", k=4, filter=lambda m: m["number"] < 3, fetch_k=200)) == [
        i for i in nearest(XB, XQ, 200)[0] if i < 3
    ]
    limit = float(np.sort(distances(XB, XQ)[1])[7])
    within = store.similarity_search_with_score("query 1", k=20, score_threshold=limit + 1e-4)
    assert numbers(document for document, _ in within) == nearest(XB, XQ, 8)[1].tolist()


def test_marginal_relevance(store):
    found = numbers(store.max_marginal_relevance_search("query 0", k=5, fetch_k=20, lambda_mult=0.7))
    # Of the candidates the first is the most similar one by cosine.
    candidates = nearest(XB, XQ, 20)[0]
    assert found[0] == candidates[np.argmax(XB[candidates] @ XQ[0] / np.linalg.norm(XB[candidates], axis=1))]
    assert len(set(found)) == 5
    assert set(found) <= set(candidates.tolist())


def test_add_delete_merge(store):
    other = FAISS.from_texts(["query 0", "query 1"], Given(), ids=["a", "b"])
    store.merge_from(other)
    assert store.index.ntotal == 202
    assert store.similarity_search("query 1", k=1)[0].page_content == "query 1"
    assert store.delete(["a", "id0", "id199"])
    assert store.index.ntotal == 199
    assert store.similarity_search("query 0", k=1)[0].page_content == f"text {nearest(XB, XQ, 1)[0, 0]}"
    (added,) = store.add_texts(["text 0"])
    assert store.get_by_ids([added])[0].page_content == "text 0"
    assert store.similarity_search_by_vector(XB[0].tolist(), k=1)[0].page_content == "text 0"


def test_local_files_and_bytes(store, tmp_path):
    store.save_local(tmp_path, "mine")
    assert faiss.read_index(str(tmp_path / "mine.faiss")).ntotal == 200
    for again in (
        FAISS.load_local(tmp_path, Given(), "mine", allow_dangerous_deserialization=True),
        FAISS.deserialize_from_bytes(store.serialize_to_bytes(), Given(), allow_dangerous_deserialization=True),
    ):
        assert numbers(again.similarity_search("query 4", k=6)) == nearest(XB, XQ, 6)[4].tolist()


def test_cosine(store):
    cosine = FAISS.from_texts(TEXTS, Given(), distance_strategy=DistanceStrategy.MAX_INNER_PRODUCT, normalize_L2=True)
    unit = XB / np.linalg.norm(XB, axis=1, keepdims=True)
    best = np.argsort(-(unit @ XQ[0]))[:4]
    assert numbers(cosine.similarity_search("query 0", k=4)) == best.tolist()
    scores = [score for _, score in cosine.similarity_search_with_relevance_scores("query 0", k=4)]
    np.testing.assert_allclose(scores, 1 - (unit[best] @ (XQ[0] / np.linalg.norm(XQ[0]))), atol=1e-5)


@pytest.mark.parametrize("description", ["HNSW16", "IDMap,Flat", "SQfp16"])
def test_other_indexes(description):
    index = faiss.index_factory(24, description)
    index.train(XB)
    if description.startswith("IDMap"):
        index = index.index
    store = FAISS(Given(), faiss.downcast_index(index), InMemoryDocstore(), {})
    store.add_embeddings(zip(TEXTS, XB.tolist(), strict=True))
    assert numbers(store.similarity_search("query 3", k=3)) == nearest(XB, XQ, 3)[3].tolist()
