"""The container files name what there is: extras, commands, files; and they do what they promise."""

import re
import tomllib
from pathlib import Path

import pytest

from fs_runtime.cli.main import cli

ROOT = Path(__file__).parent.parent
RUNTIME = tomllib.loads((ROOT / "runtime" / "pyproject.toml").read_text())["project"]
FILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))


def _lines(path: Path) -> list[tuple[str, str]]:
    """(instruction, rest), with continued lines joined and comments left out."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def _of(path: Path, instruction: str) -> list[str]:
    return [rest for word, rest in _lines(path) if word == instruction]


def test_there_is_a_container_file_for_a_cpu_and_for_a_gpu() -> None:
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "gpu.Dockerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_container_file_installs_extras_that_exist(path: Path) -> None:
    text = " ".join(_of(path, "RUN"))
    asked = re.findall(r"(?:/src/runtime|fs-runtime)\[([\w,-]+)\]", text)
    assert len(asked) == 2  # when wheels are built, and when they are installed
    for extras in asked:
        assert set(extras.split(",")) <= set(RUNTIME["optional-dependencies"])
    pinned = re.findall(r"(onnxruntime-gpu)\[[\w,]+\]==([\d.]+)", text)
    constraints = (ROOT / "constraints.txt").read_text()
    assert all(f"onnxruntime=={version}" in constraints for _, version in pinned)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_container_file_copies_what_is_there_and_may_be_seen(path: Path) -> None:
    seen = [line[1:] for line in Path(f"{path}.dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [rest.split()[0] for rest in _of(path, "COPY") if not rest.startswith("--from")]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert source in seen


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_container_file_runs_a_command_that_exists_and_not_as_root(path: Path) -> None:
    [entry], [default], [user] = _of(path, "ENTRYPOINT"), _of(path, "CMD"), _of(path, "USER")
    assert re.findall(r'"([\w-]+)"', entry) == ["fs-runtime"]
    assert "fs-runtime" in RUNTIME["scripts"]
    arguments = re.findall(r'"([\w-]+)"', default)
    cli.commands[arguments[0]].make_context(arguments[0], arguments[1:])  # refuses an unknown command or option
    assert int(user) > 0
    for command in re.findall(r"docker run .*?fs-runtime:\w+ (?:\\\n#\s*)?([\w-]+)", path.read_text(), re.DOTALL):
        assert command in cli.commands


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_container_file_leaves_build_tools_and_torch_behind(path: Path) -> None:
    text = path.read_text()
    last = text[text.rindex("FROM ") :]
    assert not re.search(r"\bpip\b|venv|torch", last)
    assert not re.search(r"install.*torch", " ".join(_of(path, "RUN")))
    assert ":latest" not in text
