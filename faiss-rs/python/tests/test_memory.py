"""Arrays over the memory of objects: they are that memory, keep it, and never dangle, whatever happens to the object."""

import gc
import threading

import faiss
import numpy as np
import pytest


def filled(n=50, d=8):
    index = faiss.IndexFlatL2(d)
    index.add(np.arange(n * d, dtype="f4").reshape(n, d))
    return index


def vectors(index):
    return faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)


def test_what_is_written_is_found():
    index = filled()
    seen = vectors(index)
    seen[7] = -1
    index.verbose = True  # changes no vector
    seen[8] = -2
    D, ids = index.search(np.full((1, 8), -1, "f4"), 1)
    assert (D[0, 0], ids[0, 0]) == (0, 7)
    np.testing.assert_array_equal(index.reconstruct(8), np.full(8, -2))
    assert int(index.get_xb()) == seen.ctypes.data


CHANGES = {
    "add": lambda i: i.add(np.zeros((5000, 8), "f4")),
    "reset": lambda i: i.reset(),
    "remove_ids": lambda i: i.remove_ids(np.arange(25)),
    "resize": lambda i: i.codes.resize(0),
    "assign": lambda i: faiss.copy_array_to_vector(np.zeros(32, "u1"), i.codes),
    "merge_from": lambda i: i.merge_from(filled()),
    "merged into another": lambda i: filled().merge_from(i),
    "permute_entries": lambda i: i.permute_entries(np.arange(i.ntotal)[::-1].copy()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_memory_stays_when_the_object_changes(change):
    index = filled()
    one, two = vectors(index), vectors(index)
    before = one.copy()
    CHANGES[change](index)
    gc.collect()
    junk = [np.full(50 * 8, 99, "f4") for _ in range(100)]
    np.testing.assert_array_equal(one, before)
    del one
    np.testing.assert_array_equal(two, before)
    two[:] = 5
    del index, junk
    gc.collect()
    assert (two == 5).all()


def test_memory_outlives_the_object():
    seen = vectors(filled())
    gc.collect()
    junk = [np.full(50 * 8, 99, "f4") for _ in range(100)]
    np.testing.assert_array_equal(seen.ravel(), np.arange(400))
    del junk


def test_an_index_inside_changes_another_way():
    # k-means fills the quantizer, whose vectors are seen, from inside the call of another index.
    quantizer = filled(5)
    index = faiss.IndexIVFFlat(quantizer, 8, 4)
    seen = vectors(quantizer)
    before = seen.copy()
    index.train(np.random.default_rng(1).random((500, 8), dtype="f4"))
    np.testing.assert_array_equal(seen, before)
    assert vectors(quantizer).shape == (4, 8)


def test_inverted_lists():
    x = np.random.default_rng(1).random((300, 8), dtype="f4")
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 4)
    index.train(x)
    index.add(x)
    n = index.invlists.list_size(1)
    ids = faiss.rev_swig_ptr(index.invlists.get_ids(1), n)
    codes = faiss.rev_swig_ptr(index.invlists.get_codes(1), n * 32)
    kept = ids.copy(), codes.copy()
    index.nprobe = 4
    where = int(ids[0])
    ids[0] = 1 << 40
    assert index.search(x[where : where + 1], 1)[1][0, 0] == 1 << 40
    index.reset()
    index.add(x)
    ids[0] = where
    np.testing.assert_array_equal(ids, kept[0])
    np.testing.assert_array_equal(codes, kept[1])
    with pytest.raises(RuntimeError):
        index.invlists.get_ids(4)
    with pytest.raises(ValueError):
        faiss.rev_swig_ptr(index.invlists.get_codes(1), 1 << 30)


def test_many_threads_look_while_others_add():
    index, stop = filled(), threading.Event()

    def add():
        for _ in range(200):
            index.add(np.zeros((10, 8), "f4"))
        stop.set()

    worker = threading.Thread(target=add)
    worker.start()
    seen = []
    while not stop.is_set():
        view = faiss.rev_swig_ptr(index.get_xb(), 400)
        assert view[-1] == 399
        seen = [*seen[-20:], view]
    worker.join()
    assert all((view == np.arange(400)).all() for view in seen)


def test_empty():
    assert faiss.rev_swig_ptr(faiss.IndexFlatL2(4).get_xb(), 0).shape == (0,)
    assert faiss.rev_swig_ptr(faiss.Float32Vector().data(), 0).shape == (0,)


def test_members_that_are_not_here_say_so(monkeypatch):
    """No member is missing today; one that a later Faiss has is."""
    listed = {**faiss.loader._all_members(), "OPQMatrix": "pq later"}
    monkeypatch.setattr(faiss.loader, "_all_members", lambda: listed)
    index = faiss.IndexFlatL2(4)
    with pytest.raises(NotImplementedError, match=r"faiss.OPQMatrix.later is not implemented"):
        faiss.OPQMatrix(8, 2).later  # noqa: B018
    assert not hasattr(faiss.OPQMatrix(8, 2), "later")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        index.nonsense  # noqa: B018
    with pytest.raises(NotImplementedError, match=r"faiss.OPQMatrix.later"):
        faiss.OPQMatrix(8, 2).later = faiss.ProductQuantizer(8, 2, 8)
