"""Fits of a few steps on a tiny encoder: that they go on, stop and resume as they should."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from helpers import tiny_blocks, tiny_gsb, tiny_photos, tiny_torch
from PIL import Image
from safetensors.torch import load_file

from fs_models.gsb import read_checkpoint
from fs_models.gsb.checkpoint import GsbCheckpoint
from fs_models.gsb.fitting import FitProgress, FitRequest, fit, fit_booster, mapper_stage, purifier_stage
from fs_models.gsb.fitting.judge import Judge
from fs_models.gsb.fitting.state import STATE
from fs_runtime.errors import FsError, InputError

RUN = """
import sys, torch
from pathlib import Path
from helpers import tiny_gsb, tiny_torch
from fs_models.gsb.fitting import FitRequest, fit_booster
torch.set_num_threads(1)
data, output, resume = sys.argv[1:]
request = FitRequest(Path(data), (0.25,), Path(output), steps=24, resume=resume == "yes")
with tiny_gsb.small_fits():
    fit_booster(tiny_torch.tiny_adapter(), request, threads=1)
"""

LOOK = re.compile(
    r"(?P<stage>purifier|mapper), step (?P<step>\d+), \d+\.\d min: loss \d+\.\d{3}, "
    r"held-out robustness score 0\.\d{4} at sigma 0\.1, 0\.\d{4} at sigma 0\.25; "
    r"mean cosine between photos -?[01]\.\d{3}; \d+ images/s, \d+\.\d min left of it"
)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with tiny_gsb.small_fits():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_photos.save(tmp_path_factory.mktemp("photos") / "data", 20)


def _fit(request: FitRequest, tap: str = "pooled", **watch: Any) -> Any:
    return fit_booster(tiny_torch.tiny_adapter(tap), request, threads=1, **watch)


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_fit_writes_a_booster_and_its_curve_when_done(photos: Path, tmp_path: Path, tap: str) -> None:
    seen: list[FitProgress] = []
    said: list[str] = []
    output = tmp_path / "gsb"
    request = FitRequest(photos, (0.1, 0.25), output, steps=6)
    result = _fit(request, tap, on_progress=seen.append, on_stage=said.append)
    assert sorted(path.name for path in output.iterdir()) == [
        "config.json",
        "curve.json",
        "curve.png",
        "gsb.safetensors",
    ]
    training = result.config.training
    assert training is not None
    assert (training.photos, training.held_out, training.purifier_steps) == (16, 4, 6)
    assert [score.sigma for score in training.scores] == [0.1, 0.25]
    assert all(0.0 <= score.with_gsb <= 1.0 for score in training.scores)
    curve = json.loads((output / "curve.json").read_text())
    assert {point["stage"] for point in curve["points"]} == {"purifier", "mapper"}
    looks = [(match["stage"], int(match["step"])) for line in said if (match := LOOK.fullmatch(line))]
    assert looks == [(point["stage"], point["step"]) for point in curve["points"]]
    assert set(curve["bare"]) == {"0.1", "0.25"}
    with Image.open(output / "curve.png") as picture:
        assert (
            len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or ()) > 4
        )  # ground, ink, and a colour for each sigma
    assert {each.stage for each in seen} == {"purifier", "features", "mapper"}
    assert read_checkpoint(output).sha256 == result.sha256


def test_fit_leaves_the_encoder_as_it_was_when_done(photos: Path, tmp_path: Path) -> None:
    encoder = tiny_torch.tiny_adapter()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    fit_booster(encoder, FitRequest(photos, (0.25,), tmp_path / "gsb", steps=2), threads=1)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_fit_raises_the_held_out_score_when_it_has_time(photos: Path, tmp_path: Path) -> None:
    result = _fit(FitRequest(photos, (0.25,), tmp_path / "gsb", steps=120))
    assert result.config.training is not None
    (score,) = result.config.training.scores
    assert score.with_gsb > score.without + 0.01


def test_fit_gives_the_same_booster_when_it_was_killed_and_resumed(photos: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "whole", tmp_path / "killed"]
    paths = os.pathsep.join([str(Path(__file__).parents[4]), *sys.path])

    def start(output: Path, resume: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", RUN, str(photos), str(output), resume]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})

    assert start(folders[0], "no").wait(120) == 0
    killed, deadline = start(folders[1], "no"), time.monotonic() + 120.0
    while not (folders[1] / STATE).exists() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(60) == -signal.SIGKILL
    assert (folders[1] / STATE).exists()
    assert not (folders[1] / "gsb.safetensors").exists()
    assert start(folders[1], "yes").wait(120) == 0
    first, second = (load_file(folder / "gsb.safetensors") for folder in folders)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_fit_looks_at_the_last_mapper_when_the_time_is_over(photos: Path, tmp_path: Path) -> None:
    def slow(progress: FitProgress) -> None:
        if progress.stage == "mapper":  # time passes between a step and the next
            time.sleep(0.05)

    result = _fit(FitRequest(photos, (0.25,), tmp_path / "gsb", minutes=0.04), on_progress=slow)
    assert result.config.training is not None
    points = json.loads((tmp_path / "gsb" / "curve.json").read_text())["points"]
    assert points[-1]["stage"] == "mapper"
    assert points[-1]["step"] == result.config.training.mapper_steps


class _StopError(Exception):
    pass


@pytest.mark.parametrize("stage", ["purifier", "mapper"])
def test_fit_gives_the_same_booster_when_either_stage_was_interrupted(photos: Path, tmp_path: Path, stage: str) -> None:
    whole = _fit(FitRequest(photos, (0.25,), tmp_path / "whole", steps=14))
    interrupted = FitRequest(photos, (0.25,), tmp_path / "parts", steps=14)

    def stop(now: FitProgress) -> None:
        if (now.stage, now.step) == (stage, 9):
            raise _StopError

    with pytest.raises(_StopError):
        _fit(interrupted, on_progress=stop)
    for changed, words in ((replace(interrupted, steps=15), "--steps"), (replace(interrupted, seed=1), "--seed")):
        with pytest.raises(InputError, match=words):
            _fit(replace(changed, resume=True))
    with pytest.raises(InputError, match="--resume"):
        _fit(interrupted)
    resumed = _fit(replace(interrupted, resume=True))
    first, second = (load_file(each.path / "gsb.safetensors") for each in (whole, resumed))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_fit_skips_and_lists_files_when_they_cannot_be_read(photos: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(photos, tmp_path / "data"))
    (data / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (300, 9), (9, 99, 200)).save(data / "wide.png")
    Image.new("L", (5, 64), 40).save(data / "tall.png")
    said: list[str] = []
    result = _fit(FitRequest(data, (0.25,), tmp_path / "gsb", steps=2), on_stage=said.append)
    assert result.skipped == ("broken.jpg",)
    assert result.config.training is not None
    assert (result.config.training.skipped, result.config.training.photos) == (1, 18)
    assert "1 skipped (broken.jpg)" in said[0]


def test_fit_takes_a_photo_once_when_its_pixels_repeat(photos: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(photos, tmp_path / "data"))
    (data / "more").mkdir()
    for number in range(4):
        with Image.open(data / f"{number:03}.png") as picture:
            picture.save(data / "more" / f"{number}.bmp")
    said: list[str] = []
    result = _fit(FitRequest(data, (0.25,), tmp_path / "gsb", steps=1), on_stage=said.append)
    assert result.repeated == ("more/0.bmp", "more/1.bmp", "more/2.bmp", "more/3.bmp")
    assert result.config.training is not None
    assert (result.config.training.skipped, result.config.training.photos, result.skipped) == (4, 16, ())
    assert "4 skipped as repeated (more/0.bmp, more/1.bmp, more/2.bmp, ...)" in said[0]
    for number in range(10):
        (data / f"{number:03}.png").unlink()
    with pytest.raises(InputError, match="holds 14 photos; a fit needs"):
        _fit(FitRequest(data, (0.25,), tmp_path / "again", steps=1))
    (data / "more" / "copy.png").write_bytes((data / "010.png").read_bytes())
    with pytest.raises(
        InputError, match=r"holds 14 photos, 1 repeat the pixels of others \(more/copy\.png\); a fit needs"
    ):
        _fit(FitRequest(data, (0.25,), tmp_path / "again", steps=1))


def test_fit_gives_the_mapper_no_more_steps_than_its_own_limit_when_the_purifier_has_more(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "MOST_MAPPER_STEPS", 2)
    training = _fit(FitRequest(photos, (0.25,), tmp_path / "gsb", steps=3)).config.training
    assert training is not None
    assert (training.purifier_steps, training.mapper_steps) == (3, 2)


def test_fit_refuses_when_there_are_too_few_photos(tmp_path: Path) -> None:
    data = tiny_photos.save(tmp_path / "data", 15)
    (data / "broken.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds 15 photos, 1 could not be read \(broken\.png\).*at least 16"):
        _fit(FitRequest(data, (0.25,), tmp_path / "gsb", steps=2))
    assert not (tmp_path / "gsb").exists()
    with pytest.raises(InputError, match="not a folder"):
        _fit(FitRequest(tmp_path / "nowhere", (0.25,), tmp_path / "gsb", steps=2))


@pytest.mark.parametrize("stage", ["purifier", "mapper"])
def test_fit_keeps_the_last_good_booster_when_the_loss_is_no_number(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    calls = 0
    module, name = (purifier_stage, "pixel_loss") if stage == "purifier" else (mapper_stage, "robust_loss")
    real = getattr(module, name)

    def spoilt(*arguments: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss: torch.Tensor = real(*arguments)
        return loss * float("nan") if calls > 9 else loss

    monkeypatch.setattr(module, name, spoilt)
    output = tmp_path / "gsb"
    with pytest.raises(FsError, match=f"the loss is nan at step 9 of the {stage}: .*holds what was good until then"):
        _fit(FitRequest(photos, (0.25,), output, steps=14))
    config = read_checkpoint(output).config
    assert config.training is not None
    assert config.training.stopped_early == f"the loss is nan at step 9 of the {stage}"
    assert not (output / STATE).exists()


def test_fit_writes_nothing_when_the_loss_never_was_a_number(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purifier_stage, "pixel_loss", lambda purified, *_: purified.sum() * float("nan"))
    with pytest.raises(FsError, match="nothing was written"):
        _fit(FitRequest(photos, (0.25,), tmp_path / "gsb", steps=14))
    assert list((tmp_path / "gsb").iterdir()) == []


def test_fit_keeps_an_interrupted_one_when_it_is_refused_in_spite_of_overwrite(photos: Path, tmp_path: Path) -> None:
    request = FitRequest(photos, (0.25,), tmp_path / "gsb", steps=2)

    def stop(now: FitProgress) -> None:
        if now.stage == "mapper":
            raise _StopError

    with pytest.raises(_StopError):
        _fit(request, on_progress=stop)
    state = (request.output / STATE).read_bytes()
    few = tiny_photos.save(tmp_path / "few", 3)
    for changes in ({"data": few}, {"diffusion": tmp_path / "nowhere"}):
        with pytest.raises(InputError):
            _fit(replace(request, overwrite=True, **changes))  # type: ignore[arg-type]
        assert (request.output / STATE).read_bytes() == state
    _fit(replace(request, overwrite=True))
    assert not (request.output / STATE).exists()


def test_fit_names_both_sides_when_it_is_resumed_for_another_input_size_or_device(photos: Path, tmp_path: Path) -> None:
    request = FitRequest(photos, (0.25,), tmp_path / "gsb", steps=2)

    def stop(now: FitProgress) -> None:
        if now.stage == "mapper":
            raise _StopError

    encoder = tiny_blocks.flexible()
    with pytest.raises(_StopError):
        fit_booster(encoder, request, threads=1, on_progress=stop)
    other = tiny_blocks.flexible()
    other.spec = replace(other.spec, height=24)
    again = replace(request, resume=True)
    with pytest.raises(InputError, match="of a fit with input size 32 x 32, not 24 x 32"):
        fit_booster(other, again, threads=1)
    state, tensors = fit.read_state(request.output, {})
    fit.write_state(
        request.output, msgspec.structs.replace(state, request=state.request | {"--device": "cuda"}), tensors
    )
    with pytest.raises(InputError, match="of a fit with --device cuda, not cpu"):
        fit_booster(encoder, again, threads=1)
    fit.write_state(request.output, state, tensors)
    said: list[str] = []
    fit_booster(encoder, again, threads=2, on_stage=said.append)
    assert any(line.startswith("with 2 threads, not 1 as before") and "rounding" in line for line in said)


def test_fit_tunes_the_network_when_it_is_given_a_diffusion_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fit._RATES, "diffusion", 5e-3)
    pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'fs-export[diffusion]'")
    network = tiny_gsb.save_diffusion(tmp_path / "unet")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    request = FitRequest(photos, (0.25,), tmp_path / "gsb", steps=12, diffusion=tmp_path / "unet")

    def stop(now: FitProgress) -> None:
        if now.stage == "mapper":
            raise _StopError

    with pytest.raises(_StopError):
        _fit(request, on_progress=stop)
    again = replace(request, resume=True)
    tiny_gsb.save_diffusion(tmp_path / "other", seed=1)
    with pytest.raises(
        InputError, match=r"a fit with --diffusion of a network with hash \w{12}, not of a network with "
    ):
        _fit(replace(again, diffusion=tmp_path / "other"))
    (tmp_path / "unet").rename(tmp_path / "moved")  # the same weights, wherever they lie
    result = _fit(replace(again, diffusion=tmp_path / "moved"))
    assert result.config.kind == "diffusion + pooled"
    read = read_checkpoint(result.path).purifier
    assert read is not None
    after = {name.removeprefix("network."): value for name, value in read.state_dict().items()}
    assert after.keys() == before.keys()
    change = max(float((value - before[name]).abs().max()) for name, value in after.items())
    assert change > 1e-3  # by fp16 alone it is less


@pytest.mark.parametrize("trouble", ["a weight beyond fp16", "an unreadable booster"])
def test_fit_keeps_the_state_when_the_booster_cannot_be_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    request = FitRequest(photos, (0.25,), tmp_path / "gsb", steps=2)
    real = fit.averaged

    def far(module: torch.nn.Module, average: dict[str, torch.Tensor]) -> torch.nn.Module:
        made = real(module, average)
        for name, parameter in made.named_parameters():
            if name == "gain":  # the mapper's
                parameter.fill_(1e6)
        return made

    def unreadable(folder: Path) -> Any:
        raise InputError("it cannot be read")

    with monkeypatch.context() as patch:
        if trouble == "a weight beyond fp16":
            patch.setattr(fit, "averaged", far)
        else:
            patch.setattr(fit, "read_checkpoint", unreadable)
        with pytest.raises(FsError, match=r"cannot be read|mapper\.gain reaches 1e\+06.*fp16 ends at 65504"):
            _fit(request)
    assert (request.output / STATE).exists()
    assert (request.output / "gsb.safetensors").exists() == (trouble == "an unreadable booster")
    if trouble == "an unreadable booster":
        assert _fit(replace(request, resume=True)).config.training is not None
        assert not (request.output / STATE).exists()


def test_fit_judges_what_was_read_when_the_booster_was_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Any] = []
    reads: list[GsbCheckpoint] = []
    look = Judge.look

    def spied(self: Judge, *parts: Any, **options: Any) -> Any:
        judged.append(parts)
        return look(self, *parts, **options)

    def read(folder: Path) -> GsbCheckpoint:
        reads.append(read_checkpoint(folder))
        return reads[-1]

    monkeypatch.setattr(Judge, "look", spied)
    monkeypatch.setattr(fit, "read_checkpoint", read)
    result = _fit(FitRequest(photos, (0.25,), tmp_path / "gsb", steps=2))
    assert judged[-1] == (reads[0].purifier, reads[0].mapper)
    assert None not in judged[-1]
    assert reads[-1].sha256 == result.sha256


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sigmas": ()}, "--sigma"),
        ({"sigmas": (0.1, -1.0)}, "--sigma must lie"),
        ({"sigmas": (0.1, 0.1)}, "twice"),
        ({"sigmas": tuple(0.05 * each for each in range(1, 18))}, "--sigma may name 16 numbers, not 17"),
        ({"steps": 0}, "--steps"),
        ({"minutes": 0.0}, "--minutes"),
        ({"resume": True}, "no interrupted fit"),
        ({"resume": True, "overwrite": True}, "exclude"),
    ],
)
def test_fit_refuses_when_the_request_makes_no_sense(
    photos: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        _fit(replace(FitRequest(photos, (0.25,), tmp_path / "gsb", steps=2), **changes))


def test_fit_replaces_only_a_booster_when_told_to_overwrite(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "gsb"
    request = FitRequest(photos, (0.25,), output, steps=1)
    first = _fit(request)
    with pytest.raises(InputError, match="--overwrite"):
        _fit(request)
    assert _fit(replace(request, seed=5, overwrite=True)).sha256 != first.sha256
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no booster"):
        _fit(replace(request, output=other, overwrite=True))


def test_fit_stops_in_time_when_minutes_are_given(photos: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    result = _fit(FitRequest(photos, (0.25,), tmp_path / "gsb", minutes=0.03))
    assert time.monotonic() - begun < 30.0
    assert result.config.training is not None
    assert result.config.training.purifier_steps > 0
