"""What programs call to use GPUs. No CUDA library is loaded before the first of these calls."""

__all__ = ["get_num_gpus", "gpu_report"]


def get_num_gpus() -> int:
    """Number of GPUs that can be used; 0 where there is no driver."""
    return 0


def gpu_report() -> dict[str, list[str]]:
    """What is known of kernels, driver, CUDA libraries and GPUs, for `python -m faiss`."""
    return {"kernels": ["none"], "driver": ["none"], "CUDA": ["none"], "GPU": ["none"]}
