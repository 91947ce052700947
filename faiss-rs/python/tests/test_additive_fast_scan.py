"""Packed codes of additive quantizers, beside faiss-cpu and beside what their codes decode to."""

import faiss
import numpy as np
import pytest

L2 = ["RQ4x4fs_Nrq2x4", "RQ3x4fs_64_Nlsq2x4", "LSQ4x4fs_Nlsq2x4", "PRQ2x2x4fs_32_Nrq2x4", "PLSQ2x2x4fs_Nlsq2x4"]
PRODUCTS = ["RQ4x4fs", "RQ3x4fs_Nnone", "LSQ4x4fs_64", "PRQ2x2x4fs", "PLSQ2x2x4fs"]
# Of each quantizer one form, of the first both: training takes its time.
FORMS = ("fsr", "fs", "fsr", "fs", "fsr", "fs")
LISTS = [f"IVF6,{key.replace('fs', form)}" for key, form in zip([L2[0], *L2], FORMS, strict=True)]
LISTS_OF_PRODUCTS = [
    f"IVF6,{key.replace('fs', form)}" for key, form in zip([PRODUCTS[0], *PRODUCTS], FORMS, strict=True)
]
ALL = [(key, 1) for key in L2 + LISTS] + [(key, 0) for key in PRODUCTS + LISTS_OF_PRODUCTS]

# What both sides do with an index of which the state is known. Queries are not vectors of the index.
SEARCH = """
def searches(index, name, xq, result):
    result[name + "file"] = faiss.serialize_index(index)
    lists = hasattr(index, "nprobe")
    if lists:
        index.nprobe = 4
    for rescale, scale in ((False, 1), (True, index.norm_scale), (True, 3)):
        index.rescale_norm, index.norm_scale = rescale, scale
        # Faiss has the others for blocks of 32 alone.
        for implem in (0, 12, 13, 14, 15) if index.bbs == 32 else (0,):
            index.implem = implem
            D, I = index.search(xq, 5)
            result[f"{name}{rescale} {scale} {implem}"] = D
    index.implem = 0
    sizes = [index.M, index.M2, index.nbits, index.ksub, index.code_size, index.bbs, index.max_train_points]
    result[name + "sizes"] = np.array([*sizes, index.aq.search_type, index.ntotal])
    if lists:
        index.make_direct_map()
    if index.bbs == 32:
        result[name + "decoded"] = np.stack([index.reconstruct(i) for i in range(0, index.ntotal, 7)])
"""

TRAINED = (
    SEARCH
    + """
for key, metric in keys:
    index = faiss.index_factory(8, key, metric)
    index.train(given["x"])
    name = f"{key} {metric} "
    result[name + "empty"] = faiss.serialize_index(index)
    index.add(given["x"][:300])
    searches(index, name, given["x"][300:340] + 0.01, result)
"""
)


@pytest.fixture(scope="module")
def trained(oracle):
    """What faiss-cpu makes of every description, in one run; and the vectors."""
    x = np.random.default_rng(7).standard_normal((400, 8), dtype="f4")
    return x, oracle(f"keys = {ALL!r}\n{TRAINED}", x=x)


@pytest.mark.parametrize(("key", "metric"), ALL)
def test_the_same_codes_distances_and_files(trained, key, metric):
    x, results = trained
    name = f"{key} {metric} "
    ours, given = {}, {"faiss": faiss, "np": np}
    exec(SEARCH, given)
    # The same file, written again.
    np.testing.assert_array_equal(
        faiss.serialize_index(faiss.deserialize_index(results[name + "file"])), results[name + "file"]
    )
    index = faiss.deserialize_index(results[name + "empty"])
    np.testing.assert_array_equal(faiss.serialize_index(index), results[name + "empty"])
    assert type(index) is type(faiss.index_factory(8, key, metric))
    index.add(x[:300])
    # A code of nearly equal sums may be another one: almost all bytes are the same.
    assert (faiss.serialize_index(index) == results[name + "file"]).mean() > 0.999
    index = faiss.deserialize_index(results[name + "file"])
    given["searches"](index, name, x[300:340] + 0.01, ours)
    for what, value in ours.items():
        # A table's entry next to the middle of two numbers is rounded to the one or the other.
        near = np.isclose(value, results[what], rtol=1e-4, atol=1e-4)
        assert near.mean() > 0.99, what
        np.testing.assert_allclose(value, results[what], atol=0.3, err_msg=what)


