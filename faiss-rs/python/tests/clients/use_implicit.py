"""implicit: recommendations by matrix factors, with inverted lists for the items."""

import implicit
import numpy as np
import pytest
from common import loaded, recall
from implicit.ann.faiss import FaissModel
from scipy.sparse import csr_matrix


@pytest.fixture(scope="module")
def liked():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 300, 6000), rng.integers(0, 600, 6000)
    return csr_matrix((np.ones(6000, "float32"), (users, items % 200 + users % 3 * 200)), shape=(300, 600))


@pytest.mark.parametrize("nprobe", [16, 4])
def test_recommendations(liked, nprobe, tmp_path):
    exact = implicit.als.AlternatingLeastSquares(factors=16, iterations=3, random_state=0, num_threads=1)
    exact.fit(liked, show_progress=False)
    model = FaissModel(
        implicit.als.AlternatingLeastSquares(factors=16, iterations=3, random_state=0, num_threads=1),
        nlist=16,
        nprobe=nprobe,
    )
    model.fit(liked, show_progress=False)
    assert loaded()
    least = 0.99 if nprobe == 16 else 0.5
    users, items = np.arange(50), np.arange(40)
    pairs = [
        (model.recommend(users, liked[users], N=10), exact.recommend(users, liked[users], N=10)),
        (model.similar_items(items, N=8), exact.similar_items(items, N=8)),
    ]
    for (found, scores), (expected, truth) in pairs:
        assert recall(found, expected) >= least
        if nprobe == 16:
            np.testing.assert_allclose(scores, truth, atol=1e-3)
