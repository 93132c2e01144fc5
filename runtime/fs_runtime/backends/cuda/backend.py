"""What all backends on a GPU do alike: blocks in two slots, copies and events in order, one block started ahead."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import numpy as np

from fs_runtime.backends.base import Backend, Block, BlockResult
from fs_runtime.backends.clock import DeviceSeconds
from fs_runtime.backends.cuda.device import CudaDevice
from fs_runtime.backends.cuda.memory import check_memory
from fs_runtime.backends.cuda.noise import NoiseOnCuda
from fs_runtime.backends.cuda.slot import SLOTS, Slot, slots_bytes
from fs_runtime.backends.device import Device
from fs_runtime.backends.noise_source import NoiseOnDevice, NoiseSource
from fs_runtime.bundle import Bundle, Graph, Manifest
from fs_runtime.errors import BackendError


class CudaBackend(Backend):
    """A graph on a GPU.

    A block's work is enqueued on one stream: small inputs copied in, the graph, outputs copied out. Its noise is made
    on a second stream; events keep both from running into each other. A subclass opens the graph in :meth:`_open` and
    enqueues it in :meth:`_enqueue`.
    """

    runs_ahead = True

    def __init__(self, bundle: Bundle, graph: Graph, *, device: str, threads: int) -> None:
        """See :class:`Backend`."""
        self._manifest = bundle.manifest
        self._spare: Slot | None = None
        self._sources: list[NoiseOnCuda] = []
        self._copy_seconds = self._graph_seconds = 0.0
        self._device = CudaDevice(Device.parse(device).index)
        try:
            self._stream: Any = self._device.stream()
            self._open(bundle, graph, threads)
            self._slots = [self._slot() for _ in range(SLOTS)]
            self._warm_up()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _open(self, bundle: Bundle, graph: Graph, threads: int) -> None:
        """Open the graph on ``self._device`` and ``self._stream``, and set ``info``."""

    @abstractmethod
    def _enqueue(self, slot: Slot) -> None:
        """Enqueue the graph on ``self._stream``, over the buffers of ``slot``."""

    @abstractmethod
    def _shut(self) -> None:
        """Let go of the graph; also where :meth:`_open` failed."""

    def _prepare(self, slot: Slot) -> None:  # most need nothing
        """Make a new slot known to the graph."""

    def noise(self, manifest: Manifest, *, threads: int) -> NoiseSource:  # noqa: ARG002  # the GPU makes it
        """See :class:`Backend`: on the GPU; nothing of it is copied from here."""
        self._sources.append(NoiseOnCuda(self._device, self._slots, manifest))
        return self._sources[-1]

    def take_own_noise(self) -> None:
        """See :class:`Backend`: a third slot, since the others may hold noise that was made ahead.

        Raises:
            DeviceMemoryError: there is no room for it; all other work goes on.
        """
        if self._spare is not None:
            return
        check_memory(
            self._manifest,
            fixed=0,
            growing=slots_bytes(self._manifest, SLOTS + 1),
            held=slots_bytes(self._manifest),
            free=self._device.free_memory(),
            what="a third block, for a clean reference or other noise of the caller's own,",
            where=self._device.name,
            rebuilt=self.plan is not None,
        )
        self._spare = self._slot()

    def run(self, block: Block) -> BlockResult:
        """See :class:`Backend`."""
        return self.start(block)()

    def start(self, block: Block) -> Callable[[], BlockResult]:
        """See :class:`Backend`."""
        call, noise = self._device.cuda.call, block.noise
        if isinstance(noise, NoiseOnDevice):
            slot = self._slots[noise.slot]
        else:
            self.take_own_noise()
            assert self._spare is not None
            slot = self._spare
        with self._device.current():
            # Where a result was never waited for, the GPU may not have taken the last inputs yet.
            call("cuEventSynchronize", slot.done)
            slot.put(block)
            if isinstance(noise, NoiseOnDevice):
                call("cuStreamWaitEvent", self._stream, slot.made, 0)
            call("cuEventRecord", slot.begins, self._stream)
            if not isinstance(noise, NoiseOnDevice):
                self._copy_noise(slot, noise)
            self._copy_in(slot)
            call("cuEventRecord", slot.copied, self._stream)
            self._enqueue(slot)
            call("cuEventRecord", slot.read, self._stream)
            self._copy_out(slot)
            call("cuEventRecord", slot.done, self._stream)
        slot.turn += 1
        return partial(self._wait, slot, slot.turn)

    def device_seconds(self) -> DeviceSeconds | None:
        """Of copies and graphs: of the blocks whose results were waited for."""
        noise = sum(source.seconds() for source in self._sources)
        if self._device.clock.stopped:
            return None
        return DeviceSeconds(self._copy_seconds, noise, self._graph_seconds)

    def close(self) -> None:
        """See :class:`Backend`."""
        if self._device.closed:
            return
        with ExitStack() as stack:
            with suppress(BackendError):  # the device is lost, and TensorRT and ONNX Runtime let go all the same
                stack.enter_context(self._device.current())
                # A block whose result nobody waited for may still run what is let go of here.
                self._device.cuda.call("cuCtxSynchronize")
            self._shut()
        self._device.close()

    def _wait(self, slot: Slot, turn: int) -> BlockResult:
        if slot.turn != turn:
            raise RuntimeError("this result was overwritten by a later block")
        with self._device.current():
            self._device.cuda.call("cuEventSynchronize", slot.done)
            seconds = self._device.clock.seconds
            self._copy_seconds += seconds(slot.begins, slot.copied) + seconds(slot.read, slot.done)
            self._graph_seconds += seconds(slot.copied, slot.read)
        return slot.result()

    def _copy_in(self, slot: Slot) -> None:
        for buffer in slot.inputs:
            if buffer.pinned is not None:
                self._device.cuda.call(
                    "cuMemcpyHtoDAsync", buffer.pointer, buffer.pinned.ctypes.data, buffer.size, self._stream
                )

    def _copy_out(self, slot: Slot) -> None:
        for buffer in slot.outputs:
            assert buffer.pinned is not None  # only noise has none
            self._device.cuda.call(
                "cuMemcpyDtoHAsync", buffer.pinned.ctypes.data, buffer.pointer, buffer.size, self._stream
            )

    def _copy_noise(self, slot: Slot, noise: np.ndarray) -> None:
        """Noise of the caller's own, which is rare: it waits until the copy is made."""
        noise = np.ascontiguousarray(noise, np.float32).reshape(slot.noise.tensor.shape)
        call = self._device.cuda.call
        call("cuMemcpyHtoDAsync", slot.noise.pointer, noise.ctypes.data, slot.noise.size, self._stream)
        call("cuStreamSynchronize", self._stream)

    def _slot(self) -> Slot:
        slot = Slot(self._device, self._manifest)
        self._prepare(slot)
        return slot

    def _warm_up(self) -> None:
        """Run every slot once, on no noise: what fails or takes memory shall do so now, and not between images."""
        images, dimension, batch = self._manifest.images, self._manifest.dimension, self._manifest.noise_batch
        pixels = np.zeros((images, 3, self._manifest.height, self._manifest.width), np.float32)
        index = np.zeros(batch, np.int64)
        for number in range(len(self._slots)):
            self.run(Block(pixels, NoiseOnDevice(number), np.zeros((images, dimension), np.float32), index))
