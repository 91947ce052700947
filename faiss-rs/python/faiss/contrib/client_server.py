"""An index in another process, or the parts of one on several machines, searched as one index."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import faiss
from faiss.contrib import rpc

__all__ = ["ClientIndex", "SearchServer", "run_index_server"]


class SearchServer(rpc.Server):
    """What a client may call of an index: its methods, and those here."""

    def __init__(self, s: socket.socket, index: Any) -> None:
        super().__init__(s)
        self.index = index

    def set_nprobe(self, nprobe: int) -> int:
        """Sets how many lists a search visits; returns how many it did before."""
        ivf = faiss.extract_index_ivf(self.index)
        before = int(ivf.nprobe)
        ivf.nprobe = nprobe
        return before

    def set_omp_num_threads(self, nt: int) -> None:
        """Sets the number of threads of a search on the server."""
        faiss.omp_set_num_threads(nt)

    def get_ntotal(self) -> int:
        """Number of vectors of the index."""
        return int(self.index.ntotal)

    def get_metric_type(self) -> int:
        """The index's metric."""
        return int(self.index.metric_type)

    def __getattr__(self, f: str) -> Any:
        if f.startswith("_") or f == "index":
            raise AttributeError(f)
        return getattr(self.index, f)


def run_index_server(index: Any, port: int, v6: bool = False, host: str | None = None) -> None:
    """Serves searches in an index until the process ends; host as for rpc.run_server: this machine only by default."""
    rpc.run_server(lambda s: SearchServer(s, index), port, v6=v6, host=host)


class ClientIndex:
    """Servers that hold the parts of an index: a search goes to all and gives the best of what they find.

    machine_ports: the (host, port) of each server. The ids of a part must be those of the whole: add its vectors by add_with_ids.
    """

    def __init__(self, machine_ports: list[tuple[str, int]], v6: bool = False) -> None:
        self.sub_indexes: list[rpc.Client] = []
        try:
            for machine, port in machine_ports:
                self.sub_indexes.append(rpc.Client(machine, port, v6))
        except OSError:
            for client in self.sub_indexes:
                client.close()
            raise
        self.ni = len(self.sub_indexes)
        self.pool = ThreadPoolExecutor(max(self.ni, 1))
        metrics = set(self._all("get_metric_type"))
        if len(metrics) > 1:
            raise ValueError(f"the servers' indexes have several metrics: {sorted(metrics)}")
        self.metric_type = metrics.pop() if metrics else faiss.METRIC_L2
        self.ntotal = self.get_ntotal()

    def _all(self, method: str, *args: Any) -> list[Any]:
        """Calls a method of every server, side by side."""
        return list(self.pool.map(lambda client: client.generic_fun(method, args), self.sub_indexes))

    def set_nprobe(self, nprobe: int) -> None:
        """Sets how many lists a search visits on each server."""
        self._all("set_nprobe", nprobe)

    def set_omp_num_threads(self, nt: int) -> None:
        """Sets the number of threads of a search on each server."""
        self._all("set_omp_num_threads", nt)

    def get_ntotal(self) -> int:
        """Number of vectors on all servers."""
        return sum(self._all("get_ntotal"))

    def search(self, x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest neighbours on all servers: distances and ids, shape (n, k)."""
        x = np.ascontiguousarray(x, dtype="float32")
        heap = faiss.ResultHeap(len(x), k, keep_max=faiss.is_similarity_metric(self.metric_type))
        for distances, labels in self._all("search", x, k):
            heap.add_result(distances, labels)
        heap.finalize()
        return heap.D, heap.I

    def close(self) -> None:
        """Hangs up on all servers."""
        for client in self.sub_indexes:
            client.close()
        self.pool.shutdown()
