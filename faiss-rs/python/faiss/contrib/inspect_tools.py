"""What is inside an index, as arrays."""

from typing import Any

import numpy as np

import faiss
from faiss import _faiss

__all__ = [
    "get_LinearTransform_matrix",
    "get_NSG_neighbors",
    "get_additive_quantizer_codebooks",
    "get_flat_codes",
    "get_flat_data",
    "get_invlist",
    "get_invlist_sizes",
    "get_pq_centroids",
    "make_LinearTransform_matrix",
    "print_object_fields",
]


def get_flat_data(index: "faiss.IndexFlat") -> np.ndarray:
    """A copy of the vectors of an IndexFlat, shape (ntotal, d)."""
    return faiss.vector_to_array(index.codes).view("float32").reshape(index.ntotal, index.d)


def get_flat_codes(index_flat: "faiss.IndexFlatCodes") -> np.ndarray:
    """A copy of the codes of an index, shape (ntotal, code_size)."""
    return faiss.vector_to_array(index_flat.codes).reshape(index_flat.ntotal, index_flat.code_size)


def get_invlist(invlists: "faiss.InvertedLists", l: int) -> tuple[np.ndarray, np.ndarray]:  # noqa: E741
    """Copies of the ids and the codes of a list: int64, shape (n,), and uint8, shape (n, code_size)."""
    n = invlists.list_size(l)
    ids = faiss.rev_swig_ptr(invlists.get_ids(l), n).copy()
    codes = faiss.rev_swig_ptr(invlists.get_codes(l), n * invlists.code_size).copy()
    return ids, codes.reshape(n, invlists.code_size)


def get_invlist_sizes(invlists: "faiss.InvertedLists") -> np.ndarray:
    """The number of entries of each list."""
    return np.array([invlists.list_size(i) for i in range(invlists.nlist)], dtype="int64")


def get_pq_centroids(pq: "faiss.ProductQuantizer") -> np.ndarray:
    """The centroids of a product quantizer, shape (M, ksub, dsub)."""
    return faiss.vector_to_array(pq.centroids).reshape(pq.M, pq.ksub, pq.dsub)


def get_NSG_neighbors(nsg: "faiss.NSG") -> np.ndarray:
    """The links of each vertex of an NSG: int32, shape (number of vertices, R); -1 where a vertex has fewer."""
    graph = nsg.get_final_graph()
    return faiss.rev_swig_ptr(graph.data, graph.N * graph.K).reshape(graph.N, graph.K).copy()


def print_object_fields(obj: Any) -> None:
    """Prints the values of all fields of an object."""
    for cls in type(obj).__mro__:
        name = cls.__dict__.get("_faiss_name")
        if name:
            for field, *_ in _faiss.describe(name)["fields"]:
                print(f"{field:20}: {getattr(obj, field)}")


def get_LinearTransform_matrix(pca: "faiss.LinearTransform") -> tuple[np.ndarray, np.ndarray]:
    """The matrix of a linear transform, shape (d_out, d_in), and its bias, which is empty where there is none."""
    return faiss.vector_to_array(pca.A).reshape(pca.d_out, pca.d_in), faiss.vector_to_array(pca.b)


def make_LinearTransform_matrix(A: np.ndarray, b: np.ndarray | None = None) -> "faiss.LinearTransform":
    """The transform A x + b."""
    d_out, d_in = A.shape
    transform = faiss.LinearTransform(d_in, d_out, b is not None)
    faiss.copy_array_to_vector(np.ascontiguousarray(A, dtype="float32").ravel(), transform.A)
    if b is not None:
        assert b.shape == (d_out,), f"the bias has shape {b.shape}, {(d_out,)} is wanted"
        faiss.copy_array_to_vector(np.ascontiguousarray(b, dtype="float32"), transform.b)
    transform.is_trained = True
    transform.set_is_orthonormal()
    return transform


def get_additive_quantizer_codebooks(aq: "faiss.AdditiveQuantizer") -> list[np.ndarray]:
    """The codebooks of an additive quantizer, each of shape (number of entries, d)."""
    codebooks = faiss.vector_to_array(aq.codebooks).reshape(-1, aq.d)
    offsets = faiss.vector_to_array(aq.codebook_offsets).astype("int64")
    return [codebooks[offsets[m] : offsets[m + 1]] for m in range(aq.M)]
