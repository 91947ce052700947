"""What a matrix of vectors is like, and random number generators: small classes of Faiss that need nothing of the extension."""

import copy
from typing import Any

import numpy as np

from faiss import _faiss
from faiss.arrays import contiguous, elements

__all__ = [
    "MatrixStats",
    "RandomGenerator",
    "SplitMix64RandomGenerator",
    "hash_bytes",
    "rand_perm",
    "rand_perm_splitmix64",
]


def hash_bytes(bytes: Any, n: int) -> int:
    """A hash of n bytes that a pointer leads to."""
    data = elements(bytes, n, "uint8").tobytes()
    value = data[0] << 7 if data else 0
    for byte in data:
        value = ((1000003 * value) ^ byte) & 0xFFFFFFFFFFFFFFFF
    return value ^ n


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


class PerDimStats:
    """What one dimension of a matrix is like."""

    def __init__(self, column: np.ndarray) -> None:
        valid = column[np.isfinite(column)].astype("float64")
        self.n = len(column)
        self.n_nan = int(np.isnan(column).sum())
        self.n_inf = int(np.isinf(column).sum())
        self.n0 = int((column == 0).sum())
        self.n_valid = len(valid)
        self.min, self.max = (float(valid.min()), float(valid.max())) if len(valid) else (np.inf, -np.inf)
        self.sum, self.sum2 = float(valid.sum()), float((valid**2).sum())
        self.mean = float(valid.mean()) if len(valid) else np.nan
        self.stddev = float(valid.std()) if len(valid) else np.nan


class PerDimStatsVector:
    """The dimensions of a matrix."""

    def __init__(self, items: list[PerDimStats]) -> None:
        self._items = items

    def size(self) -> int:
        """Number of dimensions."""
        return len(self._items)

    def at(self, n: int) -> PerDimStats:
        """Dimension n."""
        if not 0 <= n < len(self._items):
            raise RuntimeError(f"Error: 'n < size()' failed: there are {len(self._items)} dimensions, none is {n}")
        return self._items[n]


# A vector with a norm beyond this is as bad as one that is not finite.
TOO_LARGE = 1e38


class MatrixStats:
    """What vectors of shape (n, d) are like, and what of it may trouble an index: in words in `comments`."""

    comments: str = ""
    n: int = 0
    d: int = 0
    n_valid: int = 0
    n0: int = 0
    n_collision: int = 0
    min_norm2: float = 0.0
    max_norm2: float = 0.0
    hash_value: int = 0
    per_dim_stats: Any = None
    # How often each vector is there, by its hash, where the first one is: count and number.
    occurrences: Any = None
    # Where the comments of Faiss are written to while they are made; here there is no such memory.
    buf: Any = None
    nbuf: int = 0

    def __init__(self, m: np.ndarray) -> None:
        m = contiguous(m, "float32")
        self.n, self.d = m.shape
        self.hash_value = hash_bytes(m.reshape(-1).view("uint8"), m.nbytes)
        norms = np.sqrt((m.astype("float64") ** 2).sum(axis=1))
        with np.errstate(invalid="ignore"):
            valid = norms < TOO_LARGE
        self.n_valid, self.n0 = int(valid.sum()), int((norms == 0).sum())
        others = norms[valid & (norms > 0)]
        self.min_norm2 = float(others.min()) if len(others) else np.inf
        self.max_norm2 = float(norms[valid].max()) if valid.any() else 0.0
        # Equal hashes of different vectors; here vectors are compared as they are.
        self.n_collision = 0
        self.per_dim_stats = PerDimStatsVector([PerDimStats(m[:, j]) for j in range(self.d)])
        lines = [
            f"analyzing {self.n} vectors of size {self.d}",
            f"hash value 0x{self.hash_value:016x}",
            *self._rows(m),
            *self._norms(),
            *self._columns(m),
        ]
        # As Faiss does, without an end of line after the last of all remarks.
        self.comments = "\n".join(lines) + ("" if lines[-1].endswith("ignored") else "\n")

    def do_comment(self, comment: str) -> None:
        """Takes a remark, which goes nowhere: `comments` are complete, as in Faiss once the object is made."""

    def _rows(self, m: np.ndarray) -> list[str]:
        bad = self.n - self.n_valid
        lines = ["no NaN or Infs in data"]
        if bad:
            lines = [
                f"{bad} vectors contain NaN or Inf (or have too large components), expect bad results with indexing!"
            ]
        rows = m.view(f"V{4 * self.d}").ravel() if self.d else np.zeros(self.n, "V1")
        _, first, counts = np.unique(rows, return_index=True, return_counts=True)
        if len(counts) == self.n:
            return [*lines, "all vectors are distinct"]
        most = max(range(len(counts)), key=lambda i: (counts[i], -first[i]))
        return [
            *lines,
            f"{len(counts)} vectors are distinct ({100 * len(counts) / self.n:.2f}%)",
            f"vector {first[most]} has {counts[most]} copies",
        ]

    def _norms(self) -> list[str]:
        low, high = self.min_norm2, self.max_norm2
        lines = [f"range of L2 norms=[{low:g}, {high:g}] ({self.n0} null vectors)"]
        if high < low * 1.0001:
            lines.append("vectors are normalized, inner product and L2 search are equivalent")
        if high > low * 100:
            lines.append("vectors have very large differences in norms, is this normal?")
        return lines

    def _columns(self, m: np.ndarray) -> list[str]:
        columns = [self.per_dim_stats.at(j) for j in range(self.d)]
        zeros = sum(c.n0 for c in columns)
        lines = [f"matrix contains {100 * zeros / m.size:.2f} % 0 entries" if zeros else "matrix contains no 0s"]
        constant = sum(c.min == c.max for c in columns)
        lines.append(
            f"{constant} dimensions are constant: they can be removed" if constant else "no constant dimensions"
        )
        far = [min(abs(c.min), abs(c.max)) > 1000 * (c.max - c.min) > 0 for c in columns]
        lines.append(
            f"{sum(far)} dimensions are too large wrt. their variance, may lose precision in IndexFlatL2 "
            "(use CenteringTransform)"
            if any(far)
            else "no dimension has a too large mean"
        )
        spread = [c.stddev for c in columns if not np.isnan(c.stddev)]
        low, high = (min(spread), max(spread)) if spread else (np.inf, 0.0)
        lines.append(f"stddevs per dimension are in [{low:g} {high:g}]")
        negligible = sum(s < high * 1e-4 for s in spread)
        if negligible:
            lines.append(
                f"{negligible} dimensions have negligible stddev wrt. the largest dimension, they could be ignored"
            )
        return lines
