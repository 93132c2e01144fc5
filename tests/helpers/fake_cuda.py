"""A GPU made of this machine's memory, where nothing real can run: the driver's calls, streams, events, and noise.

Real are the numbers: addresses are of real memory, copies copy, and what a test enqueues is computed. Made up is the
time: a stream does its work as late as CUDA may, when somebody waits for it, or, where it is eager, as early as CUDA
may. What comes out right under every mix of both does not lack an event.
"""

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fs_runtime import cuda_calls
from fs_runtime.backends.cuda import device
from fs_runtime.cuda_driver import Driver, Gpu
from fs_runtime.noise import DrawKey, GridNoise

MEMORY = 1 << 28
Work = Callable[[], None]


class Status(IntEnum):
    """Some of the driver's codes."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_DEVICE_UNAVAILABLE = 46
    CUDA_ERROR_LAUNCH_FAILED = 719
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900


class Handle(int):
    """What the bindings give for a stream, event or context: it becomes an int."""


@dataclass
class _Mark:
    """One recording of an event."""

    stream: "_Stream"
    done: bool = False


@dataclass
class _Stream:
    eager: bool
    work: list[Work | _Mark | tuple[str, _Mark]] = field(default_factory=list)
    captured: list[Work] | None = None


class FakeCuda:
    """In the place of ``cuda.bindings.driver``.

    Attributes:
        calls: how often each call was made.
        fails: the next calls of these names fail so.
        lacks: calls that a driver is too old for, as the bindings say it.
        lost_after: launches of work after which the device is gone.
        taken: bytes in use on the device.
    """

    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)

    def __init__(self, *, eager: Sequence[int] = (), memory: int = MEMORY) -> None:
        """``eager`` are the numbers of the streams, in the order of their making, that work at once."""
        self.calls: dict[str, int] = {}
        self.fails: dict[str, Status] = {}
        self.lacks: set[str] = set()
        self.lost_after: int | None = None
        self.taken = 0
        self.memory = memory
        self.current: list[Any] = []
        self._eager = eager
        self._made = 0
        self._streams: dict[int, _Stream] = {}
        self._events: dict[int, _Mark | None] = {}
        self._blocks: dict[int, Any] = {}
        self._graphs: dict[int, list[Work]] = {}
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        """A call of the driver, counted, failing where a test wants it."""
        made = object.__getattribute__(self, "_" + name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name in self.lacks:
                raise RuntimeError(f'Function "{name}" not found')
            if name in self.fails:
                return (self.fails[name],)
            if self._lost:
                return (Status.CUDA_ERROR_LAUNCH_FAILED,)
            if not self.current and name not in _WITHOUT_CONTEXT:
                return (Status.CUDA_ERROR_INVALID_CONTEXT,)
            answer = made(*arguments)
            if self._lost:
                return (Status.CUDA_ERROR_LAUNCH_FAILED,)
            return answer if isinstance(answer, tuple) else (Status.CUDA_SUCCESS, *([] if answer is None else [answer]))

        return call

    @property
    def left(self) -> int:
        """Blocks of memory, streams, events and graphs that were not freed."""
        return sum(map(len, (self._blocks, self._streams, self._events, self._graphs)))

    @property
    def busy(self) -> bool:
        """Whether some stream has work left; a device that is lost does none any more."""
        return not self._lost and any(stream.work for stream in self._streams.values())

    @property
    def capturing(self) -> bool:
        """Whether the work of some stream is being captured."""
        return any(stream.captured is not None for stream in self._streams.values())

    def enqueue(self, stream: int, work: Work) -> None:
        """Put work on a stream, as a kernel's launch does."""
        found = self._streams[int(stream)]
        if found.captured is not None:
            found.captured.append(work)
            return
        found.work.append(self._counted(work))
        self._poke(found)

    def _counted(self, work: Work) -> Work:
        def counted() -> None:
            if self.lost_after is not None:
                self.lost_after -= 1
                self._lost = self._lost or self.lost_after < 0
            if not self._lost:
                work()

        return counted

    def _number(self) -> Handle:
        self._made += 1
        return Handle(self._made)

    # ---- time

    def _poke(self, stream: _Stream) -> None:
        """Let an eager stream do what it may: it stops where it waits for another."""
        if stream.eager:
            self._work(stream, None, forced=False)

    def _work(self, stream: _Stream, until: _Mark | None, *, forced: bool) -> None:
        while stream.work and not (until is not None and until.done):
            first = stream.work[0]
            if isinstance(first, tuple):
                if not first[1].done:
                    if not forced:
                        return
                    self._work(first[1].stream, first[1], forced=True)
            elif isinstance(first, _Mark):
                first.done = True
            else:
                first()
            stream.work.pop(0)

    # ---- the calls

    def _cuInit(self, flags: int) -> None:
        pass

    def _cuDeviceGet(self, index: int) -> Handle:
        return Handle(index)

    def _cuDevicePrimaryCtxRetain(self, of: int) -> Handle:
        return Handle(1)

    def _cuDevicePrimaryCtxRelease(self, of: int) -> None:
        pass

    def _cuCtxPushCurrent(self, context: Handle) -> None:
        self.current.append(context)

    def _cuCtxPopCurrent(self) -> Handle:
        return Handle(self.current.pop())

    def _cuCtxSynchronize(self) -> Any:
        if self.capturing:
            return (Status.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,)
        for stream in self._streams.values():
            self._work(stream, None, forced=True)
        return None

    def _cuMemGetInfo(self) -> tuple[Status, int, int]:
        return Status.CUDA_SUCCESS, self.memory - self.taken, self.memory

    def _cuMemAlloc(self, size: int) -> Any:
        if self.taken + size > self.memory:
            return (Status.CUDA_ERROR_OUT_OF_MEMORY,)
        self.taken += size
        return self._block(size, on_device=True)

    def _cuMemHostAlloc(self, size: int, flags: int) -> Handle:
        return self._block(size, on_device=False)

    def _block(self, size: int, *, on_device: bool) -> Handle:
        block = (ctypes.c_uint8 * size)()
        ctypes.memset(block, 0xA5, size)
        address = ctypes.addressof(block)
        self._blocks[address] = block, size if on_device else 0
        return Handle(address)

    def _cuMemFree(self, pointer: int) -> None:
        self.taken -= self._blocks.pop(int(pointer))[1]

    def _cuMemFreeHost(self, pointer: int) -> None:
        self._cuMemFree(pointer)

    def _cuMemsetD8(self, pointer: int, value: int, size: int) -> None:
        ctypes.memset(int(pointer), value, size)

    def _cuMemcpyHtoDAsync(self, to: int, source: int, size: int, stream: int) -> None:
        self.enqueue(stream, lambda: ctypes.memmove(int(to), int(source), size) and None)

    def _cuMemcpyDtoHAsync(self, to: int, source: int, size: int, stream: int) -> None:
        self._cuMemcpyHtoDAsync(to, source, size, stream)

    def _cuStreamCreate(self, flags: int) -> Handle:
        number = self._number()
        self._streams[number] = _Stream(eager=len(self._streams) in self._eager)
        return number

    def _cuStreamDestroy(self, stream: int) -> None:
        del self._streams[stream]

    def _cuStreamSynchronize(self, stream: int) -> None:
        self._work(self._streams[stream], None, forced=True)

    def _cuStreamWaitEvent(self, stream: int, event: int, flags: int) -> None:
        mark = self._events[event]
        if mark is not None:
            self._streams[stream].work.append(("wait", mark))
            self._poke(self._streams[stream])

    def _cuEventCreate(self, flags: int) -> Handle:
        number = self._number()
        self._events[number] = None
        return number

    def _cuEventDestroy(self, event: int) -> None:
        del self._events[event]

    def _cuEventRecord(self, event: int, stream: int) -> None:
        mark = self._events[event] = _Mark(self._streams[stream])
        self._streams[stream].work.append(mark)
        self._poke(self._streams[stream])

    def _cuEventSynchronize(self, event: int) -> None:
        mark = self._events[event]
        if mark is not None:
            self._work(mark.stream, mark, forced=True)

    def _cuEventQuery(self, event: int) -> Any:
        mark = self._events[event]
        return (Status.CUDA_ERROR_NOT_READY,) if mark is not None and not mark.done else None

    def _cuEventElapsedTime(self, first: int, last: int) -> Any:
        marks = self._events[first], self._events[last]
        if not all(mark is not None and mark.done for mark in marks):
            return (Status.CUDA_ERROR_NOT_READY,)
        return 0.5

    def _cuStreamBeginCapture(self, stream: int, mode: Any) -> None:
        self._streams[stream].captured = []

    def _cuStreamEndCapture(self, stream: int) -> Handle:
        number, captured = self._number(), self._streams[stream].captured
        assert captured is not None
        self._graphs[number], self._streams[stream].captured = captured, None
        return number

    def _cuGraphInstantiate(self, graph: int, flags: int) -> Handle:
        number = self._number()
        self._graphs[number] = list(self._graphs[graph])
        return number

    def _cuGraphDestroy(self, graph: int) -> None:
        del self._graphs[graph]

    def _cuGraphExecDestroy(self, graph: int) -> None:
        self._cuGraphDestroy(graph)

    def _cuLaunchKernel(self) -> None:
        """The noise's launch, whose work is enqueued apart."""

    def _cuGraphLaunch(self, graph: int, stream: int) -> None:
        for work in self._graphs[graph]:
            self.enqueue(stream, work)


