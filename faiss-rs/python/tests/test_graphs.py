"""Graphs of nearest neighbours, and graphs built from neighbours that are given."""

from collections.abc import Callable

import faiss
import numpy as np
import pytest

Oracle = Callable[..., dict[str, np.ndarray]]


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((800, 16), dtype="float32")


def neighbours(x: np.ndarray, k: int, metric: int = faiss.METRIC_L2) -> np.ndarray:
    """The nearest neighbours of each vector, itself not among them."""
    exact = faiss.IndexFlat(x.shape[1], metric)
    exact.add(x)
    _, found = exact.search(x, k + 1)
    return np.array([[j for j in row if j != i][:k] for i, row in enumerate(found)])


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L1])
def test_neighbours_are_the_nearest(x: np.ndarray, metric: int) -> None:
    index = faiss.IndexNNDescentFlat(16, 10, metric)
    nn = index.nndescent
    assert (nn.K, nn.S, nn.R, nn.L, nn.iter, nn.search_L, nn.random_seed, nn.d) == (10, 10, 100, 60, 10, 0, 2021, 16)
    index.add(x)
    graph = faiss.vector_to_array(nn.final_graph).reshape(800, 10)
    assert faiss.eval_intersection(graph.astype("int64"), neighbours(x, 10, metric)) > 0.98 * graph.size
    assert (graph != np.arange(800)[:, None]).all()
    again = faiss.IndexNNDescentFlat(16, 10, metric)
    again.add(x)
    np.testing.assert_array_equal(faiss.vector_to_array(again.nndescent.final_graph), graph.ravel())
    exact = faiss.IndexFlat(16, metric)
    exact.add(x)
    nn.search_L = 80
    assert faiss.eval_intersection(index.search(x[:100], 5)[1], exact.search(x[:100], 5)[1]) > 450


def test_neighbours_are_found_anew(x: np.ndarray) -> None:
    index = faiss.IndexNNDescentFlat(16, 5)
    index.add(x[:300])
    index.add(x[300:])
    assert (index.ntotal, index.storage.ntotal, index.nndescent.ntotal) == (800, 800, 800)
    np.testing.assert_array_equal(index.reconstruct(5), x[5])
    index.reset()
    assert (index.ntotal, index.nndescent.has_built, index.nndescent.final_graph.size()) == (0, False, 0)
    for n in (0, 1, 100):
        with pytest.raises(RuntimeError, match="cannot build a graph smaller than 100"):
            index.add(x[:n])
        assert (index.ntotal, index.storage.ntotal) == (0, 0)
    with pytest.raises(RuntimeError, match="has_built"):
        index.search(x, 2)
    index.add(x)
    with pytest.raises(RuntimeError, match="search params not supported"):
        index.search(x, 2, params=faiss.SearchParameters())
    with pytest.raises(RuntimeError, match="K < n"):
        faiss.IndexNNDescentFlat(16, 300).add(x[:200])
    D, found = index.search(x[:3], 1000)
    assert ((found >= 0) == (D < 1e30)).all()
    with pytest.raises(RuntimeError, match="Please use IndexNNDescentFlat"):
        faiss.IndexNNDescent(16, 5).add(x)
    over = faiss.IndexNNDescent(faiss.IndexFlatL2(16), 5)
    over.add(x)
    assert over.ntotal == 800


