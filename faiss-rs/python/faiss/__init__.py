"""Similarity search and clustering of dense vectors, on the CPU and on CUDA GPUs."""

from faiss import _faiss

__version__: str = _faiss.VERSION