_WITHOUT_CONTEXT = (
    "cuInit",
    "cuDeviceGet",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease",
    "cuCtxPushCurrent",
)


def floats_at(pointer: int, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """The array that lies at an address."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer)).view(dtype).reshape(shape)


def install(monkeypatch: pytest.MonkeyPatch, fake: FakeCuda, *, capability: str = "8.9") -> None:
    """Put ``fake`` in the place of the driver, and noise that it makes in the place of the kernel."""

    class FakeNoise:
        def __init__(self, *, sigma: float, size: int, most_draws: int, cuda: cuda_calls.Cuda) -> None:
            self._cuda = cuda
            self._noise, self._size, self._most = GridNoise(sigma, size), size, most_draws

        def fill(self, pointer: int, keys: Sequence[DrawKey], stream: int) -> None:
            assert len(keys) <= self._most
            rows, keys = floats_at(pointer, (len(keys), self._size)), list(keys)

            def fill() -> None:
                for row, key in zip(rows, keys, strict=True):
                    self._noise.fill(row, key.seed, key.stream, key.draw)

            self._cuda.call("cuLaunchKernel")
            fake.enqueue(stream, fill)

        def close(self) -> None:
            pass

    gpus = (Gpu(0, "Test GPU", capability, fake.memory), Gpu(1, "Other GPU", capability, fake.memory))
    driver = Driver("580.65", "13.0", gpus, "")
    module = ModuleType("fs_runtime.noise.device")
    module.DeviceNoise = FakeNoise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fs_runtime.noise.device", module)
    monkeypatch.setattr(cuda_calls, "load_driver", lambda: fake)
    monkeypatch.setattr(device, "ask_driver", lambda: driver)
    monkeypatch.setattr("fs_runtime.cuda_driver.ask_driver", lambda **_: driver)
