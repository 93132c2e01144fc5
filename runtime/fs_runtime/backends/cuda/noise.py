"""Noise made on the GPU, each block while the graph works on the one before."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from typing import Any

from fs_runtime.backends.cuda.device import CudaDevice
from fs_runtime.backends.cuda.slot import Slot
from fs_runtime.backends.noise_source import NoiseOnDevice
from fs_runtime.bundle import Manifest
from fs_runtime.errors import BackendError
from fs_runtime.noise import DrawKey

# So many blocks later noise is done in any case, and asking for its time does not wait.
_TIMED = 4


class NoiseOnCuda:
    """Fills the noise of two slots in turn, on a stream of its own. See :class:`fs_runtime.backends.NoiseSource`."""

    def __init__(self, device: CudaDevice, slots: Sequence[Slot], manifest: Manifest) -> None:
        """Prepare the kernel.

        Raises:
            BackendError: it cannot run on this GPU.
        """
        from fs_runtime.noise.device import DeviceNoise  # its package needs the GPU's libraries

        self._device = device
        self._slots = slots
        self._stream: Any = device.stream()
        self._clock = [(device.event(), device.event()) for _ in range(_TIMED)]
        self._seconds = 0.0
        self._turn = 0
        with device.current():
            self._kernel = DeviceNoise(
                sigma=manifest.sigma,
                size=3 * manifest.height * manifest.width,
                most_draws=manifest.noise_batch,
                cuda=device.cuda,
            )

    def ahead(self, plans: Iterable[Sequence[DrawKey]]) -> Generator[NoiseOnDevice]:
        """See :class:`fs_runtime.backends.NoiseSource`."""
        remaining = iter(plans)
        plan = next(remaining, None)
        pending = None if plan is None else self._fill(plan)
        while pending is not None:
            ready, plan = pending, next(remaining, None)
            pending = None if plan is None else self._fill(plan)
            yield NoiseOnDevice(ready)

    def seconds(self) -> float:
        """What the GPU took for all noise so far, which is waited for."""
        with self._device.current():
            rest = (self._clock[turn % _TIMED] for turn in range(max(0, self._turn - _TIMED), self._turn))
            return self._seconds + sum(self._taken(pair) for pair in rest)

    def close(self) -> None:
        """Free the kernel; a device that is lost or closed has freed it already."""
        if self._device.closed:
            return
        with suppress(BackendError), self._device.current():
            self._device.cuda.call("cuStreamSynchronize", self._stream)
            self._kernel.close()

    def _fill(self, plan: Sequence[DrawKey]) -> int:
        """Enqueue the making of one block; the number of its slot."""
        number, (begins, ends) = self._turn % len(self._slots), self._clock[self._turn % _TIMED]
        slot, call = self._slots[number], self._device.cuda.call
        with self._device.current():
            if self._turn >= _TIMED:
                self._seconds += self._taken((begins, ends))
            call("cuStreamWaitEvent", self._stream, slot.read, 0)
            call("cuEventRecord", begins, self._stream)
            self._kernel.fill(slot.noise.pointer, plan, int(self._stream))
            call("cuEventRecord", ends, self._stream)
            call("cuEventRecord", slot.made, self._stream)
        self._turn += 1
        return number

    def _taken(self, pair: tuple[Any, Any]) -> float:
        self._device.cuda.call("cuEventSynchronize", pair[1])
        return self._device.clock.seconds(*pair)
