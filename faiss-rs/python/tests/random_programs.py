"""Programs as users might write them, at random from the factory's grammar: run by test_random_programs.py here and under faiss-cpu.

A program has a trained `index` of `d` dimensions, data `xb`, `xq` and `np`, `faiss`, `error`, `near`, and puts what it finds into `found`.
"""

import random
from dataclasses import dataclass

TRANSFORMS = ["", "", "", "", "PCA8,", "PCAR6,", "RR12,", "L2norm,", "Pad20,", "RR8,L2norm,"]
FLAT = [
    "Flat",
    "Flat",
    "SQ8",
    "SQ6",
    "SQ4",
    "SQfp16",
    "SQbf16",
    "PQ4x4np",
    "PQ2x8np",
    "PQ4x6np",
    "LSH",
    "LSHrt",
    "PQ4x4fs",
    "RQ2x4",
    "HNSW8",
    "HNSW8,SQ8",
]
LISTS = ["Flat", "SQ8", "SQfp16", "SQ4", "PQ4x4np", "PQ2x8np", "PQ4x4fs", "PQ4x4fsr", "FlatDedup"]
QUANTIZERS = ["IVF5", "IVF8", "IVF1", "IVF4_HNSW4", "IVF8(Flat)"]
REFINE = ["", "", "", ",RFlat", ",Refine(SQfp16)"]


@dataclass
class Program:
    d: int
    description: str
    metric: int
    steps: list[str]

    @property
    def name(self) -> str:
        return f"{self.description} d={self.d} metric={self.metric}"


def steps(pick: random.Random, description: str) -> list[str]:
    n = pick.choice([1, 5, 40, 200])
    k = pick.choice([1, 3, 10, 300])
    first, last = sorted(pick.sample(range(200), 2))
    radius = pick.choice([-1.0, 0.0, 0.5, 1.0, 3.0])
    ids = f"np.arange({n}) * {pick.choice([1, 3, -2])} + {pick.choice([0, 1000, 2**40])}"
    sel = pick.choice(
        [
            f"faiss.IDSelectorRange({first}, {last})",
            f"faiss.IDSelectorBatch(np.arange({first}, {last}, 3))",
            f"faiss.IDSelectorNot(faiss.IDSelectorRange({first}, {last}))",
            f"faiss.IDSelectorArray(np.array([{first}, {last}, -1, 5000]))",
        ]
    )
    ivf = "IVF" in description
    params = (
        f"faiss.SearchParametersIVF(nprobe={pick.choice([1, 3, 100])}, sel={sel})"
        if ivf
        else f"faiss.SearchParameters(sel={sel})"
    )
    if "HNSW" in description and not ivf:
        params = f"faiss.SearchParametersHNSW(efSearch=50, sel={sel})"
    choices = [
        f"index.add(xb[:{n}])",
        f"index.add(xb[{first}:{last}])",
        f"index.add_with_ids(xb[:{n}], {ids})",
        f"near(index.search(xq, {k}))",
        f"near(index.search(xq, {k}))",
        f"near(index.search(xq, {k}, params={params}))",
        f"ranges(index.range_search(xq, {radius}))",
        *(
            []
            if "Dedup" in description
            else [f"index.remove_ids(np.arange({first}, {last}))", f"index.remove_ids({sel})"]
        ),
        f"index.reconstruct({first})",
        f"index.reconstruct_n({first}, {pick.choice([0, 1, 7, -1])})",
        f"index.reconstruct_batch([{first}, {last}])",
        f"index.sa_decode(index.sa_encode(xb[:{n}]))",
        f"near(index.search_and_reconstruct(xq, {min(k, 10)})[:2])",
        f"index.assign(xq, {min(k, 3)}).shape",
        "index.reset()",
        f"faiss.extract_index_ivf(index).make_direct_map({pick.choice([True, False])})",
        f"setattr(faiss.extract_index_ivf(index), 'nprobe', {pick.choice([1, 2, 100])})",
        f"faiss.ParameterSpace().set_index_parameters(index, 'nprobe={pick.choice([1, 4])}')",
        f"near(reread(index).search(xq, {k}))",
        f"faiss.clone_index(index).ntotal + {n}",
        # Duplicates are counted in another way there, and lost in merging.
        *([] if "Dedup" in description else [f"merged(index, xb[:{n}], {first})"]),
        f"index.search(xq[:, :{pick.choice([1, 3])}], {k})",
        f"index.search(xq, {pick.choice([0, -1])})",
        f"index.add(xb[:{n}].astype('float64'))",
        "index.add(xb[:0])",
        f"index.search(xq[:0], {k})",
        "index.search(xq[0], 1)",
    ]
    chosen = [f"index.add(xb[:{n}])", *(pick.choice(choices) for _ in range(pick.randint(4, 9)))]
    # Rows of ids that an inverted file does not have are left by faiss-cpu as the memory was.
    leaves_holes = [any(word in step for word in ("add_with_ids", "remove_ids", "merged")) for step in chosen]
    whole = leaves_holes.index(True) if ivf and any(leaves_holes) else len(chosen)
    return [step for i, step in enumerate(chosen) if i < whole or "reconstruct_n" not in step]


def program(seed: int) -> Program:
    pick = random.Random(seed)
    transform = pick.choice(TRANSFORMS)
    if pick.random() < 0.55:
        description = f"{transform}{pick.choice(QUANTIZERS)},{pick.choice(LISTS)}"
    else:
        description = transform + pick.choice(FLAT)
    description += pick.choice(REFINE)
    if pick.random() < 0.25:
        description = pick.choice(["IDMap,", "IDMap2,"]) + description
    # Other metrics than L2 and inner product are for vectors and for scalars.
    whole = not any(word in description for word in ("PQ", "RQ", "LSH", "R"))
    metric = pick.choice([1, 1, 1, 0, 0, 2] if whole else [1, 1, 0])
    return Program(pick.choice([16, 16, 24]), description, metric, steps(pick, description))
