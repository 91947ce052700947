"""Quantizers, against faiss-cpu and against what they promise."""

import faiss
import numpy as np
import pytest


@pytest.fixture
def x(rng):
    return rng.random((600, 12), dtype="f4")


def test_product_quantizer(x):
    pq = faiss.ProductQuantizer(12, 4, 6)
    assert (pq.d, pq.M, pq.nbits, pq.dsub, pq.ksub, pq.code_size) == (12, 4, 6, 3, 64, 3)
    pq.cp.niter = 5
    assert pq.cp.niter == 5
    pq.train(x.astype("f8"))
    codes = pq.compute_codes(np.asfortranarray(x))
    assert (codes.shape, codes.dtype) == ((600, 3), np.uint8)
    decoded = pq.decode(codes)
    assert ((decoded - x) ** 2).sum(1).mean() < 0.5 * ((x - x.mean(0)) ** 2).sum(1).mean()
    centroids = faiss.vector_to_array(pq.centroids).reshape(4, 64, 3)
    dis = ((x.reshape(-1, 4, 1, 3) - centroids[None]) ** 2).sum(-1)
    np.testing.assert_allclose(decoded.reshape(-1, 4, 3), centroids[np.arange(4), dis.argmin(-1)], rtol=1e-6)
    tables = np.empty((5, 4, 64), "f4")
    pq.compute_distance_tables(5, faiss.swig_ptr(x[:5].copy()), faiss.swig_ptr(tables))
    np.testing.assert_allclose(tables, dis[:5], rtol=1e-4, atol=1e-5)
    assert isinstance(pq, faiss.Quantizer)


def test_the_codes_of_faiss(oracle, here, x):
    code = """
for name, args in {'8': (12, 4, 8), '4': (12, 6, 4), '5': (12, 3, 5), '1': (12, 12, 1)}.items():
    pq = faiss.ProductQuantizer(*args)
    pq.train(given['x'])
    result[name + ' centroids'] = faiss.vector_to_array(pq.centroids)
    result[name + ' codes'] = pq.compute_codes(given['x'])
"""
    wanted = oracle(code, x=x)
    ours = here(code, x=x)
    for key, value in wanted.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-4, atol=1e-4, err_msg=key)


def test_bad_input(x):
    pq = faiss.ProductQuantizer(12, 4, 4)
    with pytest.raises(AssertionError):
        pq.train(x[:, :4])
    with pytest.raises(ValueError):
        pq.train(x[0])
    pq.train(x)
    with pytest.raises(AssertionError):
        pq.compute_codes(x[:, :4])
    with pytest.raises(AssertionError):
        pq.decode(np.zeros((3, 5), "u1"))
    with pytest.raises(TypeError):
        pq.decode(np.zeros((3, 2), "i8"))
    for args in ((12, 5, 8), (12, 4, 99), (12, 4, -1), (-12, 4, 8), (12, 0, 8), ("a", 4, 8)):
        with pytest.raises((RuntimeError, TypeError, ValueError, OverflowError)):
            faiss.ProductQuantizer(*args)


def test_files(oracle, x, tmp_path):
    pq = faiss.ProductQuantizer(12, 4, 4)
    pq.train(x)
    path = str(tmp_path / "a.pq")
    faiss.write_ProductQuantizer(pq, path)
    made = faiss.read_ProductQuantizer(path)
    np.testing.assert_array_equal(made.compute_codes(x), pq.compute_codes(x))
    writer = faiss.VectorIOWriter()
    faiss.write_ProductQuantizer(pq, writer)
    data = faiss.vector_to_array(writer.data)
    code = """
r = faiss.VectorIOReader(); faiss.copy_array_to_vector(given['bytes'], r.data)
pq = faiss.read_ProductQuantizer(r)
result['codes'] = pq.compute_codes(given['x'])
w = faiss.VectorIOWriter(); faiss.write_ProductQuantizer(pq, w)
result['bytes'] = faiss.vector_to_array(w.data)
"""
    wanted = oracle(code, bytes=data, x=x)
    np.testing.assert_array_equal(wanted["codes"], pq.compute_codes(x))
    np.testing.assert_array_equal(wanted["bytes"], data)
    for n in range(len(data)):
        reader = faiss.VectorIOReader()
        faiss.copy_array_to_vector(data[:n], reader.data)
        with pytest.raises(RuntimeError):
            faiss.read_ProductQuantizer(reader)
    with pytest.raises(TypeError):
        faiss.write_ProductQuantizer(3, path)
