"""A folder appears whole or not at all, whatever kills its writer."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fs_exporters.bundle import changed_folder, check_free, new_folder
from fs_exporters.bundle import folder as folder_module
from fs_runtime.errors import InputError


def _write(output: Path, text: str, *, overwrite: bool = False) -> None:
    with new_folder(output, overwrite=overwrite) as temporary:
        (temporary / "manifest.json").write_text(text)
        (temporary / "engines").mkdir()
        (temporary / "engines" / "model.plan").write_text(text)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_folder_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "er" / "bundle"
    with new_folder(output, overwrite=False) as temporary:
        (temporary / "manifest.json").write_text("new")
        assert temporary.parent == output.parent
        assert not output.exists()
    assert _names(output.parent) == ["bundle"]
    assert _names(output) == ["manifest.json"]


def test_new_folder_takes_a_relative_path_when_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write(Path("bundle"), "new")
    assert _names(tmp_path) == ["bundle"]


def test_new_folder_refuses_when_the_output_is_not_free(tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    _write(output, "old")
    with pytest.raises(InputError, match=r"bundle exists: .*--overwrite"):
        _write(output, "new")
    assert (output / "manifest.json").read_text() == "old"
    assert _names(tmp_path) == ["bundle"]


def test_new_folder_takes_the_place_when_it_is_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    _write(tmp_path / "bundle", "new")
    assert _names(tmp_path / "bundle") == ["engines", "manifest.json"]
    assert _names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["other-folder", "file", "link", "dangling-link"])
def test_new_folder_deletes_nothing_when_the_output_is_no_bundle(tmp_path: Path, kind: str, overwrite: bool) -> None:
    output, precious = tmp_path / "bundle", tmp_path / "precious"
    precious.mkdir()
    (precious / "manifest.json").write_text("precious")
    if kind == "other-folder":
        output.mkdir()
        (output / "thesis.tex").write_text("precious")
    elif kind == "file":
        output.write_text("precious")
    else:
        output.symlink_to(precious if kind == "link" else tmp_path / "nowhere")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="choose another -o"):
        _write(output, "new", overwrite=overwrite)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert (precious / "manifest.json").read_text() == "precious"
    with pytest.raises(InputError, match="choose another -o"):
        check_free(output, overwrite=overwrite)


def test_new_folder_replaces_the_bundle_when_told_to_overwrite(tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    _write(output, "old")
    (output / "stale.txt").write_text("stale")
    _write(output, "new", overwrite=True)
    assert (output / "manifest.json").read_text() == "new"
    assert _names(output) == ["engines", "manifest.json"]
    assert _names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(143)])
def test_new_folder_keeps_the_old_bundle_when_the_new_one_fails(tmp_path: Path, error: BaseException) -> None:
    output = tmp_path / "bundle"
    _write(output, "old")

    def fail() -> None:
        with new_folder(output, overwrite=True) as temporary:
            (temporary / "manifest.json").write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (output / "manifest.json").read_text() == "old"
    assert _names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), SystemExit(143)])
def test_new_folder_keeps_the_old_bundle_when_the_last_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    output = tmp_path / "bundle"
    _write(output, "old")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if ".tmp-" in self.name:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(error)):
        _write(output, "new", overwrite=True)
    assert (output / "manifest.json").read_text() == "old"
    assert _names(tmp_path) == ["bundle"]


def test_new_folder_syncs_everything_when_it_is_about_to_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, synced = tmp_path / "bundle", []
    fsync = os.fsync

    def watched(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").readlink().name, output.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    _write(output, "new")
    before = {name for name, appeared in synced if not appeared}
    assert {"manifest.json", "model.plan", "engines"} <= before
    assert any(".tmp-" in name for name in before)
    assert synced[-1] == (tmp_path.name, True)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_new_folder_follows_the_umask_when_it_appears(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        _write(tmp_path / "bundle", "new")
        assert os.umask(umask) == umask, "the process's umask was changed"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == mode


# ---- two at once


def test_new_folder_refuses_when_another_thread_writes_it(tmp_path: Path) -> None:
    output, entered, leave = tmp_path / "bundle", threading.Event(), threading.Event()

    def slow() -> None:
        with new_folder(output, overwrite=False) as temporary:
            (temporary / "manifest.json").write_text("first")
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=slow)
    thread.start()
    assert entered.wait(30)
    try:
        with pytest.raises(InputError, match=r"another export is writing .*bundle"):
            _write(output, "second")
        _write(tmp_path / "other", "third")
    finally:
        leave.set()
        thread.join()
    assert (output / "manifest.json").read_text() == "first"
    assert _names(tmp_path) == ["bundle", "other"]


_WRITER = """
import time
from pathlib import Path
import click
from fs_exporters.bundle import new_folder
from fs_runtime.cli.run import run