def test_training_finds_the_same(trained):
    """One codebook after the other, which is not chaotic; the others' state is faiss-cpu's in the test above."""
    x, results = trained
    for key in ("RQ4x4fs_Nrq2x4", "IVF6,RQ4x4fs_Nrq2x4", "IVF6,RQ4x4fsr_Nrq2x4"):
        index = faiss.index_factory(8, key)
        index.train(x)
        theirs = faiss.deserialize_index(results[f"{key} 1 empty"])
        assert abs(index.norm_scale - theirs.norm_scale) <= 1
        assert index.rescale_norm == theirs.rescale_norm == (not key.startswith("IVF"))
        error, wanted = (np.square(i.sa_decode(i.sa_encode(x)) - x).sum() for i in (index, theirs))
        assert error == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize(("key", "metric"), ALL)
def test_distances_are_those_of_the_decoded_vectors(trained, key, metric):
    x, results = trained
    index = faiss.deserialize_index(results[f"{key} {metric} file"])
    xq = x[300:340]
    if hasattr(index, "nprobe"):
        index.nprobe = 6
        index.make_direct_map()
    index.rescale_norm = False
    D, ids = index.search(xq, 300)
    np.testing.assert_array_equal(np.sort(ids), np.tile(np.arange(300), (40, 1)))
    decoded = np.stack([index.reconstruct(i) for i in range(300)]).astype("f8")
    # The query's norm is left out, and the vector's is rounded.
    true = np.square(decoded).sum(1) - 2 * xq @ decoded.T if metric == faiss.METRIC_L2 else xq @ decoded.T
    error = np.take_along_axis(true, ids, 1) - D
    assert np.abs(error).mean() < 0.05 * (true.max() - true.min())


FROM_OTHERS = """
def error(call):
    try:
        call()
    except RuntimeError as e:
        return "fs" if "failed" in str(e) else str(e)

index = faiss.deserialize_index(given["flat"])
packed = faiss.IndexAdditiveQuantizerFastScan(index)
assert faiss.IndexAdditiveQuantizerFastScan(index, 64).bbs == 64
found = []
for implem in (0, 2, 3, 4, 12, 13, 14):
    for scale in (1, 2):
        packed.implem, packed.norm_scale = implem, scale
        result[f"{implem} {scale}"] = packed.search(given["xq"], 4)[0]
sizes = [packed.bbs, packed.M, packed.ntotal, packed.norm_scale, packed.is_trained, packed.rescale_norm]
lists = faiss.deserialize_index(given["lists"])
of_lists = faiss.IndexIVFAdditiveQuantizerFastScan(lists)
result["sizes"] = np.array(sizes + [of_lists.bbs, of_lists.M, of_lists.ntotal, of_lists.norm_scale, of_lists.rescale_norm])
for aq, sizes in (("Residual", (3, 4)), ("LocalSearch", (3, 4)), ("ProductResidual", (2, 2, 4)), ("ProductLocalSearch", (2, 2, 4))):
    for lists in (False, True):
        cls = getattr(faiss, f"Index{'IVF' * lists}{aq}QuantizerFastScan")
        first = (faiss.IndexFlatL2(8), 8, 5) if lists else (8,)
        made = [cls(*first, *sizes), cls(*first, *sizes, faiss.METRIC_INNER_PRODUCT, 1, 64)]
        for index in made:
            row = [index.aq.search_type, index.bbs, index.M, index.M2, index.max_train_points, index.metric_type]
            found.append(row + [index.by_residual if lists else 0, index.rescale_norm])
        wrong = [(*sizes[:-1], 5), (*sizes, 0), (*sizes, 0, 8), (*sizes, 1, 1), (*sizes, 1, 8, 33)]
        assert all(error(lambda w=w: cls(*first, *w)) == "fs" for w in wrong), cls
result["found"] = np.array(found, dtype="i8")
"""


def test_from_other_indexes_and_constructors(oracle, rng):
    x = rng.standard_normal((500, 8), dtype="f4")
    files = {}
    for name, key in (("flat", "RQ4x4_Nrq2x4"), ("lists", "IVF4,LSQ4x4_Nlsq2x4")):
        index = faiss.index_factory(8, key)
        if name == "lists":
            index.by_residual = False
        index.train(x)
        index.add(x[:200])
        files[name] = faiss.serialize_index(index)
    given = {**files, "xq": x[200:230]}
    wanted, result = oracle(FROM_OTHERS, **given), {}
    exec(FROM_OTHERS, {"faiss": faiss, "np": np, "given": given, "result": result})
    assert result.keys() == wanted.keys()
    for name, value in wanted.items():
        near = np.isclose(result[name], value, rtol=1e-4, atol=1e-3)
        assert near.mean() > 0.98, name


