"""Functions on arrays, against numpy."""

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours, naive_knn


@pytest.fixture
def x(rng):
    return rng.random((20, 8), dtype="f4")


def test_knn(x):
    for k in (1, 3, 20):
        assert_same_neighbours(faiss.knn(x, x, k), naive_knn(x, x, k), rtol=1e-4)
    D, ids = faiss.knn(x[:1], x, 25)
    assert (ids[0, 20:] == -1).all()
    for other in (x.astype("f8"), np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
        np.testing.assert_array_equal(faiss.knn(other, other, 3)[1], faiss.knn(x, x, 3)[1])
    assert faiss.knn(x, x, 0)[0].shape == (20, 0)
    assert faiss.knn(x[:0], x, 2)[1].shape == (0, 2)
    D, ids = faiss.knn(x[:1], x[:0], 2)
    assert (ids == -1).all()
    assert (np.finfo("f4").max == D).all()


@pytest.mark.parametrize("function", [lambda a, b: faiss.knn(a, b, 2), faiss.pairwise_distances])
def test_bad_arguments(function, x):
    with pytest.raises(AssertionError):
        function(x, x[:, :3])
    with pytest.raises(ValueError):
        function(x[0], x)
    np.testing.assert_array_equal(function(x.tolist(), x), function(x, x))


def test_pairwise_distances(x):
    wanted = ((x[:, None].astype("f8") - x[None]) ** 2).sum(-1)
    np.testing.assert_allclose(faiss.pairwise_distances(x, x[:7]), wanted[:, :7], atol=1e-5)
    np.testing.assert_allclose(faiss.pairwise_distances(x, x, faiss.METRIC_INNER_PRODUCT), x @ x.T, rtol=1e-5)
    assert faiss.pairwise_distances(x[:0], x).shape == (0, 20)
    with pytest.raises(RuntimeError):
        faiss.pairwise_distances(x, x, 77)


def test_normalize(x):
    x[3] = 0
    wanted = x / np.maximum(np.linalg.norm(x.astype("f8"), axis=1, keepdims=True), 1e-30)
    assert faiss.normalize_L2(x) is None
    np.testing.assert_allclose(x, wanted, rtol=1e-5)
    for bad, exception in (
        (x.astype("f8"), TypeError),
        (np.asfortranarray(x), ValueError),
        (x[::2], ValueError),
        (x[0], (IndexError, ValueError)),
        ([1], AttributeError),
    ):
        with pytest.raises(exception):
            faiss.normalize_L2(bad)
    frozen = x.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError):
        faiss.normalize_L2(frozen)
    faiss.normalize_L2(x[:0])
    faiss.normalize_L2(np.zeros((3, 0), "f4"))


def test_random_numbers():
    assert faiss.rand(3).dtype == faiss.randn((2, 3)).dtype == np.float32
    assert faiss.randint((2, 3)).dtype == np.int64
    assert faiss.rand((2, 3)).shape == (2, 3)
    assert faiss.rand(0).shape == (0,)
    many = faiss.rand(100000)
    assert abs(many.mean() - 0.5) < 0.01
    assert 0 <= many.min() <= many.max() <= 1
    normal = faiss.randn(100000)
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    ints = faiss.randint(10000, vmax=10)
    assert set(ints.tolist()) == set(range(10))
    np.testing.assert_array_equal(faiss.rand(5000, 3), faiss.rand(5000, 3))
    assert (faiss.rand(50, 3) != faiss.rand(50, 4)).any()
    with pytest.raises((ValueError, OverflowError)):
        faiss.rand(-1)
    with pytest.raises(ValueError):
        faiss.randint(3, vmax=0)
    with pytest.raises(MemoryError):
        faiss.rand(2**60)


def test_random_numbers_do_not_depend_on_threads():
    before = faiss.omp_get_max_threads()
    try:
        results = []
        for n in (1, 2, 7):
            faiss.omp_set_num_threads(n)
            assert faiss.omp_get_max_threads() == n
            results.append((faiss.rand(10000), faiss.randn(10000), faiss.randint(10000)))
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        faiss.omp_set_num_threads(before)


def test_number_of_threads():
    before = faiss.omp_get_max_threads()
    for bad in (0, -3):
        faiss.omp_set_num_threads(bad)
        assert faiss.omp_get_max_threads() == 1
    faiss.omp_set_num_threads(before)
    assert faiss.check_openmp()


def test_kmin_kmax(x):
    D, ids = faiss.kmin(x, 3)
    np.testing.assert_array_equal(D, np.sort(x, axis=1)[:, :3])
    np.testing.assert_array_equal(np.take_along_axis(x, ids, 1), D)
    D, ids = faiss.kmax(x, 30)
    np.testing.assert_array_equal(D[:, :8], -np.sort(-x, axis=1))
    assert (ids[:, 8:] == -1).all()
    assert faiss.kmin(x.astype("f8"), 3)[0].dtype == np.float32


