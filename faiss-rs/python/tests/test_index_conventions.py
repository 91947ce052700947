"""How calls with numpy arrays behave: shapes, types, buffers, and the exceptions for what can't be used."""

import faiss
import numpy as np
import pytest

D, N = 8, 20


@pytest.fixture
def x(rng):
    return rng.random((N, D), dtype="float32")


@pytest.fixture
def index(x):
    index = faiss.IndexFlatL2(D)
    index.add(x)
    return index


# (method, arguments with x and index) and the exception that it raises.
BAD_CALLS = {
    "search of one vector": (lambda ix, x: ix.search(x[0], 3), ValueError),
    "search of a cube": (lambda ix, x: ix.search(x.reshape(2, 10, D), 3), ValueError),
    "search in another dimension": (lambda ix, x: ix.search(x[:, :4], 3), AssertionError),
    "search, k = 0": (lambda ix, x: ix.search(x, 0), AssertionError),
    "search, k < 0": (lambda ix, x: ix.search(x, -1), AssertionError),
    "search, k a float": (lambda ix, x: ix.search(x, 3.0), TypeError),
    "search, k a str": (lambda ix, x: ix.search(x, "3"), TypeError),
    "search of a list": (lambda ix, x: ix.search(x.tolist(), 3), AttributeError),
    "search of None": (lambda ix, x: ix.search(None, 3), AttributeError),
    "search of strings": (lambda ix, x: ix.search(np.array([["a"] * D]), 3), ValueError),
    "search, params by position": (lambda ix, x: ix.search(x, 2, None), TypeError),
    "search, unknown keyword": (lambda ix, x: ix.search(x, 2, foo=1), TypeError),
    "search, params a number": (lambda ix, x: ix.search(x, 2, params=3), TypeError),
    "search, params a selector": (lambda ix, x: ix.search(x, 2, params=faiss.IDSelectorAll()), TypeError),
    "search, D of wrong shape": (lambda ix, x: ix.search(x, 2, D=np.empty((N, 3), "f4")), AssertionError),
    "search, D of wrong type": (lambda ix, x: ix.search(x, 2, D=np.empty((N, 2), "f8")), TypeError),
    "search, I of wrong type": (lambda ix, x: ix.search(x, 2, I=np.empty((N, 2), "i4")), TypeError),
    "search, D strided": (lambda ix, x: ix.search(x, 2, D=np.empty((N, 4), "f4")[:, ::2]), ValueError),
    "search, D in Fortran order": (
        lambda ix, x: ix.search(x, 2, D=np.asfortranarray(np.empty((N, 2), "f4"))),
        ValueError,
    ),
    "search, numeric type float16": (lambda ix, x: ix.search(x, 2, numeric_type=faiss.Float16), RuntimeError),
    "add, numeric type float16": (lambda ix, x: ix.add(x, faiss.Float16), RuntimeError),
    "add in another dimension": (lambda ix, x: ix.add(x[:, :3]), AssertionError),
    "add of one vector": (lambda ix, x: ix.add(x[0]), ValueError),
    "add_with_ids": (lambda ix, x: ix.add_with_ids(x, np.arange(N)), RuntimeError),
    "add_with_ids, too few ids": (lambda ix, x: ix.add_with_ids(x, np.arange(3)), AssertionError),
    "train in another dimension": (lambda ix, x: ix.train(x[:, :3]), AssertionError),
    "assign, labels of wrong shape": (lambda ix, x: ix.assign(x, 2, labels=np.empty((N, 3), "i8")), AssertionError),
    "reconstruct, no such id": (lambda ix, x: ix.reconstruct(1000), RuntimeError),
    "reconstruct, negative id": (lambda ix, x: ix.reconstruct(-1), RuntimeError),
    "reconstruct, id a float": (lambda ix, x: ix.reconstruct(1.5), TypeError),
    "reconstruct, out too long": (lambda ix, x: ix.reconstruct(3, np.empty(9, "f4")), AssertionError),
    "reconstruct_n, too many": (lambda ix, x: ix.reconstruct_n(2, 3000), RuntimeError),
    "reconstruct_n, negative start": (lambda ix, x: ix.reconstruct_n(-2, 3), RuntimeError),
    "reconstruct_n, start behind the end": (lambda ix, x: ix.reconstruct_n(N + 1), ValueError),
    "reconstruct_n, huge": (lambda ix, x: ix.reconstruct_n_c(2, 2**62, None), (RuntimeError, ValueError)),
    "reconstruct_batch, no such id": (lambda ix, x: ix.reconstruct_batch([1, 2000]), RuntimeError),
    "reconstruct_batch, two dimensions": (lambda ix, x: ix.reconstruct_batch(np.array([[1, 2]])), ValueError),
    "range_search of one vector": (lambda ix, x: ix.range_search(x[0], 0.5), ValueError),
    "range_search in another dimension": (lambda ix, x: ix.range_search(x[:, :2], 0.5), AssertionError),
    "range_search, radius a str": (lambda ix, x: ix.range_search(x, "a"), ValueError),
    "search_and_reconstruct, R of wrong shape": (
        lambda ix, x: ix.search_and_reconstruct(x, 3, R=np.empty((N, 3, 7), "f4")),
        AssertionError,
    ),
    "sa_encode, codes of wrong shape": (lambda ix, x: ix.sa_encode(x, np.empty((N, 31), "u1")), AssertionError),
    "sa_decode of short codes": (lambda ix, x: ix.sa_decode(np.empty((3, 31), "u1")), AssertionError),
    "sa_decode of floats": (lambda ix, x: ix.sa_decode(np.empty((3, 32), "f4")), TypeError),
    "add_sa_codes of short codes": (lambda ix, x: ix.add_sa_codes(np.empty((3, 31), "u1")), AssertionError),
    "remove_ids in two dimensions": (lambda ix, x: ix.remove_ids(np.array([[1, 2]])), AssertionError),
    "permute_entries, too few": (lambda ix, x: ix.permute_entries(np.arange(3)), AssertionError),
    "permute_entries, out of range": (lambda ix, x: ix.permute_entries(np.arange(N) + 1), RuntimeError),
    "merge_from another dimension": (lambda ix, x: ix.merge_from(faiss.IndexFlatL2(9)), RuntimeError),
    "merge_from another type": (lambda ix, x: ix.merge_from(faiss.IndexFlatIP(D)), RuntimeError),
    "merge_from a number": (lambda ix, x: ix.merge_from(3), TypeError),
    "merge_from itself": (lambda ix, x: ix.merge_from(ix), RuntimeError),
    "a misspelt field": (lambda ix, x: setattr(ix, "ntotall", 3), AttributeError),
    "a field of the wrong type": (lambda ix, x: setattr(ix, "d", "a"), TypeError),
    "a field that is no integer": (lambda ix, x: setattr(ix, "d", 3.0), TypeError),
    "a field out of range": (lambda ix, x: setattr(ix, "d", 2**40), OverflowError),
    "a field deleted": (lambda ix, x: delattr(ix, "d"), AttributeError),
}


