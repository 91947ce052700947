"""What Faiss's module shows of its own insides, by the names that C++ has: the same numbers as faiss-cpu's where it is deterministic."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from faiss import cpp_only

DATA = """
rs = np.random.RandomState(5)
x = rs.rand(600, 16).astype("float32")
swig = faiss.swig_ptr
"""

SAME = {
    "local search": """
lsq = faiss.LocalSearchQuantizer(16, 4, 4)
lsq.train_iters = 3
lsq.train(x)
faiss.copy_array_to_vector(np.round(rs.rand(4 * 16 * 16), 2).astype("float32"), lsq.codebooks)
gen = faiss.RandomGenerator(77)
codes = rs.randint(16, size=(600, 4)).astype("int32")
lsq.perturb_codes(swig(codes), 600, gen.mt)
result["perturbed"] = codes.copy()
lsq.icm_encode(swig(codes), swig(x), 600, 2, gen.mt)
result["encoded"], result["next"] = codes.copy(), gen.rand_int()
stddev = faiss.Float32Vector()
faiss.copy_array_to_vector(x.std(axis=0), stddev)
lsq.perturb_codebooks(0.5, stddev, gen.mt)
result["books"], result["after"] = faiss.vector_to_array(lsq.codebooks), gen.rand_int()
encoder = faiss.IcmEncoderFactory().get(lsq)
encoder.set_binary_term()
result["binaries"] = faiss.vector_to_array(encoder.binaries)
encoder.encode(swig(codes), swig(x), gen.mt, 600, 1)
result["by encoder"] = codes
""",
    "parts of product additive quantizers": """
prq = faiss.ProductResidualQuantizer(16, 2, 2, 4)
prq.train(x)
codes = np.zeros((600, 4), "int32")
prq.compute_unpacked_codes(swig(x), swig(codes), 600)
own = np.zeros((600, 2), "uint8")
prq.pack_codes(600, swig(codes), swig(own))
result["same"] = np.array_equal(own, prq.compute_codes(x))
result["part"] = [prq.subquantizer(1).d, prq.subquantizer(1).M, prq.nsplits]
""",
    "packed codes before they were packed": """
pq = faiss.IndexPQ(16, 4, 4)
pq.train(x)
pq.add(x)
packed = faiss.IndexPQFastScan(pq)
result["orig"] = faiss.rev_swig_ptr(packed.orig_codes, 1200).copy()
result["codes"] = faiss.vector_to_array(pq.codes)
result["none"] = faiss.IndexPQFastScan(16, 4, 4).orig_codes is None
other = faiss.IndexPQFastScan(16, 4, 4)
other.init_fastscan(32, 8, 4, faiss.METRIC_INNER_PRODUCT, 64)
result["sizes"] = [other.d, other.M, other.M2, other.ksub, other.bbs, other.code_size, other.metric_type, other.is_trained]
""",
    "codes of RaBitQ": """
code = rs.randint(256, size=24).astype("uint8")
result["numbers"] = [[faiss.extract_code(swig(code), i, bits) for i in range(16)] for bits in (1, 3, 4, 7, 8)]
index = faiss.IndexRaBitQFastScan(16, faiss.METRIC_L2, 32, 1)
index.train(x)
index.add(x[:70])
blocks = faiss.vector_to_array(index.codes) if not isinstance(index.codes, faiss.AlignedTableUint8) else faiss.AlignedTable_to_array(index.codes)
out = np.zeros((70, 2), "uint8")
stride = index.get_block_stride()
for i in range(70):
    faiss.unpack_sign_bits_from_packed(swig(blocks), 32, 4, i, stride, swig(out[i]))
result["signs"] = out
flat = faiss.UInt8Vector()
faiss.copy_array_to_vector(rs.randint(256, size=70 * 8).astype("uint8"), flat)
table = faiss.array_to_AlignedTable(rs.randint(256, size=3 * 64).astype("uint8"))
faiss.populate_block_aux_from_flat_storage(flat, table, 70, 32, 4, 64, 64 + 32 * 8, 8)
result["blocks"] = faiss.AlignedTable_to_array(table)
ids = rs.permutation(70).astype("int64")
table = faiss.array_to_AlignedTable(rs.randint(256, size=3 * 64).astype("uint8"))
faiss.populate_block_aux_from_flat_storage(flat, table, 70, 32, 4, 64, 64 + 32 * 8, 8, swig(ids))
result["by id"] = faiss.AlignedTable_to_array(table)
""",
    "codes of EDEN": """
