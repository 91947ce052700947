"""Permutations of a product quantizer's numbers as C++ has them: pointers to numbers and to tables of distances."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements, swig_ptr
from faiss.classes import Object
from faiss.pointer import Pointer
from faiss.statistics import RandomGenerator


class PermutationObjectiveMethods(Object):
    n: int

    def compute_cost(self, perm: Any) -> float:
        """What a permutation, a pointer to n numbers, costs."""
        cost: float = self.this.call("compute_cost", elements(perm, self.n, "int32"))
        return cost

    def cost_update(self, perm: Any, iw: int, jw: int) -> float:
        """By how much the cost changes if the numbers at two places of a permutation are swapped."""
        change: float = self.this.call("cost_update", elements(perm, self.n, "int32"), iw, jw)
        return change


class ReproduceDistancesObjectiveMethods(PermutationObjectiveMethods):
    def __init__(self, n: int, source_dis_in: Any, target_dis_in: Any, dis_weight_factor: float) -> None:
        tables = (elements(table, n * n, "float64") for table in (source_dis_in, target_dis_in))
        super().__init__(n, *tables, dis_weight_factor)

    @property
    def target_dis(self) -> Pointer:
        """The wanted distances (n * n)."""
        return swig_ptr(self.this.call("targets"))

    @staticmethod
    def sqr(x: float) -> float:
        """x * x."""
        return x * x

    @staticmethod
    def compute_mean_stdev(tab: Any, n2: int, mean_out: Any, stddev_out: Any) -> None:
        """Mean and standard deviation of n2 numbers, to where the last two pointers lead."""
        numbers = elements(tab, n2, "float64")
        elements(mean_out, 1, "float64")[0] = numbers.mean()
        elements(stddev_out, 1, "float64")[0] = numbers.std()

    def set_affine_target_dis(self, source_dis_in: Any) -> None:
        """Takes other distances in, a pointer to n * n, scaled and shifted to the mean and deviation of the targets."""
        self.this.call("set_affine_target_dis", elements(source_dis_in, self.n * self.n, "float64"))


class SimulatedAnnealingOptimizerMethods(Object):
    n: int
    obj: Any
    # Where Faiss notes the costs of its steps; nothing is noted here.
    logfile: Any = None

    @property
    def rnd(self) -> RandomGenerator:
        """The generator that runs begin with."""
        return RandomGenerator(self.seed)

    def optimize(self, perm: Any) -> float:
        """One run from the permutation that a pointer leads to, and gets the new one; returns its cost."""
        numbers = elements(perm, self.n, "int32")
        cost: float
        cost, numbers[...] = self.this.call("optimized", self.obj.this, np.ascontiguousarray(numbers))
        return cost

    def run_optimization(self, best_perm: Any) -> float:
        """n_redo runs; the best permutation goes to where a pointer leads, its cost is returned."""
        cost: float
        cost, elements(best_perm, self.n, "int32")[...] = self.this.call("best_of_runs", self.obj.this)
        return cost


class PolysemousTrainingMethods(Object):
    def optimize_pq_for_hamming(self, pq: Any, n: int, x: Any) -> None:
        """Gives the centroids new numbers, as optimization_type says; x is a pointer to n vectors for rankings, or None with n = 0."""
        self.this.call("optimize_pq_for_hamming", *_given(pq, n, x))

    def optimize_ranking(self, pq: Any, n: int, x: Any) -> None:
        """Gives the centroids numbers whose Hamming distances keep rankings: those of n vectors, or with n = 0 of the centroids."""
        self.this.call("optimize_ranking", *_given(pq, n, x))


def _given(pq: Any, n: int, x: Any) -> tuple[Any, np.ndarray]:
    if not isinstance(pq, faiss.ProductQuantizer):
        raise TypeError(f"a ProductQuantizer is wanted, not a {type(pq).__name__}")
    return pq.this, np.empty(0, "float32") if x is None else np.ascontiguousarray(elements(x, n * pq.d, "float32"))
