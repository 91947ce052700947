"""Tensors of PyTorch as arguments: not here yet; `tensor.numpy()` shares the memory of a tensor on the CPU."""

from faiss.contrib._missing import getattr_of

__getattr__ = getattr_of(__name__)
