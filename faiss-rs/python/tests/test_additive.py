"""Additive quantizers, and the indexes over them, beside faiss-cpu."""

import contextlib

import faiss
import numpy as np
import pytest

NORMS = ["none", "float", "qint8", "qint4", "cqint8", "cqint4", "lsq2x4", "rq2x4"]
FLAT = [
    "RQ3x4",
    "RQ1x5_2x3",
    "LSQ3x4",
    "PRQ2x2x4",
    "PLSQ2x2x4",
    *(f"RQ3x4_N{norm}" for norm in NORMS),
    "PRQ2x2x4_Nfloat",
]
LISTS = ["IVF6,RQ3x4", "IVF6,LSQ3x4", "IVF6,PRQ2x2x4", "IVF6,PLSQ2x2x4", *(f"IVF6,RQ3x4_N{norm}" for norm in NORMS[1:])]

TRAINED = """
for key in keys:
    for metric in (0, 1):
        index = faiss.index_factory(8, key, metric)
        index.train(given["x"])
        name = f"{key} {metric} "
        result[name + "empty"] = faiss.serialize_index(index)
        index.add(given["x"][:300])
        result[name + "full"] = faiss.serialize_index(index)
        result[name + "D"], result[name + "I"] = index.search(given["x"][300:340], 5)
"""


@pytest.fixture(scope="module")
def trained(oracle):
    """What faiss-cpu makes of every description, in one run; and the vectors."""
    x = np.random.default_rng(7).standard_normal((800, 8), dtype="f4")
    return x, oracle(f"keys = {FLAT + LISTS!r}\n{TRAINED}", x=x)


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("key", FLAT + LISTS)
def test_the_same_codes_and_distances_from_the_same_state(trained, key, metric):
    x, results = trained
    empty, whole, D0, ids0 = (results[f"{key} {metric} {name}"] for name in ("empty", "full", "D", "I"))
    index = faiss.deserialize_index(empty)
    index.add(x[:300])
    full = faiss.deserialize_index(whole)
    np.testing.assert_array_equal(faiss.serialize_index(full), whole)
    # A code of nearly equal sums may be another one: almost all bytes are the same.
    assert (faiss.serialize_index(index) == whole).mean() > 0.999
    D, ids = full.search(x[300:340], 5)
    np.testing.assert_allclose(D, D0, rtol=1e-4, atol=1e-4)
    # Equal codes are equally far: their order is the only difference.
    assert (ids == ids0).mean() > 0.85


STATE = """
rq = faiss.ResidualQuantizer(8, 3, 4)
rq.train_type = train_type
rq.train(given["x"])
for name in ("codebooks", "codebook_cross_products", "centroid_norms"):
    result[name] = faiss.vector_to_array(getattr(rq, name))
result["norms"] = np.array([rq.norm_min, rq.norm_max])
"""


