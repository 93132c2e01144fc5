"""The photos of a report: clean, and with noise of the certificate's sigma."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.environment import default_max_pixels
from fs_runtime.errors import ImageError
from fs_runtime.noise import GridNoise, Stream
from fs_runtime.preprocess import decode

LARGEST_SIDE = 224
_LARGEST_NOISY_SIDE = 1024
_ILLUSTRATION_SEED = 0


@dataclass(frozen=True)
class Photo:
    """The central square of a photo at about the graph's resolution, without and with noise.

    The noise is an illustration: the same for every photo, and not the noise of any certificate.
    """

    clean: Image.Image
    noisy: Image.Image


@dataclass(frozen=True)
class NoPhoto:
    """Why a photo cannot be shown."""

    reason: str


def find_photo(certificate: FeatureCertificate) -> Photo | NoPhoto:
    """The photo that was certified, if its file is there and still holds the same pixels."""
    facts = certificate.image
    if facts.name.startswith("<"):
        return NoPhoto("was handed over in memory, not as a file")
    try:
        decoded = decode(facts.name, max_pixels=default_max_pixels())
    except (ImageError, OSError, ValueError):
        # ValueError: a path with a NUL byte. Whatever it is, the photo is an extra: the certificate is shown.
        return NoPhoto("the file is not here or cannot be read")
    if decoded.sha256 != facts.sha256:
        return NoPhoto("the file holds other pixels now than were certified")
    original = Image.fromarray(np.rint(decoded.pixels * 255.0).astype(np.uint8))
    return _photo(original, round(math.sqrt(facts.values / 3)), certificate.sigma)


def jpeg_uri(image: Image.Image) -> str:
    """The picture as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _photo(original: Image.Image, side: int, sigma: float) -> Photo:
    side = min(max(side, 1), _LARGEST_NOISY_SIDE)
    clean = ImageOps.fit(original, (side, side), Image.Resampling.BICUBIC)
    noise = np.empty(3 * side * side, np.float32)
    GridNoise(sigma, noise.size).fill(noise, _ILLUSTRATION_SEED, Stream.SMOOTH, 0)
    values = np.asarray(clean, np.float32) / 255.0 + noise.reshape(side, side, 3)
    noisy = Image.fromarray(np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8))
    return Photo(_small(clean), _small(noisy))


def _small(image: Image.Image) -> Image.Image:
    if image.width <= LARGEST_SIDE:
        return image
    return image.resize((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BOX)
