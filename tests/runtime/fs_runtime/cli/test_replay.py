"""``fs-runtime replay``: says equal, or which field differs."""

import json
from pathlib import Path

import pytest
from helpers import tiny
from helpers.command import invoke
from PIL import Image

from fs_runtime.cli.main import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, two images, and their certificates in both forms."""
    root = tmp_path_factory.mktemp("replay")
    tiny.write_bundle(root / "bundle")
    for number, name in enumerate(("first.png", "second.png", "third.png")):
        Image.fromarray(tiny.image_array(seed=number)).save(root / name)
    images = (root / "first.png", root / "second.png")
    flags = ("--draws", "200", "-o", root / "results.jsonl", "--save", root / "saved")
    assert invoke(cli, "certify", root / "bundle", *images, *flags).code == 0
    return root


@pytest.mark.parametrize("certificate", ["saved/0001-second.json", "results.jsonl"])
def test_replay_says_equal_when_nothing_was_touched(folder: Path, certificate: str) -> None:
    outcome = invoke(cli, "replay", folder / certificate, folder / "second.png", "--bundle", folder / "bundle")
    assert outcome.code == 0
    assert "200 draws made again by onnxruntime" in outcome.out
    assert "equal: the certificate is confirmed" in outcome.out


def test_replay_exits_1_and_names_the_field_when_the_certificate_was_edited(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "saved" / "0000-first.json").read_text())
    content["evidence"]["tails"]["counts"][1] -= 1
    content["certified"] = []
    (tmp_path / "forged.json").write_text(json.dumps(content))
    arguments = ("replay", tmp_path / "forged.json", folder / "first.png", "--bundle", folder / "bundle")
    outcome = invoke(cli, *arguments)
    assert outcome.code == 1
    assert " evidence.tails.counts[1] " in outcome.out.replace("\n", "  ")
    line = json.loads(invoke(cli, *arguments, "--json").out)
    assert (line["equal"], len(line["differences"])) == (False, 1)
    assert line["differences"][0]["field"] == "evidence.tails.counts[1]"


def test_replay_names_the_flag_when_prototypes_are_named_for_a_feature(folder: Path) -> None:
    arguments = ("replay", folder / "results.jsonl", folder / "first.png", "--bundle", folder / "bundle")
    outcome = invoke(cli, *arguments, "--prototypes", "cars")
    assert (outcome.code, "it needs no --prototypes" in outcome.err) == (2, True)


@pytest.mark.parametrize(
    ("certificate", "image", "message"),
    [
        ("saved/0000-first.json", "second.png", "other pixels"),
        ("results.jsonl", "third.png", "holds no certificate of"),
        ("missing.json", "first.png", "cannot be read as a certificate"),
        ("first.png", "first.png", "cannot be read as a certificate"),
    ],
)
def test_replay_exits_2_when_certificate_and_image_do_not_belong_together(
    folder: Path, certificate: str, image: str, message: str
) -> None:
    outcome = invoke(cli, "replay", folder / certificate, folder / image, "--bundle", folder / "bundle")
    assert outcome.code == 2
    assert message in outcome.err
