"""Inverted lists of other kinds than those in memory: on disk, mapped, made of others; and who may change them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress

import faiss
import numpy as np
import pytest
from faiss.contrib.ondisk import merge_ondisk

D = 16


def made(desc="IVF8,Flat", n=600, seed=1):
    index = faiss.index_factory(D, desc)
    x = np.random.default_rng(seed).random((n, D), dtype="f4")
    index.train(x)
    index.add(x)
    return index, x


def entries(lists, list_no):
    """A list's ids and codes, copied."""
    n = lists.list_size(list_no)
    ids = faiss.rev_swig_ptr(lists.get_ids(list_no), n).copy() if n else np.empty(0, "int64")
    size = n * lists.code_size
    return ids, faiss.rev_swig_ptr(lists.get_codes(list_no), size).copy() if n else np.empty(0, "uint8")


def assert_same_lists(one, two):
    assert (one.nlist, one.code_size) == (two.nlist, two.code_size)
    for i in range(one.nlist):
        for a, b in zip(entries(one, i), entries(two, i), strict=True):
            np.testing.assert_array_equal(a, b)


def pointers(lists):
    vector = faiss.InvertedListsPtrVector()
    for one in lists:
        vector.push_back(one)
    return vector


def array_lists(sizes, code_size=3, first=0):
    lists = faiss.ArrayInvertedLists(len(sizes), code_size)
    for i, n in enumerate(sizes):
        ids = np.arange(first, first + n, dtype="int64")
        codes = ((ids[:, None] * 7 + np.arange(code_size)) % 251).astype("uint8")
        lists.add_entries(i, n, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        first += n
    return lists


@pytest.mark.parametrize("desc", ["IVF8,Flat", "IVF8,PQ4x4np", "IVF8,PQ8x5np"])
@pytest.mark.parametrize("flag", ["IO_FLAG_MMAP", "IO_FLAG_MMAP_IFC"])
def test_a_mapped_file_is_searched_and_not_changed(tmp_path, desc, flag):
    index, x = made(desc)
    index.nprobe = 4
    path = str(tmp_path / "index")
    faiss.write_index(index, path)
    before = (tmp_path / "index").read_bytes()
    mapped = faiss.read_index(path, getattr(faiss, flag))
    kind = {"IO_FLAG_MMAP": "OnDiskInvertedLists", "IO_FLAG_MMAP_IFC": "ArrayInvertedLists"}[flag]
    assert type(faiss.downcast_InvertedLists(mapped.invlists)).__name__ == kind
    for k in (1, 5):
        for a, b in zip(index.search(x[:30], k), mapped.search(x[:30], k), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(index.reconstruct_n(0, 600), mapped.reconstruct_n(0, 600))
    with pytest.raises(RuntimeError):
        mapped.add(x)
    with pytest.raises(RuntimeError):
        mapped.remove_ids(np.array([1, 2]))
    assert mapped.ntotal == 600
    np.testing.assert_array_equal(index.search(x[:30], 5)[1], mapped.search(x[:30], 5)[1])
    assert (tmp_path / "index").read_bytes() == before
    del mapped


def test_a_large_file_is_opened_without_being_loaded(tmp_path):
    code = """
    import faiss, numpy as np, resource, sys
    if sys.argv[2] == 'write':
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(64), 64, 16)
        x = np.random.default_rng(1).random((200_000, 64), dtype='f4')
        index.train(x[:1000]); index.add(x)
        faiss.write_index(index, sys.argv[1])
    else:
        resident = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096
        before = resident()
        index = faiss.read_index(sys.argv[1], getattr(faiss, sys.argv[2]))
        assert index.ntotal == 200_000
        assert resident() - before < 8 << 20, resident() - before
        index.search(np.zeros((1, 64), 'f4'), 1)
    """
    for what in ("write", "IO_FLAG_MMAP", "IO_FLAG_MMAP_IFC"):
        subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "i"), what], check=True)


@pytest.mark.parametrize("desc", ["PQ8x5np", "Flat", "IDMap,PQ4x4np", "IVF8,Flat"])
def test_zero_copy_reader(desc):
    index = faiss.index_factory(D, desc)
    x = np.random.default_rng(1).random((600, D), dtype="f4")
    index.train(x)
    if desc.startswith("IDMap"):
        index.add_with_ids(x, np.arange(600))
    else:
        index.add(x)
    data = faiss.serialize_index(index)
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), len(data))
    for _ in range(2):
        read = faiss.read_index(reader)
        reader.reset()
        np.testing.assert_array_equal(read.search(x[:9], 4)[1], index.search(x[:9], 4)[1])
    np.testing.assert_array_equal(faiss.serialize_index(read), data)
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(data), len(data) - 1)
    with pytest.raises(RuntimeError):
        faiss.read_index(reader)


