"""Pointers, vectors, and what programs written for C++'s calling conventions use."""

import gc

import faiss
import numpy as np
import pytest

TYPES = ["Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"]


@pytest.mark.parametrize("kind", TYPES)
def test_vectors(kind):
    vector = getattr(faiss, f"{kind}Vector")()
    assert vector.size() == 0
    vector.push_back(1)
    vector.push_back(2)
    assert (vector.size(), vector.at(0), vector.at(1)) == (2, 1, 2)
    vector.resize(4)
    np.testing.assert_array_equal(faiss.vector_to_array(vector), np.array([1, 2, 0, 0], kind.lower()))
    assert faiss.vector_to_array(vector).dtype == kind.lower()
    a = np.arange(5).astype(kind.lower())
    faiss.copy_array_to_vector(a, vector)
    np.testing.assert_array_equal(faiss.vector_to_array(vector), a)
    other = getattr(faiss, f"{kind}Vector")()
    vector.swap(other)
    assert (vector.size(), other.size()) == (0, 5)
    np.testing.assert_array_equal(faiss.rev_swig_ptr(other.data(), 5), a)
    other.clear()
    assert other.size() == 0


def test_vector_errors():
    vector = faiss.Float32Vector()
    with pytest.raises(RuntimeError, match="out of range"):
        vector.at(0)
    with pytest.raises(TypeError):
        vector.push_back("a")
    with pytest.raises(OverflowError):
        faiss.UInt8Vector().push_back(256)
    with pytest.raises(MemoryError):
        vector.resize(2**62)
    with pytest.raises(AssertionError, match="float64 array to a Float32Vector"):
        faiss.copy_array_to_vector(np.zeros(3), vector)
    with pytest.raises(ValueError):
        faiss.copy_array_to_vector(np.zeros((3, 2), "f4"), vector)
    with pytest.raises(AssertionError):
        faiss.vector_to_array([1])
    with pytest.raises(RuntimeError, match="different types"):
        vector.swap(faiss.Int64Vector())
    with pytest.raises(TypeError):
        faiss.Float32Vector(3)


@pytest.mark.parametrize("old", faiss.deprecated_name_map)
def test_deprecated_vectors(old):
    with pytest.warns(DeprecationWarning, match=f"{old}Vector is deprecated"):
        vector = getattr(faiss, f"{old}Vector")()
    assert isinstance(vector, getattr(faiss, f"{faiss.deprecated_name_map[old]}Vector"))


def test_a_field_is_the_objects_own_vector(rng):
    x = rng.random((5, 3), dtype="f4")
    index = faiss.IndexFlatL2(3)
    index.add(x)
    codes = index.codes
    assert isinstance(codes, faiss.MaybeOwnedVectorUInt8)
    np.testing.assert_array_equal(faiss.vector_to_array(codes).view("f4").reshape(5, 3), x)
    faiss.copy_array_to_vector(np.zeros(60, "u1"), index.codes)
    np.testing.assert_array_equal(index.reconstruct_n(), np.zeros((5, 3)))
    del index
    gc.collect()
    assert codes.size() == 60


def test_shrinking_a_field_under_the_index_is_an_error_not_a_crash(rng):
    index = faiss.IndexFlatL2(3)
    index.add(rng.random((5, 3), dtype="f4"))
    index.codes.resize(7)
    for call in (
        lambda: index.search(rng.random((2, 3), dtype="f4"), 2),
        lambda: index.reconstruct(4),
        lambda: index.reconstruct_n(),
    ):
        with pytest.raises(RuntimeError):
            call()
    index.ntotal = 10**12
    with pytest.raises(RuntimeError):
        index.search(rng.random((2, 3), dtype="f4"), 2)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "?"])
def test_swig_ptr(dtype):
    a = np.arange(12).reshape(3, 4).astype(dtype)
    seen = faiss.rev_swig_ptr(faiss.swig_ptr(a), 5)
    np.testing.assert_array_equal(seen, a.ravel()[:5])
    seen[0] = 1
    assert a[0, 0] == 1
    assert int(faiss.swig_ptr(a)) == a.ctypes.data


def test_pointers_keep_their_array():
    pointer = faiss.swig_ptr(np.arange(1000))
    gc.collect()
    np.testing.assert_array_equal(faiss.rev_swig_ptr(pointer, 1000), np.arange(1000))


