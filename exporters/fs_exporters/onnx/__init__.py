"""ONNX graphs: tracing, precision and checking."""

from fs_exporters.onnx.trace import OPSET, OPSETS, trace, write_graph

__all__ = ["OPSET", "OPSETS", "trace", "write_graph"]
