"""ONNX Runtime's CUDA provider."""

from fs_runtime.backends.onnxruntime.on_gpu import OnnxRuntimeOnGpu
from fs_runtime.backends.onnxruntime.session import Provider
from fs_runtime.backends.registry import register
from fs_runtime.bundle import Graph
from fs_runtime.environment import cuda_graphs


@register("onnxruntime", "cuda")
class OnnxRuntimeCudaBackend(OnnxRuntimeOnGpu):
    """cuBLAS and cuDNN, in the precision of the graph: fp32 is not narrowed to TF32."""

    name = "onnxruntime"

    def _providers(self, graph: Graph) -> list[Provider]:  # noqa: ARG002  # any graph may be tried
        self.captures = cuda_graphs(default=False)
        options = {
            "use_tf32": "0",
            # The default measures, and may choose another algorithm, which rounds otherwise, in every process.
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "enable_cuda_graph": "1" if self.captures else "0",
        }
        return [("CUDAExecutionProvider", self._of_device() | options)]
