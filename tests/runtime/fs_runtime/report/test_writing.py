"""Both files whole, or none."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from fs_runtime import InputError
from fs_runtime.files import write_together
from fs_runtime.report import Results, check_free, read_results, write_report

Line = Callable[..., str]


@pytest.fixture
def results(line: Line) -> Results:
    return read_results(io.BytesIO(line("gram").encode() + b"\n"), "results.jsonl")


def test_write_report_writes_two_files_when_the_folder_is_new(results: Results, tmp_path: Path) -> None:
    calls: list[int] = []
    written = write_report(results, tmp_path / "a" / "b", progress=lambda: calls.append(1))
    assert sorted((tmp_path / "a" / "b").iterdir()) == [written.page, written.picture]
    assert calls == [1]


def test_write_report_refuses_when_a_report_is_there(results: Results, tmp_path: Path) -> None:
    (tmp_path / "report.png").write_text("mine")
    with pytest.raises(InputError, match=r"report.png exists: .* --overwrite"):
        write_report(results, tmp_path)
    assert (tmp_path / "report.png").read_text() == "mine"
    assert not (tmp_path / "report.html").exists()
    write_report(results, tmp_path, overwrite=True)
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_check_free_refuses_when_there_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "report.html").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists"):
        check_free([tmp_path / "report.html"], overwrite=False)


def test_write_together_leaves_nothing_when_one_file_fails(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_together({tmp_path / "kept": b"new", tmp_path / "file" / "x": b""})
    assert (tmp_path / "kept").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "kept"]
