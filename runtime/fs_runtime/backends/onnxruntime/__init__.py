"""ONNX Runtime: on the CPU, on a GPU through CUDA, and on a GPU through its own use of TensorRT."""

from fs_runtime.errors import BackendError

try:
    import onnxruntime  # noqa: F401  # every module here needs it
except ImportError as error:
    raise BackendError(
        "ONNX Runtime is not installed: pip install 'fs-runtime[cpu]', or 'fs-runtime[gpu]' on a GPU server"
    ) from error
