"""Small names of Faiss's module that programs look at: versions, instruction sets, the loader's facts."""

import importlib
import logging
import time
from pathlib import Path

import faiss
from faiss import _faiss
from faiss.simd import instruction_sets as instruction_sets_in_use

__all__ = [
    "VERSION_STRING",
    "IndexProxy",
    "IndexResidual",
    "base_prefix",
    "depr_prefix",
    "fourcc",
    "fourcc_inv",
    "fourcc_inv_printable",
    "get_cycles",
    "get_deserialization_lattice_r2_limit",
    "get_deserialization_loop_limit",
    "get_deserialization_vector_byte_limit",
    "get_mem_usage_kb",
    "get_numeric_type_size",
    "getmillisecs",
    "has_AVX2",
    "has_AVX512",
    "has_AVX512_SPR",
    "has_SVE",
    "instruction_sets",
    "loaded",
    "logger",
    "metric_type_count",
    "opt_env_variable_name",
    "opt_level",
    "set_deserialization_lattice_r2_limit",
    "set_deserialization_loop_limit",
    "set_deserialization_vector_byte_limit",
    "sizeof_long",
    "supported_instruction_sets",
]

VERSION_STRING = faiss.__version__
logger = logging.getLogger("faiss.loader")

# There is one extension, which chooses its code by the processor when it runs: none for an instruction set is loaded.
loaded = False
opt_level = None
opt_env_variable_name = "FAISS_OPT_LEVEL"

depr_prefix, base_prefix = "Uint64", "UInt64"
sizeof_long = 8


def supported_instruction_sets() -> set[str]:
    """The instruction sets of this processor, by numpy's names for them."""
    for module in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        try:
            features = importlib.import_module(module).__cpu_features__
        except (ImportError, AttributeError):
            continue
        return {name for name, there in features.items() if there}
    return set(instruction_sets_in_use())


instruction_sets = supported_instruction_sets()
# What the code of this build chooses among.
has_AVX2, has_AVX512, has_AVX512_SPR, has_SVE = (
    name in instruction_sets_in_use() for name in ("AVX2", "AVX512", "AVX512_SPR", "SVE")
)


# Faiss's older name.
IndexProxy = faiss.IndexReplicas
IndexResidual = faiss.IndexResidualQuantizer


# What a file may state before its reading is refused; 0 is no limit.


def get_deserialization_vector_byte_limit() -> int:
    """Bytes of one vector."""
    return _faiss.get_deserialization_limit("vector_byte")


def set_deserialization_vector_byte_limit(value: int) -> None:
    """Bytes of one vector."""
    _faiss.set_deserialization_limit("vector_byte", value)


def get_deserialization_loop_limit() -> int:
    """Rounds of one loop."""
    return _faiss.get_deserialization_limit("loop")


def set_deserialization_loop_limit(value: int) -> None:
    """Rounds of one loop."""
    _faiss.set_deserialization_limit("loop", value)


def get_deserialization_lattice_r2_limit() -> int:
    """Squared radius of a lattice."""
    return _faiss.get_deserialization_limit("lattice_r2")


def set_deserialization_lattice_r2_limit(value: int) -> None:
    """Squared radius of a lattice."""
    _faiss.set_deserialization_limit("lattice_r2", value)


def fourcc(sx: str) -> int:
    """The number that stands for four characters in a file."""
    code = sx.encode("latin-1")
    if len(code) != 4:
        raise RuntimeError(f"Error: 'sx.length() == 4' failed: '{sx}' has {len(code)} characters")
    return int.from_bytes(code, "little")


def fourcc_inv(x: int) -> str:
    """The four characters that a number stands for."""
    return x.to_bytes(4, "little").decode("latin-1")


def fourcc_inv_printable(x: int) -> str:
    """As fourcc_inv, with what can't be printed in hexadecimal."""
    return "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in x.to_bytes(4, "little"))


def get_cycles() -> int:
    """A count that grows with time, for differences: nanoseconds."""
    return time.perf_counter_ns()


def get_numeric_type_size(numeric_type: int) -> int:
    """Bytes of a number of a type: Float32, Float16, UInt8 or Int8."""
    sizes = {faiss.Float32: 4, faiss.Float16: 2, faiss.UInt8: 1, faiss.Int8: 1}
    if numeric_type not in sizes:
        raise RuntimeError(f"Error: there is no type {numeric_type} of numbers")
    return sizes[numeric_type]


def metric_type_count() -> int:
    """The number of metrics."""
    return sum(name.startswith("METRIC_") for name in dir(faiss))


def getmillisecs() -> float:
    """The time in milliseconds."""
    return time.time() * 1000


def get_mem_usage_kb() -> int:
    """Memory that the process has in use, in KiB."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
