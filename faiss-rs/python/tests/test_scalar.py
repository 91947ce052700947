"""Scalar quantizers of every type and the indexes that use them, against faiss-cpu and against what they promise."""

import copy
import pickle

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours

SQ = faiss.ScalarQuantizer
QTYPES = {name: getattr(SQ, name) for name in dir(SQ) if name.startswith("QT_") and name != "QT_count"}
DIMENSIONS = (1, 3, 17, 64)
METRICS = {"L2": faiss.METRIC_L2, "IP": faiss.METRIC_INNER_PRODUCT}
RANGED = [n for n in QTYPES if n in ("QT_8bit", "QT_6bit", "QT_4bit", "QT_8bit_uniform", "QT_4bit_uniform")]


def vectors(rng, n, d, name):
    x = rng.standard_normal((n, d)).astype("f4")
    return np.floor(x * 30 + 120).clip(0, 255) - 128 * name.endswith("signed") if "direct" in name else x


def both(oracle, here, code, **given):
    ours, theirs = here(code, **given), oracle(code, **given)
    assert sorted(ours) == sorted(theirs)
    return [(key, ours[key], theirs[key]) for key in sorted(ours)]


def test_the_types_of_faiss(oracle, here):
    code = """
S = faiss.ScalarQuantizer
for name in sorted(n for n in dir(S) if n[:3] in ('QT_', 'RS_')):
    result[name] = getattr(S, name)
    if name[:3] == 'QT_' and name != 'QT_count':
        sizes = [(S(d, getattr(S, name)).code_size, S(d, getattr(S, name)).bits) for d in (1, 2, 3, 7, 8, 9, 64, 100)]
        result[name + ' sizes'] = np.array(sizes)
s = S()
result['default'] = np.array([s.d, s.code_size, s.qtype, s.bits, s.rangestat, s.rangestat_arg])
"""
    for key, ours, theirs in both(oracle, here, code):
        np.testing.assert_array_equal(ours, theirs, err_msg=key)
    assert len(QTYPES) == SQ.QT_count


CODES = """
for name in sorted(n for n in dir(faiss.ScalarQuantizer) if n.startswith('QT_') and n != 'QT_count'):
    for d in (1, 3, 17, 64):
        x = given['x'][:, :d].copy()
        if 'direct' in name:
            x = np.floor(x * 30)
        sq = faiss.ScalarQuantizer(d, getattr(faiss.ScalarQuantizer, name))
        sq.train(x)
        key = f'{name} {d}'
        result[key + ' trained'] = faiss.vector_to_array(sq.trained)
        codes = sq.compute_codes(np.concatenate([x, 2 * x, given['odd'][:, :d]]))
        if name.endswith('tq'):
            # The two norms of a code may differ in their last digit.
            result[key + ' codes'] = codes[:, :-8]
            result[key + ' norms'] = codes[:, -8:].copy().view('float32')
        else:
            result[key + ' codes'] = codes
        result[key + ' decoded'] = sq.decode(codes)
"""


def test_the_codes_of_faiss(oracle, here, rng):
    x = rng.standard_normal((300, 64)).astype("f4")
    odd = np.array([0, -0.0, 1e-8, 1e-42, 65504, 65520, 1e30, -1e30, 255.5, -128.5, np.inf, -np.inf, np.nan, 3e9], "f4")
    odd = np.repeat(odd[:, None], 64, axis=1)
    for key, ours, theirs in both(oracle, here, CODES, x=x, odd=odd):
        assert ours.shape == theirs.shape, key
        if key.endswith("codes"):
            kept = np.ones(len(ours), bool)
            if "tq " in key:
                # What is left of vectors so large, infinite or none has no sign that is worth comparing.
                kept[600:] = False
            np.testing.assert_array_equal(ours[kept], theirs[kept], err_msg=key)
        elif key.endswith("trained"):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7, err_msg=key)
        elif "tq " in key:
            np.testing.assert_allclose(ours[:600], theirs[:600], rtol=1e-4, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6, err_msg=key)


# By one thread: faiss-cpu's threads use each other's numbers now and then.
RANGES = """
faiss.omp_set_num_threads(1)
S = faiss.ScalarQuantizer
for name in ('QT_8bit', 'QT_6bit', 'QT_4bit', 'QT_8bit_uniform', 'QT_4bit_uniform'):
    for n in (1, 2, 7, 100, 1001):
        for stat, args in ((0, (0, 0.1, -0.1)), (1, (0, 1, 2.5)), (2, (0, 0.01, 0.1, 0.25, 0.5, 0.9)), (3, (0,))):
            for arg in args:
                sq = S(5, getattr(S, name))
                sq.rangestat, sq.rangestat_arg = stat, arg
                x = given['x'][:n]
                sq.train(x)
                result[f'{name} {n} {stat} {arg}'] = faiss.vector_to_array(sq.trained)
"""


