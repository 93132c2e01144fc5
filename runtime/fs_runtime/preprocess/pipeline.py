"""The whole way from an image to the graph's `pixel_values`, with what a certificate says about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fs_runtime.grid import to_grid
from fs_runtime.preprocess.decode import MAX_PIXELS, ImageLike, decode
from fs_runtime.preprocess.linear_map import operator_norm, rounding_error
from fs_runtime.preprocess.resample import resize
from fs_runtime.preprocess.rule import Geometry, PreprocessRule, plan

_DECODING = 2.0**-25  # half a unit in the last place of fp32 pixels in [0, 1]


@dataclass(frozen=True)
class PreparedImage:
    """One image as the graph receives it. Distances are l2 over pixels in [0, 1].

    Attributes:
        pixel_values: fp32 [1, 3, H, W], C-contiguous, in [0, 1] and on the grid.
        sha256: Digest of the original pixels; see `fs_runtime.preprocess.Decoded`.
        name: The path, ``<PIL image>`` or ``<array>``.
        height: Rows of the original image, upright.
        width: Columns of the original image, upright.
        operator_norm: Norm of the linear part of the map from the original to the graph's pixels
            (docs/theory.md section 7).
        resampling_error: Bound on the distance between the fp32 result and that linear map's, with the rounding
            of the original pixels to fp32; the given and the attacked image each pay it.
        grid_distance: How far the grid moved this image (docs/theory.md section 8).
    """

    pixel_values: NDArray[np.float32]
    sha256: str
    name: str
    height: int
    width: int
    operator_norm: float
    resampling_error: float
    grid_distance: float


def prepare(image: ImageLike, rule: PreprocessRule, *, max_pixels: int = MAX_PIXELS) -> PreparedImage:
    """Decode, pad, resize, crop, clip and put on the grid.

    Clipping comes after the affine map and is 1-Lipschitz, so it costs nothing; there is no rounding to
    integers.

    Args:
        image: A path, a PIL image, or an [H, W, 3] array: uint8, or float with values in [0, 1].
        rule: Pad, resize and crop, as the bundle's manifest states them.
        max_pixels: Largest height times width accepted.

    Raises:
        ImageError: If the image cannot be read, or its size does not suit the rule.
    """
    decoded = decode(image, max_pixels=max_pixels)
    height, width = decoded.pixels.shape[:2]
    geometry = plan(rule, height, width, name=decoded.name)
    norm = operator_norm(geometry)
    clipped = np.clip(_affine_map(decoded.pixels, geometry), 0.0, 1.0)
    on_grid = to_grid(clipped)
    return PreparedImage(
        pixel_values=np.ascontiguousarray(on_grid.transpose(2, 0, 1)[np.newaxis]),
        sha256=decoded.sha256,
        name=decoded.name,
        height=height,
        width=width,
        operator_norm=norm,
        resampling_error=rounding_error(geometry) + norm * _DECODING * math.sqrt(decoded.pixels.size),
        grid_distance=float(np.linalg.norm(clipped.astype(np.float64) - on_grid)),
    )


def _affine_map(pixels: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    if geometry.padded != geometry.source:
        pixels = _padded(pixels, geometry)
    if geometry.kernel is not None and geometry.resizes:
        pixels = resize(pixels, *geometry.resized, geometry.kernel)
    (top, bottom), (left, right) = geometry.kept(0), geometry.kept(1)
    output = np.zeros((*geometry.output, 3), np.float32)
    down, across = top - geometry.offset[0], left - geometry.offset[1]
    output[down : down + bottom - top, across : across + right - left] = pixels[top:bottom, left:right]
    return output


def _padded(pixels: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """The image on its ground."""
    ground = np.empty((*geometry.padded, 3), np.float32)
    ground[:] = geometry.fill
    ground[slice(*geometry.placed(0)), slice(*geometry.placed(1))] = pixels
    return ground