sq = faiss.ScalarQuantizer(16, faiss.ScalarQuantizer.QT_4bit_eden)
sq.train(x)
codes, back = np.zeros((5, faiss.code_size(16, 4)), "uint8"), np.zeros((5, 16), "float32")
centre = x.mean(axis=0)
faiss.compute_codes(sq, faiss.METRIC_L2, 1, swig(x), swig(codes), 5, swig(centre))
faiss.decode(sq, swig(codes), swig(back), 5, swig(centre))
result["codes"], result["back"] = codes[:, :8], back
computer = faiss.get_distance_computer(sq, faiss.METRIC_L2, swig(centre))
computer.set_query(swig(x[7]))
result["distances"] = [computer.distance_to_code(swig(code)) for code in codes]
""",
    "rounds of SuperKMeans": """
for d, d_prime in ((64, 16), (250, 40)):
    X, Y = rs.rand(200, d).astype("float32"), rs.rand(20, d).astype("float32")
    assignments = rs.randint(20, size=200).astype("int32")
    tau = ((X - Y[assignments]) ** 2).sum(axis=1)
    coefficients = (np.arange(d + 1) / d).astype("float32")
    counts = faiss.super_kmeans_assign_iteration(X, Y, tau, assignments, d_prime, coefficients, faiss.SuperKMeansParameters())
    result[f"{d}"], result[f"tau {d}"], result[f"counts {d}"] = assignments, tau, counts
""",
    "steps of a graph": """
index = faiss.IndexHNSWFlat(16, 8)
index.add(x)
storage = index.storage.get_distance_computer()
storage.set_query(swig(x[5]))
vertex, distance = np.array([index.hnsw.entry_point], "int32"), np.array([storage(index.hnsw.entry_point)], "float32")
stats = faiss.greedy_update_nearest(index.hnsw, storage, 0, swig(vertex), swig(distance))
result["found"], result["counts"] = [vertex[0], distance[0]], [stats.ndis > 0, stats.nhops > 0]
result["rng"] = [index.hnsw.rng.rand_int(), index.hnsw.search_method]
incoming = faiss.Int32Vector()
faiss.copy_array_to_vector(np.array([9, 17, 9, 3], "int32"), incoming)
index.hnsw.merge_reverse_links_deterministic(storage, 5, 0, incoming)
begin, end = np.zeros(1, "uint64"), np.zeros(1, "uint64")
index.hnsw.neighbor_range(5, 0, swig(begin), swig(end))
result["links"] = faiss.vector_to_array(index.hnsw.neighbors)[int(begin[0]) : int(end[0])]
result["incoming"] = faiss.vector_to_array(incoming)
""",
    "exact neighbours of some vertices": """
flat = faiss.IndexFlatL2(16)
flat.add(x)
graph = faiss.NNDescent(16, 8)
vertices, truth = faiss.Int32Vector(), faiss.Int32VectorVector()
faiss.copy_array_to_vector(np.array([1, 50, 599], "int32"), vertices)
truth.resize(3)
graph.generate_eval_set(flat.get_distance_computer(), vertices, truth, 600)
result["truth"] = np.stack([np.sort(faiss.vector_to_array(truth.at(i))) for i in range(3)])
""",
    "tables of a lattice": """
codec = faiss.ZnSphereCodecRec(16, 14)
result["nv"], result["cum"] = faiss.vector_to_array(codec.all_nv), faiss.vector_to_array(codec.all_nv_cum)
result["ld"] = [codec.decode_cache_ld, codec.get_nv_cum(2, 6, 4)]
for i in (0, 1, 5, 14):
    result[f"cache {i}"] = faiss.vector_to_array(codec.decode_cache.at(i))
""",
    "numbers of codes one by one": """
