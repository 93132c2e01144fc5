"""Work on a stream, captured once and launched as a whole: one call in the place of hundreds."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fs_runtime.backends.cuda.device import CudaDevice
from fs_runtime.errors import BackendError

_THREAD_LOCAL = "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL"


def captured(device: CudaDevice, stream: Any, enqueue: Callable[[], None]) -> Any:
    """What ``enqueue`` puts on ``stream``, as a graph that can be launched; it does not run yet.

    The addresses are captured with it, so they must stay as they are.

    Raises:
        BackendError: some of the work cannot be captured.
    """
    call = device.cuda.call
    # Other threads of the process may do what they like meanwhile.
    mode = getattr(device.cuda.driver.CUstreamCaptureMode, _THREAD_LOCAL)
    call("cuStreamBeginCapture", stream, mode)
    try:
        enqueue()
    except BaseException:
        with suppress(BackendError):
            call("cuStreamEndCapture", stream)
        raise
    graph = call("cuStreamEndCapture", stream)
    try:
        made = call("cuGraphInstantiate", graph, 0)
    finally:
        call("cuGraphDestroy", graph)
    device.keep("cuGraphExecDestroy", made)
    return made
