"""The types of scalar quantizers that are EDEN's, and the sizes of its codes."""

import faiss

__all__ = ["code_size", "is_eden_quantizer_type", "nb_bits_for_qtype", "packed_code_size", "quantizer_type_for_bits"]

# Each code has two numbers of 32 bits beside its coordinates.
FACTORS = 8


def _types() -> dict[int, int]:
    return {getattr(faiss.ScalarQuantizer, f"QT_{bits}bit_eden"): bits for bits in range(1, 9)}


def is_eden_quantizer_type(qtype: int) -> bool:
    """Whether a type of scalar quantizer is EDEN's."""
    return qtype in _types()


def nb_bits_for_qtype(qtype: int) -> int:
    """Bits of a coordinate of a type of EDEN's."""
    if qtype not in _types():
        raise RuntimeError(f"Error: {qtype} is no type of EDEN's")
    return _types()[qtype]


def quantizer_type_for_bits(nb_bits: int) -> int:
    """The type of EDEN's with so many bits a coordinate."""
    for qtype, bits in _types().items():
        if bits == nb_bits:
            return qtype
    raise RuntimeError("Error: EDEN nb_bits must be in [1, 8]")


def packed_code_size(d: int, nb_bits: int) -> int:
    """Bytes of the coordinates of a code."""
    return (d * nb_bits + 7) // 8


def code_size(d: int, nb_bits: int) -> int:
    """Bytes of a code."""
    return packed_code_size(d, nb_bits) + FACTORS