def test_the_ranges_of_faiss(oracle, here, rng):
    x = (rng.standard_normal((1001, 5)) * [1, 2, 0.1, 5, 0] + [0, 1, 5, -3, 2]).astype("f4")
    threads = faiss.omp_get_max_threads()
    found = both(oracle, here, RANGES, x=x)
    faiss.omp_set_num_threads(threads)
    for key, ours, theirs in found:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.parametrize("name", QTYPES)
def test_decoding_what_was_encoded(rng, name):
    d = 48
    x = vectors(rng, 400, d, name)
    sq = SQ(d, QTYPES[name])
    sq.train(x)
    codes = sq.compute_codes(x)
    assert (codes.shape, codes.dtype) == ((400, sq.code_size), np.uint8)
    y = sq.decode(codes)
    if "direct" in name:
        np.testing.assert_array_equal(y, x)
    elif name in ("QT_fp16", "QT_bf16"):
        np.testing.assert_allclose(y, x, rtol=2.0 ** (-11 if name == "QT_fp16" else -8), atol=1e-6)
    elif name in RANGED:
        step = (x.max() - x.min()) / (2**sq.bits - 1)
        assert np.abs(y - x).max() <= step
    elif name == "QT_0bit":
        assert not y.any()
    elif name.endswith("eden"):
        # The known distortion of the best quantizers of a normal distribution, for 1 to 4 bits; less for more bits.
        wanted = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497}.get(sq.bits, 0.003)
        assert ((y - x) ** 2).mean() < 1.15 * wanted
    # Encoding is stable where codes name vectors that are their own nearest.
    if name not in ("QT_0bit",) and not name.endswith("tq"):
        np.testing.assert_array_equal(sq.compute_codes(y), codes)
    assert sq.compute_codes(x[:0]).shape == (0, sq.code_size)
    assert sq.decode(codes[:0]).shape == (0, d)


# How the search in `index` of queries `q` with all types, metrics and dimensions is told: best k distances and labels, ranges, vectors.
SEARCHES = """
def tell(key, index, x, q):
    index.train(x)
    index.add(x)
    for k in (1, 10, 70):
        result[f'{key} D{k}'], result[f'{key} I{k}'] = index.search(q, k)
    # Between distances, which rounding must not decide about.
    radius = float(np.median(index.search(q, 20)[0][:, -1])) * 1.0137 + 0.0071
    if np.isfinite(radius) and abs(radius) < 1e30:
        lims, D, I = index.range_search(q, radius)
        result[f'{key} range'] = np.stack([np.sort(D[lims[i]:lims[i + 1]]).sum() for i in range(len(q))])
    result[f'{key} one'] = np.stack([index.search(q[i:i + 1], 3)[0][0] for i in range(len(q))])
    sel = faiss.IDSelectorRange(10, 40)
    params = (faiss.SearchParametersIVF if hasattr(index, 'nlist') else faiss.SearchParameters)(sel=sel)
    if hasattr(index, 'nlist'):
        params.nprobe = index.nprobe
    result[f'{key} sel D'], result[f'{key} sel I'] = index.search(q, 5, params=params)
    if index.code_size:
        result[f'{key} vectors'] = index.reconstruct_n(0, 5)

for name in sorted(n for n in dir(faiss.ScalarQuantizer) if n.startswith('QT_') and n != 'QT_count'):
    for metric in (0, 1):
        for d in (1, 3, 17, 64):
            x, q = given['x'][:, :d].copy(), given['q'][:, :d].copy()
            if 'direct' in name:
                x, q = np.floor(x * 20 + 60), q * 20 + 60
            qtype = getattr(faiss.ScalarQuantizer, name)
            MAKE
"""
FLAT = "tell(f'{name} {metric} {d}', faiss.IndexScalarQuantizer(d, qtype, metric), x, q)"
IVF = """for residual in (True, False):
                quantizer = faiss.IndexFlat(d, metric)
                quantizer.add(x[:4] + 0.5)
                index = faiss.IndexIVFScalarQuantizer(quantizer, d, 4, qtype, metric, residual)
                index.nprobe = 3
                index.make_direct_map()
                tell(f'{name} {metric} {d} {residual}', index, x, q)
                result[f'{name} {metric} {d} {residual} is'] = np.array([index.by_residual, index.code_size])"""


