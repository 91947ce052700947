"""Hugging Face's datasets: an index beside a column (`Dataset.add_faiss_index`)."""

import datasets
import faiss
import numpy as np
import pytest
from common import distances, loaded, most_similar, nearest, vectors

XB, XQ = vectors(300, 20), vectors(6, 20, seed=1)


@pytest.fixture
def table():
    return datasets.Dataset.from_dict({"number": list(range(300)), "embedding": XB.tolist()})


def test_column_is_indexed(table, tmp_path):
    assert loaded()
    table.add_faiss_index("embedding")
    scores, rows = table.get_nearest_examples("embedding", XQ[0], k=5)
    exact = nearest(XB, XQ, 5)[0]
    assert rows["number"] == exact.tolist()
    np.testing.assert_allclose(scores, distances(XB, XQ)[0, exact], rtol=1e-5)
    batch = table.search_batch("embedding", XQ, k=4)
    assert np.array_equal(batch.total_indices, nearest(XB, XQ, 4))
    file = tmp_path / "column.faiss"
    table.save_faiss_index("embedding", file)
    assert faiss.read_index(str(file)).ntotal == 300
    table.drop_index("embedding")
    table.load_faiss_index("embedding", file)
    assert table.search("embedding", XQ[3], k=4).indices.tolist() == nearest(XB, XQ, 4)[3].tolist()


def test_files_of_a_file_system(table, tmp_path):
    # By fsspec: the index goes through a callback of Python on its way to a store of objects.
    import fsspec

    memory = fsspec.filesystem("memory")
    table.add_faiss_index("embedding", string_factory="IVF4,SQ8", train_size=300)
    table.save_faiss_index("embedding", "memory://column.faiss")
    assert memory.exists("column.faiss")
    again = datasets.Dataset.from_dict(table.to_dict())
    again.load_faiss_index("embedding", "memory://column.faiss")
    expected, found = (t.search_batch("embedding", XQ, k=4).total_indices for t in (table, again))
    assert np.array_equal(expected, found)


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "PCA20,Flat"])
def test_factory_and_metric(table, factory):
    table.add_faiss_index("embedding", string_factory=factory, train_size=300)
    assert table.search("embedding", XQ[1], k=3).indices.tolist() == nearest(XB, XQ, 3)[1].tolist()
    table.add_faiss_index("embedding", index_name="ip", metric_type=faiss.METRIC_INNER_PRODUCT)
    assert table.search("ip", XQ[2], k=3).indices.tolist() == most_similar(XB, XQ, 3)[2].tolist()


def test_index_of_ones_own(table):
    table.add_faiss_index("embedding", custom_index=faiss.IndexFlatIP(20))
    assert table.search("embedding", XQ[0], k=3).indices.tolist() == most_similar(XB, XQ, 3)[0].tolist()
    table.add_faiss_index_from_external_arrays(external_arrays=XB[::-1].copy(), index_name="reversed")
    assert table.search("reversed", XQ[0], k=1).indices.tolist() == [299 - nearest(XB, XQ, 1)[0, 0]]
    # Where there is no GPU, asking for one is an error and not a search on the CPU.
    if not faiss.get_num_gpus():
        with pytest.raises((RuntimeError, AttributeError, AssertionError)):
            table.add_faiss_index("embedding", index_name="gpu", device=0)
