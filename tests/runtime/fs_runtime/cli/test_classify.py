"""``fs-runtime classify``: tables, JSON lines, exit codes, resuming, replaying."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny
from helpers.command import execute, invoke
from PIL import Image

import fs_runtime
from fs_runtime import PredictionCertificate, Prototypes
from fs_runtime.bundle.prototypes import write_prototypes
from fs_runtime.cli.main import cli
from fs_runtime.rounding import rounded_down

QUICK = ("--draws", "100", "--alpha", "0.02", "--threads", "1")
NASTY = "\x1b[31mred\u2028[bold]x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles with prototypes called ``imagenet``, and images; the first image's own feature is the label ``own``."""
    root = tmp_path_factory.mktemp("classify")
    for number, name in enumerate(("good.png", "other.png", "third.png")):
        Image.fromarray(tiny.image_array(seed=number)).save(root / name)
    (root / "bad.png").write_bytes(b"no image")
    with fs_runtime.load(tiny.write_bundle(root / "plain"), threads=1) as encoder:
        own = encoder.smooth(root / "good.png", draws=512, seed=1).vector
    noise = np.random.default_rng(3).standard_normal((4, 6))
    known = Prototypes.made_of("imagenet", [own, -own, *(own + 3.0 * noise)], ["own", "opposite", *"abc", NASTY])
    for name, tap, encoder_of in (
        ("bundle", "pooled", tiny.linear()),
        ("tokens", "tokens", tiny.linear()),
        ("scattering", "pooled", tiny.scattering()),
    ):
        tiny.add_prototypes(tiny.write_bundle(root / name, encoder_of, tap=tap), known)  # type: ignore[arg-type]
    write_prototypes(root, "poles", [own, -own], ["own", NASTY])
    write_prototypes(root, "seven", np.eye(7), list("abcdefg"))
    write_prototypes(root, "equal", np.ones((3, 6)), list("abc"))
    return root


def test_classify_prints_a_table_when_all_is_well(folder: Path) -> None:
    images = (folder / "good.png", folder / "other.png")
    outcome = invoke(cli, "classify", folder / "bundle", *images, *QUICK, "--prototypes", folder / "poles.safetensors")
    assert outcome.code == 0
    assert "prototypes poles (2), sigma 0.25, 100 draws, alpha 0.02" in outcome.out
    row = next(line for line in outcome.out.splitlines() if "good.png" in line)
    assert " own " in row
    assert row.split()[-4] in row.split()[-2:]  # the best of both kinds is the radius
    assert "With probability at least 1 - 0.02 a radius holds" in outcome.err
    assert "2 images: 2 certified, 0 abstained, 0 failed. 200 draws, 100 an image." in outcome.err


@pytest.mark.parametrize("command", ["classify", "search"])
def test_tables_escape_labels_when_they_could_steer_a_terminal(folder: Path, command: str) -> None:
    flags = ("--prototypes", folder / "poles.safetensors", "--top-k", 1)
    outcome = invoke(cli, command, folder / "bundle", folder / "good.png", *QUICK, *flags)
    assert all(character.isprintable() or character == "\n" for character in outcome.out + outcome.err)
    if command == "classify":
        assert "\\x1b[31mred" in outcome.out.replace("\n", "")


def test_classify_prints_json_lines_that_python_gives_too_when_asked(folder: Path) -> None:
    flags = ("--top-k", 2, "--kinds", "cone,vote", "--bound", "angle-law", "--reference", "clean", "--pilot", 9)
    images = (folder / "good.png", folder / "bad.png", folder / "other.png")
    outcome = invoke(cli, "classify", folder / "bundle", *images, *QUICK, *flags, "--json", "--seed", 7)
    assert outcome.code in (2, 5)
    first, failed, _ = outcome.out.splitlines()
    assert json.loads(failed)["schema"] == "fs-runtime/error/1"
    with fs_runtime.load(folder / "bundle", threads=1) as encoder:
        expected = encoder.classify(
            folder / "good.png", draws=100, alpha=0.02, top_k=2, kinds=("cone", "vote"), bound="angle-law",
            reference="clean", pilot=9, seed=7,
        )  # fmt: skip
    assert first == expected.to_json()
    assert expected.binding.pilot == 12


def test_classify_exits_5_when_an_image_abstains(folder: Path) -> None:
    outcome = invoke(cli, "classify", folder / "scattering", folder / "good.png", *QUICK)
    assert outcome.code == 5
    assert " - " in outcome.out


