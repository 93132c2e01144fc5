"""ONNX Runtime on the CPU."""

from typing import Any

import numpy as np
import onnxruntime as ort

from fs_runtime.backends.base import Backend, BackendInfo, Block, BlockResult
from fs_runtime.backends.noise_source import NoiseOnDevice
from fs_runtime.backends.onnxruntime.session import open_session
from fs_runtime.backends.registry import register
from fs_runtime.bundle import Bundle, Graph
from fs_runtime.errors import BackendError


@register("onnxruntime", "cpu")
class OnnxRuntimeBackend(Backend):
    """One ``InferenceSession``, which uses all threads while noise for the next block is made."""

    def __init__(self, bundle: Bundle, graph: Graph, *, device: str, threads: int) -> None:
        """See :class:`Backend`."""
        if device != "cpu":
            raise BackendError(f"this is ONNX Runtime on the CPU, not on the device {device!r}: use --device cpu")
        if graph.precision == "bf16":
            raise BackendError(
                f"{bundle.graph_path(graph)} is bf16, which ONNX Runtime's CPU provider cannot run: build an "
                "engine from it, or export again with --precision fp32 or int8"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session: Any = open_session(bundle.graph_path(graph), graph, [("CPUExecutionProvider", {})], options)
        self._mixes = bundle.manifest.images > 1
        self._outputs = [output.name for output in graph.outputs]
        self.info = BackendInfo(name="onnxruntime", version=ort.__version__, device=device)

    def run(self, block: Block) -> BlockResult:
        """See :class:`Backend`."""
        if isinstance(block.noise, NoiseOnDevice):
            raise TypeError("this noise is in the memory of another backend")
        feed: dict[str, Any] = {"pixel_values": block.pixel_values, "noise": block.noise, "reference": block.reference}
        if self._mixes:
            feed["image_index"] = block.image_index
        else:
            feed["reference"] = block.reference[0]
        named = dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))
        return BlockResult(
            cosine=named["cosine"],
            feature_sum=np.atleast_2d(named["feature_sum"]),
            raw_norm=named["raw_norm"],
            features=named.get("features"),
        )

    def close(self) -> None:
        """See :class:`Backend`."""
        self._session = None