@pytest.mark.parametrize("call", BAD_CALLS, ids=str)
def test_bad_calls_raise_and_change_nothing(index, x, call):
    before = faiss.serialize_index(index)
    function, exception = BAD_CALLS[call]
    with pytest.raises(exception):
        function(index, x)
    np.testing.assert_array_equal(faiss.serialize_index(index), before)


@pytest.mark.parametrize("args", [("a",), (8.0,), (8, 1, 2), (None,), (-1,), (2**40,)], ids=str)
def test_bad_constructor_arguments(args):
    with pytest.raises((TypeError, RuntimeError, ValueError, OverflowError)):
        faiss.IndexFlatL2(*args)
    with pytest.raises(TypeError):
        faiss.IndexFlatL2(dimension=8)


def test_abstract_classes_have_no_constructor():
    with pytest.raises(AttributeError, match="No constructor defined"):
        faiss.Index(8)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64", "float16", "uint8", "bool"])
def test_inputs_are_converted(index, x, dtype):
    D, ids = index.search(x.astype(dtype), 3)
    assert (D.dtype, ids.dtype) == (np.float32, np.int64)
    D0, ids0 = index.search(x.astype(dtype).astype("float32"), 3)
    np.testing.assert_array_equal(D, D0)
    np.testing.assert_array_equal(ids, ids0)


def test_inputs_need_not_be_contiguous(index, x):
    wanted = index.search(x, 3)
    for same in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], np.repeat(x, 3, axis=0)[::3], x[::-1][::-1]):
        found = index.search(same, 3)
        np.testing.assert_array_equal(found[1], wanted[1])
    fresh = faiss.IndexFlatL2(D)
    fresh.add(np.asfortranarray(x))
    np.testing.assert_array_equal(fresh.reconstruct_n(), x)


def test_read_only_and_unaligned_inputs(index, x):
    frozen = x.copy()
    frozen.flags.writeable = False
    raw = np.zeros(x.nbytes + 1, "u1")
    raw[1:] = x.view("u1").ravel()
    unaligned = raw[1:].view("f4").reshape(x.shape)
    for same in (frozen, unaligned):
        np.testing.assert_array_equal(index.search(same, 3)[1], index.search(x, 3)[1])


