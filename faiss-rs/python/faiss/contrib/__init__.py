"""Tools around indexes, as in Faiss's own contrib. What a module of Faiss has and its namesake here has not raises NotImplementedError."""
