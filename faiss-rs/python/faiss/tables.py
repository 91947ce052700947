"""Tables of numbers in aligned memory, and their partition into the best numbers and the others."""

from typing import Any, ClassVar

import numpy as np

from faiss.arrays import elements
from faiss.pointer import Pointer

__all__ = [
    "AlignedTableFloat32",
    "AlignedTableUint8",
    "AlignedTableUint16",
    "AlignedTable_to_array",
    "CMax_float_partition_fuzzy",
    "CMax_uint16_partition_fuzzy",
    "CMin_float_partition_fuzzy",
    "CMin_uint16_partition_fuzzy",
    "PartitionStats",
    "array_to_AlignedTable",
    "copy_array_to_AlignedTable",
]

ALIGNMENT = 32


class _AlignedTable:
    """Numbers from an address on that is a multiple of 32."""

    _dtype: ClassVar[str]

    def __init__(self, n: int = 0) -> None:
        """n: how many numbers there are."""
        self._numbers = self._allocated(n)

    def _allocated(self, n: int) -> np.ndarray:
        if n < 0:
            raise OverflowError("the number of elements is negative")
        capacity = self.round_capacity(n) * self.itemsize()
        memory = np.zeros(capacity + ALIGNMENT, "uint8")
        first = -memory.ctypes.data % ALIGNMENT
        return memory[first : first + capacity].view(self._dtype)[:n]

    @classmethod
    def round_capacity(cls, n: int) -> int:
        """For how many numbers memory is taken where n are wanted: a power of two, from 256 on."""
        return 0 if n == 0 else max(8 * ALIGNMENT, 1 << (n - 1).bit_length())

    @classmethod
    def itemsize(cls) -> int:
        """Bytes of a number."""
        return np.dtype(cls._dtype).itemsize

    @property
    def numel(self) -> int:
        """How many numbers there are."""
        return len(self._numbers)

    @property
    def tab(self) -> Pointer:
        """A pointer to the numbers."""
        return self.data()

    def size(self) -> int:
        """How many numbers there are."""
        return len(self._numbers)

    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return self._numbers.nbytes

    def resize(self, n: int) -> None:
        """Changes how many numbers there are; new ones are 0."""
        made = self._allocated(n)
        kept = min(n, len(self._numbers))
        made[:kept] = self._numbers[:kept]
        self._numbers = made

    def clear(self) -> None:
        """Sets all numbers to 0."""
        self._numbers[...] = 0

    def data(self) -> Pointer:
        """A pointer to the numbers."""
        return Pointer(self._numbers, self._dtype)

    def get(self) -> Pointer:
        """A pointer to the numbers."""
        return self.data()


class AlignedTableUint8(_AlignedTable):
    """A table of uint8."""

    _dtype = "uint8"


class AlignedTableUint16(_AlignedTable):
    """A table of uint16."""

    _dtype = "uint16"


class AlignedTableFloat32(_AlignedTable):
    """A table of float32."""

    _dtype = "float32"


def AlignedTable_to_array(v: Any) -> np.ndarray:
    """A copy of a table's numbers."""
    assert isinstance(v, _AlignedTable), f"a table is wanted, not {type(v).__name__}"
    return v._numbers.copy()


def array_to_AlignedTable(a: np.ndarray) -> Any:
    """A table of the numbers of an array, (n,) of uint16 or uint8."""
    (n,) = a.shape
    assert a.dtype in ("uint16", "uint8"), f"an array of uint16 or uint8 is wanted, not of {a.dtype}"
    v = AlignedTableUint16(n) if a.dtype == "uint16" else AlignedTableUint8(n)
    v._numbers[...] = a
    return v


def copy_array_to_AlignedTable(a: np.ndarray, v: Any) -> None:
    """Replaces a table's numbers by those of an array of the same type."""
    (n,) = a.shape
    assert isinstance(v, _AlignedTable), f"a table is wanted, not {type(v).__name__}"
    assert a.dtype == v._dtype, f"an array of {v._dtype} is wanted, not of {a.dtype}"
    v.resize(n)
    v._numbers[...] = a


class PartitionStats:
    """What partitions took; not measured here."""

    bisect_cycles: int = 0
    compress_cycles: int = 0

    def reset(self) -> None:
        """Sets everything to 0."""
        self.bisect_cycles = self.compress_cycles = 0


def _partition(keep_min: bool, dtype: str, args: tuple[Any, ...]) -> Any:
    """Puts the best q of n numbers, and their ids, before the others, q between q_min and q_max: a threshold that parts different numbers
    is taken where there is one. Returns the threshold: numbers before q are no worse, those after it no better."""
    vals, ids, n, q_min, q_max, q_out = args
    numbers = elements(vals, n, dtype)
    labels = elements(ids, n, "int32" if getattr(ids, "dtype", "") == "int32" else "int64")
    if not 0 <= q_min <= q_max:
        raise RuntimeError(f"Error: 'q_min <= q_max' failed: {q_min} and {q_max}")
    limits = np.finfo(dtype) if dtype == "float32" else np.iinfo(dtype)
    if q_min == 0:
        threshold, q = (0 if keep_min else limits.max), 0
    elif q_max >= n:
        threshold, q = (limits.max if keep_min else limits.min), q_max
    else:
        keys = numbers if keep_min else -numbers.astype("float64")
        order = np.argsort(keys, kind="stable")
        numbers[...], labels[...] = numbers[order], labels[order]
        ends = (q for q in range(q_min, q_max + 1) if numbers[q] != numbers[q - 1])
        q = next(ends, q_min)
        threshold = numbers[q]
    if q_out is not None:
        elements(q_out, 1, "uint64")[0] = q
    return float(threshold) if dtype == "float32" else int(threshold)


def CMax_float_partition_fuzzy(vals: Any, ids: Any, n: int, q_min: int, q_max: int, q_out: Any) -> float:
    """Puts between q_min and q_max of the smallest of n numbers, with their ids, before the others, and writes how many to q_out.

    Returns a threshold: numbers before are at most this, those after at least."""
    return float(_partition(True, "float32", (vals, ids, n, q_min, q_max, q_out)))


def CMin_float_partition_fuzzy(vals: Any, ids: Any, n: int, q_min: int, q_max: int, q_out: Any) -> float:
    """As CMax_float_partition_fuzzy, for the largest."""
    return float(_partition(False, "float32", (vals, ids, n, q_min, q_max, q_out)))


def CMax_uint16_partition_fuzzy(vals: Any, ids: Any, n: int, q_min: int, q_max: int, q_out: Any) -> int:
    """As CMax_float_partition_fuzzy, for uint16."""
    return int(_partition(True, "uint16", (vals, ids, n, q_min, q_max, q_out)))


def CMin_uint16_partition_fuzzy(vals: Any, ids: Any, n: int, q_min: int, q_max: int, q_out: Any) -> int:
    """As CMax_uint16_partition_fuzzy, for the largest."""
    return int(_partition(False, "uint16", (vals, ids, n, q_min, q_max, q_out)))