def test_output_buffers(index, x):
    D, ids = np.empty((N, 2), "f4"), np.empty((N, 2), "i8")
    found = index.search(x, 2, D=D, I=ids)
    assert found[0] is D
    assert found[1] is ids
    np.testing.assert_array_equal(ids[:, 0], np.arange(N))
    labels = np.empty((N, 2), "i8")
    assert index.assign(x, 2, labels=labels) is labels


def test_no_queries(index, x):
    D, ids = index.search(x[:0], 3)
    assert D.shape == ids.shape == (0, 3)
    lims, D, ids = index.range_search(x[:0], 1.0)
    assert (lims.tolist(), D.shape, ids.shape) == ([0], (0,), (0,))
    index.add(x[:0])
    assert index.ntotal == N
    assert index.reconstruct_n(2, 0).shape == (0, D.shape[0] or index.d)
    assert index.reconstruct_batch(np.zeros(0, "i8")).shape == (0, index.d)
    assert index.remove_ids(np.zeros(0, "i8")) == 0


def test_numpy_integers_are_integers(x):
    index = faiss.IndexFlatL2(np.int64(D))
    index.add(x)
    assert index.search(x, np.int32(3))[0].shape == (N, 3)
    assert index.reconstruct(np.int64(3)).shape == (D,)


def test_fields(index):
    assert (index.d, index.ntotal, index.is_trained, index.metric_type) == (D, N, True, faiss.METRIC_L2)
    index.verbose = True
    assert index.verbose is True
    index.metric_arg = 3
    assert index.metric_arg == 3.0


def test_identity_and_repr(index):
    assert index == index
    assert index != faiss.clone_index(index)
    assert repr(index) == f"<faiss.IndexFlatL2 d={D} ntotal={N} at {int(index.this):#x}>"
    assert repr(index.this) == f"<faiss native object of type 'IndexFlatL2' at {int(index.this):#x}>"
    # Two Python objects for one of the library, of which the first alone says that it is Python's.
    outer = faiss.IndexIDMap(faiss.IndexFlatL2(D))
    inner, again = outer.index, outer.index
    assert (int(inner.this) == int(again.this), inner.this.same(again.this)) == (True, True)
    assert int(faiss.clone_index(index).this) != int(index.this)
    assert (index.thisown, inner.thisown) == (True, False)


def test_subclasses_have_attributes_of_their_own(x):
    class Named(faiss.IndexFlatL2):
        def __init__(self, d, name):
            super().__init__(d)
            self.name = name

        def search(self, x, k, **kwargs):
            return super().search(x, k, **kwargs)[::-1]

    index = Named(D, "mine")
    index.add(x)
    assert index.name == "mine"
    assert index.search(x, 1)[0].dtype == np.int64


def test_an_object_whose_constructor_was_not_called(x):
    class Forgetful(faiss.IndexFlatL2):
        def __init__(self):
            pass

    index = Forgetful()
    assert "not initialized" in repr(index)
    with pytest.raises(AttributeError):
        index.search(x, 1)


def test_range_search_results(index, x):
    lims, D, ids = index.range_search(x, 0.5)
    assert (lims.dtype, D.dtype, ids.dtype) == (np.uint64, np.float32, np.int64)
    assert lims.shape == (N + 1,)
    dis = ((x[:, None, :].astype("f8") - x[None]) ** 2).sum(-1)
    for i in range(N):
        found = set(ids[int(lims[i]) : int(lims[i + 1])].tolist())
        assert found == set(np.flatnonzero(dis[i] < 0.5).tolist())


def test_c_calls_with_pointers(x):
    index = faiss.IndexFlatL2(D)
    index.train_c(N, faiss.swig_ptr(x))
    index.add_c(N, faiss.swig_ptr(x))
    distances, labels = np.empty((N, 3), "f4"), np.empty((N, 3), "i8")
    index.search_c(N, faiss.swig_ptr(x), 3, faiss.swig_ptr(distances), faiss.swig_ptr(labels))
    np.testing.assert_array_equal(labels, index.search(x, 3)[1])
    index.search_c(0, None, 3, None, None)
    with pytest.raises(ValueError, match="elements are wanted"):
        index.search_c(N + 1, faiss.swig_ptr(x), 3, faiss.swig_ptr(distances), faiss.swig_ptr(labels))
    with pytest.raises(TypeError):
        index.add_c(N, faiss.swig_ptr(labels))
    residual = np.empty(D, "f4")
    index.compute_residual(faiss.swig_ptr(x[0]), faiss.swig_ptr(residual), 1)
    np.testing.assert_array_equal(residual, x[0] - x[1])
