"""`index_factory` makes of any description what Faiss makes of it, and refuses what Faiss refuses."""

import json

import faiss
import numpy as np
import pytest
from random_descriptions import Descriptions

PROGRAM = """
def outcome(d, text, metric):
    try:
        index = faiss.index_factory(d, text, metric)
    except Exception:
        return "refused"
    names, inner = [], index
    while inner is not None:
        inner = faiss.downcast_index(inner)
        names.append(type(inner).__name__)
        next = [getattr(inner, field, None) for field in ("index", "base_index", "storage", "quantizer")]
        inner = next[0] or next[1] or next[2] or next[3]
    if "IndexIVFPQR" in names:
        # Before training, Faiss writes what it does not read.
        return " ".join(names)
    try:
        names.append(str(len(faiss.serialize_index(index))))
    except Exception:
        names.append("not written")
    return " ".join(names)
"""


def asked(seed: int, n: int) -> list[tuple[int, str, int]]:
    make = Descriptions(seed)
    dims, metrics = [16, 16, 16, 32, 8, 10], [faiss.METRIC_L2] * 3 + [faiss.METRIC_INNER_PRODUCT]
    return [(make.pick.choice(dims), make.description(), make.pick.choice(metrics)) for _ in range(n)]


@pytest.mark.parametrize("seed", range(2))
def test_descriptions(oracle, seed):
    questions = asked(seed, 400)
    code = "import json\nresult['answers'] = np.array([outcome(*q) for q in json.loads(str(given['questions']))])"
    theirs = oracle(PROGRAM + code, questions=np.array(json.dumps(questions)))["answers"]
    space = {"faiss": faiss}
    exec(PROGRAM, space)
    mine = [space["outcome"](*question) for question in questions]
    differing = [(q, a, b) for q, a, b in zip(questions, mine, theirs.tolist(), strict=True) if a != b]
    assert not differing, f"{len(differing)} of {len(questions)}: {differing[:5]}"
