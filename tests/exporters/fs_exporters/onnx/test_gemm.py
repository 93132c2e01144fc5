"""Matrix products as Gemm: the same numbers, and what is left alone."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from fs_exporters.onnx.gemm import as_gemms, own_biases

_RNG = np.random.default_rng(0)
_X = _RNG.standard_normal((2, 3, 4)).astype(np.float32)
_W = _RNG.standard_normal((4, 5)).astype(np.float32)
_BIAS = _RNG.standard_normal(5).astype(np.float32)


def _model(nodes: list[tuple[str, list[str], str]], **weights: np.ndarray) -> ir.Model:
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], name=output) for kind, inputs, output in nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, _X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


def _run(model: ir.Model) -> np.ndarray:
    return onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": _X}
    )[0]


def _kinds(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("order", [["p", "b"], ["b", "p"]])
def test_as_gemms_takes_in_the_bias_and_gives_the_same_numbers_when_a_product_has_one(order: list[str]) -> None:
    model = _model([("MatMul", ["x", "w"], "p"), ("Add", order, "y")], w=_W, b=_BIAS)
    as_gemms(model.graph, model.graph)
    assert _kinds(model) == ["Reshape", "Gemm", "Reshape"]
    np.testing.assert_allclose(_run(model), _X @ _W + _BIAS, rtol=1e-5, atol=1e-6)


def test_as_gemms_shares_rows_when_products_read_the_same_input() -> None:
    nodes = [("MatMul", ["x", "w"], "p"), ("MatMul", ["x", "v"], "q"), ("Add", ["p", "q"], "y")]
    model = _model(nodes, w=_W, v=_W[::-1].copy())
    as_gemms(model.graph, model.graph)
    assert _kinds(model) == ["Reshape", "Gemm", "Reshape", "Gemm", "Reshape", "Add"]
    np.testing.assert_allclose(_run(model), _X @ _W + _X @ _W[::-1], rtol=1e-5, atol=1e-6)


def test_as_gemms_leaves_the_sum_when_it_is_not_of_a_bias() -> None:
    for bias in (_BIAS[:1], np.ones((2, 1, 5), np.float32)):
        model = _model([("MatMul", ["x", "w"], "p"), ("Add", ["p", "b"], "y")], w=_W, b=bias)
        as_gemms(model.graph, model.graph)
        assert _kinds(model) == ["Reshape", "Gemm", "Reshape", "Add"]
        np.testing.assert_allclose(_run(model), _X @ _W + bias, rtol=1e-5, atol=1e-6)


def test_as_gemms_leaves_products_without_a_matrix_of_weights() -> None:
    for weights in ({"w": _RNG.standard_normal((2, 4, 5)).astype(np.float32)}, {"w": _W[:, 0].copy()}):
        model = _model([("MatMul", ["x", "w"], "y")], **weights)
        as_gemms(model.graph, model.graph)
        assert _kinds(model) == ["MatMul"]


def test_own_biases_copies_a_bias_when_two_products_share_it() -> None:
    nodes = [("MatMul", ["x", "w"], "p"), ("MatMul", ["x", "w"], "q")]
    nodes += [("Add", ["p", "b"], "r"), ("Add", ["q", "b"], "s"), ("Add", ["r", "s"], "y")]
    model = _model(nodes, w=_W, b=_BIAS)
    as_gemms(model.graph, model.graph)
    own_biases(model.graph, model.graph)
    biases = [node.inputs[2] for node in model.graph if node.op_type == "Gemm"]
    assert len(set(biases)) == 2
    np.testing.assert_allclose(_run(model), 2 * (_X @ _W + _BIAS), rtol=1e-5, atol=1e-6)