@pytest.mark.parametrize("bsz", [1, 100, 1 << 20])
def test_buffered_streams(tmp_path, bsz):
    index, _ = made()
    with open(tmp_path / "f", "wb") as f:
        faiss.write_index(index, faiss.BufferedIOWriter(faiss.PyCallbackIOWriter(f.write), bsz))
    assert (tmp_path / "f").read_bytes() == faiss.serialize_index(index).tobytes()
    with open(tmp_path / "f", "rb") as f:
        read = faiss.read_index(faiss.BufferedIOReader(faiss.PyCallbackIOReader(f.read), bsz))
    np.testing.assert_array_equal(faiss.serialize_index(read), faiss.serialize_index(index))
    with pytest.raises(TypeError):
        faiss.BufferedIOWriter(faiss.VectorIOReader())

    def fails(b):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        faiss.write_index(index, faiss.BufferedIOWriter(faiss.PyCallbackIOWriter(fails), bsz))


@pytest.mark.parametrize("desc", ["IVF8,Flat", "IVF8,PQ4x4np", "IVF8,PQ8x5np"])
def test_lists_on_disk_are_those_in_memory(tmp_path, desc):
    index, x = made(desc)
    disk = faiss.clone_index(index)
    disk.reset()
    lists = faiss.OnDiskInvertedLists(8, index.code_size, str(tmp_path / "lists"))
    disk.replace_invlists(lists)
    index.reset()
    for part in np.array_split(x, 7):
        index.add(part)
        disk.add(part)
    assert_same_lists(index.invlists, lists)
    index.remove_ids(np.arange(0, 600, 3))
    disk.remove_ids(np.arange(0, 600, 3))
    assert_same_lists(index.invlists, lists)
    index.nprobe = disk.nprobe = 3
    np.testing.assert_array_equal(index.search(x[:40], 6)[1], disk.search(x[:40], 6)[1])
    faiss.write_index(disk, str(tmp_path / "index"))
    read = faiss.read_index(str(tmp_path / "index"))
    assert_same_lists(index.invlists, faiss.downcast_InvertedLists(read.invlists))
    moved = tmp_path / "moved"
    moved.mkdir()
    os.rename(tmp_path / "index", moved / "index")
    os.rename(tmp_path / "lists", moved / "lists")
    with pytest.raises(RuntimeError, match="could not open"):
        faiss.read_index(str(moved / "index"))
    read = faiss.read_index(str(moved / "index"), faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_READ_ONLY)
    assert_same_lists(index.invlists, faiss.downcast_InvertedLists(read.invlists))
    with pytest.raises(RuntimeError, match="read-only"):
        read.add(x)


def test_files_of_lists_on_disk_go_both_ways(oracle, tmp_path):
    index, x = made()
    lists = faiss.OnDiskInvertedLists(8, index.code_size, str(tmp_path / "ours"))
    disk = faiss.clone_index(index)
    disk.reset()
    disk.replace_invlists(lists)
    disk.add(x)
    disk.remove_ids(np.arange(100))
    index.remove_ids(np.arange(100))
    faiss.write_index(disk, str(tmp_path / "ours.index"))
    theirs = oracle(
        f"""
index = faiss.read_index({str(tmp_path / "ours.index")!r})
index.nprobe = 8
result['D'], result['I'] = index.search(given['x'][:50], 5)
index.add(given['x'][:100])
faiss.write_index(index, {str(tmp_path / "ours2.index")!r})
empty = faiss.read_index({str(tmp_path / "ours.index")!r})
lists = faiss.OnDiskInvertedLists(8, empty.code_size, {str(tmp_path / "theirs")!r})
empty.replace_invlists(lists)
empty.ntotal = 0
empty.add(given['x'])
faiss.write_index(empty, {str(tmp_path / "theirs.index")!r})
""",
        x=x,
    )
    index.nprobe = 8
    np.testing.assert_array_equal(theirs["I"], index.search(x[:50], 5)[1])
    grown = faiss.read_index(str(tmp_path / "ours2.index"))
    index.add(x[:100])
    assert_same_lists(index.invlists, faiss.downcast_InvertedLists(grown.invlists))
    read = faiss.read_index(str(tmp_path / "theirs.index"))
    assert_same_lists(made()[0].invlists, faiss.downcast_InvertedLists(read.invlists))
    read.add(x)
    read.remove_ids(np.arange(300))
    assert read.ntotal == read.invlists.compute_ntotal() == 900