def test_classify_stops_when_the_radius_is_proved_or_hopeless(folder: Path) -> None:
    flags = ("--alpha", "0.02", "--threads", "1", "--max-draws", "3000", "--prototypes", folder / "poles.safetensors")
    outcome = invoke(cli, "classify", folder / "bundle", folder / "good.png", *flags, "--radius", "0.05")
    assert outcome.code == 0
    assert "until radius 0.05, at most 3000 draws" in outcome.out
    assert "proved" in outcome.out
    assert "of the 3,000 allowed" in outcome.err
    outcome = invoke(cli, "classify", folder / "scattering", folder / "good.png", *flags, "--radius", "0.05")
    assert outcome.code == 5
    assert "hopeless" in outcome.out


def test_classify_uses_the_cone_when_there_are_tokens(folder: Path) -> None:
    outcome = invoke(
        cli, "classify", folder / "tokens", folder / "good.png", "--draws", 1000, "--alpha", "0.02",
        "--prototypes", folder / "poles.safetensors", "--json",
    )  # fmt: skip
    assert outcome.code == 0
    assert PredictionCertificate.from_json(outcome.out).kind == "cone"


@pytest.mark.parametrize(
    ("bundle", "flags", "message"),
    [
        ("plain", (), "has no prototypes: name a file"),
        ("bundle", ("--prototypes", "cars"), "no prototypes named 'cars' (it has imagenet)"),
        ("bundle", ("--prototypes", "missing.safetensors"), "missing.safetensors cannot be read"),
        ("bundle", ("--prototypes", "seven.safetensors"), "7 dimensions"),
        ("bundle", ("--prototypes", "equal.safetensors"), "all prototypes of 'equal' are equal"),
        ("bundle", ("--top-k", "6"), "--top-k must lie in 1 .. 5"),
        (
            "tokens",
            ("--kinds", "margin"),
            "which the tap 'tokens' does not give: use --kinds cone",
        ),
        ("bundle", ("--kinds", "margin,best"), "nor some of cone, margin, vote"),
        ("bundle", ("--bound", "gram"), '--bound is of the kind "cone", which is not among margin, vote'),
        ("bundle", ("--draws", "3"), "use at least"),
        ("bundle", ("--draws", "100", "--radius", "0.1"), "towards a target (--radius) say --max-draws"),
        ("bundle", ("--max-draws", "100"), "give --radius, or --draws"),
        ("bundle", ("--radius", "0"), "a label's target --radius must be a finite number > 0"),
        ("bundle", ("--radius", "1", "--max-draws", "100"), "allow at least"),
        ("bundle", ("--resume",), "--resume needs -o"),
        ("bundle", ("--alpha", "0.1", "--family-alpha", "0.1"), "give one of them"),
    ],
)
def test_classify_exits_2_when_the_input_is_bad(
    folder: Path, bundle: str, flags: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    outcome = invoke(cli, "classify", bundle, "good.png", *flags)
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err


def test_classify_divides_alpha_when_it_is_the_familys(folder: Path) -> None:
    arguments = (folder / "bundle", folder / "good.png", folder / "other.png", "--draws", "100", "--json")
    outcome = invoke(cli, "classify", *arguments, "--family-alpha", "0.05")
    assert [json.loads(line)["alpha"] for line in outcome.out.splitlines()] == [0.025, 0.025]


# ---- a file of results


def names(path: Path) -> list[str]:
    return [Path(json.loads(line)["image"]["name"]).name for line in path.read_text().split("\n") if line]


@pytest.mark.parametrize("bundle", ["bundle", "tokens", "scattering"])
def test_classify_goes_on_when_a_run_was_torn(folder: Path, tmp_path: Path, bundle: str) -> None:
    results = tmp_path / "results.jsonl"
    images = [folder / name for name in ("good.png", "other.png", "third.png")]
    arguments = ("classify", folder / bundle, *images, *QUICK, "-o", results)
    code = invoke(cli, *arguments).code
    assert code == (5 if bundle == "scattering" else code)
    whole = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(whole[0] + whole[1] + whole[2][:50])
    outcome = invoke(cli, *arguments, "--resume")
    assert "2 images were done before" in outcome.err
    lines = results.read_bytes().splitlines(keepends=True)
    assert lines[:2] == whole[:2]
    assert names(results) == ["good.png", "other.png", "third.png"]
    # An abstention is never tried again.
    assert invoke(cli, *arguments, "--resume").code == 0
    assert results.read_bytes().splitlines(keepends=True) == lines


def test_classify_goes_on_when_references_are_too_long_for_the_lines(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fs_runtime.certificates.feature.LARGEST_EMBEDDED", 5)
    results = tmp_path / "results.jsonl"
    arguments = ("classify", folder / "tokens", folder / "good.png", *QUICK, "-o", results)
    invoke(cli, *arguments)
    before = results.read_bytes()
    assert json.loads(before)["feature"]["reference"] is None
    assert invoke(cli, *arguments, "--resume").code == 0
    assert results.read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--draws", "200", "--alpha", "0.02"), "draws 100, not 200"),
        (("--draws", "100", "--alpha", "0.01"), "alpha 0.02, not 0.01"),
        ((*QUICK, "--kinds", "cone"), "kinds margin, vote, not cone:"),
        ((*QUICK, "--kinds", "margin"), "kinds margin, vote, not margin"),
        ((*QUICK, "--kinds", "margin,vote,cone"), "kinds margin, vote, not cone, margin, vote"),
        ((*QUICK, "--top-k", "2"), "top-k 1, not 2"),
        ((*QUICK, "--reference", "clean"), "reference smoothed, not clean"),
        ((*QUICK, "--prototypes", "poles.safetensors"), "prototypes "),
        (("--max-draws", "100", "--alpha", "0.02", "--radius", "0.01"), "target none, not radius 0.01:"),
    ],
)
def test_classify_refuses_to_go_on_when_a_setting_is_another(
    folder: Path, tmp_path: Path, flags: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    results = tmp_path / "results.jsonl"
    invoke(cli, "classify", "bundle", "good.png", *QUICK, "-o", results)
    before = results.read_bytes()
    outcome = invoke(cli, "classify", "bundle", "good.png", *flags, "-o", results, "--resume")
    assert outcome.code == 2
    assert f"line 1 was made with {message}" in outcome.err
    assert results.read_bytes() == before


def test_classify_refuses_to_go_on_when_the_file_holds_certificates_of_features(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = (folder / "bundle", folder / "good.png", *QUICK, "-o", results)
    assert invoke(cli, "certify", *arguments).code == 0
    outcome = invoke(cli, "classify", *arguments, "--resume")
    assert (outcome.code, "is no JSON line of classify" in outcome.err) == (2, True)
    results.unlink()
    invoke(cli, "classify", *arguments)
    outcome = invoke(cli, "certify", *arguments, "--resume")
    assert (outcome.code, "is no JSON line of certify" in outcome.err) == (2, True)


def test_report_shows_a_table_when_the_lines_are_predictions(folder: Path, tmp_path: Path) -> None:
    images, bundle = (folder / "good.png", folder / "other.png"), folder / "bundle"
    poles = ("--prototypes", folder / "poles.safetensors")
    made = invoke(cli, "classify", bundle, *images, *QUICK, *poles, "--json").out
    made += invoke(cli, "classify", bundle, folder / "bad.png", *QUICK, *poles, "--json").out
    made += invoke(cli, "search", bundle, images[0], *QUICK, "--prototypes", "imagenet", "--json").out
    made += invoke(cli, "classify", folder / "tokens", images[0], "--radius", "0.05", *poles, "--json", "--seed", 1).out
    (tmp_path / "results.jsonl").write_text(made)
    outcome = invoke(cli, "report", tmp_path / "results.jsonl", "-o", tmp_path / "report")
    assert (outcome.code, outcome.out) == (0, f"{tmp_path / 'report' / 'report.html'}\n")
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["report.html"]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    first = PredictionCertificate.from_json(made.splitlines()[0])
    assert "4 predictions: labels of images, and the l2 radius within which they stay. 1 image failed" in page
    assert f'<td class="number">{rounded_down(first.radius)}</td>' in page
    assert page.count("<h2>Labels: poles (2), σ 0.25, α 0.02</h2>") == 1
    assert page.count("<h2>Labels: imagenet (6), σ 0.25, α 0.02</h2>") == 1
    assert "until radius 0.05, at most 20,000 draws" in page
    assert "<td>0.05: proved</td>" in page
    assert "fixed by caller" in page
    assert "\\x1b[31mred\\u2028[bold]x" in page
    assert "here up to the sum of their α, 0.061." in page


def test_report_shows_both_when_lines_of_features_and_of_labels_are_mixed(folder: Path, tmp_path: Path) -> None:
    made = invoke(cli, "classify", folder / "bundle", folder / "good.png", *QUICK, "--json").out
    made += invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "--json").out
    (tmp_path / "results.jsonl").write_text(made)
    outcome = invoke(cli, "report", tmp_path / "results.jsonl", "-o", tmp_path / "report")
    assert outcome.code == 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "1 certificate: how far" in page
    assert "1 prediction: labels" in page
    assert "2 α = 0.04." in page
    assert (tmp_path / "report" / "report.png").is_file()


def test_certify_refuses_to_go_on_when_the_file_holds_predictions(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    invoke(cli, "classify", folder / "bundle", folder / "good.png", *QUICK, "-o", results)
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "-o", results, "--resume")
    assert (outcome.code, "it is a prediction, of fs-runtime classify or search" in outcome.err) == (2, True)


# ---- replay


@pytest.fixture(scope="module")
def classified(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("classified")
    images = (folder / "good.png", folder / "other.png")
    flags = ("-o", made / "results.jsonl", "--save", made / "saved", "--prototypes", folder / "poles.safetensors")
    assert invoke(cli, "classify", folder / "bundle", *images, *QUICK, *flags).code == 0
    return made


@pytest.mark.parametrize("certificate", ["saved/0001-other.json", "results.jsonl"])
def test_replay_says_equal_when_nothing_was_touched(folder: Path, classified: Path, certificate: str) -> None:
    flags = ("--bundle", folder / "bundle", "--prototypes", folder / "poles.safetensors")
    outcome = invoke(cli, "replay", classified / certificate, folder / "other.png", *flags)
    assert outcome.code == 0
    assert "equal: the certificate is confirmed" in outcome.out


def test_replay_exits_1_and_names_the_field_when_a_prediction_was_edited(
    folder: Path, classified: Path, tmp_path: Path
) -> None:
    certificate = PredictionCertificate.read(classified / "saved" / "0000-good.json")
    content: dict[str, Any] = json.loads(certificate.to_json())
    content["margin"] += 1e-6
    (tmp_path / "forged.json").write_text(json.dumps(content))
    flags = ("--bundle", folder / "bundle", "--prototypes", folder / "poles.safetensors", "--json")
    outcome = invoke(cli, "replay", tmp_path / "forged.json", folder / "good.png", *flags)
    assert outcome.code == 1
    assert [each["field"] for each in json.loads(outcome.out)["differences"]] == ["margin"]


def test_replay_exits_2_when_the_prototypes_are_others(folder: Path, classified: Path) -> None:
    arguments = ("replay", classified / "results.jsonl", folder / "good.png", "--bundle", folder / "bundle")
    outcome = invoke(cli, *arguments, "--prototypes", "imagenet")
    assert (outcome.code, "the certificate is about prototypes 'poles'" in outcome.err) == (2, True)
    outcome = invoke(cli, *arguments)
    assert (outcome.code, "no prototypes named 'poles'" in outcome.err) == (2, True)


# ---- search


def test_search_ranks_the_items_when_a_gallery_is_given(folder: Path) -> None:
    outcome = invoke(
        cli, "search", folder / "bundle", folder / "good.png", folder / "other.png", *QUICK,
        "--prototypes", "imagenet", "--top-k", 3, "--seed", 3,
    )  # fmt: skip
    assert outcome.code in (0, 5)
    with fs_runtime.load(folder / "bundle", threads=1) as encoder:
        expected = encoder.classify(folder / "good.png", draws=100, alpha=0.02, top_k=3, seed=3)
    rows = [line for line in outcome.out.splitlines() if any(f" {cosine:.3f}" in line for cosine in expected.cosines)]
    for rank, (row, cosine) in enumerate(zip(rows, expected.cosines, strict=False), 1):
        cells = row.split()
        assert cells[cells.index(f"{cosine:.3f}") - 2] == str(rank)
    assert "good.png" in rows[0]
    assert "own" in rows[0]
    assert "Neither the order of the items nor their cosines are certified" in outcome.err


def test_search_prints_the_lines_of_classify_when_json_is_asked(folder: Path) -> None:
    flags = (folder / "bundle", folder / "good.png", *QUICK, "--prototypes", "imagenet", "--seed", 3, "--json")
    found = invoke(cli, "search", *flags, "--top-k", 2)
    assert found.out == invoke(cli, "classify", *flags, "--top-k", 2).out
    assert len(PredictionCertificate.from_json(found.out).labels) == 2
    assert len(json.loads(invoke(cli, "search", *flags).out)["labels"]) == 5


def test_search_exits_2_when_no_gallery_is_named(folder: Path) -> None:
    outcome = invoke(cli, "search", folder / "bundle", folder / "good.png")
    assert (outcome.code, "--prototypes" in outcome.err) == (2, True)


def test_classify_takes_names_from_stdin_when_asked(folder: Path) -> None:
    outcome = execute(
        "fs_runtime", "classify", folder / "bundle", "-", *QUICK, "--json", stdin=f"{folder / 'good.png'}\n"
    )
    assert "Traceback" not in outcome.err
    assert json.loads(outcome.out)["image"]["name"] == str(folder / "good.png")
