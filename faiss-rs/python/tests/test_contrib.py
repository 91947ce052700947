"""The modules of faiss.contrib."""

import faiss
import numpy as np
import pytest
from faiss.contrib import (
    clustering,
    datasets,
    evaluation,
    exhaustive_search,
    factory_tools,
    inspect_tools,
    ivf_tools,
    vecs_io,
)


def test_synthetic_dataset(oracle):
    ds = datasets.SyntheticDataset(16, 50, 200, 20)
    ds.check_sizes()
    code = """
from faiss.contrib.datasets import SyntheticDataset
ds = SyntheticDataset(16, 50, 200, 20)
result.update(t=ds.get_train(), b=ds.get_database(), q=ds.get_queries(), g=ds.get_groundtruth(5), s=np.array(str(ds)))
"""
    wanted = oracle(code)
    for name, array in (("t", ds.get_train()), ("b", ds.get_database()), ("q", ds.get_queries())):
        np.testing.assert_allclose(array, wanted[name], rtol=1e-6)
    np.testing.assert_array_equal(ds.get_groundtruth(5), wanted["g"])
    assert str(ds) == str(wanted["s"])
    assert sum(map(len, ds.database_iterator(7, (3, 1)))) == 67


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_ground_truth(metric):
    ds = datasets.SyntheticDataset(8, 0, 500, 30)
    index = faiss.IndexFlat(8, metric)
    index.add(ds.get_database())
    D, ids = exhaustive_search.knn_ground_truth(ds.get_queries(), ds.database_iterator(37), 10, metric, ngpu=0)
    D0, ids0 = index.search(ds.get_queries(), 10)
    np.testing.assert_array_equal(ids, ids0)
    evaluation.check_ref_knn_with_draws(D0, ids0, D, ids, atol=1e-5)
    threshold = float(D0[:, 5].mean())
    found = exhaustive_search.range_ground_truth(ds.get_queries(), ds.database_iterator(37), threshold, metric)
    evaluation.check_ref_range_results(*index.range_search(ds.get_queries(), threshold), *found)
    half = threshold * (2 if metric == faiss.METRIC_INNER_PRODUCT else 0.5)
    smaller = exhaustive_search.threshold_radius(*found, half, keep_max=metric == faiss.METRIC_INNER_PRODUCT)
    evaluation.check_ref_range_results(*index.range_search(ds.get_queries(), half), *smaller)


def test_intersection():
    a = np.array([[1, 2], [3, 4]])
    assert evaluation.knn_intersection_measure(a, a[:, ::-1]) == 1.0
    assert evaluation.knn_intersection_measure(a, a + 1) == 0.5
    with pytest.raises(AssertionError):
        evaluation.check_ref_knn_with_draws(a * 1.0, a, a * 1.0, a + 5)


