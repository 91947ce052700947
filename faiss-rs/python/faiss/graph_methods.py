"""Graphs and the indexes over them: what C++ has with pointers, which are checked as far as what they point to is known."""

from typing import Any

import numpy as np

from faiss.arrays import contiguous, elements
from faiss.classes import Object
from faiss.common_methods import native_params
from faiss.graphs import NSG_Graph_int
from faiss.hashing import VisitedTable


class HNSWMethods(Object):
    levels: Any

    def neighbor_range(self, no: int, layer_no: int, begin: Any, end: Any) -> None:
        """Writes where in `neighbors` the slots of a vertex at a level begin and end to where two pointers to uint64 lead."""
        found = self.this.call("neighbor_range", no, layer_no)
        elements(begin, 1, "uint64")[0], elements(end, 1, "uint64")[0] = found

    def permute_entries(self, map: Any) -> None:
        """Renumbers the vertices: vertex i becomes what vertex map[i] was. `map` points to a permutation, int64."""
        self.this.call("permute_entries", elements(map, self.levels.size(), "int64"))


class HNSWIndexMethods(Object):
    d: int
    ntotal: int

    def permute_entries(self, perm: np.ndarray) -> None:
        """Reorders the vectors: the one at perm[i] moves to i."""
        (n,) = perm.shape
        assert n == self.ntotal, f"a permutation of {self.ntotal} vectors is wanted, not of {n}"
        self.this.call("permute_entries", contiguous(perm, "int64"))

    def permute_entries_c(self, perm: Any) -> None:
        self.permute_entries(elements(perm, self.ntotal, "int64"))

    def search_level_0(
        self,
        n: int,
        x: Any,
        k: int,
        nearest: Any,
        nearest_d: Any,
        distances: Any,
        labels: Any,
        nprobe: int = 1,
        search_type: int = 1,
        params: Any = None,
    ) -> None:
        """Searches the lowest level alone; all but the numbers are pointers.

        n, x: queries, n * d float32. nearest, nearest_d: the vertices where each query's search begins, n * nprobe int32, -1 for none, and their
        distances. distances, labels: where the results go, n * k each. search_type: 1 for a search from each vertex, 2 for one from all.
        """
        queries = elements(x, n * self.d, "float32").reshape(n, self.d)
        starts = elements(nearest, n * nprobe, "int32"), elements(nearest_d, n * nprobe, "float32")
        D, found = self.this.call("search_level_0", queries, k, *starts, nprobe, search_type, native_params(params))
        elements(distances, n * k, "float32")[...] = D.ravel()
        elements(labels, n * k, "int64")[...] = found.ravel()

    def init_level_0_from_knngraph(self, k: int, D: Any, I: Any) -> None:  # noqa: E741
        """Links every vector at the lowest level with those of its k given neighbours that lie in different directions: pointers to
        ntotal * k distances and ids."""
        size = self.ntotal * k
        self.this.call("init_level_0_from_knngraph", k, elements(D, size, "float32"), elements(I, size, "int64"))

    def init_level_0_from_entry_points(self, npt: int, points: Any, nearests: Any) -> None:
        """Links npt vectors at the lowest level, each by a search that begins at a given vertex: pointers to npt int32 each."""
        self.this.call(
            "init_level_0_from_entry_points", elements(points, npt, "int32"), elements(nearests, npt, "int32")
        )


class NSGMethods(Object):
    ntotal: int

    def get_final_graph(self) -> NSG_Graph_int:
        """The links of each vertex."""
        table = self.this.call("get_final_graph")
        graph = NSG_Graph_int(*table.shape)
        graph.data.view(table.size)[...] = table.ravel()
        return graph

    @property
    def final_graph(self) -> NSG_Graph_int:
        """The links of each vertex."""
        return self.get_final_graph()

    def check_graph(self) -> None:
        """RuntimeError where there is no graph."""
        self.get_final_graph()

    def dfs(self, vt: VisitedTable, root: int, cnt: int) -> int:
        """Marks all vertices that links lead to from a vertex on; returns cnt and how many they are."""
        table = self.this.call("get_final_graph")
        open_ends = [root]
        while open_ends:
            vertex = open_ends.pop()
            if vt.set(vertex):
                cnt += 1
                open_ends.extend(int(other) for other in table[vertex] if other >= 0)
        return cnt


class NSGIndexMethods(Object):
    d: int

    def build(self, x: np.ndarray, graph: np.ndarray) -> None:
        """Adds vectors (n, d) and builds the graph from the nearest neighbours of each, (n, K) numbers of vectors."""
        n, d = x.shape
        assert d == self.d, f"the vectors have {d} dimensions, the index {self.d}"
        assert graph.ndim == 2, "graph should be a 2D array"
        assert graph.shape[0] == n, f"{n} vectors, and neighbours of {graph.shape[0]}"
        self.this.call("build", contiguous(x, "float32"), contiguous(graph, "int64"))

    def build_c(self, n: int, x: Any, knn_graph: Any, GK: int) -> None:
        """As build: pointers to n * d float32 and n * GK int64."""
        self.build(
            elements(x, n * self.d, "float32").reshape(n, self.d), elements(knn_graph, n * GK, "int64").reshape(n, GK)
        )

    def check_knn_graph(self, knn_graph: Any, n: int, K: int) -> None:
        """RuntimeError where of a pointer's n * K numbers too many are no vectors."""
        self.this.call("check_knn_graph", elements(knn_graph, n * K, "int64"), n)