@click.command()
@click.argument("output", type=Path)
def command(output):
    with new_folder(output, overwrite=True) as temporary:
        (temporary / "model.onnx").write_text("half")
        (temporary / "manifest.json").write_text("half")
        print("writing", flush=True)
        time.sleep(60)

run(command, "command")
"""


def _writer(output: Path) -> "subprocess.Popen[bytes]":
    """Another process, in the middle of writing ``output``."""
    process = subprocess.Popen([sys.executable, "-c", _WRITER, output], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    return process


def test_new_folder_refuses_when_another_process_writes_it(tmp_path: Path) -> None:
    process = _writer(tmp_path / "bundle")
    try:
        with pytest.raises(InputError, match="another export is writing"):
            _write(tmp_path / "bundle", "new")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("there", [False, True])
def test_new_folder_succeeds_when_the_writer_before_was_killed(tmp_path: Path, there: bool) -> None:
    output = tmp_path / "bundle"
    if there:
        _write(output, "old")
    process = _writer(output)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    # Nothing that a person or a glob would take for a bundle: whatever is left is hidden.
    assert [name for name in _names(tmp_path) if not name.startswith(".")] == ["bundle"] * there
    assert any(".tmp-" in name for name in _names(tmp_path)), "it was killed too late to test anything"
    if there:
        assert (output / "manifest.json").read_text() == "old"
    _write(output, "new", overwrite=there)
    assert (output / "manifest.json").read_text() == "new"
    assert _names(tmp_path) == ["bundle"]


def test_new_folder_leaves_nothing_when_the_writer_is_terminated(tmp_path: Path) -> None:
    process = _writer(tmp_path / "bundle")
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err == b""
    assert _names(tmp_path) == []


# ---- what a killed export leaves


def test_new_folder_cleans_up_when_stale_temporaries_lie_about(tmp_path: Path) -> None:
    stale = tmp_path / ".bundle.tmp-abc"
    stale.mkdir()
    (stale / "manifest.json").write_text("half")
    for name in (".bundle2.tmp-abc", ".other.tmp-abc", "bundle.tmp-abc"):
        (tmp_path / name).mkdir()
    (tmp_path / ".bundle.lock").touch()
    _write(tmp_path / "bundle", "new")
    assert _names(tmp_path) == [".bundle2.tmp-abc", ".other.tmp-abc", "bundle", "bundle.tmp-abc"]


def test_new_folder_cleans_only_its_own_when_the_name_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / ".bundle.tmp-abc").mkdir()
    _write(tmp_path / "b*", "new")
    assert _names(tmp_path) == [".bundle.tmp-abc", "b*"]


def test_new_folder_restores_the_old_bundle_when_killed_between_the_renames(tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    _write(output, "old")
    output.rename(tmp_path / ".bundle.old")
    # Without --overwrite the export is refused, but the bundle is back.
    with pytest.raises(InputError, match="exists"):
        _write(output, "new")
    assert (output / "manifest.json").read_text() == "old"
    assert _names(tmp_path) == ["bundle"]
    output.rename(tmp_path / ".bundle.old")
    _write(output, "new", overwrite=True)
    assert (output / "manifest.json").read_text() == "new"
    assert _names(tmp_path) == ["bundle"]


def test_new_folder_drops_the_old_bundle_when_killed_after_the_renames(tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    _write(output, "newer")
    (tmp_path / ".bundle.old").mkdir()
    (tmp_path / ".bundle.old" / "manifest.json").write_text("old")
    with pytest.raises(InputError, match="exists"):
        _write(output, "newest")
    assert (output / "manifest.json").read_text() == "newer"
    assert _names(tmp_path) == ["bundle"]


def test_new_folder_locks_again_when_the_lock_file_was_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, flock, calls = tmp_path / ".bundle.lock", folder_module.fcntl.flock, []

    def racing(handle: int, operation: int) -> None:
        flock(handle, operation)
        calls.append(handle)
        if len(calls) == 1:
            lock.unlink()

    monkeypatch.setattr(folder_module.fcntl, "flock", racing)
    _write(tmp_path / "bundle", "new")
    assert len(calls) == 2
    assert _names(tmp_path) == ["bundle"]


# ---- changing a bundle that is there


def _change(bundle: Path, text: str) -> None:
    with changed_folder(bundle) as temporary:
        (temporary / "engines" / "second.plan").write_text(text)
        (temporary / "manifest.json").unlink()
        (temporary / "manifest.json").write_text(text)


def test_changed_folder_takes_the_bundles_place_when_the_block_ends(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    _write(bundle, "old")
    inode = (bundle / "engines" / "model.plan").stat().st_ino
    _change(bundle, "new")
    assert (bundle / "manifest.json").read_text() == "new"
    assert _names(bundle / "engines") == ["model.plan", "second.plan"]
    assert (bundle / "engines" / "model.plan").read_text() == "old"
    assert (bundle / "engines" / "model.plan").stat().st_ino == inode, "unchanged files are linked, not copied"
    assert _names(tmp_path) == ["bundle"]


def test_changed_folder_never_leaves_the_name_free_when_it_exchanges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    _write(bundle, "old")
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("two renames leave a moment without a bundle"))
    _change(bundle, "new")
    assert (bundle / "manifest.json").read_text() == "new"


def test_changed_folder_works_when_the_system_can_neither_exchange_nor_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    _write(bundle, "old")

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(folder_module, "exchange", lambda *_: False)
    monkeypatch.setattr(os, "link", no_links)
    _change(bundle, "new")
    assert (bundle / "manifest.json").read_text() == "new"
    assert (bundle / "engines" / "model.plan").read_text() == "old"
    assert _names(tmp_path) == ["bundle"]


def test_changed_folder_changes_the_bundle_and_not_the_link_when_given_a_link(tmp_path: Path) -> None:
    bundle, link = tmp_path / "bundle", tmp_path / "link"
    _write(bundle, "old")
    link.symlink_to(bundle)
    _change(link, "new")
    assert link.is_symlink()
    assert not bundle.is_symlink()
    assert (bundle / "manifest.json").read_text() == "new"
    assert _names(tmp_path) == ["bundle", "link"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_changed_folder_leaves_the_bundle_alone_when_the_block_fails(tmp_path: Path, error: BaseException) -> None:
    bundle = tmp_path / "bundle"
    _write(bundle, "old")

    def fail() -> None:
        with changed_folder(bundle) as temporary:
            (temporary / "engines" / "second.plan").write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (bundle / "manifest.json").read_text() == "old"
    assert _names(bundle / "engines") == ["model.plan"]
    assert _names(tmp_path) == ["bundle"]


def test_changed_folder_leaves_the_bundle_whole_when_it_is_killed(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    _write(bundle, "old")
    script = (
        _WRITER.replace("import new_folder", "import changed_folder as new_folder")
        .replace("new_folder(output, overwrite=True)", "new_folder(output)")
        .replace('(temporary / "manifest.json").write_text("half")', '(temporary / "manifest.json").unlink()')
    )
    process = subprocess.Popen([sys.executable, "-c", script, bundle], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.kill()
    process.communicate()
    assert (bundle / "manifest.json").read_text() == "old"
    assert _names(bundle) == ["engines", "manifest.json"]
    _change(bundle, "new")
    assert _names(tmp_path) == ["bundle"]