def test_lists_from_unpacked_lists_find_the_same(rng):
    """Faiss takes codes of vectors for codes of residuals here."""
    x = rng.standard_normal((500, 8), dtype="f4")
    index = faiss.index_factory(8, "IVF4,RQ4x4_Nrq2x4")
    index.by_residual = False
    index.nprobe = 4
    index.train(x)
    index.add(x[:200])
    packed = faiss.IndexIVFAdditiveQuantizerFastScan(index)
    assert type(packed) is faiss.IndexIVFResidualQuantizerFastScan
    assert (packed.by_residual, packed.nprobe, packed.ntotal) == (False, 4, 200)
    D, ids = index.search(x[200:240], 1)
    D2, ids2 = packed.search(x[200:240], 1)
    assert (ids == ids2).mean() > 0.6
    np.testing.assert_allclose(D2[:, 0] + np.square(x[200:240]).sum(1), D[:, 0], atol=0.3)
    packed.implem = 1
    np.testing.assert_allclose(packed.search(x[200:240], 1)[0], D2, atol=0.2)
    index.by_residual = True
    with pytest.raises(RuntimeError, match="by_residual"):
        faiss.IndexIVFAdditiveQuantizerFastScan(index)
    with pytest.raises(RuntimeError, match="Search type must be lsq2x4 or rq2x4"):
        faiss.IndexAdditiveQuantizerFastScan(faiss.index_factory(8, "RQ4x4"))
    with pytest.raises(AttributeError, match="abstract"):
        faiss.IndexAdditiveQuantizerFastScan(faiss.IndexFlatL2(8))


@pytest.mark.parametrize("key", [L2[1], LISTS[1]])
def test_vectors_go_and_come(trained, key):
    x, results = trained
    index = faiss.deserialize_index(results[f"{key} 1 file"])
    other = faiss.clone_index(index)
    if key.startswith("IVF"):
        index.nprobe = other.nprobe = 6
    assert index.remove_ids(np.arange(0, 300, 2)) == 150
    index.add(x[:300:2])
    assert index.ntotal == 300
    D, wanted = index.search(x[340:380], 1)[0], other.search(x[340:380], 1)[0]
    np.testing.assert_array_equal(D, wanted)
    index.merge_from(other, 0)
    assert (index.ntotal, other.ntotal) == (600, 0)
    index.reset()
    assert (index.search(x[340:380], 3)[1] == -1).all()
    assert index.search(x[:0], 3)[1].shape == (0, 3)


def test_over_a_quantizer(rng):
    x = rng.standard_normal((400, 6), dtype="f4")
    rq = faiss.ResidualQuantizer(6, 3, 4, faiss.AdditiveQuantizer.ST_norm_rq2x4)
    rq.train(x)
    index = faiss.IndexAdditiveQuantizerFastScan(rq)
    assert type(index) is faiss.IndexResidualQuantizerFastScan
    assert index.is_trained
    index.add(x)
    np.testing.assert_array_equal(index.sa_encode(x), rq.compute_codes(x))
    index.estimate_norm_scale(400, faiss.swig_ptr(x))
    tables = np.empty((400, index.M, 16), dtype="f4")
    index.norm_scale = 1
    index.compute_float_LUT(faiss.swig_ptr(tables), 400, faiss.swig_ptr(x), faiss.FastScanDistancePostProcessing())
    books = faiss.vector_to_array(rq.codebooks).reshape(3, 16, 6)
    np.testing.assert_allclose(tables[:, :3], -2 * np.einsum("qd,mkd->qmk", x, books), atol=1e-5)
    spans = np.ptp(tables, axis=2)
    index.estimate_norm_scale(400, faiss.swig_ptr(x))
    assert index.norm_scale == max(1, round((spans[:, 3:].max(1) / spans[:, :3].max(1)).mean()))
    lists = faiss.IndexIVFAdditiveQuantizerFastScan(faiss.IndexFlatL2(6), rq, 6, 5)
    assert type(lists) is faiss.IndexIVFResidualQuantizerFastScan


