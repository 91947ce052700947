"""What index descriptions mean without building them, and the description of an index that was built."""

import re
from typing import Any

import faiss

__all__ = ["get_code_size", "get_hnsw_M", "reverse_index_factory"]

# Bits of a number, by the part of a scalar quantizer's name after SQ.
SCALAR_BITS = {"4": 4, "6": 6, "8": 8, "fp16": 16, "bf16": 16}


def get_code_size(d: int, indexkey: str) -> int:
    """Bytes that one d-dimensional vector takes in an index of this description, its id not counted."""
    size = _code_size(d, indexkey)
    if size is None:
        raise RuntimeError(f"cannot parse {indexkey}")
    return size


def _code_size(d: int, key: str) -> int | None:
    head, comma, rest = _parted(key)
    if not comma:
        return _own_code_size(d, key)
    # Around the transforms: it has the vectors as they come.
    if m := re.fullmatch(r"(.*),(?:RFlat|Refine\((.*)\))", key):
        sizes = _code_size(d, m[1]), _code_size(d, m[2] or "Flat")
        return None if None in sizes else sum(size or 0 for size in sizes)
    if m := re.fullmatch(r"OPQ\d+(?:_(\d+))?|(?:PCA[WR]*|RR)(\d+)", head):
        return _code_size(int(m[1] or m[2] or d), rest)
    if re.fullmatch(r"IVF\d+(?:_.*|\(.*\))?|IMI\d+x\d+", head):
        return _code_size(d, rest)
    if m := re.fullmatch(r"HNSW(\d+)", head):
        size = _own_code_size(d, rest)
        return None if size is None else size + int(m[1]) * 2 * 4
    return None


def _parted(key: str) -> tuple[str, str, str]:
    """What is before the first comma that no parentheses are around, this comma, and the rest."""
    depth = 0
    for i, character in enumerate(key):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            return key[:i], ",", key[i + 1 :]
    return key, "", ""


def _own_code_size(d: int, key: str) -> int | None:
    """Of a description without commas."""
    if key == "Flat":
        return d * 4
    if (m := re.fullmatch(r"SQ(\w+)", key)) and m[1] in SCALAR_BITS:
        return (d * SCALAR_BITS[m[1]] + 7) // 8
    if m := re.fullmatch(r"PQ(\d+)\+(\d+)", key):
        return int(m[1]) + int(m[2])
    if m := re.fullmatch(r"PQ(\d+)(?:x(\d+))?(?:np|fsr?)?", key):
        return (int(m[1]) * int(m[2] or 8) + 7) // 8
    if m := re.fullmatch(r"HNSW(\d+)", key):
        return d * 4 + int(m[1]) * 2 * 4
    return None


def get_hnsw_M(index: Any) -> int:
    """Number of links of a node of a graph index."""
    links: int = index.hnsw.cum_nneighbor_per_level.at(1) // 2
    return links


def _coarse(index: Any) -> str:
    quantizer = faiss.downcast_index(index.quantizer)
    if isinstance(quantizer, faiss.MultiIndexQuantizer):
        return f"IMI{quantizer.pq.M}x{quantizer.pq.nbits}"
    if isinstance(quantizer, faiss.IndexFlat):
        return f"IVF{index.nlist}"
    if type(quantizer) is faiss.IndexHNSWFlat:
        return f"IVF{index.nlist}_HNSW{get_hnsw_M(quantizer)}"
    return f"IVF{index.nlist}({reverse_index_factory(quantizer)})"


def _transform(vt: Any) -> str:
    if isinstance(vt, faiss.OPQMatrix):
        return f"OPQ{vt.M}_{vt.d_out}"
    if isinstance(vt, faiss.ITQTransform):
        return f"ITQ{vt.d_out}"
    if isinstance(vt, faiss.PCAMatrix):
        assert vt.eigen_power == 0, "no description of a PCA with eigenvalues is known"
        return f"PCA{'R' if vt.random_rotation else ''}{vt.d_out}"
    raise NotImplementedError(f"no description of {type(vt).__name__} is known")


def _scalar(sq: Any) -> str:
    """The name of a scalar quantizer's type: SQ8 of QT_8bit, SQfp16 of QT_fp16, SQtqmse1 of QT_1bit_tqmse."""
    names = {value: name for name, value in vars(faiss.ScalarQuantizer).items() if name.startswith("QT_")}
    name = names[sq.qtype].removeprefix("QT_")
    if m := re.fullmatch(r"(\d)bit_(tq|tqmse|eden)", name):
        return f"SQ{m[2]}{m[1]}"
    return f"SQ{name.replace('bit', '') if name[0].isdigit() else name}"


def _rabitq(index: Any) -> str:
    bits = index.rabitq.nb_bits
    return "RaBitQ" if bits == 1 else f"RaBitQ{bits}"


def _codes(index: Any) -> str | None:
    """The part of a description that says what codes an index has; None where none is known."""
    if isinstance(index, faiss.IndexFlat | faiss.IndexIVFFlat | faiss.IndexHNSWFlat):
        return "Flat"
    if isinstance(index, faiss.IndexIVFPQR):
        return f"PQ{index.pq.M}+{index.refine_pq.M}"
    if isinstance(index, faiss.IndexPQFastScan | faiss.IndexIVFPQFastScan):
        return f"PQ{index.pq.M}x4fs"
    if isinstance(index, faiss.IndexPQ | faiss.IndexIVFPQ):
        return f"PQ{index.pq.M}x{index.pq.nbits}"
    if isinstance(index, faiss.IndexScalarQuantizer | faiss.IndexIVFScalarQuantizer):
        return _scalar(index.sq)
    if isinstance(index, faiss.IndexRaBitQ | faiss.IndexIVFRaBitQ):
        return _rabitq(index)
    if isinstance(index, faiss.IndexLSH):
        own = "" if index.nbits == index.d else str(index.nbits)
        return f"LSH{own}{'r' * index.rotate_data}{'t' * index.train_thresholds}"
    return None


def reverse_index_factory(index: Any) -> str:
    """A description that an index like this one can be built by. NotImplementedError where none is known."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        transforms = [_transform(index.chain.at(i)) for i in range(index.chain.size())]
        return ",".join([*transforms, reverse_index_factory(index.index)])
    if isinstance(index, faiss.IndexIDMap):
        name = "IDMap2" if isinstance(index, faiss.IndexIDMap2) else "IDMap"
        return f"{name},{reverse_index_factory(index.index)}"
    if isinstance(index, faiss.IndexRefine):
        inside = reverse_index_factory(index.refine_index)
        return f"{reverse_index_factory(index.base_index)},Refine({inside})"
    if isinstance(index, faiss.IndexHNSWFlat):
        return f"HNSW{get_hnsw_M(index)}"
    if isinstance(index, faiss.IndexHNSW) and (codes := _codes(faiss.downcast_index(index.storage))):
        return f"HNSW{get_hnsw_M(index)},{codes}"
    if (codes := _codes(index)) is not None:
        return f"{_coarse(index)},{codes}" if isinstance(index, faiss.IndexIVF) else codes
    raise NotImplementedError(f"no description of {type(index).__name__} is known")
