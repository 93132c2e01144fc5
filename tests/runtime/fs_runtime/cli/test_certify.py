"""``fs-runtime certify``: exit codes, and what goes to stdout and what to stderr."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from helpers.command import execute, invoke
from PIL import Image

from fs_runtime import FeatureCertificate, Prototypes
from fs_runtime.backends import Block, BlockResult
from fs_runtime.backends.onnxruntime.cpu import OnnxRuntimeBackend
from fs_runtime.certification.floor import floor_angle
from fs_runtime.cli.main import cli
from fs_runtime.errors import BackendError

QUICK = ("--draws", "100", "--alpha", "0.01", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles and images for every test here."""
    root = tmp_path_factory.mktemp("cli")
    tiny.write_bundle(root / "bundle")
    tiny.write_bundle(root / "tokens", tap="tokens")
    tiny.write_bundle(root / "scattering", tiny.scattering())
    tiny.write_bundle(root / "nan", tiny.not_a_number())
    Image.fromarray(tiny.image_array()).save(root / "good.png")
    Image.fromarray(tiny.image_array(seed=1)).save(root / "other.png")
    (root / "bad.png").write_bytes(b"no image")
    return root


def _lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_certify_prints_a_table_when_all_is_well(folder: Path) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", folder / "other.png", *QUICK)
    assert outcome.code == 0
    assert "bound gram, sigma 0.25, 100 draws, alpha 0.01" in outcome.out
    assert "good.png" in outcome.out
    assert "other.png" in outcome.out
    assert "With probability at least 1 - 0.01 a row" in outcome.err
    assert "\x1b" not in outcome.out + outcome.err


def test_certify_prints_json_lines_when_asked(folder: Path) -> None:
    outcome = invoke(
        cli, "certify", folder / "bundle", folder / "good.png", folder / "other.png", *QUICK, "--json", "--seed", "7"
    )
    assert outcome.code == 0
    assert outcome.err == (
        "2 images: 2 certified, 0 abstained, 0 failed. 200 draws, 100 an image. "
        "Some certificate of these is wrong with probability at most 0.02.\n"
    )
    first, second = outcome.out.splitlines()
    for line in (first, second):
        certificate = FeatureCertificate.from_json(line)
        assert (certificate.draws, certificate.alpha, certificate.seed) == (100, 0.01, 7)
    assert [each["image"]["name"] for each in _lines(outcome.out)] == [  # type: ignore[index]
        str(folder / "good.png"),
        str(folder / "other.png"),
    ]
    again = invoke(
        cli, "certify", folder / "bundle", folder / "good.png", *QUICK[:4], "--threads", "2", "--json", "--seed", "0x7"
    )
    assert again.out.splitlines() == [first]


def test_certify_passes_the_options_on_when_given(folder: Path) -> None:
    outcome = invoke(
        cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "--json", "--pilot", "9",
        "--bound", "angle-law", "--reference", "clean",
    )  # fmt: skip
    certificate = FeatureCertificate.from_json(outcome.out)
    assert (certificate.bound, certificate.pilot, certificate.reference_kind) == ("angle-law", 12, "clean")


def test_certify_goes_on_when_an_image_is_bad(folder: Path) -> None:
    images = [folder / name for name in ("bad.png", "good.png", "missing.png", "other.png")]
    outcome = invoke(cli, "certify", folder / "bundle", *images, *QUICK, "--json")
    assert outcome.code == 2
    lines = _lines(outcome.out)
    assert [line["schema"] for line in lines] == [
        "fs-runtime/error/1",
        "fs-runtime/feature-certificate/1",
        "fs-runtime/error/1",
        "fs-runtime/feature-certificate/1",
    ]
    assert lines[0]["image"] == str(folder / "bad.png")
    assert lines[0]["exit_code"] == 2
    assert "bad.png" in str(lines[0]["error"])
    assert outcome.err.count("error: ") == 2
    assert "missing.png does not exist" in outcome.err
    assert "Traceback" not in outcome.err


def test_certify_shows_the_good_images_when_one_is_bad(folder: Path) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", folder / "bad.png", folder / "good.png", *QUICK)
    assert outcome.code == 2
    assert "good.png" in outcome.out
    assert "bad.png" not in outcome.out
    assert "bad.png" in outcome.err


