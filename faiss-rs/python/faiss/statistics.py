"""Random number generators, and what a matrix of vectors is like."""

import copy
from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import contiguous, elements
from faiss.classes import Object

__all__ = [
    "RandomGenerator",
    "SplitMix64RandomGenerator",
    "rand_perm",
    "rand_perm_splitmix64",
]


def rand_perm(perm: Any, n: int, seed: int) -> None:
    """Writes a permutation of 0 to n - 1 to where a pointer to int32 leads."""
    elements(perm, n, "int32")[...] = _faiss.rand_perm(n, seed, False)


def rand_perm_splitmix64(perm: Any, n: int, seed: int) -> None:
    """As rand_perm, by the quicker generator."""
    elements(perm, n, "int32")[...] = _faiss.rand_perm(n, seed, True)


def state_of(twister: Any) -> np.ndarray:
    """The state of a generator's `mt`, as the library takes it: 624 numbers, and how many of them were used."""
    if not isinstance(twister, np.random.RandomState):
        raise TypeError(f"a std::mt19937, as RandomGenerator.mt is, is wanted, not {type(twister).__name__}")
    _, numbers, used, *_ = twister.get_state(legacy=True)
    return np.append(np.asarray(numbers, "int64"), used)


def set_state(twister: Any, state: np.ndarray) -> None:
    """Has a generator go on from a state."""
    twister.set_state(("MT19937", np.asarray(state[:-1], "uint32"), int(state[-1])))


class RandomGenerator:
    """Faiss's random numbers: a Mersenne twister."""

    def __init__(self, seed: int = 1234) -> None:
        self._twister = np.random.RandomState(seed & 0xFFFFFFFF)

    @property
    def mt(self) -> Any:
        """A copy of the twister, as in Faiss."""
        return copy.deepcopy(self._twister)

    @classmethod
    def from_state(cls, state: np.ndarray) -> "RandomGenerator":
        """The generator that goes on from a state, as state_of gives it."""
        made = cls()
        set_state(made._twister, state)
        return made

    def _next(self) -> int:
        return int(self._twister.randint(0, 1 << 32, dtype=np.uint32))

    def rand_int(self, max: int | None = None) -> int:
        """An integer in [0, 2**31), or in [0, max)."""
        return self._next() & 0x7FFFFFFF if max is None else self._next() % max

    def rand_int64(self) -> int:
        """An integer in [0, 2**62)."""
        low = self.rand_int()
        return low | self.rand_int() << 31

    def rand_float(self) -> float:
        """A float32 in [0, 1]."""
        return float(np.float32(self._next()) / np.float32(0xFFFFFFFF))

    def rand_double(self) -> float:
        """A number in [0, 1]."""
        return self._next() / 0xFFFFFFFF


class SplitMix64RandomGenerator(RandomGenerator):
    """A generator that is quick to make and of 64 bits."""

    def __init__(self, seed: int = 1234) -> None:
        self._state = seed & 0xFFFFFFFFFFFFFFFF

    @property
    def state(self) -> int:
        """Where the generator is."""
        return self._state

    def next(self) -> int:
        """A number of 64 bits."""
        return self._next()

    def _next(self) -> int:
        mask = 0xFFFFFFFFFFFFFFFF
        self._state = (self._state + 0x9E3779B97F4A7C15) & mask
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def rand_int64(self) -> int:
        """An integer in [0, 2**63)."""
        return self._next() & 0x7FFFFFFFFFFFFFFF

    def rand_float(self) -> float:
        """A float32 in [0, 1]."""
        return float(np.float32(self._next()) / np.float32(0xFFFFFFFFFFFFFFFF))

    def rand_double(self) -> float:
        """A number in [0, 1]."""
        return self._next() / 0xFFFFFFFFFFFFFFFF


class MatrixStatsMethods(Object):
    # How often each vector is there, and where the comments of Faiss are written to while they are made; here there is no such memory.
    occurrences: Any = None
    buf: Any = None
    nbuf: int = 0

    def __init__(self, m: np.ndarray) -> None:
        super().__init__(contiguous(m, "float32"))

    original_init = __init__

    def do_comment(self, comment: str) -> None:
        """Takes a remark, which goes nowhere: `comments` are complete, as in Faiss once the object is made."""
