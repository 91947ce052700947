"""Files, streams and bytes; what can be wrong with them; copies and pickles."""

import copy
import io
import os
import pathlib
import pickle
import resource
import signal
import subprocess
import sys

import faiss
import numpy as np
import pytest


def make_indexes(rng):
    x, x1 = rng.random((20, 8), dtype="f4"), rng.random((20, 1), dtype="f4")
    indexes = {
        "IndexFlatL2": (faiss.IndexFlatL2(8), x),
        "IndexFlatIP": (faiss.IndexFlatIP(8), x),
        "IndexFlat, L1": (faiss.IndexFlat(8, faiss.METRIC_L1), x),
        "IndexFlat, Lp": (faiss.IndexFlat(8, faiss.METRIC_Lp), x),
        "IndexFlat1D": (faiss.IndexFlat1D(), x1),
        "empty": (faiss.IndexFlatL2(8), x[:0]),
    }
    for index, data in indexes.values():
        index.add(data)
    indexes["IndexFlat, Lp"][0].metric_arg = 3
    return {name: index for name, (index, _) in indexes.items()}


NAMES = list(make_indexes(np.random.default_rng(0)))


@pytest.fixture(params=NAMES)
def index(request, rng):
    return make_indexes(rng)[request.param]


def same(a, b):
    # A file knows an IndexFlat1D as an IndexFlatL2.
    assert type(a) is type(b) or (type(a), type(b)) == (faiss.IndexFlatL2, faiss.IndexFlat1D)
    assert (a.d, a.ntotal, a.metric_type, a.metric_arg) == (b.d, b.ntotal, b.metric_type, b.metric_arg)
    np.testing.assert_array_equal(faiss.serialize_index(a), faiss.serialize_index(b))


def test_every_way_out_and_in(index, tmp_path):
    data = faiss.serialize_index(index)
    assert data.dtype == np.uint8
    same(faiss.deserialize_index(data), index)
    path = str(tmp_path / "a.index")
    faiss.write_index(index, path)
    assert pathlib.Path(path).read_bytes() == data.tobytes()
    for flags in (0, faiss.IO_FLAG_READ_ONLY, faiss.IO_FLAG_MMAP, faiss.IO_FLAG_MMAP_IFC):
        same(faiss.read_index(path, flags), index)
    faiss.write_index(index, pathlib.Path(path))
    same(faiss.read_index(pathlib.Path(path)), index)

    writer = faiss.VectorIOWriter()
    faiss.write_index(index, writer)
    np.testing.assert_array_equal(faiss.vector_to_array(writer.data), data)
    reader = faiss.VectorIOReader()
    faiss.copy_array_to_vector(data, reader.data)
    same(faiss.read_index(reader), index)

    stream = io.BytesIO()
    faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write, 100))
    assert stream.getvalue() == data.tobytes()
    stream.seek(0)
    same(faiss.read_index(faiss.PyCallbackIOReader(stream.read, 7)), index)

    faiss.write_index(index, faiss.FileIOWriter(path))
    same(faiss.read_index(faiss.FileIOReader(path)), index)


def test_several_in_one_stream(rng):
    stream = io.BytesIO()
    indexes = list(make_indexes(rng).values())
    for index in indexes:
        faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write))
    stream.seek(0)
    reader = faiss.PyCallbackIOReader(stream.read)
    for index in indexes:
        same(faiss.read_index(reader), index)


def test_copies(index):
    for made in (
        faiss.clone_index(index),
        copy.copy(index),
        copy.deepcopy(index),
        pickle.loads(pickle.dumps(index)),
    ):
        same(made, index)
        made.reset()
    assert index.ntotal in (0, 20)
    same(faiss.downcast_index(index), index)
    assert faiss.downcast_index(None) is None


class Named(faiss.IndexFlatL2):
    def __init__(self, d, name):
        super().__init__(d)
        self.name = name


def test_a_users_subclass_is_pickled_whole(rng):
    index = Named(4, "mine")
    index.add(rng.random((3, 4), dtype="f4"))
    made = pickle.loads(pickle.dumps(index))
    assert (type(made), made.name, made.ntotal) == (Named, "mine", 3)


