"""Tests that need a GPU. Each must have launched kernels: an answer that the CPU gave proves nothing."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import faiss
import pytest


def why_no_gpu() -> str:
    try:
        faiss._faiss.gpu_check()
    except RuntimeError as reason:
        return f"no NVIDIA driver or GPU: {reason}"
    return ""


REASON = why_no_gpu()


def pytest_collection_modifyitems(items):
    if REASON:
        for item in items:
            if Path(item.path).parent == Path(__file__).parent:
                item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="session")
def resources():
    return faiss.StandardGpuResources()


@pytest.fixture(autouse=True)
def kernels_ran(request):
    """Fails a test that launched no kernel, unless it is marked as one that launches none."""
    before = faiss.gpu_launch_count()
    yield
    if "launches_none" not in request.keywords:
        assert faiss.gpu_launch_count() > before, "no kernel was launched"


def driver() -> str:
    """The driver's own version, where its nvidia-smi is there to tell it."""
    program = shutil.which("nvidia-smi")
    if not program:
        return "version not known, for want of nvidia-smi"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or done.stderr.strip()


def pytest_terminal_summary(terminalreporter):
    """What ran on which GPU: for a person to read, and as JSON in the file that FAISS_GPU_REPORT names."""
    here = Path(__file__).parent.name + "/"
    passed = sum(report.nodeid.startswith(here) for report in terminalreporter.stats.get("passed", []))
    if REASON:
        terminalreporter.line(f"GPU: {REASON}")
        return
    launched = faiss.gpu_launch_count()
    report = faiss.gpu_report()
    version = f"{driver()}; {', '.join(report['CUDA'])}"
    terminalreporter.line(f"GPU tests: {passed} passed, {launched} kernels launched")
    terminalreporter.line(f"GPU driver: {version}")
    for device in report["GPU"]:
        terminalreporter.line(f"GPU {device}")
    if path := os.environ.get("FAISS_GPU_REPORT"):
        facts = {"passed": passed, "launched": launched, "driver": version, "gpus": report["GPU"]}
        Path(path).write_text(json.dumps(facts), encoding="utf-8")
