"""Makes an object of every type that the library describes, calls what its description lists with good and bad arguments, and takes it
through copies and files: run by test_robustness.py in a process of its own. A new type is in it by existing.

usage: random_types.py SEED
"""

import ast
import random
import sys
from functools import cache
from typing import Any

import faiss
import numpy as np
from faiss import _faiss, classes, loader

NUMBERS = [-(2**63), -5, -1, 0, 1, 2, 3, 4, 7, 2**31, 2**63 - 1, 1.5, None, "a", True]
# What parameters of these names are mostly given.
USUAL = {
    "d": 4,
    "dims": 4,
    "d_in": 4,
    "d_out": 4,
    "M": 2,
    "m": 2,
    "nbits": 4,
    "nlist": 2,
    "code_size": 8,
    "k": 2,
    "n": 3,
    "b": 4,
    "n_levels": 2,
    "batch_size": 8,
    "nhash": 2,
    "i0": 0,
    "i1": 1,
}
# What a type alone needs.
OWN = {"SuperKMeans": {"d": 32}, "ReproduceDistancesObjective": {"n": 1}}
# Files and GPUs: what they need is not here.
SKIPPED = ("FileIO", "PyCallback", "Gpu", "StandardGpu")


class Types:
    def __init__(self, seed: int) -> None:
        self.pick, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.names = [n for n in sorted(loader.described()) if not n.startswith(SKIPPED)]
        self.halves, self.usual = False, USUAL

    def array(self) -> np.ndarray:
        shape = self.pick.choice([(0,), (3,), (3, 4), (20, 4), (20, 1), (3, 2)])
        return (self.rng.random(shape) * 5).astype(self.pick.choice(["f4", "f4", "i8", "u1", "i4", "f8"]))

    def vectors(self, n: int, d: int) -> np.ndarray:
        return self.rng.random((n, min(d, 100))).astype("f4")

    def argument(self, name: str, annotation: str, depth: int) -> Any:
        if self.pick.random() < 0.1:
            return self.pick.choice([*NUMBERS, self.array()])
        kinds = [k.strip() for k in annotation.split("|")]
        kind = kinds[0]
        if "None" in kinds and self.pick.random() < 0.4:
            return None
        if name == "d" and depth > 0 and self.halves:
            return USUAL["d"] // 2
        if kind in ("int", "float"):
            return self.usual.get(name, self.pick.choice(NUMBERS[1:10]))
        if kind == "bool":
            return self.pick.random() < 0.5
        if kind == "str":
            return self.pick.choice(["", "a", "nprobe=2"])
        if kind.split(".")[0] in ("numpy", "object"):
            return self.array()
        if kind.startswith("list["):
            return [self.argument(name, kind[5:-1], depth) for _ in range(2)]
        fitting = [n for n in self.names if n == kind or kind in self.lineage(n)]
        return self.make(self.pick.choice(fitting), depth + 1) if fitting and depth < 3 else None

    @staticmethod
    @cache
    def lineage(name: str) -> list[str]:
        parent = _faiss.describe(name)["parent"]
        return [parent, *Types.lineage(parent)] if parent else []

    def arguments(self, signature: str, depth: int = 0) -> list[Any]:
        function = ast.parse(f"def f{signature}: ...").body[0]
        assert isinstance(function, ast.FunctionDef)
        wanted = [a for a in function.args.args if a.arg != "self"]
        return [self.argument(a.arg, ast.unparse(a.annotation) if a.annotation else "int", depth) for a in wanted]

    def make(self, name: str, depth: int = 0) -> Any:
        signatures = _faiss.describe(name)["signatures"]
        if depth == 0:
            # What this is made of are indexes over halves of vectors.
            self.halves, self.usual = name == "MultiIndexQuantizer2", USUAL | OWN.get(name, {})
        for attempts in range(300 if depth == 0 else 4):
            if not signatures:
                return None
            try:
                args = self.arguments(self.pick.choice(signatures), depth)
                if attempts % 2 == 0:
                    return getattr(faiss, name)(*args)
                # Where the class wants pointers, the library itself has arrays.
                return classes.wrap(_faiss.construct(name, *args))
            except Exception as error:
                check(error)
        return None

    def exercise(self, name: str) -> bool:
        made = self.make(name)
        if made is None:
            return False
        for level in [name, *self.lineage(name)]:
            described = _faiss.describe(level)
            for field, *_ in described["fields"]:
                attempt(getattr, made, field)
                attempt(setattr, made, field, self.pick.choice([*NUMBERS, attempt(getattr, made, field)]))
            for method, signature, _ in described["methods"]:
                attempt(made.this.call, method, *self.arguments(signature))
                attempt(made.this.call, method)
                attempt(getattr(made, method, None), made)
        return True

    def round_trip(self, name: str) -> None:
        """Copies hold the same; what is written is read back and written the same."""
        made = self.make(name)
        if made is None:
            return
        if isinstance(made, faiss.Index):
            attempt(made.train, self.vectors(300, made.d))
            attempt(made.add, self.vectors(5, made.d))
            written = attempt(faiss.serialize_index, made)
            # What is not whole yet, as after a constructor without arguments, may be refused when it is read.
            if written is not None and made.ntotal != 5:
                attempt(faiss.deserialize_index, written)
            elif written is not None:
                again = faiss.serialize_index(faiss.deserialize_index(written))
                assert np.array_equal(written, again), f"{name} is written otherwise after it was read"
                copied = attempt(faiss.clone_index, made)
                copied = copied and attempt(faiss.serialize_index, copied)
                assert copied is None or np.array_equal(written, copied), f"a copy of {name} is written otherwise"
        else:
            attempt(_faiss.clone_object, made.this)


def check(error: Exception) -> None:
    """Any exception will do, but not one that says the library lost its way."""
    if isinstance(error, AssertionError) and "written otherwise" in str(error):
        raise error
    if "internal error" in str(error):
        raise error


def attempt(work: Any, *args: Any) -> Any:
    try:
        return work(*args)
    except Exception as error:
        check(error)
        return None


def main() -> None:
    types = Types(int(sys.argv[1]))
    faiss.omp_set_num_threads(1)
    made = [name for name in types.names if types.exercise(name)]
    for name in types.names:
        types.round_trip(name)
    missing = [n for n in types.names if n not in made and not _faiss.describe(n)["abstract"]]
    print("made", len(made), "missing", missing)
    print("done")


if __name__ == "__main__":
    main()
