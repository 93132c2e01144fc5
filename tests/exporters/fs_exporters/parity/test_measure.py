"""The parity gate: what passes, and what does not."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from helpers import tiny_torch

from fs_exporters.graph import smoothed_graph
from fs_exporters.parity import ParityError, check_parity, measure_parity
from fs_exporters.parity.thresholds import THRESHOLDS
from fs_exporters.pipeline import ExportResult
from fs_models.gsb import no_booster
from fs_runtime.backends import Backend, Block, BlockResult, find_backend
from fs_runtime.bundle import Manifest, read_bundle
from fs_runtime.bundle.manifest import Parity

Spoil = Callable[[BlockResult], BlockResult]


class _Spoiled:
    """A backend whose results are changed on the way out."""

    def __init__(self, backend: Backend, spoil: Spoil, watch: Callable[[Block], object] = lambda _: None) -> None:
        self.info = backend.info
        self._backend = backend
        self._spoil = spoil
        self._watch = watch

    def run(self, block: Block) -> BlockResult:
        self._watch(block)
        return self._spoil(self._backend.run(block))


def _measure(
    result: ExportResult,
    spoil: Spoil = lambda block: block,
    *,
    watch: Callable[[Block], object] = lambda _: None,
    around: Callable[[Backend], _Spoiled] | None = None,
) -> Parity:
    bundle = read_bundle(result.path)
    graph = bundle.graph("smoothed")
    module = smoothed_graph(tiny_torch.tiny_adapter(bundle.manifest.tap), no_booster(), images=bundle.manifest.images)
    around = around or (lambda backend: _Spoiled(backend, spoil, watch))
    with find_backend("onnxruntime")(bundle, graph, device="cpu", threads=1) as backend:
        return measure_parity(module, around(backend), bundle.manifest, graph, threads=1)  # type: ignore[arg-type]


def test_measure_parity_passes_when_the_graph_is_true(pooled_export: ExportResult, tokens_export: ExportResult) -> None:
    for result, outputs in (
        (pooled_export, {"cosine", "feature_sum", "raw_norm", "features"}),
        (tokens_export, {"cosine", "feature_sum", "raw_norm"}),
    ):
        parity = _measure(result)
        check_parity(parity)
        assert parity.smallest_cosine > 0.999999
        assert set(parity.largest_difference) == outputs
        assert max(parity.largest_difference.values()) < 1e-5
        assert parity.angle_original < math.pi, "a vacuous certificate would hide every change"
        assert (parity.pilot, parity.draws) == (33, 66)
        assert parity == result.manifest.parity[0]


def _rotated(block: BlockResult, angle: float) -> BlockResult:
    """Every feature turned, consistently, in the plane of the first two axes; the norm kept."""
    assert block.features is not None
    turn = np.eye(6)
    turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    features = (block.features.astype(np.float64) @ turn.T).astype(np.float32)
    return replace(block, features=features, feature_sum=features.sum(axis=0)[None])


def _with(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:  # type: ignore[type-arg]
    return lambda block: replace(block, **{name: change(getattr(block, name)).astype(np.float32)})


def _first_nan(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    changed = array.copy()
    changed.flat[0] = np.nan
    return changed


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        pytest.param(lambda block: _rotated(block, 0.02), "a draw's feature has cosine", id="turned"),
        pytest.param(_with("cosine", lambda array: array - 0.01), "cosine differs by", id="cosine"),
        pytest.param(_with("cosine", lambda array: array[::-1]), "cosine differs by", id="cosines-swapped"),
        pytest.param(_with("feature_sum", lambda array: array * 1.001), "feature_sum differs by", id="sum"),
        pytest.param(_with("raw_norm", lambda array: array * 1.002), "raw_norm differs by", id="norm"),
        pytest.param(_with("features", lambda array: array[::-1]), "features differs by", id="rows-swapped"),
        pytest.param(_with("cosine", lambda array: array * 0.9), "the certified angle changes by", id="angle"),
        pytest.param(_with("cosine", lambda array: array * np.nan), "the certified angle changes by", id="nan-cosines"),
        pytest.param(_with("cosine", _first_nan), "cosine differs by nan", id="one-nan-cosine"),
        pytest.param(_with("features", lambda array: array * np.nan), "has cosine nan", id="nan-features"),
        pytest.param(_with("features", _first_nan), "features differs by nan", id="one-nan-feature"),
        pytest.param(_with("feature_sum", _first_nan), "feature_sum differs by nan", id="one-nan-sum"),
        pytest.param(_with("raw_norm", _first_nan), "raw_norm differs by nan", id="one-nan-norm"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_check_parity_names_the_fault_when_an_output_is_wrong(
    pooled_export: ExportResult, spoil: Spoil, fault: str
) -> None:
    with pytest.raises(ParityError, match=fault) as caught:
        check_parity(_measure(pooled_export, spoil))
    assert caught.value.exit_code == 3
    assert "model.onnx" in str(caught.value)


@pytest.mark.parametrize("name", ["cosine", "feature_sum", "raw_norm"])
def test_check_parity_fails_when_a_token_graph_gives_nan(tokens_export: ExportResult, name: str) -> None:
    with pytest.raises(ParityError, match="nan"):
        check_parity(_measure(tokens_export, _with(name, lambda array: array * np.nan)))


def test_check_parity_fails_when_tokens_turn(tokens_export: ExportResult) -> None:
    with pytest.raises(ParityError, match="has cosine"):
        check_parity(_measure(tokens_export, _with("feature_sum", lambda array: array[:, ::-1])))


# ---- several images in a batch


def test_measure_parity_passes_when_the_graph_mixes_images(mixed_export: ExportResult) -> None:
    blocks: list[Block] = []
    parity = _measure(mixed_export, watch=blocks.append)
    check_parity(parity)
    assert parity.smallest_cosine > 0.999999
    assert max(parity.largest_difference.values()) < 1e-5
    assert parity.angle_original < math.pi, "a vacuous certificate would hide every change"
    for block in blocks:
        index = block.image_index.tolist()
        assert sorted(set(index)) == [0, 1]
        assert index not in (sorted(index), [draw % 2 for draw in range(5)]), "a graph could have this order by itself"
        assert not np.allclose(block.pixel_values[0], block.pixel_values[1], atol=0.1)
    assert not np.allclose(*blocks[-1].reference, atol=1e-3)


class _Deaf(_Spoiled):
    """A backend whose graph does not hear one of its inputs."""

    def __init__(self, backend: Backend, deafen: Callable[[Block], Block]) -> None:
        super().__init__(backend, lambda result: result)
        self._deafen = deafen

    def run(self, block: Block) -> BlockResult:
        return super().run(self._deafen(block))


@pytest.mark.parametrize(
    "deafen",
    [
        pytest.param(lambda b: replace(b, image_index=np.zeros_like(b.image_index)), id="one-image"),
        pytest.param(lambda b: replace(b, image_index=np.sort(b.image_index)), id="sorted"),
        pytest.param(lambda b: replace(b, image_index=1 - b.image_index), id="the-other-image"),
        pytest.param(lambda b: replace(b, image_index=np.arange(5) % 2), id="in-turn"),
        pytest.param(lambda b: replace(b, pixel_values=b.pixel_values[::-1].copy()), id="pixels-swapped"),
        pytest.param(lambda b: replace(b, reference=b.reference[::-1].copy()), id="references-swapped"),
    ],
)
def test_check_parity_fails_when_the_graph_takes_another_image(
    mixed_export: ExportResult, deafen: Callable[[Block], Block]
) -> None:
    with pytest.raises(ParityError):
        check_parity(_measure(mixed_export, around=lambda backend: _Deaf(backend, deafen)))


def test_measure_parity_divides_a_sum_by_its_own_images_draws_when_images_are_mixed(
    mixed_export: ExportResult,
) -> None:
    def wrong(block: BlockResult) -> BlockResult:
        sums = block.feature_sum.copy()
        sums[0] += np.float32(0.01)
        return replace(block, feature_sum=sums)

    first = np.bincount(_blocks(mixed_export)[0].image_index)[0]
    difference = _measure(mixed_export, wrong).largest_difference["feature_sum"]
    assert difference == pytest.approx(0.01 / first, rel=1e-3)


def _blocks(result: ExportResult) -> list[Block]:
    blocks: list[Block] = []
    _measure(result, watch=blocks.append)
    return blocks


LAST = 11 + 22
"""Blocks of three draws: the pilot's, which the reference comes from and the module alone ran before, and the
certifying ones."""


def test_check_parity_fails_when_one_late_draw_is_wrong(pooled_export: ExportResult) -> None:
    calls = []

    def last_only(block: BlockResult) -> BlockResult:
        calls.append(1)
        if len(calls) != LAST:
            return block
        assert block.features is not None
        features = block.features.copy()
        features[2] = -features[2]
        return replace(block, features=features)

    with pytest.raises(ParityError, match="a draw's feature has cosine -"):
        check_parity(_measure(pooled_export, last_only))
    assert len(calls) == LAST


_FIGURES = {
    "smallest_cosine": (0.99999, 0.9999899),
    "mean_cosine": (0.99999, 0.9999899),
    "angle_graph": (1.001 - 1e-9, 1.0011),
}


@pytest.mark.parametrize("name", sorted(_FIGURES))
def test_check_parity_draws_the_line_where_stated_when_close(pooled_export: ExportResult, name: str) -> None:
    allowed = msgspec.structs.replace(pooled_export.manifest.parity[0], angle_original=1.0, angle_graph=1.0)
    good, bad = _FIGURES[name]
    check_parity(msgspec.structs.replace(allowed, **{name: good}))
    for value in (bad, math.nan):
        with pytest.raises(ParityError):
            check_parity(msgspec.structs.replace(allowed, **{name: value}))


def test_check_parity_draws_the_line_where_stated_when_outputs_differ(pooled_export: ExportResult) -> None:
    parity = pooled_export.manifest.parity[0]
    for name, allowed in THRESHOLDS["fp32"].largest_difference.items():
        assert parity.largest_difference_allowed[name] == allowed
        for value, passes in ((allowed, True), (1.01 * allowed, False), (math.nan, False)):
            figures = msgspec.structs.replace(parity, largest_difference={**parity.largest_difference, name: value})
            if passes:
                check_parity(figures)
            else:
                with pytest.raises(ParityError, match=name):
                    check_parity(figures)


def test_measure_parity_compares_no_certificates_when_draws_certify_nothing(pooled_export: ExportResult) -> None:
    bundle = read_bundle(pooled_export.path)
    module = smoothed_graph(tiny_torch.tiny_adapter("pooled"), no_booster(), images=1)
    graph = bundle.graph("smoothed")
    with find_backend("onnxruntime")(bundle, graph, device="cpu", threads=1) as backend:
        parity = measure_parity(module, backend, bundle.manifest, graph, threads=1, draws=6)
    check_parity(parity)
    assert (parity.pilot, parity.draws) == (3, 6)
    assert parity.angle_original is None
    assert parity.angle_graph is None
    assert parity.not_checked == ("the change of the certificate: 6 draws certify nothing",)
    assert msgspec.json.decode(msgspec.json.encode(parity), type=Parity) == parity
    with pytest.raises(ParityError, match="a draw's feature"):
        check_parity(msgspec.structs.replace(parity, smallest_cosine=0.5))


def test_parity_survives_json_when_in_the_manifest(pooled_export: ExportResult) -> None:
    written = msgspec.json.decode((pooled_export.path / "manifest.json").read_bytes(), type=Manifest)
    assert written.parity == pooled_export.manifest.parity
    assert torch.__version__ == written.tools["torch"]
    assert Path(written.parity[0].graph).name == "model.onnx"