@pytest.mark.parametrize("train_type", [0, 2])
def test_the_same_codebooks(oracle, rng, train_type):
    x = rng.standard_normal((900, 8), dtype="f4")
    wanted = oracle(f"train_type = {train_type}\n{STATE}", x=x)
    result, given = {}, {"x": x}
    exec(STATE, {"faiss": faiss, "np": np, "result": result, "given": given, "train_type": train_type})
    for name, value in wanted.items():
        np.testing.assert_allclose(result[name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("key", ["RQ4x5", "LSQ4x5", "PRQ2x2x5", "PLSQ2x2x5", "RQ4x5_Nqint8"])
def test_the_same_error(oracle, rng, key):
    """Training in growing dimensions and by local search is chaotic: a difference of 1e-7 grows. What must be equal is how good it is."""
    code = f"""
index = faiss.index_factory(8, {key!r})
index.train(given["x"])
result["error"] = ((index.sa_decode(index.sa_encode(given["x"])) - given["x"]) ** 2).sum()
"""
    x = rng.standard_normal((3000, 8), dtype="f4")
    wanted = float(oracle(code, x=x)["error"])
    result = {}
    exec(code, {"faiss": faiss, "result": result, "given": {"x": x}})
    assert result["error"] == pytest.approx(wanted, rel=0.03)


COARSE = """
index = faiss.index_factory(8, "RCQ2x4")
index.train(given["x"])
result["D"], result["I"] = index.search(given["x"][:30], 3)
index.set_beam_factor(-1)
result["D_all"], result["I_all"] = index.search(given["x"][:30], 3)
result["whole"] = faiss.serialize_index(index)
result["row"] = index.reconstruct(77)
result["size"] = np.array([index.ntotal, index.centroid_norms.size()])
"""


def test_coarse_quantizers(oracle, rng):
    x = rng.standard_normal((900, 8), dtype="f4")
    wanted = oracle(COARSE, x=x)
    index = faiss.deserialize_index(wanted["whole"])
    np.testing.assert_array_equal(faiss.serialize_index(index), wanted["whole"])
    np.testing.assert_array_equal(index.reconstruct(77), wanted["row"])
    assert [index.ntotal, index.centroid_norms.size()] == wanted["size"].tolist()
    for factor, name in ((-1, "_all"), (4, "")):
        index.set_beam_factor(factor)
        D, ids = index.search(x[:30], 3)
        np.testing.assert_allclose(D, wanted["D" + name], rtol=1e-4)
        np.testing.assert_array_equal(ids, wanted["I" + name])
    params = faiss.SearchParametersResidualCoarseQuantizer(beam_factor=1.0)
    assert (index.search(x[:30], 3, params=params)[0] >= wanted["D"] - 1e-4).all()
    with pytest.raises(RuntimeError, match="not applicable"):
        index.add(x)
    lists = faiss.index_factory(8, "IVF256(RCQ2x4),Flat")
    lists.train(x)
    lists.add(x)
    assert ord(lists.quantizer_trains_alone) == 1
    assert (lists.search(x[:50], 1)[1].ravel() == np.arange(50)).mean() > 0.9
    local = faiss.LocalSearchCoarseQuantizer(8, 2, 4)
    local.train(x)
    table = np.vstack([local.reconstruct(i) for i in range(256)])
    np.testing.assert_array_equal(local.search(x[:20], 2)[1], faiss.knn(x[:20], table, 2)[1])


def test_pointers_and_parts(rng):
    x = rng.standard_normal((500, 8), dtype="f4")
    rq = faiss.ResidualQuantizer(8, 3, 4, faiss.ResidualQuantizer.ST_norm_float)
    rq.train(x)
    assert (rq.tot_bits, rq.norm_bits, rq.code_size) == (44, 32, 6)
    codes = rq.compute_codes(x)
    numbers = np.stack([codes[:, 0] & 15, codes[:, 0] >> 4, codes[:, 1] & 15], axis=1).astype("int32")
    packed = np.zeros_like(codes)
    rq.pack_codes(500, faiss.swig_ptr(numbers), faiss.swig_ptr(packed))
    # All but the last bits of the norms, which are of what is decoded here, and of what is left in encoding.
    np.testing.assert_array_equal(packed[:, 0], codes[:, 0])
    np.testing.assert_array_equal(packed[:, 1] & 15, codes[:, 1] & 15)
    decoded = np.zeros_like(x)
    rq.decode_unpacked(faiss.swig_ptr(numbers), faiss.swig_ptr(decoded), 500)
    np.testing.assert_array_equal(decoded, rq.decode(codes))
    books = faiss.vector_to_array(rq.codebooks).reshape(48, 8)
    table = np.zeros((500, 48), "f4")
    rq.compute_LUT(500, faiss.swig_ptr(x), faiss.swig_ptr(table), -2.0)
    np.testing.assert_allclose(table, -2 * x @ books.T, atol=1e-4)
    sums, left, distances = np.zeros((500, 2, 3), "i4"), np.zeros((500, 2, 8), "f4"), np.zeros((500, 2), "f4")
    rq.refine_beam(500, 1, faiss.swig_ptr(x), 2, *map(faiss.swig_ptr, (sums, left, distances)))
    np.testing.assert_allclose(left, x[:, None] - books[sums + 16 * np.arange(3)].sum(2), atol=1e-5)
    np.testing.assert_allclose(distances, (left**2).sum(2), rtol=1e-3, atol=1e-4)
    product = faiss.ProductResidualQuantizer(8, 2, 2, 4)
    product.subquantizer(0).max_beam_size = 3
    assert product.subquantizer(0).max_beam_size == 3
    product.train(x)
    assert (product.subquantizer(1).d, product.codebooks.size()) == (4, 4 * 16 * 4)
    clone = faiss.clone_index(faiss.index_factory(8, "PRQ2x2x4"))
    assert isinstance(clone.aq, faiss.ProductResidualQuantizer)
    some = faiss.UInt64Vector()
    for bits in (2, 3):
        some.push_back(bits)
    assert faiss.ResidualQuantizer(8, some).tot_bits == 5
    with pytest.raises(RuntimeError, match="not trained"):
        faiss.ResidualQuantizer(8, 2, 4).compute_codes(x)
    with pytest.raises(RuntimeError, match="parts"):
        faiss.ProductResidualQuantizer(8, 3, 2, 4)


def test_damaged_files_are_refused(rng):
    index = faiss.index_factory(8, "RQ2x3_Ncqint8")
    index.train(rng.standard_normal((400, 8), dtype="f4"))
    whole = faiss.serialize_index(index)
    for end in range(0, len(whole), 7):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(whole[:end])
    for at in range(37, 120, 3):
        damaged = whole.copy()
        damaged[at] ^= 0x7F
        # Refused, or an index that can be asked.
        with contextlib.suppress(RuntimeError):
            faiss.deserialize_index(damaged).search(np.zeros((1, 8), "f4"), 1)


def test_parts_of_local_search(oracle):
    """Terms, passes and codebooks as faiss-cpu computes them from the same state."""
    rng = np.random.default_rng(5)
    x, start = rng.random((300, 16), dtype="f4"), rng.integers(8, size=(300, 4), dtype="i4")
    code = """
x, codes, ptr = given["x"], given["start"].copy(), faiss.swig_ptr
lsq = faiss.LocalSearchQuantizer(16, 4, 3)
lsq.train_iters = 1
lsq.train(x)
lsq.update_codebooks(ptr(x), ptr(codes), 300)
result["codebooks"] = faiss.vector_to_array(lsq.codebooks)
unaries, binaries = np.zeros((4, 300, 8), "f4"), np.zeros((4, 4, 8, 8), "f4")
lsq.compute_unary_terms(ptr(x), ptr(unaries), 300)
lsq.compute_binary_terms(ptr(binaries))
result["unaries"], result["binaries"] = unaries, binaries
lsq.icm_encode_step(ptr(codes), ptr(unaries), ptr(binaries), 300, 2)
result["codes"] = codes
errors = np.zeros(300, "f4")
result["mean"] = np.array(lsq.evaluate(ptr(codes), ptr(x), 300, ptr(errors)))
result["errors"] = errors
"""
    theirs = oracle(code, x=x, start=start)
    scope = {"faiss": faiss, "np": np, "given": {"x": x, "start": start}, "result": {}}
    exec(code, scope)
    for key, value in theirs.items():
        np.testing.assert_allclose(scope["result"][key], value, rtol=1e-3, atol=1e-3, err_msg=key)
    lsq, wrong = scope["lsq"], np.full((300, 4), 8, "i4")
    for call in (
        lambda: lsq.evaluate(faiss.swig_ptr(wrong), faiss.swig_ptr(x), 300),
        lambda: lsq.update_codebooks(x, -wrong, 300),
    ):
        with pytest.raises(RuntimeError, match="codes"):
            call()


def test_encoders_of_the_cpu(rng):
    """A factory that gives the CPU's encoders changes nothing."""
    x = rng.random((500, 8), dtype="f4")
    made = []
    for factory in (None, faiss.IcmEncoderFactory()):
        lsq = faiss.LocalSearchQuantizer(8, 2, 4)
        lsq.train_iters = 2
        lsq.icm_encoder_factory = factory
        lsq.train(x)
        made.append(lsq.compute_codes(x))
        rq = faiss.ResidualQuantizer(8, 2, 4)
        rq.assign_index_factory = None if factory is None else faiss.ProgressiveDimIndexFactory()
        rq.train(x)
        made.append(rq.compute_codes(x))
    np.testing.assert_array_equal(made[0], made[2])
    np.testing.assert_array_equal(made[1], made[3])
    with pytest.raises(TypeError):
        lsq.icm_encoder_factory = faiss.IndexFlatL2(8)
