"""TensorRT 10.16, 11 and TensorRT-RTX, straight on the GPU: a plan of the bundle in the graph's place."""

import warnings
from typing import Any

from fs_runtime.backends.base import BackendInfo
from fs_runtime.backends.cuda.backend import CudaBackend
from fs_runtime.backends.cuda.capture import captured
from fs_runtime.backends.cuda.memory import check_memory
from fs_runtime.backends.cuda.slot import Slot, slots_bytes
from fs_runtime.backends.registry import register
from fs_runtime.backends.tensorrt.choice import choose_plan
from fs_runtime.backends.tensorrt.plan import OpenedPlan
from fs_runtime.bundle import Bundle, Graph
from fs_runtime.bundle.engines import read_plan
from fs_runtime.cuda_calls import DeviceLostError, DeviceMemoryError
from fs_runtime.environment import cuda_graphs
from fs_runtime.errors import BackendError


@register("tensorrt", "cuda")
class TensorRtBackend(CudaBackend):
    """One execution context, whose work on each slot is captured as a CUDA graph when the backend is opened."""

    _opened: OpenedPlan | None = None
    _context: Any = None

    def _open(self, bundle: Bundle, graph: Graph, threads: int) -> None:  # noqa: ARG002  # a plan has all its own
        self._captures = cuda_graphs(default=True)
        self._graphs: dict[Slot, Any] = {}
        self.plan, library = choose_plan(bundle, self._device.gpu)
        plan = read_plan(bundle, self.plan)
        self._check_memory(bundle, fixed=len(plan), growing=slots_bytes(bundle.manifest))
        with self._device.current():
            self._opened = OpenedPlan(library, plan, self.plan)
            self._opened.check_tensors(bundle.manifest)
            scratch = int(self._opened.engine.device_memory_size_v2)
            # The weights are on the GPU by now.
            self._check_memory(bundle, fixed=0, growing=scratch + slots_bytes(bundle.manifest))
            strategy = library.trt.ExecutionContextAllocationStrategy.USER_MANAGED
            self._context = self._opened.engine.create_execution_context(strategy)
            if self._context is None:
                raise self._opened.refused("cannot run")
            self._context.set_device_memory(self._device.allocate(scratch), scratch)
        self.info = BackendInfo(name=library.builder, version=library.version, device=self._device.description)

    def layers(self) -> str:
        """What TensorRT tells of the plan's layers, as JSON."""
        assert self._opened is not None
        with self._device.current():
            return self._opened.layers()

    def _check_memory(self, bundle: Bundle, *, fixed: int, growing: int) -> None:
        assert self.plan is not None
        check_memory(
            bundle.manifest,
            fixed=fixed,
            growing=growing,
            free=self._device.free_memory(),
            what=str(bundle.root / self.plan.file),
            where=self._device.name,
            rebuilt=True,
        )

    def _prepare(self, slot: Slot) -> None:
        """Run the plan once over a slot's memory, which settles what is left to settle, and capture it."""
        with self._device.current():
            self._execute(slot)
            self._device.cuda.call("cuStreamSynchronize", self._stream)
            if not self._captures:
                return
            try:
                self._graphs[slot] = captured(self._device, self._stream, lambda: self._execute(slot))
            except (DeviceLostError, DeviceMemoryError):
                raise
            except BackendError as error:
                self._captures = False
                message = f"the plan runs without a CUDA graph, which could not be captured ({error}): it may be slower"
                warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _enqueue(self, slot: Slot) -> None:
        if slot in self._graphs:
            self._device.cuda.call("cuGraphLaunch", self._graphs[slot], self._stream)
        else:
            self._execute(slot)

    def _execute(self, slot: Slot) -> None:
        """Enqueue the plan itself."""
        assert self._opened is not None
        self._opened.listen()
        for buffer in (*slot.inputs, *slot.outputs):
            if not self._context.set_tensor_address(buffer.tensor.name, buffer.pointer):
                raise self._opened.refused("does not take the memory for")
        if not self._context.execute_async_v3(int(self._stream)):
            refused = self._opened.refused("failed to run")
            try:
                self._device.cuda.call("cuCtxSynchronize")
            except DeviceLostError as error:
                raise error from refused
            except BackendError:  # it may not be asked for within a capture, which says nothing of the plan
                pass
            raise refused

    def _shut(self) -> None:
        self._context = None
        self._opened = None
