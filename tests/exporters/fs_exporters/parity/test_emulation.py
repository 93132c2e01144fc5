"""bf16 graphs run in fp32: what comes out is what bf16 gives, and a spoiled graph fails the gate."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers import tiny_huggingface, tiny_torch
from onnx.reference import ReferenceEvaluator

from fs_exporters.parity import ParityError, check_parity, measure_bundle
from fs_exporters.parity.emulation import emulated
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_models.encoders import LoadRequest, load_encoder
from fs_runtime.bundle import read_bundle


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportResult]:
    folder = tmp_path_factory.mktemp("emulation")
    model = tiny_huggingface.save("clip-vision", folder / "clip")
    common = {"sigma": 0.1, "noise_batch": 4, "threads": 1, "parity_draws": 8}
    return {
        precision: export_bundle(str(model), output=folder / precision, precision=precision, **common)  # type: ignore[arg-type]
        for precision in ("fp32", "bf16")
    }


def _features(path: Path, feed: dict[str, np.ndarray], level: str = "ORT_ENABLE_ALL") -> np.ndarray:  # type: ignore[type-arg]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["features"], feed)[0])


def test_emulated_graph_gives_what_bf16_gives(exports: dict[str, ExportResult]) -> None:
    rng = np.random.default_rng(0)
    feed = {
        "pixel_values": rng.random((1, 3, 32, 32), np.float32),
        "noise": (0.1 * rng.standard_normal((4, 3, 32, 32))).astype(np.float32),
        "reference": np.eye(16, dtype=np.float32)[0],
    }
    path = exports["bf16"].path / "model.onnx"
    bundle = read_bundle(exports["bf16"].path)
    with emulated(bundle, bundle.graph("smoothed")) as (stand_in, graph):
        ours = _features(stand_in.graph_path(graph), feed)
        unoptimised = _features(stand_in.graph_path(graph), feed, "ORT_DISABLE_ALL")
    exact = _features(exports["fp32"].path / "model.onnx", feed)
    by_reference = np.asarray(ReferenceEvaluator(onnx.load(path)).run(["features"], feed)[0])
    # An optimiser that dropped the casts would give fp32's numbers.
    np.testing.assert_allclose(ours, unoptimised, atol=1e-4)
    assert np.abs(ours - exact).max() > 1e-4
    # Sums may be rounded once or often: both are bf16, and differ from one another as little as from fp32.
    assert (ours * by_reference).sum(axis=1).min() > 0.9999
    assert np.abs(ours - by_reference).max() < 0.02


def test_gate_fails_when_a_weight_of_a_bf16_graph_is_wrong(exports: dict[str, ExportResult], tmp_path: Path) -> None:
    copy = tiny_torch.copy_of(exports["bf16"].path, tmp_path / "copy")
    model = onnx.load(copy / "model.onnx")
    tensor = max(
        (tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.BFLOAT16),
        key=lambda tensor: len(tensor.raw_data),
    )
    words = np.frombuffer(tensor.raw_data, np.uint16).copy()
    words[: words.size // 2] ^= 0x8000  # the sign
    tensor.raw_data = words.tobytes()
    onnx.save_model(model, copy / "model.onnx")
    tiny_torch.rehash(copy)
    encoder = load_encoder(LoadRequest(exports["bf16"].manifest.source.model))
    with pytest.raises(ParityError, match="has cosine"):
        check_parity(measure_bundle(read_bundle(copy), encoder, threads=1, draws=8))
