"""Whole evaluations of tiny encoders: what they measure, that they go on, and what they refuse."""

import json
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_torch
from helpers.known_torch import Blur, Phase, Rounded
from PIL import Image

from fs_exporters.evaluation import Effort, Evaluation, EvaluationPlaces, EvaluationSettings, Watch, evaluate_encoder
from fs_exporters.evaluation import run as module
from fs_exporters.evaluation.at_once import at_once
from fs_exporters.evaluation.attack import NoGradientError
from fs_exporters.evaluation.results import AttackResult, SystemResult
from fs_models.gsb import Booster
from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.errors import InputError

SIGMA, SPEED = 0.1, 4.0
EFFORT = Effort(images=10, draws=64, pilot=32, steps=12, attack_draws=4, measuring=64)
SETTINGS = EvaluationSettings(sigmas=(SIGMA,), effort=EFFORT, alpha=0.01, boxed=False, batch=16)
ANGLES = np.linspace(0.0, 2.0 * math.pi, 9)[:-1]
PROTOTYPES = Prototypes.made_of(
    "compass", np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), tuple(f"point {number}" for number in range(8))
)


def photos(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number + 10).integers(60, 196, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def run(folder: Path, settings: EvaluationSettings = SETTINGS, **arguments: Any) -> Evaluation:
    places = EvaluationPlaces(folder / "out", resume=arguments.pop("resume", False))
    return evaluate_encoder(
        arguments.pop("encoder", None) or Phase(speed=SPEED),
        folder / "photos",
        settings,
        places,
        **{"prototypes": PROTOTYPES, "threads": 1, **arguments},
    )


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("evaluation")
    photos(folder / "photos")
    booster = Booster(Blur(), torch.nn.Identity())
    return run(folder, boosters={SIGMA: booster}, booster_sha256="abc")


def of(results: tuple[SystemResult, ...], system: str) -> SystemResult:
    return next(result for result in results if result.system == system)


def attack(result: SystemResult, norm: str, goal: str, source: str = "white-box") -> AttackResult:
    return next(each for each in result.attacks if (each.norm, each.goal, each.source) == (norm, goal, source))


def test_evaluate_encoder_compares_three_systems_when_there_is_a_booster(evaluation: Evaluation) -> None:
    for image in evaluation.images:
        assert [(result.system, result.sigma) for result in image.systems] == [
            ("encoder", SIGMA),
            ("fs", SIGMA),
            ("fs+gsb", SIGMA),
        ]
        encoder, *smoothed = image.systems
        assert encoder.smoothness is None
        assert len(encoder.attacks) == 2 * 5
        assert all(len(result.attacks) == 1 + 2 * 5 * 2 for result in smoothed)
        assert encoder.label == image.truth


def test_evaluate_encoder_turns_the_feature_by_the_closed_form_when_attacked(evaluation: Evaluation) -> None:
    most = {"l2": SPEED * SIGMA, "linf": 8.0 / 255.0 * float(Phase(speed=SPEED).direction.abs().sum())}
    for image in evaluation.images:
        for norm, angle in most.items():
            bare = attack(of(image.systems, "encoder"), norm, "turn").degrees
            assert 0.9 * math.degrees(angle) < bare <= math.degrees(angle) + 0.01
            found = attack(of(image.systems, "fs"), norm, "turn")
            scatter = math.degrees(SIGMA * SPEED / math.sqrt(EFFORT.measuring))
            assert found.degrees == pytest.approx(bare, abs=4.0 * scatter + 0.1 * math.degrees(angle))


def test_evaluate_encoder_keeps_attacks_within_their_radius_when_made(evaluation: Evaluation) -> None:
    for image in evaluation.images:
        for result in image.systems:
            for each in result.attacks:
                if each.source == "none":
                    assert each.size == 0.0
                    continue
                grid = 2.0**-21 * (math.sqrt(48.0) if each.norm == "l2" else 1.0)
                assert 0.5 * each.radius < each.size <= each.radius + grid


def test_evaluate_encoder_never_breaks_a_certificate_when_attacked(evaluation: Evaluation) -> None:
    checked = 0
    for image in evaluation.images:
        for result in image.systems:
            for each in result.attacks:
                assert not each.broken
                if each.norm == "linf" or result.system == "encoder":
                    assert each.certified is None
                    continue
                checked += each.source != "none"
                assert each.certified is not None
                assert each.certified_smoothed is not None
                assert each.degrees <= each.certified
    assert checked == 3 * 2 * 5 * 2
    assert sum(each.broken for each in evaluation.summary.attacks) == 0


def test_evaluate_encoder_measures_the_image_itself_when_it_measures_attacks(evaluation: Evaluation) -> None:
    for image in evaluation.images:
        for result in image.systems[1:]:
            control = result.attacks[0]
            assert (control.norm, control.goal, control.source) == ("none", "none", "none")
            assert result.smoothness is not None
            assert control.cosine == pytest.approx(result.smoothness.cosine, abs=0.05)
            assert control.degrees < attack(result, "l2", "turn").degrees
    rows = [each for each in evaluation.summary.attacks if each.norm == "none"]
    assert [(row.system, row.goal) for row in rows] == [("fs", "none"), ("fs+gsb", "none")]


def test_evaluate_encoder_attacks_through_the_booster_when_it_blurs(evaluation: Evaluation) -> None:
    """The blurred phase has a direction of its own: an attack along it turns further than the bare encoder's."""
    blurred = torch.zeros(1, 3, 4, 4, requires_grad=True)
    (Blur()(blurred).flatten() @ Phase(speed=SPEED).get_buffer("weights")).backward()
    assert blurred.grad is not None
    most = math.degrees(SIGMA * float(blurred.grad.norm()))
    scatter = math.degrees(SIGMA * float(blurred.grad.norm()) / math.sqrt(EFFORT.measuring))
    for image in evaluation.images:
        own, transferred = (
            attack(of(image.systems, "fs+gsb"), "l2", "turn", source).degrees_smoothed
            for source in ("white-box", "transfer")
        )
        assert own == pytest.approx(most, abs=4.0 * scatter + 0.1 * most)
        assert transferred is not None
        assert transferred < own


def test_evaluate_encoder_measures_the_bare_encoders_attacks_on_the_others_when_transferring(
    evaluation: Evaluation,
) -> None:
    """The very same pixels: their distance says so."""
    for image in evaluation.images:
        bare = {(each.norm, each.goal): each.size for each in of(image.systems, "encoder").attacks}
        for system in ("fs", "fs+gsb"):
            transferred = [each for each in of(image.systems, system).attacks if each.source == "transfer"]
            assert {(each.norm, each.goal): each.size for each in transferred} == bare


def test_evaluate_encoder_writes_what_it_returns_when_done(evaluation: Evaluation) -> None:
    document = json.loads(evaluation.json.read_bytes())
    assert document["schema"] == "fs-export/evaluation/1"
    assert document["settings"]["gsb_sha256"] == "abc"
    assert document["settings"]["weak_attacks"]
    assert [image["name"] for image in document["images"]] == ["0.png", "1.png", "2.png"]
    assert [system["system"] for system in document["systems"]] == ["encoder", "fs", "fs+gsb"]
    text = evaluation.markdown.read_text()
    assert "These attacks are weak" in text
    for title in ("## Without attack", "## Under attack", "## Attacked and certified angles"):
        assert title in text
    assert "FS + GSB" in text


def test_evaluate_encoder_goes_on_with_the_same_numbers_when_resumed(evaluation: Evaluation, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    booster = Booster(Blur(), torch.nn.Identity())
    arguments: dict[str, Any] = {"boosters": {SIGMA: booster}, "booster_sha256": "abc"}

    class StopError(Exception):
        pass

    def stop(_: object, done: int, __: int) -> None:
        if done == 2:
            raise StopError

    with pytest.raises(StopError):
        run(tmp_path, watch=Watch(on_image=stop), **arguments)
    lines = tmp_path / "out" / "results.jsonl"
    assert not (tmp_path / "out" / "evaluation.json").exists()
    assert lines.read_bytes().count(b"\n") == 3
    with lines.open("ab") as file:
        file.write(b'{"name":"torn')
    seen = []
    resumed = run(tmp_path, resume=True, watch=Watch(on_image=lambda image, *_: seen.append(image.name)), **arguments)
    assert seen == ["2.png"]
    for before, after in zip(evaluation.images, resumed.images, strict=True):
        assert replace(before, seconds=0.0) == replace(after, seconds=0.0)
    assert resumed.summary == evaluation.summary


def test_evaluate_encoder_gives_the_same_numbers_when_images_are_worked_on_at_once(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    photos(tmp_path / "photos")
    seen: list[int] = []
    works: list[tuple[int, int]] = []
    telling = False

    def on_work(_: str, done: int, total: int) -> None:
        assert not telling
        works.append((done, total))

    def on_image(_: object, done: int, __: int) -> None:
        nonlocal telling
        telling = True
        seen.append(done)
        time.sleep(0.05)  # others would call meanwhile
        telling = False

    booster = Booster(Blur(), torch.nn.Identity())
    watch = Watch(on_work, on_image)
    found = run(tmp_path, threads=3, watch=watch, boosters={SIGMA: booster}, booster_sha256="abc")
    assert seen == [1, 2, 3]
    assert works == sorted(works)
    assert works[-1][0] == works[-1][1]
    for one, other in zip(evaluation.images, found.images, strict=True):
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)
    assert found.summary == evaluation.summary


@pytest.mark.parametrize(("small", "threads", "inside"), [(True, 3, 1), (True, 20, 1), (False, 3, 3)])
def test_evaluate_encoder_gives_each_image_as_many_threads_when_few_or_many_remain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: bool, threads: int, inside: int
) -> None:
    if not small:
        monkeypatch.setattr(module, "_MOST_PARAMETERS_AT_ONCE", -1)
    photos(tmp_path / "photos", 2)
    settings = replace(SETTINGS, goals=("turn",), norms=("l2",))
    before = torch.get_num_threads()
    seen: set[int] = set()
    watch = Watch(on_work=lambda *_: seen.add(torch.get_num_threads()))
    first = run(tmp_path, settings, threads=threads, watch=watch)
    (tmp_path / "out" / "features" / f"{first.images[1].sha256[:32]}.safetensors").unlink()
    run(tmp_path, settings, threads=threads, watch=watch, resume=True)
    assert seen == {inside}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("threads", "most"), [(3, 3), (20, 8)])