def test_a_process_that_is_killed_leaves_what_was_written(tmp_path):
    index, _ = made("IVF8,PQ4x4np")
    faiss.write_index(index, str(tmp_path / "trained"))
    code = f"""
    import faiss, numpy as np, sys
    index = faiss.read_index({str(tmp_path / "trained")!r})
    index.reset()
    index.replace_invlists(faiss.OnDiskInvertedLists(8, index.code_size, {str(tmp_path / "lists")!r}))
    rng = np.random.default_rng(3)
    for round in range(10_000):
        index.add(rng.random((500, 16), dtype='f4'))
        index.remove_ids(faiss.IDSelectorRange(index.ntotal // 3, index.ntotal // 2))
        if round % 5 == 4:
            faiss.write_index(index, {str(tmp_path / "index")!r})
            np.save({str(tmp_path / "wanted.tmp.npy")!r}, np.concatenate(
                [np.concatenate([faiss.rev_swig_ptr(index.invlists.get_ids(i), index.invlists.list_size(i)) for i in range(8)])]))
            print(round, flush=True)
        if index.ntotal > 20_000:
            index.reset()
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    for _ in range(3):
        assert child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    read = faiss.read_index(str(tmp_path / "index"))
    lists = read.invlists
    assert lists.compute_ntotal() == read.ntotal
    ids = np.concatenate([entries(lists, i)[0] for i in range(8)])
    wanted = np.load(tmp_path / "wanted.tmp.npy")
    # The list of ids is written after the index: it may be of the round before.
    assert len(ids) != len(wanted) or (ids == wanted).all()
    assert ids.min() >= 0
    read.add(np.random.default_rng(1).random((1000, 16), dtype="f4"))
    assert lists.compute_ntotal() == read.ntotal


def test_merging_shards_on_disk(tmp_path):
    trained, x = made()
    trained.reset()
    faiss.write_index(trained, str(tmp_path / "trained"))
    names = []
    for i, part in enumerate(np.array_split(x, 3)):
        shard = faiss.read_index(str(tmp_path / "trained"))
        shard.add(part)
        names.append(str(tmp_path / f"shard{i}"))
        faiss.write_index(shard, names[-1])
    merged = faiss.read_index(str(tmp_path / "trained"))
    merge_ondisk(merged, names, str(tmp_path / "merged"), shift_ids=True)
    trained.add(x)
    assert merged.ntotal == 600
    merged.nprobe = trained.nprobe = 8
    for a, b in zip(merged.search(x[:40], 5), trained.search(x[:40], 5), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(AssertionError):
        merge_ondisk(merged, names, str(tmp_path / "merged2"))


def test_lists_made_of_others():
    one, two = array_lists([3, 0, 2]), array_lists([1, 4, 0], first=50)
    both = pointers([one, two])
    h = faiss.HStackInvertedLists(both.size(), both.data())
    v = faiss.VStackInvertedLists(both.size(), both.data())
    s = faiss.SliceInvertedLists(v, 2, 5)
    m = faiss.MaskedInvertedLists(one, two)
    w = faiss.StopWordsInvertedLists(two, 4)

    def ids(lists):
        return [entries(lists, i)[0].tolist() for i in range(lists.nlist)]

    assert ids(h) == [[0, 1, 2, 50], [51, 52, 53, 54], [3, 4]]
    assert ids(v) == [[0, 1, 2], [], [3, 4], [50], [51, 52, 53, 54], []]
    assert ids(s) == [[3, 4], [50], [51, 52, 53, 54]]
    assert ids(m) == [[0, 1, 2], [51, 52, 53, 54], [3, 4]]
    assert ids(w) == [[50], [], []]
    for lists in (h, v, s, m, w):
        assert isinstance(lists, faiss.ReadOnlyInvertedLists)
        assert lists.compute_ntotal() == sum(len(i) for i in ids(lists))
        code = entries(lists, 0)[1]
        assert len(code) == lists.list_size(0) * 3
        with pytest.raises(RuntimeError):
            lists.add_entries(0, 1, np.zeros(1, "int64"), np.zeros(3, "uint8"))
        with pytest.raises(RuntimeError):
            lists.resize(0, 0)
        with pytest.raises(RuntimeError):
            faiss.write_InvertedLists(lists, faiss.VectorIOWriter())
    for wrong in (lambda: faiss.SliceInvertedLists(one, 2, 4), lambda: faiss.HStackInvertedLists(0, [])):
        with pytest.raises(RuntimeError):
            wrong()
    with pytest.raises(RuntimeError):
        faiss.HStackInvertedLists(2, pointers([one, array_lists([1], 3)]).data())
    with pytest.raises(RuntimeError):
        faiss.MaskedInvertedLists(one, array_lists([1, 1, 1], 4))


def test_an_index_over_stacked_lists_finds_what_one_index_finds():
    index, x = made()
    halves = []
    for part, first in ((x[:300], 0), (x[300:], 300)):
        half = faiss.clone_index(index)
        half.reset()
        half.add_with_ids(part, np.arange(first, first + 300))
        halves.append(half)
    both = faiss.clone_index(index)
    vector = pointers([half.invlists for half in halves])
    both.replace_invlists(faiss.HStackInvertedLists(vector.size(), vector.data()))
    both.nprobe = index.nprobe = 5
    for a, b in zip(both.search(x[:40], 5), index.search(x[:40], 5), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(RuntimeError):
        both.add(x)
    with pytest.raises(RuntimeError):
        faiss.serialize_index(both)


@pytest.mark.parametrize("wrapper", ["", "IDMap,", "PCA8,"])
def test_merging_needs_the_same_centroids(wrapper):
    one, two = (faiss.index_factory(D, wrapper + "IVF8,Flat") for _ in range(2))
    for index, seed in ((one, 1), (two, 2)):
        x = np.random.default_rng(seed).random((600, D), dtype="f4")
        index.train(x)
        (index.add_with_ids(x, np.arange(600)) if wrapper == "IDMap," else index.add(x))
    for call in (lambda: one.merge_from(two, 1000), lambda: one.check_compatible_for_merge(two)):
        with pytest.raises(RuntimeError):
            call()
    assert (one.ntotal, two.ntotal) == (600, 600)


def test_merging_inverted_files_states_what_is_added_to_ids():
    one, two = made()[0], made()[0]
    with pytest.raises(TypeError):
        one.merge_from(two)
    one.merge_from(two, 600)
    assert (one.ntotal, two.ntotal) == (1200, 0)


def test_a_stale_label_is_no_result():
    index = faiss.index_factory(4, "IDMap,IVF4,Flat")
    x = np.random.default_rng(1).random((200, 4), dtype="f4")
    index.train(x)
    index.add_with_ids(x[:6], np.arange(10, 16))
    index.remove_ids(np.array([11]))
    faiss.extract_index_ivf(index).nprobe = 4
    _, labels = index.search(x[:6], 2)
    assert set(labels.ravel()) <= {-1, *range(10, 16)}


@pytest.mark.parametrize(
    "desc", ["IDMap,IVF8,Flat", "IDMap2,IVF8,PQ4x4np", "IVF8,Flat", "IVF8,PQ4x4np,RFlat", "PCA8,IVF8,Flat"]
)
def test_an_add_that_is_interrupted_leaves_the_index_whole(desc):
    """Ctrl-C after each of the blocks of a long add: there is then what there was before, or, where the signal came last, all of it."""
    index = faiss.index_factory(D, desc)
    x = np.random.default_rng(1).random((300_000, D), dtype="f4")
    index.train(x[:2000])

    def add(index, n):
        if desc.startswith("IDMap"):
            index.add_with_ids(x[:n], np.arange(n) + 7)
        else:
            index.add(x[:n])

    add(index, 1000)
    before = faiss.serialize_index(index)
    whole = faiss.clone_index(index)
    add(whole, 300_000)
    after = faiss.serialize_index(whole)
    stopped = 0
    for delay in (0.001, 0.01, 0.03, 0.1):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, delay)
        with suppress(KeyboardInterrupt):
            add(index, 300_000)
            signal.setitimer(signal.ITIMER_REAL, 0)
        if index.ntotal == 301_000:
            np.testing.assert_array_equal(faiss.serialize_index(index), after)
            break
        np.testing.assert_array_equal(faiss.serialize_index(index), before)
        stopped += 1
    assert stopped


def test_factory_puts_maps_outside_of_refinement():
    index = faiss.index_factory(D, "IDMap,PQ4x4np,RFlat")
    assert type(index).__name__ == "IndexIDMap"
    assert type(faiss.downcast_index(index.index)).__name__ == "IndexRefineFlat"
    x = np.random.default_rng(1).random((200, D), dtype="f4")
    index.train(x)
    index.add_with_ids(x, np.arange(200) + 5)
    assert (index.search(x, 1)[1].ravel() == np.arange(200) + 5).mean() > 0.5


def test_refinement_by_any_index():
    x = np.random.default_rng(1).random((500, D), dtype="f4")
    base, refine = faiss.index_factory(D, "PQ4x4np"), faiss.index_factory(D, "PQ8x6np")
    index = faiss.IndexRefine(base, refine)
    index.train(x)
    index.add(x)
    index.k_factor = 500.0 / 3
    np.testing.assert_array_equal(index.search(x[:20], 3)[1], refine.search(x[:20], 3)[1])


def test_clustering_refuses_weights_that_are_no_numbers():
    x = np.random.default_rng(1).random((300, 4), dtype="f4")
    with pytest.raises(RuntimeError, match="NaN"):
        faiss.Kmeans(4, 3, niter=3).train(x, weights=np.full(300, np.nan, "f4"))
    assert faiss.Kmeans(2, 2).train([[0.0, 0], [5, 5], [5, 6]]) == pytest.approx(0.5)


def test_parameters_of_one_search(oracle):
    index, x = made()
    index.nprobe = 4
    params = faiss.SearchParametersIVF(nprobe=6, max_codes=40)
    sel = faiss.IDSelectorRange(100, 300, True)
    sorted_ids = faiss.SearchParametersIVF(nprobe=8, sel=sel)
    theirs = oracle(
        """
