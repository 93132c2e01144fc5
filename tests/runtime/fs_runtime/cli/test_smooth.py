"""``fs-runtime smooth``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny
from helpers.command import invoke
from PIL import Image

import fs_runtime
from fs_runtime.cli.main import cli
from fs_runtime.errors import BackendError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.write_bundle(tmp_path / "bundle")
    tiny.write_bundle(tmp_path / "nan", tiny.not_a_number())
    for seed, name in enumerate(("a.png", "b.png")):
        Image.fromarray(tiny.image_array(seed=seed)).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no image")
    return tmp_path


def _expected(folder: Path, name: str) -> fs_runtime.SmoothedFeature:
    with fs_runtime.load(folder / "bundle") as encoder:
        return encoder.smooth(folder / name, draws=10, seed=5)


SEEDED = ("--draws", "10", "--seed", "5")


def test_smooth_prints_json_lines_when_asked(folder: Path) -> None:
    outcome = invoke(cli, "smooth", folder / "bundle", folder / "a.png", folder / "b.png", *SEEDED, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    for line, name in zip(outcome.out.splitlines(), ("a.png", "b.png"), strict=True):
        content, feature = json.loads(line), _expected(folder, name)
        assert content["schema"] == "fs-runtime/smoothed-feature/1"
        assert content["image"] == str(folder / name)
        assert content["vector"] == feature.vector.tolist()
        assert (content["draws"], content["seed"]) == (12, f"{5:032x}")
        assert content["resultant_length"] == feature.resultant_length
        assert content["mean_raw_norm"] == feature.mean_raw_norm


def test_smooth_prints_a_table_when_json_is_not_asked_for(folder: Path) -> None:
    outcome = invoke(cli, "smooth", folder / "bundle", folder / "a.png", *SEEDED)
    assert outcome.code == 0
    assert "a.png" in outcome.out
    assert f"{_expected(folder, 'a.png').resultant_length:.4f}" in outcome.out


def test_smooth_writes_a_row_for_each_image_when_given_a_file(folder: Path) -> None:
    names = ("b.png", "a.png", "b.png")
    images = [folder / name for name in names]
    outcome = invoke(cli, "smooth", folder / "bundle", *images, *SEEDED, "-o", folder / "out.npy")
    assert outcome.code == 0
    rows = np.load(folder / "out.npy", allow_pickle=False)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [_expected(folder, name).vector.astype(np.float32) for name in names])


@pytest.mark.parametrize("name", ["out.txt", "out", "out.npz", "npy"])
def test_smooth_refuses_when_the_file_is_no_npy(folder: Path, name: str) -> None:
    outcome = invoke(cli, "smooth", folder / "bundle", folder / "a.png", "-o", folder / name)
    assert outcome.code == 2
    assert "must end in .npy" in outcome.err
    assert not (folder / name).exists()


def test_smooth_says_so_when_the_file_cannot_be_written(folder: Path) -> None:
    outcome = invoke(cli, "smooth", folder / "bundle", folder / "a.png", "-o", folder / "nowhere" / "out.npy")
    assert outcome.code == 1
    assert outcome.err.startswith("error: cannot write")


def test_smooth_goes_on_when_an_image_is_bad(folder: Path) -> None:
    arguments = (folder / "bad.png", folder / "a.png", *SEEDED, "--json", "-o", folder / "out.npy")
    outcome = invoke(cli, "smooth", folder / "bundle", *arguments)
    assert outcome.code == 2
    schemas = [json.loads(line)["schema"] for line in outcome.out.splitlines()]
    assert schemas == ["fs-runtime/error/1", "fs-runtime/smoothed-feature/1"]
    assert "bad.png" in outcome.err
    assert not (folder / "out.npy").exists(), "rows without one image would be taken for the others"


def test_smooth_goes_on_when_features_are_nan(folder: Path) -> None:
    outcome = invoke(cli, "smooth", folder / "nan", folder / "a.png", folder / "b.png", "--json")
    assert outcome.code == 2
    errors = [json.loads(line) for line in outcome.out.splitlines()]
    assert [error["image"] for error in errors] == [str(folder / "a.png"), str(folder / "b.png")]
    assert all("norm nan" in error["error"] for error in errors)


def test_smooth_shows_what_is_done_when_the_device_is_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = fs_runtime.SmoothedEncoder.smooth

    def lost(self: fs_runtime.SmoothedEncoder, image: Path, **options: Any) -> fs_runtime.SmoothedFeature:
        if image.name == "b.png":
            raise BackendError("cuda:0 was lost in mid-run")
        return smooth(self, image, **options)

    monkeypatch.setattr(fs_runtime.SmoothedEncoder, "smooth", lost)
    images = [folder / name for name in ("a.png", "b.png", "a.png")]
    outcome = invoke(cli, "smooth", folder / "bundle", *images, *SEEDED)
    assert outcome.code == 4
    assert outcome.err == "error: cuda:0 was lost in mid-run\n"
    assert outcome.out.count("a.png") == 1
