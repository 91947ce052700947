"""autofaiss: chooses an index and its search parameters for an amount of memory and a time per query."""

import faiss
import numpy as np
import pytest
from autofaiss import build_index, score_index, tune_index
from common import loaded, most_similar, recall, vectors

XB, XQ = vectors(4000, 32), vectors(50, 32, seed=1)
XB /= np.linalg.norm(XB, axis=1, keepdims=True)
LIMITS = {"max_index_memory_usage": "50M", "current_memory_available": "1G", "nb_cores": 1, "verbose": 40}


def test_builds_tunes_and_scores(tmp_path):
    index, infos = build_index(XB, save_on_disk=False, metric_type="ip", max_index_query_time_ms=10, **LIMITS)
    assert loaded()
    assert index.ntotal == 4000
    assert infos["nb vectors"] == 4000
    assert recall(index.search(XQ, 5)[1], most_similar(XB, XQ, 5)) > 0.9


@pytest.mark.parametrize("key", ["Flat", "HNSW32", "IVF32,Flat", "OPQ16_32,IVF32_HNSW32,PQ16x8"])
def test_given_descriptions(key, tmp_path):
    file = tmp_path / "knn.index"
    index, _ = build_index(
        XB,
        index_path=str(file),
        index_infos_path=str(tmp_path / "infos.json"),
        index_key=key,
        metric_type="ip",
        **LIMITS,
    )
    again = faiss.read_index(str(file))
    assert again.ntotal == 4000
    if "," in key:
        tuned = tune_index(
            again, key, min_nearest_neighbors_to_retrieve=20, max_index_query_time_ms=20, save_on_disk=False, verbose=40
        )
        assert tuned.ntotal == 4000
        return
    scores = score_index(again, XB[:500], save_on_disk=False, current_memory_available="1G", verbose=40)
    assert scores["1-recall@20"] > 0.3
    assert index.ntotal == 4000


def test_files_of_embeddings(tmp_path):
    folder = tmp_path / "embeddings"
    folder.mkdir()
    for i in range(4):
        np.save(folder / f"part{i}.npy", XB[i * 1000 : i * 1000 + 1000])
    index, _ = build_index(str(folder), save_on_disk=False, index_key="IVF16,Flat", make_direct_map=True, **LIMITS)
    assert index.ntotal == 4000
    np.testing.assert_allclose(index.reconstruct(2500), XB[2500], atol=1e-6)
