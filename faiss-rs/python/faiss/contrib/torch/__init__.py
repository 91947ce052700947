"""Clustering and quantization of torch tensors, on whatever device they are."""
