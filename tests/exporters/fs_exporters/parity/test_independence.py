"""Draws that see each other are refused, though the encoder mixes them as the graph does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_torch

from fs_exporters.parity import ParityError, independence, measure
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_exporters.verify import verify_bundle
from fs_runtime.backends import Block, BlockResult, find_backend
from fs_runtime.bundle import read_bundle

Mix = Callable[[torch.Tensor], torch.Tensor]
ENCODE = tiny_torch.TinyAdapter.encode


def _mixing(monkeypatch: pytest.MonkeyPatch, mix: Mix) -> None:
    monkeypatch.setattr(tiny_torch.TinyAdapter, "encode", lambda self, pixels: mix(ENCODE(self, pixels)))


def _export(output: Path, **changes: Any) -> ExportResult:
    arguments = {"sigma": 0.25, "noise_batch": 3, "threads": 1, "parity_draws": 8, **changes}
    return export_bundle(tiny_torch.MODEL, output=output, **arguments)


@pytest.mark.parametrize(
    ("mix", "changes"),
    [
        pytest.param(lambda y: y + 0.01 * y.mean(0), {}, id="slightly"),
        pytest.param(lambda y: y + 3.0 * y.mean(0), {"tap": "tokens"}, id="tokens"),
        pytest.param(lambda y: y + 3.0 * y.mean(0), {"images": 2, "noise_batch": 5}, id="images"),
        pytest.param(lambda y: y + 3.0 * y.mean(0), {"precision": "bf16"}, id="bf16"),
        pytest.param(lambda y: y + 3.0 * y[:1], {}, id="all-see-the-first"),
    ],
)
def test_export_bundle_refuses_when_draws_see_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mix: Mix, changes: dict[str, Any]
) -> None:
    _mixing(monkeypatch, mix)
    with pytest.raises(ParityError, match=r"lets draws see each other.*each draw encoded by itself") as caught:
        _export(tmp_path / "bundle", **changes)
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_verify_bundle_refuses_when_draws_see_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _mixing(monkeypatch, lambda y: y + 3.0 * y.mean(0))
    with monkeypatch.context() as unchecked:
        unchecked.setattr(measure, "check_independence", lambda *_, **__: None)
        result = _export(tmp_path / "bundle")
    assert result.manifest.parity[0].smallest_cosine > 0.9999, "the comparison alone notices nothing"
    with pytest.raises(ParityError, match="lets draws see each other"):
        verify_bundle(result.path, threads=1)


def test_export_bundle_runs_nothing_more_when_a_batch_is_one_draw(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _mixing(monkeypatch, lambda y: y + 3.0 * y.mean(0))
    _export(tmp_path / "bundle", noise_batch=1)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_verify_bundle_passes_with_a_tenth_of_the_tolerance_when_the_graph_is_ordinary(
    monkeypatch: pytest.MonkeyPatch, vit_export: Callable[[str], ExportResult], precision: str
) -> None:
    bundle = vit_export(precision).path
    monkeypatch.setattr(independence, "TOLERANCE", 1e-6)
    verify_bundle(bundle, threads=1, parity_draws=8)


@pytest.mark.parametrize("name", ["pooled", "tokens", "mixed", "mixed_tokens"])
def test_verify_bundle_passes_when_draws_are_apart(request: pytest.FixtureRequest, name: str) -> None:
    verify_bundle(request.getfixturevalue(f"{name}_export").path, threads=1, parity_draws=8)


class _Changed:
    """A backend whose second run is off by a little in one output of row 0."""

    def __init__(self, backend: Any, name: str, value: float) -> None:
        self._backend, self._name, self._value, self._runs = backend, name, value, 0

    def run(self, block: Block) -> BlockResult:
        result: BlockResult = self._backend.run(block)
        self._runs += 1
        if self._runs == 2:
            getattr(result, self._name)[0] += np.float32(self._value)
        return result


@pytest.mark.parametrize("name", ["cosine", "raw_norm", "features"])
@pytest.mark.parametrize("value", [1e-3, float("nan"), float("inf")])
def test_check_independence_names_the_output_when_it_changes(
    pooled_export: ExportResult, name: str, value: float
) -> None:
    bundle = read_bundle(pooled_export.path)
    rng = np.random.default_rng(0)
    first, other = (rng.standard_normal((2, 3, 3, 8, 8)) * 0.25).astype(np.float32)
    block = Block(np.full((1, 3, 8, 8), 0.5, np.float32), first, np.eye(6, dtype=np.float32)[:1], np.zeros(3, np.int64))
    with find_backend("onnxruntime")(bundle, bundle.graph("smoothed"), device="cpu", threads=1) as backend:
        independence.check_independence(backend, block, other, file="model.onnx")
        with pytest.raises(ParityError, match=f"change its {name} by [^,]* \\(allowed"):
            independence.check_independence(_Changed(backend, name, value), block, other, file="model.onnx")  # type: ignore[arg-type]
