"""fp16 and bf16 graphs: what is narrow, what is not, and what a broken conversion does."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import tiny_huggingface, tiny_torch
from onnx import TensorProto

import fs_runtime
from fs_exporters.onnx.narrow import narrow
from fs_exporters.pipeline import export_bundle
from fs_exporters.verify import verify_bundle
from fs_runtime.errors import BackendError

KEPT = {"LayerNormalization", "Softmax", "ReduceL2", "ReduceSum", "ReduceMean"}


@pytest.fixture(scope="module")
def vit(vit_export):
    return {precision: vit_export(precision) for precision in ("fp32", "fp16", "bf16")}


def types_of(path):
    """The element type of every tensor, by name."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return graph, types | {tensor.name: tensor.data_type for tensor in graph.initializer}


NARROW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


@pytest.mark.parametrize("precision", NARROW)
def test_export_keeps_noise_norms_and_reductions_in_fp32_when_asked_for_less(vit, precision):
    narrowed = NARROW[precision]
    graph, types = types_of(vit[precision].path / "model.onnx")
    kinds = Counter()
    for node in graph.node:
        floats = [types[name] for name in node.output if types.get(name) in (TensorProto.FLOAT, narrowed)]
        kinds.update((node.op_type, kind) for kind in floats)
        if node.op_type in KEPT:
            assert narrowed not in {types.get(name) for name in (*node.input, *node.output)}, node.name
        if "noise" in node.input:
            assert [types[name] for name in (*node.input, *node.output)] == [TensorProto.FLOAT] * 3
    assert kinds["MatMul", narrowed] >= 10
    assert kinds["Conv", narrowed] == 1
    assert kinds["LayerNormalization", TensorProto.FLOAT] == 5
    assert {types[value.name] for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}


@pytest.mark.parametrize("precision", NARROW)
def test_export_never_passes_noise_through_less_than_fp32(vit, precision):
    graph, types = types_of(vit[precision].path / "model.onnx")
    tensor = "noise"
    for _ in range(3):
        (node,) = [node for node in graph.node if tensor in node.input]
        assert node.op_type in ("Add", "Sub", "Div")
        tensor = node.output[0]
        assert types[tensor] == TensorProto.FLOAT


def weight_bytes(result):
    graph = onnx.load(result.path / "model.onnx").graph
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in graph.initializer)


def test_export_halves_the_weights_and_passes_the_gate_when_fp16_is_asked(vit):
    assert weight_bytes(vit["fp16"]) < 0.6 * weight_bytes(vit["fp32"])
    (parity,) = vit["fp16"].manifest.parity
    assert 0.999 <= parity.smallest_cosine < 1.0
    assert abs(parity.angle_graph - parity.angle_original) <= parity.angle_change_allowed
    assert vit["fp16"].manifest.graphs[0].precision == "fp16"


def test_export_halves_the_weights_and_says_what_was_not_checked_when_bf16_is_asked(vit):
    result = vit["bf16"]
    graph = result.manifest.graphs[0]
    assert weight_bytes(result) < 0.6 * weight_bytes(vit["fp32"])
    assert (graph.precision, graph.opset) == ("bf16", 22)
    (parity,) = result.manifest.parity
    assert 0.99 <= parity.smallest_cosine < 1.0
    assert "rounded to bf16" in parity.ran
    assert any("kernels of the engine" in gap for gap in parity.not_checked)
    verified = verify_bundle(result.path, threads=1)
    assert verified.smallest_cosine == pytest.approx(parity.smallest_cosine, abs=1e-5)
    assert (verified.ran, verified.not_checked) == (parity.ran, parity.not_checked)
    with pytest.raises(BackendError, match="build an engine") as caught:
        fs_runtime.load(result.path)
    assert caught.value.exit_code == 4


def test_certificates_of_both_precisions_agree_when_the_noise_is_the_same(vit):
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    angles = []
    for result in (vit["fp32"], vit["fp16"]):
        with fs_runtime.load(result.path, threads=1) as encoder:
            angles.append(encoder.certify(image, draws=64, alpha=0.01, seed=1).angle(0.05))
    assert abs(angles[0] - angles[1]) < 0.01
    assert angles[0] != angles[1]


def test_layer_norm_stays_one_node_when_exported(vit):
    for result in vit.values():
        graph = onnx.load(result.path / "model.onnx").graph
        assert sum(node.op_type == "LayerNormalization" for node in graph.node) == 5


def test_export_refuses_an_unknown_precision(tmp_path):
    with pytest.raises(fs_runtime.InputError, match="--precision"):
        export_bundle(tiny_torch.MODEL, sigma=0.1, noise_batch=2, output=tmp_path / "b", precision="fp8")


@pytest.mark.parametrize("images", [1, 2])
def test_export_keeps_the_exact_sums_of_tokens_in_fp32_when_fp16_is_asked(tmp_path, images):
    model = tiny_huggingface.save("vit", tmp_path / "vit")
    result = export_bundle(
        str(model),
        output=tmp_path / "bundle",
        precision="fp16",
        tap="tokens",
        images=images,
        sigma=0.1,
        noise_batch=4,
        threads=1,
    )
    assert 0.999 <= result.manifest.parity[0].smallest_cosine < 1.0
    graph, types = types_of(result.path / "model.onnx")
    made_by = {name: node for node in graph.node for name in node.output}
    assert TensorProto.DOUBLE not in types.values(), "engines have no fp64"
    divide = made_by["cosine"]
    assert divide.op_type == "Div"
    assert [types[name] for name in (*divide.input, *divide.output)] == [TensorProto.FLOAT] * 3
    rounds = [node for node in graph.node if node.op_type == "Round"]
    assert len(rounds) == 2, "one exact sum for the products, one for the squares, as few coordinates need"
    assert {types[name] for node in rounds for name in (*node.input, *node.output)} == {TensorProto.FLOAT}
    halves = {name for name, kind in types.items() if kind == TensorProto.FLOAT16}
    [raw] = {node.input[0] for node in graph.node if node.op_type == "Abs"}
    after = {raw}
    for node in graph.node:
        if after.intersection(node.input):
            after.update(node.output)
    assert {"cosine", "feature_sum", "raw_norm"} <= after
    assert not after & halves
    assert len(halves) > 50
    if images > 1:
        kinds = {node.op_type for node in graph.node if "pixel_values" in node.input or "image_index" in node.input}
        assert "Gather" in kinds
        assert not kinds & {"Cast"}, "pixels and indices go in as they are"


def test_narrow_refuses_when_the_graph_is_not_a_smoothed_one():
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["noise"], ["raw_norm"])],
        "other",
        [value("noise", TensorProto.FLOAT, (1,))],
        [value("raw_norm", TensorProto.FLOAT, (1,))],
    )
    with pytest.raises(RuntimeError, match="not Add"):
        narrow(ir.from_proto(onnx.helper.make_model(graph)), ir.DataType.FLOAT16)


def test_narrow_refuses_when_raw_norm_is_no_norm():
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Add", ["noise", "noise"], ["sum"]),
            node("Sub", ["sum", "noise_2"], ["centred"]),
            node("Div", ["centred", "noise_2"], ["normalised"]),
            node("ReduceSum", ["normalised"], ["raw_norm"]),
        ],
        "other",
        [value("noise", TensorProto.FLOAT, (1,)), value("noise_2", TensorProto.FLOAT, (1,))],
        [value("raw_norm", TensorProto.FLOAT, (1,))],
    )
    with pytest.raises(RuntimeError, match="raw_norm divides"):
        narrow(ir.from_proto(onnx.helper.make_model(graph)), ir.DataType.FLOAT16)
