"""What is generated from the descriptions is as they are now."""

import ast
import subprocess
import sys
from pathlib import Path

import faiss
import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
PACKAGE = Path(faiss.__file__).resolve().parent


@pytest.mark.parametrize("tool", ["stubs.py", "api_table.py"])
def test_up_to_date(tool):
    done = subprocess.run([sys.executable, TOOLS / tool, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_stub_knows_every_implemented_name():
    from faiss import loader
    from faiss.placeholders import is_placeholder

    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    missing = [
        n
        for n in loader.names()
        if not is_placeholder(getattr(faiss, n))
        and not any(start in stub for start in (f"class {n}", f"def {n}(", f"\n{n}: ", f"\n{n} = "))
    ]
    assert not missing


def test_the_extensions_stub_names_what_it_has():
    tree = ast.parse((PACKAGE / "_faiss.pyi").read_text(encoding="utf-8"))
    stated = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)} | {"VERSION"}
    assert stated == {n for n in dir(faiss._faiss) if not n.startswith("_")}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            has = {n for n in vars(getattr(faiss._faiss, node.name)) if not n.startswith("__")}
            assert {m for m in methods if not m.startswith("__")} == has
