"""``fs-export evaluate`` on a tiny encoder, a bundle of it, and bad input."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny, tiny_photos, tiny_torch
from helpers.command import Outcome, invoke

from fs_export.main import cli
from fs_models.gsb import GsbConfig, read_checkpoint
from fs_models.gsb.checkpoint import FittedEncoder, make_mapper, make_purifier, write_checkpoint
from fs_models.gsb.mapper import PooledMapperSizes
from fs_models.gsb.unet import UNetSizes
from fs_runtime.bundle.manifest import Source
from fs_runtime.bundle.prototypes import Prototypes, write_prototypes

CORNERS = torch.eye(6)
NAMES = tuple(f"corner {number}" for number in range(6))
SHORT = ("--images", 3, "--draws", 64, "--pilot", 16, "--alpha", 0.05, "--steps", 4, "--attack-draws", 2)
QUICK = (*SHORT, "--measuring", 16, "--threads", 1)


@pytest.fixture(autouse=True)
def _tiny() -> Iterator[None]:
    before = torch.get_num_threads()
    with tiny_torch.registered(), tiny_torch.offering(CORNERS, NAMES):
        yield
    torch.set_num_threads(before)


def bundle_of_tiny(folder: Path, model: str = tiny_torch.MODEL) -> Path:
    """A bundle that states the tiny encoder's facts; nothing here runs its graph."""
    spec = tiny_torch.tiny_adapter().spec
    source = Source(model=model, revision=spec.revision)
    return tiny.write_bundle(folder, source=source, preprocess=spec.preprocess)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_photos.save(tmp_path_factory.mktemp("photos") / "data", 3)


def evaluate(photos: Path, output: Path, *arguments: Any, model: object = tiny_torch.MODEL) -> Outcome:
    return invoke(cli, "evaluate", model, "--data", photos, "-o", output, *QUICK, *arguments)


def test_evaluate_prints_tables_and_writes_files_when_run_and_resumed(photos: Path, tmp_path: Path) -> None:
    asked = ("--sigma", "0.25,0.1", "--goals", "untargeted", "--attacks", "l2")
    outcome = evaluate(photos, tmp_path / "out", *asked)
    assert outcome.code == 0, outcome.err
    for words in ("Without attack", "Under attack", "Attacked and certified angles", "encoder", "FS", "untargeted"):
        assert words in outcome.out
    assert "right: the label that the bare encoder gives without noise" in " ".join(outcome.out.split())
    assert "These attacks are weak" in " ".join(outcome.err.split())
    assert "3 of 3" in outcome.err
    document = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert document["settings"]["sigmas"] == [0.25, 0.1]
    assert (tmp_path / "out" / "evaluation.md").read_text().startswith("# Evaluation\n")
    again = evaluate(photos, tmp_path / "out", *asked, "--resume", "--json")
    assert again.code == 0, again.err
    line = json.loads(again.out)
    assert line["schema"] == "fs-export/evaluate/1"
    assert line["systems"] == document["systems"]
    assert "of 3" not in again.err


def test_evaluate_takes_true_labels_from_folders_when_they_are_named_so(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number, photo in enumerate(sorted(photos.iterdir())):
        (folder / f"corner_{number}").mkdir(parents=True)
        (folder / f"corner_{number}" / photo.name).write_bytes(photo.read_bytes())
    outcome = evaluate(folder, tmp_path / "out", "--sigma", "0.25", "--goals", "untargeted", "--attacks", "l2")
    assert outcome.code == 0, outcome.err
    document = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert [image["truth"] for image in document["images"]] == ["corner 0", "corner 1", "corner 2"]
    assert document["settings"]["truth"] == "folders"


def test_evaluate_takes_the_bundles_sigma_and_prototypes_when_model_is_a_bundle(photos: Path, tmp_path: Path) -> None:
    bundle = bundle_of_tiny(tmp_path / "bundle")
    tiny.add_prototypes(bundle, Prototypes.made_of("others", np.eye(6)[::-1], NAMES))
    outcome = evaluate(photos, tmp_path / "out", "--goals", "turn", "--attacks", "l2", model=bundle)
    assert outcome.code == 0, outcome.err
    settings = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())["settings"]
    assert (settings["model"], settings["sigmas"], settings["prototypes"]) == (tiny_torch.MODEL, [0.25], "others")
    other = evaluate(photos, tmp_path / "other", "--sigma", "0.1", model=bundle)
    assert other.code == 2
    assert "is a bundle for sigma 0.25: leave out --sigma" in other.err
    other = evaluate(photos, tmp_path / "other", "--tap", "pooled", model=bundle)
    assert other.code == 2
    assert "leave out --tap" in other.err


def test_evaluate_finds_the_bundles_encoder_when_it_is_elsewhere_now(photos: Path, tmp_path: Path) -> None:
    bundle = bundle_of_tiny(tmp_path / "bundle", model="elsewhere")
    short = ("--goals", "turn", "--attacks", "linf")
    assert evaluate(photos, tmp_path / "out", *short, model=bundle).code == 2
    outcome = evaluate(photos, tmp_path / "out", *short, "--model", tiny_torch.MODEL, model=bundle)
    assert outcome.code == 0, outcome.err
    outcome = evaluate(photos, tmp_path / "other", "--sigma", "0.25", "--model", tiny_torch.MODEL)
    assert outcome.code == 2
    assert "tiny-8 is no bundle: leave it out" in " ".join(outcome.err.split())


