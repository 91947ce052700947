"""Indexes to and from files, streams and arrays, and copies of indexes."""

import os
from typing import Any

import numpy as np

import faiss
from faiss import _faiss
from faiss.classes import copy_fields, wrap
from faiss.index_methods import native_index

__all__ = [
    "clone_InvertedLists",
    "clone_Quantizer",
    "clone_VectorTransform",
    "clone_index",
    "deserialize_index",
    "downcast_AdditiveQuantizer",
    "downcast_InvertedLists",
    "downcast_Quantizer",
    "downcast_VectorTransform",
    "downcast_index",
    "extract_index_ivf",
    "index_factory",
    "read_InvertedLists",
    "read_ProductQuantizer",
    "read_VectorTransform",
    "read_index",
    "serialize_index",
    "try_extract_index_ivf",
    "write_InvertedLists",
    "write_ProductQuantizer",
    "write_VectorTransform",
    "write_index",
]


def is_stream(where: Any, kind: str) -> bool:
    """Whether it is an IOReader or IOWriter. Most are paths, for which those classes are not made: that would be most of a small file's time."""
    return not isinstance(where, str) and isinstance(where, getattr(faiss, kind))


def _path(where: Any, what: str) -> str:
    if not isinstance(where, str | os.PathLike):
        raise TypeError(f"{what} must be a path, not {type(where).__name__}")
    path = os.fspath(where)
    if not isinstance(path, str):
        raise TypeError(f"{what} must be a path of str, not bytes")
    return path


def write_index(index: Any, where: Any, io_flags: int = 0) -> None:
    """Writes an index, or that there is none, to a file (a path) or to an IOWriter.

    As in Faiss, the file of that name is written over; after a write that fails, what is there cannot be read.
    """
    if index is None:
        _faiss.write_null(
            (where if is_stream(where, "IOWriter") else faiss.FileIOWriter(_path(where, "the file"))).this
        )
    elif is_stream(where, "IOWriter"):
        _faiss.write_index_to(native_index(index), where.this, io_flags)
    else:
        _faiss.write_index(native_index(index), _path(where, "the file"), io_flags)


def read_index(where: Any, io_flags: int = 0) -> Any:
    """Reads an index from a file (a path) or from an IOReader, as the class that it was written as; None where it says that there is none.

    io_flags: a sum. IO_FLAG_MMAP leaves inverted lists in the file, IO_FLAG_MMAP_IFC all codes; IO_FLAG_READ_ONLY forbids changes to lists on disk.
    RuntimeError, with the file's name and the reason, where it can't be read or is damaged.
    """
    if is_stream(where, "IOReader"):
        return wrap(_faiss.read_index_from(where.this, io_flags))
    return wrap(_faiss.read_index(_path(where, "the file"), io_flags))


def serialize_index(index: Any, io_flags: int = 0) -> np.ndarray:
    """What write_index writes to a file, as an array of uint8: for a database, a message, pickle. deserialize_index reads it."""
    if index is None:
        return np.frombuffer(b"null", "uint8").copy()
    return _faiss.serialize_index(native_index(index), io_flags)


def deserialize_index(data: np.ndarray, io_flags: int = 0) -> Any:
    """The index that serialize_index made an array of."""
    (_,) = data.shape
    assert data.dtype == np.uint8, f"an index is deserialized from an array of uint8, not {data.dtype}"
    return wrap(_faiss.deserialize_index(np.ascontiguousarray(data), io_flags))


def clone_index(index: Any) -> Any:
    """A copy of an index that shares nothing with it, with all that is inside it."""
    if index is None:
        raise RuntimeError("clone not supported for this type of index: there is none")
    return wrap(_faiss.clone_object(native_index(index)))


def index_factory(d: int, description: str, metric: int = 1, own_invlists: bool = True) -> Any:
    """An empty index over d-dimensional vectors, as a description has it; it is to be trained where its `is_trained` is False.

    metric: how vectors are compared: METRIC_L2 (squared distances), METRIC_INNER_PRODUCT, ...
    own_invlists: whether an inverted file gets lists; without, `replace_invlists` gives it some.
    description: parts with commas between, as in 'OPQ16,IVF1024,PQ16,RFlat':
        transforms  PCA64, PCAR64, OPQ16, OPQ16_64, RR64, ITQ64, L2norm, Pad128
        lists       IVF1024, IVF65536_HNSW32, IVF1024(PQ8x4fs), IMI2x8
        codes       Flat, SQ8, SQ4, SQfp16, PQ16, PQ16x4fs, RaBitQ, RQ8x8, LSQ8x8, LSH
        graphs      HNSW32, HNSW32_SQ8, NSG32
        around all  IDMap or IDMap2 first, RFlat or Refine(SQfp16) last

    RuntimeError where no index is described so.
    """
    made = wrap(_faiss.index_factory(d, description, metric))
    # As in Faiss, not where it is inside another index.
    if not own_invlists and isinstance(made, faiss.IndexIVF):
        made.replace_invlists(None)
    return made


