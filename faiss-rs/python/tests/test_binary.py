"""Binary indexes: against counting bits in numpy, and against faiss-cpu."""

import pickle
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

Arrays = dict[str, np.ndarray]


def codes(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Random codes, of which some are near to each other."""
    x = rng.integers(0, 256, (n, d // 8), dtype="uint8")
    if n > 10:
        x[n // 2 :] = x[: n - n // 2]
        x[n // 2 :, 0] ^= rng.integers(0, 4, n - n // 2, dtype="uint8")
    return x


def bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All Hamming distances, by counting."""
    return np.unpackbits(a[:, None] ^ b[None], axis=2).sum(axis=2).astype("int32")


def truth(xq: np.ndarray, xb: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances = bits(xq, xb)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    D, labels = np.full((len(xq), k), 2**31 - 1, "int32"), np.full((len(xq), k), -1, "int64")
    n = order.shape[1]
    D[:, :n], labels[:, :n] = np.take_along_axis(distances, order, 1), order
    return D, labels


@pytest.mark.parametrize("d", [8, 16, 24, 32, 64, 72, 128, 160, 256, 512, 2048])
@pytest.mark.parametrize("k", [1, 3, 40, 700])
def test_flat_is_exact(rng: np.random.Generator, d: int, k: int) -> None:
    xb, xq = codes(rng, 600, d), codes(rng, 7, d)
    index = faiss.IndexBinaryFlat(d)
    index.add(xb)
    D, labels = index.search(xq, k)
    want = truth(xq, xb, k)
    np.testing.assert_array_equal(D, want[0])
    np.testing.assert_array_equal(labels, want[1])
    assert D.dtype == np.int32
    assert labels.dtype == np.int64
    for variant in ("hc", "mc"):
        np.testing.assert_array_equal(faiss.knn_hamming(xq, xb, k, variant)[0], want[0])
    radius = int(np.median(want[0][:, 0])) + 2
    lims, distances, ids = index.range_search(xq, radius)
    all_distances = bits(xq, xb)
    for i in range(len(xq)):
        (within,) = np.nonzero(all_distances[i] < radius)
        np.testing.assert_array_equal(np.sort(ids[lims[i] : lims[i + 1]]), within)
        np.testing.assert_array_equal(distances[lims[i] : lims[i + 1]], all_distances[i][ids[lims[i] : lims[i + 1]]])


def test_flat_filters_removes_and_reads_back(rng: np.random.Generator) -> None:
    d, xb = 64, codes(rng, 300, 64)
    index = faiss.IndexBinaryFlat(d)
    index.add(xb)
    params = faiss.SearchParameters(sel=faiss.IDSelectorRange(50, 90))
    D, labels = index.search(xb[:5], 60, params=params)
    assert ((labels[:, :40] >= 50) & (labels[:, :40] < 90)).all()
    assert (labels[:, 40:] == -1).all()
    assert (D[:, 40:] == 2**31 - 1).all()
    np.testing.assert_array_equal(index.reconstruct_n(10, 5), xb[10:15])
    assert index.remove_ids(np.array([0, 2, 299])) == 3
    np.testing.assert_array_equal(index.reconstruct(0), xb[1])
    assert index.ntotal == 297
    other = faiss.IndexBinaryFlat(d)
    other.add(xb[:3])
    index.merge_from(other)
    assert (index.ntotal, other.ntotal) == (300, 0)
    np.testing.assert_array_equal(index.reconstruct(297), xb[0])


def test_bad_input_is_refused_before_anything_changes(rng: np.random.Generator) -> None:
    index = faiss.IndexBinaryFlat(64)
    with pytest.raises(RuntimeError, match="% 8 == 0"):
        faiss.IndexBinaryFlat(63)
    with pytest.raises(TypeError, match="uint8"):
        index.add(np.zeros((3, 8), "float32"))
    with pytest.raises(AssertionError):
        index.add(np.zeros((3, 9), "uint8"))
    with pytest.raises(AssertionError):
        index.search(np.zeros((3, 8), "uint8"), 0)
    with pytest.raises(RuntimeError):
        index.reconstruct(0)
    with pytest.raises(RuntimeError, match="add_with_ids"):
        index.add_with_ids(np.zeros((3, 8), "uint8"), np.arange(3))
    assert index.ntotal == 0
    empty = np.zeros((0, 8), "uint8")
    index.add(empty)
    assert index.search(empty, 3)[0].shape == (0, 3)
    assert (index.search(np.zeros((2, 8), "uint8"), 3)[1] == -1).all()


DESCRIPTIONS = [
    "BFlat",
    "BIVF8",
    "BHNSW16",
    "BIVF8_HNSW16",
    "BHash12",
    "BHash4x8",
    "IDMap,BFlat",
    "IDMap2,BFlat",
    "BFlat,IDMap2",
]


def made(description: str, d: int, xb: np.ndarray) -> faiss.IndexBinary:
    index = faiss.index_binary_factory(d, description)
    threads = faiss.omp_get_max_threads()
    # A graph is the same from run to run where one thread makes it.
    faiss.omp_set_num_threads(1)
    if "_HNSW" in description:
        # All lists: which of several centroids at one distance is taken is not told.
        index.nprobe = 8
    index.train(xb)
    if "IDMap" in description:
        index.add_with_ids(xb, np.arange(len(xb)) * 3 + 1000)
    else:
        index.add(xb)
    faiss.omp_set_num_threads(threads)
    if hasattr(index, "nflip"):
        index.nflip = 2
    return index


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_files_both_ways(
    rng: np.random.Generator, oracle: Callable[..., Arrays], tmp_path: Path, description: str
) -> None:
    d = 64
    xb, xq = codes(rng, 400, d), codes(rng, 9, d)
    index = made(description, d, xb)
    theirs = oracle(
        """
# A graph is the same from run to run where one thread makes it.
faiss.omp_set_num_threads(1)
index = faiss.index_binary_factory(int(given["d"]), str(given["description"]))
if "_HNSW" in str(given["description"]):
    index.nprobe = 8
xb, xq = given["xb"], given["xq"]
index.train(xb)
if "IDMap" in str(given["description"]):
    index.add_with_ids(xb, np.arange(len(xb)) * 3 + 1000)
else:
    index.add(xb)
if hasattr(index, "nflip"):
    index.nflip = 2
result["D"], result["I"] = index.search(xq, 5)
if not isinstance(index, faiss.IndexBinaryHNSW):
    result["lims"], result["RD"], result["RI"] = index.range_search(xq, 20)
result["stored"] = faiss.serialize_index_binary(index)
read = faiss.deserialize_index_binary(given["ours"])
result["read_D"], _ = read.search(xq, 5)
result["kind"] = type(read).__name__
""",
        d=d,
        description=description,
        xb=xb,
        xq=xq,
        ours=faiss.serialize_index_binary(index),
    )
    D, labels = index.search(xq, 5)
    if "HNSW" in description:
        # Which of several vertices or centroids at one distance is followed is not told, so a search may end elsewhere.
        assert abs(D.mean() / theirs["D"].mean() - 1) < 0.05
        assert abs(D.mean() / theirs["read_D"].mean() - 1) < 0.05
    else:
        np.testing.assert_array_equal(D, theirs["D"])
        np.testing.assert_array_equal(D, theirs["read_D"])
    assert str(theirs["kind"]) == type(index).__name__
    if isinstance(index, faiss.IndexBinaryHNSW):
        with pytest.raises(RuntimeError, match="range search"):
            index.range_search(xq, 20)
    else:
        lims, distances, ids = index.range_search(xq, 20)
        np.testing.assert_array_equal(lims, theirs["lims"])
        for i in range(len(xq)):
            row = slice(int(lims[i]), int(lims[i + 1]))
            assert set(zip(ids[row], distances[row], strict=True)) == set(
                zip(theirs["RI"][row], theirs["RD"][row], strict=True)
            )
    read = faiss.deserialize_index_binary(theirs["stored"])
    assert type(read) is type(index)
    if "HNSW" not in description:
        np.testing.assert_array_equal(read.search(xq, 5)[1], labels)
    if "Hash" not in description and "HNSW" not in description:
        # The order in a hash table's file is the library's own.
        np.testing.assert_array_equal(faiss.serialize_index_binary(index), theirs["stored"])
    path = str(tmp_path / "index")
    faiss.write_index_binary(index, path)
    np.testing.assert_array_equal(faiss.read_index_binary(path).search(xq, 5)[1], labels)
    for copy in (faiss.clone_binary_index(index), pickle.loads(pickle.dumps(index))):
        np.testing.assert_array_equal(copy.search(xq, 5)[1], labels)


def test_a_graph_made_by_one_thread_is_that_of_faiss(rng: np.random.Generator, oracle: Callable[..., Arrays]) -> None:
    xb, xq = rng.integers(0, 256, (400, 8), dtype="uint8"), rng.integers(0, 256, (9, 8), dtype="uint8")
    program = """
threads = faiss.omp_get_max_threads()
faiss.omp_set_num_threads(1)
index = faiss.IndexBinaryHNSW(64, 16)
index.add(xb)
faiss.omp_set_num_threads(threads)
result["neighbors"] = faiss.vector_to_array(index.hnsw.neighbors)
result["D"], _ = index.search(xq, 5)
result["filtered"], _ = index.search(xq, 5, params=faiss.SearchParametersHNSW(efSearch=200, sel=faiss.IDSelectorRange(0, 60)))
index.hnsw.efSearch = 300
result["exact"], _ = index.search(xq, 5)
result["serialized"] = faiss.serialize_index_binary(index)
"""
    mine: Arrays = {}
    exec(program, {"faiss": faiss, "np": np, "xb": xb, "xq": xq, "result": mine})
    theirs = oracle('xb, xq = given["xb"], given["xq"]\n' + program, xb=xb, xq=xq)
    for name, value in theirs.items():
        np.testing.assert_array_equal(mine[name], value, err_msg=name)
    np.testing.assert_array_equal(mine["exact"], truth(xq, xb, 5)[0])
    np.testing.assert_array_equal(mine["filtered"], truth(xq, xb[:60], 5)[0])
    cagra = faiss.IndexBinaryHNSWCagra(64, 16)
    cagra.add(xb)
    cagra.base_level_only = True
    assert abs(cagra.search(xq, 5)[0].mean() / mine["exact"].mean() - 1) < 0.1
    with pytest.raises(RuntimeError, match="base_level_only"):
        cagra.add(xb)
    index = faiss.IndexBinaryHNSW(64, 4)
    with pytest.raises(RuntimeError, match="incorrect type"):
        index.search(xq, 1, params=faiss.SearchParameters(sel=faiss.IDSelectorRange(0, 5)))


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_file_cut_anywhere_is_refused(rng: np.random.Generator, description: str) -> None:
    file = faiss.serialize_index_binary(made(description, 32, codes(rng, 40, 32)))
    for end in range(len(file)):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index_binary(file[:end])
    for at in range(4, min(len(file), 120)):
        for value in (0, 127, 255):
            damaged = file.copy()
            damaged[at] = value
            try:
                index = faiss.deserialize_index_binary(damaged)
                index.search(np.zeros((1, index.code_size), "uint8"), 3)
            except (RuntimeError, MemoryError):
                pass


def test_inverted_file(rng: np.random.Generator, oracle: Callable[..., Arrays]) -> None:
    d = 32
    xb, xq = codes(rng, 900, d), codes(rng, 20, d)
    program = """
index = faiss.IndexBinaryIVF(quantizer, 32, 16)
index.cp.min_points_per_centroid = 5
index.train(xb)
index.add_with_ids(xb, np.arange(len(xb)) + 5)
for nprobe in (1, 4, 16):
    index.nprobe = nprobe
    result[f"D{nprobe}"], _ = index.search(xq, 6)
    result[f"lims{nprobe}"], _, _ = index.range_search(xq, 9)
result["params"], _ = index.search(xq, 6, params=faiss.SearchParametersIVF(nprobe=3))
index.nprobe = 2
Dq, Iq = index.quantizer.search(xq, 2)
result["preassigned"], _ = index.search_preassigned(xq, 6, Iq, Dq)
result["xb"] = faiss.vector_to_array(quantizer.xb)
result["sizes"] = np.array([index.get_list_size(i) for i in range(16)])
result["removed"] = index.remove_ids(np.arange(100))
index.set_direct_map_type(faiss.DirectMap.Hashtable)
result["back"] = index.reconstruct(500)
result["ntotal"] = index.ntotal
"""
    mine: dict[str, np.ndarray] = {}
    quantizer = faiss.IndexBinaryFlat(32)
    exec(program, {"faiss": faiss, "np": np, "xb": xb, "xq": xq, "quantizer": quantizer, "result": mine})
    setup = 'xb, xq = given["xb"], given["xq"]\nquantizer = faiss.IndexBinaryFlat(32)\n'
    theirs = oracle(setup + program, xb=xb, xq=xq)
    for name, value in theirs.items():
        np.testing.assert_array_equal(mine[name], value, err_msg=name)


def test_selectors_and_parameters_are_refused_where_faiss_refuses_them(rng: np.random.Generator) -> None:
    xb = codes(rng, 100, 32)
    for description in ("BIVF4", "BHash8", "BHash2x8"):
        index = made(description, 32, xb)
        params = faiss.SearchParametersIVF(sel=faiss.IDSelectorRange(0, 5), nprobe=2)
        with pytest.raises(RuntimeError):
            index.search(xb[:2], 3, params=params)


def test_merge_of_other_quantizers_is_refused(rng: np.random.Generator) -> None:
    a, b = (made("BIVF4", 32, codes(rng, 200, 32)) for _ in range(2))
    with pytest.raises(RuntimeError, match="quantizers"):
        a.merge_from(b, 200)
    assert (a.ntotal, b.ntotal) == (200, 200)


def test_stale_label_is_no_result(rng: np.random.Generator) -> None:
    xb = codes(rng, 10, 32)
    index = faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(32))
    index.add_with_ids(xb, np.arange(10) + 50)
    index.index.add(xb[:1])
    _D, labels = index.search(xb[:1], 11)
    assert sorted(labels[0]) == [-1, *range(50, 60)]


def test_over_floats(rng: np.random.Generator) -> None:
    xb, xq = codes(rng, 200, 32), codes(rng, 5, 32)
    index = faiss.IndexBinaryFromFloat(faiss.IndexFlatL2(32))
    index.add(xb)
    np.testing.assert_array_equal(index.search(xq, 4)[0], truth(xq, xb, 4)[0])
    x = np.empty(32, "float32")
    faiss.binary_to_real(32, faiss.swig_ptr(xb[0].copy()), faiss.swig_ptr(x))
    np.testing.assert_array_equal(x, np.unpackbits(xb[0], bitorder="little") * 2.0 - 1)
    back = np.empty(4, "uint8")
    faiss.real_to_binary(32, faiss.swig_ptr(x), faiss.swig_ptr(back))
    np.testing.assert_array_equal(back, xb[0])


def test_functions_on_codes(rng: np.random.Generator) -> None:
    a, b = codes(rng, 30, 64), codes(rng, 50, 64)
    distances = bits(a, b)
    out = np.empty((30, 50), "int32")
    p = faiss.swig_ptr
    faiss.hammings(p(a), p(b), 30, 50, 8, p(out))
    np.testing.assert_array_equal(out, distances)
    count = np.zeros(1, "uint64")
    ht = int(np.percentile(distances, 20))
    faiss.hamming_count_thres(p(a), p(b), 30, 50, ht, 8, p(count))
    assert count[0] == (distances <= ht).sum()
    n = int(count[0])
    idx, dis = np.zeros(2 * n, "int64"), np.zeros(n, "int32")
    assert faiss.match_hamming_thres(p(a), p(b), 30, 50, ht, 8, p(idx), p(dis)) == n
    np.testing.assert_array_equal(distances[idx[::2], idx[1::2]], dis)
    faiss.crosshamming_count_thres(p(b), 50, ht, 8, p(count))
    assert count[0] == np.triu(bits(b, b) <= ht, 1).sum()
    result = faiss.RangeSearchResult(30)
    faiss.hamming_range_search(p(a), p(b), 30, 50, ht, 8, result)
    assert faiss.rev_swig_ptr(result.lims, 31)[-1] == (distances < ht).sum()


@pytest.mark.parametrize("radius", [20.0, 20.5, np.float32(20), "20", None])
def test_a_radius_is_a_whole_number(radius):
    index, queries = faiss.IndexBinaryFlat(16), np.zeros((2, 2), "u1")
    index.add(np.arange(40, dtype="u1").reshape(20, 2))
    with pytest.raises(TypeError):
        index.range_search(queries, radius)
    assert index.range_search(queries, np.int64(20))[0][-1] == 40
