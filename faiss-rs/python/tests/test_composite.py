"""Indexes around indexes, made from descriptions: the same results, files and errors as faiss-cpu."""

import faiss
import numpy as np
import pytest
from reference import assert_same_neighbours

# Description, and whether two programs that train it come to the same numbers.
DESCRIPTIONS = {
    "Flat": True,
    "IDMap,Flat": True,
    "IDMap2,Flat": True,
    "Flat,IDMap": True,
    "L2norm,Flat": False,
    "Pad32,Flat": True,
    "Flat,RFlat": True,
    "IDMap,Pad24,Flat": True,
    "PCA8,Flat": False,
    "PCAR8,IVF20,Flat": False,
    "RR8,Flat": False,
    "OPQ4_8,IVF20,PQ4x5": False,
    "IVF20,Flat": True,
    "IVF20,PQ4x5": True,
    "IVF20,PQ4x5,RFlat": True,
    "IDMap2,IVF20,Flat": True,
    "PQ4x5": True,
    "PQ4x5,RFlat": True,
    "PQ4x5,Refine(Flat)": True,
}


@pytest.fixture
def x(rng):
    return rng.random((2000, 16), dtype="f4")


def lineage(index):
    """The names of the classes, from the outside to the inside."""
    index = faiss.downcast_index(index)
    names = [type(index).__name__]
    for field in ("index", "base_index", "refine_index"):
        inner = getattr(index, field, None)
        names += lineage(inner) if inner is not None else []
    return names


def fill(index, x):
    index.train(x)
    try:
        index.add_with_ids(x, np.arange(len(x)) * 3)
    except RuntimeError:
        index.add(x)


def probe(index):
    found = faiss.try_extract_index_ivf(index)
    if found is not None:
        faiss.ParameterSpace().set_index_parameter(index, "nprobe", 7)


PROGRAM = f"""
def lineage(index):
    index = faiss.downcast_index(index)
    names = [type(index).__name__]
    for field in ('index', 'base_index', 'refine_index'):
        inner = getattr(index, field, None)
        names += lineage(inner) if inner is not None else []
    return names

for i, text in enumerate({list(DESCRIPTIONS)!r}):
    index = faiss.index_factory(16, text)
    result[text + ' classes'] = np.array(lineage(index))
    index.train(given['x'])
    try:
        index.add_with_ids(given['x'], np.arange(len(given['x'])) * 3)
    except RuntimeError:
        index.add(given['x'])
    result[text + ' bytes'] = faiss.serialize_index(index)
    if faiss.try_extract_index_ivf(index) is not None:
        faiss.ParameterSpace().set_index_parameter(index, 'nprobe', 7)
    result[text + ' D'], result[text + ' I'] = index.search(given['x'][:30], 5)
    ours = faiss.deserialize_index(given['ours %d' % i])
    result[text + ' again'] = faiss.serialize_index(ours)
    if faiss.try_extract_index_ivf(ours) is not None:
        faiss.ParameterSpace().set_index_parameter(ours, 'nprobe', 7)
    result[text + ' ours D'], result[text + ' ours I'] = ours.search(given['x'][:30], 5)
"""


def test_descriptions(oracle, x):
    made = {text: faiss.index_factory(16, text) for text in DESCRIPTIONS}
    for index in made.values():
        fill(index, x)
    files = {f"ours {i}": faiss.serialize_index(index) for i, index in enumerate(made.values())}
    wanted = oracle(PROGRAM, x=x, **files)
    for (text, exact), ours in zip(DESCRIPTIONS.items(), files.values(), strict=True):
        index = made[text]
        assert lineage(index) == list(wanted[f"{text} classes"]), text
        theirs = wanted[f"{text} bytes"]
        # Each reads the other's file and writes it as it was.
        np.testing.assert_array_equal(wanted[f"{text} again"], ours, err_msg=text)
        read = faiss.deserialize_index(theirs)
        np.testing.assert_array_equal(faiss.serialize_index(read), theirs, err_msg=text)
        if exact:
            np.testing.assert_array_equal(ours, theirs, err_msg=text)
        for found, key in ((read, ""), (index, "ours ")):
            probe(found)
            results = found.search(x[:30], 5)
            # Codes of few bits tie often; distances are compared everywhere, ids where they do not tie.
            assert_same_neighbours(results, (wanted[f"{text} {key}D"], wanted[f"{text} {key}I"]), rtol=1e-3)


