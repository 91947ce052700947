"""What indexes with a coarse quantizer have in common: numbers of lists as bytes, and the quantizer's training."""

from typing import Any

import numpy as np

from faiss.arrays import elements
from faiss.classes import Object


class Level1Methods(Object):
    nlist: int
    quantizer: Any

    def train_q1(self, n: int, x: Any, verbose: bool, metric_type: int) -> None:
        """Trains the coarse quantizer on n vectors that a pointer leads to."""
        d = int(self.quantizer.d)
        self.this.call("train_q1", elements(x, n * d, "float32").reshape(n, d), verbose, metric_type)

    def coarse_code_size(self) -> int:
        """Bytes of a list's number."""
        return ((max(self.nlist, 1) - 1).bit_length() + 7) // 8

    def encode_listno(self, list_no: int, code: Any) -> None:
        """Writes the number of a list, coarse_code_size() bytes."""
        size = self.coarse_code_size()
        elements(code, size, "uint8")[...] = np.frombuffer(int(list_no).to_bytes(8, "little"), "uint8")[:size]

    def decode_listno(self, code: Any) -> int:
        """The reverse of encode_listno."""
        number = int.from_bytes(elements(code, self.coarse_code_size(), "uint8").tobytes(), "little")
        if number >= self.nlist:
            raise RuntimeError(f"Error: 'list_no >= 0 && list_no < nlist' failed: there is no list {number}")
        return number