def test_eval_intersection():
    a, b = np.array([[1, 2], [3, 4]]), np.array([[2, 5, 1], [3, 4, 0]])
    assert faiss.eval_intersection(a, b) == 4
    assert faiss.eval_intersection(a.astype("i4"), np.array([[2, 5], [3, 9]])) == 2
    assert faiss.eval_intersection(a[:0], b[:0]) == 0
    with pytest.raises(AssertionError):
        faiss.eval_intersection(a, b[:1])


@pytest.mark.parametrize("keep_max", [False, True])
def test_merge_knn_results(rng, keep_max):
    D = np.sort(rng.random((3, 4, 5), dtype="f4"), axis=-1)
    D = D[:, :, ::-1].copy() if keep_max else D
    ids = rng.permutation(60).reshape(3, 4, 5)
    ids[1, 0, 3:] = -1
    _, ids1 = faiss.merge_knn_results(D, ids, keep_max=keep_max)
    for q in range(4):
        pairs = sorted(
            (-d if keep_max else d, i) for d, i in zip(D[:, q].ravel(), ids[:, q].ravel(), strict=True) if i >= 0
        )
        assert ids1[q].tolist() == [i for _, i in pairs[:5]]
    with pytest.raises(AssertionError):
        faiss.merge_knn_results(D, ids[:, :, :2])
    with pytest.raises(TypeError):
        faiss.merge_knn_results(D.astype("f8"), ids)


@pytest.mark.parametrize("keep_max", [False, True])
def test_result_heap(rng, keep_max):
    heap = faiss.ResultHeap(3, 4, keep_max=keep_max)
    D, ids = rng.random((3, 10), dtype="f4"), np.arange(30).reshape(3, 10)
    heap.add_result(D[:, :6], ids[:, :6])
    heap.add_result_subset(np.array([0, 2]), D[[0, 2], 6:], ids[[0, 2], 6:])
    heap.add_result_subset(np.array([1]), D[1:2, 6:], ids[1:2, 6:])
    heap.finalize()
    best = (-np.sort(-D, axis=1) if keep_max else np.sort(D, axis=1))[:, :4]
    np.testing.assert_array_equal(heap.D, best)
    np.testing.assert_array_equal(D.ravel()[heap.I], best)


def test_metrics():
    assert faiss.is_similarity_metric(faiss.METRIC_INNER_PRODUCT)
    assert not faiss.is_similarity_metric(faiss.METRIC_L2)
    assert faiss.metric_type_from_int(1) == faiss.METRIC_L2
    with pytest.raises(RuntimeError):
        faiss.metric_type_from_int(99)


SMALL = """
found = [faiss.get_numeric_type_size(kind) for kind in (faiss.Float32, faiss.Float16, faiss.UInt8, faiss.Int8)]
found += [faiss.metric_type_count(), faiss.round_clamped_to_uint8(3.5, 7), faiss.round_clamped_to_uint8(9.5, 7)]
found += [faiss.round_clamped_to_uint8(-1, 7), faiss.round_nonnegative_to_uint8(2.5), faiss.round_nonnegative_to_uint16(300.4)]
for bits in range(1, 9):
    qtype = faiss.quantizer_type_for_bits(bits)
    found += [qtype, faiss.nb_bits_for_qtype(qtype), faiss.is_eden_quantizer_type(qtype)]
    found += [faiss.code_size(13, bits), faiss.packed_code_size(13, bits)]
found += [faiss.is_eden_quantizer_type(0)]
for wrong in (0, 9):
    try:
        faiss.quantizer_type_for_bits(wrong)
    except RuntimeError:
        found.append(wrong)
result["found"] = np.array(found)
result["quantiles"] = np.array([faiss.normal_quantile(p) for p in (1e-5, 0.01, 0.3, 0.5, 0.8, 0.9999)])
result["chi2"] = np.array([faiss.chi2_quantile_wh(p, alpha) for p in (16, 50, 300) for alpha in (0.1, 0.5, 0.99)])
"""


def test_small_functions(oracle):
    wanted, result = oracle(SMALL), {}
    exec(SMALL, {"faiss": faiss, "np": np, "result": result})
    for key, value in wanted.items():
        np.testing.assert_allclose(result[key], value, rtol=1e-6, atol=1e-8, err_msg=key)
    thresholds = faiss.vector_to_array(faiss.precompute_ad_thresholds(20, 0.1))
    assert (len(thresholds), thresholds[0]) == (21, 0)
    assert thresholds[16] == pytest.approx(faiss.chi2_quantile_wh(16, 0.9) / 20)
    assert faiss.get_cycles() <= faiss.get_cycles()


