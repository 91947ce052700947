"""Times two `faiss` modules on many small works, in turn within one run, and prints ratios.

usage: against.py --peer PYTHON --ours PYTHON [--ours-path DIR] [--only REGEX] [--rounds 7] [--threads 1] [--below 1.0] [--out FILE]

PYTHON is an interpreter with numpy and one `faiss`; DIR is put before its modules. Both stay up and are asked for one work after the other,
each time the one and then the other, so that what else the machine does meets both. A ratio is the median over rounds of the peer's time by
ours: above 1 is faster than the peer. Only ratios mean anything on a shared machine. `--below` prints only rows under it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time


def works():
    """Names and, for each, a function of (faiss, numpy) that prepares it and returns what is timed."""
    table = {}

    def randn(np, n, d, seed):
        return np.random.default_rng(seed).standard_normal((n, d), dtype="float32")

    def flat(metric, d, nq, k):
        def prepare(faiss, np):
            index = faiss.IndexFlat(d, metric)
            index.add(randn(np, 20_000, d, 1))
            x = randn(np, nq, d, 2)
            return lambda: index.search(x, k)

        return prepare

    for d in range(1, 131):
        for name, metric in (("L2", 1), ("IP", 0)):
            for nq in (1, 20, 300):
                for k in (1, 10):
                    table[f"flat {name} d={d} nq={nq} k={k}"] = flat(metric, d, nq, k)

    def ivf(metric, d, nq, nprobe):
        def prepare(faiss, np):
            index = faiss.IndexIVFFlat(faiss.IndexFlat(d, metric), d, 256, metric)
            index.cp.niter = 4
            x = randn(np, 50_000, d, 3)
            index.train(x)
            index.add(x)
            index.nprobe = nprobe
            x = randn(np, 200, d, 4)
            blocks = [np.ascontiguousarray(x[i : i + nq]) for i in range(0, 200, nq)]
            return lambda: [index.search(block, 10) for block in blocks]

        return prepare

    for d in (24, 64, 96, 100, 128, 256):
        for name, metric in (("L2", 1), ("IP", 0)):
            for nq in (1, 5, 20, 100):
                for nprobe in (1, 4, 16, 64):
                    table[f"ivfflat {name} d={d} nq={nq} nprobe={nprobe}"] = ivf(metric, d, nq, nprobe)

    def pq(d, m, nbits=8, n=10_000):
        def prepare(faiss, np):
            x = randn(np, n, d, 5)
            return lambda: faiss.ProductQuantizer(d, m, nbits).train(x)

        return prepare

    table["train pq d=32 M=8"] = pq(32, 8)
    table["train pq d=64 M=4"] = pq(64, 4)
    table["train pq d=96 M=12"] = pq(96, 12)
    table["train pq d=64 M=32"] = pq(64, 32)
    table["train pq d=64 M=16 nbits=4"] = pq(64, 16, 4)

    def index_pq(metric):
        def prepare(faiss, np):
            x = randn(np, 10_000, 64, 5)
            return lambda: faiss.IndexPQ(64, 8, 8, metric).train(x)

        return prepare

    table["train IndexPQ L2"], table["train IndexPQ IP"] = index_pq(1), index_pq(0)

    def opq(faiss, np):
        x = randn(np, 3000, 32, 6)

        def train():
            matrix = faiss.OPQMatrix(32, 8, 32)
            matrix.niter = 4
            matrix.train(x)

        return train

    table["train opq d=32 M=8"] = opq
    for d, m in ((35, 7), (60, 12), (100, 20), (30, 3)):
        table[f"train pq d={d} M={m}"] = pq(d, m)

    def pca(d, out):
        def prepare(faiss, np):
            x = randn(np, 10_000, d, 7)
            return lambda: faiss.PCAMatrix(d, out).train(x)

        return prepare

    table["train pca 64 to 16"], table["train pca 128 to 64"] = pca(64, 16), pca(128, 64)

    def kmeans(d, k):
        def prepare(faiss, np):
            x = randn(np, 20_000, d, 8)
            return lambda: faiss.Kmeans(d, k, niter=5, max_points_per_centroid=10**6).train(x)

        return prepare

    for d in (3, 8, 25, 50, 100):
        table[f"train kmeans d={d} k=256"] = kmeans(d, 256)

    def merge(faiss, np):
        rng = np.random.default_rng(9)
        distances = np.sort(rng.random((4, 2000, 10), dtype="float32"), axis=2)
        labels = rng.integers(0, 10**6, (4, 2000, 10))
        return lambda: faiss.merge_knn_results(distances, labels)

    table["merge_knn_results"] = merge

    def pairwise(d, metric):
        def prepare(faiss, np):
            x, y = randn(np, 300, d, 10), randn(np, 2000, d, 11)
            return lambda: faiss.pairwise_distances(x, y, metric)

        return prepare

    for d in (5, 32, 100):
        for name, metric in (("L2", 1), ("IP", 0), ("L1", 2)):
            table[f"pairwise_distances {name} d={d}"] = pairwise(d, metric)

    def trained_pq(faiss, np):
        index = faiss.IndexPQ(64, 16, 8)
        index.pq.cp.niter = 2
        x = randn(np, 20_000, 64, 12)
        index.train(x)
        index.add(x)
        return index, x

    def reconstruct_n(faiss, np):
        index, _ = trained_pq(faiss, np)
        return lambda: index.reconstruct_n(0, 20_000)

    table["IndexPQ.reconstruct_n"] = reconstruct_n

    def decode(faiss, np):
        index, x = trained_pq(faiss, np)
        codes = index.pq.compute_codes(x)
        return lambda: index.pq.decode(codes)

    table["pq.decode"] = decode

    def encode(faiss, np):
        index, x = trained_pq(faiss, np)
        return lambda: index.pq.compute_codes(x[:2000])

    table["pq.compute_codes"] = encode

    def map2(faiss, np):
        index = faiss.IndexIDMap2(faiss.IndexFlatL2(64))
        ids = np.arange(20_000) * 3 + 5
        index.add_with_ids(randn(np, 20_000, 64, 13), ids)
        some = np.random.default_rng(14).permutation(ids)[:5000]
        return lambda: index.reconstruct_batch(some)

    table["IDMap2.reconstruct_batch"] = map2

    def big(faiss, np):
        index = faiss.IndexFlatL2(128)
        index.add(randn(np, 50_000, 128, 15))
        return index

    def serialize(faiss, np):
        index = big(faiss, np)
        return lambda: faiss.serialize_index(index)

    def write(faiss, np):
        index, path = big(faiss, np), tempfile.mktemp()
        return lambda: faiss.write_index(index, path)

    def read(faiss, np):
        index, path = big(faiss, np), tempfile.mktemp()
        faiss.write_index(index, path)
        return lambda: faiss.read_index(path)

    def lists(faiss, np):
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(64), 64, 256)
        index.cp.niter = 2
        x = randn(np, 60_000, 64, 16)
        index.train(x)
        index.add(x)
        return index

    def write_lists(faiss, np):
        index, path = lists(faiss, np), tempfile.mktemp()
        return lambda: faiss.write_index(index, path)

    def read_lists(faiss, np):
        index, path = lists(faiss, np), tempfile.mktemp()
        faiss.write_index(index, path)
        return lambda: faiss.read_index(path)

    table["serialize_index"], table["file write flat"], table["file read flat"] = serialize, write, read
    table["file write ivf"], table["file read ivf"] = write_lists, read_lists

    def filled(faiss, np, d, key, n=50_000):
        index, x = faiss.index_factory(d, key), randn(np, n, d, 17)
        if hasattr(index, "nlist"):
            index.cp.niter = 4
        index.train(x[:10_000])
        index.add(x)
        return index

    def file(key, n, reads):
        def prepare(faiss, np):
            index, path = filled(faiss, np, 128, key, n), tempfile.mktemp()
            faiss.write_index(index, path)
            if not reads:
                return lambda: faiss.write_index(index, path)
            # The index read before is still there: memory is not that of a moment ago.
            held = []

            def read():
                held.append(faiss.read_index(path))
                del held[:-1]

            return read

        return prepare

    files = (
        ("PQ64x4fs", 100_000),
        ("SQ8", 100_000),
        ("HNSW16", 10_000),
        ("IVF256,Flat", 50_000),
        ("IVF256,PQ32", 50_000),
    )
    for key, n in files:
        table[f"file write {key}"], table[f"file read {key}"] = file(key, n, False), file(key, n, True)

    def short_lists(key, nprobe, nq):
        def prepare(faiss, np):
            index = filled(faiss, np, 64, key, 20_000)
            index.nprobe = nprobe
            x = randn(np, 200, 64, 18)
            blocks = [np.ascontiguousarray(x[i : i + nq]) for i in range(0, 200, nq)]
            return lambda: [index.search(block, 10) for block in blocks]

        return prepare

    for key in ("IVF1024,PQ32x4fs", "IVF1024,PQ32x4fsr", "IVF1024,RaBitQ", "IVF1024,SQ8", "IVF1024,PQ16"):
        for nprobe in (1, 4, 16):
            for nq in (1, 200):
                table[f"short lists {key} nq={nq} nprobe={nprobe}"] = short_lists(key, nprobe, nq)

    def calls(what):
        def prepare(faiss, np):
            flat, lists, graph = (
                faiss.IndexFlatL2(8),
                faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 4),
                faiss.IndexHNSWFlat(8, 16),
            )
            x = randn(np, 10, 8, 19)
            flat.add(x)
            search, train, times = flat.search, graph.train, range(100)
            one = x[:1]

            def put():
                lists.nprobe = 4

            call = {
                "search": lambda: search(one, 3),
                "nprobe": lambda: lists.nprobe,
                "nprobe = 4": put,
                "train": lambda: train(x),
            }[what]
            return lambda: [call() for _ in times]

        return prepare

    for what in ("search", "nprobe", "nprobe = 4", "train"):
        table[f"call {what}"] = calls(what)
    return table


def worker(threads):
    import faiss
    import numpy as np

    # One thread's own time does not count what else the machine does.
    clock = time.process_time if threads == 1 else time.perf_counter
    table, name, timed = works(), None, None
    for line in sys.stdin:
        asked, seconds = json.loads(line)
        if asked != name:
            timed = table[asked](faiss, np)
            faiss.omp_set_num_threads(threads)
            timed()
            name = asked
        best, start = 1e9, time.perf_counter()
        while True:
            begun = clock()
            timed()
            best = min(best, clock() - begun)
            if time.perf_counter() - start > seconds:
                break
        print(best, flush=True)


class Side:
    """One interpreter that stays up."""

    def __init__(self, python, path, threads):
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        env.update({"PYTHONPATH": path} if path else {})
        command = [python, __file__, "--worker", "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def time(self, name, seconds):
        self.process.stdin.write(json.dumps([name, seconds]) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer"), parser.add_argument("--ours"), parser.add_argument("--ours-path")
    parser.add_argument("--only", default="."), parser.add_argument("--out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--below", type=float, default=1e9)
    parser.add_argument("--seconds", type=float, default=0.02, help="how long each side repeats a work in a round")
    parser.add_argument("--worker", action="store_true")
    a = parser.parse_args()
    if a.worker:
        worker(a.threads)
        return
    sides = [Side(a.peer, None, a.threads), Side(a.ours, a.ours_path, a.threads)]
    rows = {}
    for name in works():
        if not re.search(a.only, name):
            continue
        ratios, seconds = [], [0.0, 0.0]
        for r in range(a.rounds):
            for i in (0, 1) if r % 2 == 0 else (1, 0):
                seconds[i] = sides[i].time(name, a.seconds)
            ratios.append(seconds[0] / seconds[1])
        rows[name] = statistics.median(ratios)
        if rows[name] < a.below:
            print(f"{name:36} {rows[name]:6.2f} [{min(ratios):.2f}-{max(ratios):.2f}]", flush=True)
    if rows:
        under = sum(v < 1 for v in rows.values())
        print(
            f"{len(rows)} works, {under} under 1, least {min(rows.values()):.2f}, geometric mean {statistics.geometric_mean(rows.values()):.2f}"
        )
    if a.out:
        with open(a.out, "w") as out:
            json.dump(rows, out, indent=1)


if __name__ == "__main__":
    main()
