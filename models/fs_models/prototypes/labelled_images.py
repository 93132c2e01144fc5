"""Prototypes from images: the mean feature of a class, or every image of a gallery by itself."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from fs_models.encoders import EncoderAdapter, OfferedPrototypes
from fs_runtime.errors import ImageError, InputError
from fs_runtime.plural import count
from fs_runtime.preprocess import image_files, prepare

_BATCH = 16
Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True)
class MadeOfImages:
    """Prototypes, and what became of the images.

    Attributes:
        prototypes: [C, D].
        images: how many were used.
        skipped: why each other one was not, a sentence each.
    """

    prototypes: OfferedPrototypes
    images: int
    skipped: tuple[str, ...]


def class_means(
    encoder: EncoderAdapter, folder: Path, *, sigma: float = 0.0, draws: int = 0, progress: Progress | None = None
) -> MadeOfImages:
    """One prototype a class: the mean of the unit features of its images.

    Args:
        encoder: bare encoder.
        folder: holds a folder of images for each class, whose name is the label.
        sigma: noise standard deviation, in units of [0, 1] pixels, for ``draws``.
        draws: noisy copies of each image that stand for it; 0: the image itself, without noise.
        progress: called after every few images.

    Raises:
        InputError: fewer than two classes, or a class with no image that can be read.
    """
    classes = class_images(folder)
    listed = [(name, path) for name, paths in classes.items() for path in paths]
    sums: dict[str, torch.Tensor] = {}
    used: Counter[str] = Counter()
    skipped: list[str] = []
    for number, outcome in enumerate(_features(encoder, [path for _, path in listed], sigma, draws, progress)):
        name = listed[number][0]
        if isinstance(outcome, ImageError):
            skipped.append(str(outcome))
            continue
        sums[name] = sums[name] + outcome if name in sums else outcome
        used[name] += 1
    if unread := [name for name in classes if name not in used]:
        raise InputError(
            f"--prototypes-from {folder}: no image of {unread[0]!r} can be read ({skipped[0]}): "
            "give each class at least one"
        )
    vectors = torch.stack([sums[name] / used[name] for name in classes])
    return MadeOfImages(OfferedPrototypes(vectors, tuple(classes)), used.total(), tuple(skipped))


def gallery(encoder: EncoderAdapter, folder: Path, *, progress: Progress | None = None) -> MadeOfImages:
    """One prototype an image: its feature without noise, named by its path below ``folder``.

    Args:
        encoder: bare encoder.
        folder: of images, at any depth.
        progress: called after every few images.

    Raises:
        InputError: fewer than two images that can be read.
    """
    paths = gallery_images(folder)
    vectors, names, skipped = [], [], []
    for path, outcome in zip(paths, _features(encoder, paths, 0.0, 0, progress), strict=True):
        if isinstance(outcome, ImageError):
            skipped.append(str(outcome))
        else:
            vectors.append(outcome)
            names.append(path.relative_to(folder).as_posix())
    if len(names) < 2:
        raise InputError(f"--gallery {folder} holds {count(len(names), 'image')} that can be read: give at least two")
    return MadeOfImages(OfferedPrototypes(torch.stack(vectors), tuple(names)), len(names), tuple(skipped))


def gallery_images(folder: Path) -> list[Path]:
    """The images of a gallery, none of which is read.

    Raises:
        InputError: there is none.
    """
    return _listed(folder, "--gallery")


def class_images(folder: Path) -> dict[str, list[Path]]:
    """The images of each class, none of which is read.

    Raises:
        InputError: fewer than two classes, or one without an image.
    """
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"--prototypes-from {folder} cannot be read ({error.strerror}): name a folder with a folder of images "
            "for each class"
        ) from error
    if len(below) < 2:
        raise InputError(
            f"--prototypes-from {folder} holds {count(len(below), 'folder')}: it needs one of images for each class"
        )
    return {path.name: _listed(path, "--prototypes-from") for path in below}


def _listed(folder: Path, flag: str) -> list[Path]:
    found = image_files(folder)
    if not found:
        raise InputError(f"{flag}: {folder} holds no image: name a folder of image files")
    return found


def _features(
    encoder: EncoderAdapter, paths: Sequence[Path], sigma: float, draws: int, progress: Progress | None
) -> Iterator[torch.Tensor | ImageError]:
    """For each path the mean [D] of its unit features in float64, or why it cannot be read."""
    # Any fixed vectors are valid prototypes, so a fixed seed harms nothing and gives the same bundle again.
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(paths), _BATCH):
        outcomes = [_pixels(encoder, path) for path in paths[start : start + _BATCH]]
        readable = [outcome for outcome in outcomes if isinstance(outcome, torch.Tensor)]
        features = iter(_means(encoder, torch.cat(readable), sigma, draws, generator) if readable else ())
        yield from (outcome if isinstance(outcome, ImageError) else next(features) for outcome in outcomes)
        if progress is not None:
            progress(min(start + _BATCH, len(paths)), len(paths))


def _pixels(encoder: EncoderAdapter, path: Path) -> torch.Tensor | ImageError:
    try:
        return torch.from_numpy(prepare(path, encoder.spec.preprocess).pixel_values)
    except ImageError as error:
        return error


def _means(
    encoder: EncoderAdapter, pixels: torch.Tensor, sigma: float, draws: int, generator: torch.Generator
) -> torch.Tensor:
    with torch.inference_mode():
        if draws == 0:
            return _unit(encoder(pixels))
        total = torch.zeros(())
        for _ in range(draws):
            total = total + _unit(encoder(pixels + sigma * torch.randn(pixels.shape, generator=generator)))
        return total / draws


def _unit(features: torch.Tensor) -> torch.Tensor:
    return functional.normalize(features.flatten(1).double(), dim=-1)
