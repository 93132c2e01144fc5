"""Photos with a bundle's own noise, for the scales of an int8 graph: that is what its encoder sees."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fs_runtime.bundle import Manifest
from fs_runtime.bundle.manifest import Calibration
from fs_runtime.errors import ImageError, InputError
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import PreprocessRule, image_files, prepare

LEAST_IMAGES = 16
"""Fewer photos leave the scales to chance."""

ENOUGH_IMAGES = 128
"""What is advised: the most that was tried (docs/precision.md)."""

_SEED = 0
_LISTED = 64
Pixels = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass
class CalibrationImages:
    """A folder's photos, prepared as the runtime prepares them.

    Attributes:
        paths: files with an image's suffix, by name.
        skipped: names of those that could not be read, as far as they have been tried.
    """

    folder: Path
    rule: PreprocessRule
    paths: list[Path]
    skipped: list[str] = field(default_factory=list)
    taken: int = 0
    _pixels: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @classmethod
    def find(cls, folder: Path | None, rule: PreprocessRule) -> "CalibrationImages":
        """The photos of ``folder``.

        Raises:
            InputError: there is no folder, or it holds too few.
        """
        check_calibration(folder)
        assert folder is not None
        return cls(folder, rule, image_files(folder))

    def __iter__(self) -> Iterator[Pixels]:
        """Pixels [3, H, W] of each photo that can be read; the others are skipped and listed."""
        for path in self.paths:
            try:
                pixels = prepare(path, self.rule).pixel_values[0]
            except ImageError:
                self.skipped.append(path.relative_to(self.folder).as_posix())
                continue
            self.taken += 1
            self._pixels.update(pixels.tobytes())
            yield pixels

    def record(self) -> Calibration:
        """What the manifest says of them.

        Raises:
            InputError: too few could be read.
        """
        if self.taken < LEAST_IMAGES:
            unread = f", {len(self.skipped)} could not be read ({', '.join(self.skipped[:3])})" if self.skipped else ""
            raise InputError(
                f"--calibration {self.folder} holds {self.taken} photos{unread}; int8 needs at least {LEAST_IMAGES}, "
                f"and {ENOUGH_IMAGES} are advised: add photos like those that the encoder will see"
            )
        return Calibration(
            images=self.taken,
            skipped=len(self.skipped),
            skipped_names=tuple(name[:512] for name in self.skipped[:_LISTED]),
            pixels_sha256=self._pixels.hexdigest(),
            seed=f"{_SEED:032x}",
        )


def check_calibration(folder: Path | None) -> None:
    """Refuse early what :meth:`CalibrationImages.find` and :meth:`CalibrationImages.record` would refuse.

    Raises:
        InputError: there is no folder, or it holds too few files that look like images.
    """
    if folder is None:
        raise InputError(
            "--precision int8 needs photos to choose its scales by: give --calibration DIR with "
            f"{LEAST_IMAGES} or more photos like those that the encoder will see; {ENOUGH_IMAGES} are advised"
        )
    if not folder.is_dir():
        raise InputError(f"--calibration {folder} is not a folder: name a folder of photos")
    found = len(image_files(folder))
    if found < LEAST_IMAGES:
        raise InputError(
            f"--calibration {folder} holds {found} photos; int8 needs at least {LEAST_IMAGES}, and {ENOUGH_IMAGES} are "
            "advised: add photos like those that the encoder will see"
        )


class NoisyBatches:
    """Feeds for the smoothed graph, [N] different photos a batch, one draw of noise each.

    The graph adds its image and its noise; fed zeros for the one and photo + noise, which is exact on the grid, for the
    other, a batch of draws holds as many photos. A last batch that is not full repeats its photos with fresh noise.
    """

    def __init__(self, images: CalibrationImages, manifest: Manifest, *, threads: int, progress: Progress) -> None:
        self._feeds = self._made(images, manifest, threads, progress)

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        """The next feed, or None: what ONNX Runtime's calibration asks for."""
        return next(self._feeds, None)

    def _made(
        self, images: CalibrationImages, manifest: Manifest, threads: int, progress: Progress
    ) -> Iterator[dict[str, npt.NDArray[np.generic]]]:
        shape = (manifest.noise_batch, 3, manifest.height, manifest.width)
        still = {
            tensor.name: np.zeros(tensor.shape, tensor.dtype)
            for tensor in manifest.smoothed_inputs
            if tensor.name != "noise"
        }
        still["reference"][..., 0] = 1.0
        total = len(images.paths)
        with NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=threads) as source:
            noise = source.blocks(_SEED, Stream.PILOT, total + manifest.noise_batch)
            for batch in _batches(images, manifest.noise_batch):
                yield {**still, "noise": next(noise) + batch}
                progress(images.taken + len(images.skipped), total)
        images.record()  # refuses too few before scales are made of them


def _batches(images: CalibrationImages, size: int) -> Iterator[Pixels]:
    """Photos [size, 3, H, W] a batch, the last one filled up with its own."""
    batch: list[Pixels] = []
    for pixels in images:
        batch.append(pixels)
        if len(batch) == size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack([batch[index % len(batch)] for index in range(size)])
