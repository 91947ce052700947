"""Objects that refer to each other: what would wait for itself, or never end, is refused; parameters by name; names that programs import."""

import importlib
import json
import sys
import threading

import faiss
import numpy as np
import pytest


def inverted(seed: int = 1, nlist: int = 4) -> faiss.IndexIVFFlat:
    index = faiss.index_factory(4, f"IVF{nlist},Flat")
    x = np.random.RandomState(seed).rand(200, 4).astype("float32")
    index.train(x)
    index.add(x)
    return index


def within(seconds: float, work) -> None:
    """Runs `work` in a thread and fails if it hangs."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


def test_a_method_that_reads_an_object_does_not_wait_for_itself():
    index = inverted()
    with pytest.raises(TypeError, match="can't take the object itself"):
        within(20, lambda: index.copy_subset_to(index, 0, 0, 10))
    with pytest.raises(TypeError, match="can't take the object itself"):
        within(20, lambda: index.invlists.copy_subset_to(index.invlists, 0, 0, 10))
    with pytest.raises(TypeError, match="can't take the object itself"):
        within(20, lambda: index.invlists.merge_from(index.invlists, 5))
    assert index.ntotal == 200


def test_two_threads_that_copy_crosswise_both_end():
    one, two = inverted().invlists, inverted().invlists

    def copy(source, target) -> None:
        for _ in range(300):
            # No id is within these bounds: entries that were copied back and forth would double each time.
            source.copy_subset_to(target, 0, 0, 0)

    def both() -> None:
        threads = [threading.Thread(target=copy, args=pair, daemon=True) for pair in ((one, two), (two, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    within(120, both)


def test_circles_of_objects_are_refused_when_they_are_made():
    flat = faiss.IndexFlatL2(4)
    outer = faiss.IndexIDMap(flat)
    middle = faiss.IndexIDMap(faiss.IndexFlatL2(4))
    with pytest.raises(ValueError, match="can't refer to"):
        outer.index = outer
    outer.index = middle
    with pytest.raises(ValueError, match="can't refer to"):
        middle.index = outer
    chain = faiss.IndexPreTransform(outer)
    with pytest.raises(ValueError, match="can't refer to"):
        middle.index = chain
    sel = faiss.IDSelectorNot(faiss.IDSelectorAll())
    with pytest.raises(ValueError, match="can't refer to"):
        sel.sel = sel
    both = faiss.IDSelectorAnd(sel, sel)
    with pytest.raises(ValueError, match="can't refer to"):
        sel.sel = both
    # The way through a part of an object.
    product = faiss.IndexPQ(4, 2, 4)
    with pytest.raises(ValueError, match="can't refer to"):
        product.pq.assign_index = product
    # What is no circle goes on working.
    middle.index = flat
    middle.add_with_ids(np.eye(4, dtype="float32"), np.arange(4) + 10)
    assert middle.search(np.eye(4, dtype="float32"), 1)[1].ravel().tolist() == [10, 11, 12, 13]
    faiss.clone_index(outer)


PARAMETERS = """
import faiss
names = ["ntotal", "d", "nlist", "code_size", "own_fields", "nprobe", "max_codes", "k_factor", "k_factor_rf", "ht", "verbose",
         "quantizer_nprobe", "quantizer_verbose", "metric_type", "is_trained", "niter"]
found = {}
for description in ["Flat", "IVF4,Flat", "IVF4,PQ2", "PQ2", "IDMap,IVF4,Flat", "PCA4,IVF4,Flat", "IVF4,Flat,RFlat", "IVF4(IVF2,Flat),Flat"]:
    index = faiss.index_factory(8, description)
    taken = []
    for name in names:
        try:
            faiss.ParameterSpace().set_index_parameter(index, name, 2)
            taken.append(name)
        except RuntimeError:
            pass
    space = faiss.ParameterSpace()
    space.initialize(index)
    ranges = []
    for i in range(space.parameter_ranges.size()):
        one = space.parameter_ranges.at(i)
        ranges.append([one.name, [one.values.at(j) for j in range(one.values.size())]])
    found[description] = [taken, ranges]
