"""ONNX Runtime's TensorRT provider, which builds an engine each time that it is opened.

Such an engine is gone with the session, and the next one may round otherwise. To deploy what was certified, build a
plan (``fs-export build``) and use the backend ``tensorrt``.
"""

import os

from fs_runtime.backends.onnxruntime.on_gpu import OnnxRuntimeOnGpu
from fs_runtime.backends.onnxruntime.session import Provider
from fs_runtime.backends.registry import register
from fs_runtime.bundle import Graph
from fs_runtime.errors import BackendError

_TF32 = "NVIDIA_TF32_OVERRIDE"


@register("onnxruntime-tensorrt", "cuda")
class OnnxRuntimeTensorRtBackend(OnnxRuntimeOnGpu):
    """Engines of TensorRT where it can, CUDA for the rest; no engine is kept on disk, where nothing checks it."""

    name = "onnxruntime-tensorrt"

    def _providers(self, graph: Graph) -> list[Provider]:
        if graph.precision == "fp32" and os.environ.get(_TF32) != "0":
            raise BackendError(
                f"ONNX Runtime's TensorRT provider narrows fp32 to TF32, which only {_TF32}=0 in the environment "
                "prevents: set it, use --backend onnxruntime, or build a plan (fs-export build)"
            )
        # TensorRT's options are "True" or "False", CUDA's "1" or "0"; either refuses the other's words.
        narrow = {} if graph.precision == "fp32" else {f"trt_{graph.precision}_enable": "True"}
        of_device = self._of_device()
        return [
            ("TensorrtExecutionProvider", of_device | {"trt_engine_cache_enable": "False"} | narrow),
            ("CUDAExecutionProvider", of_device | {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),
        ]
