"""Running a command: signals, closed pipes, colours, and errors by their kind."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from helpers import tiny
from helpers.command import execute, invoke, spawn
from PIL import Image

import fs_runtime
from fs_runtime.certification import CertificationError
from fs_runtime.cli.main import cli
from fs_runtime.cli.terminal import encodable, printable, short_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    tiny.write_bundle(root / "bundle")
    Image.fromarray(tiny.image_array()).save(root / "good.png")
    return root


def _raising(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (fs_runtime.FsError("boom"), 1),
        (fs_runtime.InputError("boom"), 2),
        (fs_runtime.BundleError("boom"), 2),
        (fs_runtime.BackendError("boom"), 4),
        (CertificationError("boom"), 2),
    ],
)
def test_run_tells_in_one_line_when_the_error_is_the_users(error: Exception, code: int) -> None:
    outcome = invoke(_raising(error))
    assert (outcome.code, outcome.out, outcome.err) == (code, "", "error: boom\n")


@pytest.mark.parametrize("kind", [fs_runtime.InputError, CertificationError])
def test_run_tells_the_flag_when_the_message_names_an_argument(kind: Any) -> None:
    outcome = invoke(_raising(kind("dir/top_k and top_k.png: top_k must be 1 (top_k)", argument="top_k")))
    assert outcome.err == "error: dir/top_k and top_k.png: --top-k must be 1 (--top-k)\n"


def test_run_keeps_the_trace_when_the_error_is_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        invoke(_raising(ZeroDivisionError("a bug")))


def test_run_exits_130_when_interrupted() -> None:
    assert invoke(_raising(KeyboardInterrupt())).code == 130


def test_run_does_not_read_markup_when_telling() -> None:
    outcome = invoke(_raising(fs_runtime.FsError("[red]boom[/nothing] \x1b[31m")))
    assert outcome.err == "error: [red]boom[/nothing] \\x1b[31m\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["certify", "--help"], ["--version"]])
def test_run_exits_0_when_asked_for_help(arguments: list[str]) -> None:
    outcome = invoke(cli, *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out


def test_version_is_the_packages_when_asked_for() -> None:
    assert fs_runtime.__version__ in invoke(cli, "--version").out


@pytest.mark.parametrize("as_json", [True, False])
def test_certify_leaves_no_trace_when_stdout_is_closed(folder: Path, as_json: bool) -> None:
    options = ["--draws", "100", "--alpha", "0.01"] + ["--json"] * as_json
    process = spawn("fs_runtime", "certify", folder / "bundle", *[folder / "good.png"] * 3, *options)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait(timeout=60) != 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert "Exception ignored" not in err
    process.stderr.close()


def test_certify_leaves_no_trace_when_piped_into_head(folder: Path) -> None:
    images = f"{folder / 'good.png'} " * 5
    line = (
        f"{sys.executable} -m fs_runtime certify {folder / 'bundle'} {images} --draws 100 --alpha 0.01 --json | head -1"
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=60)
    assert fs_runtime.FeatureCertificate.from_json(done.stdout).draws == 100
    assert done.stderr == ""


def test_certify_exits_143_when_terminated(folder: Path) -> None:
    images = [folder / "good.png"] * 2
    process = spawn("fs_runtime", "certify", folder / "bundle", *images, "--draws", "3000000", "--json")
    _wait_for_threads(process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert out == b""
    assert err == b""


def _wait_for_threads(process: "subprocess.Popen[bytes]") -> None:
    """Until the noise threads run, which is when draws are made."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be stopped"
        if len(list(Path(f"/proc/{process.pid}/task").iterdir())) > 2:
            time.sleep(0.3)
            return
        time.sleep(0.02)
    raise AssertionError("no threads came up")


def test_run_writes_no_colour_when_no_color_is_set(folder: Path) -> None:
    arguments = ("certify", folder / "nowhere", folder / "good.png")
    coloured = execute("fs_runtime", *arguments, FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b[31m" in coloured.err
    plain = execute("fs_runtime", *arguments, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color")
    assert "\x1b[3" not in plain.err
    assert plain.code == coloured.code == 2


def test_printable_escapes_when_a_character_could_steer_a_terminal() -> None:
    assert printable("é 漢 [b] a") == "é 漢 [b] a"
    assert printable("\x1b[0m\n\r\t\x07\x9b\u202e\u200b\udcff\x00") == (
        "\\x1b[0m\\n\\r\\t\\x07\\x9b\\u202e\\u200b\\udcff\\x00"
    )


def test_encodable_escapes_when_bytes_are_no_utf_8() -> None:
    assert encodable("é/\udcff") == "é/\\udcff"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], []),
        (["a/x.png", "a/x.png"], ["x.png", "x.png"]),
        (["a/x.png", "b/x.png", "b/y.png"], ["a/x.png", "b/x.png", "y.png"]),
        (["/r/a/x", "/r/b/a/x", "/s/a/x"], ["r/a/x", "b/a/x", "s/a/x"]),
        (["x.png", "a/x.png"], ["x.png", "a/x.png"]),
        (["array of shape (8, 8, 3)"], ["array of shape (8, 8, 3)"]),
        (["/"], ["/"]),
        ([""], ["."]),
    ],
)
def test_short_names_are_unlike_when_paths_are(paths: list[str], expected: list[str]) -> None:
    names = short_names(paths)
    assert [names[path] for path in paths] == expected
