"""Parts of an inverted file's centroids as indexes of their own, and an inverted file over a window of time."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

import faiss
from faiss.files import extract_index_ivf

__all__ = [
    "DefaultShardingFunction",
    "PyCallbackShardingFunction",
    "ShardingFunction",
    "SlidingIndexWindow",
    "shard_binary_ivf_index_centroids",
    "shard_ivf_index_centroids",
]


class ShardingFunction:
    """Says which shard a centroid is in."""

    def __init__(self) -> None:
        raise AttributeError("No constructor defined - class is abstract")

    def __call__(self, i: int, shard_count: int) -> int:
        """The shard of centroid i, below shard_count."""
        raise NotImplementedError


class DefaultShardingFunction(ShardingFunction):
    """Deals the centroids out in turn."""

    def __init__(self) -> None:
        pass

    def __call__(self, i: int, shard_count: int) -> int:
        """The shard of centroid i, below shard_count."""
        return i % shard_count


class PyCallbackShardingFunction(ShardingFunction):
    """Asks a Python function."""

    callback: Callable[[int, int], int] | None = None

    def __init__(self, callback: Callable[[int, int], int]) -> None:
        if not callable(callback):
            raise TypeError("the callback must be callable")
        self.callback = callback

    def __call__(self, i: int, shard_count: int) -> int:
        """The shard of centroid i, below shard_count."""
        assert self.callback is not None, "there is no callback"
        return self.callback(i, shard_count)


def _shards(
    index: Any,
    shard_count: int,
    template: str,
    function: Any,
    generate_ids: bool,
    kinds: tuple[Any, Any, Any, Any],
) -> None:
    """kinds: what clones an index and writes one, the class that keeps ids, and the numbers of vectors."""
    clone, write, id_map, dtype = kinds
    quantizer = index.quantizer
    if shard_count < 1:
        raise RuntimeError(f"Error: 'shard_count > 0' failed: {shard_count}")
    if quantizer.ntotal == 0:
        raise RuntimeError("Error: 'index->quantizer->ntotal > 0' failed: No centroids to shard.")
    if "%d" not in template:
        raise RuntimeError("Invalid filename_template. Must contain format specifier for shard count.")
    function = DefaultShardingFunction() if function is None else function
    shards = np.array([int(function(i, shard_count)) for i in range(quantizer.ntotal)], "int64")
    wrong = shards[(shards < 0) | (shards >= shard_count)]
    if len(wrong):
        raise RuntimeError(f"Error: 'shard < shard_count' failed: the sharding function gave {wrong[0]}")
    centroids = quantizer.reconstruct_n(0, quantizer.ntotal).astype(dtype, copy=False)
    # The quantizer and the lists stay as they are in the index: a shard is a copy of it.
    shard = clone(index)
    for number in range(shard_count):
        own = np.flatnonzero(shards == number)
        part = clone(quantizer)
        part.reset()
        if generate_ids:
            part = id_map(part)
            part.add_with_ids(np.ascontiguousarray(centroids[own]), own)
        elif len(own):
            part.add(np.ascontiguousarray(centroids[own]))
        shard.quantizer = part
        write(shard, template.replace("%d", str(number), 1))


def shard_ivf_index_centroids(
    index: Any,
    shard_count: int = 20,
    filename_template: str | os.PathLike[str] = "shard.%d.index",
    sharding_function: Any = None,
    generate_ids: bool = False,
) -> None:
    """Writes an inverted file once for each shard, with those centroids only that belong to the shard.

    filename_template: the files' name, with %d for the shard's number. sharding_function: a ShardingFunction; None deals out in turn.
    generate_ids: whether centroids keep their numbers, by an IndexIDMap2, instead of being counted anew.
    """
    if not isinstance(index, faiss.IndexIVF):
        raise TypeError(f"an IndexIVF is wanted, not {type(index).__name__}")
    kinds = (faiss.clone_index, faiss.write_index, faiss.IndexIDMap2, "float32")
    _shards(index, shard_count, os.fspath(filename_template), sharding_function, generate_ids, kinds)


def shard_binary_ivf_index_centroids(
    index: Any,
    shard_count: int = 20,
    filename_template: str | os.PathLike[str] = "shard.%d.index",
    sharding_function: Any = None,
    generate_ids: bool = False,
) -> None:
    """As shard_ivf_index_centroids, for an IndexBinaryIVF."""
    if not isinstance(index, faiss.IndexBinaryIVF):
        raise TypeError(f"an IndexBinaryIVF is wanted, not {type(index).__name__}")
    kinds = (faiss.clone_binary_index, faiss.write_index_binary, faiss.IndexBinaryIDMap2, "uint8")
    _shards(index, shard_count, os.fspath(filename_template), sharding_function, generate_ids, kinds)


class SlidingIndexWindow:
    """An inverted file over slices, of which the newest is added and the oldest removed."""

    index: Any = None
    ils: Any = None
    nlist: int = 0
    n_slice: int = 0
    # For each list, its sizes after each slice.
    sizes: Any = ()

    def __init__(self, index: Any) -> None:
        """index: trained and empty; an IndexIVF, behind transforms perhaps."""
        ivf = extract_index_ivf(index)
        if index.ntotal != 0 or not index.is_trained:
            raise RuntimeError("Error: 'index->ntotal == 0 && index->is_trained' failed: it is to be trained and empty")
        if not isinstance(ivf.invlists, faiss.ArrayInvertedLists):
            raise RuntimeError("Error: 'ils' failed: only supports indexes with ArrayInvertedLists")
        self.index, self.ils, self.nlist = index, ivf.invlists, ivf.nlist
        self.sizes = [[] for _ in range(ivf.nlist)]

    def step(self, sub_index: Any, remove_oldest: bool) -> None:
        """Adds a slice, an index of the same kind with the same training, or none; removes the oldest if that is wanted."""
        if remove_oldest and not self.n_slice:
            raise RuntimeError("Error: '!remove_oldest || n_slice > 0' failed: cannot remove slice: there is none")
        lists = None
        if sub_index is not None:
            faiss.check_compatible_for_merge(self.index, sub_index)
            lists = extract_index_ivf(sub_index).invlists
        for i in range(self.nlist):
            sizes = self.sizes[i]
            if remove_oldest:
                gone = sizes.pop(0)
                self._drop(i, gone)
                sizes[:] = [size - gone for size in sizes]
            if lists is not None:
                n = lists.list_size(i)
                self.ils.add_entries(i, n, lists.get_ids(i), lists.get_codes(i))
                sizes.append((sizes[-1] if sizes else 0) + n)
        self.n_slice += (lists is not None) - bool(remove_oldest)
        ivf = extract_index_ivf(self.index)
        ivf.ntotal = self.ils.compute_ntotal()
        self.index.ntotal = ivf.ntotal

    def _drop(self, list_no: int, n: int) -> None:
        """Removes the first n entries of a list."""
        size = self.ils.list_size(list_no)
        if n == 0:
            return
        ids, codes = self.ils._ids(list_no)[n:].copy(), self.ils._codes(list_no)[n * self.ils.code_size :].copy()
        self.ils.resize(list_no, size - n)
        self.ils.update_entries(list_no, 0, size - n, ids, codes)
