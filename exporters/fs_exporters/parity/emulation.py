"""A bf16 graph as ONNX Runtime's CPU provider can run it: in fp32, with every result rounded to bf16."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir

from fs_runtime.bundle import Bundle
from fs_runtime.bundle.manifest import Graph

EMULATION = "the graph in fp32 with every bf16 result rounded to bf16, on onnxruntime's CPU provider"
NOT_EMULATED = (
    "the bf16 kernels of the engine that will run the graph: how they round inside an operator, and what they fuse",
)


@contextmanager
def emulated(bundle: Bundle, graph: Graph) -> Iterator[tuple[Bundle, Graph]]:
    """The bundle with ``graph`` replaced by one that computes the same in fp32, for as long as the context lasts.

    It is made from the written file, node by node: a weight or constant in bf16 becomes the same numbers in fp32, and
    a result in bf16 becomes an fp32 result cast to bf16 and back. Products are so summed in fp32 and rounded once, as
    the engines' tensor cores do.
    """
    model = ir.load(bundle.graph_path(graph))
    _widen(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / graph.file
        ir.save(model, path, external_data=f"{graph.file}.data")
        yield Bundle(Path(folder), bundle.manifest, ""), msgspec.structs.replace(graph, precision="fp32")


def _widen(model: ir.Model) -> None:
    graph = model.graph
    for value in graph.initializers.values():
        if value.dtype == ir.DataType.BFLOAT16 and value.const_value is not None:
            value.const_value = _widened(value.const_value)
            value.dtype = ir.DataType.FLOAT
    for node in tuple(graph):
        narrow = [output for output in node.outputs if output.dtype == ir.DataType.BFLOAT16]
        if node.op_type == "Cast":
            if narrow:
                _round(graph, node)
            continue
        for output in narrow:
            output.dtype = ir.DataType.FLOAT
            rounded, back = _round_trip(output)
            output.replace_all_uses_with(back.outputs[0])
            rounded.replace_input_with(0, output)
            graph.insert_after(node, [rounded, back])


def _round(graph: ir.Graph, cast: ir.Node) -> None:
    """Let a cast to bf16 be followed by one back."""
    value = cast.outputs[0]
    back = ir.node("Cast", [value], {"to": ir.DataType.FLOAT}, name=f"{value.name}_back")
    back.outputs[0].name, back.outputs[0].dtype = f"{value.name}_back", ir.DataType.FLOAT
    value.replace_all_uses_with(back.outputs[0])
    back.replace_input_with(0, value)
    graph.insert_after(cast, back)


def _round_trip(value: ir.Value) -> tuple[ir.Node, ir.Node]:
    rounded = ir.node("Cast", [value], {"to": ir.DataType.BFLOAT16}, name=f"{value.name}_rounded")
    rounded.outputs[0].name, rounded.outputs[0].dtype = f"{value.name}_rounded", ir.DataType.BFLOAT16
    back = ir.node("Cast", [rounded.outputs[0]], {"to": ir.DataType.FLOAT}, name=f"{value.name}_back")
    back.outputs[0].name, back.outputs[0].dtype = f"{value.name}_back", ir.DataType.FLOAT
    return rounded, back


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    shape = ir.Shape(tensor.shape.numpy())
    return ir.LazyTensor(lambda: ir.Tensor(tensor.numpy().astype(np.float32)), ir.DataType.FLOAT, shape)
