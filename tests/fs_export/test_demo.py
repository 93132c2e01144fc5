"""``fs-export demo`` with a tiny encoder and a tiny booster in the places of the real ones."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import tiny_gsb, tiny_torch
from helpers.command import Outcome, invoke

import fs_runtime
from fs_export.commands import demo as command
from fs_export.main import cli
from fs_models.gsb import read_checkpoint
from fs_runtime import FeatureCertificate, PredictionCertificate
from fs_runtime.certificates.reading import AnyCertificate, parse_certificate

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
NAMES = tuple(f"corner {number}" for number in range(6))


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    gsb = tiny_gsb.write(tmp_path_factory.mktemp("shipped") / "gsb")
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, tiny_torch.registered(), tiny_torch.offering(torch.eye(6), NAMES):
        patch.setattr(command, "_MODEL", tiny_torch.MODEL)
        patch.setattr(command, "_NOISE_BATCH", 8)
        patch.setattr(sys.modules["fs_models.gsb.shipped"], "shipped", lambda: {gsb: read_checkpoint(gsb).config})
        yield patch
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ran(patched: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    return folder, invoke(cli, "demo", "-o", folder, "--draws", 64, "--threads", 1)


def _certificates(path: Path) -> list[AnyCertificate]:
    return [parse_certificate(line, path.name, path.parent) for line in path.read_text().splitlines()]


def test_demo_shows_three_systems_side_by_side_when_run(ran: tuple[Path, Outcome]) -> None:
    folder, outcome = ran
    assert outcome.code == 0, outcome.err
    rows = [line.split() for line in outcome.out.splitlines()]
    assert [row[0] for row in rows if row[:1] and row[0] in PHOTOS and len(row) == 1] == list(PHOTOS)
    assert sum(row[:1] == ["encoder"] for row in rows) == 4
    assert sum(row[:1] == ["FS"] and row[1] != "+" for row in rows) == 4
    assert sum(row[:3] == ["FS", "+", "GSB"] and len(row) > 6 for row in rows) == 4
    assert "from the same 64 draws" in " ".join(outcome.err.split())
    assert sorted(path.name for path in folder.iterdir()) == [
        "comparison.jsonl",
        "photos",
        "purified.png",
        "report.html",
        "report.png",
        "results.jsonl",
        "tiny-8-sigma0.25",
        "tiny-8-sigma0.25-gsb",
    ]
    page = (folder / "report.html").read_text()
    assert "side by side" in page
    assert page.count('alt="Each photo clean, with noise') == 1


def test_demo_certifies_both_systems_from_the_same_draws_when_run(ran: tuple[Path, Outcome]) -> None:
    folder, _ = ran
    own, others = _certificates(folder / "results.jsonl"), _certificates(folder / "comparison.jsonl")
    assert (len(own), len(others)) == (4, 20)
    for number, certificate in enumerate(own):
        of_photo = others[5 * number : 5 * number + 5]
        assert {each.provenance.seed.value for each in of_photo} == {certificate.provenance.seed.value}
        assert {each.image.sha256 for each in of_photo} == {certificate.image.sha256}
        assert len({each.provenance.graph_sha256 for each in (certificate, *of_photo)}) == 2
        assert {each.provenance.seed.source for each in (certificate, *of_photo)} == {"os-entropy"}
        kinds = [type(each) for each in of_photo]
        assert kinds == [FeatureCertificate, FeatureCertificate, PredictionCertificate, *kinds[1:3]]


def test_demo_writes_certificates_that_replay_when_run(ran: tuple[Path, Outcome]) -> None:
    """All six of a photo, each by the bundle that it names."""
    folder, _ = ran
    own, others = _certificates(folder / "results.jsonl"), _certificates(folder / "comparison.jsonl")
    of_photo, replayed = [own[1], *others[5:10]], []
    for bundle in ("tiny-8-sigma0.25", "tiny-8-sigma0.25-gsb"):
        with fs_runtime.load(folder / bundle, threads=1) as encoder:
            here = [each for each in of_photo if each.provenance.graph_sha256 == encoder.graph_sha256]
            replayed += [encoder.replay(each, folder / "photos" / PHOTOS[1]).equal for each in here]
    assert replayed == [True] * 6


def test_demo_refuses_before_tracing_when_the_booster_is_for_another_sigma(
    patched: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = invoke(cli, "demo", "--sigma", "0.5", "-o", tmp_path / "demo")
    assert outcome.code == 2
    assert "was fitted at sigma 0.1 and 0.25, not at --sigma 0.5" in " ".join(outcome.err.split())
    assert not (tmp_path / "demo").exists() or list((tmp_path / "demo").iterdir()) == []


def test_demo_refuses_before_any_work_when_either_bundle_is_there(patched: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = tmp_path / "tiny-8-sigma0.25"
    there.mkdir()
    (there / "manifest.json").write_text("{}")
    outcome = invoke(cli, "demo", "-o", tmp_path)
    assert outcome.code == 2
    assert "--overwrite" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == [there.name]


def test_demo_refuses_before_any_work_when_the_draws_are_too_few(patched: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = invoke(cli, "demo", "--draws", "1", "-o", tmp_path / "demo")
    assert outcome.code == 2
    assert "draws" in outcome.err
    assert not (tmp_path / "demo").exists()


def test_demo_refuses_before_any_work_when_a_photo_is_there(patched: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = tmp_path / "photos" / PHOTOS[2]
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    outcome = invoke(cli, "demo", "-o", tmp_path)
    assert outcome.code == 2
    assert PHOTOS[2] in outcome.err
    assert "--overwrite" in outcome.err
    assert mine.read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
