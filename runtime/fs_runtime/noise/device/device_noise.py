"""Launches the noise kernel through NVIDIA's driver."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fs_runtime.cuda_calls import Cuda
from fs_runtime.cuda_driver import Driver, ask_driver
from fs_runtime.errors import BackendError
from fs_runtime.grid import GRID_STEP
from fs_runtime.noise.blocks import DrawKey
from fs_runtime.noise.device.compiled import ENTRY, MOST_KEYS, THREADS, CompiledKernel, kernel_for, read_kernel
from fs_runtime.noise.gaussian import LARGEST_SIGMA
from fs_runtime.noise.seed import SEED_BITS

_Parameter: TypeAlias = npt.NDArray[Any]

_WORD_BITS = 64
_WORD = (1 << _WORD_BITS) - 1
_LARGEST_SIZE = (1 << 31) - 1
_WORDS_OF_A_THREAD = 4
OLDEST_CUDA = 12
"""Oldest major version of CUDA whose drivers load the kernel."""
KEYS = np.dtype(
    [
        ("seed_low", np.uint64, MOST_KEYS),
        ("seed_high", np.uint64, MOST_KEYS),
        ("draw", np.uint64, MOST_KEYS),
        ("stream", np.uint32, MOST_KEYS),
    ]
)
"""As ``Keys`` in grid_noise.cu."""


class DeviceNoise:
    """Makes draws of noise in the memory of a GPU; one thread at a time.

    The words are those of :class:`~fs_runtime.noise.GridNoise`, the values the same to one grid step (docs/theory.md
    section 9). The keys travel inside each launch: launches share nothing, and ``fill`` never waits. A launch that is
    captured into a CUDA graph keeps its keys, so that replaying the graph would repeat the noise, which voids a
    certificate: enqueue the noise outside of the graph.

    Attributes:
        code: what was loaded for this GPU.
    """

    code: CompiledKernel

    def __init__(self, *, sigma: float, size: int, most_draws: int, cuda: Cuda | None = None) -> None:
        """Load the kernel for the device of the current CUDA context.

        Args:
            sigma: standard deviation, in (0, LARGEST_SIGMA].
            size: values in a draw (3 H W).
            most_draws: largest number of draws in a ``fill``.
            cuda: the driver's calls, which name the device in messages.

        Raises:
            ValueError: sigma, size or most_draws out of range.
            BackendError: there is no driver, ``cuda.bindings``, current context, or code for this GPU.
        """
        if not 0.0 < sigma <= LARGEST_SIGMA:
            raise ValueError(f"sigma must lie in (0, {LARGEST_SIGMA}], not {sigma}")
        if not 1 <= size <= _LARGEST_SIZE:
            raise ValueError(f"size must lie in [1, {_LARGEST_SIZE}], not {size}")
        if most_draws < 1:
            raise ValueError(f"most_draws must be at least 1, not {most_draws}")
        self._most_draws = most_draws
        self._size = size
        _check_driver()
        self._cuda = Cuda("the GPU") if cuda is None else cuda
        self._library: Any = None
        self._load()
        threads = -(-(size - size // 2) // _WORDS_OF_A_THREAD)
        self._blocks = -(-threads // THREADS)
        # The launch copies what these hold, so the next one may overwrite them.
        self._pointer = np.zeros(1, np.uint64)
        self._keys = np.zeros(1, KEYS)
        self._parameters: tuple[_Parameter, ...] = (
            self._pointer,
            np.array([size], np.uint32),
            *grid_scale(sigma),
            self._keys,
        )
        self._addresses = np.array([part.ctypes.data for part in self._parameters], np.uint64)

    def __enter__(self) -> "DeviceNoise":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fill(self, pointer: int, keys: Sequence[DrawKey], stream: int) -> None:
        """Enqueue one draw for each key.

        Args:
            pointer: device memory for float32 [len(keys), size], row after row.
            keys: whose draws; seeds, streams and draws may differ.
            stream: handle of the CUDA stream, 0 for the default one.

        Raises:
            ValueError: more keys than ``most_draws``, a key out of range, or a closed object.
            DeviceLostError: the GPU is gone.
            BackendError: the driver refuses the launch.
        """
        if self._library is None:
            raise ValueError("this noise was closed")
        if len(keys) > self._most_draws:
            raise ValueError(f"{len(keys)} draws were asked for where {self._most_draws} were agreed")
        for first in range(0, len(keys), MOST_KEYS):
            part = keys[first : first + MOST_KEYS]
            self._pointer[0] = pointer + first * self._size * np.dtype(np.float32).itemsize
            self._write(part)
            self._cuda.call(
                "cuLaunchKernel",
                self._kernel,
                *(self._blocks, len(part), 1),
                *(THREADS, 1, 1),
                0,
                stream,
                self._addresses.ctypes.data,
                0,
            )

    def close(self) -> None:
        """Unload the kernel; what was enqueued must have ended. A second call does nothing."""
        if self._library is not None:
            library, self._library = self._library, None
            self._cuda.call("cuLibraryUnload", library)

    def _load(self) -> None:
        if int(self._cuda.call("cuCtxGetCurrent")) == 0:
            raise BackendError("no CUDA context is current in this thread: make the device's current before its noise")
        device = self._cuda.call("cuCtxGetDevice")
        attributes = self._cuda.driver.CUdevice_attribute
        major, minor = (
            self._cuda.call("cuDeviceGetAttribute", attribute, device)
            for attribute in (
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        code = kernel_for(f"{major}.{minor}")
        if code is None:
            raise BackendError(
                f"the noise kernel has no code for compute capability {major}.{minor}: use a GPU of 7.5 or newer, "
                "or --device cpu"
            )
        self.code = code
        self._library = self._cuda.call("cuLibraryLoadData", read_kernel(code), [], [], 0, [], [], 0)
        try:
            kernel = self._cuda.call("cuLibraryGetKernel", self._library, ENTRY.encode())
        except BackendError:
            self.close()
            raise
        self._kernel = self._cuda.driver.CUfunction(int(kernel))  # the driver takes either

    def _write(self, keys: Sequence[DrawKey]) -> None:
        for key in keys:
            if not (0 <= key.seed < 1 << SEED_BITS and 0 <= key.draw < 1 << _WORD_BITS):
                raise ValueError(f"there is no noise of {key}: seeds have {SEED_BITS} bits and draws {_WORD_BITS}")
        row, count = self._keys[0], len(keys)
        row["seed_low"][:count] = [key.seed & _WORD for key in keys]
        row["seed_high"][:count] = [key.seed >> _WORD_BITS for key in keys]
        row["draw"][:count] = [key.draw for key in keys]
        row["stream"][:count] = [key.stream for key in keys]


def grid_scale(sigma: float) -> tuple[_Parameter, _Parameter]:
    """The standard deviation in grid steps as the kernel takes it: two floats, each [1], that add up to 48 bits."""
    scale = sigma / GRID_STEP
    high = np.array([scale], np.float32)
    return high, np.array([scale - float(high[0])], np.float32)


def is_too_old(driver: Driver) -> bool:
    """Whether the driver cannot load the kernel, whatever the GPU."""
    return driver.cuda is not None and int(driver.cuda.split(".")[0]) < OLDEST_CUDA


def _check_driver() -> None:
    """Make sure that there is a driver which can load the kernel."""
    driver = ask_driver()
    if driver.problem:
        raise BackendError(f"noise cannot be made on a GPU, {driver.problem}: use --device cpu")
    if is_too_old(driver):
        raise BackendError(
            f"noise cannot be made on a GPU with a driver for CUDA {driver.cuda}: install one for CUDA "
            f"{OLDEST_CUDA} or newer, or use --device cpu"
        )
