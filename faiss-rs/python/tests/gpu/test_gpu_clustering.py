"""k-means on a GPU: the CPU's centroids, from the first round to the last on the device."""

import faiss
import numpy as np
import pytest


def blobs(n: int, d: int, centres: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    at = rng.standard_normal((centres, d))
    return (at[rng.integers(0, centres, n)] + 0.1 * rng.standard_normal((n, d))).astype("float32")


@pytest.mark.parametrize("options", [{}, {"spherical": True}, {"nredo": 2}, {"max_points_per_centroid": 40}])
def test_the_centroids_of_the_cpu(options):
    # With this seed no point is so near to two centroids, in any round of both redos, that f32 rounding chooses between them: squared
    # distances to the nearest two differ by 7e-5 or more. With others one does, and faiss-cpu itself is then not what f64 says.
    x = blobs(5000, 32, 60)
    there = faiss.Kmeans(32, 50, niter=8, seed=3, gpu=True, **options)
    here = faiss.Kmeans(32, 50, niter=8, seed=3, **options)
    before = faiss.gpu_launch_count()
    there.train(x)
    launched = faiss.gpu_launch_count() - before
    here.train(x)
    np.testing.assert_allclose(there.centroids, here.centroids, atol=1e-4)
    np.testing.assert_allclose(there.obj, here.obj, rtol=1e-4)
    # A search of 5000 rows in each round would launch more, and copy the rows each time.
    assert launched < 40 * 8 * options.get("nredo", 1)
    distances, labels = there.assign(x)
    expected = ((x[:, None].astype("float64") - there.centroids[None]) ** 2).sum(2)
    if not options.get("spherical"):
        assert (labels == expected.argmin(1)).mean() > 0.999
        np.testing.assert_allclose(distances, expected.min(1), rtol=1e-4, atol=1e-5)


def test_weights_and_given_centroids():
    x, weights = blobs(3000, 20, 30), np.random.default_rng(1).uniform(0.5, 2, 3000).astype("float32")
    kmeans = [faiss.Kmeans(20, 16, niter=5, gpu=gpu) for gpu in (True, False)]
    for k in kmeans:
        k.train(x, weights=weights, init_centroids=x[:4])
    np.testing.assert_allclose(kmeans[0].centroids, kmeans[1].centroids, atol=1e-4)


def test_the_same_from_run_to_run():
    x = blobs(100_000, 64, 900)
    first, second = (faiss.Kmeans(64, 512, niter=6, gpu=True) for _ in range(2))
    first.train(x)
    second.train(x)
    assert np.array_equal(first.centroids, second.centroids)


def test_bad_points_are_refused():
    x = blobs(1000, 8, 10)
    x[7, 3] = np.nan
    kmeans = faiss.Kmeans(8, 10, gpu=True)
    with pytest.raises(RuntimeError, match="NaN"):
        kmeans.train(x)
    kmeans.train(blobs(1000, 8, 10))
