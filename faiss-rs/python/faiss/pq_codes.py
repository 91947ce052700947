"""The numbers of product-quantized codes, written and read one after the other."""

from typing import Any

import numpy as np

from faiss.arrays import elements
from faiss.pointer import Pointer

__all__ = [
    "PQDecoder8",
    "PQDecoder16",
    "PQDecoderGeneric",
    "PQEncoder8",
    "PQEncoder16",
    "PQEncoderGeneric",
]


def _place(coder: Any) -> Pointer:
    """A pointer to the byte that a coder is at."""
    known = coder._code if isinstance(coder._code, np.ndarray) else coder._code.view(coder._code.known_size())
    return Pointer(known[coder._at // 8 :], "uint8")


def _bits(code: Any, at: int) -> int:
    """The bits before a place in its byte."""
    return int(elements(code, at // 8 + 1, "uint8")[-1]) & ((1 << at % 8) - 1)


class PQEncoderGeneric:
    """Writes numbers of nbits bits to where a pointer to bytes leads, from bit `offset` on, lowest bits first."""

    _WIDTHS = range(1, 25)
    nbits: int = 0

    def __init__(self, code: Any, nbits: int, offset: int = 0) -> None:
        if nbits not in self._WIDTHS:
            raise RuntimeError(f"Error: 'nbits is a width of this encoder' failed: {nbits}")
        self._code, self.nbits, self._at = code, int(nbits), int(offset)

    @property
    def code(self) -> Pointer:
        """A pointer to the byte that comes next."""
        return _place(self)

    @property
    def offset(self) -> int:
        """Bits of that byte that are written."""
        return self._at % 8

    @property
    def reg(self) -> int:
        """Those bits."""
        return _bits(self._code, self._at) if self._at % 8 else 0

    def encode(self, x: int) -> None:
        """Writes the next number."""
        start, self._at = self._at, self._at + self.nbits
        own = elements(self._code, -(-self._at // 8), "uint8")[start // 8 :]
        place = start % 8
        # Bits before the number stay, those behind it become 0.
        before = int(own[0]) & ((1 << place) - 1)
        value = before | (int(x) & ((1 << self.nbits) - 1)) << place
        own[...] = [value >> 8 * i & 255 for i in range(len(own))]


class PQEncoder8(PQEncoderGeneric):
    """Writes bytes."""

    _WIDTHS = range(8, 9)

    def __init__(self, code: Any, nbits: int) -> None:
        super().__init__(code, nbits)


class PQEncoder16(PQEncoder8):
    """Writes numbers of two bytes."""

    _WIDTHS = range(16, 17)


class PQDecoderGeneric:
    """Reads what a PQEncoderGeneric wrote."""

    _WIDTHS = range(1, 25)
    nbits: int = 0

    def __init__(self, code: Any, nbits: int) -> None:
        if nbits not in self._WIDTHS:
            raise RuntimeError(f"Error: 'nbits is a width of this decoder' failed: {nbits}")
        self._code, self.nbits, self._at = code, int(nbits), 0

    @property
    def code(self) -> Pointer:
        """A pointer to the byte that comes next."""
        return _place(self)

    @property
    def offset(self) -> int:
        """Bits of that byte that are read."""
        return self._at % 8

    @property
    def mask(self) -> int:
        """The largest number."""
        return (1 << self.nbits) - 1

    @property
    def reg(self) -> int:
        """The byte that is being read, 0 where the next one begins."""
        return int(elements(self._code, self._at // 8 + 1, "uint8")[-1]) if self._at % 8 else 0

    def decode(self) -> int:
        """The next number."""
        start, self._at = self._at, self._at + self.nbits
        own = elements(self._code, -(-self._at // 8), "uint8")[start // 8 :]
        value = int.from_bytes(own.tobytes(), "little")
        return value >> start % 8 & ((1 << self.nbits) - 1)


class PQDecoder8(PQDecoderGeneric):
    """Reads bytes."""

    _WIDTHS = range(8, 9)
    nbits = 8


class PQDecoder16(PQDecoderGeneric):
    """Reads numbers of two bytes."""

    _WIDTHS = range(16, 17)
    nbits = 16