@pytest.mark.parametrize("make", [FLAT, IVF], ids=["flat", "ivf"])
def test_searches_as_in_faiss(oracle, here, rng, make):
    x, q = (rng.standard_normal((n, 64)).astype("f4") for n in (60, 6))
    found = both(oracle, here, SEARCHES.replace("MAKE", make), x=x, q=q)
    ours, theirs = ({key: v[side] for key, *v in found} for side in (0, 1))
    for key, a in ours.items():
        b = theirs[key]
        # Decoded with other roundings: distances differ in the last digits.
        rtol = 1e-3 if "tq " in key else 2e-5
        head, _, what = key.rpartition(" ")
        if what[0] == "D":
            labels = f"{head} I{what[1:]}"
            assert_same_neighbours((a, ours[labels]), (b, theirs[labels]), rtol=rtol)
        elif what[0] != "I":
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, np.abs(b).max(initial=0)), err_msg=key)


@pytest.mark.parametrize("name", QTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_a_search_is_the_search_among_decoded_vectors(rng, name, metric):
    d = 24
    x, q = vectors(rng, 500, d, name), vectors(rng, 40, d, name)
    index = faiss.IndexScalarQuantizer(d, QTYPES[name], METRICS[metric])
    index.train(x)
    index.add(x)
    y = index.sq.decode(index.sq.compute_codes(x))
    exact = faiss.knn(q, y, 10, metric=METRICS[metric])
    D, labels = index.search(q, 10)
    if name.endswith("tq") and metric == "L2":
        # Norms are those of the vectors, products those of their codes.
        want = (q**2).sum(1)[:, None] + (x**2).sum(1)[None] - 2 * q @ y.T
        exact = np.sort(want, axis=1)[:, :10], np.argsort(want, axis=1)[:, :10]
    elif name == "QT_0bit":
        assert not D.any()
        return
    assert_same_neighbours((D, labels), exact, rtol=1e-4)
    # As many queries at once as one by one, and as its distance computer says.
    one = np.concatenate([index.search(q[i : i + 1], 10)[0] for i in range(len(q))])
    np.testing.assert_allclose(one, D, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", QTYPES)
def test_empty_small_and_edge(rng, name):
    index = faiss.IndexScalarQuantizer(5, QTYPES[name])
    x = vectors(rng, 20, 5, name)
    index.train(x)
    _, labels = index.search(x[:2], 3)
    assert (labels == -1).all()
    index.add(x[:0])
    assert index.ntotal == 0
    index.add(x[:1])
    _D, labels = index.search(x[:2], 3)
    assert (labels[:, 0] == 0).all()
    assert (labels[:, 1:] == -1).all()
    assert index.search(x[:0], 3)[0].shape == (0, 3)
    index.add(np.full((1, 5), np.nan, "f4"))
    index.search(x, 2)
    for wrong in (x[:, :4], x[0]):
        with pytest.raises((AssertionError, ValueError)):
            index.add(wrong)
    with pytest.raises(RuntimeError):
        faiss.IndexScalarQuantizer(5, QTYPES[name], faiss.METRIC_L1).search(x, 2)


def test_bad_input(rng):
    x = rng.random((10, 4), dtype="f4")
    for args in ((4, 27), (4, -1), (4, 2**40), (-4, 0), ("a", 0), (4, 0, 1)):
        with pytest.raises((RuntimeError, TypeError, ValueError, OverflowError)):
            SQ(*args)
    sq = SQ(4, SQ.QT_8bit)
    with pytest.raises(RuntimeError):
        sq.compute_codes(x)
    with pytest.raises(RuntimeError):
        sq.train(x[:0])
    sq.rangestat = 9
    with pytest.raises(RuntimeError):
        sq.train(x)
    sq.rangestat = 0
    sq.train(x)
    sq.qtype = SQ.QT_fp16
    with pytest.raises(RuntimeError):
        sq.compute_codes(x)
    sq.set_derived_sizes()
    assert (sq.code_size, sq.bits) == (8, 16)
    sq.qtype = 99
    with pytest.raises(RuntimeError):
        sq.set_derived_sizes()
    index = faiss.IndexScalarQuantizer(4, SQ.QT_8bit)
    for call in (lambda: index.add(x), lambda: index.search(x, 1), lambda: index.sa_encode(x)):
        with pytest.raises(RuntimeError):
            call()
    index.train(x)
    index.add(x)
    index.sq.trained.resize(3)
    for call in (lambda: index.add(x), lambda: index.search(x, 1), lambda: index.reconstruct(0)):
        with pytest.raises(RuntimeError):
            call()


FILES = """
for name in sorted(n for n in dir(faiss.ScalarQuantizer) if n.startswith('QT_') and n != 'QT_count'):
    qtype = getattr(faiss.ScalarQuantizer, name)
    x = np.floor(given['x'] * 20 + 60) if 'direct' in name else given['x']
    for metric in (0, 1):
        flat = faiss.IndexScalarQuantizer(12, qtype, metric)
        flat.train(x)
        flat.add(x)
        quantizer = faiss.IndexFlat(12, metric)
        quantizer.add(x[:4])
        ivf = faiss.IndexIVFScalarQuantizer(quantizer, 12, 4, qtype, metric)
        ivf.train(x)
        ivf.add(x)
        for kind, index in (('flat', flat), ('ivf', ivf)):
            result[f'{name} {metric} {kind}'] = faiss.serialize_index(index)
for key in ('SQ8', 'SQ4', 'IVF4,SQ6', 'MinMax,SQ8', 'MinMaxFP16,SQ4', 'MinMax,SQfp16', 'IDMap,SQ8'):
    result[key + ' untrained'] = faiss.serialize_index(faiss.index_factory(12, key))
"""
BACK = """
for key in given:
    index = faiss.deserialize_index(given[key])
    result[key] = faiss.serialize_index(index)
"""


def test_files_of_faiss(oracle, here, rng):
    x = rng.standard_normal((50, 12)).astype("f4")
    ours, theirs = here(FILES, x=x), oracle(FILES, x=x)
    for key in theirs:
        made = faiss.deserialize_index(theirs[key])
        np.testing.assert_array_equal(faiss.serialize_index(made), theirs[key], err_msg=key)
        if "tq " not in key and "IVF4" not in key:
            # Norms of TurboQuant's codes may differ in their last digit; a k-means that was not run writes its own fields.
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    for key, data in oracle(BACK, **ours).items():
        np.testing.assert_array_equal(data, ours[key], err_msg=key)


def filled(kind, rng):
    x = rng.standard_normal((30, 6)).astype("f4")
    index = faiss.index_factory(6, kind)
    index.train(x)
    if "MinMax" not in kind:
        index.add(x)
    return index, x


KINDS = ["SQ8", "SQ4", "SQfp16", "SQtq3", "SQ0", "IVF3,SQ8", "IVF3,SQtqmse2", "MinMax,SQ8", "MinMaxFP16,SQ4"]


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_lie(rng, kind):
    data = faiss.serialize_index(filled(kind, rng)[0])
    for n in range(len(data)):
        with pytest.raises((RuntimeError, MemoryError)):
            faiss.deserialize_index(data[:n])
    # Each byte as another: either an error or an index whose calls give errors at most.
    q = rng.standard_normal((2, 6)).astype("f4")
    for at in range(len(data)):
        for value in (0, 1, 27, 127, 255):
            wrong = data.copy()
            wrong[at] = value
            try:
                index = faiss.deserialize_index(wrong)
                if index.d == 6 and index.ntotal < 1000:
                    index.search(q, 3)
            except (RuntimeError, MemoryError, ValueError, TypeError, NotImplementedError):
                pass


@pytest.mark.parametrize("kind", KINDS)
def test_copies(rng, kind):
    index, _x = filled(kind, rng)
    data = faiss.serialize_index(index)
    for made in (faiss.clone_index(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert type(made) is type(index)
        np.testing.assert_array_equal(faiss.serialize_index(made), data)
        if "MinMax" not in kind:
            made.reset()
            assert (made.ntotal, index.ntotal) == (0, 30)


@pytest.mark.parametrize("kind", ["SQ8", "SQ6", "SQbf16", "SQtq4", "IVF3,SQ8"])
def test_moving_vectors(rng, kind):
    (one, x), (two, y) = filled(kind, rng), filled(kind, rng)
    if kind == "SQ8":
        two.sq = one.sq
    before = one.ntotal
    codes = one.sa_encode(x)
    assert codes.shape == (30, one.sa_code_size())
    decoded = one.sa_decode(codes)
    one.add_sa_codes(codes)
    assert one.ntotal == before + 30
    if kind.startswith("IVF"):
        one.make_direct_map()
    np.testing.assert_allclose(one.reconstruct(35), decoded[5], rtol=1e-6)
    if kind.startswith("IVF"):
        one.make_direct_map(False)
    assert one.remove_ids(np.arange(30)) == 30
    assert one.ntotal == 30
    if kind.startswith("IVF"):
        other = faiss.clone_index(one)
        other.reset()
        other.add(y)
        one.merge_from(other, 100)
    else:
        np.testing.assert_allclose(one.reconstruct_n(0, 30), decoded, rtol=1e-6)
        one.check_compatible_for_merge(two)
        one.merge_from(two)
        assert two.ntotal == 0
        with pytest.raises(RuntimeError):
            one.merge_from(faiss.IndexFlatL2(6))
    assert one.ntotal == 60


def test_codes_of_no_bytes_are_counted(rng):
    x = rng.random((7, 4), dtype="f4")
    index = faiss.IndexScalarQuantizer(4, SQ.QT_0bit)
    index.train(x)
    index.add(x)
    index.add(x[:2])
    assert index.ntotal == 9
    D, labels = index.search(x[:2], 12)
    assert (D[:, :9] == 0).all()
    assert sorted(labels[0, :9]) == list(range(9))
    assert (labels[:, 9:] == -1).all()


MINMAX = """
for key in ('MinMax,SQ8', 'MinMaxFP16,SQ8', 'MinMax,SQfp16', 'MinMax,Flat', 'MinMaxFP16,SQ4', 'MinMax,SQ6'):
    for d in (1, 3, 17, 64):
        x = np.concatenate([given['x'][:, :d], np.full((2, d), 1.5, 'f4'), np.zeros((1, d), 'f4')])
        index = faiss.index_factory(d, key)
        index.train(x)
        codes = index.sa_encode(x)
        result[f'{key} {d} is'] = np.array([index.is_trained, index.d, index.metric_type, index.sa_code_size(), index.ntotal])
        result[f'{key} {d} codes'] = codes
        result[f'{key} {d} decoded'] = index.sa_decode(codes)
        result[f'{key} {d} file'] = faiss.serialize_index(index)
        result[f'{key} {d} none'] = index.sa_encode(x[:0])
"""


def test_minmax_codes_of_faiss(oracle, here, rng):
    x = (rng.standard_normal((100, 64)) * 3 + 1).astype("f4")
    for key, ours, theirs in both(oracle, here, MINMAX, x=x):
        assert ours.shape == theirs.shape
        if key.endswith("decoded"):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=key)
        elif key.endswith("codes"):
            # A number in the middle of two places may fall to either side by one rounding.
            assert (ours != theirs).mean() < 1e-3, key
        elif not key.endswith("file"):
            np.testing.assert_array_equal(ours, theirs, err_msg=key)


def test_minmax_stores_nothing(rng):
    index = faiss.index_factory(8, "MinMax,SQ8")
    x = rng.random((10, 8), dtype="f4")
    for call in (
        lambda: index.add(x),
        lambda: index.search(x, 1),
        lambda: index.reset(),
        lambda: index.reconstruct(0),
        lambda: index.range_search(x, 1.0),
    ):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(RuntimeError):
        index.sa_encode(x)
    assert type(faiss.downcast_index(index.index)) is faiss.IndexScalarQuantizer
    assert isinstance(index, faiss.IndexRowwiseMinMaxBase)
    made = faiss.IndexRowwiseMinMaxFP16(faiss.IndexScalarQuantizer(8, SQ.QT_8bit))
    made.train(x)
    np.testing.assert_allclose(made.sa_decode(made.sa_encode(x)), x, atol=0.02)
    with pytest.raises(RuntimeError):
        faiss.index_factory(8, "SQ8,MinMax")


def test_descriptions(oracle, here):
    code = """
keys = 'SQ8 SQ4 SQ6 SQfp16 SQbf16 SQ8_direct SQ8_direct_signed SQ0 SQtqmse1 SQtqmse2 SQtqmse3 SQtqmse4 SQtqmse8 SQtq2 SQtq3 SQtq4 SQtq5'
for key in keys.split():
    for prefix in ('', 'IVF4,', 'PCA4,', 'IDMap,'):
        index = faiss.index_factory(8, prefix + key)
        inner = index.index if hasattr(index, 'index') else index
        inner = faiss.downcast_index(inner)
        about = [inner.sq.qtype, inner.sq.d, inner.code_size, inner.metric_type, getattr(inner, 'by_residual', 7)]
        if key != 'SQ0':
            about += [inner.is_trained, index.is_trained]
        result[prefix + key] = np.array(about)
for key in 'SQ8_uniform SQ2 SQ1 SQeden4 SQtq1 SQtq6 SQtqmse5 SQ SQ16 SQfp32 SQ08 IVF4,SQx'.split():
    try:
        faiss.index_factory(8, key)
        result[key] = 1
    except RuntimeError:
        result[key] = 0
"""
    for key, ours, theirs in both(oracle, here, code):
        np.testing.assert_array_equal(ours, theirs, err_msg=key)
