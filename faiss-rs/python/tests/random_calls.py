"""Calls methods of indexes at random with good and bad arguments: run by test_robustness.py in a process of its own.

usage: random_calls.py SEED STEPS
"""

import random
import sys

import faiss
import numpy as np
from random_types import Types

NUMBERS = [
    -(2**63),
    -(2**31),
    -5,
    -1,
    0,
    1,
    2,
    3,
    4,
    7,
    100,
    2**31 - 1,
    2**31,
    2**40,
    2**62,
    2**63 - 1,
    1.5,
    None,
    "a",
    True,
]
FIELDS = ["d", "ntotal", "metric_type", "metric_arg", "verbose", "is_trained", "code_size"]
METRICS = [*range(5), *range(20, 26)]


class Caller:
    def __init__(self, seed: int) -> None:
        self.pick, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.types = Types(seed)
        self.kinds = [n for n in self.types.names if "Index" in self.types.lineage(n)]
        self.indexes = [self.make() for _ in range(3)]

    def make(self) -> faiss.Index:
        """An index: of any type that is described, or a flat one, which takes more of the calls."""
        made = self.types.make(self.pick.choice(self.kinds)) if self.pick.random() < 0.7 else None
        return (
            made
            or self.pick.choice(
                [
                    lambda: faiss.IndexFlatL2(self.pick.choice([0, 1, 3, 4])),
                    lambda: faiss.IndexFlatIP(4),
                    lambda: faiss.IndexFlat(4, self.pick.choice(METRICS)),
                    lambda: faiss.IndexFlat1D(self.pick.random() < 0.5),
                    faiss.IndexFlatL2,
                ]
            )()
        )

    def vectors(self, d: int) -> np.ndarray:
        d = d if 0 <= d <= 1000 and self.pick.random() < 0.8 else self.pick.choice([0, 1, 3, 4])
        x = self.rng.random((self.pick.choice([0, 1, 2, 5, 25]), d)).astype(self.pick.choice(["f4", "f8", "i4"]))
        if x.size and x.dtype.kind == "f" and self.pick.random() < 0.1:
            x.flat[0] = self.pick.choice([np.nan, np.inf, -np.inf, 1e38])
        return x

    def selector(self) -> faiss.IDSelector:
        ids = self.rng.integers(-5, 30, self.pick.choice([0, 3, 10]))
        return self.pick.choice(
            [
                lambda: faiss.IDSelectorRange(self.pick.choice([-3, 0, 2**62]), self.pick.choice([3, 100, -5])),
                lambda: faiss.IDSelectorBatch(ids),
                lambda: faiss.IDSelectorArray(ids),
                lambda: faiss.IDSelectorBitmap(self.rng.integers(0, 255, 3).astype("u1")),
                lambda: faiss.PyCallbackIDSelector(lambda i: i % 2 == 0),
                lambda: faiss.IDSelectorNot(self.selector()),
                lambda: faiss.IDSelectorAnd(self.selector(), faiss.IDSelectorNot(None)),
            ]
        )()

    def damaged(self, index: faiss.Index) -> faiss.Index:
        data = faiss.serialize_index(index).copy()
        for _ in range(3):
            data[self.pick.randrange(min(60, data.size))] = self.pick.randrange(256)
        return faiss.deserialize_index(data)

    def step(self) -> None:
        i = self.pick.randrange(3)
        ix, choice = self.indexes[i], self.pick.choice
        params = faiss.SearchParameters(sel=self.selector()) if self.pick.random() < 0.5 else None
        made = choice(
            [
                self.make,
                lambda: ix.add(self.vectors(ix.d)),
                lambda: ix.train(self.rng.random((100, min(ix.d, 100))).astype("f4")),
                lambda: ix.add_with_ids(self.rng.random((4, min(ix.d, 100))).astype("f4"), self.rng.integers(-2, 9, 4)),
                lambda: ix.search(self.vectors(ix.d), choice([1, 2, 10, 50]), params=params),
                lambda: ix.range_search(self.vectors(ix.d), choice([0.0, 0.5, 100.0, np.inf, np.nan, -1.0])),
                lambda: ix.range_search_c(0, None, 1.0, faiss.RangeSearchResult(0)),
                lambda: ix.search_and_reconstruct(self.vectors(ix.d), 3),
                lambda: ix.assign(self.vectors(ix.d), 3),
                lambda: ix.reconstruct(choice(NUMBERS)),
                lambda: ix.reconstruct_n(choice(NUMBERS), choice([0, 1, 5, -1, -7])),
                lambda: ix.reconstruct_batch(self.rng.integers(-2, 30, 5)),
                lambda: ix.remove_ids(self.selector()),
                lambda: setattr(ix, choice(FIELDS), choice(NUMBERS)),
                lambda: ix.merge_from(choice(self.indexes)),
                lambda: faiss.deserialize_index(faiss.serialize_index(ix)),
                lambda: faiss.clone_index(ix),
                lambda: self.damaged(ix),
                lambda: ix.codes.resize(choice([0, 1, 7, 16, 1000, 2**62])),
                lambda: ix.sa_decode(ix.sa_encode(self.vectors(ix.d))),
                lambda: ix.add_sa_codes(self.rng.integers(0, 255, (3, min(ix.sa_code_size(), 1000))).astype("u1")),
                lambda: ix.permute_entries(self.rng.permutation(max(0, min(ix.ntotal, 1000)))),
                lambda: ix.sync_l2norms(),
                lambda: ix.update_permutation(),
                lambda: ix.cached_l2norms.resize(choice([0, 3, 25])),
                lambda: ix.reset(),
                lambda: faiss.knn(self.vectors(4), self.vectors(4), choice([0, 1, 5]), choice([*METRICS, 99])),
            ]
        )()
        if isinstance(made, faiss.Index):
            self.indexes[i] = made


def main() -> None:
    caller = Caller(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        try:
            caller.step()
        except Exception as error:
            # Any exception will do, but not one that says the library lost its way.
            if "internal error" in str(error):
                raise
        caller.indexes = [ix if abs(ix.d) < 1000 and abs(ix.ntotal) < 10000 else caller.make() for ix in caller.indexes]
    print("done")


if __name__ == "__main__":
    main()