def test_functions_on_pointers_check_them(rng):
    a, b, c = (rng.random(6, dtype="f4") for _ in range(3))
    wanted = a[:4] + np.float32(2) * b[:4]
    faiss.fvec_madd(4, a, 2, faiss.swig_ptr(b), c)
    np.testing.assert_allclose(c[:4], wanted, rtol=1e-6)
    # What is read is what was there before the call.
    faiss.fvec_madd(n=4, a=a, bf=2.0, b=b, c=a)
    np.testing.assert_allclose(a[:4], wanted, rtol=1e-6)
    shifted = np.arange(5, dtype="f4")
    faiss.fvec_add(4, shifted, 1.0, shifted[1:])
    assert shifted.tolist() == [0, 1, 2, 3, 4]
    faiss.fvec_add(4, shifted, shifted, shifted)
    assert shifted.tolist() == [0, 2, 4, 6, 4]
    frozen = c.copy()
    frozen.flags.writeable = False
    for arguments, exception in (
        ((7, a, 2.0, b, c), ValueError),
        ((4, a, 2.0, b, c[::2]), ValueError),
        ((4, a, 2.0, b.astype("f8"), c), TypeError),
        ((4, a, 2.0, "b", c), TypeError),
        ((4, a, 2.0, None, c), ValueError),
        ((4, a, 2.0, b, frozen), ValueError),
        ((-1, a, 2.0, b, c), OverflowError),
        ((2**63 - 1, a, 2.0, b, c), (ValueError, MemoryError, OverflowError)),
        ((4, a, 2.0, b), TypeError),
    ):
        before = c.copy()
        with pytest.raises(exception):
            faiss.fvec_madd(*arguments)
        np.testing.assert_array_equal(c, before)
    with pytest.raises(TypeError, match="fvec_madd"):
        faiss.fvec_madd(4, a, 2.0, b, c, d=1)
    faiss.fvec_madd(0, None, 2.0, None, None)
    # Two results in the same memory would be neither.
    with pytest.raises(ValueError, match="same memory"):
        faiss.fvec_L2sqr_batch_4(a, b, b, b, b, 4, c[:1], c[1:2], c[:1], c[3:4])
    assert "fvec_madd(n: int" in faiss.fvec_madd.__doc__
    assert faiss.fvec_madd.__name__ == "fvec_madd"


def test_functions_by_number_and_in_place(rng):
    x, y = rng.random((3, 5), dtype="f4"), rng.random((20, 5), dtype="f4")
    ids = np.array([[1, -1, 7, 19], [0, 0, 3, 2], [9, 8, -1, -1]])
    distances, labels = np.zeros((3, 6), "f4"), np.zeros((3, 6), "int64")
    faiss.knn_L2sqr_by_idx(x, y, ids, 5, 3, 20, 4, 6, distances, labels)
    for i in range(3):
        known = ids[i][ids[i] >= 0]
        exact = ((x[i].astype("f8") - y[known]) ** 2).sum(1)
        order = np.lexsort((known, exact))
        assert labels[i].tolist() == known[order].tolist() + [-1] * (6 - len(known))
        np.testing.assert_allclose(distances[i, : len(known)], exact[order], rtol=1e-5)
    # Rows of numbers may be apart, and the best inner products are the largest.
    wide = np.full((3, 7), -1)
    wide[:, :4] = ids
    faiss.knn_inner_products_by_idx(x, y, wide, 5, 3, 20, 4, 6, distances, labels, 7)
    assert (labels[0, :3] == ids[0][[0, 2, 3]][np.argsort(-(y[ids[0][[0, 2, 3]]] @ x[0]))]).all()
    with pytest.raises(RuntimeError):
        faiss.knn_L2sqr_by_idx(x, y, ids + 10, 5, 3, 20, 4, 6, distances, labels)
    with pytest.raises(RuntimeError):
        faiss.pairwise_indexed_L2sqr(5, 1, x, np.array([3]), y, np.array([0]), distances)
    matrix = rng.random((4, 9), dtype="f4")
    before = matrix.copy()
    faiss.matrix_qr(9, 4, matrix)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-5)
    # The rows span what they spanned.
    np.testing.assert_allclose(before @ matrix.T @ matrix, before, atol=1e-5)
    numbers = rng.integers(0, 2**20, (7, 3))
    for bits in (20, [20, 31, 23]):
        packed = faiss.pack_bitstrings(numbers, bits)
        back = faiss.unpack_bitstrings(packed, 3, bits) if bits == 20 else faiss.unpack_bitstrings(packed, bits)
        np.testing.assert_array_equal(back, numbers)
