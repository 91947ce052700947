"""ID selectors: membership, in searches and removals, combined, and as Python functions."""

import gc

import faiss
import numpy as np
import pytest

IDS = [3, 5, 8, 13, 21]


def make_selectors():
    bitmap = np.zeros(4, "u1")
    for i in IDS:
        bitmap[i >> 3] |= 1 << (i & 7)
    return {
        "array": faiss.IDSelectorArray(np.array(IDS)),
        "array of a list": faiss.IDSelectorArray(IDS),
        "array by pointer": faiss.IDSelectorArray(len(IDS), faiss.swig_ptr(np.array(IDS))),
        "batch": faiss.IDSelectorBatch(np.array(IDS)),
        "batch of int32": faiss.IDSelectorBatch(np.array(IDS, "i4")),
        "bitmap": faiss.IDSelectorBitmap(bitmap),
        "bitmap by pointer": faiss.IDSelectorBitmap(4, faiss.swig_ptr(bitmap)),
        "callback": faiss.PyCallbackIDSelector(lambda i: i in IDS),
        "not": faiss.IDSelectorNot(faiss.IDSelectorNot(faiss.IDSelectorBatch(IDS))),
        "and": faiss.IDSelectorAnd(faiss.IDSelectorBatch(IDS), faiss.IDSelectorAll()),
        "or": faiss.IDSelectorOr(faiss.IDSelectorBatch(IDS[:3]), faiss.IDSelectorArray(IDS[2:])),
        "xor": faiss.IDSelectorXOr(faiss.IDSelectorBatch([*IDS, 1, 2]), faiss.IDSelectorRange(1, 3)),
    }


@pytest.fixture(params=list(make_selectors()))
def selector(request):
    return make_selectors()[request.param]


def test_membership(selector):
    assert isinstance(selector, faiss.IDSelector)
    for i in [*range(-3, 40), -(2**63), 2**63 - 1, 2**32 + 3]:
        assert selector.is_member(i) == (i in IDS), i
    with pytest.raises(OverflowError):
        selector.is_member(2**63)
    with pytest.raises(TypeError):
        selector.is_member(1.0)


def test_search(selector, rng):
    x = rng.random((30, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    params = faiss.SearchParameters(sel=selector)
    del selector
    gc.collect()
    for nq in (1, 25):
        _, ids = index.search(x[:nq], 7, params=params)
        assert all(set(row[:5]) == set(IDS) for row in ids.tolist())
        assert (ids[:, 5:] == -1).all()
        lims, _, found = index.range_search(x[:nq], 100.0, params=params)
        assert found.tolist() == IDS * nq
        assert (np.diff(lims.astype("i8")) == 5).all()
    _, ids, R = index.search_and_reconstruct(x[:2], 5, params=params)
    np.testing.assert_array_equal(R, x[ids])


def test_removal(selector, rng):
    x = rng.random((30, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    assert index.remove_ids(selector) == len(IDS)
    np.testing.assert_array_equal(index.reconstruct_n(), np.delete(x, IDS, axis=0))


def test_range():
    sel = faiss.IDSelectorRange(1, 4)
    assert [sel.is_member(i) for i in range(6)] == [False, True, True, True, False, False]
    assert (sel.imin, sel.imax, sel.assume_sorted) == (1, 4, False)
    sel.imax = 5
    assert sel.is_member(4)
    assert faiss.IDSelectorRange(1, 4, True).assume_sorted
    assert not faiss.IDSelectorRange(4, 1).is_member(2)


def test_empty_sets():
    assert not faiss.IDSelectorBatch([]).is_member(0)
    assert not faiss.IDSelectorArray(np.zeros(0, "i8")).is_member(0)
    assert not faiss.IDSelectorBitmap(np.zeros(0, "u1")).is_member(0)


@pytest.mark.parametrize(
    ("make", "exception"),
    [
        (lambda: faiss.IDSelectorNot(3), TypeError),
        (lambda: faiss.IDSelectorRange(), TypeError),
        (lambda: faiss.IDSelectorRange("a", 3), TypeError),
        (lambda: faiss.IDSelectorAll(3), TypeError),
        (lambda: faiss.IDSelector(), AttributeError),
        (lambda: faiss.IDSelectorBitmap([1, 2]), ValueError),
        (lambda: faiss.IDSelectorBitmap(np.zeros(3, "i8")), TypeError),
        (lambda: faiss.IDSelectorArray(5, faiss.swig_ptr(np.zeros(3, "i8"))), ValueError),
        (lambda: faiss.IDSelectorBatch(np.zeros((2, 2), "i8")), AssertionError),
        (lambda: faiss.PyCallbackIDSelector(3), TypeError),
        (lambda: faiss.SearchParameters(foo=3), AssertionError),
        (lambda: faiss.SearchParameters(sel=3), TypeError),
        (lambda: faiss.SearchParameters(faiss.IDSelectorAll()), TypeError),
    ],
)
def test_bad_arguments(make, exception):
    with pytest.raises(exception):
        make()


def test_operands_outlive_their_names():
    sel = faiss.IDSelectorAnd(faiss.IDSelectorRange(0, 9), faiss.IDSelectorNot(faiss.IDSelectorRange(3, 5)))
    gc.collect()
    assert [i for i in range(12) if sel.is_member(i)] == [0, 1, 2, 5, 6, 7, 8]
    assert isinstance(sel.lhs, faiss.IDSelectorRange)
    assert isinstance(sel.rhs.sel, faiss.IDSelectorRange)
    sel.lhs.imax = 2
    assert not sel.is_member(5)


def test_parameters():
    params = faiss.SearchParameters(sel=faiss.IDSelectorRange(0, 3))
    assert isinstance(params.sel, faiss.IDSelectorRange)
    params.sel = None
    assert params.sel is None


class TestCallback:
    @pytest.fixture
    def index(self, rng):
        index = faiss.IndexFlatL2(4)
        index.add(rng.random((50, 4), dtype="f4"))
        return index

    @pytest.mark.parametrize("nq", [1, 60])
    def test_its_exception_reaches_the_caller(self, index, rng, nq):
        def bad(i):
            raise KeyError("boo")

        params = faiss.SearchParameters(sel=faiss.IDSelectorNot(faiss.PyCallbackIDSelector(bad)))
        with pytest.raises(KeyError, match="boo"):
            index.search(rng.random((nq, 4), dtype="f4"), 3, params=params)
        with pytest.raises(KeyError, match="boo"):
            index.remove_ids(faiss.PyCallbackIDSelector(bad))
        with pytest.raises(KeyError, match="boo"):
            faiss.PyCallbackIDSelector(bad).is_member(3)
        assert index.search(rng.random((1, 4), dtype="f4"), 3)[1].min() >= 0

    def test_may_search_the_same_index(self, index, rng):
        x = rng.random((2, 4), dtype="f4")
        near = faiss.PyCallbackIDSelector(lambda i: i in index.search(x[:1], 9)[1])
        _, ids = index.search(x, 9, params=faiss.SearchParameters(sel=near))
        assert set(ids.ravel()) == set(index.search(x[:1], 9)[1].ravel())
