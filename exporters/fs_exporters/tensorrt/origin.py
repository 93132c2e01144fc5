"""Where a node of an exported graph comes from, so that an error can name the module and not only the operator."""

import ast
from pathlib import Path

import onnx
from onnx import TensorProto

from fs_exporters.onnx import NAME_SCOPES


class GraphOrigins:
    """The nodes of one ONNX file."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(path, load_external_data=False)
        self._graph = onnx.shape_inference.infer_shapes(model).graph
        self._modules = {node.name: _module(node) for node in self._graph.node}

    def describe(self, name: str, operator: str) -> str:
        """One node in words: its operator, its name, and the module that made it."""
        module = self._modules.get(name, "")
        return f"{operator} (node {name!r}{f', made by module {module!r}' if module else ''})"

    def in_fp64(self) -> list[str]:
        """The nodes that give or take fp64, in words."""
        values = (*self._graph.value_info, *self._graph.input, *self._graph.output)
        wide = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.DOUBLE}
        wide |= {tensor.name for tensor in self._graph.initializer if tensor.data_type == TensorProto.DOUBLE}
        return [
            self.describe(node.name, node.op_type)
            for node in self._graph.node
            if wide.intersection((*node.input, *node.output))
        ]


def _module(node: onnx.NodeProto) -> str:
    """The innermost module's name, as ``encoder.blocks.3.attention``; empty where the graph does not say."""
    for entry in node.metadata_props:
        if entry.key == NAME_SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
            except (ValueError, SyntaxError):
                return ""
            # The last scope is the operation itself, the first one the whole graph.
            inner = scopes[1:-1] if isinstance(scopes, list) else []
            return str(inner[-1]) if inner else ""
    return ""
