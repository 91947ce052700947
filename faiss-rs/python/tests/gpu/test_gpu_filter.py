"""Many queries on lists, where matrix units say what is not worth an exact distance: nothing is missed. One query at a time goes another way, and is
compared with f64 or with the CPU elsewhere."""

import faiss
import numpy as np
import pytest

SQ = faiss.ScalarQuantizer
NLIST, NPROBE, NQ = 20, 15, 250
CODES = [None, SQ.QT_8bit, SQ.QT_6bit, SQ.QT_4bit, SQ.QT_fp16, SQ.QT_bf16]


def made(resources, d, metric, code, x, residual=True):
    if code is None:
        index = faiss.GpuIndexIVFFlat(resources, d, NLIST, metric)
    else:
        index = faiss.GpuIndexIVFScalarQuantizer(resources, d, NLIST, code, metric, residual)
    index.cp.niter = 4
    index.train(x)
    index.add(x)
    index.nprobe = NPROBE
    return index


def few(index, queries, k, params=None):
    """The same by 4 queries at a time, which are too few for the filter."""
    parts = [index.search(queries[i : i + 4], k, params=params) for i in range(0, len(queries), 4)]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def compare(many, one, rtol=1e-5, atol=1e-5):
    """The same results up to the order of what is equal but for rounding."""
    np.testing.assert_allclose(many[0], one[0], rtol=rtol, atol=atol)
    other = many[1] != one[1]
    # Where another id stands, both distances are the same up to rounding: checked above, so only few may differ.
    assert other.mean() < 0.02, other.mean()
    for row in np.flatnonzero(other.any(1)):
        assert len(set(many[1][row].tolist())) == len(many[1][row]) or (many[1][row] == -1).any()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("d", [1, 5, 33, 128, 300])
def test_finds_what_single_searches_find(resources, rng, code, metric, d):
    x, queries = rng.standard_normal((6000, d)).astype("f4"), rng.standard_normal((NQ, d)).astype("f4")
    index = made(resources, d, metric, code, x)
    names = {launch["kernel"]: launch["launches"] for launch in faiss.gpu_launches()}
    for k in (1, 10, 33, 100):
        compare(index.search(queries, k), few(index, queries, k), atol=1e-4 * d)
    now = {launch["kernel"]: launch["launches"] for launch in faiss.gpu_launches()}
    ran = [name for name in now if name.startswith("ivf_filter") and now[name] > names.get(name, 0)]
    assert ran, "the filter did not run"


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("residual", [False, True])
def test_of_codes_without_residuals(resources, rng, metric, residual):
    x, queries = rng.random((6000, 24), dtype="f4"), rng.random((NQ, 24), dtype="f4")
    index = made(resources, 24, metric, SQ.QT_8bit, x, residual)
    compare(index.search(queries, 10), few(index, queries, 10))


@pytest.mark.parametrize("offset", [0, 100, 10_000])
def test_exact_far_from_zero(resources, rng, offset):
    """Against f64 where every list is searched."""
    x = (rng.standard_normal((5000, 32)) + offset).astype("f4")
    queries = (rng.standard_normal((NQ, 32)) + offset).astype("f4")
    index = made(resources, 32, faiss.METRIC_L2, None, x)
    index.nprobe = NLIST
    exact = ((queries[:, None].astype("f8") - x[None].astype("f8")) ** 2).sum(2)
    D, found = index.search(queries, 10)
    np.testing.assert_allclose(D, np.sort(exact, axis=1)[:, :10], rtol=1e-4)
    wanted = np.argsort(exact, axis=1, kind="stable")[:, :10]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)]) > 9.99


def test_hard_numbers(resources, rng):
    """Duplicates by the thousand, more candidates than there is room for, huge, tiny and infinite numbers, and NaN."""
    x = np.repeat(rng.standard_normal((4, 16)).astype("f4"), 2500, axis=0)
    x[::3] += 1e-3 * rng.standard_normal(x[::3].shape).astype("f4")
    index = made(resources, 16, faiss.METRIC_L2, None, x)
    queries = np.concatenate([x[:100], x[5000:5150]])
    compare(index.search(queries, 20), few(index, queries, 20))
    for scale in (1e-18, 1e-22, 1e12, 1e19):
        y = (rng.standard_normal((6000, 16)) * scale).astype("f4")
        index = made(resources, 16, faiss.METRIC_L2, None, y)
        many, one = index.search(y[:NQ], 10), few(index, y[:NQ], 10)
        np.testing.assert_array_equal(many[1][:, 0], one[1][:, 0])
        np.testing.assert_allclose(many[0], one[0], rtol=1e-4)
    y = rng.standard_normal((6000, 16)).astype("f4")
    index = made(resources, 16, faiss.METRIC_L2, None, y)
    odd = np.concatenate([y[:NQ].copy(), y[:6].copy()])
    odd[NQ, 3], odd[NQ + 1, 3], odd[NQ + 2, 3], odd[NQ + 3] = np.nan, np.inf, -np.inf, 1e30
    compare(index.search(odd, 10), few(index, odd, 10))
    index.add(np.full((3, 16), np.inf, "f4"))
    index.add_with_ids(np.full((2, 16), 1e25, "f4"), np.array([90_000, 90_001]))
    compare(index.search(odd, 10), few(index, odd, 10))


@pytest.mark.parametrize("code", [None, SQ.QT_8bit])
def test_what_else_a_search_may_say(resources, rng, code):
    x, queries = rng.random((6000, 24), dtype="f4"), rng.random((NQ, 24), dtype="f4")
    index = made(resources, 24, faiss.METRIC_L2, code, x)
    allowed = faiss.SearchParametersIVF(nprobe=NPROBE, sel=faiss.IDSelectorRange(100, 900))
    found = index.search(queries, 10, params=allowed)
    assert ((found[1] >= 100) & (found[1] < 900)).all()
    compare(found, few(index, queries, 10, allowed))
    # So few are allowed that many queries have no limit.
    scarce = faiss.SearchParametersIVF(nprobe=NPROBE, sel=faiss.IDSelectorRange(100, 125))
    compare(index.search(queries, 20, params=scarce), few(index, queries, 20, scarce))
    index.max_codes = 2000
    compare(index.search(queries, 10), few(index, queries, 10))
    index.max_codes = 0
    first = index.search(queries, 10)
    for _ in range(3):
        again = index.search(queries, 10)
        np.testing.assert_array_equal(again[0], first[0])
        np.testing.assert_array_equal(again[1], first[1])