def test_certify_exits_5_when_nothing_is_certified(folder: Path) -> None:
    outcome = invoke(cli, "certify", folder / "scattering", folder / "good.png", *QUICK)
    assert outcome.code == 5
    assert " - " in outcome.out
    outcome = invoke(cli, "certify", folder / "scattering", folder / "good.png", *QUICK, "--json")
    assert outcome.code == 5
    assert FeatureCertificate.from_json(outcome.out).abstained


@pytest.mark.parametrize("order", [("bad.png", "good.png"), ("good.png", "bad.png")])
def test_certify_exits_2_when_one_image_failed_and_another_abstained(folder: Path, order: tuple[str, str]) -> None:
    assert invoke(cli, "certify", folder / "scattering", *(folder / name for name in order), *QUICK).code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["certify"],
        ["certify", "bundle"],
        ["certfy", "bundle", "good.png"],
        ["certify", "bundle", "good.png", "--draw", "5"],
        ["certify", "bundle", "good.png", "--draws", "0"],
        ["certify", "bundle", "good.png", "--draws", "many"],
        ["certify", "bundle", "good.png", "--threads", "0"],
        ["certify", "bundle", "good.png", "--pilot", "0"],
        ["certify", "bundle", "good.png", "--bound", "best"],
        ["certify", "bundle", "good.png", "--reference", "mean"],
        ["certify", "bundle", "good.png", "--seed", "x"],
        ["certify", "bundle", "good.png", "--max-pixels", "0"],
        ["certify", "bundle", "good.png", "--save", "bad.png"],
    ],
)
def test_certify_exits_2_when_the_usage_is_wrong(
    folder: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    outcome = invoke(cli, *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Usage: " in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "good.png"], "nowhere is not a folder"),
        (["good.png", "good.png"], "good.png is not a folder"),
        (["bundle", "good.png", "--alpha", "2"], "error: --alpha must lie"),
        (["bundle", "good.png", "--draws", "3"], "use at least"),
        (["bundle", "good.png", "--family-alpha", "2"], "error: --family-alpha must lie"),
        (["bundle", "good.png", "--seed", "-1"], "error: --seed must lie in"),
        (["bundle", "good.png", "--expect-sha256", "00"], "not the expected 00"),
        (["bundle", "good.png", "--max-pixels", "63"], "more than --max-pixels = 63; shrink it or raise --max-pixels"),
        (["tokens", "good.png", "--bound", "gram"], '--bound "gram" needs features'),
        (["nan", "good.png"], "norm nan"),
    ],
)
def test_certify_exits_2_when_the_input_is_bad(
    folder: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    outcome = invoke(cli, "certify", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


@pytest.mark.parametrize("option", [("--device", "cuda:99"), ("--backend", "tensorrt")])
def test_certify_exits_4_when_the_environment_cannot(folder: Path, option: tuple[str, str]) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *option)
    assert outcome.code == 4
    assert outcome.out == ""
    assert option[1] in outcome.err


def test_certify_shows_and_keeps_what_is_done_when_the_device_is_lost(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, blocks = OnnxRuntimeBackend.run, []

    def lost(self: OnnxRuntimeBackend, block: Block) -> BlockResult:
        blocks.append(1)
        if len(blocks) > 60:  # 2 + 25 an image
            raise BackendError("cuda:0 was lost in mid-run: what was finished before is kept")
        return run(self, block)

    images = [folder / name for name in ("good.png", "other.png", "third.png")]
    Image.fromarray(tiny.image_array(seed=2)).save(images[2])
    arguments = ("certify", folder / "bundle", *images, *QUICK, "--pilot", "8", "-o", tmp_path / "results.jsonl")
    with monkeypatch.context() as patched:
        patched.setattr(OnnxRuntimeBackend, "run", lost)
        outcome = invoke(cli, *arguments)
    assert outcome.code == 4
    assert "error: cuda:0 was lost in mid-run" in outcome.err
    assert "2 images: " in outcome.err
    for name, shown in (("good.png", True), ("other.png", True), ("third.png", False)):
        assert (name in outcome.out) == shown
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2
    outcome = invoke(cli, *arguments, "--resume")
    assert outcome.code == 0
    assert "2 images were done before" in outcome.err
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 3


def test_certify_saves_certificates_when_given_a_folder(folder: Path, tmp_path: Path) -> None:
    images = [folder / "good.png", folder / "bad.png", folder / "good.png"]
    save = tmp_path / "new" / "folder"
    outcome = invoke(cli, "certify", folder / "bundle", *images, *QUICK, "--json", "--save", save)
    assert outcome.code == 2
    assert sorted(path.name for path in save.iterdir()) == ["0000-good.json", "0002-good.json"]
    printed = [line for line in outcome.out.splitlines() if "error/1" not in line]
    assert [FeatureCertificate.read(path).to_json() for path in sorted(save.iterdir())] == printed


def test_certify_saves_a_long_reference_beside_when_there_is_one(folder: Path, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "long", tiny.linear(dimension=4098), tap="tokens")
    outcome = invoke(cli, "certify", root, folder / "good.png", *QUICK, "--save", tmp_path / "out")
    assert outcome.code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "0000-good.json",
        "0000-good.json.safetensors",
    ]
    assert FeatureCertificate.read(tmp_path / "out" / "0000-good.json").reference.shape == (4098,)


def test_certify_says_so_when_the_folder_cannot_be_made(folder: Path) -> None:
    below_a_file = folder / "bad.png" / "out"
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "--save", below_a_file)
    assert outcome.code == 1
    assert outcome.err.startswith(f"error: cannot write {below_a_file}")


