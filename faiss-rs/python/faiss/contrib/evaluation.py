"""How good results are, and how long they take."""

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import faiss

__all__ = [
    "OperatingPoints",
    "OperatingPointsWithRanges",
    "RepeatTimer",
    "TimerIter",
    "check_ref_knn_with_draws",
    "check_ref_range_results",
    "counts_to_PR",
    "filter_range_results",
    "knn_intersection_measure",
    "range_PR",
    "range_PR_multiple_thresholds",
    "sort_range_res_1",
    "sort_range_res_2",
]


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


# Range search: precision and recall.


def counts_to_PR(ngt: np.ndarray, nres: np.ndarray, ninter: np.ndarray, mode: str = "overall") -> tuple[float, float]:
    """Precision and recall of queries with ngt true results, of which ninter are among the nres that were found; shapes (nq,).

    mode: 'overall', of all results together, or 'average', of the queries' own values.
    """
    if mode == "overall":
        ngt, nres, ninter = (np.asarray([a.sum()]) for a in (ngt, nres, ninter))
    elif mode != "average":
        raise AssertionError(f"mode '{mode}' is not known; known: 'overall', 'average'")
    # What was not looked for and not found is perfect.
    precision = np.where(nres > 0, ninter / np.maximum(nres, 1), 1.0)
    recall = np.where(ngt > 0, ninter / np.maximum(ngt, 1), nres == 0)
    return float(precision.mean()), float(recall.mean())


def _queries(lims: np.ndarray) -> list[tuple[int, int]]:
    ends = [int(v) for v in lims]
    return list(pairwise(ends))


def sort_range_res_1(lims: np.ndarray, I: np.ndarray) -> np.ndarray:  # noqa: E741
    """The ids of a range search, those of each query sorted."""
    parts = [np.sort(I[a:b]) for a, b in _queries(lims)]
    return np.concatenate([I[:0], *parts])


