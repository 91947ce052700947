"""Tools around indexes, as in Faiss's own contrib. Each module has a part of its namesake's functions; a module that is not here is an
ImportError, as usual."""
