"""The same results, files and random numbers as faiss-cpu 1.15.1."""

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours

METRICS = ["L2", "INNER_PRODUCT", "L1", "Linf", "Lp", "Canberra", "BrayCurtis", "JensenShannon", "Jaccard"]


@pytest.fixture
def data(rng):
    return {"xb": rng.random((500, 24), dtype="f4") + 0.01, "xq": rng.random((40, 24), dtype="f4") + 0.01}


def test_version(oracle):
    assert str(oracle("result['v'] = np.array(faiss.__version__)")["v"]) == faiss.__version__


@pytest.mark.parametrize("metric", METRICS)
def test_search_and_files(oracle, data, metric):
    code = f"""
index = faiss.IndexFlat(24, faiss.METRIC_{metric})
index.metric_arg = 1.5
index.add(given['xb'])
result['D'], result['I'] = index.search(given['xq'], 12)
result['one_D'], result['one_I'] = index.search(given['xq'][:1], 600)
lims, D, I = index.range_search(given['xq'], float(result['D'][:, 5].mean()))
result['lims'] = lims
result['range'] = np.concatenate([np.sort(I[lims[i]:lims[i + 1]]) for i in range(len(lims) - 1)])
result['bytes'] = faiss.serialize_index(index)
result['pairwise'] = faiss.pairwise_distances(given['xq'], given['xb'], faiss.METRIC_{metric}, 1.5)
ours = faiss.deserialize_index(given['bytes'])
result['theirs_of_ours'] = ours.search(given['xq'], 12)[0]
result['type'] = np.array(type(ours).__name__)
"""
    index = faiss.IndexFlat(24, getattr(faiss, f"METRIC_{metric}"))
    index.metric_arg = 1.5
    index.add(data["xb"])
    wanted = oracle(code, bytes=faiss.serialize_index(index), **data)
    found = index.search(data["xq"], 12)
    assert_same_neighbours(found, (wanted["D"], wanted["I"]), rtol=1e-5)
    assert_same_neighbours(index.search(data["xq"][:1], 600), (wanted["one_D"], wanted["one_I"]), rtol=1e-5)
    lims, _, ids = index.range_search(data["xq"], float(wanted["D"][:, 5].mean()))
    assert abs(int(lims[-1]) - int(wanted["lims"][-1])) <= 1
    np.testing.assert_array_equal(np.setdiff1d(ids, wanted["range"]).size, 0)
    np.testing.assert_array_equal(faiss.serialize_index(index), wanted["bytes"])
    np.testing.assert_allclose(
        faiss.pairwise_distances(data["xq"], data["xb"], index.metric_type, 1.5),
        wanted["pairwise"],
        rtol=1e-4,
        atol=1e-5,
    )
    made = faiss.deserialize_index(wanted["bytes"])
    assert type(made).__name__ == str(wanted["type"])
    np.testing.assert_array_equal(made.search(data["xq"], 12)[0], found[0])
    np.testing.assert_allclose(wanted["theirs_of_ours"], found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["IndexFlatL2", "IndexFlatIP", "IndexFlat1D"])
def test_files_of_types(oracle, rng, name):
    d = 1 if name == "IndexFlat1D" else 5
    x = rng.random((30, d), dtype="f4")
    make = f"faiss.{name}()" if d == 1 else f"faiss.{name}({d})"
    code = f"index = {make}; index.add(given['x']); result['bytes'] = faiss.serialize_index(index)"
    index = eval(make)
    index.add(x)
    np.testing.assert_array_equal(faiss.serialize_index(index), oracle(code, x=x)["bytes"])


def test_random_numbers(oracle):
    code = """
for seed in (0, 1, 12345, 2**31 - 1):
    for n in (1, 3, 1023, 1024, 5000):
        result[f'rand {n} {seed}'] = faiss.rand(n, seed)
        result[f'randn {n} {seed}'] = faiss.randn(n, seed)
        result[f'randint {n} {seed}'] = faiss.randint(n, seed)
        result[f'vmax {n} {seed}'] = faiss.randint(n, seed, 1000)
"""
    for key, wanted in oracle(code).items():
        kind, n, seed = key.split()
        function = faiss.randint if kind == "vmax" else getattr(faiss, kind)
        found = function(int(n), int(seed), *[1000] * (kind == "vmax"))
        if kind == "randn":
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(found, wanted)


