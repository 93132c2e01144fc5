"""ONNX graphs: tracing and checking."""

from fs_exporters.onnx.trace import OPSET, trace

__all__ = ["OPSET", "trace"]
