"""The library's global variables, `faiss.cvar`: how it works, and what it did so far."""

from functools import cache
from typing import Any

import numpy as np

import faiss
from faiss import _faiss, loader
from faiss.classes import wrap

__all__ = ["Z_MAX_BY_QB", "cvar", "hamdis_tab_ham_bytes"]

# Variables that change nothing here: results do not depend on how work is cut into blocks, and nothing is printed.
ACCEPTED: dict[str, int | bool] = {
    "bucket_sort_verbose": 0,
    "check_compatible_for_merge_expensive_check": True,
    "hamming_batch_size": 65536,
    "index2layer_sa_encode_bs": 32768,
    "index_factory_verbose": 0,
    "index_ivfpq_add_core_o_bs": 32768,
    "index_read_warn_on_null_invlists": True,
    "multi_index_quantizer_search_bs": 32768,
    "product_quantizer_compute_codes_bs": 262144,
    "rowwise_minmax_sa_decode_bs": 16384,
    "rowwise_minmax_sa_encode_bs": 16384,
    "visited_table_hashset_threshold": 10000000,
}
# Those that do something, or that the library counts in.
NATIVE = (
    "distance_compute_blas_database_bs",
    "distance_compute_blas_query_bs",
    "distance_compute_blas_threshold",
    "distance_compute_min_k_reservoir",
    "precomputed_table_max_bytes",
    "FastScan_stats",
    "IVFFastScan_stats",
    "indexBinaryHash_stats",
    "indexIVFPQ_stats",
    "indexIVF_stats",
    "indexPQ_stats",
    "indexPanorama_stats",
    "hnsw_stats",
    "rabitq_stats",
)
# Those that say what is the case, and can't be set.
FACTS = (
    "SIMDConfig_avx512_split",
    "SIMDConfig_level",
    "SIMDConfig_supported_simd_levels",
    "SINGLE_SIMD_LEVEL",
    "SINGLE_SIMD_LEVEL_256",
    "SINGLE_SIMD_LEVEL_512",
    "Z_MAX_BY_QB",
    "hamdis_tab_ham_bytes",
    "partition_stats",
)


# How far from 0 RaBitQ's centered rounding of normal variables reaches, by bits.
HALF_WIDTHS = (0.79688, 1.49375, 2.05078, 2.50938, 2.91250, 3.26406, 3.59844, 3.91016)


@cache
def _constants() -> dict[str, Any]:
    return {name: value for name, value in loader.upstream()["constants"].items() if name.startswith("IO_FLAG_")}


class GlobalVariables:
    """The library's global variables, which say how it works: `faiss.cvar.distance_compute_blas_threshold = 100`."""

    def __init__(self) -> None:
        self.__dict__["_accepted"] = dict(ACCEPTED)
        self.__dict__["_partitions"] = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        accepted = self.__dict__["_accepted"]
        if name in accepted:
            return accepted[name]
        if name in FACTS:
            return self._fact(name)
        constants = _constants()
        if name in constants:
            return constants[name]
        if name in NATIVE:
            return wrap(_faiss.get_global(name))
        raise AttributeError(f"Unknown C global variable '{name}'")

    def _fact(self, name: str) -> Any:
        if name == "hamdis_tab_ham_bytes":
            return faiss.swig_ptr(np.unpackbits(np.arange(256, dtype="uint8")[:, None], axis=1).sum(1, dtype="uint8"))
        if name == "Z_MAX_BY_QB":
            return faiss.swig_ptr(np.array(HALF_WIDTHS, "float32"))
        if name == "partition_stats":
            if self.__dict__["_partitions"] is None:
                self.__dict__["_partitions"] = faiss.PartitionStats()
            return self.__dict__["_partitions"]
        if name.startswith("SINGLE"):
            # There is no build for one instruction set only.
            return 0
        if name == "SIMDConfig_level":
            return _faiss.simd_level()
        if name == "SIMDConfig_avx512_split":
            return _faiss.avx512_split()
        return sum(1 << level for level in _faiss.simd_levels(True))

    def __setattr__(self, name: str, value: int) -> None:
        accepted = self.__dict__["_accepted"]
        if name in accepted:
            if not isinstance(value, int | np.integer):
                raise TypeError(f"in variable 'faiss::{name}' of type '{type(accepted[name]).__name__}'")
            accepted[name] = type(accepted[name])(value)
        elif name in FACTS or name in _constants():
            raise AttributeError(f"Variable {name} is read-only.")
        elif name in NATIVE:
            _faiss.set_global(name, value)
        else:
            raise AttributeError(f"Unknown C global variable '{name}'")

    def __dir__(self) -> list[str]:
        return sorted([*ACCEPTED, *NATIVE, *FACTS, *_constants()])

    def __repr__(self) -> str:
        return "<Swig global variables>"

    def __str__(self) -> str:
        return f"({', '.join(dir(self))})"


cvar = GlobalVariables()

# Tables that are there without `cvar` too.
Z_MAX_BY_QB, hamdis_tab_ham_bytes = cvar.Z_MAX_BY_QB, cvar.hamdis_tab_ham_bytes
