"""``fs-runtime report``: from a certify run to files, and every bad input."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import tiny
from helpers.command import execute, invoke
from PIL import Image

from fs_runtime.cli.main import cli

QUICK = ("--draws", "100", "--alpha", "0.01", "--threads", "1")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What certify wrote for two images and a broken one."""
    root = tmp_path_factory.mktemp("report")
    tiny.write_bundle(root / "bundle")
    Image.fromarray(tiny.image_array()).save(root / "good.png")
    Image.fromarray(tiny.image_array(seed=1)).save(root / "other.png")
    (root / "bad.png").write_bytes(b"no image")
    images = [root / name for name in ("good.png", "bad.png", "other.png")]
    outcome = invoke(cli, "certify", root / "bundle", *images, *QUICK, "--json", "--seed", "1")
    (root / "results.jsonl").write_text(outcome.out)
    return root / "results.jsonl"


def test_report_writes_a_page_and_a_picture_when_all_is_well(results: Path, tmp_path: Path) -> None:
    outcome = invoke(cli, "report", results, "-o", tmp_path / "out")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [str(tmp_path / "out" / name) for name in ("report.html", "report.png")]
    assert f"xdg-open {tmp_path / 'out' / 'report.html'}" in outcome.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "2 certificates" in page
    assert "1 image failed" in page
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.png"]


def test_report_is_the_same_when_made_in_another_process(results: Path, tmp_path: Path) -> None:
    assert invoke(cli, "report", results, "-o", tmp_path / "a").code == 0
    assert execute("fs_runtime", "report", results, "-o", tmp_path / "b", PYTHONHASHSEED="5").code == 0
    for name in ("report.html", "report.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_report_reads_stdin_when_given_a_dash(results: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fs_runtime", "report", "-", "-o", str(tmp_path)]
    done = subprocess.run(command, input=results.read_bytes(), capture_output=True, timeout=120, check=False)
    assert done.returncode == 0
    assert (tmp_path / "report.html").is_file()


def test_report_warns_when_the_last_line_is_torn(results: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(results.read_bytes()[:-300])
    outcome = invoke(cli, "report", torn, "-o", tmp_path)
    assert outcome.code == 0
    assert "warning: last line is torn, ignored" in outcome.err
    assert "1 certificate:" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_report_refuses_when_a_report_is_there_unless_told(results: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    outcome = invoke(cli, "report", results, "-o", tmp_path)
    assert outcome.code == 2
    assert "report.html exists" in outcome.err
    assert "--overwrite" in outcome.err
    assert (tmp_path / "report.html").read_text() == "mine"
    assert not (tmp_path / "report.png").exists()
    assert invoke(cli, "report", results, "-o", tmp_path, "--overwrite").code == 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {path}: No such file or directory"),
        ("", "{path} holds no certificate (nothing)"),
        ("hello\n", "{path}, line 1: not JSON with a schema"),
        ('{"schema": "fs-runtime/error/1", "image": "a", "error": "b"}\n', "{path} holds no certificate (only errors"),
    ],
)
def test_report_says_what_is_wrong_when_the_input_is_bad(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "results.jsonl"
    if content is not None:
        path.write_text(content)
    outcome = invoke(cli, "report", path, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert f"error: {message.format(path=path)}" in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_report_says_what_is_wrong_when_the_input_is_a_folder(tmp_path: Path) -> None:
    outcome = invoke(cli, "report", tmp_path, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "is a folder" in outcome.err


def test_report_fails_when_the_output_cannot_be_written(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = invoke(cli, "report", results, "-o", tmp_path / "file" / "out")
    assert outcome.code == 1
    assert f"error: cannot write {tmp_path / 'file' / 'out'}: Not a directory" in outcome.err
    outcome = invoke(cli, "report", results, "-o", tmp_path / "file")
    assert outcome.code == 2
    assert "Usage: " in outcome.err


@pytest.mark.parametrize("arguments", [["report"], ["report", "x.jsonl"], ["report", "-o", "out"]])
def test_report_exits_2_when_the_usage_is_wrong(arguments: list[str]) -> None:
    outcome = invoke(cli, *arguments)
    assert outcome.code == 2
    assert "Usage: " in outcome.err


def test_report_names_the_remedy_when_matplotlib_is_missing(results: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from fs_runtime.cli.main import main; main()"
    command = [sys.executable, "-c", code, "report", str(results), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 4
    assert "pip install 'fs-runtime[report]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_runtime_does_not_import_matplotlib_when_nothing_is_drawn() -> None:
    code = "import sys, fs_runtime.cli.main, fs_runtime.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
