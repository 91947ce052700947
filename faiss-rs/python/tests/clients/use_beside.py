"""scikit-learn, scipy and joblib in one process with `faiss`: every order of imports, processes of each kind, indexes sent to workers."""

import itertools
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import faiss
import numpy as np
import pytest
from common import loaded, nearest, vectors
from joblib import Parallel, delayed
from sklearn.neighbors import NearestNeighbors

XB, XQ = vectors(500, 16), vectors(20, 16, 1)

# Each module computes something by its own BLAS and threads, before and after the others did.
WORK = """
def works():
    x = np.random.default_rng(0).random((3000, 64), dtype="float32")
    wanted = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(x).kneighbors(x[:50])[1]
    assert (faiss.knn(x[:50], x, 5)[1] == wanted).mean() > 0.99
    u, s, v = scipy.linalg.svd(x[:200], full_matrices=False)
    assert abs((u * s) @ v - x[:200]).max() < 1e-3
    assert KMeans(4, n_init=1, random_state=0).fit(x).labels_.max() == 3
    assert faiss.Kmeans(64, 4, seed=1).train(x) > 0
    pca = faiss.PCAMatrix(64, 8)
    pca.train(x)
    assert abs((x @ x.T)[0, 0] - (x[0] ** 2).sum()) < 1e-2

works()
works()
print("fine")
"""
IMPORTS = {
    "faiss": "import faiss",
    "numpy": "import numpy as np",
    "scipy": "import scipy.linalg",
    "sklearn": "from sklearn.cluster import KMeans; from sklearn.neighbors import NearestNeighbors",
}


@pytest.mark.parametrize("first", list(itertools.permutations(IMPORTS, 2)), ids="-".join)
def test_orders_of_imports(first):
    order = [*first, *(name for name in IMPORTS if name not in first)]
    code = "\n".join(IMPORTS[name] for name in order) + WORK
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def index():
    made = faiss.IndexFlatL2(16)
    made.add(XB)
    return made


def ids_of(made, x):
    return made.search(x, 5)[1]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_indexes_in_processes(method):
    assert loaded()
    made = index()
    # scikit-learn's threads and ours have worked before the children come.
    wanted = NearestNeighbors(n_neighbors=5).fit(XB).kneighbors(XQ)[1]
    np.testing.assert_array_equal(ids_of(made, XQ), wanted)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        for found in pool.map(ids_of, [made] * 4, [XQ] * 4):
            np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(ids_of(made, XQ), wanted)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_indexes_in_joblib(backend):
    made = index()
    found = Parallel(n_jobs=2, backend=backend)(delayed(ids_of)(made, XQ) for _ in range(6))
    for ids in found:
        np.testing.assert_array_equal(ids, nearest(XB, XQ, 5))