_NASTY = "\x1b[31mred\x1b]0;title\x07\r\u202e[bold]x[/].png".replace("/", "")


def test_certify_escapes_names_when_they_could_steer_a_terminal(folder: Path, tmp_path: Path) -> None:
    image = tmp_path / _NASTY
    Image.fromarray(tiny.image_array()).save(image)
    missing = tmp_path / ("missing" + _NASTY)
    outcome = invoke(cli, "certify", folder / "bundle", image, missing, *QUICK)
    assert outcome.code == 2
    for text in (outcome.out, outcome.err):
        assert all(character.isprintable() or character == "\n" for character in text)
    # The table folds a long name, so only its pieces are on one line.
    assert "\\x1b[31mred" in outcome.out
    assert "[bold]x" in outcome.out.replace("\n", "")
    assert "\\x1b[31mred\\x1b]0;title\\x07\\r\\u202e[bold]x" in outcome.err


def test_certify_copes_when_a_name_is_no_utf_8(folder: Path, tmp_path: Path) -> None:
    image = os.fsencode(tmp_path) + b"/\xff.png"
    Image.fromarray(tiny.image_array()).save(image)
    good = os.fsdecode(image)
    outcome = execute("fs_runtime", "certify", folder / "bundle", good, good + "x", *QUICK, "--json")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    certificate, error = outcome.out.splitlines()
    assert FeatureCertificate.from_json(certificate).image.name.endswith("/\\udcff.png")
    assert json.loads(error)["image"].endswith("/\\udcff.pngx")


def test_certify_keeps_progress_off_stdout_when_stderr_is_a_terminal(folder: Path) -> None:
    # Wide enough for the path, however long the temporary folder's is.
    arguments = ("certify", folder / "bundle", folder / "good.png", *QUICK, "--json")
    outcome = execute("fs_runtime", *arguments, FORCE_COLOR="1", COLUMNS="300")
    assert outcome.code == 0
    FeatureCertificate.from_json(outcome.out)
    assert outcome.out.count("\n") == 1
    assert "draws/s" in outcome.err
    assert "/228" in outcome.err
    assert "feature-certificate" not in outcome.err


def test_certify_says_what_fs_threads_must_be_when_it_is_bad(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FS_THREADS", "lots")
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK[:4])
    assert outcome.code == 2
    assert "FS_THREADS='lots'" in outcome.err


