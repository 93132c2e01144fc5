"""ONNX graphs: tracing, precision and checking."""

from fs_exporters.onnx.trace import NAME_SCOPES, OPSET, OPSETS, trace, write_graph

__all__ = ["NAME_SCOPES", "OPSET", "OPSETS", "trace", "write_graph"]
