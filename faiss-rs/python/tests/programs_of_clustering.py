"""Programs about k-means for test_same_as_faiss.py, whose data and words they use."""

PROGRAMS = {
    "clusters without points": """
x = np.concatenate([np.full((n, 2), v) for n, v in ((50, 0), (30, 10), (20, 20))]).astype("f4")

def one_round(k, weights=None, frozen=False):
    "The centroids after a round from the three points and others far away, and how many clusters were split."
    clustering = faiss.Clustering(2, k)
    clustering.niter, clustering.frozen_centroids = 1, frozen
    given = [0, 0, 10, 10, 20, 20] + [500, 500] * (k - 3 - frozen)
    faiss.copy_array_to_vector(np.array(given, "f4"), clustering.centroids)
    clustering.train(x, faiss.IndexFlatL2(2), *([] if weights is None else [weights]))
    return faiss.vector_to_array(clustering.centroids), clustering.iteration_stats.at(0).nsplit

for k in (4, 5, 8):
    found += [one_round(k), one_round(k, frozen=True)]
    # Where no cluster has the size of a point, the largest is split; weights may be negative.
    for weight in (1, 0.02, 0.001, 0, -0.01, -1):
        found += [one_round(k, np.full(100, weight, "f4"))]
    for weights in ((0.001, 0.002, 0.01), (-1, 0.1, 0.05), (-1, -0.1, -0.05), (0.03, 0.035, 0.06)):
        found += [one_round(k, np.repeat(np.array(weights, "f4"), [50, 30, 20]))]
""",
    "weights below zero": """
for weights in (np.full(2000, -1, "f4"), np.where(np.arange(2000) < 200, -1, 1).astype("f4"), np.zeros(2000, "f4")):
    kmeans = faiss.Kmeans(16, 5, niter=4)
    found += [kmeans.train(xt, weights=weights), kmeans.centroids, [s["nsplit"] for s in kmeans.iteration_stats]]
""",
    "when k-means ends": """
# An objective of 0 is no reason to.
dull = np.repeat(np.array([[0], [1]], "f4"), [100, 3], axis=0).repeat(16, axis=1)
for k, niter in ((2, 9), (4, 6)):
    kmeans = faiss.Kmeans(16, k, niter=niter)
    kmeans.train(dull)
    found += [len(kmeans.obj), [s["nsplit"] for s in kmeans.iteration_stats]]
# What was told stays.
clustering = faiss.Clustering(16, 5)
clustering.niter = 3
for rows in (xt, xt, xt[:5]):
    clustering.train(rows, faiss.IndexFlatL2(16))
    found += [clustering.iteration_stats.size()]
found += [faiss.Kmeans(16, 5, gpu=1).gpu, error(lambda: faiss.ClusteringIterationStatsVector(3))]
""",
    "two levels": """
from faiss.contrib.clustering import two_level_clustering
for rows in (xt[:300], xt):
    for nc1, nc2, rebalance in ((1, 2, True), (2, 9, True), (2, 9, False), (3, 3, False)):
        centroids, stats = two_level_clustering(rows, nc1, nc2, rebalance=rebalance, clustering_niter=3)
        found += [centroids.shape, [len(rounds) for rounds in stats[:1]], [round(rounds[0]["obj"], 1) for rounds in stats]]
""",
}
