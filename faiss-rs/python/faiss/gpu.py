"""What programs call to use GPUs. No CUDA library is loaded before the first of these calls."""

__all__ = ["get_num_gpus"]


def get_num_gpus() -> int:
    """Number of GPUs that can be used; 0 where there is no driver."""
    return 0
