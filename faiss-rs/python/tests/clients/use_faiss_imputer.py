"""faiss-imputer: missing values from the nearest rows, as scikit-learn's KNNImputer."""

import numpy as np
import pytest
from common import loaded, nearest, vectors
from faiss_imputer import FaissImputer

WHOLE = vectors(200, 8)


@pytest.fixture
def holes():
    data = WHOLE.copy()
    data[np.arange(0, 200, 10), np.arange(20) % 8] = np.nan
    return data


@pytest.mark.parametrize("description", ["Flat", "IVF4,Flat", "HNSW32"])
@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_filled(holes, description, strategy):
    filled = FaissImputer(n_neighbors=5, strategy=strategy, index_factory=description).fit_transform(holes)
    assert loaded()
    there = ~np.isnan(holes)
    assert not np.isnan(filled).any()
    np.testing.assert_array_equal(filled[there], holes[there])
    assert abs(filled - WHOLE).max() < 1


def test_exact_neighbours():
    # The last column depends on the others, so that what is filled in is what the nearest whole rows have.
    data = WHOLE.copy()
    data[:, 7] = data[:, :7].sum(1)
    data[0, 7] = np.nan
    filled = FaissImputer(n_neighbors=3).fit(data[1:]).transform(data[:1])
    expected = data[1:][nearest(data[1:, :7], data[:1, :7], 3)[0], 7].mean()
    assert abs(filled[0, 7] - expected) < 0.5
