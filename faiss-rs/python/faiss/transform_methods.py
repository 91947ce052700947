"""Vector transforms with numpy arrays; a method that C++ has with pointers is there with `_c` appended."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous, elements
from faiss.classes import Object, copy_fields


class VectorTransformMethods(Object):
    d_in: int
    d_out: int

    def _rows(self, x: np.ndarray, wanted: int) -> np.ndarray:
        _, d = x.shape
        if d != wanted:
            raise AssertionError(f"the vectors have {d} dimensions, the transformation {wanted}")
        return contiguous(x, "float32")

    def train(self, x: np.ndarray) -> None:
        """Trains on vectors of shape (n, d_in)."""
        self.this.call("train", self._rows(x, self.d_in))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Transforms vectors: shape (n, d_in) to (n, d_out)."""
        made: np.ndarray = self.this.call("apply", self._rows(x, self.d_in))
        return made

    def apply_py(self, x: np.ndarray) -> np.ndarray:
        """As apply."""
        return self.apply(x)

    def reverse_transform(self, x: np.ndarray) -> np.ndarray:
        """Undoes apply, as well as that can be: shape (n, d_out) to (n, d_in)."""
        made: np.ndarray = self.this.call("reverse_transform", self._rows(x, self.d_out))
        return made

    def train_c(self, n: int, x: Any) -> None:
        self.train(elements(x, n * self.d_in, "float32").reshape(n, self.d_in))

    def apply_noalloc(self, n: int, x: Any, xt: Any) -> None:
        """As apply, from and to where pointers lead."""
        made = self.apply(elements(x, n * self.d_in, "float32").reshape(n, self.d_in))
        elements(xt, n * self.d_out, "float32")[...] = made.reshape(-1)

    def check_identical(self, other: Any) -> None:
        """RuntimeError unless the other transformation is of the same type and does the same."""
        same = type(self) is type(other) and np.array_equal(_bytes(self), _bytes(other))
        if not same:
            raise RuntimeError("Error: the transformations are not identical")

    def reverse_transform_c(self, n: int, xt: Any, x: Any) -> None:
        made = self.reverse_transform(elements(xt, n * self.d_out, "float32").reshape(n, self.d_out))
        elements(x, n * self.d_in, "float32")[...] = made.reshape(-1)


class RemapDimensionsMethods(Object):
    def __init__(self, *args: Any) -> None:
        """By a rule, or by a pointer to d_out numbers of coordinates, -1 for zeros."""
        if len(args) == 3 and not isinstance(args[2], bool | int):
            args = (*args[:2], elements(args[2], int(args[1]), "int32"))
        super().__init__(*args)


def _bytes(transform: Any) -> np.ndarray:
    writer = faiss.VectorIOWriter()
    faiss.write_VectorTransform(transform, writer)
    return faiss.vector_to_array(writer.data)


class LinearTransformMethods(VectorTransformMethods):
    A: Any
    b: Any
    have_bias: bool

    def transform_transpose(self, n: int, y: Any, x: Any) -> None:
        """x = (y - b) A for n vectors: the transpose, whatever the matrix; from and to where pointers lead."""
        made = self.this.call("transform_transpose", elements(y, n * self.d_out, "float32").reshape(n, self.d_out))
        elements(x, n * self.d_in, "float32")[...] = made.ravel()

    def print_if_verbose(self, name: str, mat: Any, n: int, d: int) -> None:
        """Prints a matrix of n rows of d numbers, if `verbose` is set."""
        if getattr(self, "verbose", False):
            print(f"matrix {name}: {n}*{d} [")
            for row in faiss.vector_to_array(mat)[: n * d].reshape(n, d).tolist():
                print(" ".join(f"{v:10.5g}" for v in row))
            print("]")


class PCAMatrixMethods(LinearTransformMethods):
    def copy_from(self, other: Any) -> None:
        """Becomes a copy of another trained PCAMatrix."""
        if not isinstance(other, faiss.PCAMatrix):
            raise TypeError(f"a PCAMatrix is wanted, not {type(other).__name__}")
        if not other.is_trained:
            raise RuntimeError("Error: 'other.is_trained' failed")
        copy_fields(other, self)
