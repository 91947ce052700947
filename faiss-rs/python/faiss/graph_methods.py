"""Graphs and the indexes over them: what C++ has with pointers, which are checked as far as what they point to is known."""

from typing import Any

import numpy as np

import faiss
from faiss.arrays import contiguous, elements
from faiss.classes import Object
from faiss.common_methods import native_params
from faiss.distance_computers import compared
from faiss.graphs import NSG_Graph_int
from faiss.hashing import VisitedTable
from faiss.pointer import CppObject
from faiss.statistics import RandomGenerator, state_of

__all__ = ["greedy_update_nearest"]


def greedy_update_nearest(hnsw: Any, qdis: Any, level: int, nearest: Any, d_nearest: Any) -> Any:
    """Walks at a level of an HNSW from the vertex that `nearest` points to, int32, at the distance that `d_nearest` points to, to nearer and nearer
    ones, and writes where that ended. Returns HNSWStats."""
    if not isinstance(hnsw, faiss.HNSW):
        raise TypeError(f"an HNSW is wanted, not {type(hnsw).__name__}")
    vertex, distance = elements(nearest, 1, "int32"), elements(d_nearest, 1, "float32")
    found, counts = hnsw.this.call("greedy_update_nearest", *compared(qdis), level, int(vertex[0]), float(distance[0]))
    vertex[0], distance[0] = found
    stats = faiss.HNSWStats()
    stats.ndis, stats.nhops = counts
    return stats


def _tell_found(found: tuple[np.ndarray, np.ndarray], k: int, labels: Any, distances: Any) -> None:
    """Writes results to where pointers lead; -1 where there are fewer than k."""
    n = len(found[0])
    ids, values = elements(labels, k, "int64"), elements(distances, k, "float32")
    ids[:n], values[:n] = found
    ids[n:], values[n:] = -1, np.finfo("float32").max


class WithVisitedHashset(Object):
    @property
    def use_visited_hashset(self) -> Any:
        """Whether searches note in a set what they visited. Here they choose by themselves, and nothing can be set, as in Faiss's module."""
        return CppObject("std::optional< bool > *")

    @use_visited_hashset.setter
    def use_visited_hashset(self, value: Any) -> None:
        raise TypeError("a std::optional<bool> is wanted, an object of C++ that Python can't make")


class HNSWMethods(WithVisitedHashset):
    levels: Any

    @property
    def rng(self) -> RandomGenerator:
        """The generator of levels: a copy, that can be set."""
        return RandomGenerator.from_state(self.this.call("rng_state"))

    @rng.setter
    def rng(self, value: RandomGenerator) -> None:
        if not isinstance(value, RandomGenerator):
            raise TypeError(f"a RandomGenerator is wanted, not {type(value).__name__}")
        self.this.call("set_rng_state", state_of(value.mt))

    def merge_reverse_links_deterministic(
        self, dis: Any, node: int, level: int, incoming: Any, keep_max_size_level0: bool = False
    ) -> None:
        """Adds links from a vertex to those of an Int32Vector, which are sorted, and of too many keeps those in different directions."""
        index, negated, _ = compared(dis)
        others = faiss.vector_to_array(incoming)
        others = self.this.call(
            "merge_reverse_links_deterministic", index, negated, node, level, others, keep_max_size_level0
        )
        faiss.copy_array_to_vector(others, incoming)

    def neighbor_range(self, no: int, layer_no: int, begin: Any, end: Any) -> None:
        """Writes where in `neighbors` the slots of a vertex at a level begin and end to where two pointers to uint64 lead."""
        found = self.this.call("neighbor_range", no, layer_no)
        elements(begin, 1, "uint64")[0], elements(end, 1, "uint64")[0] = found

    def permute_entries(self, map: Any) -> None:
        """Renumbers the vertices: vertex i becomes what vertex map[i] was. `map` points to a permutation, int64."""
        self.this.call("permute_entries", elements(map, self.levels.size(), "int64"))


class HNSWIndexMethods(WithVisitedHashset):
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


