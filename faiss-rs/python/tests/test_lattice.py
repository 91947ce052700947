"""Points of a lattice on a sphere, and the index that stores them: numbered, encoded and written as by faiss-cpu."""

from collections.abc import Callable

import faiss
import numpy as np
import pytest

Oracle = Callable[..., dict[str, np.ndarray]]


def decoded(codec: object, codes: np.ndarray) -> np.ndarray:
    c = np.zeros((len(codes), codec.dim), "float32")
    codec.decode_multi(len(codes), faiss.swig_ptr(codes), faiss.swig_ptr(c))
    return c


def test_repeats_number_permutations(rng: np.random.Generator) -> None:
    for _ in range(100):
        vec = np.floor(rng.random(32) ** 7 * 3).astype("float32")
        repeats = faiss.Repeats(32, faiss.swig_ptr(np.sort(vec)))
        assert sum(repeats.repeats.at(i).n for i in range(repeats.repeats.size())) == 32
        code, back = repeats.encode(faiss.swig_ptr(vec)), np.zeros(32, "float32")
        assert 0 <= code < repeats.count()
        repeats.decode(code, faiss.swig_ptr(back))
        np.testing.assert_array_equal(back, vec)
    with pytest.raises(RuntimeError, match="permutation"):
        repeats.encode(faiss.swig_ptr(vec + 1))


@pytest.mark.parametrize(("dim", "r2"), [(2, 5), (4, 6), (5, 9), (8, 5)])
def test_points_are_numbered_as_by_faiss(dim: int, r2: int, oracle: Oracle, here: Oracle) -> None:
    code = f"""
for name in ("ZnSphereCodec", "ZnSphereCodecRec", "ZnSphereCodecAlt"):
    if name == "ZnSphereCodecRec" and {dim} & ({dim} - 1):
        continue
    codec = getattr(faiss, name)({dim}, {r2})
    c, codes = np.zeros((int(codec.nv), {dim}), "float32"), np.arange(int(codec.nv), dtype="uint64")
    codec.decode_multi(len(c), faiss.swig_ptr(codes), faiss.swig_ptr(c))
    result[name] = c
    result[name + " sizes"] = np.array([codec.nv, codec.code_size, codec.dim])
codec = faiss.ZnSphereCodec({dim}, {r2})
result["voc"] = faiss.vector_to_array(codec.voc)
"""
    theirs = oracle(code)
    ours = here(code)
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


@pytest.mark.parametrize(("dim", "r2"), [(32, 14), (24, 14), (24, 79)])
def test_large_numbers_come_back(dim: int, r2: int, rng: np.random.Generator) -> None:
    codec = faiss.ZnSphereCodecAlt(dim, r2)
    codes = rng.integers(codec.nv, size=100, dtype="uint64")
    x, back = decoded(codec, codes), np.zeros(100, "uint64")
    np.testing.assert_array_equal((x**2).sum(1), np.full(100, r2))
    codec.encode_multi(100, faiss.swig_ptr(x), faiss.swig_ptr(back))
    np.testing.assert_array_equal(back, codes)
    assert codec.encode(faiss.swig_ptr(x[0].copy())) == int(codes[0])
    assert isinstance(codec, faiss.ZnSphereSearch)
    assert isinstance(codec, faiss.EnumeratedVectors)


def test_the_nearest_point(rng: np.random.Generator) -> None:
    codec, x = faiss.ZnSphereCodec(6, 7), rng.standard_normal((50, 6), dtype="float32")
    points = decoded(codec, np.arange(codec.nv, dtype="uint64"))
    c, products = np.zeros((50, 6), "float32"), np.zeros(50, "float32")
    codec.search_multi(50, faiss.swig_ptr(x), faiss.swig_ptr(c), faiss.swig_ptr(products))
    np.testing.assert_allclose(products, (x @ points.T).max(1), rtol=1e-5)
    np.testing.assert_allclose((x * c).sum(1), products, rtol=1e-5)
    best, dis = np.zeros(50, "int64"), np.zeros(50, "float32")
    codes, ptr = np.arange(codec.nv, dtype="uint64"), faiss.swig_ptr
    codec.find_nn(len(codes), ptr(codes), 50, ptr(x), ptr(best), ptr(dis))
    np.testing.assert_allclose(dis, products, rtol=1e-5)
    assert codec.search(ptr(x[0].copy()), ptr(c[0])) == pytest.approx(products[0], rel=1e-5)
    for wrong in ((0, 3), (1, 3), (-1, 2), (4, -1), (200, 500)):
        with pytest.raises(RuntimeError):
            faiss.ZnSphereCodec(*wrong)
    with pytest.raises(RuntimeError, match="log2_dim"):
        faiss.ZnSphereCodecRec(6, 4)
    with pytest.raises(RuntimeError, match="no vector"):
        decoded(codec, np.array([codec.nv], "uint64"))


@pytest.mark.parametrize("kind", ["ZnLattice2x10_4", "ZnLattice3x6_0", "ZnLattice1x14_6"])
def test_codes_and_files_are_those_of_faiss(kind: str, oracle: Oracle, here: Oracle, rng: np.random.Generator) -> None:
    x = rng.standard_normal((300, 24), dtype="float32")
    code = f"""
x = given["x"]
index = faiss.index_factory(24, {kind!r})
index.train(x)
result["trained"] = faiss.vector_to_array(index.trained)
result["codes"] = index.sa_encode(x)
result["x"] = index.sa_decode(result["codes"])
result["written"] = faiss.serialize_index(index)
index.add(x)
result["D"], result["I"] = index.search(x[:5], 3)
result["sizes"] = np.array([index.code_size, index.nsq, index.dsq, index.scale_nbit, index.lattice_nbit, index.ntotal])
"""
    theirs = oracle(code, x=x)
    ours = here(code, x=x)
    mine = ours
    np.testing.assert_allclose(mine["trained"], theirs["trained"], rtol=1e-6)
    np.testing.assert_array_equal(mine["sizes"], theirs["sizes"])
    # A length at the border of two steps may fall on either side.
    assert (mine["codes"] == theirs["codes"]).mean() > 0.999
    np.testing.assert_array_equal(mine["I"], theirs["I"])
    np.testing.assert_allclose(mine["D"], theirs["D"], rtol=1e-4)
    read = faiss.deserialize_index(theirs["written"])
    np.testing.assert_array_equal(faiss.serialize_index(read), theirs["written"])
    np.testing.assert_allclose(read.sa_decode(theirs["codes"]), theirs["x"], rtol=1e-5, atol=1e-6)
    for end in range(len(theirs["written"])):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(theirs["written"][:end])


def test_what_makes_no_sense_is_refused(rng: np.random.Generator) -> None:
    for wrong in ((16, 3, 4, 6), (16, 0, 4, 6), (16, 2, -1, 6), (16, 2, 4, -1), (16, 16, 4, 3)):
        with pytest.raises(RuntimeError):
            faiss.IndexLattice(*wrong)
    index = faiss.IndexLattice(16, 2, 4, 6)
    with pytest.raises(RuntimeError, match="is_trained"):
        index.sa_encode(rng.standard_normal((2, 16), dtype="float32"))
    index.train(np.ones((5, 16), "float32"))
    np.testing.assert_allclose(
        (index.sa_decode(index.sa_encode(np.ones((1, 16), "float32"))) ** 2).sum(), 16, rtol=1e-5
    )
