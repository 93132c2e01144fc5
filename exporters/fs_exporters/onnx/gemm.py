"""Products with weights as Gemm: the form in which ONNX Runtime's integer kernel adds the bias and gives fp32."""

import math
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir


def as_gemms(graph: ir.Graph, nodes: Iterable[ir.Node]) -> None:
    """Replace each MatMul by a matrix of weights among ``nodes``, with the Add of its bias, by a Gemm, in place.

    A Gemm is of two matrices, so reshapes around it make rows of all sides of its input but the last, which moves no
    number. The results are the same up to the order of a sum.

    Args:
        graph: with static shapes.
        nodes: those of ``graph`` that may be replaced.
    """
    rows: dict[ir.Value, ir.Value] = {}
    for node in tuple(nodes):
        if node.op_type == "MatMul":
            _replace(graph, node, rows)


def own_biases(graph: ir.Graph, nodes: Iterable[ir.Node]) -> None:
    """Give each Gemm and Conv among ``nodes`` whose bias others read too a copy of it, in place.

    Equal weights are one initializer in a traced graph. A bias becomes integers in units of its own node's scales,
    which are wrong for any other node.
    """
    for node in nodes:
        bias = node.inputs[2] if node.op_type in ("Conv", "Gemm") and len(node.inputs) == 3 else None
        if bias is not None and bias.const_value is not None and len(bias.uses()) > 1:
            copy = ir.Tensor(bias.const_value.numpy().copy(), name=f"{node.name}_bias")
            own = ir.Value(name=copy.name, shape=bias.shape, type=bias.type, const_value=copy)
            graph.register_initializer(own)
            node.replace_input_with(2, own)


def _replace(graph: ir.Graph, node: ir.Node, rows: dict[ir.Value, ir.Value]) -> None:
    x, weights = node.inputs
    if x is None or x.shape is None or weights is None or weights.const_value is None or weights.shape is None:
        return
    sides, (depth, *width) = x.shape.numpy()[:-1], weights.shape.numpy()
    if len(width) != 1 or not sides:
        return
    add, bias = _bias(node, width[0])
    count = math.prod(sides)
    if x not in rows:  # query, key and value read the same rows, which are then quantised once
        flat = _reshape(graph, x, (count, depth), f"{node.name}_rows")
        graph.insert_before(node, flat)
        rows[x] = flat.outputs[0]
    product = ir.node("Gemm", [rows[x], weights, *bias], name=f"{node.name}_gemm")
    _describe(product, (count, width[0]))
    shaped = _reshape(graph, product.outputs[0], (*sides, *width), f"{node.name}_shaped")
    last = add or node
    old = [node] if add is None else [add, node]
    ir.convenience.replace_nodes_and_values(graph, last, old, [product, shaped], [last.outputs[0]], [shaped.outputs[0]])


def _bias(node: ir.Node, width: int) -> tuple[ir.Node | None, list[ir.Value]]:
    """The Add of a bias [width] that alone reads the product, and the bias; None and nothing where there is none."""
    value = node.outputs[0]
    readers = value.consumers()
    if len(readers) != 1 or readers[0].op_type != "Add" or value.is_graph_output():
        return None, []
    biases = [other for other in readers[0].inputs if other is not None and other is not value]
    if len(biases) != 1 or biases[0].const_value is None or biases[0].const_value.shape.numpy() != (width,):
        return None, []
    return readers[0], biases


def _reshape(graph: ir.Graph, value: ir.Value, shape: tuple[int, ...], name: str) -> ir.Node:
    sides = ir.Tensor(np.array(shape, np.int64), name=f"{name}_shape")
    initializer = ir.Value(
        name=sides.name, shape=ir.Shape([len(shape)]), type=ir.TensorType(ir.DataType.INT64), const_value=sides
    )
    graph.register_initializer(initializer)
    node = ir.node("Reshape", [value, initializer], name=name)
    _describe(node, shape)
    return node


def _describe(node: ir.Node, shape: tuple[int, ...]) -> None:
    (value,) = node.outputs
    value.name, value.shape, value.type = node.name, ir.Shape(shape), ir.TensorType(ir.DataType.FLOAT)
