"""From whatever the user calls an image to float RGB pixels in [0, 1].

Conventions, all Pillow's and therefore transformers': alpha is dropped, not composited; grey is repeated into
three channels; colour profiles are ignored; EXIF orientation is applied. 16-bit grey keeps its 16 bits;
16-bit colour files are read with 8 bits a channel, because Pillow has no deeper colour mode.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fs_runtime.errors import ImageError

MAX_PIXELS = 64_000_000
"""Pixels beyond which an image is refused unless the caller raises the limit."""

ImageLike = str | os.PathLike[str] | Image.Image | NDArray[Any]

# Raster formats read by code inside the process. Pillow also knows EPS, which it hands to Ghostscript.
_FORMATS = frozenset(
    {"AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP"}
)


@dataclass(frozen=True)
class Decoded:
    """Pixels of one image.

    Attributes:
        pixels: fp32 [H, W, 3], RGB, in [0, 1].
        sha256: Hex digest over dtype, shape and values of the decoded pixels, taken as uint8 where the
            image has 8 bits a channel and as fp32 otherwise. The same pixels give the same digest from a
            file, a PIL image or an array.
        name: The path, ``<PIL image>`` or ``<array>``.
    """

    pixels: NDArray[np.float32]
    sha256: str
    name: str


def decode(image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Read an image.

    Args:
        image: A path, a PIL image, or an [H, W, 3] array: uint8, or float with values in [0, 1].
        max_pixels: Largest height times width accepted; checked on a file's header, before its pixels are
            decoded. Pillow keeps a limit of its own (`PIL.Image.MAX_IMAGE_PIXELS`: it warns above, and
            refuses above twice that). It is global to the process, so it is left as it is.

    Raises:
        ImageError: If the image is missing, broken, animated, empty, too large, or does not hold such pixels.
    """
    if isinstance(image, np.ndarray):
        return _decode_array(image, max_pixels)
    if isinstance(image, Image.Image):
        name = "<PIL image>"
        with _pillow_errors(name):
            array = _read_upright(image, name, max_pixels)
        return _from_pillow(array, name)
    if isinstance(image, (str, os.PathLike)):
        return _decode_file(os.fspath(image), max_pixels)
    raise ImageError(
        f"an image cannot be of type {type(image).__name__}; give a path, a PIL image, or a uint8 or float HxWx3 array"
    )


def _decode_file(path: str, max_pixels: int) -> Decoded:
    name = str(path)
    with _pillow_errors(name):
        file = Path(path)
        if not file.exists():
            raise ImageError(f"{name} does not exist; give the path of an image")
        # A pipe or a device would block or never end.
        if not file.is_file():
            raise ImageError(f"{name} is not a regular file; give the path of an image")
        with Image.open(file) as image:
            if image.format not in _FORMATS:
                raise ImageError(f"{name} is {image.format}, which is not read; convert it to PNG or JPEG")
            array = _read_upright(image, name, max_pixels)
    return _from_pillow(array, name)


def _read_upright(image: Image.Image, name: str, max_pixels: int) -> NDArray[Any]:
    """Let Pillow decode: uint8 [H, W, 3], or [H, W] for the grey modes that are deeper than 8 bits."""
    _check_size(image.height, image.width, max_pixels, name)
    frames = getattr(image, "n_frames", 1)
    # An MPO is a photo followed by its previews, or by the second eye's view: many phones write it as .jpg.
    if frames > 1 and image.format != "MPO":
        raise ImageError(f"{name} has {frames} frames; save the one you mean as a still image")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F" or upright.mode.startswith("I"):
        return np.asarray(upright)
    return np.asarray(upright.convert("RGB"))


def _decode_array(array: NDArray[Any], max_pixels: int) -> Decoded:
    name = "<array>"
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"{name} has shape {array.shape}; an image array is HxWx3, RGB, channels last")
    _check_size(array.shape[0], array.shape[1], max_pixels, name)
    if array.dtype == np.uint8:
        return _from_uint8(array, name)
    if array.dtype.kind != "f":
        raise ImageError(f"{name} has dtype {array.dtype}; use uint8, or float with values in [0, 1]")
    _check_unit_range(array, name)
    return _from_float(array.astype(np.float32), name)


def _from_uint8(array: NDArray[np.uint8], name: str) -> Decoded:
    return Decoded(np.divide(array, np.float32(255), dtype=np.float32), _digest(array), name)


def _from_pillow(array: NDArray[Any], name: str) -> Decoded:
    if array.ndim == 3:
        return _from_uint8(array, name)
    # Mode "I" is wider than the 16-bit files it comes from; values beyond 16 bits fail the range check.
    grey = array / (1.0 if array.dtype.kind == "f" else 65_535.0)
    _check_unit_range(grey, name)
    return _from_float(np.repeat(grey.astype(np.float32)[:, :, np.newaxis], 3, axis=2), name)


def _from_float(array: NDArray[np.float32], name: str) -> Decoded:
    return Decoded(array, _digest(array), name)


def _digest(array: NDArray[Any]) -> str:
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape}\n".encode())
    digest.update(little_endian.data)
    return digest.hexdigest()


def _check_size(height: int, width: int, max_pixels: int, name: str) -> None:
    if height < 1 or width < 1:
        raise ImageError(f"{name} is empty ({width} x {height} pixels); give an image with pixels")
    if height * width > max_pixels:
        raise ImageError(
            f"{name} has {width} x {height} pixels, more than max_pixels = {max_pixels}; shrink it or raise max_pixels",
            argument="max_pixels",
        )


def _check_unit_range(array: NDArray[Any], name: str) -> None:
    low, high = float(array.min()), float(array.max())
    # Written so that NaN, which compares false, is refused too.
    if not (low >= 0.0 and high <= 1.0):
        raise ImageError(f"{name} has values from {low:g} to {high:g}; scale them to [0, 1] and remove NaN")


@contextmanager
def _pillow_errors(name: str) -> Iterator[None]:
    """Turn what Pillow raises into an ImageError that names the image."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image Pillow can read; convert it to PNG or JPEG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name} is too large ({error}); shrink it, or raise max_pixels and PIL.Image.MAX_IMAGE_PIXELS",
            argument="max_pixels",
        ) from error
    # Pillow's readers let nearly any exception out on a broken file (OSError, SyntaxError, ValueError,
    # TypeError, struct.error, zlib.error, ...), and which ones differ by version. So only Pillow's own work
    # runs in this context.
    except Exception as error:
        raise ImageError(f"{name} cannot be read as an image ({error}); save it again or give another") from error
