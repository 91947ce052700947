"""Matrices as the small neural networks take them, and where the networks' weights come from: `from_torch` or `from_array`."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous
from faiss.classes import Object
from faiss.pointer import Pointer

__all__ = ["Int32Tensor2D", "Tensor2D"]


class _Tensor:
    """A matrix."""

    _DTYPE = "float32"

    def __init__(self, *args: Any) -> None:
        if len(args) == 1:
            array = contiguous(args[0], self._DTYPE)
            if array.ndim != 2:
                raise AssertionError(f"a matrix is wanted, not an array of {array.ndim} dimensions")
        else:
            n0, n1 = args[:2]
            data = args[2] if len(args) > 2 else None
            array = np.zeros((n0, n1), self._DTYPE)
            if data is not None:
                array[...] = data.view(n0 * n1, self._DTYPE).reshape(n0, n1)
        self._vector = _vector(array, self._DTYPE)
        self._shape = (int(array.shape[0]), int(array.shape[1]))

    @property
    def v(self) -> Any:
        """The numbers, row by row."""
        return self._vector

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self._shape

    def numel(self) -> int:
        """Number of numbers."""
        return self._shape[0] * self._shape[1]

    def data(self) -> Pointer:
        """A pointer to the numbers."""
        pointer: Pointer = self._vector.data()
        return pointer

    def numpy(self) -> np.ndarray:
        """A copy, as an array."""
        return faiss.vector_to_array(self._vector).reshape(self._shape)

    def column(self, j: int) -> Any:
        """Column j, as a matrix."""
        if not 0 <= j < self._shape[1]:
            raise RuntimeError(f"Error: 'j < shape[1]' failed: there is no column {j} among {self._shape[1]}")
        return type(self)(self.numpy()[:, j : j + 1])


class Tensor2D(_Tensor):
    """A matrix of float32: Tensor2D(array), Tensor2D(n0, n1) of zeros, Tensor2D(n0, n1, pointer)."""


class Int32Tensor2D(_Tensor):
    """A matrix of int32: Int32Tensor2D(array), Int32Tensor2D(n0, n1) of zeros, Int32Tensor2D(n0, n1, pointer)."""

    _DTYPE = "int32"


def _vector(array: np.ndarray, dtype: str = "float32") -> Any:
    made = faiss.Float32Vector() if dtype == "float32" else faiss.Int32Vector()
    faiss.copy_array_to_vector(contiguous(array, dtype).ravel(), made)
    return made


# The constructors under the name that programs of Faiss know too.
Tensor2D.original_init = Int32Tensor2D.original_init = _Tensor.__init__  # type: ignore[attr-defined]


def _rows(x: _Tensor, width: int, what: str) -> np.ndarray:
    rows = x.numpy()
    if rows.shape[1] != width:
        raise RuntimeError(f"Error: 'x.shape[1] == {what}' failed: rows of {rows.shape[1]} numbers, {width} are wanted")
    return rows


def _take(own: Any, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Gives a vector of weights those of an array."""
    assert array.shape == shape, f"weights of shape {shape} are wanted, not {array.shape}"
    faiss.copy_array_to_vector(contiguous(array, "float32").ravel(), own)


