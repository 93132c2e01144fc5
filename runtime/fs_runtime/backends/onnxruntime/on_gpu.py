"""What ONNX Runtime's providers on a GPU share: a session bound to buffers there, on the stream of everything else."""

import re
from abc import abstractmethod
from typing import Any

import numpy as np
import onnxruntime as ort

from fs_runtime.backends.base import BackendInfo
from fs_runtime.backends.cuda.backend import CudaBackend
from fs_runtime.backends.cuda.memory import check_memory
from fs_runtime.backends.cuda.slot import Slot, slots_bytes
from fs_runtime.backends.onnxruntime.libraries import check_provider
from fs_runtime.backends.onnxruntime.placement import check_placement, record_placement
from fs_runtime.backends.onnxruntime.session import Provider, first_line, open_session
from fs_runtime.bundle import Bundle, Graph
from fs_runtime.cuda_calls import DeviceMemoryError
from fs_runtime.errors import BackendError, BundleError

_NO_MEMORY = ("Failed to allocate memory", "out of memory", "ALLOC_FAILED", "CUDA failure 2:")
_REQUESTED = re.compile(r"requested buffer of size (\d+)")
_NOT_IMPLEMENTED = ("NOT_IMPLEMENTED", "Could not find an implementation", "explicitly disabled by the user")


class OnnxRuntimeOnGpu(CudaBackend):
    """A session whose inputs and outputs are the slots' own memory.

    Attributes:
        name: of the backend.
        captures: whether ONNX Runtime captures a CUDA graph for each slot.
    """

    name: str
    captures = False
    _session: Any = None
    _memory = "cuda"

    @abstractmethod
    def _providers(self, graph: Graph) -> list[Provider]:
        """All that must open, the one that runs the graph first.

        Raises:
            BackendError: one cannot run this graph.
        """

    def _open(self, bundle: Bundle, graph: Graph, threads: int) -> None:
        providers = self._providers(graph)
        for name, _ in providers:
            check_provider(name)
        self._bound: dict[Slot, tuple[Any, Any]] = {}
        self._path, self._graph = bundle.graph_path(graph), graph
        self._free = self._device.free_memory()
        check_memory(
            bundle.manifest,
            fixed=graph.bytes,
            growing=slots_bytes(bundle.manifest),
            free=self._free,
            what=f"{self._path} (without what lies between its layers)",
            where=self._device.name,
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        record_placement(options)
        try:
            self._session = open_session(self._path, graph, providers, options)
        except BundleError as error:
            raise self._explained(error) from error
        check_placement(self._session, self._path, providers[0][0])
        self.info = BackendInfo(name=self.name, version=ort.__version__, device=self._device.description)

    def _of_device(self) -> dict[str, str]:
        """Options of every provider on this GPU."""
        return {"device_id": str(self._device.index), "user_compute_stream": str(int(self._stream))}

    def _prepare(self, slot: Slot) -> None:
        """Bind a slot's memory, once."""
        binding = self._session.io_binding()
        for bind, buffers in ((binding.bind_input, slot.inputs), (binding.bind_output, slot.outputs)):
            for buffer in buffers:
                tensor, index = buffer.tensor, self._device.index
                dtype = np.dtype(tensor.dtype).type
                bind(tensor.name, self._memory, index, dtype, list(tensor.shape), buffer.pointer)
        options = ort.RunOptions()
        # An event says when a block is done; waiting in every run would leave the GPU idle meanwhile.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if self.captures:
            options.add_run_config_entry("gpu_graph_id", str(len(self._bound) + 1))
        self._bound[slot] = binding, options

    def _enqueue(self, slot: Slot) -> None:
        try:
            self._session.run_with_iobinding(*self._bound[slot])
        except Exception as error:  # its exception types are not public
            raise self._explained(error) from error

    def _shut(self) -> None:
        self._bound = {}
        self._session = None

    def _explained(self, error: Exception) -> Exception:
        """An error of ONNX Runtime, in the user's words."""
        said = str(error)
        if any(mark in said for mark in _NO_MEMORY):
            batch = self._manifest.noise_batch
            smaller = f"export with a smaller --noise-batch (try {batch // 2})" if batch > 1 else "use a GPU with more"
            found = _REQUESTED.search(said)
            asked = f" when {int(found[1]) / 2**20:,.1f} MiB more were asked for" if found else ""
            return DeviceMemoryError(
                f"{self._path} at a noise batch of {batch} takes more memory than {self._device.name} has: it ended"
                f"{asked} ({first_line(error)}); {self._free / 2**20:,.0f} MiB were free before anything was loaded: "
                f"{smaller}, or free memory"
            )
        if any(mark in said for mark in _NOT_IMPLEMENTED):
            return BackendError(
                f"ONNX Runtime {ort.__version__} cannot run {self._path} ({self._graph.precision}) on the GPU: "
                f"{first_line(error)}; build a plan (fs-export build), or export with another --precision"
            )
        if isinstance(error, BundleError):
            return error
        # Raises where the device is lost.
        with self._device.current():
            self._device.cuda.call("cuCtxSynchronize")
        return BackendError(
            f"ONNX Runtime failed on {self._device.name} ({first_line(error)}): what was finished before is kept; "
            "fs-runtime doctor --device cuda looks at the machine"
        )
