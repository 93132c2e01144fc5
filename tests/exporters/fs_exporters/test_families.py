"""Every family on a tiny random model: export, parity at fp32 and fp16, load in the runtime, smooth, certify."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import families, tiny, tiny_torch
from helpers.families import CASES, Case

import fs_runtime
from fs_exporters.onnx.half import to_fp16
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_exporters.verify import verify_bundle

_DECOMPOSED = {"ReduceMean", "Sqrt", "Pow"}


def _export(case: Case, root: Path) -> ExportResult:
    folder = families.save(case, root / "model")
    return export_bundle(
        f"{folder}{case.part}",
        sigma=0.1,
        noise_batch=4,
        output=root / "bundle",
        tap=case.exported,
        image_size=case.size,
        threads=1,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_export_certifies_when_the_family_is_exported(tmp_path: Path, case: Case) -> None:
    result = _export(case, tmp_path)
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

    half = tiny_torch.copy_of(result.path, tmp_path / "half")
    model = to_fp16(onnx.load(half / "model.onnx"))
    onnx.save_model(model, half / "model.onnx")
    tiny_torch.rehash(half)
    tiny.edit_manifest(half, lambda manifest: manifest["graphs"][0].update(precision="fp16"))
    assert verify_bundle(half, threads=1).smallest_cosine >= 0.999
