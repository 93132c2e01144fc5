"""Noise made by the device's kernel and brought back, for tests and measurements."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from fs_runtime.noise import DrawKey
from fs_runtime.noise.device import DeviceNoise


def checked(outcome: tuple[Any, ...]) -> Any:
    """What a call of the driver gives beside its status, which must be success."""
    status, *results = outcome
    assert int(status) == 0, status
    return results[0] if results else None


@contextmanager
def device_context() -> Iterator[Any]:
    """``cuda.bindings.driver`` with the first GPU's context current."""
    from cuda.bindings import driver

    checked(driver.cuInit(0))
    device = checked(driver.cuDeviceGet(0))
    before = checked(driver.cuCtxGetCurrent())
    checked(driver.cuCtxSetCurrent(checked(driver.cuDevicePrimaryCtxRetain(device))))
    try:
        yield driver
    finally:
        checked(driver.cuCtxSetCurrent(before))
        checked(driver.cuDevicePrimaryCtxRelease(device))


class DeviceDraws:
    """Rows of noise from the GPU whose context is current."""

    def __init__(self, driver: Any, sigma: float, size: int, most_draws: int) -> None:
        self._driver = driver
        self._noise = DeviceNoise(sigma=sigma, size=size, most_draws=most_draws)
        self._rows = np.empty((most_draws, size), np.float32)
        self._memory = checked(driver.cuMemAlloc(self._rows.nbytes))
        self._stream = checked(driver.cuStreamCreate(0))

    def __enter__(self) -> "DeviceDraws":
        return self

    def __exit__(self, *_: object) -> None:
        self._noise.close()
        checked(self._driver.cuStreamDestroy(self._stream))
        checked(self._driver.cuMemFree(self._memory))

    def make(self, keys: Sequence[DrawKey], times: int = 1) -> None:
        """Make the rows, and leave them on the device."""
        for _ in range(times):
            self._noise.fill(int(self._memory), keys, int(self._stream))
        checked(self._driver.cuStreamSynchronize(self._stream))

    def rows(self, keys: Sequence[DrawKey]) -> npt.NDArray[np.float32]:
        """[len(keys), size], overwritten by the next call."""
        self.make(keys)
        made = self._rows[: len(keys)]
        checked(self._driver.cuMemcpyDtoH(made.ctypes.data, self._memory, made.nbytes))
        return made
