"""Importing: quick, lazy, without CUDA; every name of Faiss resolves."""

import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import faiss
import pytest
from faiss import loader
from faiss.placeholders import is_placeholder


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_version():
    assert faiss.__version__ == "1.15.1"
    assert faiss.get_version() == faiss.VERSION_STRING == faiss.__version__
    assert (faiss.FAISS_VERSION_MAJOR, faiss.FAISS_VERSION_MINOR, faiss.FAISS_VERSION_PATCH) == (1, 15, 1)


def test_import_time_over_numpy():
    code = "import numpy, time; t = time.process_time(); import faiss; print(time.process_time() - t)"
    run(code)
    # Of the processor, and the shortest of several: what else the machine does can only add to it.
    assert min(float(run(code)) for _ in range(5)) < 0.060


def test_import_makes_no_class_and_loads_no_cuda():
    code = """
import faiss, sys
print('IndexFlatL2' in vars(faiss), 'faiss.index_methods' in sys.modules)
print(any(n in open('/proc/self/maps').read() for n in ('libcuda', 'libcudart', 'libcublas')))
faiss.IndexFlatL2(4)
print('IndexFlatL2' in vars(faiss), 'faiss.index_methods' in sys.modules)
"""
    assert run(code).split() == ["False", "False", "False", "True", "True"]


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        faiss.nosuch  # noqa: B018
    with pytest.raises(ImportError):
        from faiss import nosuch  # noqa: F401


def test_star_import():
    out = run("from faiss import *; print(IndexFlatL2(3).d, METRIC_L1, knn.__name__)")
    assert out.split() == ["3", "2", "knn"]


@pytest.mark.parametrize("name", loader.names())
def test_every_name_resolves(name):
    value = getattr(faiss, name)
    if is_placeholder(value):
        with pytest.raises(NotImplementedError, match=re.escape(name)):
            value()


def test_dir_lists_what_is_here_and_what_is_not():
    names = dir(faiss)
    assert {"IndexFlatL2", "knn", "METRIC_L2", "IndexLSH", "__version__"} <= set(names)
    assert names == sorted(names)


def test_without_asserts_and_docs():
    code = """
import faiss, numpy as np
index = faiss.IndexFlatL2(4)
try:
    index.add(np.zeros((2, 6), 'f4'))
except AssertionError:
    print(index.ntotal, faiss.knn(np.eye(4, dtype='f4'), np.eye(4, dtype='f4'), 1)[1].ravel())
"""
    done = subprocess.run(
        [sys.executable, "-OO", "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0 [0 1 2 3]\n", "")


def test_hierarchy():
    index = faiss.IndexFlatL2(4)
    for base in ("IndexFlatL2", "IndexFlat", "IndexFlatCodes", "Index"):
        assert isinstance(index, getattr(faiss, base))
    assert not isinstance(index, faiss.IndexFlatIP)
    assert not isinstance(index, faiss.IndexBinary)
    assert issubclass(faiss.IDSelectorRange, faiss.IDSelector)
    assert issubclass(faiss.IndexFlat1D, faiss.IndexFlatL2)


def test_hierarchy_is_that_of_faiss():
    listed = json.loads(resources.files(faiss).joinpath("names.json").read_text(encoding="utf-8"))["classes"]
    for name, described in listed.items():
        for base in described["bases"]:
            assert issubclass(getattr(faiss, name), getattr(faiss, base)), f"{name} is no {base}"


def test_class_constants():
    assert faiss.ScalarQuantizer.QT_8bit == 0
    assert faiss.IO_FLAG_MMAP == 1684996104
    assert faiss.METRIC_GOWER == 25


def test_compile_options():
    assert faiss.get_compile_options().startswith("OPTIMIZE")


def test_report():
    done = subprocess.run([sys.executable, "-m", "faiss"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("faiss", "installed by", "numpy", "BLAS", "instruction set", "threads", "GPU"):
        assert part in done.stdout


@pytest.mark.parametrize("others", [[], ["faiss_cpu-1.14.0", "faiss_imputer-0.3"]])
def test_distributions_that_overwrite_each_other_are_noticed(tmp_path, others):
    (tmp_path / "faiss").symlink_to(Path(faiss.__file__).parent, target_is_directory=True)
    for name in ["faiss_cpu_rs-1.15.1.0", *others]:
        (tmp_path / f"{name}.dist-info").mkdir()
        module = "faiss" if "cpu" in name else "imputer"
        (tmp_path / f"{name}.dist-info/RECORD").write_text(f"{module}/__init__.py,sha256=x,1\n")
    code = "import faiss; print(faiss.__file__)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/faiss/__init__.py\n"
    assert ("faiss-cpu 1.14.0 and faiss-cpu-rs 1.15.1.0 are installed" in done.stderr) == bool(others)
    assert "imputer" not in done.stderr
    assert done.stderr.count("RuntimeWarning") == bool(others)


def test_names_are_where_programs_import_them():
    code = """
import faiss
from faiss.swigfaiss import IndexIDMap, METRIC_L2
from faiss.class_wrappers import add_to_referenced_objects, replace_method
from faiss.extra_wrappers import knn
from faiss.array_conversions import vector_to_array
from faiss.gpu_wrappers import knn_gpu
assert (IndexIDMap, METRIC_L2, knn, vector_to_array) == (faiss.IndexIDMap, 1, faiss.knn, faiss.vector_to_array)
replace_method(faiss.IndexFlatL2, 'reset', lambda self: 'replaced')
index = faiss.IndexFlatL2(2)
print(index.reset(), index.reset_c())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("replaced None\n", "")


def test_a_name_imports_no_module_that_does_not_have_it():
    code = """
import sys, faiss
before = {name for name in sys.modules if name.startswith('faiss')}
faiss.IndexFlatL2
print(sorted({name for name in sys.modules if name.startswith('faiss')} - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # What its base classes need, and nothing else.
    needed = ["arrays", "classes", "common_methods", "cpp_only", "index_methods", "mixins", "pointer"]
    assert done.stdout == f"{[f'faiss.{name}' for name in needed]}\n", done.stdout + done.stderr
