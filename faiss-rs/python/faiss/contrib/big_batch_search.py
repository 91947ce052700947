"""Searches of many queries list by list: not here yet; an IndexIVF goes through its lists so by itself."""

from faiss.contrib._missing import getattr_of

__getattr__ = getattr_of(__name__)
