"""One GPU: its context, memory, streams and events, all freed together."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from fs_runtime.backends.cuda.clock import EventClock
from fs_runtime.cuda_calls import Cuda, DeviceMemoryError
from fs_runtime.cuda_driver import Driver, Gpu, ask_driver
from fs_runtime.errors import BackendError

_EVENT_WITH_TIME = 0  # CU_EVENT_DEFAULT
_STREAM_NON_BLOCKING = 1  # it does not wait for the legacy stream, which others may use


class CudaDevice:
    """The primary context of one GPU, which ONNX Runtime and TensorRT use too. Not thread-safe.

    Attributes:
        gpu: which.
        index: its number.
        name: for messages.
        description: for certificates.
        cuda: the driver's calls.
        clock: its own.
    """

    def __init__(self, index: int) -> None:
        """Take the GPU with this number.

        Raises:
            BackendError: there is none, or it cannot be used.
        """
        driver = ask_driver()
        self.gpu = _find(index, driver)
        self.index = index
        self.name = f"cuda:{index} ({self.gpu.name})"
        # The same on every machine that has both; Jetson's driver tells no release.
        self.description = f"{self.gpu.name}, driver {driver.version or f'for CUDA {driver.cuda}'}"
        self.cuda = Cuda(self.name)
        self.clock = EventClock(self.cuda)
        self._context: Any = None
        self._undo: list[tuple[str, Any]] = []
        self.cuda.call("cuInit", 0)
        self._device = self.cuda.call("cuDeviceGet", index)
        self._context = self.cuda.call("cuDevicePrimaryCtxRetain", self._device)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._context is None

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context the calling thread's, for a while."""
        self.cuda.call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            with suppress(BackendError):  # a lost device, of which the reason is raised already
                self.cuda.call("cuCtxPopCurrent")

    def free_memory(self) -> int:
        """Bytes free on the GPU, whoever uses the rest."""
        with self.current():
            return int(self.cuda.call("cuMemGetInfo")[0])

    def allocate(self, size: int) -> int:
        """Zeroed memory on the GPU, of ``size`` bytes.

        Raises:
            DeviceMemoryError: there is not enough, as where another process took it after it was counted.
        """
        with self.current():
            try:
                made = self.cuda.call("cuMemAlloc", max(size, 1))
            except DeviceMemoryError as error:
                need, free = size / 2**20, self.free_memory() / 2**20
                raise DeviceMemoryError(f"{need:,.1f} MiB more are needed, but {free:,.1f} free: {error}") from error
            pointer = self._kept("cuMemFree", made)
            self.cuda.call("cuMemsetD8", pointer, 0, max(size, 1))
            self.cuda.call("cuCtxSynchronize")  # other streams do not wait for the setting
        return int(pointer)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Zeroed memory here, which the GPU can copy from and to while the CPU goes on.

        Raises:
            DeviceMemoryError: this machine does not give so much memory that stays where it is.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self.current():
            try:
                made = self.cuda.call("cuMemHostAlloc", size, 0)
            except DeviceMemoryError as error:  # the driver has one code for the GPU's memory and the host's
                raise DeviceMemoryError(
                    f"{size / 2**20:,.1f} MiB of page-locked memory of this machine (not of {self.name}) cannot be "
                    "had: free memory, raise the limit of the container or of locked memory (ulimit -l), or export "
                    "with a smaller --noise-batch"
                ) from error
            address = int(self._kept("cuMemFreeHost", made))
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        memory.fill(0)
        return memory.view(dtype).reshape(shape)

    def stream(self) -> Any:
        """Work in order, beside that of other streams."""
        with self.current():
            return self._kept("cuStreamDestroy", self.cuda.call("cuStreamCreate", _STREAM_NON_BLOCKING))

    def event(self) -> Any:
        """A place in a stream's work, with its time; waiting for one that was never recorded returns at once."""
        with self.current():
            return self._kept("cuEventDestroy", self.cuda.call("cuEventCreate", _EVENT_WITH_TIME))

    def keep(self, undo: str, thing: Any) -> None:
        """Have ``thing`` freed by the call ``undo`` when the device is closed."""
        self._kept(undo, thing)

    def close(self) -> None:
        """Free everything, newest first; a device that is lost has freed it already."""
        if self._context is None:
            return
        with suppress(BackendError), self.current():
            with suppress(BackendError):
                self.cuda.call("cuCtxSynchronize")
            while self._undo:
                undo, thing = self._undo.pop()
                with suppress(BackendError):
                    self.cuda.call(undo, thing)
        with suppress(BackendError):
            self.cuda.call("cuDevicePrimaryCtxRelease", self._device)
        self._context = None

    def _kept(self, undo: str, thing: Any) -> Any:
        self._undo.append((undo, thing))
        return thing


def _find(index: int, driver: Driver) -> Gpu:
    """The GPU with this number."""
    if not driver.gpus:
        raise BackendError(
            f"--device cuda:{index} cannot be used: {driver.problem}; install NVIDIA's driver, start a container with "
            "--gpus all, or use --device cpu"
        )
    if index >= len(driver.gpus):
        shown = ", ".join(f"cuda:{gpu.index} {gpu.name}" for gpu in driver.gpus)
        raise BackendError(f"there is no GPU cuda:{index}, but {shown}: choose one with --device")
    return driver.gpus[index]
