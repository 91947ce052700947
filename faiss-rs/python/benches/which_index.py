"""What kinds of index cost and give, beside each other: the table of docs/indexes.md.

usage: which_index.py [--n 100000] [--d 128] [--recall 0.9]

Vectors of low intrinsic dimension, 1,000 queries, 10 neighbours, one thread, processor time. Of the settings of an index (`nprobe`, `efSearch`,
`k_factor`) the quickest that finds this share of the true neighbours is shown, or the best one where none does.
"""

import argparse
import time
from collections.abc import Iterator

import faiss
from faiss.contrib.datasets import SyntheticDataset

# Descriptions, and the settings to try, the quickest first.
PROBES = [f"nprobe={n}" for n in (1, 2, 4, 8, 16, 32, 64, 128)]
REFINED = [f"{p},k_factor_rf={f}" for p in PROBES[2:] for f in (4, 16)]
INDEXES = {
    "Flat": [""],
    "SQfp16": [""],
    "SQ8": [""],
    "PQ32": [""],
    "HNSW32": [f"efSearch={n}" for n in (8, 16, 32, 64, 128, 256)],
    "IVF1024,Flat": PROBES,
    "IVF1024,SQ8": PROBES,
    "IVF1024,PQ32": PROBES,
    "OPQ32,IVF1024,PQ32": PROBES,
    "IVF1024,PQ32x4fs": PROBES,
    "IVF1024,PQ32x4fs,Refine(SQfp16)": REFINED,
    "RR128,IVF1024,RaBitQ": PROBES,
    "RR128,IVF1024,RaBitQ,Refine(SQfp16)": REFINED,
}


def rows(ds: SyntheticDataset, target: float) -> Iterator[str]:
    queries, truth = ds.get_queries(), ds.get_groundtruth(10)
    for description, settings in INDEXES.items():
        index = faiss.index_factory(ds.d, description)
        started = time.process_time()
        index.train(ds.get_train())
        index.add(ds.get_database())
        build = time.process_time() - started
        space, found = faiss.ParameterSpace(), []
        for setting in settings:
            space.set_index_parameters(index, setting)
            seconds = []
            for _ in range(3):
                started = time.process_time()
                _, ids = index.search(queries, 10)
                seconds.append(time.process_time() - started)
            found.append((faiss.eval_intersection(ids, truth) / truth.size, min(seconds) / len(queries), setting))
        enough = [f for f in found if f[0] >= target]
        recall, each, setting = min(enough, key=lambda f: f[1]) if enough else max(found)
        size = faiss.serialize_index(index).nbytes / ds.nb
        cells = (f"`{description}`", setting, f"{recall:.3f}", f"{each * 1e6:.0f}", f"{size:.0f}", f"{build:.1f}")
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100_000, help="number of vectors (default: %(default)s)")
    parser.add_argument("--d", type=int, default=128, help="their dimension (default: %(default)s)")
    parser.add_argument("--recall", type=float, default=0.9, help="share of the true neighbours (default: %(default)s)")
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    ds = SyntheticDataset(args.d, min(args.n, 50_000), args.n, 1000)
    print("| description | setting | recall | us a query | bytes a vector | s to build |\n|---|---|---|---|---|---|")
    for row in rows(ds, args.recall):
        print(row, flush=True)


if __name__ == "__main__":
    main()