TABLES = """
for key, d in (("PQ5x4fs", 20), ("RQ3x4fs_Nrq2x4", 16)):
    index = faiss.deserialize_index(given[key])
    xq = np.ascontiguousarray(given["x"][:4, :d])
    lut, scales = np.zeros((4, index.M2, 16), "u1"), np.zeros((4, 2), "f4")
    context = faiss.FastScanDistancePostProcessing()
    index.compute_quantized_LUT(4, faiss.swig_ptr(xq), faiss.swig_ptr(lut), faiss.swig_ptr(scales), context)
    result[key + "lut"], result[key + "scales"] = lut, scales
tables, bias = given["tables"], given["bias"]
for scale in (1, 3, 2000):
    out, biases = np.zeros((6, 16), "u1"), np.zeros(3, "u2")
    a, b = np.zeros(1, "f4"), np.zeros(1, "f4")
    last = faiss.swig_ptr(biases), faiss.swig_ptr(a), faiss.swig_ptr(b)
    given_tables = faiss.swig_ptr(tables), faiss.swig_ptr(bias)
    faiss.aq_quantize_LUT_and_bias(3, 5, 16, *given_tables, 2, scale, faiss.swig_ptr(out), 6, *last)
    result[f"{scale} lut"], result[f"{scale} bias"], result[f"{scale} ab"] = out, biases, np.concatenate([a, b])
result["scale"] = np.array(faiss.aq_estimate_norm_scale(5, 16, 2, faiss.swig_ptr(tables)))
lists = [faiss.index_factory(16, f"IVF2,{key}", metric) for key, metric in (
    ("PQ4x4fs", 1), ("PQ4x4fsr", 1), ("PQ4x4fsr", 0), ("RQ3x4fsr_Nrq2x4", 1), ("RaBitQfs", 1))]
result["3d"] = np.array([index.lookup_table_is_3d() for index in lists])
"""


def test_tables(oracle, rng):
    x = rng.standard_normal((500, 20), dtype="f4")
    given = {"x": x, "tables": rng.random((5, 16), dtype="f4"), "bias": rng.random(3, dtype="f4")}
    for key, d in (("PQ5x4fs", 20), ("RQ3x4fs_Nrq2x4", 16)):
        index = faiss.index_factory(d, key)
        index.train(np.ascontiguousarray(x[:, :d]))
        given[key] = faiss.serialize_index(index)
    wanted, result = oracle(TABLES, **given), {}
    exec(TABLES, {"faiss": faiss, "np": np, "given": given, "result": result})
    for key, value in wanted.items():
        # Bytes next to the middle of two numbers may be the one or the other.
        np.testing.assert_allclose(
            result[key], value, rtol=1e-5, atol=1 if value.dtype.kind == "u" else 1e-5, err_msg=key
        )
    index = faiss.index_factory(16, "IVF2,RQ3x4fsr_Nrq2x4")
    assert type(index.fine_quantizer) is faiss.ResidualQuantizer


def test_lists_of_the_codes_of_a_quantizer(oracle, rng):
    """The first codebooks name the list, the others are the code."""
    x = rng.standard_normal((600, 8), dtype="f4")
    flat = faiss.IndexResidualQuantizer(8, 4, 3)
    flat.train(x)
    flat.add(x[:200])
    codes = flat.sa_encode(x[:200])
    index = faiss.ivf_residual_from_quantizer(flat.rq, 2)
    faiss.ivf_residual_add_from_flat_codes(index, 200, faiss.swig_ptr(codes), flat.code_size)
    assert (index.nlist, index.ntotal, index.rq.M, index.quantizer.rq.M) == (64, 200, 2, 2)
    index.nprobe = 64
    D, ids = index.search(x[200:230], 4)
    D0, ids0 = flat.search(x[200:230], 4)
    np.testing.assert_allclose(D, D0, rtol=1e-4, atol=1e-4)
    assert (ids == ids0).mean() > 0.9
    theirs = oracle(
        """
flat = faiss.deserialize_index(given["flat"])
faiss.omp_set_num_threads(1)  # With more, Faiss loses entries.
index = faiss.ivf_residual_from_quantizer(flat.rq, 2)
faiss.ivf_residual_add_from_flat_codes(index, 200, faiss.swig_ptr(given["codes"]), flat.code_size)
index.nprobe = 64
result["D"], result["whole"] = index.search(given["q"], 4)[0], faiss.serialize_index(index)
""",
        flat=faiss.serialize_index(flat),
        codes=codes,
        q=x[200:230],
    )
    np.testing.assert_allclose(D, theirs["D"], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(faiss.serialize_index(index), theirs["whole"])
    with pytest.raises(RuntimeError, match="nlevel"):
        faiss.ivf_residual_from_quantizer(flat.rq, 3)