def test_evaluate_takes_prototypes_of_a_file_when_one_is_named(photos: Path, tmp_path: Path) -> None:
    vectors, _ = write_prototypes(tmp_path, "mine", np.eye(6)[:3], ("a", "b", "c"))
    outcome = evaluate(
        photos, tmp_path / "out", "--sigma", "0.25", "--prototypes", vectors, "--goals", "turn", "--attacks", "linf"
    )
    assert outcome.code == 0, outcome.err
    document = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert document["settings"]["prototypes"] == "mine"
    assert {image["truth"] for image in document["images"]} <= {"a", "b", "c"}


def booster(folder: Path, *sigmas: float) -> Path:
    """An untrained booster for the tiny encoder."""
    purifier, mapper = UNetSizes(channels=(4, 4, 4), blocks=(1, 1, 1)), PooledMapperSizes(dimension=6, hidden=4)
    config = GsbConfig(
        encoder=FittedEncoder.of(tiny_torch.tiny_adapter()), sigmas=sigmas, purifier=purifier, mapper=mapper
    )
    write_checkpoint(folder, config, make_purifier(purifier), make_mapper(mapper))
    return folder


def test_evaluate_compares_with_a_booster_when_its_folder_is_named(photos: Path, tmp_path: Path) -> None:
    folder = booster(tmp_path / "gsb", 0.1, 0.25)
    outcome = evaluate(
        photos, tmp_path / "out", "--sigma", "0.25,0.1", "--gsb", folder, "--goals", "turn", "--attacks", "l2"
    )
    assert outcome.code == 0, outcome.err
    assert "FS + GSB" in outcome.out
    document = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert document["settings"]["gsb_sha256"] == read_checkpoint(folder).sha256
    assert [(system["system"], system["sigma"]) for system in document["systems"]] == [
        (name, sigma) for sigma in (0.25, 0.1) for name in ("encoder", "fs", "fs+gsb")
    ]


def test_evaluate_refuses_a_booster_when_it_was_fitted_at_another_sigma(photos: Path, tmp_path: Path) -> None:
    outcome = evaluate(photos, tmp_path / "out", "--sigma", "0.25", "--gsb", booster(tmp_path / "gsb", 0.1))
    assert outcome.code == 2
    assert "was fitted at sigma 0.1, not at --sigma 0.25" in " ".join(outcome.err.split())
    assert not (tmp_path / "out").exists()


def test_evaluate_wants_the_bundles_own_booster_when_it_has_one(photos: Path, tmp_path: Path) -> None:
    bundle_of_tiny(tmp_path / "bundle")
    folder = booster(tmp_path / "gsb", 0.25)
    short = ("--goals", "turn", "--attacks", "l2")

    def stating(sha256: str) -> None:
        tiny.edit_manifest(
            tmp_path / "bundle", lambda manifest: manifest.update(gsb={"kind": "unet", "sha256": sha256})
        )

    stating("0" * 64)
    outcome = evaluate(photos, tmp_path / "out", *short, model=tmp_path / "bundle")
    assert outcome.code == 2
    assert "--gsb" in outcome.err
    outcome = evaluate(photos, tmp_path / "out", *short, "--gsb", folder, model=tmp_path / "bundle")
    assert outcome.code == 2
    assert "holds the booster 000000000000, but" in " ".join(outcome.err.split())
    stating(read_checkpoint(folder).sha256)
    outcome = evaluate(photos, tmp_path / "out", *short, "--gsb", folder, model=tmp_path / "bundle")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--sigma names no noise"),
        (("--sigma", "0"), "--sigma must lie in"),
        (("--sigma", "much"), "'much' is no number"),
        (("--sigma", "0.25", "--attacks", "l3"), "--attacks takes some of l2, linf"),
        (("--sigma", "0.25", "--goals", "win"), "--goals takes some of turn"),
        (("--sigma", "0.25", "--goals", "targeted", "--prototypes", "none"), "--goals targeted needs labels"),
        (("--sigma", "0.25", "--prototypes", "imagenet"), "no prototypes named 'imagenet' (it has corners)"),
        (("--sigma", "0.25", "--prototypes", "no.safetensors"), "no.safetensors cannot be read"),
        (("--sigma", "0.25", "--truth", "names"), "is none of the prototypes' labels"),
        (("--sigma", "0.25", "--device", "nowhere"), "--device nowhere cannot be used here"),
        (("--sigma", "0.25", "--attack-draws", "3"), "--attack-draws must be even"),
    ],
)
def test_evaluate_ends_with_2_and_writes_nothing_when_input_is_bad(
    photos: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = evaluate(photos, tmp_path / "out", *arguments)
    assert outcome.code == 2, outcome.err
    assert message in " ".join(outcome.err.split())
    assert not (tmp_path / "out").exists()


def test_evaluate_ends_with_2_when_there_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    outcome = evaluate(tmp_path / "data", tmp_path / "out", "--sigma", "0.25")
    assert outcome.code == 2
    assert "holds 0 images: give at least two" in " ".join(outcome.err.split())
