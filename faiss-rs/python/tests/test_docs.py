"""What the pages say holds: their programs run, and the names, keywords and descriptions in their text exist."""

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import faiss
import pytest
from faiss.placeholders import is_placeholder

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "README.md"
# What is generated lists the names that are not here as well.
PAGES = [README, *sorted(p for p in (ROOT / "docs").glob("*.md") if p.name != "python-api.md")]
STUB = ast.parse((Path(faiss.__file__).parent / "__init__.pyi").read_text(encoding="utf-8"))


def blocks(page: Path) -> list[str]:
    """The Python programs of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def spans(page: Path) -> list[str]:
    """What a page has as code within its text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def test_programs_of_the_pages_are_files_that_run():
    shown = {line for page in PAGES if page != README for block in blocks(page) for line in block.splitlines()}
    files = {re.fullmatch(r'--8<-- "faiss-rs/python/examples/(\w+)\.py"', line) for line in shown}
    assert None not in files, "code that nothing runs"
    # Each is run by test_examples.py, or on a GPU by gpu/test_gpu_example.py.
    tested = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.rglob("test_*example*.py"))
    assert not [match[1] for match in files if match and match[1] not in tested]


def test_the_program_of_the_readme():
    (program,) = blocks(README)
    assert "1_000_000" in program
    lines = program.replace("1_000_000", "10_000").splitlines()
    there = faiss.get_num_gpus() > 0
    program = "\n".join(line for line in lines if there or "where there is no GPU" not in line)
    program += "\nassert (ids[:, 0] == range(10)).all()\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_in_the_text_exist(page):
    missing = []
    for path in {p for span in spans(page) for p in re.findall(r"\bfaiss\.([A-Za-z_]\w*(?:\.\w+)*)", span)}:
        first, *rest = path.split(".")
        if first in ("contrib", "swigfaiss", "class_wrappers"):
            found = importlib.util.find_spec(f"faiss.{path}") or importlib.util.find_spec(
                f"faiss.{path.rpartition('.')[0]}"
            )
        else:
            value = getattr(faiss, first, None)
            found = value is not None and not is_placeholder(value) and all(hasattr(value, r) for r in rest[:1])
        if not found:
            missing.append(path)
    assert not missing


def keywords_of(name: str) -> set[str] | None:
    """The keywords that a function or a constructor takes by the stubs; None for any."""
    node = next((n for n in STUB.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name), None)
    if isinstance(node, ast.ClassDef):
        functions = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not functions:
            return keywords_of(ast.unparse(node.bases[0])) if node.bases else set()
    else:
        functions = [node] if node else []
    if any(f.args.kwarg for f in functions):
        return None
    return {a.arg for f in functions for a in [*f.args.args, *f.args.kwonlyargs]}


def calls(page: Path) -> Iterator[tuple[str, set[str]]]:
    """Functions and constructors that a page's text calls with keywords, and which."""
    for span in spans(page):
        try:
            tree = ast.parse(span.replace("...)", ")"))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.keywords:
                name = ast.unparse(node.func).removeprefix("faiss.")
                if hasattr(faiss, name):
                    yield name, {k.arg for k in node.keywords if k.arg}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keywords_in_the_text_are_taken(page):
    wrong = []
    for name, given in calls(page):
        known = keywords_of(name)
        if known is not None and not given <= known:
            wrong.append(f"{name} takes no {given - known}")
    assert not wrong


def test_descriptions_of_which_index_when():
    rows = [
        line for line in (ROOT / "docs/indexes.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")
    ]
    descriptions = {span for row in rows for span in re.findall(r"`([A-Z][\w,()]*)`", row)}
    assert len(descriptions) > 10
    for description in descriptions - {"BFlat"}:
        make = faiss.index_binary_factory if description.startswith("B") else faiss.index_factory
        assert make(128, description).ntotal == 0


def test_descriptions_of_index_factory():
    words = inspect.getdoc(faiss.index_factory)
    rows = re.findall(r"^ +(\w+) {2,}([A-Z].*)$", words, re.MULTILINE)
    named = {kind: parts.split(", ") for kind, parts in rows}
    assert set(named) == {"transforms", "lists", "codes", "graphs"}
    whole = [f"{part},Flat" for kind in ("transforms", "lists") for part in named[kind]]
    for description in [
        *whole,
        *named["codes"],
        *named["graphs"],
        "IDMap,Flat",
        "IDMap2,Flat",
        "PQ16,RFlat",
        "PQ16,Refine(SQfp16)",
    ]:
        assert faiss.index_factory(128, description).d == 128
