"""The images that are evaluated, and their true labels."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fs_models.encoders.imagenet import imagenet_ids, imagenet_names
from fs_runtime.cli.terminal import encodable
from fs_runtime.errors import InputError
from fs_runtime.preprocess import image_files

TRUTHS = ("auto", "none", "folders", "names")
"""Where true labels come from, besides a .csv file; see :func:`true_labels`."""


@dataclass(frozen=True)
class Photo:
    """An image file.

    Attributes:
        path: of it.
        name: its path below the folder.
        truth: number of its true label; None: not known.
    """

    path: Path
    name: str
    truth: int | None


def find_photos(folder: Path, limit: int) -> tuple[Path, ...]:
    """At most ``limit`` images at any depth of a folder, evenly spaced in the order of their names.

    Raises:
        InputError: there is no folder, or it holds fewer than two images.
    """
    if not folder.is_dir():
        raise InputError(f"--data {folder} is not a folder: name a folder of images")
    found = image_files(folder)
    if len(found) < 2:
        raise InputError(
            f"--data {folder} holds {len(found)} images: give at least two, as each is compared with another one"
        )
    count = min(limit, len(found))
    return tuple(found[number * len(found) // count] for number in range(count))


def true_labels(
    truth: str, folder: Path, paths: Sequence[Path], labels: tuple[str, ...] | None
) -> tuple[tuple[Photo, ...], str]:
    """The images with their true labels, and where these come from.

    A label is named as the prototypes name it (letter case and ``_`` for a blank do not matter), or, for the 1000 of
    ImageNet, by its WordNet id (``n01440764``).

    Args:
        truth: ``folders``: an image's label is the name of the folder that it lies in; ``names``: its file's name up
            to the first ``_``; a path that ends in ``.csv``: lines ``path,label``, paths below ``folder``; ``none``:
            not known; ``auto``: ``folders`` where every image lies in a folder that is named as a label, else ``none``.
        folder: that the images are in.
        paths: the images.
        labels: of the prototypes; None: there are none.

    Raises:
        InputError: an image has no label, or one that the prototypes do not have.
    """
    plain = tuple(Photo(path, encodable(path.relative_to(folder).as_posix()), None) for path in paths)
    if truth == "none" or (truth == "auto" and labels is None):
        return plain, "none"
    if labels is None:
        raise InputError(f"--truth {truth} needs labels to compare with: give --prototypes")
    known = _numbers(labels)
    if truth == "auto":
        stated = {photo.name: _folder_of(photo) for photo in plain}
        if not all(_key(label) in known for label in stated.values()):
            return plain, "none"
        return _labelled(plain, stated, known, "folders"), "folders"
    if truth == "folders":
        return _labelled(plain, {photo.name: _folder_of(photo) for photo in plain}, known, truth), truth
    if truth == "names":
        return _labelled(plain, {photo.name: photo.path.stem.split("_")[0] for photo in plain}, known, truth), truth
    if not truth.endswith(".csv"):
        raise InputError(f"--truth must be one of {', '.join(TRUTHS)}, or a .csv file, not {truth!r}")
    return _labelled(plain, _read(Path(truth)), known, truth), Path(truth).name


def _labelled(
    photos: tuple[Photo, ...], stated: Mapping[str, str], known: Mapping[str, int], truth: str
) -> tuple[Photo, ...]:
    made = []
    for photo in photos:
        if photo.name not in stated:
            raise InputError(f"--truth {truth} has no line for {photo.name}: add it, or take the image away")
        label = stated[photo.name]
        if _key(label) not in known:
            raise InputError(
                f"--truth {truth}: {label!r}, the label of {photo.name}, is none of the prototypes' labels: name it as "
                "they do (ImageNet's by WordNet ids too), or give other --prototypes"
            )
        made.append(Photo(photo.path, photo.name, known[_key(label)]))
    return tuple(made)


def _numbers(labels: tuple[str, ...]) -> dict[str, int]:
    """The number of each name that stands for one label only."""
    names = [_key(label) for label in labels]
    counts = Counter(names)
    numbers = {name: number for number, name in enumerate(names) if counts[name] == 1}
    if labels == imagenet_names():
        numbers |= {name: number for number, name in enumerate(imagenet_ids())}
    return numbers


def _key(label: str) -> str:
    return label.replace("_", " ").casefold().strip()


def _folder_of(photo: Photo) -> str:
    parts = photo.name.split("/")
    return parts[-2] if len(parts) > 1 else ""


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--truth {path} cannot be read ({error}): give a .csv file of lines path,label") from error
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise InputError(f"--truth {path}: row {number} has {len(row)} fields: write path,label")
    return {name.strip(): label.strip() for name, label in rows}
