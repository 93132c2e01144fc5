"""The photos that int8 is calibrated on: what is refused, what is skipped, and what the encoder is shown."""

from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_photos, tiny_torch
from helpers.command import invoke

from fs_export.main import cli
from fs_exporters.calibration import ENOUGH_IMAGES, LEAST_IMAGES, CalibrationImages, NoisyBatches
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_runtime.errors import InputError
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import prepare


def _export(tmp_path: Path, **changes: object) -> ExportResult:
    arguments = {"sigma": 0.1, "noise_batch": 3, "output": tmp_path / "bundle", "precision": "int8", "threads": 1}
    return export_bundle(tiny_torch.MODEL, **{**arguments, **changes})  # type: ignore[arg-type]


def test_export_refuses_int8_when_there_are_no_photos(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"give --calibration DIR with 16 or more photos.*128 are advised") as caught:
        _export(tmp_path)
    assert caught.value.exit_code == 2
    few = tiny_photos.save(tmp_path / "few", LEAST_IMAGES - 1)
    with pytest.raises(InputError, match=rf"few holds 15 photos; int8 needs at least 16, and {ENOUGH_IMAGES}"):
        _export(tmp_path, calibration=few)
    with pytest.raises(InputError, match="is not a folder"):
        _export(tmp_path, calibration=tmp_path / "missing")
    with pytest.raises(InputError, match="--calibration is for --precision int8, not fp16"):
        _export(tmp_path, calibration=few, precision="fp16")
    assert not (tmp_path / "bundle").exists()


def test_export_command_says_what_is_missing_when_int8_has_no_photos(tmp_path: Path) -> None:
    common = ("--sigma", "0.1", "--noise-batch", 3, "--precision", "int8", "-o", tmp_path / "b")
    for extra in ((), ("--dry-run",)):
        outcome = invoke(cli, "export", tiny_torch.MODEL, *common, *extra)
        assert outcome.code == 2
        assert "--calibration DIR" in outcome.err
        assert "Traceback" not in outcome.err


def test_export_skips_and_lists_photos_when_they_cannot_be_read(tmp_path: Path) -> None:
    photos = tiny_photos.save(tmp_path / "photos", LEAST_IMAGES)
    (photos / "010a.png").write_bytes(b"\x89PNG no picture")
    (photos / "notes.txt").write_text("not a photo, by its name")
    said: list[str] = []
    seen: list[tuple[int, int]] = []
    result = _export(
        tmp_path,
        calibration=photos,
        on_stage=lambda stage: said.append(stage.detail),
        on_progress=lambda _, done, total: seen.append((done, total)),
    )
    calibration = result.manifest.graphs[0].calibration
    assert calibration is not None
    assert (calibration.images, calibration.skipped, calibration.skipped_names) == (16, 1, ("010a.png",))
    assert any("16 photos with noise, 1 skipped (010a.png)" in detail for detail in said)
    assert seen[-1] == (17, 17)


def test_export_leaves_nothing_when_too_few_photos_can_be_read(tmp_path: Path) -> None:
    photos = tiny_photos.save(tmp_path / "photos", LEAST_IMAGES)
    (photos / "003.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"holds 15 photos, 1 could not be read \(003\.png\); int8 needs at least 16"):
        _export(tmp_path, calibration=photos)
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" not in path.name) == ["photos"]


def test_batches_hold_each_photo_once_with_its_own_noise(tmp_path: Path, pooled_export: ExportResult) -> None:
    manifest = pooled_export.manifest
    photos = tiny_photos.save(tmp_path / "photos", LEAST_IMAGES)
    images = CalibrationImages.find(photos, manifest.preprocess)
    batches = NoisyBatches(images, manifest, threads=1, progress=lambda _, __: None)
    feeds = []
    while (feed := batches.get_next()) is not None:
        feeds.append({name: array.copy() for name, array in feed.items()})
    rows = np.concatenate([feed["noise"] for feed in feeds])
    assert len(rows) == 18, "sixteen photos, and two of the last batch's again"
    shape = (3, 3, manifest.height, manifest.width)
    with NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=1) as source:
        noise = np.concatenate([block.copy() for block in source.blocks(0, Stream.PILOT, 18)])
    for number, path in enumerate(sorted(photos.iterdir())):
        pixels = prepare(path, manifest.preprocess).pixel_values[0]
        np.testing.assert_array_equal(rows[number], pixels + noise[number])
    assert not any(feed["pixel_values"].any() for feed in feeds)
    assert images.record().images == 16