index = faiss.deserialize_index(given['index'])
x = given['x']
p = faiss.SearchParametersIVF(nprobe=6, max_codes=40)
result['codes'] = index.search(x[:30], 50, params=p)[1]
p.ensure_topk_full = True
result['full'] = index.search(x[:30], 50, params=p)[1]
p = faiss.SearchParametersIVF(nprobe=8, sel=faiss.IDSelectorRange(100, 300, True))
result['sorted'] = index.search(x[:30], 9, params=p)[1]
""",
        index=faiss.serialize_index(index),
        x=x,
    )
    np.testing.assert_array_equal(index.search(x[:30], 50, params=params)[1], theirs["codes"])
    params.ensure_topk_full = True
    np.testing.assert_array_equal(index.search(x[:30], 50, params=params)[1], theirs["full"])
    np.testing.assert_array_equal(index.search(x[:30], 9, params=sorted_ids)[1], theirs["sorted"])


def test_results_are_added_to_those_in_the_arrays():
    index, x = made()
    index.nprobe = 8
    half, rest = faiss.clone_index(index), faiss.clone_index(index)
    half.remove_ids(faiss.IDSelectorRange(0, 300))
    rest.remove_ids(faiss.IDSelectorRange(300, 600))
    D1, I1 = half.search(x[:20], 7)
    rest.parallel_mode |= 1024
    rest.search(x[:20], 7, D=D1, I=I1)
    wanted = index.search(x[:20], 7)
    np.testing.assert_array_equal(D1, wanted[0])
    np.testing.assert_array_equal(I1, wanted[1])
    np.testing.assert_array_equal(rest.search(x[:20], 7)[1][:, 0] < 300, True)


SHARDS = """
found = []
def error(f):
    try:
        return f()
    except RuntimeError:
        return 'RuntimeError'
