"""What the purifier is fitted on, with encoders that have inner maps and with such as take one size."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import tiny_blocks, tiny_gsb, tiny_photos, tiny_torch

from fs_models.encoders import EncoderAdapter
from fs_models.gsb.fitting import FitProgress, FitRequest, fit, fit_booster, purifier_stage
from fs_models.gsb.fitting.crops import CropMaker
from fs_models.gsb.fitting.inner import watched
from fs_models.gsb.fitting.photos import Photos
from fs_models.gsb.fitting.purifier_stage import PurifierStage, takes_crops
from fs_models.gsb.unet import UNetPurifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_photos.save(tmp_path_factory.mktemp("photos") / "data", 16)


class _Clock:
    """Moves on between a step and the next alone."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def tick(self, _: FitProgress) -> None:
        self.now += 0.5


def test_fit_goes_on_to_features_when_the_clock_moves_on_while_a_batch_of_pixels_is_made(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Clock()
    monkeypatch.setattr(purifier_stage, "_PIXELS_ONLY", 0.05)
    monkeypatch.setattr(fit, "time", clock)
    request = FitRequest(photos, (0.25,), tmp_path / "gsb", minutes=0.1)
    with tiny_gsb.small_fits():
        result = fit_booster(tiny_blocks.fixed(), request, threads=1, on_progress=clock.tick)
    assert result.config.training is not None
    assert result.config.training.purifier_steps in (10, 11)  # 0.82 of 6 s, in steps of 0.5 s


@pytest.mark.parametrize(
    ("make", "takes"),
    [(tiny_blocks.flexible, True), (tiny_blocks.fixed, False), (tiny_torch.tiny_adapter, False)],
)
def test_takes_crops_is_true_when_a_smaller_input_gives_the_same_feature(
    make: Callable[[], EncoderAdapter], takes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purifier_stage, "_STEP", 2)
    assert takes_crops(make(), CPU) is takes


@pytest.mark.parametrize("make", [tiny_blocks.flexible, tiny_blocks.fixed])
def test_batch_has_sides_that_the_encoder_takes_when_features_are_compared(
    make: Callable[[], EncoderAdapter], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purifier_stage, "_PIXELS_ONLY", 0.05)
    monkeypatch.setattr(purifier_stage, "_SIDES", ((0.6, 0.71), (1.0, 1.0)))
    encoder = make()
    with tiny_gsb.small_fits(), watched(encoder) as inner:
        maker = CropMaker(Photos.read(photos, encoder.spec, seed=0), 32, 32, (0.25,), 0, "purifier")
        stage = PurifierStage(encoder, inner, maker, 4, takes_crops(encoder, CPU))
        sides = [stage.batch(0, progress).crops.shape[2:] for progress in (0.0, 0.59, 1.0)]
        feature_side = 24 if make is tiny_blocks.flexible else 32  # 0.71 of 32, in steps of 8
        assert sides == [(8, 8), (feature_side, feature_side), (32, 32)]
        assert [stage.batch(0, progress).progress for progress in (0.0, 0.59)] == [0.0, 0.59]


def test_loss_heeds_inner_maps_when_the_encoder_has_blocks(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_blocks.flexible()
    with tiny_gsb.small_fits(), watched(encoder) as inner:
        maker = CropMaker(Photos.read(photos, encoder.spec, seed=0), 32, 32, (0.25,), 0, "purifier")
        stage = PurifierStage(encoder, inner, maker, 4, True)
        (part,) = stage.batch(0, 1.0).parts(1, CPU)
        purifier = UNetPurifier(tiny_gsb.SIZES)
        losses = []
        for weight in (0.0, 0.5):
            monkeypatch.setattr(purifier_stage, "_INNER", weight)
            losses.append(float(stage.loss(purifier, part, 1.0).detach()))
    assert losses[1] > losses[0] + 1e-3
