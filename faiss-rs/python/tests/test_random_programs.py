"""Random programs, run here and under faiss-cpu: what they find must be the same. More of them: FAISS_RANDOM_PROGRAMS=1000 FAISS_RANDOM_SEED=1."""

import json
import os
import pickle
import traceback
from typing import Any

import faiss
import numpy as np
import pytest
from random_programs import Program, program
from test_same_as_faiss import PROLOGUE, compare

COUNT = int(os.environ.get("FAISS_RANDOM_PROGRAMS", "120"))
FIRST = int(os.environ.get("FAISS_RANDOM_SEED", "0")) * 100_000

# An index is trained by faiss-cpu and handed over in its file, so that what is compared does not depend on where k-means ends.
MORE = """
def near(found):
    "Distances and ids; ids of equal distances in order, those of the last one, which others may share, left out."
    D, I = found
    ids = np.full(I.shape, -2)
    for q in range(len(D)):
        close = np.isclose(D[q][:, None], D[q][None], rtol=1e-4, atol=1e-5)
        alone = close.sum(1) == 1
        alone &= ~np.isclose(D[q], D[q, -1], rtol=1e-4, atol=1e-5) | (I[q, -1] < 0)
        ids[q, alone | (I[q] < 0)] = I[q, alone | (I[q] < 0)]
    # The distance of a result that does not exist is not told by packed codes.
    return np.where(I < 0, 0, D), ids

def ranges(found):
    lims, D, I = found
    return lims.tolist(), [np.sort(D[a:b]) for a, b in zip(lims, lims[1:])], [np.sort(I[a:b]) for a, b in zip(lims, lims[1:])]

def reread(index):
    return faiss.deserialize_index(faiss.serialize_index(index))

def merged(index, x, first):
    other = faiss.clone_index(index)
    other.reset()
    other.add(x)
    index.merge_from(other, first) if "IVF" in type(index).__name__ else index.merge_from(other)
    return index.ntotal

def run(steps, space):
    found = space["found"]
    for step in steps:
        found.append((step, error(lambda: eval(step, space)), space["index"].ntotal))
"""

# Each program runs in a process of its own: some end faiss-cpu's.
RUNNER = """
import json, os, pickle
exec(str(given["prologue"]), globals())
faiss.omp_set_num_threads(1)

def work(p):
    try:
        data = {name: np.ascontiguousarray(given[name][:, : p["d"]]) for name in ("xt", "xb", "xq")}
        index = faiss.index_factory(p["d"], p["description"], p["metric"])
        index.train(data["xt"])
        trained = faiss.serialize_index(index)
        space = {**globals(), **data, "index": faiss.deserialize_index(trained), "found": []}
    except Exception as e:
        return type(e).__name__, None
    run(p["steps"], space)
    return space["found"], trained

for i, p in enumerate(json.loads(str(given["programs"]))):
    theirs, mine = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(mine, "wb") as out:
            out.write(pickle.dumps(work(p)))
        os._exit(0)
    os.close(mine)
    with os.fdopen(theirs, "rb") as read:
        answer = read.read()
    os.waitpid(child, 0)
    result[f"answer{i}"] = np.frombuffer(answer, "u1")
"""


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    made = {name: rng.standard_normal((n, 24), dtype="f4") for name, n in (("xt", 1500), ("xb", 200), ("xq", 5))}
    # Equal vectors, and a query that is one of them.
    made["xb"][50:60] = made["xb"][10:20]
    made["xq"][0] = made["xb"][15]
    return made


PROGRAMS = [program(FIRST + i) for i in range(COUNT)]


@pytest.fixture(scope="module")
def theirs(oracle: Any, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    programs = json.dumps([vars(p) for p in PROGRAMS])
    answers: dict[str, np.ndarray] = oracle(
        RUNNER, programs=np.array(programs), prologue=np.array(PROLOGUE + MORE), **data
    )
    return answers


def ours(p: Program, trained: np.ndarray | None, data: dict[str, np.ndarray]) -> Any:
    space: dict[str, Any] = {"np": np, "faiss": faiss, "found": []}
    exec(PROLOGUE + MORE, space)
    space |= {name: np.ascontiguousarray(rows[:, : p.d]) for name, rows in data.items()}
    if trained is None:
        made = faiss.index_factory(p.d, p.description, p.metric)
        made.train(space["xt"])
        return "an index"
    space["index"] = faiss.deserialize_index(trained)
    space["run"](p.steps, space)
    return space["found"]


def same(mine: Any, theirs: Any, p: Program) -> None:
    if isinstance(theirs, str):
        # It can't be made there; here it may.
        return
    assert isinstance(mine, list), f"{p.name}: {mine}"
    for (step, outcome, ntotal), (_, other, their_ntotal) in zip(mine, theirs, strict=True):
        where = f"{p.name}: {step}"
        if isinstance(other, str) and other == "RuntimeError" and not isinstance(outcome, str):
            # What it refuses may work here; what comes after is then no longer the same.
            return
        assert isinstance(outcome, str) == isinstance(other, str), f"{where}: {outcome!r} instead of {other!r}"
        compare(outcome, other, where)
        assert ntotal == their_ntotal, where


@pytest.mark.parametrize("i", range(COUNT))
def test_program(theirs: dict[str, np.ndarray], data: dict[str, np.ndarray], i: int) -> None:
    p, answer = PROGRAMS[i], theirs[f"answer{i}"].tobytes()
    # Where faiss-cpu died there is nothing to compare with; here a program only has to come to its end.
    found, trained = pickle.loads(answer) if answer else (None, None)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        mine = ours(p, trained, data)
    except RuntimeError as e:
        mine = type(e).__name__
    except Exception:
        pytest.fail(f"{p.name}\n{traceback.format_exc()}")
    finally:
        faiss.omp_set_num_threads(threads)
    if answer:
        same(mine, found, p)


def test_most_programs_are_compared(theirs: dict[str, np.ndarray]) -> None:
    compared = sum(len(theirs[f"answer{i}"]) > 0 for i in range(COUNT))
    assert compared >= 0.8 * COUNT, f"{compared} of {COUNT}"