def test_certify_draws_the_same_numbers_when_run_as_a_program(folder: Path) -> None:
    arguments = ("certify", folder / "bundle", folder / "good.png", *QUICK, "--json", "--seed", 11)
    outcome = execute("fs_runtime", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == invoke(cli, *arguments).out
    assert np.isfinite(FeatureCertificate.from_json(outcome.out).reference).all()


# ---- targets


def test_certify_stops_at_the_target_when_it_is_proved(folder: Path) -> None:
    arguments = ("certify", folder / "bundle", folder / "good.png", "--alpha", "0.01")
    outcome = invoke(cli, *arguments, "--radius", "0.05", "--cosine", "0.6", "--json")
    assert outcome.code == 0
    [line] = _lines(outcome.out)
    assert (line["outcome"], line["abstained"], line["until"]) == ("proved", False, {"radius": 0.05, "cosine": 0.6})
    assert line["most_draws"] == 20_000
    assert isinstance(line["draws"], int)
    assert line["draws"] < 1000
    assert f"{line['draws']} draws, {line['draws']} in the median" in outcome.err


def test_certify_shows_the_cosine_at_the_radius_when_there_is_a_target(folder: Path) -> None:
    arguments = ("certify", folder / "bundle", folder / "good.png", "--alpha", "0.01", "--radius", "0.031", "--seed", 4)
    outcome = invoke(cli, *arguments, "--cosine", "0.6")
    line = invoke(cli, *arguments, "--cosine", "0.6", "--json").out
    cosine = FeatureCertificate.from_json(line).cosine(0.031)
    assert 0.6 <= cosine < 1.0
    heads = next(line for line in outcome.out.splitlines() if "at σ/4" in line)
    row = next(line for line in outcome.out.splitlines() if "good.png" in line)
    assert heads.split().index("0.031") > heads.split().index("σ")
    assert f" {math.floor(cosine * 1000) / 1000:.3f} " in row


def test_certify_exits_5_when_the_target_is_not_proved(folder: Path) -> None:
    arguments = ("certify", folder / "bundle", folder / "good.png", "--alpha", "0.01")
    outcome = invoke(cli, *arguments, "--radius", "0.5", "--cosine", "0.9", "--max-draws", "3000")
    assert outcome.code == 5
    assert "until cosine 0.9 at radius 0.5, at most 3000 draws" in " ".join(outcome.out.split())
    assert "at 0.5" in outcome.out
    assert "hopeless" in outcome.out
    assert "1 image: 0 certified, 1 abstained" in outcome.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--radius", "0.1"), "--cosine is missing"),
        (("--cosine", "0.9"), "--radius is missing"),
        (("--max-draws", "900"), "--max-draws goes with a target"),
        (("--radius", "0.1", "--cosine", "0.9", "--draws", "900"), "say --max-draws"),
        (("--radius", "-1", "--cosine", "0.9"), "the target's --radius must be a finite number >= 0"),
        (("--radius", "0.1", "--cosine", "1.5"), "the target's --cosine must lie strictly between 0 and 1"),
        (("--radius", "9", "--cosine", "0.9"), "ask for a smaller radius or cosine"),
        (("--radius", "0.25", "--cosine", "0.99", "--max-draws", "99"), "allow at least"),
        (("--alpha", "0.1", "--family-alpha", "0.1"), "give one of them"),
        (("--resume",), "--resume needs -o"),
    ],
)
def test_certify_names_the_flag_when_flags_do_not_go_together(
    folder: Path, flags: tuple[str, ...], message: str
) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *flags)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.out == ""


# ---- many images


def test_certify_divides_alpha_when_it_is_the_familys(folder: Path) -> None:
    arguments = ("certify", folder / "bundle", folder / "good.png", folder / "other.png", "--draws", "100")
    outcome = invoke(cli, *arguments, "--family-alpha", "0.05", "--json")
    assert [line["alpha"] for line in _lines(outcome.out)] == [0.025, 0.025]
    assert "at most 0.05: --family-alpha 0.05 is divided by the images, 0.025 for each." in outcome.err