class NNDescentMethods(Object):
    ntotal: int

    def build(self, qdis: Any, n: int, verbose: bool = False) -> None:
        """Builds the graph over the first n vectors that a DistanceComputer compares."""
        index, negated, _ = compared(qdis)
        self.this.call("build", index, negated, n)

    def search(self, qdis: Any, topk: int, indices: Any, dists: Any, vt: Any) -> None:
        """The topk nearest vertices to the DistanceComputer's query; int64 and float32 go to where pointers lead."""
        _tell_found(self.this.call("search", *compared(qdis), topk), topk, indices, dists)

    @property
    def graph(self) -> Any:
        """The graph while it is built."""
        return CppObject("std::vector< faiss::nndescent::Nhood > *")

    def init_graph(self, qdis: Any) -> None:
        """Begins with random neighbours of `ntotal` vertices; `update` and `join` make them better."""
        index, negated, _ = compared(qdis)
        self.this.call("init_graph", index, negated)

    def join(self, qdis: Any) -> None:
        """Compares those that `update` chose with each other."""
        index, negated, _ = compared(qdis)
        self.this.call("join", index, negated)

    def nndescent(self, qdis: Any, verbose: bool = False) -> None:
        """Rounds of `update` and `join`, as many as `iter` says or as change something."""
        index, negated, _ = compared(qdis)
        self.this.call("nndescent", index, negated)

    def generate_eval_set(self, qdis: Any, c: Any, v: Any, N: int) -> None:
        """Appends the K nearest of the first N vertices to each of those in an Int32Vector, c, to the vectors of an Int32VectorVector, v."""
        vertices, rows = faiss.vector_to_array(c), v.data()
        if len(rows) < len(vertices):
            raise RuntimeError(
                f"Error: 'v.size() >= c.size()' failed: {len(rows)} vectors for {len(vertices)} vertices"
            )
        index, negated, _ = compared(qdis)
        found = self.this.call("generate_eval_set", index, negated, N, vertices)
        for row, own in zip(found.reshape(len(vertices), -1), rows, strict=False):
            faiss.copy_array_to_vector(np.concatenate([faiss.vector_to_array(own), row]).astype("int32"), own)

    def eval_recall(self, ctrl_points: Any, acc_eval_set: Any) -> float:
        """Which part of the neighbours in an Int32VectorVector the graph that is built has, for the vertices of an Int32Vector."""
        vertices = faiss.vector_to_array(ctrl_points)
        rows = [faiss.vector_to_array(row) for row in acc_eval_set.data()[: len(vertices)]]
        if len(rows) < len(vertices):
            raise RuntimeError("Error: 'acc_eval_set.size() >= ctrl_points.size()' failed")
        parts = [self.this.call("eval_recall", vertices[i : i + 1], row, len(row)) for i, row in enumerate(rows)]
        return float(np.float32(np.mean(parts))) if parts else float("nan")


class NSGMethods(WithVisitedHashset):
    ntotal: int

    # What the random numbers of its searches begin with.
    _SEED = 0x1998

    @property
    def rng(self) -> RandomGenerator:
        """The generator of first vertices, as each search begins with it."""
        return RandomGenerator(self._SEED)

    def build(self, storage: Any, n: int, knn_graph: Any, verbose: bool = False) -> None:
        """Builds the graph over the n vectors of a storage from their nearest neighbours, an NSG_Graph_int."""
        self.this.call("build", storage.this, self._neighbours(knn_graph, n), n)

    def init_graph(self, storage: Any, knn_graph: Any) -> None:
        """Finds where searches begin, by nearest neighbours, an NSG_Graph_int."""
        n = int(storage.ntotal)
        self.this.call("init_graph", storage.this, self._neighbours(knn_graph, n), n)

    @staticmethod
    def _neighbours(graph: Any, n: int) -> np.ndarray:
        if not isinstance(graph, NSG_Graph_int):
            raise TypeError(f"a graph is wanted, not {type(graph).__name__}")
        if n != graph.N:
            raise RuntimeError(f"Error: 'knn_graph.N == n' failed: a graph of {graph.N} vertices for {n} vectors")
        return np.asarray(graph.data.view(graph.N * graph.K), "int64")

    def search(self, dis: Any, k: int, I: Any, D: Any, vt: Any) -> None:  # noqa: E741
        """The k nearest vertices to the DistanceComputer's query; int64 and float32 go to where pointers lead."""
        _tell_found(self.this.call("search", *compared(dis), k), k, I, D)

    def tree_grow(self, storage: Any, degrees: Any) -> int:
        """Links what can't be reached from where searches begin; returns how many vertices. The numbers of links go to an Int32Vector."""
        attached, made = self.this.call("tree_grow", storage.this)
        faiss.copy_array_to_vector(made, degrees)
        return int(attached)

    def attach_unlinked(self, storage: Any, vt: VisitedTable, vt2: VisitedTable, degrees: Any) -> int:
        """Links the first vertex that `vt` has not visited; returns from which one, -1 where there is none to be linked. The numbers of links
        go to an Int32Vector."""
        reached = np.array([vt.get(i) for i in range(self.ntotal)], "uint8")
        vertex, made = self.this.call("attach_unlinked", storage.this, reached)
        faiss.copy_array_to_vector(made, degrees)
        return int(vertex)

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