@pytest.mark.parametrize(
    ("make", "exception"),
    [
        (lambda: faiss.swig_ptr([1]), ValueError),
        (lambda: faiss.swig_ptr(None), ValueError),
        (lambda: faiss.swig_ptr(np.zeros((4, 4))[:, ::2]), ValueError),
        (lambda: faiss.swig_ptr(np.zeros(3, "c8")), ValueError),
        (lambda: faiss.swig_ptr(np.zeros(3, "S1")), ValueError),
        (lambda: faiss.rev_swig_ptr(3, 5), TypeError),
        (lambda: faiss.rev_swig_ptr(faiss.swig_ptr(np.zeros(3)), 4), ValueError),
        (lambda: faiss.rev_swig_ptr(faiss.swig_ptr(np.zeros(3)), -1), ValueError),
    ],
)
def test_pointer_errors(make, exception):
    with pytest.raises(exception):
        make()


def test_integers_as_pointers():
    a = np.arange(6, dtype="f4")
    pointer = faiss.cast_integer_to_float_ptr(a.ctypes.data)
    np.testing.assert_array_equal(faiss.rev_swig_ptr(pointer, 6), a)
    assert faiss.cast_integer_to_float_ptr(0) is None
    b = np.zeros(6, dtype="f4")
    faiss.memcpy(faiss.swig_ptr(b), faiss.swig_ptr(a), 12)
    np.testing.assert_array_equal(b, [0, 1, 2, 0, 0, 0])


def test_distance_computer(rng):
    x = rng.random((6, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    computer = index.get_distance_computer()
    computer.set_query(faiss.swig_ptr(x[0]))
    assert computer(3) == pytest.approx(((x[0] - x[3]) ** 2).sum(), rel=1e-5)
    assert computer.symmetric_dis(1, 2) == pytest.approx(((x[1] - x[2]) ** 2).sum(), rel=1e-5)
    outs = [np.zeros(1, "f4") for _ in range(4)]
    computer.distances_batch_4(0, 1, 2, 3, *map(faiss.swig_ptr, outs))
    np.testing.assert_allclose(np.concatenate(outs), ((x[:4] - x[0]) ** 2).sum(1), rtol=1e-5, atol=1e-6)
    for call in (lambda: computer(6), lambda: computer(-1), lambda: computer.symmetric_dis(0, 6)):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(ValueError):
        computer.set_query(faiss.swig_ptr(x[0, :3].copy()))


def test_search_subset(rng):
    x = rng.random((6, 4), dtype="f4")
    index = faiss.IndexFlatL2(4)
    index.add(x)
    base = np.array([[1, 3, -1], [0, 5, 2]])
    D, ids = np.zeros((2, 2), "f4"), np.zeros((2, 2), "i8")
    index.search_subset(
        2, *map(faiss.swig_ptr, (x[:2],)), 3, faiss.swig_ptr(base), 2, faiss.swig_ptr(D), faiss.swig_ptr(ids)
    )
    for q in range(2):
        wanted = sorted((((x[q] - x[i]) ** 2).sum(), i) for i in base[q] if i >= 0)[:2]
        assert ids[q].tolist() == [i for _, i in wanted]


def test_bytes_of_streams():
    writer = faiss.VectorIOWriter()
    assert writer.write_bytes(b"abcdef") == 6
    assert writer(faiss.swig_ptr(np.arange(4, dtype="u1")), 2, 2) == 2
    reader = faiss.VectorIOReader()
    faiss.copy_array_to_vector(faiss.vector_to_array(writer.data), reader.data)
    assert reader.read_bytes(4) == b"abcd"
    out = np.zeros(4, "u1")
    assert reader(faiss.swig_ptr(out), 1, 4) == 4
    assert out.tobytes() == b"ef\x00\x01"
    assert reader.read_bytes(10) == b"\x02\x03"
    assert reader.read_bytes(10) == b""
    assert faiss.PyCallbackIOReader(lambda n: b"").read_bytes(1 << 60) == b""
    with pytest.raises(RuntimeError):
        reader.filedescriptor()


def test_referenced_objects():
    low, high = faiss.IDSelectorRange(0, 3), faiss.IDSelectorRange(3, 5)
    both = faiss.IDSelectorOr(low, high)
    assert both.referenced_objects == [(low, high)]
    assert not hasattr(low, "referenced_objects")
    faiss.add_to_referenced_objects(both, high)
    assert both.referenced_objects == [(low, high), high]
