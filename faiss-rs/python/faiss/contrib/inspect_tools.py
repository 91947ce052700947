"""What is inside an index, as arrays."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss

__all__ = ["get_flat_codes", "get_flat_data", "print_object_fields"]


def get_flat_data(index: "faiss.IndexFlat") -> np.ndarray:
    """A copy of the vectors of an IndexFlat, shape (ntotal, d)."""
    return faiss.vector_to_array(index.codes).view("float32").reshape(index.ntotal, index.d)


def get_flat_codes(index_flat: "faiss.IndexFlatCodes") -> np.ndarray:
    """A copy of the codes of an index, shape (ntotal, code_size)."""
    return faiss.vector_to_array(index_flat.codes).reshape(index_flat.ntotal, index_flat.code_size)


def print_object_fields(obj: Any) -> None:
    """Prints the values of all fields of an object."""
    for cls in type(obj).__mro__:
        name = cls.__dict__.get("faiss_name")
        if name:
            for field, *_ in _faiss.describe(name)["fields"]:
                print(f"{field:20}: {getattr(obj, field)}")