def downcast_index(index: Any) -> Any:
    """The index as the most derived of its classes, which it is already here."""
    return None if index is None else wrap(native_index(index))


def _checked(value: Any, name: str) -> Any:
    if not isinstance(value, getattr(faiss, name)):
        raise TypeError(f"an object of type {name} is wanted, not {type(value).__name__}")
    return value


def downcast_VectorTransform(vt: Any) -> Any:
    """The transform as the most derived of its classes, which it is already here."""
    return wrap(_checked(vt, "VectorTransform").this)


def downcast_InvertedLists(il: Any) -> Any:
    """The inverted lists as the most derived of their classes, which they are already here."""
    return wrap(_checked(il, "InvertedLists").this)


def downcast_Quantizer(aq: Any) -> Any:
    """The quantizer as the most derived of its classes, which it is already here."""
    return wrap(_checked(aq, "Quantizer").this)


def downcast_AdditiveQuantizer(aq: Any) -> Any:
    """The quantizer as the most derived of its classes, which it is already here."""
    return wrap(_checked(aq, "AdditiveQuantizer").this)


def clone_Quantizer(quant: Any) -> Any:
    """A copy of a quantizer."""
    made = type(_checked(quant, "Quantizer"))()
    copy_fields(quant, made)
    return made


def clone_VectorTransform(vt: Any) -> Any:
    """A deep copy of a transform."""
    return wrap(_faiss.clone_object(_checked(vt, "VectorTransform").this))


def clone_InvertedLists(il: Any) -> Any:
    """A deep copy of inverted lists."""
    return wrap(_faiss.clone_object(_checked(il, "InvertedLists").this))


def write_InvertedLists(ils: Any, f: Any) -> None:
    """Writes inverted lists to a file (a path) or to an IOWriter."""
    this = _checked(ils, "InvertedLists").this
    writer = f if is_stream(f, "IOWriter") else faiss.FileIOWriter(_path(f, "the file"))
    _faiss.write_inverted_lists(this, writer.this)


def read_InvertedLists(reader: Any, io_flags: int = 0) -> Any:
    """Reads inverted lists from a file (a path) or from an IOReader; None where it says that there are none."""
    source = reader if is_stream(reader, "IOReader") else faiss.FileIOReader(_path(reader, "the file"))
    return wrap(_faiss.read_inverted_lists(source.this, io_flags))


def try_extract_index_ivf(index: Any) -> Any:
    """The IndexIVF inside an index, behind transforms and id maps; None where there is none."""
    inner = {"IndexPreTransform": "index", "IndexIDMap": "index", "IndexRefine": "base_index"}
    while True:
        if index is None:
            return None
        native_index(index)
        lineage = [cls.__name__ for cls in type(index).__mro__]
        if "IndexIVF" in lineage:
            return index
        fields = [inner[name] for name in lineage if name in inner]
        if not fields:
            return None
        index = getattr(index, fields[0])


def extract_index_ivf(index: Any) -> Any:
    """As try_extract_index_ivf; RuntimeError where there is none."""
    found = try_extract_index_ivf(index)
    if found is None:
        raise RuntimeError(f"Error: 'ivf' failed: there is no IndexIVF in {type(index).__name__}")
    return found


def write_ProductQuantizer(pq: Any, where: Any) -> None:
    """Writes a product quantizer to a file (a path) or to an IOWriter."""
    if not isinstance(pq, faiss.ProductQuantizer):
        raise TypeError(f"a ProductQuantizer is wanted, not {type(pq).__name__}")
    if not is_stream(where, "IOWriter"):
        where = faiss.FileIOWriter(_path(where, "the file"))
    _faiss.write_product_quantizer(pq.this, where.this)


def read_ProductQuantizer(where: Any) -> Any:
    """Reads a product quantizer from a file (a path) or from an IOReader."""
    if not is_stream(where, "IOReader"):
        where = faiss.FileIOReader(_path(where, "the file"))
    return wrap(_faiss.read_product_quantizer(where.this))


def write_VectorTransform(vt: Any, where: Any) -> None:
    """Writes a transform to a file (a path) or to an IOWriter."""
    this = _checked(vt, "VectorTransform").this
    if not is_stream(where, "IOWriter"):
        where = faiss.FileIOWriter(_path(where, "the file"))
    _faiss.write_index_to(this, where.this, 0)


def read_VectorTransform(where: Any) -> Any:
    """Reads a transform from a file (a path) or from an IOReader, as the class that it was written as."""
    if not is_stream(where, "IOReader"):
        where = faiss.FileIOReader(_path(where, "the file"))
    made = wrap(_faiss.read_object_from(where.this, 0))
    if not isinstance(made, faiss.VectorTransform):
        raise RuntimeError(f"Error: this is no VectorTransform but {type(made).__name__}")
    return made
