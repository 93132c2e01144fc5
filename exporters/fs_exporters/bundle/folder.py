"""Writing a folder so that it appears whole or not at all (docs/bundle-format.md)."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fs_exporters.bundle.exchange import exchange
from fs_runtime.bundle import MANIFEST
from fs_runtime.errors import FsError, InputError


@contextmanager
def new_folder(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside ``output`` that takes its place when the block ends without an exception.

    The folder is made, synced and renamed under a lock file; whatever a killed export left is cleaned by the next one.

    Args:
        output: where the bundle shall be.
        overwrite: replace a bundle that is there.

    Raises:
        InputError: ``output`` exists, or another export is writing it.
    """
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with _lock(output):
        _recover(output)
        check_free(output, overwrite=overwrite)
        temporary = Path(tempfile.mkdtemp(prefix=_temporary_prefix(output), dir=output.parent))
        try:
            yield temporary
            _sync(temporary)
            _install(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def changed_folder(bundle: Path) -> Iterator[Path]:
    """A copy of ``bundle`` to change, which takes its place when the block ends without an exception.

    Its files are links to those of the bundle: replace or remove them, but never write into one. Where the system can
    exchange two folders, ``bundle`` is whole at every moment; elsewhere as with :func:`new_folder`.

    Args:
        bundle: a bundle that is there.

    Raises:
        InputError: another export is writing it.
    """
    bundle = bundle.resolve()  # an exchange must not put a folder in the place of a link
    with _lock(bundle):
        _recover(bundle)
        temporary = Path(tempfile.mkdtemp(prefix=_temporary_prefix(bundle), dir=bundle.parent))
        try:
            shutil.copytree(bundle, temporary, symlinks=True, copy_function=_link, dirs_exist_ok=True)
            yield temporary
            _sync(temporary)
            if not exchange(temporary, bundle):
                _install(temporary, bundle)
            _sync_folder(bundle.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """A second name for a file, or a copy where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def check_free(output: Path, *, overwrite: bool) -> None:
    """Refuse early what :func:`new_folder` would refuse.

    Raises:
        InputError: ``output`` exists, and is not a bundle that may be overwritten.
        FsError: the system refuses to say.
    """
    try:
        _check_free(output, overwrite)
    except OSError as error:
        raise unwritable(output, error) from error


def _check_free(output: Path, overwrite: bool) -> None:
    if not output.exists() and not output.is_symlink():
        return
    if output.is_dir() and not output.is_symlink():
        if not any(output.iterdir()):
            return
        if overwrite and (output / MANIFEST).is_file():
            return
        if overwrite:
            raise InputError(f"{output} holds no bundle, so --overwrite would delete something else: choose another -o")
        raise InputError(f"{output} exists: choose another -o, or give --overwrite to replace the bundle")
    raise InputError(f"{output} exists and is not a folder: choose another -o")


def check_writable(output: Path) -> None:
    """Find out early whether ``output`` can be made, by making and removing a folder where it would be.

    Raises:
        FsError: it cannot.
    """
    output = output.absolute()
    place = output.parent
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        probe = Path(tempfile.mkdtemp(prefix=_temporary_prefix(output), dir=place))
        with suppress(FileNotFoundError):  # another export may have cleaned it up
            probe.rmdir()
    except OSError as error:
        raise unwritable(output, error) from error


def unwritable(output: Path, error: OSError) -> FsError:
    """What to say when the system refuses to write ``output``."""
    return FsError(f"cannot write {output}: {error.strerror or error}; free space or choose another -o")


def _install(temporary: Path, output: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o777 & ~umask)
    old = _old(output)
    try:
        if output.exists():
            output.rename(old)
        temporary.rename(output)
    except BaseException:
        # A signal can come between any two lines.
        if old.exists() and not output.exists():
            old.rename(output)
        raise
    _sync_folder(output.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(output: Path) -> None:
    """Clean up after an export that was killed; holding the lock, nobody else can be writing."""
    old = _old(output)
    if old.exists():
        if output.exists():
            shutil.rmtree(old)
        else:
            old.rename(output)
    prefix = _temporary_prefix(output)
    for stale in output.parent.iterdir():
        # Another output may be called "NAME.tmp-...": its temporaries have a second dot there.
        if stale.name.startswith(prefix) and "." not in stale.name.removeprefix(prefix):
            shutil.rmtree(stale, ignore_errors=True)


def _temporary_prefix(output: Path) -> str:
    return f".{output.name}.tmp-"


def _old(output: Path) -> Path:
    return output.with_name(f".{output.name}.old")


@contextmanager
def _lock(output: Path) -> Iterator[None]:
    path = output.with_name(f".{output.name}.lock")
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InputError(f"another export is writing {output}: wait for it, or choose another folder") from None
        # Whoever held the lock before may have removed the file between our open and our lock.
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            break
        os.close(handle)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _sync(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(root))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