def test_read_as_the_class_that_was_written(rng):
    for name, index in make_indexes(rng).items():
        made = faiss.deserialize_index(faiss.serialize_index(index))
        wanted = "IndexFlatL2" if name in ("empty", "IndexFlat1D") else name.split(",")[0]
        assert type(made).__name__ == wanted
        for copied in (faiss.clone_index(index), pickle.loads(pickle.dumps(index))):
            assert type(copied) is type(index)


def test_pickle_of_one_dimension(rng):
    index = faiss.IndexFlat1D(False)
    index.add(rng.random((9, 1), dtype="f4"))
    made = pickle.loads(pickle.dumps(index))
    assert not made.continuous_update
    made.update_permutation()
    assert made.perm.size() == 9


def test_cut_at_every_byte(index):
    data = faiss.serialize_index(index)
    for n in range(len(data)):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(data[:n])
    same(faiss.deserialize_index(np.concatenate([data, data])), index)


def test_every_byte_changed_is_an_index_or_an_error(index):
    data = faiss.serialize_index(index)
    query = np.zeros((1, index.d), "f4")
    for i in range(min(len(data), 80)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            changed = data.copy()
            changed[i] = value
            try:
                made = faiss.deserialize_index(changed)
                if made.d == index.d:
                    made.search(query, 3)
            except (RuntimeError, MemoryError):
                pass


def test_not_an_index():
    with pytest.raises(RuntimeError, match=r'Index type 0x64636261 \("abcd"\) not recognized'):
        faiss.deserialize_index(np.frombuffer(b"abcdefgh" * 10, "u1"))


@pytest.mark.parametrize(
    ("call", "exception", "text"),
    [
        (
            lambda: faiss.read_index("/nonexistent/a"),
            RuntimeError,
            "could not open /nonexistent/a for reading: No such file",
        ),
        (lambda: faiss.read_index("/tmp"), RuntimeError, "directory"),
        (lambda: faiss.read_index(b"/tmp/a"), TypeError, "path"),
        (lambda: faiss.read_index(3), TypeError, "path"),
        (lambda: faiss.write_index(faiss.IndexFlatL2(3), "/nonexistent/a"), RuntimeError, "for writing: No such file"),
        (lambda: faiss.write_index(3, "/tmp/a"), TypeError, "index"),
        (lambda: faiss.serialize_index(3), TypeError, "index"),
        (lambda: faiss.clone_index(None), RuntimeError, "clone"),
        (lambda: faiss.clone_index(3), TypeError, "index"),
        (lambda: faiss.FileIOReader("/nonexistent/a"), RuntimeError, "could not open"),
        (lambda: faiss.deserialize_index(np.zeros(3, "i1")), AssertionError, "uint8"),
        (lambda: faiss.deserialize_index(np.zeros((1, 3), "u1")), ValueError, "unpack"),
        (lambda: faiss.PyCallbackIOReader(3), TypeError, "callable"),
        (lambda: faiss.PyCallbackIOWriter(print, 0), ValueError, "positive"),
    ],
)
def test_bad_arguments(call, exception, text):
    with pytest.raises(exception, match=text):
        call()


def test_null_indexes(tmp_path):
    """An index that is not there is four characters in a file, and read as None."""
    path = str(tmp_path / "null.index")
    faiss.write_index(None, path)
    assert pathlib.Path(path).read_bytes() == faiss.serialize_index(None).tobytes() == b"null"
    assert faiss.read_index(path) is None
    assert faiss.deserialize_index(np.frombuffer(b"null", "uint8")) is None
    writer, reader = faiss.VectorIOWriter(), faiss.VectorIOReader()
    faiss.write_index(None, writer)
    faiss.copy_array_to_vector(faiss.vector_to_array(writer.data), reader.data)
    assert faiss.read_index(reader) is None


def test_exceptions_of_callbacks_reach_the_caller(rng):
    index = make_indexes(rng)["IndexFlatL2"]

    def bad(_):
        raise KeyError("bad")

    with pytest.raises(KeyError, match="bad"):
        faiss.write_index(index, faiss.PyCallbackIOWriter(bad))
    with pytest.raises(KeyError, match="bad"):
        faiss.read_index(faiss.PyCallbackIOReader(bad))
    with pytest.raises(RuntimeError, match="did not return a bytes object"):
        faiss.read_index(faiss.PyCallbackIOReader(lambda n: 3))
    with pytest.raises(RuntimeError, match=r"returned 14 bytes \(asked 4\)"):
        faiss.read_index(faiss.PyCallbackIOReader(lambda n: b"a" * (n + 10)))
    with pytest.raises(RuntimeError, match="read error"):
        faiss.read_index(faiss.PyCallbackIOReader(lambda n: b""))


def test_full_disk(rng):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with pytest.raises(RuntimeError, match="No space left on device"):
        faiss.write_index(make_indexes(rng)["IndexFlatL2"], "/dev/full")


def test_file_size_limit(tmp_path):
    path = tmp_path / "big.index"
    code = f"""
import faiss, numpy as np, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
index = faiss.IndexFlatL2(64)
index.add(np.zeros((10000, 64), 'f4'))
try:
    faiss.write_index(index, {str(path)!r})
except RuntimeError as e:
    print(e)
print(index.ntotal)
"""
    assert resource.RLIMIT_FSIZE >= 0
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert "10000" in done.stdout
    with pytest.raises(RuntimeError, match="read error"):
        faiss.read_index(str(path))


def test_killed_while_writing(tmp_path):
    path = tmp_path / "killed.index"
    code = f"""
import faiss, numpy as np
index = faiss.IndexFlatL2(64)
index.add(np.zeros((400000, 64), 'f4'))
print('ready', flush=True)
while True:
    faiss.write_index(index, {str(path)!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    while not path.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = 400000 * 64 * 4
    if path.stat().st_size > whole:
        assert faiss.read_index(str(path)).ntotal == 400000
    else:
        with pytest.raises(RuntimeError, match="read error"):
            faiss.read_index(str(path))


def test_no_inverted_file_inside():
    assert faiss.try_extract_index_ivf(faiss.IndexFlatL2(4)) is None
    with pytest.raises(RuntimeError, match="'ivf' failed"):
        faiss.extract_index_ivf(faiss.IndexFlatL2(4))
    with pytest.raises(TypeError):
        faiss.try_extract_index_ivf(3)


def test_flags_of_inverted_files(rng):
    x = rng.random((300, 8), dtype="f4")
    index = faiss.index_factory(8, "IVF4,PQ2x4np")
    index.train(x)
    index.add(x)
    data = faiss.serialize_index(index)
    # Where arrays are, they are loaded whatever the hint says.
    for flags in (
        faiss.IO_FLAG_READ_ONLY,
        faiss.IO_FLAG_MMAP,
        faiss.IO_FLAG_MMAP_IFC,
        faiss.IO_FLAG_ONDISK_SAME_DIR,
        faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE,
    ):
        made = faiss.deserialize_index(data, flags)
        np.testing.assert_array_equal(made.search(x[:9], 3)[1], index.search(x[:9], 3)[1])
        assert made.use_precomputed_table == (flags != faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    with pytest.raises(RuntimeError, match="could not load ArrayInvertedLists"):
        faiss.deserialize_index(data, faiss.IO_FLAG_SKIP_IVF_DATA)


@pytest.mark.parametrize("text", ["IDMap2,PCA4,IVF4,PQ2x4np", "OPQ2_4,PQ2x4np,RFlat", "L2norm,Pad12,IVF3,Flat"])
def test_files_cut_at_every_byte(rng, text):
    x = rng.random((300, 8), dtype="f4")
    index = faiss.index_factory(8, text)
    index.train(x)
    if "IDMap" in text:
        index.add_with_ids(x[:20], np.arange(20) * 5)
    else:
        index.add(x[:20])
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        ivf.set_direct_map_type(faiss.DirectMap.Hashtable)
    data = faiss.serialize_index(index)
    for n in range(len(data)):
        with pytest.raises(RuntimeError):
            faiss.deserialize_index(data[:n])
    assert faiss.deserialize_index(data).ntotal == 20
