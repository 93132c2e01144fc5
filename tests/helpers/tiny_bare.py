"""An encoder alone as an ONNX file, for bare sessions."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper


def save_encoder(path: Path, batch: int | str = "N", *, kind: int = TensorProto.FLOAT, inputs: int = 1) -> Path:
    """A mean over the pixels, of [batch, 3, 8, 8]."""
    taken = [helper.make_tensor_value_info(f"x{i}", kind, [batch, 3, 8, 8]) for i in range(inputs)]
    nodes = [helper.make_node("Flatten", ["x0"], ["flat"]), helper.make_node("ReduceMax", ["flat"], ["y"])]
    given = [helper.make_tensor_value_info("y", kind, [1, 1])]
    graph = helper.make_graph(nodes, "encoder", taken, given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path
