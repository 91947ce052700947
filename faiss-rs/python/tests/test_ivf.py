"""Inverted files: behaviour, bad input, sub-objects, and the same results and files as faiss-cpu."""

import copy
import gc
import pickle

import faiss
import numpy as np
import pytest

MAKE = {
    "IVFFlat": lambda f: f.IndexIVFFlat(f.IndexFlatL2(16), 16, 20),
    "IVFFlat IP": lambda f: f.IndexIVFFlat(f.IndexFlatIP(16), 16, 20, f.METRIC_INNER_PRODUCT),
    "IVFPQ": lambda f: f.IndexIVFPQ(f.IndexFlatL2(16), 16, 20, 4, 5),
}


@pytest.fixture
def x(rng):
    return rng.random((3000, 16), dtype="f4")


@pytest.fixture(params=MAKE)
def index(request, x):
    index = MAKE[request.param](faiss)
    index.train(x)
    index.add(x)
    index.nprobe = 5
    return index


@pytest.mark.parametrize("name", MAKE)
def test_the_results_and_files_of_faiss(oracle, x, name):
    make = {
        "IVFFlat": "faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 20)",
        "IVFFlat IP": "faiss.IndexIVFFlat(faiss.IndexFlatIP(16), 16, 20, faiss.METRIC_INNER_PRODUCT)",
        "IVFPQ": "faiss.IndexIVFPQ(faiss.IndexFlatL2(16), 16, 20, 4, 5)",
    }[name]
    code = f"""
index = {make}
index.train(given['x']); index.add(given['x']); index.nprobe = 5
result['D'], result['I'] = index.search(given['x'][:50], 7)
result['centroids'] = index.quantizer.reconstruct_n()
result['sizes'] = np.array([index.invlists.list_size(i) for i in range(20)])
result['bytes'] = faiss.serialize_index(index)
ours = faiss.deserialize_index(given['bytes']); ours.nprobe = 5
result['theirs_of_ours'] = ours.search(given['x'][:50], 7)[0]
"""
    index = MAKE[name](faiss)
    index.train(x)
    index.add(x)
    index.nprobe = 5
    wanted = oracle(code, x=x, bytes=faiss.serialize_index(index))
    np.testing.assert_allclose(index.quantizer.reconstruct_n(), wanted["centroids"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal([index.invlists.list_size(i) for i in range(20)], wanted["sizes"])
    D, ids = index.search(x[:50], 7)
    np.testing.assert_allclose(D, wanted["D"], rtol=1e-3, atol=1e-4)
    assert (ids == wanted["I"]).mean() > 0.99
    np.testing.assert_allclose(wanted["theirs_of_ours"], D, rtol=1e-3, atol=1e-4)
    made = faiss.deserialize_index(wanted["bytes"])
    made.nprobe = 5
    assert type(made) is type(index)
    np.testing.assert_allclose(made.search(x[:50], 7)[0], wanted["D"], rtol=1e-3, atol=1e-4)
    assert len(faiss.serialize_index(index)) == len(wanted["bytes"])


def test_copies(index, x):
    for made in (
        faiss.clone_index(index),
        copy.deepcopy(index),
        pickle.loads(pickle.dumps(index)),
        faiss.deserialize_index(faiss.serialize_index(index)),
    ):
        made.nprobe = 5
        np.testing.assert_array_equal(made.search(x[:9], 4)[1], index.search(x[:9], 4)[1])


def test_parts_and_sub_objects_alias_and_outlive(index, x):
    index.quantizer.verbose = True
    assert index.quantizer.verbose
    index.cp.niter = 7
    assert index.cp.niter == 7
    quantizer, lists, cp = index.quantizer, index.invlists, index.cp
    sizes = sum(lists.list_size(i) for i in range(lists.nlist))
    assert sizes == 3000
    assert isinstance(index.direct_map, faiss.DirectMap)
    del index
    gc.collect()
    assert (quantizer.ntotal, lists.compute_ntotal(), cp.niter) == (20, 3000, 7)


def test_parameters(index, x):
    params = faiss.SearchParametersIVF(nprobe=20, sel=faiss.IDSelectorRange(0, 100))
    _, ids = index.search(x[:9], 5, params=params)
    assert (ids < 100).all()
    assert (ids >= 0).all()
    assert faiss.IVFSearchParameters is faiss.SearchParametersIVF
    with pytest.raises(AssertionError):
        faiss.SearchParametersIVF(nprob=3)


def test_preassigned(index, x):
    Dq, Iq = index.quantizer.search(x[:9], 5)
    D, ids = index.search_preassigned(x[:9], 4, Iq, Dq)
    wanted = index.search(x[:9], 4)
    np.testing.assert_array_equal(ids, wanted[1])
    np.testing.assert_allclose(D, wanted[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(AssertionError):
        index.search_preassigned(x[:9], 4, Iq[:, :3], Dq[:, :3])
    with pytest.raises((RuntimeError, IndexError)):
        index.search_preassigned(x[:9], 4, Iq + 10**6, Dq)


def test_direct_map(index, x):
    with pytest.raises(RuntimeError, match="direct map"):
        index.reconstruct(42)
    index.make_direct_map()
    assert index.direct_map.type == faiss.DirectMap.Array
    assert ((index.reconstruct(42) - x[42]) ** 2).sum() < 2
    assert index.reconstruct_n(0, 10).shape == (10, 16)
    index.set_direct_map_type(faiss.DirectMap.Hashtable)
    assert index.remove_ids(np.array([1, 2, 10**9])) == 2
    assert index.ntotal == 2998
    with pytest.raises(RuntimeError):
        index.reconstruct(1)
    index.update_vectors(np.array([5]), x[7:8])
    np.testing.assert_array_equal(index.reconstruct(5), index.reconstruct(7))


def test_lists(index):
    n = index.invlists.list_size(3)
    ids = faiss.rev_swig_ptr(index.invlists.get_ids(3), n)
    codes = faiss.rev_swig_ptr(index.invlists.get_codes(3), n * index.code_size)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(
        faiss.rev_swig_ptr(index.invlists.get_single_code(3, 2), index.code_size),
        codes.reshape(n, -1)[2],
    )
    for bad in (-1, 20, 2**40):
        with pytest.raises((RuntimeError, OverflowError, ValueError)):
            index.invlists.list_size(bad)
    with pytest.raises(RuntimeError):
        index.invlists.get_single_code(3, n)
    lists = faiss.ArrayInvertedLists(4, 2)
    lists.add_entries(1, 3, faiss.swig_ptr(np.arange(3)), faiss.swig_ptr(np.arange(6, dtype="u1")))
    assert (lists.list_size(1), lists.compute_ntotal()) == (3, 3)
    with pytest.raises(ValueError):
        lists.add_entries(1, 4, faiss.swig_ptr(np.arange(3)), faiss.swig_ptr(np.arange(6, dtype="u1")))


def test_bad_input(x):
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 20)
    assert not index.is_trained
    with pytest.raises(RuntimeError, match="is_trained"):
        index.add(x)
    with pytest.raises(RuntimeError, match="training points"):
        index.train(x[:5])
    with pytest.raises(RuntimeError, match="dimension"):
        faiss.IndexIVFFlat(faiss.IndexFlatL2(15), 16, 20)
    with pytest.raises(TypeError):
        faiss.IndexIVFFlat(None, 16, 20)
    for args in ((16, 20, 5, 8), (16, 20, 4, 99), (16, -1, 4, 8)):
        with pytest.raises((RuntimeError, ValueError, OverflowError)):
            faiss.IndexIVFPQ(faiss.IndexFlatL2(16), *args)


def test_cut_files(index):
    data = faiss.serialize_index(index)
    for n in [*range(400), *range(400, len(data), 997)]:
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(data[:n])


def test_transforms(oracle, here, x):
    code = """
x = given['x']
pca = faiss.PCAMatrix(16, 5); pca.train(x)
result['pca'] = np.abs(pca.apply(x))
result['back'] = pca.reverse_transform(pca.apply(x))
"""
    wanted = oracle(code, x=x)
    ours = here(code, x=x)
    for key, value in wanted.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-3, atol=1e-3, err_msg=key)
    with pytest.raises(AssertionError):
        faiss.PCAMatrix(16, 5).train(x[:, :4])
    with pytest.raises(RuntimeError):
        faiss.PCAMatrix(16, 5).apply(x)


def test_statistics(oracle, here, x):
    code = """
x = given['x']
stats = faiss.cvar.indexIVF_stats
stats.reset()
for name, index in (('flat', faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 20)),
                    ('pq', faiss.IndexIVFPQ(faiss.IndexFlatL2(16), 16, 20, 4, 5))):
    index.train(x)
    index.add(x[:10])
    index.nprobe = 20
    def count(what):
        result[f'{name} {what}'] = np.array([stats.nq, stats.nlist, stats.ndis])
        stats.reset()
    count('before')
    index.search(x[:30], 5)
    count('empty lists')
    index.add(x[10:])
    index.nprobe = 5
    index.search(x[:30], 5)
    assert stats.nheap_updates >= 30 * 5, stats.nheap_updates
    assert 0 < stats.quantization_time < stats.search_time
    count('search')
    index.search(x[:1], 1)
    assert 0 < stats.nheap_updates < 50
    count('one')
    index.range_search(x[:30], 0.5)
    assert stats.nheap_updates == 0
    assert stats.search_time > 0
    count('range')
    D, I = index.quantizer.search(x[:30], 5)
    index.search_preassigned(x[:30], 5, I, D)
    assert stats.search_time == 0
    count('preassigned')
    index.search(x[:30], 5, params=faiss.SearchParametersIVF(nprobe=5, max_codes=300))
    count('limit')
    index.search_and_reconstruct(x[:30], 5)
    count('vectors')
    index.search(x[:30], 5)
    again = faiss.IndexIVFStats()
    again.add(stats)
    again.add(faiss.cvar.indexIVF_stats)
    assert again.nq == 60, again.nq
    stats.nq = 7
    assert faiss.cvar.indexIVF_stats.nq == 7
    stats.reset()
"""
    wanted = oracle(code, x=x)
    ours = here(code, x=x)
    assert len(wanted) == 16
    for key, value in wanted.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)
