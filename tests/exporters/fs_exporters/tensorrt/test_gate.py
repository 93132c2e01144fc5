"""The gate of plans, as far as it goes without a GPU: what it compares, and when it says that it was not run."""

import json
import sys
from pathlib import Path

import msgspec
import pytest
from helpers import fake_tensorrt, tiny_torch
from helpers.engines import NO_GPU, driver_of
from helpers.fake_cuda import FakeCuda, install

from fs_exporters.parity import ParityError, check_parity, measure_parity
from fs_exporters.pipeline import ExportResult
from fs_exporters.tensorrt.gate import _Module, check_ready, inspected_precisions, plan_parity, why_not_run
from fs_exporters.tensorrt.verify import verify_engines
from fs_runtime.backends import Backend, find_backend
from fs_runtime.bundle import Bundle, read_bundle
from fs_runtime.errors import BackendError


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
    assert why_not_run(graph, NO_GPU) == "no GPU"
    assert why_not_run(graph, driver_of("8.9")) is None
    coarse = msgspec.structs.replace(graph, precision="bf16")
    assert why_not_run(coarse, driver_of("8.9")) == "no bf16 graph to compare with runs in ONNX Runtime on the CPU"


def test_verify_engines_gives_no_verdict_when_there_is_no_plan(pooled_export: ExportResult) -> None:
    assert verify_engines(read_bundle(pooled_export.path), NO_GPU, threads=1) == ()


# ---- plans: the CUDA driver and TensorRT are thin fakes here, whose plans are ONNX files


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    install(monkeypatch, fake)
    fake_tensorrt.install(monkeypatch, fake)
    return fake


def _with_plan(made: ExportResult, folder: Path, *, times: float = 1.0) -> Path:
    """A bundle with a plan of its own graph, or of one whose outputs are ``times`` as large."""
    plan = tiny_torch.copy_of(made.path, folder / "plan")
    if times != 1.0:
        tiny_torch.spoil(plan / "model.onnx", times)
    root = tiny_torch.copy_of(made.path, folder / "bundle")
    fake_tensorrt.add_plan(root, (plan / "model.onnx").read_bytes())
    return root


@pytest.mark.parametrize("fixture", ["pooled_export", "mixed_tokens_export"])
def test_verify_engines_compares_by_the_backend_that_serves_when_the_gpu_is_here(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path, gpu: FakeCuda
) -> None:
    bundle = read_bundle(_with_plan(request.getfixturevalue(fixture), tmp_path))
    (verdict,) = verify_engines(bundle, driver_of("8.9"), threads=1)
    assert verdict.not_run is None
    assert verdict.parity is not None
    assert verdict.parity.graph == bundle.manifest.engines[0].file
    assert set(verdict.parity.largest_difference.values()) == {0.0}
    assert gpu.calls["cuGraphLaunch"] > 2
    assert gpu.left == 0


def test_verify_engines_runs_a_plan_for_every_gpu_and_needs_no_tensorrt_for_another_gpus(
    pooled_export: ExportResult, tmp_path: Path, gpu: FakeCuda
) -> None:
    root = tiny_torch.copy_of(pooled_export.path, tmp_path / "bundle")
    fake_tensorrt.add_plan(root, compute_capability="8.0", settings={"hardware_compatible": True})
    fake_tensorrt.add_plan(root, compute_capability="8.0")
    fake_tensorrt.add_plan(root, compute_capability="8.0", builder="tensorrt-rtx")  # which is not installed
    everywhere, *others = verify_engines(read_bundle(root), driver_of("8.9"), threads=1)
    assert (everywhere.not_run, everywhere.parity is None) == (None, False)
    assert {other.not_run for other in others} == {"it is for compute capability 8.0, this GPU has 8.9"}


def test_plan_parity_refuses_when_the_plan_computes_something_else(
    pooled_export: ExportResult, tmp_path: Path, gpu: FakeCuda
) -> None:
    bundle = read_bundle(_with_plan(pooled_export, tmp_path, times=1.2))
    with pytest.raises(ParityError, match=r"engines/plan0/model.plan.*differs"):
        plan_parity(bundle, bundle.graph("smoothed"), bundle.manifest.engines[0], threads=1)


def test_plan_parity_refuses_when_no_layer_has_the_precision_asked_for(
    pooled_export: ExportResult, tmp_path: Path, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(_with_plan(pooled_export, tmp_path))
    layer = {"Name": "x", "Outputs": [{"Name": "y", "Format/Datatype": "Half"}]}
    monkeypatch.setattr(fake_tensorrt._Engine, "layers", json.dumps({"Layers": [layer]}))
    with pytest.raises(ParityError, match="was to be fp32, but its layers are fp16"):
        plan_parity(bundle, bundle.graph("smoothed"), bundle.manifest.engines[0], threads=1)


def test_check_ready_names_what_the_gate_lacks_before_anything_is_built(
    pooled_export: ExportResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = read_bundle(pooled_export.path).graph("smoothed")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    check_ready(graph, ["8.9"], driver_of("9.0"))
    with pytest.raises(BackendError, match="needs cuda-bindings, which is not installed"):
        check_ready(graph, ["9.0", "8.9"], driver_of("8.9"))


def test_inspected_precisions_are_those_of_the_layers_outputs() -> None:
    def layer(kind: str) -> dict[str, object]:
        return {"Name": "x", "Outputs": [{"Name": "y", "Format/Datatype": kind}]}

    text = json.dumps({"Layers": [layer("Row major linear FP16 format"), layer("Float"), layer("Int32"), "short"]})
    assert inspected_precisions(text) == {"fp16", "fp32"}
    assert inspected_precisions('{"Layers": ["only", "names"]}') == set()