x = given['x']
for successive in (True, False):
    shards = faiss.IndexShards(16, False, successive)
    for _ in range(3):
        flat = faiss.IndexFlatL2(16)
        shards.add_shard(flat if successive else faiss.IndexIDMap2(flat))
    found += [error(lambda: shards.add_shard(faiss.IndexFlatL2(5))), error(lambda: shards.add_shard(faiss.IndexFlatIP(16)))]
    shards.add(x)
    found += [shards.ntotal, shards.count(), shards.at(1).ntotal, error(lambda: shards.add(x)), shards.ntotal]
    found += [error(lambda: shards.add_with_ids(x, np.arange(len(x)) + 9999)), shards.ntotal, shards.is_trained]
    found += [v.tolist() for v in shards.search(x[:5], 9)]
    found += [error(lambda: shards.range_search(x[:2], 0.1)), error(lambda: shards.reconstruct(0))]
    found += [error(lambda: faiss.serialize_index(shards)), error(lambda: shards.remove_ids(np.array([1])))]
    shards.remove_shard(shards.at(0))
    found += [shards.count(), shards.ntotal, shards.reset(), shards.ntotal]
replicas = faiss.IndexReplicas()
kept = [faiss.IndexFlatL2(16) for _ in range(2)]
for index in kept:
    replicas.add_replica(index)