@pytest.mark.parametrize("text", ["", "bad", "IVF", "IVF20", "PQ5", "Flat,", "OPQ5,PQ4", "PCA99,Flat", "IVF0,Flat"])
def test_descriptions_that_mean_nothing(oracle, text):
    code = f"""
try:
    index = faiss.index_factory(16, {text!r})
    result['r'] = np.array('made')
except Exception as e:
    result['r'] = np.array(type(e).__name__)
"""
    wanted = str(oracle(code)["r"])
    if wanted == "made":
        faiss.index_factory(16, text)
    else:
        with pytest.raises(Exception) as raised:
            faiss.index_factory(16, text)
        assert type(raised.value).__name__ == wanted


def test_factory_arguments():
    assert faiss.index_factory(4, "Flat", faiss.METRIC_INNER_PRODUCT).metric_type == faiss.METRIC_INNER_PRODUCT
    assert faiss.index_factory(4, "IVF8,Flat", metric=faiss.METRIC_INNER_PRODUCT).quantizer.metric_type == 0
    for args in ((4.0, "Flat"), (4, None), (4, 5), (4, "Flat", "L2")):
        with pytest.raises(TypeError):
            faiss.index_factory(*args)
    with pytest.raises(RuntimeError):
        faiss.index_factory(-1, "Flat")


def test_parameters_by_name(x):
    space = faiss.ParameterSpace()
    index = faiss.index_factory(16, "OPQ4_8,IVF20,PQ4x5,RFlat")
    ivf = faiss.extract_index_ivf(index)
    assert type(ivf) is faiss.IndexIVFPQ
    space.set_index_parameters(index, "k_factor_rf=4.5,nprobe=3")
    assert (index.k_factor, ivf.nprobe) == (4.5, 3)
    space.set_index_parameters(index, "nprobe=5 max_codes=1e3;")
    assert (ivf.nprobe, ivf.max_codes) == (5, 1000)
    space.set_index_parameter(index, "nprobe", 6.7)
    assert ivf.nprobe == 6
    space.set_index_parameters(index, "")
    for wrong in ("nprobe", "nprobe=x", "nprobe= 3", "nope=3"):
        with pytest.raises(RuntimeError):
            space.set_index_parameters(index, wrong)
    with pytest.raises(RuntimeError, match="nprobe"):
        space.set_index_parameter(faiss.IndexFlat(3), "nprobe", 1)
    for wrong in (None, 3, "index"):
        with pytest.raises(TypeError):
            space.set_index_parameter(wrong, "nprobe", 1)
    for value in (float("nan"), float("inf"), 10**30, "x", None):
        with pytest.raises((TypeError, ValueError, OverflowError, RuntimeError)):
            space.set_index_parameter(index, "nprobe", value)
    assert ivf.nprobe == 6


def test_extract(x):
    assert faiss.try_extract_index_ivf(faiss.IndexFlat(3)) is None
    assert faiss.try_extract_index_ivf(None) is None
    with pytest.raises(RuntimeError, match="'ivf' failed"):
        faiss.extract_index_ivf(faiss.IndexFlat(3))
    with pytest.raises(TypeError):
        faiss.extract_index_ivf("index")
    index = faiss.index_factory(16, "IDMap,PCA8,IVF20,Flat")
    faiss.extract_index_ivf(index).nprobe = 9
    assert index.index.index.nprobe == 9


def test_id_map(x):
    flat = faiss.IndexFlatL2(16)
    index = faiss.IndexIDMap(flat)
    with pytest.raises(RuntimeError, match="add_with_ids"):
        index.add(x)
    index.add_with_ids(x[:5], np.arange(5, dtype="int32") * 10)
    with pytest.raises(AssertionError):
        index.add_with_ids(x[:5], np.arange(4))
    assert (index.ntotal, flat.ntotal) == (5, 5)
    np.testing.assert_array_equal(faiss.vector_to_array(index.id_map), np.arange(5) * 10)
    np.testing.assert_array_equal(index.search(x[:5], 1)[1][:, 0], np.arange(5) * 10)
    params = faiss.SearchParameters(sel=faiss.IDSelectorBatch([10, 20]))
    assert set(index.search(x[:1], 3, params=params)[1][0]) == {10, 20, -1}
    with pytest.raises(RuntimeError, match="reconstruct"):
        index.reconstruct(10)
    assert index.remove_ids(np.array([10, 99])) == 1
    np.testing.assert_array_equal(faiss.vector_to_array(index.id_map), [0, 20, 30, 40])
    with pytest.raises(RuntimeError, match="ntotal == 0"):
        faiss.IndexIDMap(flat)
    for wrong in (None, 3, x):
        with pytest.raises(TypeError):
            faiss.IndexIDMap(wrong)


