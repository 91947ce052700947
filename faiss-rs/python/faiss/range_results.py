"""Results of range searches: as a whole, of a thread, of a query; and what joins them with the results of a search for the k best."""

from typing import Any, ClassVar

import numpy as np

from faiss.arrays import elements
from faiss.pointer import Pointer

__all__ = [
    "BufferList",
    "CombinerRangeKNNfloat",
    "CombinerRangeKNNint16",
    "RangeQueryResult",
    "RangeSearchPartialResult",
    "RangeSearchResult",
]


def _pointer(array: np.ndarray) -> Pointer:
    return Pointer(array, array.dtype.name)


class RangeSearchResult:
    """Results of range_search_c: `lims` points to nq + 1 offsets, `labels` and `distances` to the results of all queries."""

    nq: int = 0
    lims: Pointer | None = None
    labels: Pointer | None = None
    distances: Pointer | None = None
    buffer_size: int = 1 << 18

    def __init__(self, nq: int, alloc_lims: bool = True) -> None:
        self.nq = nq
        self.lims = _pointer(np.zeros(nq + 1, "uint64")) if alloc_lims else None

    def do_allocation(self) -> None:
        """Makes room for as many results as `lims` states."""
        assert self.lims is not None, "there are no lims"
        total = int(self.lims.view(self.nq + 1)[-1])
        self.labels, self.distances = _pointer(np.zeros(total, "int64")), _pointer(np.zeros(total, "float32"))

    def fill(self, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """Takes lims, distances and labels."""
        assert len(found[0]) == self.nq + 1, f"results of {len(found[0]) - 1} queries, {self.nq} are wanted"
        self.lims, self.distances, self.labels = map(_pointer, found)


class BufferList:
    """Ids and distances in the order in which they are added."""

    buffer_size: int = 0
    # How many results the last buffer has, and the buffers: a pair of ids and distances each.
    wp: int = 0
    buffers: Any = ()

    def __init__(self, buffer_size: int) -> None:
        """buffer_size: how many results there is room for at a time."""
        if buffer_size <= 0:
            raise ValueError("the size of a buffer must be positive")
        self.buffer_size, self.wp, self.buffers = buffer_size, buffer_size, []

    def append_buffer(self) -> None:
        """Makes room for more results."""
        self.buffers.append((np.zeros(self.buffer_size, "int64"), np.zeros(self.buffer_size, "float32")))
        self.wp = 0

    def add(self, id: int, dis: float) -> None:
        """Adds a result."""
        if self.wp == self.buffer_size:
            self.append_buffer()
        ids, distances = self.buffers[-1]
        ids[self.wp], distances[self.wp] = id, dis
        self.wp += 1

    def _all(self) -> tuple[np.ndarray, np.ndarray]:
        """All ids and distances."""
        if not self.buffers:
            return np.empty(0, "int64"), np.empty(0, "float32")
        ids, distances = zip(*self.buffers, strict=True)
        size = self.buffer_size * (len(self.buffers) - 1) + self.wp
        return np.concatenate(ids)[:size], np.concatenate(distances)[:size]

    def copy_range(self, ofs: int, n: int, dest_ids: Any, dest_dis: Any) -> None:
        """Copies n results, from the one at ofs on, to where pointers lead."""
        ids, distances = self._all()
        if not 0 <= ofs <= ofs + n <= len(ids):
            raise RuntimeError(f"Error: 'ofs + n <= size' failed: there are {len(ids)} results")
        elements(dest_ids, n, "int64")[...] = ids[ofs : ofs + n]
        elements(dest_dis, n, "float32")[...] = distances[ofs : ofs + n]


class RangeQueryResult:
    """The results of one query, which come one by one: made by RangeSearchPartialResult.new_result."""

    qno: int = 0
    nres: int = 0
    pres: Any = None
    stats: Any = None

    def add(self, dis: float, id: int) -> None:
        """Adds a result."""
        if self.pres is None:
            raise RuntimeError("Error: 'pres' failed: RangeSearchPartialResult.new_result makes such an object")
        self.nres += 1
        self.pres.add(id, dis)


class RangeSearchPartialResult(BufferList):
    """Results of some of the queries of a RangeSearchResult, into which they are put at last."""

    res: Any = None
    # A RangeQueryResult for each query.
    queries: Any = ()

    def __init__(self, res_in: RangeSearchResult) -> None:
        super().__init__(res_in.buffer_size)
        self.res, self.queries = res_in, []

    def new_result(self, qno: int) -> RangeQueryResult:
        """Begins the results of a query."""
        if not 0 <= qno < self.res.nq:
            raise RuntimeError(f"Error: 'qno < nq' failed: there is no query {qno} among {self.res.nq}")
        result = RangeQueryResult()
        result.qno, result.pres = qno, self
        self.queries.append(result)
        return result

    def finalize(self) -> None:
        """Puts the results into the RangeSearchResult, as the only ones."""
        self.set_lims()
        lims = self.res.lims.view(self.res.nq + 1)
        lims[1:], lims[0] = np.cumsum(lims[:-1]), 0
        self.res.do_allocation()
        self.copy_result()

    def set_lims(self) -> None:
        """Writes how many results each query has to `lims` of the RangeSearchResult."""
        lims = self.res.lims.view(self.res.nq + 1)
        for query in self.queries:
            lims[query.qno] = query.nres

    def copy_result(self, incremental: bool = False) -> None:
        """Copies the results to where `lims` says. incremental: moves `lims` behind them."""
        ids, distances = self._all()
        lims = self.res.lims.view(self.res.nq + 1)
        assert self.res.labels is not None, "do_allocation comes first"
        first = 0
        for query in self.queries:
            begin, end = int(lims[query.qno]), int(lims[query.qno]) + query.nres
            self.res.labels.view(end)[begin:] = ids[first : first + query.nres]
            self.res.distances.view(end)[begin:] = distances[first : first + query.nres]
            first += query.nres
            if incremental:
                lims[query.qno] = end

    @staticmethod
    def merge(partial_results: Any, do_delete: bool = True) -> None:
        """Puts several partial results of the same RangeSearchResult into it: a list, which is empty afterwards."""
        if not partial_results:
            return
        res = partial_results[0].res
        counts = np.zeros(res.nq, "int64")
        for part in partial_results:
            for query in part.queries:
                counts[query.qno] += query.nres
        lims = res.lims.view(res.nq + 1)
        lims[0], lims[1:] = 0, np.cumsum(counts)
        res.do_allocation()
        ends = lims.copy()
        for part in partial_results:
            part.copy_result(True)
        lims[...] = ends
        if do_delete:
            del partial_results[:]


class _Combiner:
    """Joins, query by query, the k best within a radius or, where `mask` says so, the results of a range search."""

    nq: int = 0
    k: int = 0
    r2: Any = 0
    keep_max: bool = False
    # Pointers: the k best, nq * k each.
    I: Any = None  # noqa: E741
    D: Any = None
    # Which queries take the results of the range search; None for none of them.
    mask: Any = None
    # The results of the range search of these queries, one after the other.
    lim_remain: Any = None
    D_remain: Any = None
    I_remain: Any = None
    L_res: Any = None
    _dtype: ClassVar[str]

    def __init__(self, nq_in: int, k_in: int, r2_in: Any, keep_max_in: bool) -> None:
        self.nq, self.k, self.r2, self.keep_max = nq_in, k_in, r2_in, keep_max_in

    def _parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        shape = (self.nq, self.k)
        ids = elements(self.I, self.nq * self.k, "int64").reshape(shape)
        values = elements(self.D, self.nq * self.k, self._dtype).reshape(shape)
        within = (ids >= 0) & ((values > self.r2) if self.keep_max else (values < self.r2))
        # Results come best first: what follows the first that is too far is too far.
        counts = np.logical_and.accumulate(within, axis=1).sum(axis=1)
        masked = np.zeros(self.nq, bool) if self.mask is None else elements(self.mask, self.nq, "bool")
        remain = int(masked.sum())
        lims = elements(self.lim_remain, remain + 1, "int64") if remain else np.zeros(1, "int64")
        others = elements(self.D_remain, int(lims[-1]), self._dtype), elements(self.I_remain, int(lims[-1]), "int64")
        parts, at = [], 0
        for q in range(self.nq):
            if masked[q]:
                own = slice(int(lims[at]), int(lims[at + 1]))
                parts.append((others[0][own], others[1][own]))
                at += 1
            else:
                parts.append((values[q, : counts[q]], ids[q, : counts[q]]))
        return parts

    def compute_sizes(self, L_res: Any) -> None:
        """Writes where the results of each query begin: nq + 1 offsets. Then the caller makes room for L_res[nq] results."""
        self.L_res = L_res
        sizes = [len(part[0]) for part in self._parts()]
        elements(L_res, self.nq + 1, "int64")[...] = np.concatenate([[0], np.cumsum(sizes)])

    def write_result(self, D_res: Any, I_res: Any) -> None:
        """Writes the results of all queries."""
        parts = self._parts()
        total = sum(len(part[0]) for part in parts)
        if total:
            elements(D_res, total, self._dtype)[...] = np.concatenate([part[0] for part in parts])
            elements(I_res, total, "int64")[...] = np.concatenate([part[1] for part in parts])


class CombinerRangeKNNfloat(_Combiner):
    """Joins results with distances of float32."""

    _dtype = "float32"


class CombinerRangeKNNint16(_Combiner):
    """Joins results with distances of int16."""

    _dtype = "int16"
