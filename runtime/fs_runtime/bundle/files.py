"""Finding and hashing the files of a bundle: regular files inside it, reached without links."""

import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from fs_runtime.errors import BundleError

_BLOCK = 1 << 20


def locate(root: Path, relative: str) -> Path:
    """The file ``relative`` inside the bundle ``root``.

    Raises:
        BundleError: the path is absolute, climbs out, passes a link, or is no regular file.
    """
    parts = PurePosixPath(relative).parts
    if not parts or "\\" in relative or "\0" in relative or relative.startswith("/") or ".." in parts:
        raise BundleError(f"{root}: the manifest names {relative!r}, which is not a path inside the bundle: refuse it")
    path = root
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise BundleError(f"{path} is a link: a bundle holds regular files only; export it again")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise BundleError(f"{path} is missing or unreadable ({error.strerror}): copy the whole bundle again") from error
    if not stat.S_ISREG(mode):
        raise BundleError(f"{path} is not a regular file: a bundle holds regular files only; export it again")
    return path


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 (hexadecimal) of the files' bytes, one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


def total_bytes(paths: Iterable[Path]) -> int:
    """Size of the files together."""
    return sum(path.stat().st_size for path in paths)