replicas.add(x)
found += [replicas.ntotal, replicas.d, replicas.count(), replicas.reconstruct(3).tolist()]
found += [v.tolist() for v in replicas.search(x[:5], 9)]
replicas.remove_replica(replicas.at(0))
found += [replicas.ntotal, replicas.count()]
"""


def test_indexes_over_several_others(oracle):
    x = np.random.default_rng(1).random((300, D), dtype="f4").round(2)
    wanted = oracle(SHARDS + "\nimport json; result['found'] = np.array(json.dumps(found))", x=x)
    names = {"given": {"x": x}, "faiss": faiss, "np": np}
    exec(SHARDS, names)
    for i, (ours, theirs) in enumerate(zip(names["found"], json.loads(str(wanted["found"])), strict=True)):
        if isinstance(ours, list) and isinstance(ours[0], list) and isinstance(ours[0][0], float):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        elif not isinstance(ours, list):
            assert ours == theirs, i


@pytest.mark.parametrize(("m", "nbits"), [(2, 4), (1, 5), (4, 2), (2, 1)])
def test_multi_index_quantizer(oracle, m, nbits):
    x = np.random.default_rng(1).random((500, D), dtype="f4")
    code = f"""
index = faiss.MultiIndexQuantizer(16, {m}, {nbits})
index.train(given['x'])
k = min(9, index.ntotal)
result['D'], result['I'] = index.search(given['x'][:50], k)
result['r'] = np.stack([index.reconstruct(i) for i in range(index.ntotal)])
result['bytes'] = faiss.serialize_index(index)
"""
    theirs = oracle(code, x=x)
    index = faiss.MultiIndexQuantizer(D, m, nbits)
    index.train(x)
    np.testing.assert_array_equal(faiss.serialize_index(index), theirs["bytes"])
    np.testing.assert_array_equal(np.stack([index.reconstruct(i) for i in range(index.ntotal)]), theirs["r"])
    distances, labels = index.search(x[:50], theirs["I"].shape[1])
    np.testing.assert_allclose(distances, theirs["D"], rtol=1e-4)
    assert (labels == theirs["I"]).mean() > 0.99
    for call in (lambda: index.add(x), index.reset):
        with pytest.raises(RuntimeError):
            call()


def test_inverted_file_over_a_multi_index(oracle):
    x = np.random.default_rng(1).random((2000, D), dtype="f4")
    theirs = oracle(
        """
index = faiss.index_factory(16, 'IMI2x3,PQ4x4np')
index.train(given['x'])
index.add(given['x'])
index.nprobe = 8
result['I'] = index.search(given['x'][:50], 5)[1]
result['n'] = np.array([index.nlist, ord(index.quantizer_trains_alone)])
""",
        x=x,
    )
    index = faiss.index_factory(D, "IMI2x3,PQ4x4np")
    index.train(x)
    index.add(x)
    index.nprobe = 8
    assert [index.nlist, ord(index.quantizer_trains_alone)] == theirs["n"].tolist()
    assert (index.search(x[:50], 5)[1] == theirs["I"]).mean() > 0.97


def test_pointers_of_derived_classes(oracle, here, rng):
    """Methods that a derived class has of its own take and give pointers as those of its base."""
    code = """
lists = faiss.BlockInvertedLists(3, 32, 64)
result['none'] = np.array(lists.list_size(0))
index = faiss.index_factory(8, 'IVF2,PQ4x4fs')
index.quantizer.add(given['x'][:2])
index.pq.train(given['x'])
index.is_trained = True
index.add(given['x'])
lists = faiss.downcast_InvertedLists(index.invlists)
for i in range(2):
    blocks = -(-lists.list_size(i) // lists.n_per_block)
    result[f'codes {i}'] = faiss.rev_swig_ptr(lists.get_codes(i), blocks * lists.block_size).copy()
lsh = faiss.IndexLSH(8, 5, True, True)
lsh.train(given['x'])
result['lsh'] = faiss.rev_swig_ptr(lsh.apply_preprocess(7, faiss.swig_ptr(given['x'])), 7 * 5).copy()
"""
    given = {"x": rng.random((100, 8), dtype="f4")}
    wanted = oracle(code, **given)
    ours = here(code, **given)
    for key, value in wanted.items():
        np.testing.assert_allclose(ours[key], value, atol=1e-5, err_msg=key)
