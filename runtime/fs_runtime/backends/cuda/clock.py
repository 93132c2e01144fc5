"""The GPU's own clock: it tells where the time went, so a driver that cannot tell must not stop the work."""

from collections.abc import Callable
from typing import Any

from fs_runtime.cuda_calls import Cuda, DeviceLostError
from fs_runtime.cuda_driver import elapsed_milliseconds
from fs_runtime.errors import BackendError


class EventClock:
    """Seconds between two events of a stream."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        # Bindings of CUDA 13 know only the form that drivers have from CUDA 12.8 on.
        self._ways: list[Callable[[Any, Any], float | None]] = [
            lambda first, last: float(cuda.call("cuEventElapsedTime", first, last)),
            lambda first, last: elapsed_milliseconds(int(first), int(last)),
        ]

    @property
    def stopped(self) -> bool:
        """Whether this driver cannot tell: what was counted is not the whole then."""
        return not self._ways

    def seconds(self, first: Any, last: Any) -> float:
        """From one event to another, which both must have happened; 0.0 once the clock has stopped.

        Raises:
            DeviceLostError: the GPU is gone.
        """
        while self._ways:
            try:
                taken = self._ways[0](first, last)
            except DeviceLostError:
                raise
            except BackendError:
                taken = None
            if taken is not None:
                return taken / 1000.0
            self._check_alive(last)
            self._ways.pop(0)
        return 0.0

    def _check_alive(self, event: Any) -> None:
        """Tell a driver that lacks a call from a GPU that is lost, which fails them all.

        Raises:
            DeviceLostError: the GPU is gone.
        """
        try:
            self._cuda.call("cuEventQuery", event)
        except DeviceLostError:
            raise
        except BackendError:  # the event has not happened yet, or this call is missing too
            pass
