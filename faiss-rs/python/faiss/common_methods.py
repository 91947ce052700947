"""What indexes over floats and over bits have in common: removing, merging, pickling, and the methods with pointers, as in C++, which are
checked as far as what they point to is known."""

from typing import Any, ClassVar

import numpy as np

import faiss
from faiss import _faiss
from faiss.arrays import elements, output
from faiss.classes import Object

# The numbers of faiss.Float32, Float16, UInt8 and Int8.
NUMERIC_TYPES = ("float32", "float16", "uint8", "int8")


def native_params(params: Any) -> Any:
    """The native object of search parameters, or None."""
    if params is None:
        return None
    if not isinstance(params, faiss.SearchParameters):
        raise TypeError(f"params must be SearchParameters, not {type(params).__name__}")
    return params.this


class CommonMethods(Object):
    # What vectors and distances consist of, and what the names of the extension's functions begin with.
    _item: ClassVar[str] = "float32"
    _distance: ClassVar[str] = "float32"
    _prefix: ClassVar[str] = ""
    d: int
    ntotal: int

    def _native(self, name: str, *args: Any) -> Any:
        return getattr(_faiss, self._prefix + name)(self.this, *args)

    def _width(self) -> int:
        """Numbers of a vector."""
        return self.d

    def _other(self, index: Any) -> Any:
        """The native object of another index of this kind."""
        base = faiss.IndexBinary if self._prefix else faiss.Index
        if not isinstance(index, base):
            raise TypeError(f"a{' binary' if self._prefix else 'n'} index is wanted, not {type(index).__name__}")
        return index.this

    def _check_type(self, numeric_type: int) -> None:
        """RuntimeError for numbers of another type than the index takes."""
        if not 0 <= numeric_type < len(NUMERIC_TYPES):
            raise ValueError(f"numeric type {numeric_type} is not known")
        if NUMERIC_TYPES[numeric_type] != self._item:
            raise RuntimeError(f"{type(self).__name__}: unsupported numeric type {NUMERIC_TYPES[numeric_type]}")

    def _pointed(self, n: int, x: Any) -> np.ndarray:
        return elements(x, n * self._width(), self._item).reshape(n, self._width())

    def _results(self, n: int, k: int, distances: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        pair = elements(distances, n * k, self._distance), elements(labels, n * k, "int64")
        return pair[0].reshape(n, k), pair[1].reshape(n, k)

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: np.ndarray | None = None) -> np.ndarray:
        """The vectors n0 to n0 + ni, one a row; to the last where ni is -1."""
        if ni == -1:
            ni = self.ntotal - n0
        if ni < 0:
            raise ValueError(
                f"negative dimensions are not allowed: there are {self.ntotal} vectors, {n0} to {n0 + ni} are wanted"
            )
        x = output(x, (ni, self._width()), self._item)
        self._native("reconstruct_n", n0, ni, x)
        return x

    def remove_ids(self, x: Any) -> int:
        """Removes vectors by an IDSelector or an array of ids; returns how many. The ids of those that stay are closed up."""
        if not isinstance(x, faiss.IDSelector):
            ids = np.asarray(x)
            assert ids.ndim == 1, "ids must have one dimension"
            x = faiss.IDSelectorBatch(ids)
        removed: int = self._native("remove_ids", x.this)
        return removed

    def reset(self) -> None:
        """Removes all vectors; training stays."""
        self._native("reset")

    def merge_from(self, otherIndex: Any, add_id: int = 0) -> None:
        """Moves the vectors of another index of the same type here; the other is empty afterwards. add_id is added to its ids."""
        self._native("merge_from", self._other(otherIndex), add_id)

    def check_compatible_for_merge(self, otherIndex: Any) -> None:
        """Raises where merge_from would."""
        self._native("check_compatible_for_merge", self._other(otherIndex))

    def train_c(self, n: int, x: Any) -> None:
        self._native("train", self._pointed(n, x))

    def train_ex(self, n: int, x: Any, numeric_type: int) -> None:
        self._check_type(numeric_type)
        self.train_c(n, x)

    def add_c(self, n: int, x: Any) -> None:
        self._native("add", self._pointed(n, x))

    def add_ex(self, n: int, x: Any, numeric_type: int) -> None:
        self._check_type(numeric_type)
        self.add_c(n, x)

    def add_with_ids_c(self, n: int, x: Any, xids: Any) -> None:
        self._native("add_with_ids", self._pointed(n, x), elements(xids, n, "int64"))

    def add_with_ids_ex(self, n: int, x: Any, numeric_type: int, xids: Any) -> None:
        self._check_type(numeric_type)
        self.add_with_ids_c(n, x, xids)

    def search_c(self, n: int, x: Any, k: int, distances: Any, labels: Any, params: Any = None) -> None:
        if k <= 0:
            raise RuntimeError("Error: 'k > 0' failed")
        D, found = self._results(n, k, distances, labels)
        self._native("search", self._pointed(n, x), k, native_params(params), D, found)

    def search_ex(
        self, n: int, x: Any, numeric_type: int, k: int, distances: Any, labels: Any, params: Any = None
    ) -> None:
        self._check_type(numeric_type)
        self.search_c(n, x, k, distances, labels, params)

    def assign_c(self, n: int, x: Any, labels: Any, k: int = 1) -> None:
        self._native("assign", self._pointed(n, x), k, elements(labels, n * k, "int64").reshape(n, k))

    def range_search_c(self, n: int, x: Any, radius: Any, result: Any, params: Any = None) -> None:
        result.fill(self._native("range_search", self._pointed(n, x), radius, native_params(params)))

    def reconstruct_c(self, key: int, recons: Any) -> None:
        self._native("reconstruct", key, elements(recons, self._width(), self._item))

    def reconstruct_n_c(self, i0: int, ni: int, recons: Any) -> None:
        self._native("reconstruct_n", i0, ni, self._pointed(ni, recons))

    def remove_ids_c(self, sel: Any) -> int:
        return self.remove_ids(sel)

    # Pickling and copying, by way of the file format.

    def __getstate__(self) -> dict[str, Any]:
        write = faiss.serialize_index_binary if self._prefix else faiss.serialize_index
        return {**self.__dict__, "this": write(self).tobytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        read = faiss.deserialize_index_binary if self._prefix else faiss.deserialize_index
        self.this = read(np.frombuffer(state["this"], dtype="uint8")).this

    def __repr__(self) -> str:
        if "this" not in self.__dict__:
            return super().__repr__()
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} d={self.d} ntotal={self.ntotal} at {int(self.this):#x}>"
