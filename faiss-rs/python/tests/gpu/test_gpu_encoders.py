"""What quantizers and clusterings of the CPU leave to a GPU: codes and centroids are those of the CPU, up to the rounding of products."""

import faiss
import numpy as np
import pytest


@pytest.mark.parametrize(("d", "M", "nbits"), [(16, 4, 4), (7, 3, 6), (24, 2, 8), (1, 1, 3)])
def test_local_search(rng, d, M, nbits):
    x = rng.random((1500, d), dtype="f4")
    made = []
    for factory in (None, faiss.IcmEncoderFactory(), faiss.GpuIcmEncoderFactory()):
        lsq = faiss.LocalSearchQuantizer(d, M, nbits)
        lsq.train_iters = 3
        lsq.icm_encoder_factory = factory
        before = faiss.gpu_launch_count()
        lsq.train(x)
        codes = lsq.compute_codes(x)
        error = ((lsq.decode(codes) - x) ** 2).sum()
        made.append((codes, error, faiss.gpu_launch_count() - before))
    plain, cpu, gpu = made
    np.testing.assert_array_equal(cpu[0], plain[0])
    assert (plain[2], cpu[2]) == (0, 0)
    assert gpu[2] > 0
    # Training is chaotic: what is rounded otherwise leads elsewhere, not to worse places.
    np.testing.assert_allclose(gpu[1], plain[1], rtol=0.05)


def test_codes_for_the_same_codebooks(rng):
    """Without the chaos of training: one state of the codebooks, integers, which products do not round."""
    x = rng.integers(-8, 9, (3000, 12)).astype("f4")
    lsq = faiss.LocalSearchQuantizer(12, 3, 5)
    lsq.train_iters = 2
    lsq.train(x)
    codebooks = np.round(faiss.vector_to_array(lsq.codebooks) * 2).astype("f4")
    faiss.copy_array_to_vector(codebooks, lsq.codebooks)
    here = lsq.compute_codes(x)
    lsq.icm_encoder_factory = faiss.GpuIcmEncoderFactory(1)
    np.testing.assert_array_equal(lsq.compute_codes(x), here)
    assert lsq.compute_codes(x[:0]).shape == (0, here.shape[1])


@pytest.mark.launches_none
def test_more_gpus_than_there_are(rng):
    lsq = faiss.LocalSearchQuantizer(8, 2, 2)
    x = rng.random((100, 8), dtype="f4")
    for count in (0, -1, faiss.get_num_gpus() + 1):
        lsq.icm_encoder_factory = faiss.GpuIcmEncoderFactory(count)
        with pytest.raises(RuntimeError):
            lsq.train(x)
        with pytest.raises(RuntimeError):
            faiss.GpuProgressiveDimIndexFactory(count)
    with pytest.raises(TypeError):
        lsq.icm_encoder_factory = faiss.ProgressiveDimIndexFactory()


def test_growing_dimensions(rng):
    x = rng.standard_normal((4000, 24)).astype("f4") * np.linspace(3, 0.1, 24, dtype="f4")
    here = faiss.Kmeans(24, 32, niter=5, progressive_dim_steps=4)
    there = faiss.Kmeans(24, 32, niter=5, progressive_dim_steps=4, gpu=True)
    np.testing.assert_allclose(there.train(x), here.train(x), rtol=0.02)
    D, ids = there.assign(x)
    exact = ((x[:, None].astype("f8") - there.centroids[None]) ** 2).sum(2)
    assert (ids == exact.argmin(1)).mean() > 0.999
    np.testing.assert_allclose(D, exact.min(1), rtol=1e-4, atol=1e-4)


def test_residual_quantizer(rng):
    x = rng.random((3000, 16), dtype="f4")
    errors = []
    for factory in (None, faiss.GpuProgressiveDimIndexFactory(1)):
        rq = faiss.ResidualQuantizer(16, 3, 5)
        rq.assign_index_factory = factory
        rq.train(x)
        errors.append(((rq.decode(rq.compute_codes(x)) - x) ** 2).sum())
    np.testing.assert_allclose(errors[1], errors[0], rtol=0.05)