def test_id_map_two_ways(x):
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(16))
    index.add_with_ids(x[:5], np.arange(5) * 10)
    np.testing.assert_array_equal(index.reconstruct(30), x[3])
    np.testing.assert_array_equal(index.reconstruct_batch([40, 0]), x[[4, 0]])
    with pytest.raises(RuntimeError, match="not found"):
        index.reconstruct(31)
    index.remove_ids(np.array([0]))
    index.check_consistency()
    np.testing.assert_array_equal(index.reconstruct(30), x[3])


def test_transforms_before_an_index(x):
    pca = faiss.PCAMatrix(16, 8)
    index = faiss.IndexPreTransform(pca, faiss.IndexFlatL2(8))
    assert (index.d, index.is_trained, index.own_fields) == (16, False, False)
    with pytest.raises(RuntimeError, match="is_trained"):
        index.add(x)
    index.train(x)
    index.add(x)
    assert pca.is_trained
    assert index.chain.size() == 1
    assert type(faiss.downcast_VectorTransform(index.chain.at(0))) is faiss.PCAMatrix
    pointer = index.apply_chain(9, faiss.swig_ptr(x))
    applied = faiss.rev_swig_ptr(pointer, 9 * 8).reshape(9, 8)
    np.testing.assert_array_equal(applied, pca.apply(x[:9]))
    back = np.empty((9, 16), "f4")
    index.reverse_chain(9, faiss.swig_ptr(applied), faiss.swig_ptr(back))
    np.testing.assert_array_equal(back, pca.reverse_transform(applied))
    # BLAS sums nine vectors in another order than all.
    np.testing.assert_allclose(back, index.reconstruct_n(0, 9), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError):
        index.apply_chain(9999, faiss.swig_ptr(x))
    with pytest.raises(RuntimeError, match="d_out"):
        index.prepend_transform(faiss.RandomRotationMatrix(20, 3))
    assert (index.d, index.chain.size()) == (16, 1)
    index.prepend_transform(faiss.RandomRotationMatrix(20, 16))
    assert (index.d, index.chain.size()) == (20, 2)
    for wrong in (None, 3, faiss.IndexFlat(8)):
        with pytest.raises(TypeError):
            faiss.downcast_VectorTransform(wrong)


def test_refined(x):
    base = faiss.IndexPQ(16, 4, 5)
    index = faiss.IndexRefineFlat(base)
    index.train(x)
    index.add(x)
    exact, _ = faiss.knn(x[:20], x, 3)
    params = faiss.IndexRefineSearchParameters(k_factor=600.0)
    np.testing.assert_allclose(index.search(x[:20], 3, params=params)[0], exact, atol=1e-5)
    with pytest.raises(RuntimeError, match="empty"):
        faiss.IndexRefineFlat(base)
    again = faiss.IndexRefineFlat(base, faiss.swig_ptr(x))
    np.testing.assert_array_equal(again.search(x[:20], 3)[1], index.search(x[:20], 3)[1])
    with pytest.raises(ValueError):
        faiss.IndexRefineFlat(base, faiss.swig_ptr(x[:5]))
    with pytest.raises(RuntimeError, match="refine_index"):
        faiss.IndexRefine(faiss.IndexFlat(4), faiss.IndexFlat(5))


