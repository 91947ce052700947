"""Hopper's own matrix instructions against those of the architectures before it, on one card: machine code has the one, PTX the other."""

import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import sys
import faiss
import numpy as np

rng = np.random.default_rng(5)
resources = faiss.StandardGpuResources()
results = {}
try:
    for d in (20, 64, 200):
        x = rng.standard_normal((20000, d), dtype="f4")
        q = rng.standard_normal((300, d), dtype="f4")
        for name, metric in (("l2", faiss.METRIC_L2), ("ip", faiss.METRIC_INNER_PRODUCT)):
            flat = faiss.GpuIndexFlat(resources, d, metric)
            flat.add(x)
            results[f"flat_{name}_{d}"] = np.hstack(flat.search(q, 10))
            ivf = faiss.GpuIndexIVFFlat(resources, d, 100, metric)
            ivf.train(x)
            ivf.add(x)
            ivf.nprobe = 100
            results[f"lists_{name}_{d}"] = ivf.search(q, 10)[1]
        kmeans = faiss.Kmeans(d, 100, niter=3, gpu=True, seed=3)
        kmeans.train(x)
        results[f"kmeans_{d}"] = kmeans.centroids
except RuntimeError as error:
    print("refused", error)
else:
    print("ran", {launch["kernel"] for launch in faiss.gpu_launches()})
    np.savez(sys.argv[1], **results)
"""


def run(images, path):
    environment = {**os.environ, "FAISS_CUDA_IMAGES": images}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.launches_none
def test_all_images_agree(tmp_path):
    """What exact values decide is the same to the bit; clusters are, up to a row that is as near to two of them."""
    said = {images: run(images, tmp_path / images) for images in ("code", "ptx")}
    ran = [images for images, line in said.items() if line.startswith("ran")]
    assert ran, said
    for images, line in said.items():
        # A wheel may have but one kind for this GPU, and a driver refuses the PTX of a newer toolkit.
        assert images in ran or "image" in line or "PTX" in line, line
        assert images not in ran or all(kernel in line for kernel in ("found_filter", "nearest_")), line
    results = [np.load(tmp_path / f"{images}.npz") for images in ran]
    for name in results[0].files:
        for other in results[1:]:
            if name.startswith("kmeans"):
                np.testing.assert_allclose(results[0][name], other[name], rtol=0, atol=1e-3)
            elif name.startswith("lists"):
                # Lists may differ in such a row; those that are all looked into have the same.
                assert np.mean(results[0][name] == other[name]) > 0.9999, name
            else:
                np.testing.assert_array_equal(results[0][name], other[name], err_msg=name)