def test_certify_shows_more_of_the_paths_when_names_are_alike(folder: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("a/cat.png", "b/cat.png", "dog.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(tiny.image_array(seed=number)).save(tmp_path / name)
    words = invoke(cli, "certify", folder / "bundle", tmp_path, *QUICK).out.split()
    assert {"a/cat.png", "b/cat.png", "dog.png"} <= set(words)
    words = invoke(cli, "smooth", folder / "bundle", tmp_path, "--draws", 4).out.split()
    assert {"a/cat.png", "b/cat.png", "dog.png"} <= set(words)


@pytest.mark.parametrize(("columns", "widest"), [("100", 100), ("20", 80), ("wide", 132)])
def test_certify_keeps_to_the_columns_when_the_environment_says_how_many(
    folder: Path, tmp_path: Path, columns: str, widest: int
) -> None:
    image = tmp_path / f"{'long' * 40}.png"
    Image.fromarray(tiny.image_array()).save(image)
    outcome = invoke(cli, "certify", folder / "bundle", image, *QUICK, COLUMNS=columns)
    assert max(len(line.rstrip()) for line in outcome.out.splitlines()) <= widest
    assert max(len(line.rstrip()) for line in outcome.out.splitlines()) > widest - 20


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three images, one below another folder, beside what is no image."""
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for number, name in enumerate(("b.png", "a.PNG", "deep/c.bmp")):
        Image.fromarray(tiny.image_array(seed=number)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / ".hidden.png").write_bytes(b"")
    return tmp_path / "photos"


def _names(outcome_out: str) -> list[str]:
    return [Path(str(line["image"]["name"])).name for line in _lines(outcome_out)]  # type: ignore[index]


def test_certify_takes_every_image_of_a_folder_when_one_is_named(folder: Path, photos: Path) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", photos, *QUICK, "--json")
    assert (outcome.code, _names(outcome.out)) == (0, ["a.PNG", "b.png", "c.bmp"])


def test_certify_takes_what_a_pattern_matches_when_one_is_named(folder: Path, photos: Path) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", str(photos / "**" / "[bc].*"), *QUICK, "--json")
    assert (outcome.code, _names(outcome.out)) == (0, ["b.png", "c.bmp"])


def test_certify_takes_names_from_stdin_when_asked(folder: Path, photos: Path) -> None:
    names = f"{photos / 'b.png'}\n\n{photos / 'a.PNG'}\n"
    outcome = execute("fs_runtime", "certify", folder / "bundle", "-", *QUICK, "--json", stdin=names)
    assert (outcome.code, _names(outcome.out)) == (0, ["b.png", "a.PNG"])


def test_certify_refuses_when_stdin_is_mixed_with_names_or_a_folder_is_empty(folder: Path, tmp_path: Path) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", "-", folder / "good.png", *QUICK)
    assert (outcome.code, "cannot be mixed" in outcome.err) == (2, True)
    outcome = invoke(cli, "certify", folder / "bundle", tmp_path, *QUICK)
    assert (outcome.code, "holds no image" in outcome.err) == (2, True)


# ---- a file of results


def test_certify_goes_on_when_a_run_was_torn(folder: Path, photos: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("certify", folder / "bundle", photos, *QUICK, "--seed", 7, "-o", results)
    (photos / "broken.png").write_bytes(b"no image")
    assert invoke(cli, *arguments).code == 2
    whole = results.read_bytes().splitlines(keepends=True)
    assert len(whole) == 4
    results.write_bytes(whole[0] + whole[2] + whole[1] + whole[3][:50])  # a, broken and b, and c torn
    (photos / "broken.png").unlink()
    outcome = invoke(cli, *arguments, "--resume")
    assert outcome.code == 0
    assert "2 images were done before" in outcome.err
    assert "1 image: 1 certified, 0 abstained, 0 failed." in outcome.err
    assert "of these and the 2 done before is wrong with probability at most 0.03." in outcome.err
    lines = results.read_bytes().splitlines(keepends=True)
    assert lines[0] == whole[0]
    assert _names(results.read_text()) == ["a.PNG", "b.png", "c.bmp"]
    assert invoke(cli, *arguments, "--resume").code == 0
    assert results.read_bytes().splitlines(keepends=True) == lines


def test_certify_goes_on_when_references_are_too_long_for_the_lines(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fs_runtime.certificates.feature.LARGEST_EMBEDDED", 5)
    results = tmp_path / "results.jsonl"
    arguments = ("certify", folder / "tokens", folder / "good.png", *QUICK, "-o", results)
    assert invoke(cli, *arguments).code == 0
    before = results.read_bytes()
    assert json.loads(before)["reference"] is None
    assert invoke(cli, *arguments, "--resume").code == 0
    assert results.read_bytes() == before


def test_certify_names_the_file_when_results_cannot_be_written(folder: Path) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "-o", folder / "good.png" / "x")
    assert outcome.code == 1
    assert "cannot write" in outcome.err
    assert "Traceback" not in outcome.err


def test_certify_never_retries_an_abstention_when_it_goes_on(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("certify", folder / "scattering", folder / "good.png", *QUICK, "-o", results)
    assert invoke(cli, *arguments).code == 5
    before = results.read_bytes()
    assert invoke(cli, *arguments, "--resume").code == 0
    assert results.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "flags"),
    [("certify", ()), ("certify", ("--radius", "0.05", "--cosine", "0.5")), ("classify", ("--top-k", "2"))],
)
def test_commands_never_draw_again_for_an_image_when_its_draws_were_refused(
    folder: Path, tmp_path: Path, command: str, flags: tuple[str, ...]
) -> None:
    results, unreadable = tmp_path / "results.jsonl", tmp_path / "later.png"
    images = [folder / "good.png", unreadable, folder / "other.png"]
    draws = ("--max-draws", "100") if "--radius" in flags else ("--draws", "100")
    poles = Prototypes.made_of("three", np.eye(3, 6), ["x", "y", "z"])
    root = tiny.write_bundle(tmp_path / "bundle", tiny.not_a_number(above=0.55))
    tiny.add_prototypes(root, poles)
    arguments = (command, root, *images, *draws, *flags, "--alpha", "0.02", "--threads", 1, "-o", results)
    outcome = invoke(cli, *arguments)
    assert outcome.code == 2
    assert outcome.err.count("error: ") == 3
    assert "3 images: 0 certified, 0 abstained, 3 failed (2 after its draws)." in outcome.err
    # Which images are refused may depend on their draws, so none of the alpha is saved.
    assert "is wrong with probability at most 0.04." in outcome.err
    before = results.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["spent"] is None for line in before] == [False, True, False]
    outcome = invoke(cli, *arguments, "--resume")
    assert outcome.err.count("error: ") == 1
    assert "later.png does not exist" in outcome.err
    assert "2 images were done before" in outcome.err
    assert results.read_bytes().splitlines(keepends=True) == [before[0], before[2], before[1]]


def test_certify_refuses_to_go_on_when_refused_draws_were_of_other_settings(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("certify", folder / "nan", folder / "good.png", "--draws", "100", "-o", results)
    assert invoke(cli, *arguments, "--alpha", "0.01").code == 2
    before = results.read_bytes()
    outcome = invoke(cli, *arguments, "--alpha", "0.02", "--resume")
    assert (outcome.code, "line 1 was made with alpha 0.01, not 0.02" in outcome.err) == (2, True)
    outcome = invoke(cli, "certify", folder / "bundle", *arguments[2:], "--alpha", "0.01", "--resume")
    assert (outcome.code, "line 1 was made with graph" in outcome.err) == (2, True)
    assert results.read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--draws", "200", "--alpha", "0.01"), "draws 100, not 200"),
        (("--draws", "100", "--alpha", "0.02"), "alpha 0.01, not 0.02"),
        (("--draws", "100", "--alpha", "0.01", "--bound", "angle-law"), "bound gram, not angle-law"),
        (("--draws", "100", "--alpha", "0.01", "--reference", "clean"), "reference smoothed, not clean"),
        (
            ("--max-draws", "100", "--alpha", "0.01", "--radius", "0.01", "--cosine", "0.5"),
            "target none, not cosine 0.5",
        ),
    ],
)
def test_certify_refuses_to_go_on_when_a_setting_is_another(
    folder: Path, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    results = tmp_path / "results.jsonl"
    assert invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "-o", results).code == 0
    before = results.read_bytes()
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *flags, "-o", results, "--resume")
    assert outcome.code == 2
    assert message in outcome.err
    assert results.read_bytes() == before


def test_certify_refuses_when_the_results_are_there_or_are_something_else(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("my notes\n")
    for flags, message in (((), "go on with it by --resume"), (("--resume",), "line 1 is no JSON line")):
        outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "-o", results, *flags)
        assert outcome.code == 2
        assert message in outcome.err
    assert results.read_text() == "my notes\n"


def test_certify_says_the_most_that_the_cone_could_certify_when_it_is_the_bound(folder: Path) -> None:
    outcome = invoke(cli, "certify", folder / "bundle", folder / "good.png", *QUICK, "--bound", "cone")
    best = math.cos(floor_angle(100, 0.01, 0.25, cone=True))
    assert f"The most that 100 draws could certify: {best:.4f} at σ/4" in " ".join(outcome.err.split())
    assert "between the smoothed features of the changed and of the given image" in outcome.err
