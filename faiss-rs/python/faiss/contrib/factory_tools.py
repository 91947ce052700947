"""What index descriptions mean without building them, and the description of an index that was built."""

import re
from typing import Any

import faiss

__all__ = ["get_code_size", "get_hnsw_M", "reverse_index_factory"]

# Bits of a number, by the part of a scalar quantizer's name after SQ.
SCALAR_BITS = {"4": 4, "6": 6, "8": 8, "fp16": 16, "bf16": 16}


def get_code_size(d: int, indexkey: str) -> int:
    """Bytes that one d-dimensional vector takes in an index of this description, its id not counted."""
    parts = indexkey.split(",")
    if m := re.fullmatch(r"(?:OPQ\d+_|OPQ\d+$|PCA[WR]*|RR|PCA)(\d+)?(?:_(\d+))?", parts[0]):
        if (not parts[0].startswith("OPQ") and m[1]) or (m := re.fullmatch(r"OPQ\d+_(\d+)", parts[0])):
            d = int(m[1])
        return get_code_size(d, ",".join(parts[1:]))
    if len(parts) > 1 and parts[-1] in ("RFlat", "Refine(Flat)"):
        return d * 4 + get_code_size(d, ",".join(parts[:-1]))
    if len(parts) > 1 and re.fullmatch(r"(?:IVF\d+.*|IMI\d+x\d+)", parts[0]):
        return get_code_size(d, ",".join(parts[1:]))
    key = indexkey
    if key == "Flat":
        return d * 4
    if m := re.fullmatch(r"SQ(\w+)", key):
        if m[1] in SCALAR_BITS:
            return (d * SCALAR_BITS[m[1]] + 7) // 8
    elif m := re.fullmatch(r"PQ(\d+)\+(\d+)", key):
        return int(m[1]) + int(m[2])
    elif m := re.fullmatch(r"PQ(\d+)(?:x(\d+))?(?:np|fsr?)?", key):
        return (int(m[1]) * int(m[2] or 8) + 7) // 8
    elif m := re.fullmatch(r"HNSW(\d+)(?:,Flat)?", key):
        return d * 4 + int(m[1]) * 2 * 4
    raise RuntimeError(f"cannot parse {indexkey}")


def get_hnsw_M(index: Any) -> int:
    """Number of links of a node of a graph index."""
    links: int = index.hnsw.cum_nneighbor_per_level.at(1) // 2
    return links


def _coarse(index: Any) -> str:
    quantizer = faiss.downcast_index(index.quantizer)
    if isinstance(quantizer, faiss.IndexFlat):
        return f"IVF{index.nlist}"
    return f"IVF{index.nlist}({reverse_index_factory(quantizer)})"


def _transform(vt: Any) -> str:
    if isinstance(vt, faiss.OPQMatrix):
        return f"OPQ{vt.M}_{vt.d_out}"
    if isinstance(vt, faiss.PCAMatrix):
        assert vt.eigen_power == 0, "no description of a PCA with eigenvalues is known"
        return f"PCA{'R' if vt.random_rotation else ''}{vt.d_out}"
    raise NotImplementedError(f"no description of {type(vt).__name__} is known")


def reverse_index_factory(index: Any) -> str:
    """A description that an index like this one can be built by. NotImplementedError where none is known."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexFlat):
        return "Flat"
    if isinstance(index, faiss.IndexIVFFlat):
        return f"{_coarse(index)},Flat"
    if isinstance(index, faiss.IndexIVFPQ):
        return f"{_coarse(index)},PQ{index.pq.M}x{index.pq.nbits}"
    if isinstance(index, faiss.IndexPQ):
        return f"PQ{index.pq.M}x{index.pq.nbits}"
    if isinstance(index, faiss.IndexPreTransform):
        transforms = [_transform(index.chain.at(i)) for i in range(index.chain.size())]
        return ",".join([*transforms, reverse_index_factory(index.index)])
    if isinstance(index, faiss.IndexIDMap):
        name = "IDMap2" if isinstance(index, faiss.IndexIDMap2) else "IDMap"
        return f"{name},{reverse_index_factory(index.index)}"
    if isinstance(index, faiss.IndexRefine):
        inside = reverse_index_factory(index.refine_index)
        return f"{reverse_index_factory(index.base_index)},Refine({inside})"
    raise NotImplementedError(f"no description of {type(index).__name__} is known")
