"""How good results are."""

import numpy as np

import faiss

__all__ = ["check_ref_knn_with_draws", "check_ref_range_results", "knn_intersection_measure"]


def knn_intersection_measure(I1: np.ndarray, I2: np.ndarray) -> float:
    """The share of ids that two tables of results have in common, row by row."""
    nq, rank = I1.shape
    assert I2.shape == (nq, rank), f"tables of shapes {I1.shape} and {I2.shape} can't be compared"
    return float(faiss.eval_intersection(I1, I2) / (rank * nq))


def check_ref_knn_with_draws(
    Dref: np.ndarray, Iref: np.ndarray, Dnew: np.ndarray, Inew: np.ndarray, rtol: float = 1e-05, atol: float = 0
) -> None:
    """Fails unless the results are the same up to the order of equal distances."""
    np.testing.assert_allclose(Dref, Dnew, rtol=rtol, atol=atol)
    for query in np.flatnonzero((Iref != Inew).any(axis=1)):
        for distance in np.unique(Dref[query])[:-1]:
            near = np.isclose(Dref[query], distance, rtol=rtol, atol=atol)
            # Those that tie with the last result may be others.
            if not near[-1]:
                np.testing.assert_array_equal(np.sort(Iref[query][near]), np.sort(Inew[query][near]))


def check_ref_range_results(
    Lref: np.ndarray, Dref: np.ndarray, Iref: np.ndarray, Lnew: np.ndarray, Dnew: np.ndarray, Inew: np.ndarray
) -> None:
    """Fails unless the results of two range searches are the same up to their order."""
    np.testing.assert_array_equal(Lref, Lnew)
    for a, b in zip(Lref[:-1].tolist(), Lref[1:].tolist(), strict=True):
        reference, new = np.argsort(Iref[a:b]), np.argsort(Inew[a:b])
        np.testing.assert_array_equal(Iref[a:b][reference], Inew[a:b][new])
        np.testing.assert_allclose(Dref[a:b][reference], Dnew[a:b][new], rtol=1e-5, atol=1e-5)
