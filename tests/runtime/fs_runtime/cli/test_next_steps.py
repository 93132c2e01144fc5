"""The commands that are printed after certificates can be run as they stand."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from helpers.command import invoke
from PIL import Image

from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.cli.main import cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.write_bundle(tmp_path / "a bundle")
    tiny.write_bundle(tmp_path / "scattering", tiny.scattering())
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        Image.fromarray(tiny.image_array(seed=seed)).save(tmp_path / "photos" / f"photo {seed}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def steps(err: str) -> list[list[str]]:
    """What follows ``next:``, as a shell reads it."""
    _, _, after = err.partition("next:\n")
    return [shlex.split(line) for line in after.splitlines()]


def test_certify_says_how_to_go_on_when_it_printed_a_table(folder: Path) -> None:
    outcome = invoke(cli, "certify", "a bundle", "photos/photo 1.png", "--draws", 64, "--save", "kept")
    certify, report, replay = steps(outcome.err)
    assert certify == ["fs-runtime", "certify", "a bundle", "photos/photo 1.png", "-o", "results.jsonl"]
    assert report == ["fs-runtime", "report", "results.jsonl", "-o", "report"]
    assert invoke(cli, *replay[1:]).code == 0
    assert invoke(cli, *certify[1:], "--draws", 64).code == 0
    assert Path("results.jsonl").is_file()


def test_certify_leaves_writing_out_when_results_were_written(folder: Path) -> None:
    outcome = invoke(cli, "certify", "a bundle", "photos", "--draws", 64, "-o", "kept.jsonl")
    assert steps(outcome.err) == [["fs-runtime", "report", "kept.jsonl", "-o", "report"]]


def test_certify_proposes_more_draws_when_an_image_abstained(folder: Path) -> None:
    outcome = invoke(cli, "certify", "scattering", "photos/photo 0.png", "photos/photo 1.png", "--draws", 64)
    assert outcome.code == 5
    last = steps(outcome.err)[-1]
    assert last == ["fs-runtime", "certify", "scattering", "photos/photo 0.png", "--draws", "256"]


@pytest.mark.parametrize("images", [["photos/missing.png"], ["photos/photo 0.png", "--json"]])
def test_certify_says_nothing_more_when_there_is_no_table(folder: Path, images: list[str]) -> None:
    outcome = invoke(cli, "certify", "a bundle", *images, "--draws", 64)
    assert "next:" not in outcome.err
    if "--json" in images:
        assert json.loads(outcome.out)["draws"] == 64


def test_classify_says_how_to_go_on_with_its_prototypes(folder: Path) -> None:
    rows = np.eye(3, 6, dtype=np.float32)
    tiny.add_prototypes(folder / "a bundle", Prototypes.made_of("animals", rows, ("cat", "dog", "owl")))
    outcome = invoke(cli, "classify", "a bundle", "photos", "--prototypes", "animals", "--draws", 64)
    first = steps(outcome.err)[0]
    assert first == shlex.split("fs-runtime classify 'a bundle' photos --prototypes animals -o results.jsonl")
    assert invoke(cli, *first[1:], "--draws", 64).code in (0, 5)
