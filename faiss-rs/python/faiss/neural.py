"""Small neural networks, and the codec that is made of them: QINCo (Huijben et al., "Residual quantization with implicit neural codebooks", 2024).
Their weights come from a training elsewhere, by `from_torch` or `from_array`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous
from faiss.pointer import Pointer

__all__ = [
    "FFN",
    "Embedding",
    "Int32Tensor2D",
    "Linear",
    "NeuralNetCodec",
    "QINCo",
    "QINCoStep",
    "Tensor2D",
]

# Numbers that a table of candidates may have at a time.
MOST = 1 << 24


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


def _array(vector: Any, *shape: int) -> np.ndarray:
    """The numbers of a vector, which may have been changed."""
    array = faiss.vector_to_array(vector)
    if array.size != np.prod(shape):
        raise RuntimeError(f"Error: 'weight.size() == {np.prod(shape)}' failed: there are {array.size} numbers")
    return array.reshape(shape)


def _check(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    assert array.shape == shape, f"weights of shape {shape} are wanted, not {array.shape}"
    return array


class Linear:
    """A linear layer: x @ weight.T + bias."""

    in_features: int = 0
    out_features: int = 0
    weight: Any = None
    bias: Any = None

    def __init__(self, in_features: Any, out_features: int | None = None, bias: bool = True) -> None:
        if out_features is None:
            # As torch has it.
            layer = in_features
            self.__init__(layer.in_features, layer.out_features, layer.bias is not None)  # type: ignore[misc]
            self.from_torch(layer)
            return
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.weight = _vector(np.zeros(self.in_features * self.out_features))
        self.bias = _vector(np.zeros(self.out_features if bias else 0))

    def from_array(self, array: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Takes weights (out_features, in_features), and a bias (out_features,) where there is one."""
        self.weight = _vector(_check(array, (self.out_features, self.in_features)))
        if bias is not None:
            self.bias = _vector(_check(bias, (self.out_features,)))

    def from_torch(self, linear: Any) -> None:
        """Takes the weights of a torch.nn.Linear."""
        bias = linear.bias
        self.from_array(linear.weight.detach().numpy(), None if bias is None else bias.detach().numpy())

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The layer's output for rows of an array."""
        out: np.ndarray = x @ _array(self.weight, self.out_features, self.in_features).T
        return out + _array(self.bias, self.out_features) if self.bias.size() else out

    def __call__(self, x: Tensor2D) -> Tensor2D:
        rows = x.numpy()
        if rows.shape[1] != self.in_features:
            raise RuntimeError(f"Error: 'x.shape[1] == in_features' failed: {rows.shape[1]} != {self.in_features}")
        return Tensor2D(self.apply(rows))


class Embedding:
    """A table of vectors."""

    num_embeddings: int = 0
    embedding_dim: int = 0
    weight: Any = None

    def __init__(self, num_embeddings: Any, embedding_dim: int | None = None) -> None:
        if embedding_dim is None:
            table = num_embeddings
            self.__init__(table.num_embeddings, table.embedding_dim)  # type: ignore[misc]
            self.from_torch(table)
            return
        self.num_embeddings, self.embedding_dim = int(num_embeddings), int(embedding_dim)
        self.weight = _vector(np.zeros(self.num_embeddings * self.embedding_dim))

    def from_array(self, array: np.ndarray) -> None:
        """Takes the vectors, (num_embeddings, embedding_dim)."""
        self.weight = _vector(_check(array, (self.num_embeddings, self.embedding_dim)))

    def from_torch(self, embedding: Any) -> None:
        """Takes the vectors of a torch.nn.Embedding."""
        self.from_array(embedding.weight.detach().numpy())

    def data(self) -> Pointer:
        """A pointer to the vectors."""
        pointer: Pointer = self.weight.data()
        return pointer

    def table(self) -> np.ndarray:
        """The vectors."""
        return _array(self.weight, self.num_embeddings, self.embedding_dim)

    def apply(self, codes: np.ndarray) -> np.ndarray:
        """The vectors of some numbers."""
        if len(codes) and not 0 <= codes.min() <= codes.max() < self.num_embeddings:
            raise RuntimeError(f"Error: 'ci < num_embeddings' failed: there are {self.num_embeddings} vectors")
        found: np.ndarray = self.table()[codes]
        return found

    def __call__(self, x: Int32Tensor2D) -> Tensor2D:
        codes = x.numpy()
        if codes.shape[1] != 1:
            raise RuntimeError("Error: 'codes.shape[1] == 1' failed: one number a row is wanted")
        return Tensor2D(self.apply(codes[:, 0]))


