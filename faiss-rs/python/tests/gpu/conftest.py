"""Tests that need a GPU. Each must have launched kernels: an answer that the CPU gave proves nothing."""

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
