"""What results are compared with: a naive search in f64, and equality up to ties."""

import numpy as np


def naive_knn(xq: np.ndarray, xb: np.ndarray, k: int, inner_product: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest by distances computed in f64, ties by position."""
    xq, xb = xq.astype("float64"), xb.astype("float64")
    dis = -xq @ xb.T if inner_product else ((xq[:, None, :] - xb[None, :, :]) ** 2).sum(-1)
    ids = np.argsort(dis, axis=1, kind="stable")[:, :k]
    sorted_dis = np.take_along_axis(dis, ids, axis=1)
    return (-sorted_dis if inner_product else sorted_dis), ids


def assert_same_neighbours(
    found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray], rtol: float = 1e-5
) -> None:
    """Equal distances, and equal ids wherever distances do not tie."""
    (D, ids), (D0, ids0) = found, wanted
    np.testing.assert_allclose(D, D0, rtol=rtol, atol=rtol * max(1.0, float(np.abs(D0).max(initial=0))))
    differ = ids != ids0
    if differ.any():
        scale = rtol * np.maximum(np.abs(D0), 1.0) * 4
        gaps = np.abs(np.diff(D0, axis=1))
        near = np.zeros_like(differ)
        near[:, 1:] |= gaps <= scale[:, 1:]
        near[:, :-1] |= gaps <= scale[:, :-1]
        near[:, -1] = True  # a tie with one that is not among the k
        assert not (differ & ~near).any()
