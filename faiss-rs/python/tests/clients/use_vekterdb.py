"""vekterdb: a table of a relational database, its vectors in an index by the factory that is saved beside it."""

import faiss
import numpy as np
import pytest
import vekterdb
from common import loaded, most_similar, nearest, recall, vectors

XB, XQ = vectors(500, 16), vectors(6, 16, seed=1)
XB /= np.linalg.norm(XB, axis=1, keepdims=True)


@pytest.fixture
def table():
    table = vekterdb.VekterDB("items")
    table.insert({"idx": i, "vector": row} for i, row in enumerate(XB[:400]))
    return table


def found(answers):
    """int[nq, k]: the neighbours that a search names."""
    return np.array([[neighbour["idx"] for neighbour in answer["neighbors"]] for answer in answers])


@pytest.mark.parametrize("metric", ["inner_product", "L2"])
def test_search(table, tmp_path, metric):
    assert loaded()
    table.create_index(str(tmp_path / "items.faiss"), "Flat", metric)
    exact = (most_similar if metric == "inner_product" else nearest)(XB[:400], XQ, 5)
    assert np.array_equal(found(table.search(XQ, 5, "idx")), exact)
    assert faiss.read_index(str(tmp_path / "items.faiss")).ntotal == 400
    # Vectors that come later are added and saved.
    table.insert({"idx": 400 + i, "vector": row} for i, row in enumerate(XB[400:]))
    assert faiss.read_index(str(tmp_path / "items.faiss")).ntotal == 500
    assert found(table.search(XB[450:451], 1, "idx")).tolist() == [[450]]


def test_codes_are_ranked_again(table, tmp_path):
    table.create_index(
        str(tmp_path / "items.faiss"), "IVF8_HNSW8,SQ8", "L2", faiss_runtime_params="quantizer_efSearch=40"
    )
    table.set_faiss_runtime_parameters("nprobe=8,quantizer_efSearch=50")
    answers = table.search(XQ, 5, "idx", k_extra_neighbors=10)
    assert recall(found(answers), nearest(XB[:400], XQ, 5)) > 0.95
    parameters = faiss.SearchParametersIVF(nprobe=8, sel=faiss.IDSelectorRange(0, 100))
    assert found(table.search(XQ, 3, "idx", search_parameters=parameters)).max() < 100
    with pytest.raises(ValueError, match="nonsense"):
        table.set_faiss_runtime_parameters("nonsense=1")


def test_neighbours_of_records(table, tmp_path):
    table.create_index(str(tmp_path / "items.faiss"), "HNSW16", "L2")
    (answer,) = table.nearest_neighbors(table.Record.idx == 7, 3, "idx")
    exact = [i for i in nearest(XB[:400], XB[7:8], 4)[0] if i != 7]
    assert [neighbour["idx"] for neighbour in answer["neighbors"]] == exact
