"""sklearn-ann: approximate neighbours as a step of a scikit-learn pipeline."""

import numpy as np
import pytest
from common import distances, loaded, nearest, recall, vectors
from sklearn.cluster import DBSCAN
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn_ann.kneighbors.faiss import FAISSTransformer

XB = vectors(400, 12)


def rows(graph, k):
    order = [np.argsort(row.data, kind="stable")[:k] for row in graph]
    return np.array([row.indices[o] for row, o in zip(graph, order, strict=True)])


def test_exact_graph():
    graph = FAISSTransformer(5).fit_transform(XB)
    assert loaded()
    expected = KNeighborsTransformer(n_neighbors=5, mode="distance").fit_transform(XB)
    assert abs(graph - expected).max() < 1e-3
    assert np.array_equal(rows(graph, 6), nearest(XB, XB, 6))


@pytest.mark.parametrize("key", ["IVF8_HNSW16,Flat", "IVF16_HNSW8,SQ8"])
def test_other_indexes(key):
    # The package takes only descriptions that name a graph and have `nprobe`.
    graph = FAISSTransformer(5, index_key=key, n_probe=16).fit(XB).transform(XB[:100])
    assert graph.shape == (100, 400)
    assert recall(rows(graph, 5), nearest(XB, XB[:100], 5)) > 0.9


def test_cosine():
    graph = FAISSTransformer(4, metric="cosine").fit_transform(XB)
    unit = XB / np.linalg.norm(XB, axis=1, keepdims=True)
    cosine = 1 - unit.astype(np.float64) @ unit.T.astype(np.float64)
    assert recall(rows(graph, 4), np.argsort(cosine, axis=1)[:, :4]) > 0.99


def test_in_a_pipeline():
    labels = (XB[:, 0] > 0.5).astype(int)
    exact = KNeighborsClassifier(5).fit(XB, labels).predict(vectors(50, 12, seed=1))
    through = make_pipeline(FAISSTransformer(5), KNeighborsClassifier(5, metric="precomputed"))
    assert np.mean(through.fit(XB, labels).predict(vectors(50, 12, seed=1)) == exact) > 0.95
    clusters = np.concatenate([vectors(60, 12) * 0.01 + shift for shift in (0, 1, 2)])
    found = make_pipeline(FAISSTransformer(20), DBSCAN(eps=0.05, min_samples=5, metric="precomputed")).fit_predict(
        clusters
    )
    assert [len(set(found[i : i + 60])) for i in (0, 60, 120)] == [1, 1, 1]
    assert len(set(found)) == 3
    assert distances(clusters[:60], clusters[60:61]).min() > 0.05
