"""DSPy's retriever over embeddings, which has an IVFPQ index from a number of passages on."""

import dspy
import numpy as np
import pytest
from common import loaded, most_similar, recall, vectors

XB, XQ = vectors(3000, 32) - 0.5, vectors(20, 32, seed=1) - 0.5


def embed(texts):
    return np.array([(XB if text.startswith("p") else XQ)[int(text[1:])] for text in texts])


@pytest.mark.parametrize("brute_force", [True, False])
def test_passages(brute_force):
    threshold = 10_000 if brute_force else 1000
    search = dspy.retrievers.Embeddings(
        [f"p{i}" for i in range(3000)], dspy.Embedder(embed), k=5, brute_force_threshold=threshold, normalize=True
    )
    if not brute_force:
        assert loaded()
    unit = XB / np.linalg.norm(XB, axis=1, keepdims=True)
    found = np.array([search(f"q{i}").indices for i in range(20)])
    assert recall(found, most_similar(unit, XQ, 5)) > (0.99 if brute_force else 0.5)
