"""faiss.contrib's searches of many queries, and of indexes in other processes."""

import contextlib
import io
import multiprocessing
import socket
import struct
import threading
import time

import faiss
import numpy as np
import pytest
from faiss.contrib import client_server, rpc
from faiss.contrib.big_batch_search import big_batch_search


def inverted_file(rng, key, metric=faiss.METRIC_L2):
    x, xq = rng.random((900, 16), dtype="f4"), rng.random((120, 16), dtype="f4")
    index = faiss.index_factory(16, key, metric)
    index.train(x)
    index.add(x)
    index.nprobe = 4
    return index, xq


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("key", ["IVF12,Flat", "IVF300,PQ8x4np", "IVF12,SQ8"])
@pytest.mark.parametrize("method", ["knn_function", "pairwise_distances", "index"])
@pytest.mark.parametrize("threaded", [0, 3])
def test_big_batches_find_what_a_search_does(rng, key, metric, method, threaded):
    index, xq = inverted_file(rng, key, metric)
    D, ids = index.search(xq, 10)
    D1, ids1 = big_batch_search(index, xq, 10, method=method, threaded=threaded, computation_threads=2)
    np.testing.assert_allclose(D1, D, rtol=1e-4, atol=1e-5)
    assert (ids1 == ids).mean() > 0.98


def test_big_batches_with_lists_of_ones_own(rng):
    index, xq = inverted_file(rng, "IVF12,Flat")
    _, lists = index.quantizer.search(xq, 4)
    lists[::2, 2:] = -1
    D, _ = index.search_preassigned(xq, 50, lists, np.zeros(lists.shape, "f4"))
    np.testing.assert_allclose(big_batch_search(index, xq, 50, q_assign=lists)[0], D, rtol=1e-4)
    # The lists of two halves are those of the whole.
    both = [big_batch_search(index, xq, 10, start_list=a, end_list=b) for a, b in ((0, 5), (5, None))]
    heap = faiss.ResultHeap(len(xq), 10)
    for part in both:
        heap.add_result(*part)
    np.testing.assert_allclose(heap.D, index.search(xq, 10)[0], rtol=1e-4)
    np.testing.assert_allclose(big_batch_search(index, xq, 10, use_float16=True)[0], index.search(xq, 10)[0], rtol=0.05)
    with pytest.raises(AssertionError, match="knn_function"):
        big_batch_search(index, xq, 10, method="nosuch")
    with pytest.raises(AssertionError, match="16"):
        big_batch_search(index, xq[:, :5], 10)


@pytest.mark.parametrize("threaded", [0, 3])
def test_a_stopped_search_goes_on(rng, tmp_path, threaded):
    index, xq = inverted_file(rng, "IVF12,Flat")
    file = tmp_path / "checkpoint"
    with pytest.raises(ZeroDivisionError):
        big_batch_search(index, xq, 5, threaded=threaded, checkpoint=file, checkpoint_freq=0, crash_at=10)
    done = set(np.load(file)["completed"].tolist())
    assert done
    assert 10 not in done
    np.testing.assert_array_equal(big_batch_search(index, xq, 5, checkpoint=file)[1], index.search(xq, 5)[1])
    with pytest.raises(AssertionError, match="another search"):
        big_batch_search(index, xq, 6, checkpoint=file)


class Calculator(rpc.Server):
    def add(self, a, b):
        return a + b

    def same(self, *values):
        return values

    def fail(self):
        raise ValueError("on purpose")

    def stranger(self):
        return object()


@pytest.fixture
def calculator():
    client, served = socket.socketpair()
    thread = threading.Thread(target=Calculator(served, logf=io.StringIO()).exec_loop)
    thread.start()
    made = rpc.Client.__new__(rpc.Client)
    made.sock, made.fs, made._lock = client, rpc.FileSock(client), threading.Lock()
    yield made
    client.close()
    thread.join(10)
    assert not thread.is_alive()


