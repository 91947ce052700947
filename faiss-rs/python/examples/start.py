"""The first five minutes: exact search, inverted lists, compression, filters, ids and files."""

import tempfile
from pathlib import Path

import faiss
import numpy as np

d = 64
rng = np.random.default_rng(0)
centers = rng.random((200, d), dtype="float32")


def sample(n: int) -> np.ndarray:
    """Vectors in clusters, as those of texts and images are."""
    drawn: np.ndarray = centers[rng.integers(0, 200, n)] + rng.normal(0, 0.1, (n, d)).astype("float32")
    return drawn


vectors, queries = sample(20_000), sample(100)

# Exact.
exact = faiss.IndexFlatL2(d)
exact.add(vectors)
distances, truth = exact.search(queries, 10)

# Inverted lists: 8 of 64 are looked into.
index = faiss.index_factory(d, "IVF64,Flat")
index.train(vectors)
index.add(vectors)
faiss.extract_index_ivf(index).nprobe = 8
_, ids = index.search(queries, 10)
print(f"IVF64,Flat: {faiss.eval_intersection(ids, truth) / truth.size:.1%} of the nearest")

# 16 bytes a vector instead of 256; the best 40 of each query are compared again with whole vectors.
compressed = faiss.index_factory(d, "PQ16,RFlat")
compressed.train(vectors)
compressed.add(vectors)
compressed.k_factor = 4
_, ids = compressed.search(queries, 10)
print(f"PQ16,RFlat: {faiss.eval_intersection(ids, truth) / truth.size:.1%} of the nearest")

# Only among the first thousand.
parameters = faiss.SearchParameters(sel=faiss.IDSelectorRange(0, 1000))
_, ids = exact.search(queries, 10, params=parameters)
print(f"filtered: ids up to {ids.max()}")

# Ids of one's own, and removal.
own = faiss.IndexIDMap2(faiss.IndexFlatL2(d))
own.add_with_ids(vectors[:5], np.array([100, 200, 300, 400, 500]))
own.remove_ids(np.array([300]))
print(f"own ids: {own.search(vectors[2:3], 2)[1].tolist()} once 300 is removed")

# Files are Faiss's.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "vectors.index")
    faiss.write_index(index, path)
    print(f"file: {path.stat().st_size} bytes, {faiss.read_index(path).ntotal} vectors")
