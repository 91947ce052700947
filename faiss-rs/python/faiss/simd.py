"""Instruction sets: which one the CPU code uses, and how to choose a lower one.

Numbers are those of the constants `SIMDLevel_*`. The environment variable FAISS_SIMD_LEVEL, a name such as `AVX2`, chooses one at the start.
"""

from typing import Any

from faiss import _faiss
from faiss.loader import upstream

__all__ = ["SIMDConfig", "compiled_simd_levels", "to_simd_level", "to_string"]


def _names() -> dict[int, str]:
    """Names by number."""
    prefix = "SIMDLevel_"
    constants = upstream()["constants"]
    return {v: n[len(prefix) :] for n, v in constants.items() if n.startswith(prefix) and n != prefix + "COUNT"}


def _number(level: Any, function: str) -> int:
    if not isinstance(level, int):
        raise TypeError(f"in method '{function}', argument 1 of type 'faiss::SIMDLevel'")
    return int(level)


def compiled_simd_levels() -> int:
    """The levels that this build has code for, a bit each: `1 << level`."""
    return sum(1 << level for level in _faiss.simd_levels(False))


def to_simd_level(level_str: str) -> int:
    """The number of a level by its name. RuntimeError where there is none of that name."""
    if not isinstance(level_str, str):
        raise TypeError("in method 'to_simd_level', argument 1 of type 'std::string const &'")
    for number, name in _names().items():
        if name == level_str:
            return number
    raise RuntimeError(f"Invalid SIMD level string: {level_str}")


def to_string(level: int) -> str:
    """The name of a level by its number. RuntimeError where there is none."""
    name = _names().get(_number(level, "to_string"))
    if name is None:
        raise RuntimeError("Invalid SIMDLevel")
    return name


class SIMDConfig:
    """The instruction set in use. There is one for the whole process; objects of this class are views of it."""

    def __init__(self, faiss_simd_level_env: None = None) -> None:
        if faiss_simd_level_env is not None:
            raise TypeError(
                "Wrong number or type of arguments for overloaded function 'new_SIMDConfig'. "
                "The level is set by SIMDConfig.set_level, or at the start by the environment variable FAISS_SIMD_LEVEL"
            )

    @staticmethod
    def get_level() -> int:
        """The level in use."""
        return _faiss.simd_level()

    @staticmethod
    def get_level_name() -> str:
        """The name of the level in use."""
        return to_string(_faiss.simd_level())

    @staticmethod
    def get_dispatched_level() -> int:
        """The level that a kernel finds itself compiled for when it runs: equal to `get_level()`."""
        return _faiss.dispatched_simd_level()

    @staticmethod
    def set_level(level: int) -> None:
        """Uses a level from now on. RuntimeError where this build or this machine lacks it, and nothing changes."""
        name = to_string(_number(level, "SIMDConfig_set_level"))
        if not _faiss.set_simd_level(int(level)):
            raise RuntimeError(f"SIMDConfig::set_level: level {name} is not available")

    @staticmethod
    def is_simd_level_available(level: int) -> bool:
        """Whether `set_level` would take this level."""
        return _number(level, "SIMDConfig_is_simd_level_available") in _faiss.simd_levels(True)

    @staticmethod
    def auto_detect_simd_level() -> int:
        """The best level of this machine."""
        return _faiss.detected_simd_level()

    @staticmethod
    def has_dynamic_dispatch() -> bool:
        """True: the level is chosen when the program runs."""
        return True

    @property
    def level(self) -> int:
        """The level in use."""
        return _faiss.simd_level()

    @property
    def supported_simd_levels(self) -> int:
        """The levels that are available, a bit each: `1 << level`."""
        return sum(1 << level for level in _faiss.simd_levels(True))

    @property
    def avx512_split(self) -> bool:
        """Whether this processor works through a register of AVX-512 in two halves (Zen 4)."""
        return _faiss.avx512_split()


def instruction_sets() -> list[str]:
    """The available levels beyond what every processor has, as `get_compile_options` names them."""
    return [to_string(level) for level in _faiss.simd_levels(True) if level]