def test_values_go_there_and_back(calculator):
    assert calculator.add(2, 3) == 5
    array = np.arange(12, dtype="f4").reshape(3, 4)
    values = (
        None,
        True,
        3,
        2.5,
        "\u00e4",
        b"ab",
        [1, (2, "x")],
        {1: {"a": array}},
        np.float32(0.1),
        array[:, ::2],
        array[:0],
    )
    for mine, its in zip(values, calculator.same(*values), strict=True):
        np.testing.assert_equal(its, mine)
        assert type(its) is type(mine)
    assert calculator.add(array, 1).flags.writeable


def test_what_goes_wrong_there_is_told_here(calculator):
    with pytest.raises(rpc.ServerException, match="on purpose"):
        calculator.fail()
    with pytest.raises(rpc.ServerException, match="can't be sent"):
        calculator.stranger()
    for name in ("__class__", "_x", "exec_loop", "log"):
        with pytest.raises(rpc.ServerException, match="can't be called"):
            calculator.generic_fun(name, ())
    with pytest.raises(TypeError, match="can't be sent"):
        calculator.add(np.array([object()]), 1)
    assert calculator.add(1, 1) == 2


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"FRPC" + struct.pack("<I", 1 << 30),
        b"FRPC" + struct.pack("<IQ", 1, 1 << 60),
        b"FRPC" + struct.pack("<IQ", 1, 4) + b"nope",
        b"FRPC" + struct.pack("<IQ", 1, 54) + b'["add",[{"array":1,"dtype":"O","shape":[1],"scalar":0}]]'[:54],
        b"FRPC" + struct.pack("<IQ", 1, 2) + b"[]",
    ],
)
def test_a_stranger_is_hung_up_on(bytes_):
    client, served = socket.socketpair()
    thread = threading.Thread(target=Calculator(served, logf=io.StringIO()).exec_loop)
    thread.start()
    client.sendall(bytes_)
    client.shutdown(socket.SHUT_WR)
    client.settimeout(10)
    # Hung up on with bytes unread is a reset.
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(10) == b""
    thread.join(10)
    assert not thread.is_alive()
    client.close()


def serve(part, ports):
    """Serves an index at a free port, which it tells."""
    bound = socket.socket
    with bound() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ports.put(port)
    client_server.run_index_server(faiss.deserialize_index(part), port)


def connected(ports):
    """A ClientIndex, once the servers listen."""
    for port in ports:
        for _ in range(600):
            with socket.socket() as tried:
                if tried.connect_ex(port) == 0:
                    break
            time.sleep(0.05)
    return client_server.ClientIndex(ports)


def test_an_index_on_two_servers(rng):
    x, xq = rng.random((600, 8), dtype="f4"), rng.random((9, 8), dtype="f4")
    whole = faiss.index_factory(8, "IDMap,Flat", faiss.METRIC_INNER_PRODUCT)
    whole.add_with_ids(x, np.arange(600))
    context = multiprocessing.get_context("spawn")
    ports, servers = context.Queue(), []
    for a, b in ((0, 200), (200, 600)):
        part = faiss.index_factory(8, "IDMap,Flat", faiss.METRIC_INNER_PRODUCT)
        part.add_with_ids(x[a:b], np.arange(a, b))
        servers.append(context.Process(target=serve, args=(faiss.serialize_index(part), ports), daemon=True))
        servers[-1].start()
    try:
        with contextlib.closing(connected([("127.0.0.1", ports.get(timeout=60)) for _ in servers])) as client:
            assert client.ntotal == 600
            client.set_omp_num_threads(1)
            D, ids = client.search(xq, 7)
            np.testing.assert_array_equal(ids, whole.search(xq, 7)[1])
            np.testing.assert_allclose(D, whole.search(xq, 7)[0], rtol=1e-6)
            with pytest.raises(rpc.ServerException, match="8"):
                client.search(xq[:, :3], 7)
    finally:
        for server in servers:
            server.terminate()
            server.join(10)
