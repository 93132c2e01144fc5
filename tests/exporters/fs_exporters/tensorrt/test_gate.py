"""The gate of plans, as far as it goes without a GPU: what it compares, and when it says that it was not run."""

import json
from pathlib import Path

import pytest
from helpers import tiny_torch
from helpers.engines import NO_GPU, driver_of

from fs_exporters.parity import ParityError, check_parity, measure_parity
from fs_exporters.pipeline import ExportResult
from fs_exporters.tensorrt.gate import _Module, inspected_precisions, why_not_run
from fs_exporters.tensorrt.verify import verify_engines
from fs_runtime.backends import Backend, find_backend
from fs_runtime.bundle import Bundle, read_bundle


def _open(bundle: Bundle) -> Backend:
    return find_backend("onnxruntime")(bundle, bundle.graph("smoothed"), device="cpu", threads=1)


@pytest.mark.parametrize("fixture", ["pooled_export", "tokens_export", "mixed_export", "mixed_tokens_export"])
def test_module_stands_for_the_graph_when_both_sides_are_the_same(fixture: str, request: pytest.FixtureRequest) -> None:
    bundle = read_bundle(request.getfixturevalue(fixture).path)
    graph = bundle.graph("smoothed")
    with _open(bundle) as original, _open(bundle) as other:
        parity = measure_parity(_Module(original), other, bundle.manifest, graph, threads=1)
    assert parity.angle_original == parity.angle_graph
    assert set(parity.largest_difference.values()) == {0.0}
    check_parity(parity)


def test_module_shows_the_difference_when_the_other_side_computes_something_else(
    pooled_export: ExportResult, tmp_path: Path
) -> None:
    bundle = read_bundle(pooled_export.path)
    spoiled = tiny_torch.copy_of(pooled_export.path, tmp_path / "bundle")
    tiny_torch.spoil(spoiled / "model.onnx", 1.2)
    tiny_torch.rehash(spoiled)
    with _open(bundle) as original, _open(read_bundle(spoiled)) as other:
        parity = measure_parity(_Module(original), other, bundle.manifest, bundle.graph("smoothed"), threads=1)
    with pytest.raises(ParityError, match="features differs"):
        check_parity(parity)


def test_why_not_run_says_what_is_missing(pooled_export: ExportResult) -> None:
    graph = read_bundle(pooled_export.path).graph("smoothed")
    assert why_not_run(graph, "8.9", NO_GPU) == "no GPU"
    assert why_not_run(graph, "8.9", driver_of("9.0")) == "the GPU here has compute capability 9.0"
    assert why_not_run(graph, "8.9", driver_of("8.9")) is None


def test_verify_engines_gives_no_verdict_when_there_is_no_plan(pooled_export: ExportResult) -> None:
    assert verify_engines(read_bundle(pooled_export.path), NO_GPU, threads=1) == ()


def test_inspected_precisions_are_those_of_the_layers_outputs() -> None:
    def layer(kind: str) -> dict[str, object]:
        return {"Name": "x", "Outputs": [{"Name": "y", "Format/Datatype": kind}]}

    text = json.dumps({"Layers": [layer("Row major linear FP16 format"), layer("Float"), layer("Int32"), "short"]})
    assert inspected_precisions(text) == {"fp16", "fp32"}
    assert inspected_precisions('{"Layers": ["only", "names"]}') == set()
