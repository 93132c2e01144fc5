"""Every family on a tiny random model: export, parity at fp32 and fp16, load in the runtime, smooth, certify, build."""

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import families, tiny, tiny_torch
from helpers.families import CASES, Case

import fs_runtime
from fs_exporters.onnx.narrow import narrow
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_exporters.tensorrt import BuildRequest, build_engines
from fs_exporters.verify import verify_bundle

# Relatives of a case that stays: their exports differ little.
_SLOW = ("beit", "clip-vision", "convnextv2", "dinov2-registers", "llava-full-two-layers", "llava-tower", "smolvlm")
_TABLE = [pytest.param(case, id=case.name, marks=[pytest.mark.slow] * (case.name in _SLOW)) for case in CASES]

Export = Callable[[Case], ExportResult]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Export each case once."""
    made: dict[str, ExportResult] = {}

    def export(case: Case) -> ExportResult:
        if case.name not in made:
            root = tmp_path_factory.mktemp("family")
            folder = families.save(case, root / "model")
            made[case.name] = export_bundle(
                f"{folder}{case.part}",
                sigma=0.1,
                noise_batch=4,
                output=root / "bundle",
                tap=case.exported,
                image_size=case.size,
                threads=1,
            )
        return made[case.name]

    return export


@pytest.mark.parametrize("case", _TABLE)
def test_export_certifies_when_the_family_is_exported(export: Export, tmp_path: Path, case: Case) -> None:
    result = export(case)
    assert result.manifest.family == case.family
    assert result.manifest.parity[0].smallest_cosine >= 0.99999
    operators = Counter(node.op_type for node in onnx.load(result.path / "model.onnx").graph.node)
    assert operators["LayerNormalization"] == case.norms
    image = tiny.image_array()
    with fs_runtime.load(result.path, expect_sha256=result.manifest_sha256) as encoder:
        smoothed = encoder.smooth(image, draws=16)
        certificate = encoder.certify(image, draws=120, alpha=0.01)
    assert smoothed.vector.shape == (result.manifest.dimension,)
    assert np.isfinite(smoothed.mean_raw_norm)
    assert smoothed.mean_raw_norm > 0.0
    assert 0.0 < certificate.angle(0.01) < np.pi


@pytest.mark.parametrize("case", _TABLE)
def test_verify_passes_when_the_family_is_at_half_precision(export: Export, tmp_path: Path, case: Case) -> None:
    half = half_of(export(case).path, tmp_path / "half")
    assert verify_bundle(half, threads=1).smallest_cosine >= 0.999
    squared = {node.inputs[0].dtype for node in ir.load(half / "model.onnx").graph if node.op_type == "Pow"}
    assert squared <= {ir.DataType.FLOAT}, "squares of real activations overflow fp16"


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="needs tensorrt-rtx")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("case", _TABLE)
def test_build_makes_a_plan_when_the_family_is_exported(
    export: Export, tmp_path: Path, case: Case, precision: str
) -> None:
    """It shows that TensorRT-RTX takes the graph; running the plan needs a GPU (not run)."""
    source = export(case).path
    bundle = half_of(source, tmp_path / "b") if precision == "fp16" else tiny_torch.copy_of(source, tmp_path / "b")
    [engine] = build_engines(bundle, BuildRequest("tensorrt-rtx", ("8.9",), threads=1)).engines
    assert (engine.precision_observed, engine.compute_capability) == (precision, "8.9")
    assert (bundle / engine.file).stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="needs tensorrt-rtx")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_build_makes_a_plan_when_the_family_is_exported_in_bf16(tmp_path: Path, case: Case) -> None:
    """As above, of an export of its own: bf16 has another ONNX opset."""
    folder = families.save(case, tmp_path / "model")
    bundle = export_bundle(
        f"{folder}{case.part}",
        sigma=0.1,
        noise_batch=4,
        output=tmp_path / "bundle",
        precision="bf16",
        tap=case.exported,
        image_size=case.size,
        threads=1,
    ).path
    [engine] = build_engines(bundle, BuildRequest("tensorrt-rtx", ("8.9",), threads=1)).engines
    assert (engine.precision_observed, engine.compute_capability) == ("bf16", "8.9")
    assert (bundle / engine.file).stat().st_size > 10_000


def half_of(bundle: Path, target: Path) -> Path:
    """The same bundle with its encoder in fp16, as an export of that precision writes it."""
    half = tiny_torch.copy_of(bundle, target)
    model = ir.load(half / "model.onnx")
    narrow(model, ir.DataType.FLOAT16)
    ir.save(model, half / "model.onnx")
    tiny_torch.rehash(half)
    tiny.edit_manifest(half, lambda manifest: manifest["graphs"][0].update(precision="fp16"))
    return half