def sort_range_res_2(lims: np.ndarray, D: np.ndarray, I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: E741
    """The ids and distances of a range search, those of each query sorted by distance."""
    order = [a + np.argsort(D[a:b], kind="stable") for a, b in _queries(lims)]
    places = np.concatenate([np.empty(0, "int64"), *order])
    return I[places], D[places]


def filter_range_results(
    lims: np.ndarray,
    D: np.ndarray,
    I: np.ndarray,  # noqa: E741
    thresh: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The results of a range search that are nearer than `thresh`."""
    mask = thresh > D
    before = np.concatenate([[0], np.cumsum(mask)])
    return before[np.asarray(lims, "int64")].astype("uint64"), D[mask], I[mask]


def range_PR(
    lims_ref: np.ndarray, Iref: np.ndarray, lims_new: np.ndarray, Inew: np.ndarray, mode: str = "overall"
) -> tuple[float, float]:
    """Precision and recall of a range search against a true one; the distances do not matter."""
    pairs = zip(_queries(lims_ref), _queries(lims_new), strict=True)
    ninter = np.array([len(np.intersect1d(Iref[a:b], Inew[c:d])) for (a, b), (c, d) in pairs], "int64")
    ngt, nres = (np.diff(np.asarray(lims, "int64")) for lims in (lims_ref, lims_new))
    return counts_to_PR(ngt, nres, ninter, mode)


def range_PR_multiple_thresholds(
    lims_ref: np.ndarray,
    Iref: np.ndarray,
    lims_new: np.ndarray,
    Dnew: np.ndarray,
    Inew: np.ndarray,
    thresholds: Sequence[float],
    mode: str = "overall",
    do_sort: str = "ref,new",
) -> tuple[np.ndarray, np.ndarray]:
    """As range_PR, for the new results nearer than each of the thresholds. do_sort is accepted: nothing needs to be sorted here."""
    rows = []
    for thresh in thresholds:
        lims, _, labels = filter_range_results(lims_new, Dnew, Inew, thresh)
        rows.append(range_PR(lims_ref, Iref, lims, labels, mode))
    table = np.array(rows, "float64").reshape(len(rows), 2)
    return table[:, 0], table[:, 1]


# Time.


class RepeatTimer:
    """Measures what is done in `for _ in timer:`, a number of times: milliseconds in ms() and ms_std().

    warmup: rounds that do not count. nt: number of threads meanwhile; -1 to leave it. runs: rounds, with those for warming up.
    max_secs: no round begins after so many seconds.
    """

    def __init__(self, warmup: int = 0, nt: int = -1, runs: int = 1, max_secs: float = math.inf) -> None:
        assert warmup < runs, "some rounds must count"
        self.warmup, self.nt, self.runs, self.max_secs = warmup, nt, runs, max_secs
        self.times: list[float] = []

    def __iter__(self) -> "TimerIter":
        self.times = []
        return TimerIter(self)

    def _counted(self) -> list[float]:
        return self.times[self.warmup :]

    def ms(self) -> float:
        """The mean of the rounds that count."""
        return float(np.mean(self._counted()) * 1e3)

    def ms_std(self) -> float:
        """Their standard deviation."""
        return float(np.std(self._counted()) * 1e3) if len(self._counted()) > 1 else 0.0

    def nruns(self) -> int:
        """Their number."""
        return len(self._counted())


class TimerIter:
    """One loop of a RepeatTimer."""

    def __init__(self, timer: RepeatTimer) -> None:
        self._timer = timer
        self._began = self._round = time.perf_counter()
        self._rounds = -1
        self._threads = faiss.omp_get_max_threads()
        if timer.nt != -1:
            faiss.omp_set_num_threads(timer.nt)

    def __iter__(self) -> "TimerIter":
        return self

    def __next__(self) -> int:
        now = time.perf_counter()
        if self._rounds >= 0:
            self._timer.times.append(now - self._round)
        self._rounds += 1
        late = self._rounds > self._timer.warmup and now - self._began > self._timer.max_secs
        if self._rounds == self._timer.runs or late:
            if self._timer.nt != -1:
                faiss.omp_set_num_threads(self._threads)
            raise StopIteration
        self._round = time.perf_counter()
        return self._rounds


# Settings of parameters.

Key = np.ndarray


class OperatingPoints:
    """Settings (keys) with how good they are and how long they take: the Pareto-optimal ones, and the others."""

    def __init__(self) -> None:
        self.operating_points = [(self.do_nothing_key(), 0.0, 0.0)]
        self.suboptimal_points: list[tuple[Key, float, float]] = []

    def compare_keys(self, k1: Key, k2: Key) -> int:
        """1 where k1 is sure to be no quicker and no worse than k2, -1 where it is the other way round, 0 where nothing is known."""
        raise NotImplementedError

    def do_nothing_key(self) -> Key:
        """The setting that takes no time and finds nothing."""
        raise NotImplementedError

    def is_pareto_optimal(self, perf_new: float, t_new: float) -> bool:
        """Whether no point is as good and as quick."""
        return not any(perf >= perf_new and t <= t_new for _, perf, t in self.operating_points)

    def predict_bounds(self, key: Key) -> tuple[float, float]:
        """How good a setting can be at most, and how long it takes at least, by what is known of others."""
        best, least = 1.0, 0.0
        for other, perf, t in self.operating_points + self.suboptimal_points:
            order = self.compare_keys(key, other)
            if order > 0:
                least = max(least, t)
            if order < 0:
                best = min(best, perf)
        return best, least

    def should_run_experiment(self, key: Key) -> bool:
        """Whether a setting may be optimal."""
        return self.is_pareto_optimal(*self.predict_bounds(key))

    def add_operating_point(self, key: Key, perf: float, t: float) -> bool:
        """Adds a point; returns whether it is optimal."""
        if not self.is_pareto_optimal(perf, t):
            self.suboptimal_points.append((key, perf, t))
            return False
        beaten = [p for p in self.operating_points if p[1] <= perf and p[2] >= t]
        self.suboptimal_points += beaten
        self.operating_points = [p for p in self.operating_points if not (p[1] <= perf and p[2] >= t)]
        self.operating_points.append((key, perf, t))
        return True


class OperatingPointsWithRanges(OperatingPoints):
    """Settings of parameters that each have a row of values, of which a later one is slower and better. A key holds their positions."""

    def __init__(self) -> None:
        self.ranges: list[tuple[str, list[Any]]] = []
        super().__init__()

    def add_range(self, name: str, values: Sequence[Any]) -> None:
        """Adds a parameter."""
        self.ranges.append((name, list(values)))
        self.operating_points = [p for p in self.operating_points if len(p[0]) == len(self.ranges)]

    def compare_keys(self, k1: Key, k2: Key) -> int:
        if (k1 >= k2).all():
            return 1
        return -1 if (k1 <= k2).all() else 0

    def do_nothing_key(self) -> Key:
        return np.zeros(len(self.ranges), "int64")

    def num_experiments(self) -> int:
        """Number of settings."""
        return int(np.prod([len(values) for _, values in self.ranges]))

    def sample_experiments(self, n_autotune: int, rs: Any = np.random) -> list[int]:
        """At most n_autotune settings, all where it is 0: the first, the last and others in random order."""
        total = self.num_experiments()
        middle = rs.permutation(total - 2) + 1 if total > 2 else np.empty(0, "int64")
        chosen = [0, total - 1, *middle.tolist()][:total]
        return chosen[:n_autotune] if n_autotune else chosen

    def cno_to_key(self, cno: int) -> Key:
        """The key of setting number cno."""
        key = self.do_nothing_key()
        for i, (_, values) in enumerate(self.ranges):
            cno, key[i] = divmod(cno, len(values))
        assert cno == 0, "there is no setting of that number"
        return key

    def get_parameters(self, k: Key) -> dict[str, Any]:
        """The values that a key stands for."""
        return {name: values[k[i]] for i, (name, values) in enumerate(self.ranges)}

    def restrict_range(self, name: str, max_val: float) -> None:
        """Drops the values of a parameter that are not below max_val."""
        for i, (known, values) in enumerate(self.ranges):
            if known == name:
                self.ranges[i] = (name, [v for v in values if v < max_val])
                return
        raise RuntimeError(f"there is no parameter '{name}'")
