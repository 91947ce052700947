"""vicinity: one interface over several kinds of index."""

import numpy as np
import pytest
from common import loaded, recall, vectors
from vicinity import Backend, Vicinity

XB, XQ = vectors(300, 16) - 0.5, vectors(8, 16, seed=1) - 0.5
WORDS = [f"word{i}" for i in range(300)]


def best(metric, k):
    if metric == "cosine":
        unit, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (XB, XQ))
        measure = -(queries @ unit.T)
    else:
        measure = ((XQ[:, None] - XB[None]) ** 2).sum(2)
    return np.argsort(measure, axis=1)[:, :k]


def found(store, k=5):
    return np.array([[int(word[4:]) for word, _ in row] for row in store.query(XQ, k=k)])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("flat", 1),
        ("hnsw", 0.7),
        ("ivf", 0.2),
        ("scalar", 0.9),
        ("pq", 0.2),
        ("ivf_scalar", 0.2),
        ("lsh", 0.01),
        ("ivfpq", 0.1),
        ("ivfpqr", 0.1),
    ],
)
def test_every_kind(kind, least, metric, tmp_path):
    store = Vicinity.from_vectors_and_items(
        XB,
        WORDS,
        backend_type=Backend.FAISS,
        index_type=kind,
        metric=metric,
        nlist=4,
        m=4,
        nbits=8 if kind != "pq" else 6,
    )
    assert loaded()
    assert recall(found(store), best(metric, 5)) >= least
    store.save(tmp_path / "store")
    assert np.array_equal(found(Vicinity.load(tmp_path / "store")), found(store))


def test_threshold_and_insert():
    store = Vicinity.from_vectors_and_items(XB, WORDS, backend_type=Backend.FAISS, index_type="flat", metric="cosine")
    unit, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (XB, XQ))
    cosine = 1 - queries @ unit.T
    for row, expected in zip(store.query_threshold(XQ, threshold=0.6), cosine, strict=True):
        assert {word for word, _ in row} == {WORDS[i] for i in np.flatnonzero(expected < 0.6)}
    store.insert(["query"], XQ[:1])
    assert store.query(XQ[:1], k=1)[0][0][0] == "query"
