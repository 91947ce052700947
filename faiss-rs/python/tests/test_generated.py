"""What is generated from the descriptions is as they are now."""

import ast
import os
import pydoc
import subprocess
import sys
import types
from pathlib import Path

import faiss
import pytest
from faiss import loader
from faiss.placeholders import is_placeholder

TOOLS = Path(__file__).resolve().parents[1] / "tools"
PACKAGE = Path(faiss.__file__).resolve().parent


@pytest.mark.parametrize("tool", ["stubs.py", "api_table.py"])
def test_up_to_date(tool):
    done = subprocess.run([sys.executable, TOOLS / tool, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_stub_knows_every_implemented_name():
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    missing = [
        n
        for n in loader.names()
        if not is_placeholder(getattr(faiss, n))
        and not any(start in stub for start in (f"class {n}", f"def {n}(", f"\n{n}: ", f"\n{n} = "))
    ]
    assert not missing


def test_the_stubs_are_what_is_there(tmp_path):
    """By mypy's stubtest, from an environment that has it; tools/stubtest.txt says what it may find."""
    python = os.environ.get("FAISS_LINT_PYTHON")
    if not python:
        pytest.skip("FAISS_LINT_PYTHON does not name an interpreter that has mypy")
    absent = tmp_path / "absent.txt"
    absent.write_text("".join(f"faiss\\.{n}(\\..*)?\n" for n in loader.names() if is_placeholder(getattr(faiss, n))))
    # The version as in mypy.ini of the checkout.
    settings = tmp_path / "mypy.ini"
    settings.write_text(
        f"[mypy]\npython_version = 3.12\nmypy_path = {PACKAGE.parent}\n[mypy-torch.*]\nignore_missing_imports = True\n"
    )
    lists = [f"--allowlist={path}" for path in (TOOLS / "stubtest.txt", absent)]
    command = [python, "-m", "mypy.stubtest", "faiss", "--concise", "--ignore-unused-allowlist", *lists]
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [*command, "--mypy-config-file", settings], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_docs_are_words_for_python():
    """Rust's links lead nowhere here."""
    text = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    assert "[`" not in text


def test_help_is_worth_reading():
    words = pydoc.render_doc(faiss.IndexIVFPQ, renderer=pydoc.plaintext)
    parts = [
        "neighbor search, 2011",
        "IndexIVFPQ(quantizer: Index, d: int, nlist: int, M: int",
        "x: queries, shape (nq, d)",
    ]
    assert not [part for part in parts if part not in " ".join(words.split()).replace("| ", "")]
    here = [n for n in loader.names() if not is_placeholder(getattr(faiss, n))]
    kinds = (type, types.FunctionType)
    assert not [n for n in here if isinstance(getattr(faiss, n), kinds) and not getattr(faiss, n).__doc__]


def test_the_extensions_stub_names_what_it_has():
    tree = ast.parse((PACKAGE / "_faiss.pyi").read_text(encoding="utf-8"))
    stated = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)} | {"VERSION"}
    assert stated == {n for n in dir(faiss._faiss) if not n.startswith("_")}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            has = {n for n in vars(getattr(faiss._faiss, node.name)) if not n.startswith("__")}
            assert {m for m in methods if not m.startswith("__")} == has
