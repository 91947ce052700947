"""What can stop long work: Ctrl-C, which always does here, and a time limit."""

import time

from faiss import _faiss

__all__ = ["InterruptCallback", "PythonInterruptCallback", "TimeoutCallback"]


class InterruptCallback:
    """Says whether work is to stop."""

    def __init__(self) -> None:
        raise AttributeError("No constructor defined - class is abstract")

    def want_interrupt(self) -> bool:
        """Whether work is to stop."""
        return False

    @staticmethod
    def clear_instance() -> None:
        """Takes a time limit back."""
        _faiss.set_timeout(None)

    @staticmethod
    def check() -> None:
        """RuntimeError where work is to stop."""
        if InterruptCallback.is_interrupted():
            raise RuntimeError("computation interrupted")

    @staticmethod
    def is_interrupted() -> bool:
        """Whether work is to stop, which is said once."""
        return _faiss.timed_out()

    @staticmethod
    def get_period_hint(flops: int) -> int:
        """After how many rounds of so many operations it pays to ask whether to stop."""
        return max(int(100 * 1000 * 1000 // max(flops, 1)), 1)


class PythonInterruptCallback(InterruptCallback):
    """Stops work on Ctrl-C. Here it always does."""

    def __init__(self) -> None:
        pass

    @staticmethod
    def reset() -> None:
        """Makes Ctrl-C stop work, and takes a time limit back."""
        _faiss.set_timeout(None)


class TimeoutCallback(InterruptCallback):
    """Stops work that takes too long."""

    timeout: float = 0.0
    start: float = 0.0

    def __init__(self) -> None:
        pass

    def set_timeout(self, timeout_in_seconds: float) -> None:
        """The time limit, from now on."""
        self.timeout, self.start = float(timeout_in_seconds), time.monotonic()

    def want_interrupt(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() - self.start >= self.timeout

    @staticmethod
    def reset(timeout_in_seconds: float) -> None:
        """Work that goes on for longer than this, from now on, ends with a RuntimeError."""
        _faiss.set_timeout(timeout_in_seconds)
