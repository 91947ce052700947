"""How good and how fast an index is at each setting of its parameters: criteria, operating points, and the settings of an index."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous, elements
from faiss.classes import Object
from faiss.index_methods import native_index
from faiss.object_vectors import ObjectVector

__all__ = [
    "AutoTuneCriterion",
    "IntersectionCriterion",
    "OneRecallAtRCriterion",
    "OperatingPoint",
    "OperatingPointVector",
    "OperatingPoints",
    "ParameterRange",
    "ParameterRangeVector",
]


class OperatingPointVector(ObjectVector):
    """Operating points in a row."""

    _class = "OperatingPoint"


class ParameterRangeVector(ObjectVector):
    """The parameters of a space."""

    _class = "ParameterRange"


class AutoTuneCriterion:
    """Measures results of nq queries, of which the nnn best count, against the ground truth; 1 is perfect."""

    nq: int = 0
    nnn: int = 0
    gt_nnn: int = 0
    # The ground truth: a Float32Vector and an Int64Vector.
    gt_D: Any = None
    gt_I: Any = None

    def __init__(self, nq: int, nnn: int) -> None:
        self.nq, self.nnn = nq, nnn
        self.gt_D, self.gt_I = faiss.Float32Vector(), faiss.Int64Vector()

    def set_groundtruth(self, D: np.ndarray | None, I: np.ndarray) -> None:  # noqa: E741
        """The true distances, which are not needed, and the true ids: float32 and int64, shape (nq, any number)."""
        n, self.gt_nnn = I.shape
        assert n == self.nq, f"the ground truth is of {n} queries, {self.nq} are wanted"
        faiss.copy_array_to_vector(contiguous(I, "int64").ravel(), self.gt_I)
        if D is not None:
            assert D.shape == I.shape, f"distances have shape {D.shape}, ids {I.shape}"
            faiss.copy_array_to_vector(contiguous(D, "float32").ravel(), self.gt_D)

    def set_groundtruth_c(self, gt_nnn: int, gt_D_in: Any, gt_I_in: Any) -> None:
        shape = (self.nq, gt_nnn)
        D = None if gt_D_in is None else elements(gt_D_in, self.nq * gt_nnn, "float32").reshape(shape)
        self.set_groundtruth(D, elements(gt_I_in, self.nq * gt_nnn, "int64").reshape(shape))

    def evaluate(self, D: np.ndarray | None, I: np.ndarray) -> float:  # noqa: E741
        """How good results are: distances, which are not needed, and ids, shape (nq, nnn)."""
        assert I.shape == (self.nq, self.nnn), f"the ids have shape {I.shape}, {(self.nq, self.nnn)} is wanted"
        if self.gt_I.size() != self.nq * self.gt_nnn or not self.gt_nnn:
            raise RuntimeError("Error: 'gt_I.size() == gt_nnn * nq && gt_nnn >= 1' failed: set_groundtruth comes first")
        return self._measure(faiss.vector_to_array(self.gt_I).reshape(self.nq, self.gt_nnn), I)

    def evaluate_c(self, D: Any, I: Any) -> float:  # noqa: E741
        return self.evaluate(None, elements(I, self.nq * self.nnn, "int64").reshape(self.nq, self.nnn))

    def _measure(self, truth: np.ndarray, found: np.ndarray) -> float:
        raise AttributeError("No constructor defined - class AutoTuneCriterion is abstract")


class OneRecallAtRCriterion(AutoTuneCriterion):
    """The share of queries whose true nearest neighbour is among the first R results."""

    R: int = 0

    def __init__(self, nq: int, R: int) -> None:
        super().__init__(nq, R)
        self.R = R

    def _measure(self, truth: np.ndarray, found: np.ndarray) -> float:
        return float((found == truth[:, :1]).any(axis=1).mean())


class IntersectionCriterion(AutoTuneCriterion):
    """The share of the true first R neighbours that are among the first R results."""

    R: int = 0

    def __init__(self, nq: int, R: int) -> None:
        super().__init__(nq, R)
        self.R = R

    def _measure(self, truth: np.ndarray, found: np.ndarray) -> float:
        if self.gt_nnn < self.R:
            raise RuntimeError(f"Error: 'gt_nnn >= R' failed: the ground truth has {self.gt_nnn} of {self.R}")
        return faiss.eval_intersection(truth[:, : self.R], found) / (self.nq * self.R)


class OperatingPoint:
    """A setting of the parameters (`key`, number `cno`), how good it is (`perf`) and how long it takes (`t`)."""

    perf: float = 0.0
    t: float = 0.0
    key: str = ""
    cno: int = 0

    def __init__(self, perf: float = 0.0, t: float = 0.0, key: str = "", cno: int = 0) -> None:
        self.perf, self.t, self.key, self.cno = perf, t, key, cno


class OperatingPoints:
    """Operating points, and among them those that no other one is both better and quicker than, in that order."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all points but the one that does nothing in no time."""
        self._all: list[OperatingPoint] = []
        self._optimal = [OperatingPoint(0.0, 0.0, "", -1)]

    @property
    def all_pts(self) -> OperatingPointVector:
        """All points."""
        return OperatingPointVector(self._all)

    @property
    def optimal_pts(self) -> OperatingPointVector:
        """The optimal ones."""
        return OperatingPointVector(self._optimal)

    def add(self, perf: float, t: float, key: str, cno: int = 0) -> bool:
        """Adds a point; returns whether it is optimal."""
        point = OperatingPoint(perf, t, key, cno)
        self._all.append(point)
        if perf == 0 or any(p.perf >= perf and p.t <= t for p in self._optimal):
            return False
        rest = [p for p in self._optimal if not (p.perf <= perf and p.t >= t)]
        self._optimal = sorted([*rest, point], key=lambda p: p.perf)
        return True

    def merge_with(self, other: OperatingPoints, prefix: str = "") -> int:
        """Adds the points of another, whose keys get a prefix; returns how many are optimal."""
        return sum(self.add(p.perf, p.t, prefix + p.key, p.cno) for p in list(other._all))

    def t_for_perf(self, perf: float) -> float:
        """The least time for results that are this good; 1e50 where there are none."""
        return next((p.t for p in self._optimal if p.perf >= perf), 1e50)

    def display(self, only_optimal: bool = True) -> None:
        """Prints the points."""
        print(f"Tested {len(self._all)} operating points, {len(self._optimal)} ones are Pareto-optimal:")
        for p in self._optimal if only_optimal else self._all:
            star = "*" if not only_optimal and p in self._optimal else ""
            print(f"cno={p.cno} key={p.key} perf={p.perf:.4f} t={p.t:.3f} {star}")

    def all_to_gnuplot(self, fname: str) -> None:
        """Writes all points to a file for gnuplot."""
        Path(fname).write_text("".join(f"{p.perf:g} {p.t:g} {p.key}\n" for p in self._all), encoding="utf-8")

    def optimal_to_gnuplot(self, fname: str) -> None:
        """Writes the optimal points to a file for gnuplot, as a staircase."""
        before, text = 0.0, ""
        for p in self._optimal:
            text += f"{before:g} {p.t:g}\n{p.perf:g} {p.t:g} {p.key}\n"
            before = p.perf
        Path(fname).write_text(text, encoding="utf-8")


