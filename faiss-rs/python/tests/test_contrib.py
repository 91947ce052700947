"""The modules of faiss.contrib."""

import faiss
import numpy as np
import pytest
from faiss.contrib import datasets, evaluation, exhaustive_search, inspect_tools, vecs_io


def test_a_module_that_is_not_here():
    with pytest.raises(ImportError, match=r"faiss\.contrib\.ondisk"):
        import faiss.contrib.ondisk  # noqa: F401


def test_synthetic_dataset(oracle):
    ds = datasets.SyntheticDataset(16, 50, 200, 20)
    ds.check_sizes()
    code = """
from faiss.contrib.datasets import SyntheticDataset
ds = SyntheticDataset(16, 50, 200, 20)
result.update(t=ds.get_train(), b=ds.get_database(), q=ds.get_queries(), g=ds.get_groundtruth(5), s=np.array(str(ds)))
"""
    wanted = oracle(code)
    for name, array in (("t", ds.get_train()), ("b", ds.get_database()), ("q", ds.get_queries())):
        np.testing.assert_allclose(array, wanted[name], rtol=1e-6)
    np.testing.assert_array_equal(ds.get_groundtruth(5), wanted["g"])
    assert str(ds) == str(wanted["s"])
    assert sum(map(len, ds.database_iterator(7, (3, 1)))) == 67


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_ground_truth(metric):
    ds = datasets.SyntheticDataset(8, 0, 500, 30)
    index = faiss.IndexFlat(8, metric)
    index.add(ds.get_database())
    D, ids = exhaustive_search.knn_ground_truth(ds.get_queries(), ds.database_iterator(37), 10, metric, ngpu=0)
    D0, ids0 = index.search(ds.get_queries(), 10)
    np.testing.assert_array_equal(ids, ids0)
    evaluation.check_ref_knn_with_draws(D0, ids0, D, ids, atol=1e-5)
    threshold = float(D0[:, 5].mean())
    found = exhaustive_search.range_ground_truth(ds.get_queries(), ds.database_iterator(37), threshold, metric)
    evaluation.check_ref_range_results(*index.range_search(ds.get_queries(), threshold), *found)
    half = threshold * (2 if metric == faiss.METRIC_INNER_PRODUCT else 0.5)
    smaller = exhaustive_search.threshold_radius(*found, half, keep_max=metric == faiss.METRIC_INNER_PRODUCT)
    evaluation.check_ref_range_results(*index.range_search(ds.get_queries(), half), *smaller)


def test_intersection():
    a = np.array([[1, 2], [3, 4]])
    assert evaluation.knn_intersection_measure(a, a[:, ::-1]) == 1.0
    assert evaluation.knn_intersection_measure(a, a + 1) == 0.5
    with pytest.raises(AssertionError):
        evaluation.check_ref_knn_with_draws(a * 1.0, a, a * 1.0, a + 5)


def test_inspection(rng, capsys):
    x = rng.random((6, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    np.testing.assert_array_equal(inspect_tools.get_flat_data(index), x)
    np.testing.assert_array_equal(inspect_tools.get_flat_codes(index), x.view("u1"))
    inspect_tools.print_object_fields(index)
    assert "ntotal              : 6" in capsys.readouterr().out


def test_vecs(rng, tmp_path):
    x = rng.random((5, 3), dtype="f4")
    vecs_io.fvecs_write(tmp_path / "a.fvecs", x)
    np.testing.assert_array_equal(vecs_io.fvecs_read(tmp_path / "a.fvecs"), x)
    np.testing.assert_array_equal(vecs_io.fvecs_mmap(tmp_path / "a.fvecs"), x)
    ids = rng.integers(0, 100, (4, 2)).astype("i4")
    vecs_io.ivecs_write(tmp_path / "a.ivecs", ids)
    np.testing.assert_array_equal(vecs_io.ivecs_read(tmp_path / "a.ivecs"), ids)
    (tmp_path / "bad").write_bytes(b"\x03\x00\x00\x00\x01")
    with pytest.raises(ValueError, match="no whole vectors"):
        vecs_io.bvecs_mmap(tmp_path / "bad")