def test_files_of_neighbours(x: np.ndarray, oracle: Oracle) -> None:
    code = """
index = faiss.IndexNNDescentFlat(16, 8)
index.nndescent.search_L = 60
index.add(given["x"])
result["written"] = faiss.serialize_index(index)
result["I"] = index.search(given["x"][:50], 4)[1]
"""
    theirs = oracle(code, x=x)
    read = faiss.deserialize_index(theirs["written"])
    assert isinstance(read, faiss.IndexNNDescentFlat)
    np.testing.assert_array_equal(faiss.serialize_index(read), theirs["written"])
    recall = faiss.eval_intersection(read.search(x[:50], 4)[1], theirs["I"])
    assert recall > 190, recall
    mine = faiss.IndexNNDescentFlat(16, 8)
    mine.nndescent.search_L = 60
    mine.add(x)
    back = oracle(
        'result["I"] = faiss.deserialize_index(given["written"]).search(given["x"][:50], 4)[1]',
        written=faiss.serialize_index(mine),
        x=x,
    )
    assert faiss.eval_intersection(mine.search(x[:50], 4)[1], back["I"]) > 190
    whole = faiss.serialize_index(mine)
    for end in (*range(130), *range(130, len(whole), 997)):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(whole[:end])
    # A neighbour that is no vertex.
    at = len(whole) - faiss.serialize_index(mine.storage).size - 4
    wrong = whole.copy()
    wrong[at : at + 4] = np.array([800], "int32").view("uint8")
    with pytest.raises(RuntimeError, match="final_graph"):
        faiss.deserialize_index(wrong)


def test_a_graph_of_given_neighbours(x: np.ndarray) -> None:
    graph = neighbours(x, 12)
    index = faiss.IndexNSGFlat(16, 8)
    index.build(x, graph)
    assert (index.ntotal, index.storage.ntotal, index.is_built) == (800, 800, True)
    assert faiss.eval_intersection(index.search(x[:100], 5)[1][:, 1:], graph[:100, :4]) > 370
    table = index.nsg.get_final_graph()
    assert (table.N, table.K, table.own_fields) == (800, 8, True)
    seen = faiss.VisitedTableVector(800)
    assert index.nsg.dfs(seen, index.nsg.enterpoint, 0) == 800
    out = np.full(8, -7, "int32")
    count = table.get_neighbors(3, faiss.swig_ptr(out))
    assert [table.at(3, j) for j in range(count)] == out[:count].tolist()
    with pytest.raises(RuntimeError, match="already built"):
        index.build(x, graph)
    other = faiss.IndexNSGFlat(16, 8)
    other.build_c(800, faiss.swig_ptr(x), faiss.swig_ptr(graph), 12)
    np.testing.assert_array_equal(other.search(x, 3)[1], index.search(x, 3)[1])


def test_neighbours_that_are_none(x: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    graph = neighbours(x, 12)
    few, many = graph.copy(), graph.copy()
    few[:50, 5], many[:, 0] = -111, np.arange(800)
    index = faiss.IndexNSGFlat(16, 8)
    index.build(x, few)
    assert "50 invalid entries" in capfd.readouterr().err
    index.reset()
    with pytest.raises(RuntimeError, match="too many invalid entries"):
        index.build(x, many)
    assert (index.ntotal, index.storage.ntotal, index.is_built) == (0, 0, False)
    with pytest.raises(RuntimeError, match="too many invalid entries"):
        index.check_knn_graph(faiss.swig_ptr(many), 800, 12)
    with pytest.raises(AssertionError):
        index.build(x, graph[:10])


def test_tables() -> None:
    graph = faiss.NSG_Graph_int(4, 3)
    faiss.rev_swig_ptr(graph.data, 12)[...] = np.arange(12)
    assert (graph.at(2, 1), faiss.NSG_Graph_int(graph).at(3, 2)) == (7, 11)
    with pytest.raises(IndexError):
        graph.at(4, 0)
    memory = np.full((2, 2), -1, "int32")
    over = faiss.NSG_Graph_int(faiss.swig_ptr(memory), 2, 2)
    memory[1, 0] = 5
    assert (over.at(1, 0), over.own_fields) == (5, False)
    neighbour = faiss.Neighbor(3, 1.5, True)
    assert (neighbour.id, neighbour.distance, neighbour.flag, neighbour < faiss.Neighbor(0, 2.0)) == (
        3,
        1.5,
        True,
        True,
    )