class ParameterRange:
    """A parameter and its possible values, in a Float64Vector."""

    name: str = ""
    values: Any = None

    def __init__(self, name: str = "", values: Any = None) -> None:
        self.name = name
        self.values = faiss.Float64Vector()
        if values is not None:
            faiss.copy_array_to_vector(np.asarray(values, "float64"), self.values)


class ParameterSpaceMethods(Object):
    batchsize: int = 1 << 30
    n_experiments: int = 500
    min_test_duration: float = 0.0
    thread_over_batches: bool = False
    verbose: Any

    def _ranges(self) -> list[ParameterRange]:
        ranges: list[ParameterRange] = self.__dict__.setdefault("ranges", [])
        return ranges

    @property
    def parameter_ranges(self) -> ParameterRangeVector:
        """The parameters that `initialize` found and `add_range` added."""
        return ParameterRangeVector(self._ranges())

    def add_range(self, name: str) -> ParameterRange:
        """The parameter of that name, added if it is not there."""
        for known in self._ranges():
            if known.name == name:
                return known
        self._ranges().append(ParameterRange(name))
        return self._ranges()[-1]

    def initialize(self, index: Any) -> None:
        """Takes the parameters of an index, with sensible values."""
        self._ranges().clear()
        self._ranges().extend(ParameterRange(name, values) for name, values in self.this.call("ranges_of", index))

    def n_combinations(self) -> int:
        """Number of settings."""
        return int(np.prod([r.values.size() for r in self._ranges()], dtype="int64"))

    def _choice(self, cno: int) -> list[tuple[str, float, int]]:
        chosen = []
        for r in self._ranges():
            cno, at = divmod(cno, r.values.size())
            chosen.append((r.name, r.values.at(at), at))
        return chosen

    def combination_name(self, cno: int) -> str:
        """Setting number cno in words, as set_index_parameters takes them."""
        return ",".join(f"{name}={value:g}" for name, value, _ in self._choice(cno))

    def combination_ge(self, c1: int, c2: int) -> bool:
        """Whether no parameter is less in setting c1 than in c2."""
        pairs = zip(self._choice(c1), self._choice(c2), strict=True)
        return all(a[2] >= b[2] for a, b in pairs)

    def display(self) -> None:
        """Prints the parameters and their values."""
        print(f"ParameterSpace, {len(self._ranges())} parameters, {self.n_combinations()} combinations:")
        for r in self._ranges():
            print(f"   {r.name}: [ {', '.join(f'{v:g}' for v in faiss.vector_to_array(r.values))}]")

    def update_bounds(self, cno: int, op: OperatingPoint, upper_bound_perf: Any, lower_bound_t: Any) -> None:
        """Narrows what is known of setting cno by a measured one; the bounds are pointers to a double."""
        perf, t = elements(upper_bound_perf, 1, "float64"), elements(lower_bound_t, 1, "float64")
        perf[0], t[0] = self._bounds(cno, [op], float(perf[0]), float(t[0]))

    def _bounds(self, cno: int, points: list[OperatingPoint], perf: float, t: float) -> tuple[float, float]:
        for op in points:
            if self.combination_ge(cno, op.cno):
                t = max(t, op.t)
            if self.combination_ge(op.cno, cno):
                perf = min(perf, op.perf)
        return perf, t

    def set_index_parameter(self, index: Any, name: str, value: float) -> None:
        """Sets a parameter of the index or of one within it: nprobe, max_codes, k_factor_rf, ..., and quantizer_nprobe for the coarse
        quantizer's nprobe. RuntimeError where none has it."""
        native_index(index)
        # All parameters but k_factor are whole numbers; of them max_codes may be without a limit.
        whole = "k_factor" not in name and not (name.endswith("max_codes") and value == math.inf)
        number = int(value) if whole else float(value)
        self.this.call("set_index_parameter", index, name, number)

    def set_index_parameters(self, index: Any, param_string: str | int) -> None:
        """Sets several parameters, as in 'nprobe=16,k_factor_rf=4', or those of the setting with a number."""
        if not isinstance(param_string, str):
            for name, value, _ in self._choice(param_string):
                self.set_index_parameter(index, name, value)
            return
        for part in re.split("[ ,;]+", param_string):
            name, equals, text = part.partition("=")
            try:
                number = float(text) if equals else None
            except ValueError:
                number = None
            if number is not None:
                self.set_index_parameter(index, name, number)
            elif part:
                raise RuntimeError(f"Error: 'ret == 2' failed: could not interpret parameters {part}")

    def explore(self, index: Any, xq: np.ndarray, crit: Any) -> OperatingPoints:
        """Measures settings, the least and the largest first, and skips those that can't be optimal.

        xq: queries, shape (nq, d). crit: says how good their results are. Returns the operating points, times in seconds a query.
        """
        xq = contiguous(xq, "float32")
        n, d = xq.shape
        if d != index.d:
            raise AssertionError(f"the queries have {d} dimensions, the index {index.d}")
        assert n == crit.nq, f"the criterion is for {crit.nq} queries, not {n}"
        found, count = OperatingPoints(), self.n_combinations()
        rest = np.random.RandomState(1234).permutation(np.arange(1, max(count - 1, 1)))
        order = list(dict.fromkeys([0, count - 1, *rest.tolist()]))
        for at, cno in enumerate(order[: self.n_experiments] if self.n_experiments else range(count)):
            self._experiment(index, xq, crit, found, cno, f"  {at}/{min(count, self.n_experiments or count)}: ")
        return found

    def _experiment(self, index: Any, xq: np.ndarray, crit: Any, found: OperatingPoints, cno: int, at: str) -> None:
        perf, t = self._bounds(cno, found._all, 1.0, 0.0)
        key = self.combination_name(cno)
        words = f"{at}cno={cno} {key} bounds [perf<={perf:.3f} t>={t:.3f}] "
        if any(p.perf >= perf and p.t <= t for p in found._optimal):
            if self.verbose:
                print(words + "skip")
            return
        self.set_index_parameters(index, cno)
        started, runs = time.perf_counter(), 0
        while runs == 0 or time.perf_counter() - started < self.min_test_duration:
            D, ids = index.search(xq, crit.nnn)
            runs += 1
        seconds = (time.perf_counter() - started) / runs
        perf = crit.evaluate(D, ids)
        optimal = found.add(perf, seconds, key, cno)
        if self.verbose:
            print(f"{words} perf {perf:.3f} t {seconds:.3f} ({runs} run) {'*' if optimal else ''}")

    def explore_c(self, index: Any, nq: int, xq: Any, crit: Any, ops: OperatingPoints) -> None:
        found = self.explore(index, elements(xq, nq * index.d, "float32").reshape(nq, index.d), crit)
        ops.merge_with(found)