def test_evaluate_encoder_works_on_eight_images_at_most_when_there_are_more_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int, most: int
) -> None:
    photos(tmp_path / "photos", 2)
    asked: list[int] = []
    monkeypatch.setattr(module, "at_once", lambda *given: asked.append(given[2]) or at_once(*given))
    run(tmp_path, replace(SETTINGS, goals=("turn",), norms=("l2",)), threads=threads)
    assert asked == [most]


def test_evaluate_encoder_leaves_torchs_threads_as_they_were_when_it_fails(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    before = torch.get_num_threads()

    def fail(*_: object) -> None:
        torch.set_num_threads(before + 1)
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        run(tmp_path, watch=Watch(on_work=fail))
    assert torch.get_num_threads() == before


def test_evaluate_encoder_refuses_to_go_on_when_batch_norms_are_folded_no_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    photos(tmp_path / "photos", 2)
    settings = replace(SETTINGS, goals=("turn",), norms=("l2",))
    arguments: dict[str, Any] = {"encoder": tiny_torch.tiny_adapter(), "prototypes": None}
    found = run(tmp_path, settings, **arguments)
    assert json.loads(found.json.read_bytes())["settings"]["batch_norms"] == "folded"
    monkeypatch.setattr("fs_models.encoders.frozen._TOLERANCE", -1.0)
    with pytest.raises(InputError, match="with batch_norms folded, but this run has as they are"):
        run(tmp_path, settings, resume=True, **arguments)


def test_evaluate_encoder_does_an_image_again_when_its_features_are_gone(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    settings = replace(SETTINGS, goals=("turn",), norms=("l2",))
    first = run(tmp_path, settings)
    (tmp_path / "out" / "features" / f"{first.images[1].sha256[:32]}.safetensors").unlink()
    seen = []
    again = run(tmp_path, settings, resume=True, watch=Watch(on_image=lambda image, *_: seen.append(image.name)))
    assert seen == ["1.png"]
    assert again.summary == first.summary
    assert (tmp_path / "out" / "results.jsonl").read_bytes().count(b"\n") == 3


def test_evaluate_encoder_counts_its_work_right_when_watched(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    seen: list[tuple[int, int]] = []
    settings = replace(SETTINGS, sigmas=(0.1, 0.2))
    run(tmp_path, settings, watch=Watch(on_work=lambda _, done, total: seen.append((done, total))))
    assert seen[-1][0] == seen[-1][1]
    assert len({total for _, total in seen}) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 2**127}, "seed 0{32}, but this run has 80{31}"),
        ({"sigmas": (0.2,)}, "sigmas"),
        ({"linf": 4.0}, "linf"),
    ],
)
def test_evaluate_encoder_refuses_to_go_on_when_settings_differ(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    photos(tmp_path / "photos", 2)
    settings = replace(SETTINGS, goals=("turn",), norms=("linf",))
    run(tmp_path, settings)
    with pytest.raises(InputError, match=named):
        run(tmp_path, replace(settings, **changes), resume=True)


def test_evaluate_encoder_refuses_when_the_folder_holds_results(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    settings = replace(SETTINGS, goals=("turn",), norms=("l2",))
    run(tmp_path, settings)
    with pytest.raises(InputError, match=r"holds results\.jsonl: go on with it by --resume"):
        run(tmp_path, settings)
    with pytest.raises(InputError, match="give one of them"):
        evaluate_encoder(
            Phase(), tmp_path / "photos", settings, EvaluationPlaces(tmp_path / "out", resume=True, overwrite=True)
        )
    evaluate_encoder(Phase(), tmp_path / "photos", settings, EvaluationPlaces(tmp_path / "out", overwrite=True))


def test_evaluate_encoder_keeps_what_it_did_not_write_when_overwriting(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    features = tmp_path / "out" / "features"
    features.mkdir(parents=True)
    old = features / f"{'0' * 32}.safetensors"
    for path in (features / "mine.txt", old):
        path.write_text("hello")
    settings = replace(SETTINGS, goals=("turn",), norms=("l2",))
    evaluate_encoder(Phase(), tmp_path / "photos", settings, EvaluationPlaces(tmp_path / "out", overwrite=True))
    assert (features / "mine.txt").read_text() == "hello"
    assert not old.exists()


def test_evaluate_encoder_refuses_a_file_of_something_else_when_resumed(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").write_text("hello\n")
    with pytest.raises(InputError, match=r"line 1 is not the settings of an evaluation"):
        run(tmp_path, resume=True)


def test_evaluate_encoder_leaves_labels_out_when_there_are_no_prototypes(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    found = run(tmp_path, prototypes=None)
    for image in found.images:
        assert image.truth is None
        for result in image.systems:
            assert (result.label, result.right) == (None, None)
            assert {each.goal for each in result.attacks} - {"none"} == {"turn", "match", "match-crops"}
    assert "| - |" in found.markdown.read_text()


def test_evaluate_encoder_skips_and_lists_images_when_they_cannot_be_read_or_repeat(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    shutil.copy(tmp_path / "photos" / "0.png", tmp_path / "photos" / "copy.png")
    found = run(tmp_path, replace(SETTINGS, goals=("turn",), norms=("l2",)))
    assert len(found.images) == 2
    assert set(found.facts["skipped"]) == {"broken.png", "copy.png"}
    assert "2 images skipped" in found.markdown.read_text()


def test_evaluate_encoder_refuses_when_too_few_images_can_be_read(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 1)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="--data holds 1 images that can be read"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_evaluate_encoder_refuses_when_all_images_have_one_label(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    with pytest.raises(InputError, match="images of one label alone"):
        run(tmp_path, encoder=Phase(speed=1e-4))


def test_evaluate_encoder_refuses_when_prototypes_are_of_another_dimension(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    with pytest.raises(InputError, match="the prototypes have 3 dimensions, but the features of known have 2"):
        run(tmp_path, prototypes=Prototypes.made_of("other", np.eye(3), ("a", "b", "c")))


def test_evaluate_encoder_refuses_when_a_booster_lets_no_gradient_through(tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    booster = Booster(Rounded(), torch.nn.Identity())
    with pytest.raises(NoGradientError, match=r"FS \+ GSB, l2, turn: no gradient reaches the pixels"):
        run(tmp_path, boosters={SIGMA: booster})
