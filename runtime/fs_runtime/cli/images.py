"""Which images a command is to work on: files, folders, patterns, names from stdin."""

import glob
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fs_runtime.errors import InputError
from fs_runtime.preprocess import image_files

STDIN = "-"


@dataclass(frozen=True)
class ImageList:
    """Images in the order in which they were named.

    Attributes:
        paths: to be taken once; names from stdin are taken as they come.
        count: how many; None while stdin is not read.
    """

    paths: Iterator[Path]
    count: int | None

    def counted(self) -> "ImageList":
        """The same with all names read."""
        paths = list(self.paths)
        return ImageList(iter(paths), len(paths))


def image_list(names: tuple[str, ...]) -> ImageList:
    """What ``names`` mean: a file, a folder (every image below it, by name), a pattern, or ``-`` for names on stdin.

    A file that exists is never read as a pattern, and a pattern that matches nothing is taken for a missing file.

    Raises:
        InputError: a folder holds no image, or ``-`` is not alone.
    """
    if STDIN in names:
        if len(names) > 1:
            raise InputError("- (names on stdin) cannot be mixed with other images: name them all on stdin")
        return ImageList(_from_stdin(), None)
    found = [path for name in names for path in _expanded(name)]
    return ImageList(iter(found), len(found))


def _expanded(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        images = image_files(path)
        if not images:
            raise InputError(f"{name} holds no image: name a folder of image files")
        return images
    if glob.has_magic(name) and not path.exists():
        matches = sorted(Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207  # Path.glob wants no root
        if files := [match for match in matches if match.is_file()]:
            return files
    return [path]  # one that is missing is that image's own error


def _from_stdin() -> Iterator[Path]:
    for line in sys.stdin:
        if name := line.rstrip("\r\n"):
            yield Path(name)
