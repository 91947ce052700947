"""Searches over several machines: not here yet."""

from faiss.contrib._missing import getattr_of

__getattr__ = getattr_of(__name__)
