"""What packs codes into blocks: the forms that write into the caller's arrays."""

from typing import Any

import numpy as np

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
