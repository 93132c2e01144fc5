"""The photos that a booster is fitted on, and those it is judged by meanwhile."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fs_models.encoders import EncoderSpec
from fs_runtime.errors import ImageError, InputError
from fs_runtime.preprocess import Decoded, decode, image_files, prepare

LEAST_PHOTOS = 16
"""Fewer photos leave nothing to learn from."""

ENOUGH_PHOTOS = 500
"""What is advised: the fewest that were tried (docs/gsb.md)."""

_HELD_OUT_SHARE = 0.08
_FEWEST_HELD_OUT, _MOST_HELD_OUT = 4, 64
_ROOM = 1.4  # short side of a stored photo, in units of the encoder's input
_MEMORY = 2 << 30

Uint8 = npt.NDArray[np.uint8]


@dataclass
class Photos:
    """The readable photos of a folder, those to fit on small and in memory as far as there is room.

    Attributes:
        folder: of the photos.
        fitted: those to fit on.
        held_out: those to judge by; never fitted on.
        skipped: names of files that could not be read.
        repeated: names of files with the same pixels as one before them, which are left out: a photo that is fitted on
            must not be among those that judge.
    """

    folder: Path
    short: int
    fitted: list[Path]
    held_out: list[Path]
    skipped: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    _stored: dict[int, Uint8] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        folder: Path,
        spec: EncoderSpec,
        *,
        seed: int,
        progress: Callable[[int, int], None] = lambda _, __: None,
    ) -> "Photos":
        """Read a folder of photos of any sizes; those that cannot be read, or that repeat, are skipped and listed.

        Args:
            folder: of photos, and folders of them.
            spec: of the encoder.
            seed: chooses which photos are held out.
            progress: called with (files done, files in all).

        Raises:
            InputError: there is no folder, or too few different photos in it can be read.
        """
        if not folder.is_dir():
            raise InputError(f"--data {folder} is not a folder: name a folder of photos")
        paths = image_files(folder)
        skipped: list[str] = []
        repeated: list[str] = []
        known: set[str] = set()
        readable: list[tuple[Path, Uint8 | None]] = []
        short, room = int(_ROOM * max(spec.height, spec.width)), _MEMORY
        for number, path in enumerate(paths):
            try:
                image = decode(path)
            except ImageError:
                skipped.append(path.relative_to(folder).as_posix())
            else:
                if image.sha256 in known:
                    repeated.append(path.relative_to(folder).as_posix())
                else:
                    known.add(image.sha256)
                    small = _small(image, short)
                    room -= small.nbytes
                    readable.append((path, small if room > 0 else None))
            progress(number + 1, len(paths))
        _check_enough(folder, len(readable), skipped, repeated)
        count = round(min(max(_HELD_OUT_SHARE * len(readable), _FEWEST_HELD_OUT), _MOST_HELD_OUT))
        order = list(range(len(readable)))
        random.Random(seed).shuffle(order)
        held_out, fitted = sorted(order[:count]), sorted(order[count:])
        photos = cls(folder, short, [readable[index][0] for index in fitted], [], skipped, repeated)
        photos.held_out = [readable[index][0] for index in held_out]
        for place, index in enumerate(fitted):
            small_photo = readable[index][1]
            if small_photo is not None:
                photos._stored[place] = small_photo
        return photos

    def photo(self, index: int) -> Uint8:
        """Photo ``index`` of those to fit on, uint8 [H, W, 3], as the shortest side of a store."""
        return self._stored[index] if index in self._stored else _small(decode(self.fitted[index]), self.short)

    def judged(self, spec: EncoderSpec) -> npt.NDArray[np.float32]:
        """Pixels [K, 3, H, W] of the held-out photos, prepared as the runtime prepares them."""
        return np.concatenate([prepare(path, spec.preprocess).pixel_values for path in self.held_out])

    def skipped_line(self) -> str:
        """What was skipped, in words; empty: nothing."""
        kinds = (("skipped", self.skipped), ("skipped as repeated", self.repeated))
        return ", ".join(f"{len(names)} {kind} ({_few(names)})" for kind, names in kinds if names)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _small(image: Decoded, short: int) -> Uint8:
    """A photo whose shorter side is at most ``short``."""
    pixels = np.asarray(np.rint(image.pixels * 255.0), np.uint8)
    height, width = pixels.shape[:2]
    scale = short / min(height, width)
    if scale >= 1.0:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _check_enough(folder: Path, readable: int, skipped: list[str], repeated: list[str]) -> None:
    if readable >= LEAST_PHOTOS:
        return
    unread = f", {len(skipped)} could not be read ({_few(skipped)})" if skipped else ""
    unread += f", {len(repeated)} repeat the pixels of others ({_few(repeated)})" if repeated else ""
    raise InputError(
        f"--data {folder} holds {readable} photos{unread}; a fit needs at least {LEAST_PHOTOS}, and {ENOUGH_PHOTOS} or "
        "more are advised: add photos like those that the encoder will see"
    )