out = np.zeros(20, "uint8")
encoder = faiss.PQEncoderGeneric(swig(out), 5)
steps = []
for value in (3, 17, 31, 0, 9):
    encoder.encode(value)
    steps.append([encoder.offset, encoder.reg, encoder.nbits])
del encoder
decoder = faiss.PQDecoderGeneric(swig(out), 5)
steps += [[decoder.decode(), decoder.offset, decoder.mask] for _ in range(5)]
result["steps"], result["bytes"] = steps, out
""",
    "levels of Panorama": """
panorama = faiss.Panorama(64, 4, 32)
codes, sums = np.zeros(64 * 64, "uint8"), np.zeros(64 * 5, "float32")
panorama.copy_codes_to_level_layout(swig(codes), 0, 40, swig(x[:40].view("uint8").ravel()))
panorama.compute_cumulative_sums(swig(sums), 0, 40, swig(x))
other, norms = np.zeros_like(codes), np.zeros_like(sums)
panorama.copy_entry(swig(other), swig(codes), swig(norms), swig(sums), 33, 7)
panorama.set_derived_values()
result["codes"], result["sums"] = other.view("float32"), norms
""",
    "signs of a rotation": """
rotation = faiss.HadamardRotation(16)
rotation.init(99)
result["signs"] = [faiss.vector_to_array(s) for s in (rotation.signs1, rotation.signs2, rotation.signs3)]
result["seed"] = rotation.seed
""",
    "training of centroids": """
quantizer = faiss.Level1Quantizer(faiss.IndexFlatL2(16), 8)
quantizer.train_q1(600, swig(x), False, faiss.METRIC_L2)
result["centroids"] = quantizer.quantizer.reconstruct_n(0, 8)
table, kind = faiss.AlignedTableFloat32(), np.zeros(1, "int32")
pq = faiss.ProductQuantizer(16, 4, 4)
pq.train(x)
faiss.initialize_IVFPQ_precomputed_table(swig(kind), quantizer.quantizer, pq, table, True, False)
result["table"], result["kind"] = faiss.AlignedTable_to_array(table), kind
""",
    "small classes": """
timer = faiss.LSQTimer()
timer.add("a", 2.5)
scope = faiss.LSQTimerScope(timer, "b")
scope.finish()
result["times"] = [timer.get("a"), timer.get("b") >= 0, timer.get("c"), scope.finished]
index = faiss.IndexBinaryHNSW(32, 8)
bits = rs.randint(256, size=(20, 4)).astype("uint8")
index.add(bits)
computer = index.get_distance_computer()
computer.set_query(swig(bits[0].view("float32")))
result["bits"] = [computer(3), computer(0), computer.symmetric_dis(4, 9)]
reader = faiss.ZeroCopyIOReader(swig(out := np.arange(50, dtype="uint8")), 50)
buffer = np.zeros(20, "uint8")
reader(swig(buffer), 4, 5)
result["reader"] = [reader.rp_, reader.total_, faiss.rev_swig_ptr(reader.data_, 50)[49]]
memory = faiss.VectorIOReader()
faiss.copy_array_to_vector(np.arange(50, dtype="uint8"), memory.data)
buffered = faiss.BufferedIOReader(memory, 16)
buffered(swig(buffer), 1, 5)
result["buffered"] = [buffered.b0, buffered.b1, buffered.ofs, buffered.ofs2]
lists = faiss.ArrayInvertedLists(3, 4)
lists.add_entries(1, 2, swig(np.array([5, 9], "int64")), swig(bits.ravel()))
result["lists"] = [lists.codes.size(), faiss.vector_to_array(lists.codes.at(1)).tolist() == bits[:2].ravel().tolist()]
""",
    "tables of numbers": """
result["widths"] = faiss.rev_swig_ptr(faiss.Z_MAX_BY_QB, 8)
result["ones"] = faiss.rev_swig_ptr(faiss.hamdis_tab_ham_bytes, 256)
result["names"] = [faiss.symbol, faiss.obj.__name__]
""",
    "scanners of packed codes": """
