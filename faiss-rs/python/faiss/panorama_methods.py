"""Vectors cut into levels: what C++ has with pointers, which are checked as far as what they point to is known."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import elements
from faiss.classes import Object
from faiss.index_methods import FlatMethods
from faiss.lists_methods import ArrayInvertedListsMethods, pointer_to
from faiss.pointer import Pointer


class FlatPanoramaMethods(FlatMethods):
    """What IndexFlat has with pointers, over vectors in levels."""


class PanoramaMethods(Object):
    d: int
    batch_size: int
    n_levels: int

    # What Faiss's class has beside its members.
    kDefaultBatchSize = 1024
    kLegacyBatchSize = 128

    def _whole(self, n: int) -> int:
        """The places of n vectors: whole batches."""
        return -(-n // self.batch_size) * self.batch_size

    def copy_codes_to_level_layout(self, codes: Any, offset: int, n_entry: int, code: Any) -> None:
        """Writes n_entry vectors to the places from `offset` on; codes, code: pointers to bytes."""
        out = elements(codes, self._whole(offset + n_entry) * self.d * 4, "uint8").view("float32")
        vectors = elements(code, n_entry * self.d * 4, "uint8").view("float32")
        out[...] = self.this.call("copy_codes_to_level_layout", out, offset, vectors)

    def compute_cumulative_sums(self, cumsum_base: Any, offset: int, n_entry: int, vectors: Any) -> None:
        """Writes the norms of n_entry vectors to the places from `offset` on; cumsum_base, vectors: pointers to floats."""
        out = elements(cumsum_base, self._whole(offset + n_entry) * (self.n_levels + 1), "float32")
        out[...] = self.this.call(
            "compute_cumulative_sums", out, offset, elements(vectors, n_entry * self.d, "float32")
        )

    def compute_query_cum_sums(self, query: Any, query_cum_sums: Any) -> None:
        """Writes the norms of what is left of a query from each level on, and a 0; pointers to floats."""
        norms = self.this.call("compute_query_cum_sums", elements(query, self.d, "float32"))
        elements(query_cum_sums, self.n_levels + 1, "float32")[...] = norms

    def copy_entry(
        self,
        dest_codes: Any,
        src_codes: Any,
        dest_cum_sums: Any,
        src_cum_sums: Any,
        dest_idx: int,
        src_idx: int,
    ) -> None:
        """Copies the vector at a place, and its norms, to a place elsewhere: pointers to bytes and to floats."""
        vector = np.empty(self.d, "float32")
        self.reconstruct(src_idx, vector, src_codes)
        self.copy_codes_to_level_layout(dest_codes, dest_idx, 1, vector.view("uint8"))
        self._norms(dest_cum_sums, dest_idx)[...] = self._norms(src_cum_sums, src_idx)

    def _norms(self, cum_sums: Any, at: int) -> np.ndarray:
        """The norms at a place: those of a batch lie level by level."""
        width = self.n_levels + 1
        sums = elements(cum_sums, self._whole(at + 1) * width, "float32").reshape(-1, width, self.batch_size)
        norms: np.ndarray = sums[at // self.batch_size, :, at % self.batch_size]
        return norms

    def set_derived_values(self) -> None:
        """Sets what follows from the number of levels; here that is always set."""

    def reconstruct(self, key: int, recons: Any, codes_base: Any) -> None:
        """Writes the vector at a place to where `recons` leads; codes_base: a pointer to bytes."""
        codes = elements(codes_base, self._whole(key + 1) * self.d * 4, "uint8").view("float32")
        elements(recons, self.d, "float32")[...] = self.this.call("reconstruct", key, codes)


class ArrayInvertedListsPanoramaMethods(ArrayInvertedListsMethods):
    @property
    def cum_sums(self) -> Any:
        """The norms of the vectors of each list, as they lie: copies."""
        made = faiss.MaybeOwnedVectorFloat32Vector()
        for list_no in range(self.nlist):
            sums = faiss.MaybeOwnedVectorFloat32()
            faiss.copy_array_to_vector(self.this.call("get_cum_sums", list_no), sums)
            made.push_back(sums)
        return made

    def get_cum_sums(self, list_no: int) -> Pointer:
        """A pointer to the norms of a list's vectors, as they lie."""
        return pointer_to(self.this.call("get_cum_sums", list_no))

    def get_single_code(self, list_no: int, offset: int) -> Pointer:
        """A pointer to one code of a list, by itself."""
        code: np.ndarray = self.this.call("get_single_code", list_no, offset)
        return pointer_to(code)


class IVFFlatPanoramaMethods(Object):
    invlists: Any

    @property
    def cum_sums(self) -> Any:
        """The norms of the vectors of each list, as they lie: copies."""
        return self.invlists.cum_sums


class HNSWFlatPanoramaMethods(Object):
    def get_cum_sum(self, i: int) -> Pointer:
        """A pointer to the norms of a vector, one a level and a 0."""
        return pointer_to(self.this.call("get_cum_sum", i))