"""


def test_only_declared_parameters_are_set_by_name(oracle):
    ours: dict[str, dict[str, list]] = {}
    exec(PARAMETERS, ours)
    theirs = oracle(PARAMETERS + "\nimport json\nresult['found'] = np.array(json.dumps(found))")
    assert ours["found"] == json.loads(str(theirs["found"]))
    assert ours["found"]["IVF4,Flat"][0] == ["nprobe", "max_codes", "verbose", "quantizer_verbose"]
    assert ours["found"]["IVF4,Flat,RFlat"][0] == ["nprobe", "max_codes", "k_factor_rf", "verbose", "quantizer_verbose"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("swigfaiss", "IndexIDMap"),
        ("class_wrappers", "replace_method"),
        ("extra_wrappers", "knn"),
        ("array_conversions", "vector_to_array"),
        ("gpu_wrappers", "knn_gpu"),
    ],
)
def test_names_are_where_programs_import_them(module: str, name: str):
    found = getattr(importlib.import_module(f"faiss.{module}"), name)
    assert found is getattr(faiss, name, found)
    with pytest.raises(AttributeError):
        getattr(importlib.import_module(f"faiss.{module}"), "no_such_name")  # noqa: B009


def test_constructors_and_methods_take_keywords_and_say_what_they_take():
    index = faiss.IndexFlat(d=3, metric=faiss.METRIC_INNER_PRODUCT)
    assert (index.d, index.metric_type) == (3, faiss.METRIC_INNER_PRODUCT)
    assert faiss.IDSelectorRange(imin=2, imax=5, assume_sorted=True).assume_sorted
    assert faiss.SearchParametersIVF(nprobe=7, max_codes=3).nprobe == 7
    with pytest.raises(TypeError, match=r"Possible prototypes are:(.|\n)*\(d: int, metric: int = METRIC_L2\)"):
        faiss.IndexFlat("three")
    with pytest.raises(OverflowError):
        faiss.ArrayInvertedLists(-1, 4)
    lists = faiss.ArrayInvertedLists(2, 4)
    with pytest.raises(TypeError, match="unexpected keyword argument 'offset'"):
        lists.list_size(offset=1)
    assert "list_no: int" in faiss.InvertedLists.list_size.__doc__


def test_attributes_of_ones_own(monkeypatch):
    """As in Faiss: an index has no attributes but its own, other objects may be given some; a member that is missing here is never made up."""
    index = faiss.IndexFlatL2(4)
    with pytest.raises(AttributeError, match="ntotall"):
        index.ntotall = 3
    for made in (
        faiss.IDSelectorRange(0, 3),
        faiss.SearchParametersIVF(),
        faiss.IndexBinaryFlat(8),
        faiss.Float32Vector(),
    ):
        made.note = "mine"
        assert made.note == "mine"
    monkeypatch.setattr(faiss.loader, "_all_members", lambda: {"OPQMatrix": "later"})
    with pytest.raises(NotImplementedError):
        faiss.OPQMatrix(4, 2).later = None


def test_parameters_keep_the_objects_of_their_fields():
    """One reference each, let go when another object takes the place."""
    selector = faiss.IDSelectorRange(0, 3)
    before = sys.getrefcount(selector)
    params = faiss.SearchParametersIVF(sel=selector, nprobe=2)
    other = faiss.SearchParameters()
    other.sel = selector
    other.sel = selector
    assert sys.getrefcount(selector) == before + 2
    other.sel = faiss.IDSelectorAll()
    assert sys.getrefcount(selector) == before + 1
    params.sel = None
    assert sys.getrefcount(selector) == before


def test_what_is_added_is_referred_to():
    for collection, add in ((faiss.IndexShards(4), "add_shard"), (faiss.IndexReplicas(4), "addIndex")):
        parts = [faiss.IndexFlatL2(4), faiss.IndexFlatL2(4)]
        for part in parts:
            getattr(collection, add)(part)
        assert [a is b for a, b in zip(collection.referenced_objects, parts, strict=True)] == [True, True]
    chained = faiss.IndexPreTransform(faiss.IndexFlatL2(4))
    transform = faiss.PCAMatrix(6, 4)
    chained.prepend_transform(transform)
    assert chained.referenced_objects[1] is transform


def test_lists_of_objects():
    one, two = faiss.ArrayInvertedLists(3, 2), faiss.ArrayInvertedLists(3, 2)
    both = faiss.InvertedListsPtrVector()
    both.push_back(one)
    both.push_back(two)
    stacked = faiss.VStackInvertedLists(2, both.data())
    assert [lists.nlist for lists in stacked.ils] == [3, 3]
    assert faiss.vector_to_array(stacked.cumsz).tolist() == [0, 3, 6]
    assert faiss.HStackInvertedLists(2, both.data()).ils.size() == 2
    assert faiss.SliceInvertedLists(one, 1, 2).il.nlist == faiss.MaskedInvertedLists(one, two).il1.nlist == 3
    assert faiss.StopWordsInvertedLists(one, 5).il0.code_size == 2
    split = faiss.IndexSplitVectors(4)
    split.add_sub_index(faiss.IndexFlatL2(4))
    assert split.sub_indexes.at(0).d == 4
    replicas = faiss.IndexReplicas(4)
    replicas.addIndex(faiss.IndexFlatL2(4))
    seen = []
    replicas.runOnIndex(lambda i, index: seen.append((i, index.d)))
    assert seen == [(0, 4)]