def test_parts_in_files_of_their_own(oracle, x, tmp_path):
    code = """
pca = faiss.PCAMatrix(16, 8); pca.train(given['x'])
faiss.write_VectorTransform(pca, given['path'].item() + '.vt')
index = faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 20)
index.train(given['x']); index.add(given['x'])
w = faiss.VectorIOWriter(); faiss.write_InvertedLists(index.invlists, w)
result['lists'] = faiss.vector_to_array(w.data)
result['applied'] = pca.apply(given['x'][:9])
"""
    path = str(tmp_path / "theirs")
    wanted = oracle(code, x=x, path=np.array(path))
    pca = faiss.read_VectorTransform(f"{path}.vt")
    assert type(pca) is faiss.PCAMatrix
    np.testing.assert_allclose(pca.apply(x[:9]), wanted["applied"], rtol=1e-4, atol=1e-5)
    faiss.write_VectorTransform(pca, str(tmp_path / "ours.vt"))
    assert (tmp_path / "ours.vt").read_bytes() == (tmp_path / "theirs.vt").read_bytes()
    # Neither is an index, and an index is no transform.
    for data in (wanted["lists"], np.frombuffer((tmp_path / "theirs.vt").read_bytes(), "u1")):
        with pytest.raises(RuntimeError, match="not recognized"):
            faiss.deserialize_index(data)
    with pytest.raises(RuntimeError, match="not recognized"):
        faiss.read_index(f"{path}.vt")
    with pytest.raises(RuntimeError, match="not recognized"):
        faiss.read_index(faiss.FileIOReader(f"{path}.vt"))
    faiss.write_index(faiss.IndexFlat(3), path)
    with pytest.raises(RuntimeError, match="VectorTransform"):
        faiss.read_VectorTransform(path)
    with pytest.raises(TypeError):
        faiss.write_VectorTransform(faiss.IndexFlat(3), path)


def test_cut_files(x):
    for text in ("IDMap2,Flat", "PCA8,Flat", "PQ4x5,RFlat", "OPQ4_8,IVF20,PQ4x5"):
        index = faiss.index_factory(16, text)
        fill(index, x[:700])
        data = faiss.serialize_index(index)
        for n in [*range(200), *range(200, len(data), 499)]:
            with pytest.raises(RuntimeError):
                faiss.deserialize_index(data[:n])


def test_descriptions_of_nothing_are_errors():
    for nonsense in (
        "IVF8,Flut",
        "Flat,IVF8",
        "PQ",
        "IDMap",
        "IVF,Flat",
        "Refine(Flat)",
        "Flat,Refine(Flut)",
        "RQ3x4_Nfoo",
        "PCA4,PLSQ2",
        "Residual8,SQ8",
    ):
        with pytest.raises(RuntimeError, match="could not parse"):
            faiss.index_factory(8, nonsense)


def test_parts_with_numbers_as_faiss(oracle, here):
    # In Faiss what is within an index goes with it: all stay in `kept`.
    code = """
made, kept = [], []
for key in ("Residual8,PQ4", "Residual2x4,PQ4x6", "HNSW16_2x4+PQ4", "HNSW16_8+PQ4"):
    kept.append(faiss.index_factory(16, key))
    layers = faiss.downcast_index(kept[-1].storage) if key.startswith("HNSW") else kept[-1]
    multi = isinstance(faiss.downcast_index(layers.q1.quantizer), faiss.MultiIndexQuantizer)
    made.append([layers.q1.nlist, layers.pq.M, layers.pq.nbits, layers.code_size, multi])
result["layers"] = np.array(made)
kept += [faiss.index_factory(12, key) for key in ("HR,Flat", "HR5,Flat", "L2Norm,Flat")]
first, second, norm = [faiss.downcast_VectorTransform(index.chain.at(0)) for index in kept[-3:]]
result["rotated"] = np.array([first.seed, first.d_out, second.seed, second.d_out, norm.norm])
"""
    ours, wanted = here(code), oracle(code)
    for name in wanted:
        np.testing.assert_array_equal(ours[name], wanted[name], name)


def test_two_layers_of_a_description_hold_vectors(x):
    for key in ("Residual2x4,PQ4", "Residual8,PQ4", "HNSW16_2x4+PQ4"):
        index = faiss.index_factory(16, key)
        fill(index, x[:700])
        assert index.ntotal == 700
        # Better than one point for all.
        assert np.square(index.reconstruct_n(0, 700) - x[:700]).sum() < np.square(x[:700] - x[:700].mean(0)).sum()
    with pytest.raises(RuntimeError, match="inner prod"):
        faiss.index_factory(16, "Residual8,PQ4", faiss.METRIC_INNER_PRODUCT)
