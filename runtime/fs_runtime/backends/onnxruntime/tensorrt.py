"""ONNX Runtime's TensorRT provider, which builds an engine each time that it is opened.

Such an engine is gone with the session, and the next one may round otherwise. To deploy what was certified, build a
plan (``fs-export build``) and use the backend ``tensorrt``.
"""

import os

import onnxruntime as ort

from fs_runtime.backends.onnxruntime.on_gpu import OnnxRuntimeOnGpu
from fs_runtime.backends.onnxruntime.session import Provider
from fs_runtime.backends.provider_library import named_version
from fs_runtime.backends.registry import register
from fs_runtime.bundle import Graph
from fs_runtime.environment import cuda_graphs
from fs_runtime.errors import BackendError

_TF32 = "NVIDIA_TF32_OVERRIDE"
_PROVIDER = "TensorrtExecutionProvider"
_STRONGLY_TYPED = 10


@register("onnxruntime-tensorrt", "cuda")
class OnnxRuntimeTensorRtBackend(OnnxRuntimeOnGpu):
    """Engines of TensorRT where it can, CUDA for the rest; no engine is kept on disk, where nothing checks it.

    The graph says what runs in which precision. Where no precision is asked for, ONNX Runtime, built with
    TensorRT 10, makes the network strongly typed; asked for one, it would let TensorRT narrow the addition of
    noise, the unit norm and the reductions too. See https://github.com/microsoft/onnxruntime/pull/18707.
    """

    name = "onnxruntime-tensorrt"

    def _providers(self, graph: Graph) -> list[Provider]:
        # It would capture one graph for all addresses, and two blocks take turns.
        if cuda_graphs(default=False):
            raise BackendError(
                "FS_CUDA_GRAPH=1 is for the other backends on a GPU: onnxruntime-tensorrt captures no CUDA graphs; set "
                "it to 0, unset it, use --backend onnxruntime, or build a plan (fs-export build)"
            )
        # What stays fp32 in a graph of another precision must not be narrowed either.
        if os.environ.get(_TF32) != "0":
            raise BackendError(
                f"ONNX Runtime's TensorRT provider narrows what is fp32 in {graph.file} to TF32, which only {_TF32}=0 "
                "in the environment prevents: set it, use --backend onnxruntime, or build a plan (fs-export build)"
            )
        built_with = named_version(ort, _PROVIDER, "libnvinfer")
        if built_with is not None and built_with < _STRONGLY_TYPED:
            raise BackendError(
                f"ONNX Runtime {ort.__version__} is built with TensorRT {built_with}, which may run any part of "
                f"{graph.file} in less precision than it states: install one that is built with TensorRT "
                f"{_STRONGLY_TYPED}, use --backend onnxruntime, or build a plan (fs-export build)"
            )
        # TensorRT's options are "True" or "False", CUDA's "1" or "0"; either refuses the other's words.
        of_device = self._of_device()
        return [
            (_PROVIDER, of_device | {"trt_engine_cache_enable": "False"}),
            ("CUDAExecutionProvider", of_device | {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),
        ]