def test_helpers(oracle, rng):
    D, ids = np.sort(rng.random((3, 6, 4), dtype="f4"), axis=-1), rng.permutation(72).reshape(3, 6, 4)
    x = rng.standard_normal((6, 9)).astype("f4")
    code = """
result['merge_D'], result['merge_I'] = faiss.merge_knn_results(given['D'], given['I'])
result['kmin_D'], result['kmin_I'] = faiss.kmin(given['x'], 4)
result['kmax_D'], result['kmax_I'] = faiss.kmax(given['x'], 12)
result['inter'] = faiss.eval_intersection(given['I'][0], given['I'][1] % 20)
x = given['x'].copy(); faiss.normalize_L2(x); result['normal'] = x
index = faiss.IndexFlatL2(9); index.add(given['x'])
result['D'], result['I'], result['R'] = index.search_and_reconstruct(given['x'][:2], 8)
params = faiss.SearchParameters(sel=faiss.IDSelectorBatch([1, 4, 5]))
result['sel_D'], result['sel_I'] = index.search(given['x'], 4, params=params)
"""
    wanted = oracle(code, D=D, I=ids, x=x)
    for got, name in (
        (faiss.merge_knn_results(D, ids), "merge"),
        (faiss.kmin(x, 4), "kmin"),
        (faiss.kmax(x, 12), "kmax"),
    ):
        np.testing.assert_array_equal(got[0], wanted[f"{name}_D"])
        np.testing.assert_array_equal(got[1], wanted[f"{name}_I"])
    assert faiss.eval_intersection(ids[0], ids[1] % 20) == wanted["inter"]
    normal = x.copy()
    faiss.normalize_L2(normal)
    np.testing.assert_allclose(normal, wanted["normal"], rtol=1e-6)
    index = faiss.IndexFlatL2(9)
    index.add(x)
    D1, ids1, R1 = index.search_and_reconstruct(x[:2], 8)
    np.testing.assert_array_equal(ids1, wanted["I"])
    np.testing.assert_array_equal(R1, wanted["R"])
    np.testing.assert_allclose(D1, wanted["D"], rtol=1e-5, atol=1e-5)
    params = faiss.SearchParameters(sel=faiss.IDSelectorBatch([1, 4, 5]))
    D1, ids1 = index.search(x, 4, params=params)
    np.testing.assert_array_equal(ids1, wanted["sel_I"])
    np.testing.assert_allclose(D1, wanted["sel_D"], rtol=1e-5, atol=1e-5)