class LinearMethods(Object):
    in_features: int
    out_features: int
    weight: Any
    bias: Any

    def __init__(self, in_features: Any, out_features: int | None = None, bias: bool = True) -> None:
        if out_features is not None:
            super().__init__(in_features, out_features, bias)
            return
        # As torch has it.
        layer = in_features
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        self.from_torch(layer)

    original_init = __init__

    def from_array(self, array: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Takes weights (out_features, in_features), and a bias (out_features,) where there is one."""
        _take(self.weight, array, (self.out_features, self.in_features))
        if bias is not None:
            _take(self.bias, bias, (self.out_features,))

    def from_torch(self, linear: Any) -> None:
        """Takes the weights of a torch.nn.Linear."""
        bias = linear.bias
        self.from_array(linear.weight.detach().numpy(), None if bias is None else bias.detach().numpy())

    def __call__(self, x: Tensor2D) -> Tensor2D:
        return Tensor2D(self.this.call("_apply", _rows(x, self.in_features, "in_features")))


class EmbeddingMethods(Object):
    num_embeddings: int
    embedding_dim: int
    weight: Any

    def __init__(self, num_embeddings: Any, embedding_dim: int | None = None) -> None:
        if embedding_dim is not None:
            super().__init__(num_embeddings, embedding_dim)
            return
        table = num_embeddings
        super().__init__(table.num_embeddings, table.embedding_dim)
        self.from_torch(table)

    original_init = __init__

    def from_array(self, array: np.ndarray) -> None:
        """Takes the vectors, (num_embeddings, embedding_dim)."""
        _take(self.weight, array, (self.num_embeddings, self.embedding_dim))

    def from_torch(self, embedding: Any) -> None:
        """Takes the vectors of a torch.nn.Embedding."""
        self.from_array(embedding.weight.detach().numpy())

    def data(self) -> Pointer:
        """A pointer to the vectors."""
        pointer: Pointer = self.weight.data()
        return pointer

    def __call__(self, x: Int32Tensor2D) -> Tensor2D:
        return Tensor2D(self.this.call("_apply", _rows(x, 1, "1")[:, 0].copy()))


class FFNMethods(Object):
    linear1: Any

    def __call__(self, x: Tensor2D) -> Tensor2D:
        return Tensor2D(self.this.call("_apply", _rows(x, self.linear1.in_features, "in_features")))


class QINCoStepMethods(Object):
    d: int
    codebook: Any
    MLPconcat: Any
    residual_blocks: Any

    def __init__(self, d: Any, K: int | None = None, L: int = 0, h: int = 0) -> None:
        if K is not None:
            super().__init__(d, K, L, h)
            return
        step = d
        super().__init__(step.d, step.K, step.L, step.h)
        self.from_torch(step)

    original_init = __init__

    def from_torch(self, step: Any) -> None:
        """Takes the weights of a step of the authors' program."""
        self.codebook.from_torch(step.codebook)
        self.MLPconcat.from_torch(step.MLPconcat)
        for own, block in zip(self.residual_blocks, step.residual_blocks, strict=True):
            own.linear1.from_torch(block[0])
            own.linear2.from_torch(block[2])

    def encode(self, xhat: Tensor2D, x: Tensor2D, residuals: Tensor2D | None = None) -> Int32Tensor2D:
        """The entries that bring xhat nearest to x; what they add is written to `residuals`, if it is given."""
        codes, changes = self.this.call("_encode", _rows(xhat, self.d, "d"), _rows(x, self.d, "d"))
        if residuals is not None:
            faiss.copy_array_to_vector(changes.ravel(), residuals.v)
        return Int32Tensor2D(codes[:, None])

    def decode(self, xhat: Tensor2D, codes: Int32Tensor2D) -> Tensor2D:
        """What the entries of these numbers add to xhat."""
        return Tensor2D(self.this.call("_decode", _rows(xhat, self.d, "d"), _rows(codes, 1, "1")[:, 0].copy()))


class NeuralNetCodecMethods(Object):
    d: int
    M: int

    def encode(self, x: Tensor2D) -> Int32Tensor2D:
        """The codes of vectors."""
        return Int32Tensor2D(self.this.call("_encode", _rows(x, self.d, "d")))

    def decode(self, codes: Int32Tensor2D) -> Tensor2D:
        """The vectors of codes."""
        return Tensor2D(self.this.call("_decode", _rows(codes, self.M, "M")))


class QINCoMethods(Object):
    codebook0: Any
    steps: Any

    def __init__(self, d: Any, K: int | None = None, L: int = 0, M: int = 1, h: int = 0) -> None:
        if K is not None:
            super().__init__(d, K, L, M, h)
            return
        net = d
        super().__init__(net.d, net.K, net.L, net.M, net.h)
        self.from_torch(net)

    original_init = __init__

    def from_torch(self, qinco: Any) -> None:
        """Takes the weights of the authors' program."""
        self.codebook0.from_torch(qinco.codebook0)
        for own, step in zip(self.steps, qinco.steps, strict=True):
            own.from_torch(step)
