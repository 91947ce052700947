"""Merging of inverted files into one whose lists are on disk."""

import logging
from collections.abc import Sequence
from typing import Any

import faiss

__all__ = ["merge_ondisk"]

LOG = logging.getLogger(__name__)


def merge_ondisk(trained_index: Any, shard_fnames: Sequence[str], ivfdata_fname: str, shift_ids: bool = False) -> None:
    """Puts the vectors of several inverted files into one that is trained and empty, with its lists in a file of their own.

    trained_index: an IndexIVF, or an index around one; all shards were made from it. shard_fnames: the files of the shards, whose lists are
    mapped, so that they need not fit in memory. ivfdata_fname: the file that is made. shift_ids: count the ids of each shard on from those
    before. The index must then be written beside that file.
    """
    ivf = faiss.extract_index_ivf(trained_index)
    if ivf.ntotal:
        raise AssertionError(f"the index works only if it is empty; it has {ivf.ntotal} vectors")
    shards = [faiss.read_index(name, faiss.IO_FLAG_MMAP) for name in shard_fnames]
    for shard in shards:
        inside = faiss.extract_index_ivf(shard)
        if (inside.nlist, inside.code_size) != (ivf.nlist, ivf.code_size):
            raise AssertionError("the shards were not made from this index: nlist or code_size differ")
    lists = faiss.OnDiskInvertedLists(ivf.nlist, ivf.code_size, ivfdata_fname)
    vector = faiss.InvertedListsPtrVector()
    for shard in shards:
        vector.push_back(faiss.extract_index_ivf(shard).invlists)
    ntotal = lists.merge_from_multiple(vector.data(), vector.size(), shift_ids)
    LOG.info("%d vectors of %d files are in %s", ntotal, len(shards), ivfdata_fname)
    ivf.replace_invlists(lists, True)
    ivf.ntotal = trained_index.ntotal = ntotal