def test_inspection(rng, capsys):
    x = rng.random((6, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    np.testing.assert_array_equal(inspect_tools.get_flat_data(index), x)
    np.testing.assert_array_equal(inspect_tools.get_flat_codes(index), x.view("u1"))
    inspect_tools.print_object_fields(index)
    assert "ntotal              : 6" in capsys.readouterr().out


def test_vecs(rng, tmp_path):
    x = rng.random((5, 3), dtype="f4")
    vecs_io.fvecs_write(tmp_path / "a.fvecs", x)
    np.testing.assert_array_equal(vecs_io.fvecs_read(tmp_path / "a.fvecs"), x)
    np.testing.assert_array_equal(vecs_io.fvecs_mmap(tmp_path / "a.fvecs"), x)
    ids = rng.integers(0, 100, (4, 2)).astype("i4")
    vecs_io.ivecs_write(tmp_path / "a.ivecs", ids)
    np.testing.assert_array_equal(vecs_io.ivecs_read(tmp_path / "a.ivecs"), ids)
    (tmp_path / "bad").write_bytes(b"\x03\x00\x00\x00\x01")
    with pytest.raises(ValueError, match="no whole vectors"):
        vecs_io.bvecs_mmap(tmp_path / "bad")


def test_assigned_lists(rng):
    x, xq = rng.random((600, 8), dtype="f4"), rng.random((9, 8), dtype="f4")
    index = faiss.index_factory(8, "PCA6,IVF6,Flat")
    index.train(x)
    ivf = faiss.extract_index_ivf(index)
    lists = ivf.quantizer.assign(index.chain.at(0).apply(x), 1).ravel()
    ivf_tools.add_preassigned(index, x, lists)
    assert index.ntotal == 600
    ivf.nprobe = 2
    Dq, Iq = ivf.quantizer.search(index.chain.at(0).apply(xq), 2)
    found = ivf_tools.search_preassigned(index, xq, 4, Iq, Dq)
    np.testing.assert_array_equal(found[1], index.search(xq, 4)[1])
    lims, D, ids = ivf_tools.range_search_preassigned(index, xq, 0.2, Iq)
    evaluation.check_ref_range_results(*index.range_search(xq, 0.2), lims, D, ids)
    with pytest.raises(AssertionError):
        ivf_tools.search_preassigned(index, xq, 4, Iq[:, :1])


def test_lists_and_quantizers_change(rng):
    x, xq = rng.random((600, 8), dtype="f4"), rng.random((9, 8), dtype="f4")
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 6)
    index.train(x)
    index.add(x)
    before = index.search(xq, 4)
    ivf_tools.sort_invlists_by_size(index)
    sizes = inspect_tools.get_invlist_sizes(index.invlists)
    assert (np.diff(sizes) >= 0).all()
    np.testing.assert_array_equal(index.search(xq, 4)[1], before[1])
    old = ivf_tools.replace_ivf_quantizer(index, faiss.IndexFlatL2(8))
    assert (old.ntotal, index.quantizer.ntotal) == (6, 6)
    np.testing.assert_array_equal(index.search(xq, 4)[1], before[1])
    with pytest.raises(AssertionError):
        ivf_tools.replace_ivf_quantizer(index, old_of_five())


def old_of_five():
    quantizer = faiss.IndexFlatL2(8)
    quantizer.add(np.zeros((5, 8), "f4"))
    return quantizer


def test_matrices_of_transforms(rng):
    A, b = rng.random((3, 5), dtype="f4"), rng.random(3, dtype="f4")
    x = rng.random((4, 5), dtype="f4")
    made = inspect_tools.make_LinearTransform_matrix(A, b)
    np.testing.assert_allclose(made.apply(x), x @ A.T + b, rtol=1e-5)
    for mine, its in zip((A, b), inspect_tools.get_LinearTransform_matrix(made), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_radius_shrinks_to_the_most_results(rng):
    x, xq = rng.random((500, 8), dtype="f4"), rng.random((40, 8), dtype="f4")
    for index in (faiss.IndexFlatL2(8), faiss.IndexFlatIP(8)):
        index.add(x)
        queries = exhaustive_search.exponential_query_iterator(xq, 4, 16)
        start = 3.0 if index.metric_type == faiss.METRIC_L2 else 0.1
        radius, *found = exhaustive_search.range_search_max_results(index, queries, start, 300, 200, clip_to_min=True)
        assert len(found[1]) == 200
        evaluation.check_ref_range_results(*index.range_search(xq, radius), *found)
    lims, D, ids = exhaustive_search.range_search_gpu(xq, 0.3, index_of(x), x, gpu_k=3)
    evaluation.check_ref_range_results(*index_of(x).range_search(xq, 0.3), lims, D, ids)


def index_of(x):
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    return index


def test_clustering_in_python(rng):
    x = rng.random((900, 6), dtype="f4")
    centroids, stats = clustering.kmeans(12, clustering.DatasetAssign(x), niter=8, verbose=False, return_stats=True)
    assert centroids.shape == (12, 6)
    objectives = [s["obj"] for s in stats]
    assert objectives[-1] < objectives[0]
    km = faiss.Kmeans(6, 12, niter=8)
    assert objectives[-1] < 1.1 * km.train(x)
    centroids, stats = clustering.two_level_clustering(x, 4, 30)
    assert centroids.shape == (30, 6)
    assert len(stats) == 5
    index = faiss.index_factory(6, "PCA4,IVF16,Flat")
    clustering.train_ivf_index_with_2level(index, x)
    index.add(x)
    faiss.extract_index_ivf(index).nprobe = 16
    assert (index.search(x[:50], 1)[1].ravel() == np.arange(50)).all()


SIZES = {"Flat": 64, "IVF8,PQ4x6": 3, "OPQ4_8,PQ4": 4, "PCA8,Flat": 32, "SQ8": 16, "HNSW32": 320, "PQ4,RFlat": 68}
SIZES |= {"IVF8,PQ4+8": 12, "IVF8,PQ4x4fs": 2, "IVF1024_HNSW32,PQ4x8": 4, "RR8,PQ4": 4, "OPQ4,IVF8,PQ4": 4}


@pytest.mark.parametrize("key", SIZES)
def test_code_sizes(key):
    assert factory_tools.get_code_size(16, key) == SIZES[key]
    with pytest.raises(RuntimeError, match="cannot parse"):
        factory_tools.get_code_size(16, key + ",Nonsense")


@pytest.mark.parametrize(
    "key",
    [
        "Flat",
        "IVF8,Flat",
        "IVF8,PQ4x6",
        "PQ4x8",
        "OPQ4_8,IVF8,PQ4x8",
        "PCAR8,Flat",
        "IDMap2,IVF8,Flat",
        "IVF8(IVF2,Flat),Flat",
        "PQ4x8,Refine(Flat)",
    ],
)
def test_descriptions_of_indexes(key):
    assert factory_tools.reverse_index_factory(faiss.index_factory(16, key)) == key


# Those that Faiss gives back as they are meant. It forgets the bits of an LSH, and the storage of a graph that is a coarse quantizer.
KEYS = [
    "Flat",
    "SQ8",
    "SQ4",
    "SQ6",
    "SQfp16",
    "SQbf16",
    "SQ8_direct",
    "SQtqmse1",
    "PQ8",
    "PQ8x4",
    "PQ8x4fs",
    "PQ8np",
    "RaBitQ",
    "RaBitQ4",
    "LSH",
    "LSHrt",
    "HNSW32",
    "HNSW16,SQ8",
    "HNSW16_PQ8",
    "IVF16,Flat",
    "IVF16,PQ8",
    "IVF16_HNSW32,PQ8x4fs",
    "IVF16(HNSW8),SQ4",
    "IVF16,PQ8+8",
    "IVF16,RaBitQ4",
    "IVF16(PQ8x4fs),Flat",
    "IMI2x4,PQ8",
    "OPQ8,SQ8",
    "OPQ8_8,IVF16,PQ8",
    "PCAR8,SQ8",
    "ITQ8,LSH",
    "PQ8,RFlat",
    "PCA8,PQ8,Refine(SQ8)",
    "OPQ8_8,IVF16_HNSW32,PQ8x4fs,RFlat",
    "IDMap,OPQ8,PQ8",
    "IDMap2,HNSW8",
]
SIZED = [
    "IVF16(IVF4,Flat),PQ8",
    "PQ8,Refine(PQ8)",
    "PCA4,PQ2,RFlat",
    "HNSW16,PQ8x4",
    "RR4,SQ4",
    "PQ4+8",
    "IMI2x8,Flat",
    "IVF3,PQ8x12",
]


def test_descriptions_and_sizes_as_faiss(oracle):
    code = """
from faiss.contrib import factory_tools
for i, key in enumerate(given["keys"].tolist()):
    index = faiss.index_factory(16, key)
    result[f"key{i}"] = factory_tools.reverse_index_factory(index)
for i, key in enumerate(given["sized"].tolist()):
    try:
        result[f"size{i}"] = factory_tools.get_code_size(16, key)
    except RuntimeError:
        result[f"size{i}"] = -1
"""
    sized = [*KEYS, *SIZED]
    wanted = oracle(code, keys=np.array(KEYS), sized=np.array(sized))
    for i, key in enumerate(KEYS):
        assert factory_tools.reverse_index_factory(faiss.index_factory(16, key)) == str(wanted[f"key{i}"]), key
    for i, key in enumerate(sized):
        if (size := int(wanted[f"size{i}"])) >= 0:
            assert factory_tools.get_code_size(16, key) == size, key


def test_small_tools_as_faiss(oracle, here, rng):
    x, xq = rng.random((300, 8), dtype="f4"), rng.random((20, 8), dtype="f4")
    code = """
from faiss.contrib import datasets, evaluation, exhaustive_search, inspect_tools
blocks = [len(b) for size in ((3, 8), (5, 5), (8, 4)) for b in exhaustive_search.exponential_query_iterator(given["xq"], *size)]
index = faiss.IndexFlatL2(8)
index.add(given["x"])
kept = evaluation.filter_range_results(*index.range_search(given["xq"], 0.6), 0.5)
nsg = faiss.IndexNSGFlat(8, 6)
nsg.add(given["x"])
try:
    datasets.Dataset().get_groundtruth_range(1)
except NotImplementedError:
    result["abstract"] = True
result.update(blocks=np.array(blocks), lims=kept[0], links=np.array(inspect_tools.get_NSG_neighbors(nsg.nsg).shape))
result["basedirs"] = np.array([datasets.dataset_from_name(n).basedir for n in ("sift1M", "bigann1M", "deep1M", "music-100")])
result["verbose"] = faiss.ParameterSpace().verbose
"""
    ours, wanted = here(code, x=x, xq=xq), oracle(code, x=x, xq=xq)
    assert ours.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(ours[name], wanted[name], name)
    assert ours["lims"].dtype == wanted["lims"].dtype


def test_settings_and_their_measurements():
    points = evaluation.OperatingPointsWithRanges()
    points.add_range("a", [1, 2, 4])
    points.add_range("b", [10, 20])
    assert points.num_experiments() == 6
    assert points.get_parameters(points.cno_to_key(5)) == {"a": 4, "b": 20}
    assert sorted(points.sample_experiments(0)) == list(range(6))
    assert points.sample_experiments(3)[:2] == [0, 5]
    assert points.add_operating_point(points.cno_to_key(0), 0.5, 1.0)
    assert not points.add_operating_point(points.cno_to_key(3), 0.4, 2.0)
    assert points.predict_bounds(points.cno_to_key(5)) == (1.0, 2.0)
    points.restrict_range("a", 3)
    assert points.ranges[0] == ("a", [1, 2])
    timer = evaluation.RepeatTimer(warmup=1, runs=4)
    assert (sum(1 for _ in timer), timer.nruns()) == (4, 3)
    assert timer.ms() >= 0 <= timer.ms_std()


def test_batches_of_files(rng, tmp_path):
    x = rng.integers(0, 255, (25, 3)).astype("u1")
    for i, part in enumerate((x[:10], x[10:11], x[11:])):
        rows = np.concatenate([np.full((len(part), 1), 3, "<i4").view("u1"), part], axis=1)
        rows.tofile(tmp_path / f"chunk_{i:04}.bvecs")
    blocks = list(vecs_io.bvecs_iter_chunked(tmp_path, 8))
    assert [len(b) for b in blocks] == [8, 8, 8, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), x)
    (tmp_path / "chunk_0001.bvecs").unlink()
    with pytest.raises(ValueError, match="gap"):
        list(vecs_io.bvecs_iter_chunked(tmp_path, 8))


def test_a_data_set_in_chunks(oracle, here, rng, tmp_path):
    folder = tmp_path / "dino_vitl_10B"
    (folder / "chunked_base_10B").mkdir(parents=True)
    (folder / "gts").mkdir()
    x = rng.integers(0, 255, (50, 1024)).astype("u1")
    rows = np.concatenate([np.full((50, 1), 1024, "<i4").view("u1"), x], axis=1)
    rows[:10].tofile(folder / "queries_clean.bvecs")
    rows[10:25].tofile(folder / "train_queries_99M.bvecs")
    for i in range(3):
        rows[25 + 5 * i : 30 + 5 * i].tofile(folder / f"chunked_base_10B/chunk_{i}.bvecs")
    np.save(folder / "gts/gts_dino_patch_12_k10.npy", np.arange(100).reshape(10, 10))
    code = """
from faiss.contrib import datasets
before = datasets.dataset_basedir
datasets.set_dataset_basedir(str(given["folder"]))
refused = []
for size in (12, 3_000_000):
    try:
        datasets.DatasetDINO10B(size)
    except ValueError as e:
        refused.append(str(e))
ds = datasets.DatasetDINO10B(12, ignore_supported=True)
for work in (lambda: ds.get_groundtruth(11), ds.get_train):
    try:
        work()
    except NotImplementedError:
        refused.append("")
result.update(said=np.array([str(ds), ds.distance(), type(datasets.dataset_from_name("dino10B")).__name__, *refused]))
result.update(queries=ds.get_queries(), database=ds.get_database(), gt=ds.get_groundtruth(3), train=ds.get_train(4))
result["blocks"] = np.array([len(b) for b in ds.database_iterator(7)] + [len(b) for b in ds.train_iterator(7)])
datasets.set_dataset_basedir(before)
"""
    ours, wanted = (run(code, folder=np.array(f"{tmp_path}/")) for run in (here, oracle))
    assert ours.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(ours[name], wanted[name], name)
        assert ours[name].dtype == wanted[name].dtype


def test_data_sets_in_files(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "dataset_basedir", f"{tmp_path}/")
    x, gt = rng.random((20, 128), dtype="f4"), np.arange(40, dtype="i4").reshape(10, 4)
    (tmp_path / "sift1M").mkdir()
    for name in ("base", "query", "learn"):
        vecs_io.fvecs_write(tmp_path / f"sift1M/sift_{name}.fvecs", x)
    vecs_io.ivecs_write(tmp_path / "sift1M/sift_groundtruth.ivecs", gt)
    ds = datasets.dataset_from_name("sift1M")
    assert str(ds) == "dataset in dimension 128, with metric L2, size: Q 10000 B 1000000 T 100000"
    np.testing.assert_array_equal(ds.get_database(), x)
    np.testing.assert_array_equal(ds.get_train(3), x[:3])
    np.testing.assert_array_equal(ds.get_groundtruth(2), gt[:, :2])
    with pytest.raises(AssertionError, match="4 neighbours, not 5"):
        ds.get_groundtruth(5)
    deep = datasets.dataset_from_name("deep1M")
    assert (deep.d, deep.nb) == (96, 10**6)
    assert datasets.dataset_from_name("bigann10M").nb == 10**7
    with pytest.raises(RuntimeError, match="nosuch"):
        datasets.dataset_from_name("nosuch")


def test_balanced_assignment_as_faiss(oracle, rng):
    x = rng.random((300, 8), dtype="f4")
    code = """
from faiss.contrib.clustering import balanced_assignment_with_penalties
assign, stats = balanced_assignment_with_penalties(given["x"], given["x"][:6].copy(), num_iter=n)
result.update(assign=assign, stats=np.array([stats[k] for k in sorted(stats)]))
"""
    for n in (1, 20):
        assign, stats = clustering.balanced_assignment_with_penalties(x, x[:6].copy(), num_iter=n)
        wanted = oracle(f"n = {n}" + code, x=x)
        np.testing.assert_array_equal(assign, wanted["assign"])
        np.testing.assert_allclose([stats[k] for k in sorted(stats)], wanted["stats"], rtol=1e-5)


def test_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random(500, 30, 0.2, format="csr", dtype="float32", random_state=np.random.RandomState(3))
    centroids = clustering.kmeans(7, clustering.DatasetAssignSparse(x), niter=5, verbose=False)
    dense = clustering.kmeans(7, clustering.DatasetAssign(x.toarray()), niter=5, verbose=False)
    np.testing.assert_allclose(centroids, dense, atol=1e-5)
    D, nearest = clustering.sparse_assign_to_dense_blocks(x, centroids, qbs=60, bbs=3)
    wanted = ((x.toarray()[:, None] - centroids) ** 2).sum(2, dtype="f8")
    np.testing.assert_array_equal(nearest, wanted.argmin(1))
    np.testing.assert_allclose(D, wanted.min(1), atol=1e-4)
