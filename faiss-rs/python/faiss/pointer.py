"""Pointers to numbers, as C++ has them, that know where their numbers end."""

import ctypes
from typing import Any

import numpy as np

C_NAMES = {
    "float32": "float",
    "float64": "double",
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "float16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "int64": "long",
    "uint64": "unsigned long",
    "bool": "bool",
    "void": "void",
}


class CppObject:
    """An object of C++ of which no more is known than its type."""

    __slots__ = ("type",)

    def __init__(self, type: str) -> None:
        self.type = type

    def __repr__(self) -> str:
        return f"<object of type '{self.type}'>"


class Pointer:
    """A pointer to numbers. Unlike one of C, it keeps what it points to alive and knows where that ends, as far as that is known at all."""

    __slots__ = ("_address", "_array", "dtype")

    def __init__(self, array: np.ndarray | None, dtype: str, address: int = 0) -> None:
        self._array = array
        self.dtype = dtype
        self._address = address if array is None else array.ctypes.data

    @classmethod
    def to_native(cls, view: Any) -> "Pointer":
        """A pointer to the numbers of an object of the library. It keeps the object; once the object is changed by a call, the pointer
        leads to the numbers as they were before."""
        array = view.view()
        return cls(array, array.dtype.name)

    def view(self, n: int, dtype: str | None = None) -> np.ndarray:
        """The first n numbers, as an array over the same memory."""
        if dtype is not None and dtype != self.dtype and self.dtype != "void":
            raise TypeError(f"a pointer to {C_NAMES[dtype]} is wanted, not to {C_NAMES[self.dtype]}")
        wanted = np.dtype(dtype or self.dtype)
        if n < 0:
            raise ValueError("the number of elements is negative")
        if self._array is None:
            return np.frombuffer((ctypes.c_char * (n * wanted.itemsize)).from_address(self._address), wanted)
        flat = self._array.reshape(-1)
        flat = flat if self.dtype != "void" else flat.view(wanted)
        if n > flat.size:
            raise ValueError(f"{n} elements are wanted where the pointer leads to {flat.size}")
        return flat[:n]

    def known_size(self) -> int:
        """How many numbers there are. ValueError where that is not known."""
        if self._array is None:
            raise ValueError("it is not known how far this pointer leads")
        return self._array.nbytes // np.dtype(self.dtype).itemsize

    def __int__(self) -> int:
        return self._address

    def __repr__(self) -> str:
        return f"<pointer of type '{C_NAMES[self.dtype]} *' at {self._address:#x}>"