class FFN:
    """Two linear layers without biases, and between them what is below 0 becomes 0."""

    linear1: Any = None
    linear2: Any = None

    def __init__(self, d: int, h: int) -> None:
        self.linear1, self.linear2 = Linear(d, h, False), Linear(h, d, False)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The output for rows of an array."""
        made: np.ndarray = self.linear2.apply(np.maximum(self.linear1.apply(x), 0))
        return made

    def __call__(self, x: Tensor2D) -> Tensor2D:
        return Tensor2D(self.apply(x.numpy()))


class QINCoStep:
    """A step of QINCo: of K entries of a codebook, a network with L residual blocks of hidden dimension h makes others, for what is known of the
    vector so far."""

    d: int = 0
    K: int = 0
    L: int = 0
    h: int = 0
    codebook: Any = None
    MLPconcat: Any = None
    residual_blocks: Sequence[FFN] = ()

    def __init__(self, d: Any, K: int | None = None, L: int = 0, h: int = 0) -> None:
        if K is None:
            step = d
            self.__init__(step.d, step.K, step.L, step.h)  # type: ignore[misc]
            self.from_torch(step)
            return
        self.d, self.K, self.L, self.h = int(d), int(K), int(L), int(h)
        self.codebook, self.MLPconcat = Embedding(K, d), Linear(2 * d, d)
        self.residual_blocks = [FFN(d, h) for _ in range(L)]

    def get_residual_block(self, i: int) -> FFN:
        """Residual block i."""
        return self.residual_blocks[i]

    def from_torch(self, step: Any) -> None:
        """Takes the weights of a step of the authors' program."""
        self.codebook.from_torch(step.codebook)
        self.MLPconcat.from_torch(step.MLPconcat)
        for own, block in zip(self.residual_blocks, step.residual_blocks, strict=True):
            own.linear1.from_torch(block[0])
            own.linear2.from_torch(block[2])

    def _change(self, entries: np.ndarray, known: np.ndarray) -> np.ndarray:
        """What the step adds to what is known, with these entries."""
        out: np.ndarray = entries + self.MLPconcat.apply(np.concatenate([entries, known], axis=1))
        for block in self.residual_blocks:
            out = out + block.apply(out)
        return out

    def changes(self, known: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """What the step adds to rows of what is known, with a number of an entry for each."""
        return self._change(self.codebook.apply(codes), known)

    def best(self, known: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For rows of vectors the entries that bring what is known nearest to them, and what those add."""
        codes, changes = np.zeros(len(x), "int32"), np.zeros_like(x)
        share = max(1, MOST // (2 * self.K * self.d))
        for first in range(0, len(x), share):
            own = slice(first, first + share)
            n = len(x[own])
            entries = np.tile(self.codebook.table(), (n, 1))
            all_changes = self._change(entries, np.repeat(known[own], self.K, axis=0)).reshape(n, self.K, self.d)
            errors = ((x[own] - known[own])[:, None] - all_changes) ** 2
            codes[own] = errors.sum(axis=2).argmin(axis=1)
            changes[own] = all_changes[np.arange(n), codes[own]]
        return codes, changes

    def encode(self, xhat: Tensor2D, x: Tensor2D, residuals: Tensor2D | None = None) -> Int32Tensor2D:
        """The entries that bring xhat nearest to x; what they add is written to `residuals`, if it is given."""
        codes, changes = self.best(xhat.numpy(), x.numpy())
        if residuals is not None:
            faiss.copy_array_to_vector(changes.ravel(), residuals.v)
        return Int32Tensor2D(codes[:, None])

    def decode(self, xhat: Tensor2D, codes: Int32Tensor2D) -> Tensor2D:
        """What the entries of these numbers add to xhat."""
        return Tensor2D(self.changes(xhat.numpy(), codes.numpy()[:, 0]))


class NeuralNetCodec:
    """Base of the codecs that are neural networks: of vectors of d dimensions, codes of M numbers."""

    d: int = 0
    M: int = 0

    def __init__(self, d: int, M: int) -> None:
        if type(self) is NeuralNetCodec:
            raise AttributeError("No constructor defined - class is abstract")
        self.d, self.M = int(d), int(M)

    def encode(self, x: Tensor2D) -> Int32Tensor2D:
        """The codes of vectors."""
        raise NotImplementedError

    def decode(self, codes: Int32Tensor2D) -> Tensor2D:
        """The vectors of codes."""
        raise NotImplementedError


class QINCo(NeuralNetCodec):
    """A residual quantizer of M codebooks of K entries, whose codebooks after the first are made by networks for each vector."""

    K: int = 0
    L: int = 0
    h: int = 0
    codebook0: Any = None
    steps: Sequence[QINCoStep] = ()

    def __init__(self, d: Any, K: int | None = None, L: int = 0, M: int = 1, h: int = 0) -> None:
        if K is None:
            net = d
            self.__init__(net.d, net.K, net.L, net.M, net.h)  # type: ignore[misc]
            self.from_torch(net)
            return
        super().__init__(d, M)
        self.K, self.L, self.h = int(K), int(L), int(h)
        self.codebook0 = Embedding(K, d)
        self.steps = [QINCoStep(d, K, L, h) for _ in range(1, M)]

    def get_step(self, i: int) -> QINCoStep:
        """Step i: codebook i + 1."""
        return self.steps[i]

    def from_torch(self, qinco: Any) -> None:
        """Takes the weights of the authors' program."""
        self.codebook0.from_torch(qinco.codebook0)
        for own, step in zip(self.steps, qinco.steps, strict=True):
            own.from_torch(step)

    def _rows(self, x: np.ndarray, width: int, what: str) -> np.ndarray:
        if x.shape[1] != width:
            raise RuntimeError(f"Error: '{what}' failed: rows of {x.shape[1]} numbers, {width} are wanted")
        return x

    def encode(self, x: Tensor2D) -> Int32Tensor2D:
        rows = self._rows(x.numpy(), self.d, "x.shape[1] == d")
        nearest = faiss.IndexFlatL2(self.d)
        nearest.add(self.codebook0.table())
        codes = [nearest.search(rows, 1)[1][:, 0].astype("int32")]
        known = self.codebook0.apply(codes[0])
        for step in self.steps:
            own, changes = step.best(known, rows)
            codes.append(own)
            known = known + changes
        return Int32Tensor2D(np.stack(codes, axis=1))

    def decode(self, codes: Int32Tensor2D) -> Tensor2D:
        numbers = self._rows(codes.numpy(), self.M, "codes.shape[1] == M")
        known = self.codebook0.apply(numbers[:, 0])
        for i, step in enumerate(self.steps):
            known = known + step.changes(known, numbers[:, i + 1])
        return Tensor2D(known)


# The constructors under the name that programs of Faiss know too.
for _cls in (Tensor2D, Int32Tensor2D, Linear, Embedding, QINCoStep, QINCo):
    _cls.original_init = _cls.__init__  # type: ignore[union-attr]
