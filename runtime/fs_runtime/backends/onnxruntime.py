"""ONNX Runtime on the CPU."""

from typing import Any

import numpy as np

from fs_runtime.backends.base import Backend, BackendInfo, Block, BlockResult
from fs_runtime.backends.registry import register
from fs_runtime.bundle import Bundle, Graph
from fs_runtime.errors import BackendError, BundleError

try:
    import onnxruntime as ort
except ImportError as error:
    raise BackendError(
        "ONNX Runtime is not installed: pip install 'fs-runtime[cpu]', or 'fs-runtime[gpu]' on a GPU server"
    ) from error

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


@register("onnxruntime")
class OnnxRuntimeBackend(Backend):
    """One ``InferenceSession``; the provider asked for is the provider that runs, or opening fails."""

    def __init__(self, bundle: Bundle, graph: Graph, *, device: str, threads: int) -> None:
        """See :class:`Backend`."""
        if device != "cpu":
            raise BackendError(
                f"device {device!r} is not available: this version runs on the CPU only, use --device cpu"
            )
        if graph.precision == "bf16":
            raise BackendError(
                f"{bundle.graph_path(graph)} is bf16, which ONNX Runtime's CPU provider cannot run: build an "
                "engine from it, or export again with --precision fp32 or int8"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        path = bundle.graph_path(graph)
        try:
            # Without enable_fallback=0 it would print to stdout and retry with other providers.
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0)
        except Exception as error:  # its exception types are not public
            raise BundleError(f"ONNX Runtime {ort.__version__} cannot load {path}: {_first_line(error)}") from error
        providers = session.get_providers()
        if providers != ["CPUExecutionProvider"]:
            raise BackendError(f"CPUExecutionProvider was asked for, but ONNX Runtime opened {providers}")
        _check_signature(session, graph, str(path))
        self._session: Any = session
        self._mixes = bundle.manifest.images > 1
        self._outputs = [output.name for output in graph.outputs]
        self.info = BackendInfo(name="onnxruntime", version=ort.__version__, device=device)

    def run(self, block: Block) -> BlockResult:
        """See :class:`Backend`."""
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


def _check_signature(session: Any, graph: Graph, path: str) -> None:
    """Refuse a graph whose inputs or outputs are not the manifest's."""
    for kind, stated, found in (
        ("input", graph.inputs, session.get_inputs()),
        ("output", graph.outputs, session.get_outputs()),
    ):
        expected = {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in stated}
        actual = {node.name: (_DTYPES.get(node.type, node.type), tuple(node.shape)) for node in found}
        if expected != actual:
            raise BundleError(
                f"{path} has {kind}s {actual}, but the manifest states {expected}: export the bundle again"
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
