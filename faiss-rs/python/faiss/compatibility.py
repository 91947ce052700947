"""Small names of Faiss's module that programs look at: versions, instruction sets, the loader's facts."""

import logging

import faiss

__all__ = [
    "VERSION_STRING",
    "base_prefix",
    "depr_prefix",
    "has_AVX2",
    "has_AVX512",
    "has_AVX512_SPR",
    "has_SVE",
    "instruction_sets",
    "loaded",
    "logger",
    "opt_env_variable_name",
    "opt_level",
    "sizeof_long",
    "supported_instruction_sets",
]

VERSION_STRING = faiss.__version__
logger = logging.getLogger("faiss")

# There is one extension, which chooses its code by the processor when it runs: nothing is chosen when it is loaded.
loaded = True
opt_level = None
opt_env_variable_name = "FAISS_OPT_LEVEL"

depr_prefix, base_prefix = "Uint64", "UInt64"
sizeof_long = 8


def supported_instruction_sets() -> set[str]:
    """The instruction sets of this processor that make a difference here."""
    return {name for name in faiss.get_compile_options().split() if name.startswith(("AVX", "NEON", "SVE"))}


instruction_sets = supported_instruction_sets()
has_AVX2 = "AVX2" in instruction_sets
has_AVX512 = "AVX512" in instruction_sets
has_AVX512_SPR = "AVX512_SPR" in instruction_sets
has_SVE = "SVE" in instruction_sets
