"""A quantized index: 300-dimensional vectors in 20 bytes each, trained, filled, saved, and searched from its file.

usage: python quantized_index.py                                        a small run on the CPU
       python quantized_index.py --gpu --nb 5000000 --nlist 10000       6 GB of vectors become a file of about 190 MB
       python quantized_index.py --read index.ivfpq                     searches the file, on a machine without a GPU too
"""

import argparse
import time
from pathlib import Path

import faiss
import numpy as np


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build a quantized index, save it and search it.")
    parser.add_argument("--nb", type=int, default=20_000, help="number of vectors (default: %(default)s)")
    parser.add_argument("--d", type=int, default=300, help="their dimension (default: %(default)s)")
    parser.add_argument("--nlist", type=int, default=100, help="number of inverted lists (default: %(default)s)")
    parser.add_argument("--m", type=int, default=20, help="bytes a vector becomes; divides d (default: %(default)s)")
    parser.add_argument("--nq", type=int, default=1000, help="number of queries (default: %(default)s)")
    parser.add_argument("--k", type=int, default=10, help="neighbours of each (default: %(default)s)")
    parser.add_argument("--nprobe", type=int, default=16, help="lists looked into (default: %(default)s)")
    parser.add_argument("--gpu", action="store_true", help="train and add on GPU 0")
    parser.add_argument("--file", type=Path, default=Path("index.ivfpq"), help="where to save (default: %(default)s)")
    parser.add_argument("--read", type=Path, metavar="FILE", help="build nothing: search this file")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar, even on a terminal")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    faiss.show_progress(not args.no_progress)
    if args.read is None:
        build(args)
    search(args.read or args.file, args)


def build(args: argparse.Namespace) -> None:
    vectors = random_vectors(args.nb, args.d)
    index_flat = faiss.IndexFlatL2(args.d)
    index = faiss.IndexIVFPQ(index_flat, args.d, args.nlist, args.m, 8)
    if args.gpu:
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)

    started = time.perf_counter()
    index.train(vectors)
    trained = time.perf_counter()
    index.add(vectors)
    added = time.perf_counter()
    print(f"train: {trained - started:.2f} s, add: {added - trained:.2f} s, {index.ntotal} vectors")

    cpu_index = faiss.index_gpu_to_cpu(index) if args.gpu else index
    # Where each vector is, so that it can be decoded by its id.
    cpu_index.make_direct_map()
    key = min(42, args.nb - 1)
    error = np.linalg.norm(cpu_index.reconstruct(key) - vectors[key]) / np.linalg.norm(vectors[key])
    print(f"vector {key} comes back with an error of {error:.1%}")

    faiss.write_index(cpu_index, args.file)
    print(f"{vectors.nbytes / 1e6:.1f} MB of vectors became {args.file}: {args.file.stat().st_size / 1e6:.1f} MB")


def search(file: Path, args: argparse.Namespace) -> None:
    index = faiss.read_index(file)
    ivf = faiss.extract_index_ivf(index)
    ivf.nprobe = args.nprobe
    # The first of the vectors that were added, so that the answer is known.
    queries = random_vectors(args.nq, index.d)
    started = time.perf_counter()
    _, ids = index.search(queries, args.k)
    seconds = time.perf_counter() - started
    found = (ids == np.arange(args.nq)[:, None]).any(axis=1).mean()
    print(f"{args.nq} queries in {seconds * 1e3:.1f} ms; {found:.1%} found themselves among {args.k}")


def random_vectors(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(1234).random((n, d), dtype="float32")


if __name__ == "__main__":
    main()
