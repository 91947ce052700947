"""What packs codes into blocks: the forms that write into the caller's arrays."""

import copy
from typing import Any

import numpy as np

from faiss.arrays import elements
from faiss.classes import Object


class CodePackerMethods(Object):
    code_size: int
    nvec: int
    block_size: int

    def _blocks(self, block: Any) -> np.ndarray:
        """Blocks as the caller has them: (n, block_size) of uint8."""
        if not isinstance(block, np.ndarray) or block.dtype != np.uint8 or block.ndim != 2:
            raise ValueError("blocks are an array of uint8 with two axes")
        assert block.shape[1] == self.block_size
        return np.ascontiguousarray(block)

    def pack_1(self, x: Any, offset: int, block: Any) -> None:
        """Puts a code, (code_size,) of uint8, into its place among blocks, (n, block_size) of uint8, which changes."""
        block[...] = self.this.call("pack_1", np.ascontiguousarray(x, "uint8"), offset, self._blocks(block))

    def unpack_1(self, block: Any, offset: int) -> np.ndarray:
        """A code out of blocks, (n, block_size) of uint8."""
        code: np.ndarray = self.this.call("unpack_1", self._blocks(block), offset)
        return code

    def clone(self) -> Any:
        """A copy."""
        return copy.copy(self)

    # The methods with pointers, as in C++: one block.

    def _block(self, block: Any) -> np.ndarray:
        return elements(block, self.block_size, "uint8").reshape(1, self.block_size)

    def pack_1_c(self, flat_code: Any, offset: int, block: Any) -> None:
        self.pack_1(elements(flat_code, self.code_size, "uint8"), offset, self._block(block))

    def unpack_1_c(self, block: Any, offset: int, flat_code: Any) -> None:
        elements(flat_code, self.code_size, "uint8")[...] = self.unpack_1(self._block(block), offset)

    def pack_all(self, flat_codes: Any, block: Any) -> None:
        """Puts the nvec codes of a block into their places."""
        codes = elements(flat_codes, self.nvec * self.code_size, "uint8").reshape(self.nvec, self.code_size)
        for i, code in enumerate(codes):
            self.pack_1(code, i, self._block(block))

    def unpack_all(self, block: Any, flat_codes: Any) -> None:
        """The nvec codes of a block."""
        codes = elements(flat_codes, self.nvec * self.code_size, "uint8").reshape(self.nvec, self.code_size)
        for i in range(self.nvec):
            codes[i] = self.unpack_1(self._block(block), i)
