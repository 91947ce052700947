"""Several threads, Ctrl-C, time limits, forks."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest


@pytest.fixture
def index(rng):
    index = faiss.IndexFlatL2(16)
    index.add(rng.random((2000, 16), dtype="f4"))
    return index


def test_searches_run_beside_each_other(index, rng):
    x = rng.random((64, 16), dtype="f4")
    wanted = index.search(x, 10)
    with ThreadPoolExecutor(8) as pool:
        for D, ids in pool.map(lambda _: index.search(x, 10), range(100)):
            np.testing.assert_array_equal(ids, wanted[1])
            np.testing.assert_array_equal(D, wanted[0])


def test_classes_are_made_once():
    code = """
import faiss
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
barrier = Barrier(16)
def make(i):
    barrier.wait()
    return faiss.IndexFlatL2 if i % 2 else faiss.IndexFlat1D.__mro__[2]
with ThreadPoolExecutor(16) as pool:
    print(len(set(pool.map(make, range(16)))))
"""
    for _ in range(5):
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_changes_and_searches_at_once(rng):
    index = faiss.IndexFlatL2(4)
    x = rng.random((100, 4), dtype="f4")
    index.add(x)
    stop = threading.Event()
    failed = []

    def search():
        while not stop.is_set():
            _, ids = index.search(x[:5], 3)
            if ids.min() < 0:
                failed.append(ids)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(200):
        index.add(x)
        index.remove_ids(faiss.IDSelectorRange(100, 200))
        index.codes.size()
    stop.set()
    for t in threads:
        t.join()
    assert not failed
    assert index.ntotal == 100


def test_the_gil_is_released(rng):
    index = faiss.IndexFlatL2(64)
    index.add(rng.random((100000, 64), dtype="f4"))
    x = rng.random((4000, 64), dtype="f4")
    ticks, done = 0, threading.Event()

    def search():
        index.search(x, 10)
        done.set()

    thread = threading.Thread(target=search)
    thread.start()
    while not done.is_set():
        ticks += 1
        time.sleep(0.001)
    thread.join()
    assert ticks > 10


def test_merging_both_ways_at_once_does_not_block(rng):
    x = rng.random((50, 4), dtype="f4")
    a, b = faiss.IndexFlatL2(4), faiss.IndexFlatL2(4)
    a.add(x)
    b.add(x)
    threads = [
        threading.Thread(target=lambda p=p, q=q: [p.merge_from(q) for _ in range(300)]) for p, q in ((a, b), (b, a))
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=60)
        assert not t.is_alive()
    assert a.ntotal + b.ntotal == 100


# A program in the background of a shell without job control begins with Ctrl-C ignored, and so do its children.
LONG = """
import faiss, numpy as np, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
index = faiss.IndexFlat(64, faiss.METRIC_JensenShannon)
index.add(np.full((200000, 64), 0.5, 'f4'))
x = np.full((20000, 64), 0.25, 'f4')
print('ready', flush=True)
"""


def test_ctrl_c_ends_long_work():
    code = (
        LONG
        + "try:\n    index.search(x, 10)\nexcept KeyboardInterrupt:\n    print('stopped', index.ntotal, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopped 200000\n"
    assert time.monotonic() - start < 5
    assert process.wait(timeout=10) == 0


def test_a_signal_handler_of_the_programs_own():
    code = LONG + (
        "def handler(*_): raise ZeroDivisionError('mine')\n"
        "signal.signal(signal.SIGALRM, handler)\nsignal.setitimer(signal.ITIMER_REAL, 0.3)\n"
        "try:\n    index.search(x, 10)\nexcept ZeroDivisionError as e:\n    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["ready", "mine"], done.stderr


def test_ctrl_c_while_another_thread_has_the_index():
    code = """
import faiss, numpy as np, signal, threading, time
index = faiss.IndexFlatL2(4)
index.add(np.zeros((1000, 4), 'f4'))
started = threading.Event()
def slow(i):
    started.set()
    time.sleep(0.003)
    return False
thread = threading.Thread(target=index.remove_ids, args=(faiss.PyCallbackIDSelector(slow),))
thread.start()
started.wait()
def handler(*_): raise ZeroDivisionError('mine')
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
start = time.monotonic()
try:
    index.ntotal
except ZeroDivisionError:
    print(time.monotonic() - start < 1)
thread.join()
print(index.ntotal)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["True", "1000"], done.stderr


def test_time_limit(rng):
    index = faiss.IndexFlatL2(64)
    index.add(rng.random((200000, 64), dtype="f4"))
    x = rng.random((20000, 64), dtype="f4")
    with pytest.raises(RuntimeError, match="computation interrupted"), faiss.TimeoutGuard(0.05):
        index.search(x, 10)
    with faiss.TimeoutGuard(60):
        index.search(x[:1], 10)
    with pytest.raises(ValueError), faiss.TimeoutGuard(-1):
        pass


def _search_in_child(index, x, queue):
    queue.put(index.search(x, 5)[1])


# Forked, a child has the index as it is; else it gets one by pickle.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children(index, rng, method):
    x = rng.random((50, 16), dtype="f4")
    # By several threads, which a fork does not take along.
    wanted = index.search(x, 5)[1]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=_search_in_child, args=(index, x, queue)) for _ in range(3)]
    for child in children:
        child.start()
    for _ in children:
        np.testing.assert_array_equal(queue.get(timeout=60), wanted)
    for child in children:
        child.join(timeout=60)
        assert child.exitcode == 0
    np.testing.assert_array_equal(index.search(x, 5)[1], wanted)


def test_results_do_not_depend_on_the_number_of_threads(index, rng):
    x = rng.random((100, 16), dtype="f4")
    before = faiss.omp_get_max_threads()
    wanted = index.search(x, 20)
    try:
        for n in (1, 3, 16):
            faiss.omp_set_num_threads(n)
            D, ids = index.search(x, 20)
            np.testing.assert_array_equal(ids, wanted[1])
            np.testing.assert_array_equal(D, wanted[0])
    finally:
        faiss.omp_set_num_threads(before)


def test_the_number_of_threads_from_the_environment():
    code = "import faiss; print(faiss.omp_get_max_threads())"
    env = {**os.environ, "OMP_NUM_THREADS": "3"}
    assert (
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        == "3\n"
    )