flat = faiss.IndexFlatL2(16)
index = faiss.IndexIVFPQFastScan(flat, 16, 4, 8, 4)
index.train(x)
index.add(x)
scanner = index.get_InvertedListScanner(False, None, None)
lists = faiss.downcast_InvertedLists(index.invlists)
scanner.set_query(swig(x[3]))
D, I = np.full(5, np.finfo("float32").max, "float32"), np.full(5, -1, "int64")
for i in range(4):
    scanner.set_list(i, float(((x[3] - flat.reconstruct(i)) ** 2).sum()))
    scanner.scan_codes(lists.list_size(i), lists.get_codes(i), lists.get_ids(i), swig(D), swig(I), 5)
order = np.lexsort((I, D))
result["nearest"] = I[order][0]
""",
}


@pytest.mark.parametrize("name", SAME)
def test_as_faiss_has_it(name: str, oracle: Callable[..., Any], here: Callable[..., Any]) -> None:
    mine, theirs = here(DATA + SAME[name]), oracle(DATA + SAME[name])
    assert set(mine) == set(theirs)
    for key, value in theirs.items():
        own = np.asarray(mine[key])
        assert own.shape == value.shape, key
        if value.dtype.kind == "f":
            np.testing.assert_allclose(own, value, rtol=2e-4, atol=2e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(own, value, err_msg=key)


def nearest(x: np.ndarray, k: int) -> np.ndarray:
    """The k nearest other rows of each row, by a naive computation."""
    distances = ((x[:, None].astype("float64") - x[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :k]


def flat_of(x: np.ndarray) -> Any:
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    return index


def test_a_graph_of_neighbours_step_by_step(rng: np.random.Generator) -> None:
    x = rng.random((400, 8), dtype="float32")
    truth, computer = nearest(x, 6), flat_of(x).get_distance_computer()
    graph = faiss.NNDescent(8, 6)
    with pytest.raises(RuntimeError, match="not build"):
        graph.search(computer, 3, np.zeros(3, "int64"), np.zeros(3, "float32"), None)
    graph.ntotal = 400
    vertices, rows = faiss.Int32Vector(), faiss.Int32VectorVector()
    faiss.copy_array_to_vector(np.arange(0, 400, 7, dtype="int32"), vertices)
    rows.resize(vertices.size())
    graph.generate_eval_set(computer, vertices, rows, 400)
    assert sorted(faiss.vector_to_array(rows.at(1)).tolist()) == sorted(truth[7].tolist())
    graph.init_graph(computer)
    recalls = [graph.eval_recall(vertices, rows)]
    for _ in range(4):
        graph.update()
        graph.join(computer)
        recalls.append(graph.eval_recall(vertices, rows))
    assert recalls[0] < 0.6 < recalls[-1]
    assert recalls == sorted(recalls)
    graph.nndescent(computer, False)
    assert graph.eval_recall(vertices, rows) > 0.97
    whole = faiss.NNDescent(8, 6)
    whole.build(computer, 400, False)
    found = faiss.vector_to_array(whole.final_graph).reshape(400, 6)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]) > 5.7
    labels, distances = np.zeros(3, "int64"), np.zeros(3, "float32")
    computer.set_query(faiss.swig_ptr(x[9]))
    whole.search(computer, 3, faiss.swig_ptr(labels), faiss.swig_ptr(distances), None)
    assert labels[0] == 9
    assert distances[0] == 0
    for n in (-1, 401, 100):
        with pytest.raises(RuntimeError):
            faiss.NNDescent(8, 6).build(computer, n, False)
    with pytest.raises(TypeError, match="DistanceComputer"):
        graph.init_graph(x)


def test_a_spreading_out_graph_over_any_storage(rng: np.random.Generator) -> None:
    x = rng.random((300, 8), dtype="float32")
    storage = flat_of(x)
    neighbours = np.ascontiguousarray(nearest(x, 10), "int32")
    graph = faiss.NSG(8)
    graph.build(storage, 300, faiss.NSG_Graph_int(faiss.swig_ptr(neighbours), 300, 10), False)
    computer = storage.get_distance_computer()
    found = 0
    for i in range(0, 300, 11):
        labels, distances = np.zeros(1, "int64"), np.zeros(1, "float32")
        computer.set_query(faiss.swig_ptr(x[i]))
        graph.search(computer, 1, faiss.swig_ptr(labels), faiss.swig_ptr(distances), None)
        found += int(labels[0] == i)
    assert found >= 26
    degrees = faiss.Int32Vector()
    assert graph.tree_grow(storage, degrees) == 0
    table = faiss.rev_swig_ptr(graph.get_final_graph().data, 300 * 8).reshape(300, 8)
    assert (faiss.vector_to_array(degrees) == (table >= 0).sum(axis=1)).all()
    visited = faiss.VisitedTable.get_reusable(300)
    for i in range(300):
        visited.set(i)
    assert graph.attach_unlinked(storage, visited, visited, degrees) == -1
    with pytest.raises(TypeError, match="graph is wanted"):
        graph.build(storage, 300, neighbours, False)
    with pytest.raises(RuntimeError, match="already built"):
        graph.build(storage, 300, faiss.NSG_Graph_int(faiss.swig_ptr(neighbours), 300, 10), False)


def test_a_graph_is_built_from_what_nndescent_finds(rng: np.random.Generator) -> None:
    x = rng.standard_normal((20_100, 6), dtype="float32")
    index = faiss.IndexNSGFlat(6, 16)
    index.build_type, index.GK, index.nndescent_iter = 1, 20, 6
    index.add(x)
    truth = faiss.IndexFlatL2(6)
    truth.add(x)
    queries = rng.standard_normal((100, 6), dtype="float32")
    index.nsg.search_L = 64
    found, wanted = index.search(queries, 5)[1], truth.search(queries, 5)[1]
    recall = np.mean([len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)]) / 5
    assert recall > 0.9


@pytest.mark.parametrize("kind", ["PQ8x4fs", "PQ8x4fsr", "RQ8x4fs", "RaBitQfs", "RaBitQfs4"])
@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_scanners_of_packed_codes_find_what_searches_find(kind: str, metric: int, rng: np.random.Generator) -> None:
    x = rng.random((700, 16), dtype="float32")
    if kind.startswith("RQ") and metric == faiss.METRIC_L2:
        kind += "_Nrq2x4"
    index = faiss.index_factory(16, f"IVF5,{kind}", metric)
    index.train(x)
    index.add(x)
    index.nprobe, lists = 5, index.invlists
    scanner = index.get_InvertedListScanner()
    quantizer = faiss.downcast_index(index.quantizer)
    for q in (3, 400):
        wanted = dict(zip(*(a[0].tolist() for a in reversed(index.search(x[q : q + 1], 10))), strict=True))
        D = np.full(10, np.finfo("float32").max if metric == faiss.METRIC_L2 else -np.finfo("float32").max, "float32")
        labels = np.full(10, -1, "int64")
        scanner.set_query(faiss.swig_ptr(x[q]))
        coarse, numbers = quantizer.search(x[q : q + 1], 5)
        for distance, number in zip(coarse[0].tolist(), numbers[0].tolist(), strict=True):
            n = lists.list_size(number)
            scanner.set_list(number, distance)
            scanner.scan_codes(
                n, lists.get_codes(number), lists.get_ids(number), faiss.swig_ptr(D), faiss.swig_ptr(labels), 10
            )
        found = dict(zip(labels.tolist(), D.tolist(), strict=True))
        common = set(found) & set(wanted)
        assert len(common) >= 8
        for label in common:
            assert found[label] == pytest.approx(wanted[label], rel=0.05, abs=0.08)


def test_lists_of_blocks_lose_entries() -> None:
    lists = faiss.BlockInvertedLists(2, 32, 64)
    ids, codes = np.arange(40, dtype="int64"), np.arange(80, dtype="uint8").reshape(40, 2)
    lists.add_entries(1, 40, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
    assert lists.remove_ids(faiss.IDSelectorRange(5, 30)) == 25
    assert lists.list_size(1) == 15
    kept = faiss.vector_to_array(lists.ids[1])
    assert sorted(kept.tolist()) == [*range(5), *range(30, 40)]
    flat = lists.this.call("get_codes", 1)
    assert (flat.reshape(15, 2) == codes[kept]).all()


def test_places_in_a_file_of_lists(tmp_path: Any) -> None:
    lists = faiss.OnDiskInvertedLists(3, 4, str(tmp_path / "lists"))
    assert lists.ptr is None
    offset = lists.allocate_slot(100)
    with pytest.raises(RuntimeError):
        lists.free_slot(offset, 10**9)
    lists.free_slot(offset, 100)
    with pytest.raises(RuntimeError):
        lists.free_slot(offset, 100)
    lists.add_entries(1, 2, np.array([7, 8]), np.arange(8, dtype="uint8"))
    place = lists.lists.at(1)
    assert (place.size, lists.lists.at(0).capacity) == (2, 0)
    codes = faiss.rev_swig_ptr(lists.ptr, lists.totsize)[place.offset : place.offset + 8]
    assert codes.tolist() == list(range(8))
    with pytest.raises(RuntimeError):
        lists.free_slot(place.offset, place.capacity * 12)
    with pytest.raises(RuntimeError):
        lists.update_totsize(lists.totsize - 1)
    lists.update_totsize(lists.totsize + 1000)
    lists.resize_locked(1, 1)
    assert lists.list_size(1) == 1
    with pytest.raises(RuntimeError):
        lists.set_all_lists_sizes(faiss.swig_ptr(np.array([1, 2, 3], "uint64")))
    lists.resize(1, 0)
    lists.set_all_lists_sizes(faiss.swig_ptr(np.array([1, 2, 3], "uint64")))
    assert [lists.lists.at(i).offset for i in range(3)] == [0, 12, 36]
    assert [len(lists._ids(i)) for i in range(3)] == [1, 2, 3]


def test_a_graph_of_two_levels_becomes_one_over_an_inverted_file(rng: np.random.Generator) -> None:
    x = rng.random((800, 16), dtype="float32")
    index = faiss.IndexHNSW2Level(faiss.IndexFlatL2(16), 10, 4, 8)
    index.train(x)
    index.add(x)
    before = index.search(x[:20], 4)
    index.flip_to_ivf()
    assert isinstance(faiss.downcast_index(index.storage), faiss.IndexIVFPQ)
    after = index.search(x[:20], 4)
    assert (before[1] == after[1]).all()
    np.testing.assert_allclose(before[0], after[0], rtol=1e-4)
    copy = faiss.deserialize_index(faiss.serialize_index(index))
    assert (copy.search(x[:20], 4)[1] == after[1]).all()


def test_a_quantizer_of_the_callers_own_trains_a_rotation(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2000, 16), dtype="float32")
    rotation, pq = faiss.OPQMatrix(16, 4), faiss.ProductQuantizer(16, 4, 4)
    rotation.niter = 5
    rotation.pq = pq
    rotation.train(x)
    assert np.abs(faiss.vector_to_array(pq.centroids)).sum() > 0
    plain = faiss.ProductQuantizer(16, 4, 4)
    plain.train(x)
    y = rotation.apply(x)
    error, wanted = (
        ((pq.decode(pq.compute_codes(y)) - y) ** 2).sum(),
        ((plain.decode(plain.compute_codes(x)) - x) ** 2).sum(),
    )
    assert error < 1.05 * wanted
    wrong = faiss.OPQMatrix(16, 4)
    wrong.pq = faiss.ProductQuantizer(8, 4, 4)
    with pytest.raises(RuntimeError, match="pq->d"):
        wrong.train(x)


def test_what_only_cpp_can_call_says_so() -> None:
    objects = {"HNSW": faiss.HNSW(8), "NSG": faiss.NSG(8)}
    objects["IndexIVFFastScan"] = faiss.IndexIVFPQFastScan(faiss.IndexFlatL2(8), 8, 2, 4, 4)
    for cls, methods in cpp_only.METHODS.items():
        for method in methods:
            with pytest.raises(TypeError, match="Python can't make"):
                getattr(objects[cls], method)(None)
    for function in cpp_only.__all__:
        with pytest.raises(TypeError, match="Python can't make"):
            getattr(faiss, function)(None)
