"""int8 graphs: what is quantised, by what, and what is not."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers import tiny_photos, tiny_torch
from onnx import numpy_helper

import fs_runtime
from fs_exporters.pipeline import ExportResult, export_bundle


@pytest.fixture(scope="module")
def vit(vit_export: Callable[[str], ExportResult]) -> ExportResult:
    return vit_export("int8")


def _int8(model: str, output: Path, photos: Path, *, sigma: float, noise_batch: int) -> ExportResult:
    return export_bundle(
        model,
        sigma=sigma,
        noise_batch=noise_batch,
        output=output,
        precision="int8",
        calibration=photos,
        threads=1,
    )


def _graph(result: ExportResult) -> onnx.GraphProto:
    return onnx.load(result.path / "model.onnx").graph


def test_quantise_gives_every_product_with_weights_int8_inputs_and_nothing_else(vit: ExportResult) -> None:
    graph = _graph(vit)
    made_by = {name: node for node in graph.node for name in node.output}
    kinds: Counter[str] = Counter()
    for node in graph.node:
        sources = [made_by.get(name) for name in node.input[:2]]
        if len(sources) == 2 and all(source is not None and source.op_type == "DequantizeLinear" for source in sources):
            kinds[node.op_type] += 1
        if node.op_type in ("LayerNormalization", "Softmax", "ReduceL2", "Gelu"):
            assert not any(source is not None and source.op_type == "QuantizeLinear" for source in sources)
    # Six matrices a layer, the patches, and the pooler; the attention's own products have no weights.
    assert kinds == {"Conv": 1, "Gemm": 13}
    assert sum(node.op_type == "MatMul" for node in graph.node) == 4, "attention's products"


def test_quantise_keeps_scales_constant_and_weights_symmetric_in_seven_bits(vit: ExportResult) -> None:
    graph = _graph(vit)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = 0
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        assert node.input[1] in constants, "a scale that depends on the batch would tie draws together"
        if node.input[0] in constants and constants[node.input[0]].dtype == np.int8:
            weights += 1
            values, zero = constants[node.input[0]], constants[node.input[2]]
            assert np.abs(values.astype(int)).max() <= 64
            assert not zero.any()
            assert constants[node.input[1]].size > 1, "by channel"
    assert weights == 14
    assert not {"DynamicQuantizeLinear", "MatMulInteger"} & {node.op_type for node in graph.node}


def test_quantise_keeps_noise_norms_and_reductions_in_fp32(vit: ExportResult) -> None:
    graph = _graph(vit)
    assert sum(node.op_type == "LayerNormalization" for node in graph.node) == 5
    tensor = "noise"
    for operator in ("Add", "Sub", "Div"):
        (node,) = [node for node in graph.node if tensor in node.input]
        assert node.op_type == operator
        tensor = node.output[0]
    made_by = {name: node for node in graph.node for name in node.output}
    norm = made_by["raw_norm"]
    assert norm.op_type == "ReduceL2"
    assert {value.type.tensor_type.elem_type for value in graph.input} == {onnx.TensorProto.FLOAT}


def test_onnxruntime_runs_integer_kernels_when_the_graph_is_int8(vit: ExportResult, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(vit.path / "model.onnx", options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    kinds = Counter(node.op_type for node in graph.node)
    # Weights that were dequantised ahead would give the numbers of int8 at the speed of fp32.
    assert (kinds["QGemm"], kinds["QLinearConv"]) == (13, 1)
    assert not kinds["Gemm"] + kinds["Conv"] + kinds["QLinearMatMul"]
    assert kinds["MatMul"] + kinds["FusedMatMul"] == 4, "attention's products"
    # Biases are inside the kernels, whose results are fp32; queries, keys and values share one quantisation.
    vectors = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 1 and tensor.dims[0] > 1}
    assert not any(vectors & set(node.input) for node in graph.node if node.op_type == "Add")
    assert kinds["QuantizeLinear"] == 1 + 4 * 2 + 1, "patches, four inputs a layer, the pooler's"
    assert kinds["DequantizeLinear"] == 1, "the patches"


def test_quantised_draws_do_not_depend_on_one_another(vit: ExportResult) -> None:
    session = onnxruntime.InferenceSession(vit.path / "model.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {
        "pixel_values": rng.random((1, 3, 32, 32), np.float32),
        "noise": (0.1 * rng.standard_normal((4, 3, 32, 32))).astype(np.float32),
        "reference": np.eye(32, dtype=np.float32)[0],
    }
    before = session.run(["features"], feed)[0]
    noise = feed["noise"].copy()
    noise[2] *= 5
    after = session.run(["features"], {**feed, "noise": noise})[0]
    assert [bool((a == b).all()) for a, b in zip(before, after, strict=True)] == [True, True, False, True]


def test_export_records_the_calibration_and_passes_the_gate_when_int8_is_asked(vit: ExportResult) -> None:
    graph = vit.manifest.graphs[0]
    assert graph.precision == "int8"
    assert graph.calibration is not None
    assert (graph.calibration.images, graph.calibration.skipped, graph.calibration.seed) == (18, 0, "0" * 32)
    (parity,) = vit.manifest.parity
    assert 0.9 < parity.mean_cosine < 1.0
    assert parity.angle_original != parity.angle_graph
    assert [stage.name for stage in vit.stages] == ["load", "trace", "calibrate", "parity", "write"]
    with fs_runtime.load(vit.path, threads=1) as encoder:
        image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        assert encoder.certify(image, draws=128, alpha=0.01, seed=1).angle(0.02) < 3.0


def test_export_gives_the_same_graph_twice_and_absorbs_clips_when_int8_is_asked(tmp_path: Path) -> None:
    photos = tiny_photos.save(tmp_path / "photos", 16)
    hashes = []
    for name in ("first", "second"):
        result = _int8(tiny_torch.MODEL, tmp_path / name, photos, sigma=0.1, noise_batch=3)
        hashes.append(result.manifest.graphs[0].sha256)
        kinds = Counter(node.op_type for node in _graph(result).node)
        assert kinds["Relu"] == 0, "the scale's lower end is what Relu would cut off"
        assert sorted(path.name for path in result.path.iterdir()) == ["manifest.json", "model.onnx"]
    assert hashes[0] == hashes[1]
