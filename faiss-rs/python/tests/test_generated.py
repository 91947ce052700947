"""What is generated from the descriptions is as they are now."""

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