def test_functions_on_pointers(oracle, here, rng):
    x = rng.random((9, 5), dtype="f4")
    b = rng.integers(0, 256, 203).astype("u1")
    code = """
from faiss import swig_ptr as p
x, b = given['x'], given['b']
for n in (0, 1, 2, 3, 4, 5, 7, 8, 203):
    result[f'bvec{n}'] = np.array(faiss.bvec_checksum(n, p(b)), 'u8')
result['ivec'] = np.array(faiss.ivec_checksum(50, p(b[:200].view('i4'))), 'u8')
for name, a in (('i8', np.arange(5)), ('2d', np.arange(12.).reshape(3, 4)), ('u1', b), ('x', x), ('none', np.zeros(0))):
    result['sum' + name] = np.array(faiss.checksum(a), 'u8')
result['smooth'] = faiss.rand_smooth_vectors(20, 7, 5)
out = np.zeros(9, 'f4')
for f in (faiss.fvec_norms_L2, faiss.fvec_norms_L2sqr):
    f(p(out), p(x), 5, 9); result[f.__name__] = out.copy()
for f in (faiss.fvec_L2sqr_ny, faiss.fvec_inner_products_ny):
    f(p(out), p(x), p(x), 5, 9); result[f.__name__] = out.copy()
for f in (faiss.fvec_L1, faiss.fvec_L2sqr, faiss.fvec_Linf, faiss.fvec_inner_product):
    result[f.__name__] = np.array(f(p(x), p(x[1:]), 5))
D, I = np.zeros((9, 3), 'f4'), np.zeros((9, 3), 'i8')
for f in (faiss.knn_L2sqr, faiss.knn_inner_product):
    f(p(x), p(x), 5, 9, 9, 3, p(D), p(I)); result[f.__name__] = np.concatenate([D, I])
r = faiss.RangeSearchResult(9)
faiss.range_search_L2sqr(p(x), p(x), 5, 9, 9, 0.5, r)
result['lims'] = faiss.rev_swig_ptr(r.lims, 10)
y = np.zeros(30, 'u1'); faiss.byte_rand(p(y), 30, 7); result['bytes'] = y
result['four'] = np.array([faiss.fourcc('IxF2'), int(faiss.fourcc_inv_printable(255) == '\\\\xff\\\\x00\\\\x00\\\\x00')])
result['cvar'] = np.array([faiss.cvar.distance_compute_blas_query_bs, faiss.get_deserialization_vector_byte_limit()])
"""
    wanted = oracle(code, x=x, b=b)
    # The very same program here.
    ours = here(code, x=x, b=b)
    assert wanted.keys() == ours.keys()
    for key, value in wanted.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(ours[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(ours[key], value, err_msg=key)


def test_signatures(oracle):
    """Parameters have the same names, kinds and defaults, so that calls by keyword work."""
    import inspect

    code = """
import inspect, json
found = {}
for cls in ('Index', 'IndexFlat', 'IndexFlatL2', 'IndexFlat1D'):
    for name, method in inspect.getmembers(getattr(faiss, cls), inspect.isfunction):
        if not name.startswith('_'):
            found[f'{cls}.{name}'] = str(inspect.signature(method))
for name in dir(faiss):
    value = getattr(faiss, name)
    if inspect.isfunction(value) and not name.startswith('_'):
        found[name] = str(inspect.signature(value))
result['found'] = np.array(json.dumps(found))
"""
    import json

    from faiss.placeholders import is_placeholder

    def shape(signature, names):
        # Nobody passes by keyword what is called arg1.
        named = zip(signature.parameters.values(), names, strict=False)
        return [(p.name, p.kind, p.default) for p, name in named if name != "index" and not name.startswith("arg")]

    differ, compared = [], 0
    for path, text in json.loads(str(oracle(code)["found"])).items():
        owner, _, name = path.rpartition(".")
        ours = getattr(getattr(faiss, owner) if owner else faiss, name, None)
        if ours is None or is_placeholder(ours) or "*args" in text:
            continue
        scope: dict = {}
        exec(f"def f{text}: ...", {"array": np.array}, scope)
        wanted = inspect.signature(scope["f"])
        names = list(wanted.parameters)
        if [p.kind for p in inspect.signature(ours).parameters.values()][-1:] == [inspect.Parameter.VAR_KEYWORD]:
            continue
        compared += 1
        same_number = len(inspect.signature(ours).parameters) == len(names)
        if not same_number or shape(inspect.signature(ours), names) != shape(wanted, names):
            differ.append(f"{path}: {inspect.signature(ours)} where Faiss has {text}")
    assert compared > 80
    assert not differ, "\n".join(differ)


@pytest.mark.parametrize(("d", "m"), [(8, 2), (30, 2), (20, 1)])
def test_codebooks_of_many_points_are_those_of_faiss(oracle, d, m):
    """One near tie that falls the other way would move centroids: sums have to be rounded alike."""
    x = np.random.default_rng(d).standard_normal((30_000, d)).astype("f4")
    pq = faiss.ProductQuantizer(d, m, 8)
    pq.train(x)
    code = f"""
pq = faiss.ProductQuantizer({d}, {m}, 8)
pq.train(given["x"])
result["centroids"] = faiss.vector_to_array(pq.centroids)
"""
    wanted = oracle(code, x=x)["centroids"]
    np.testing.assert_allclose(faiss.vector_to_array(pq.centroids), wanted, rtol=1e-4, atol=1e-6)
