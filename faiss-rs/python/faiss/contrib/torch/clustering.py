"""k-means of tensors: `kmeans(k, DatasetAssignGPU(res, x))` gives centroids as a tensor on the GPU of `x`."""

from typing import Any

import numpy as np
import torch

import faiss
from faiss.contrib.clustering import kmeans

__all__ = ["DatasetAssign", "DatasetAssignGPU", "kmeans"]


class DatasetAssign:
    """A tensor, shape (n, d), whose rows the CPU assigns to centroids. Other data may have the same methods."""

    def __init__(self, x: Any) -> None:
        self.x = x.detach().to(torch.float32).contiguous()

    def count(self) -> int:
        """Number of rows."""
        return int(self.x.shape[0])

    def dim(self) -> int:
        """Their dimension."""
        return int(self.x.shape[1])

    def get_subset(self, indices: Any) -> Any:
        """Some rows."""
        return self.x[torch.as_tensor(np.asarray(indices), device=self.x.device)]

    def perform_search(self, centroids: Any) -> tuple[Any, Any]:
        """The squared distance of each row to its nearest centroid, and which that is: shape (n, 1)."""
        D, labels = faiss.knn(self.x.cpu().numpy(), centroids.detach().cpu().numpy(), 1)
        return torch.from_numpy(np.asarray(D)).to(self.x.device), torch.from_numpy(np.asarray(labels)).to(self.x.device)

    def assign_to(self, centroids: Any, weights: Any = None) -> tuple[Any, Any, Any]:
        """The nearest centroid of each row, the squared distance to it, and the sum of the rows of each centroid."""
        D, labels = self.perform_search(centroids)
        nearest = labels.ravel()
        rows = self.x if weights is None else self.x * weights[:, None]
        # Sums in one order, so that they are the same in each run: `index_add_` on a GPU adds in any.
        order = torch.argsort(nearest, stable=True)
        sizes = torch.bincount(nearest, minlength=len(centroids))
        return nearest, D.ravel(), torch.segment_reduce(rows[order], "sum", lengths=sizes)


class DatasetAssignGPU(DatasetAssign):
    """A tensor of a GPU whose rows are assigned there. res: StandardGpuResources."""

    def __init__(self, res: Any, x: Any) -> None:
        super().__init__(x)
        self.res = res

    def perform_search(self, centroids: Any) -> tuple[Any, Any]:
        n, device = self.count(), self.x.device
        D = torch.empty((n, 1), dtype=torch.float32, device=device)
        labels = torch.empty((n, 1), dtype=torch.int64, device=device)
        there = centroids.detach().to(device, torch.float32).contiguous()
        number = device.index if device.type == "cuda" else -1
        inputs = (self.x, there) if device.type == "cuda" else (self.x.numpy(), there.numpy())
        outputs = (D, labels) if device.type == "cuda" else (D.numpy(), labels.numpy())
        faiss.knn_gpu(self.res, *inputs, 1, D=outputs[0], I=outputs[1], device=number)
        return D, labels
