"""Gaussian noise on the pixel grid, from Philox words by Box-Muller (docs/theory.md sections 8 and 9).

Word j of a draw gives two values: its low half the radius, its high half the angle,

    u = (low + 1) / 2^32,   r = sqrt(-2 ln u),   phi = pi * int32(high) / 2^31,

value j is r cos(phi) and value j + ceil(d / 2) is r sin(phi). Noise is k h with h = 2^-20 and
k = floor(sigma * value / h + 1/2), held exactly by float32.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fs_runtime.grid import GRID_STEP
from fs_runtime.noise.philox import DrawWords, Stream

Precision: TypeAlias = type[np.float32] | type[np.float64]

LARGEST_SIGMA = 2.0
"""Beyond it |x + noise| could reach 16, where float32 no longer holds the grid."""

# float32 keeps a fraction of a grid step, and so rounds k without bias, while sigma * 6.67 / h stays well below 2^23.
_LARGEST_SIGMA_IN_FLOAT32 = 0.5
# Uniforms this close to 1 lose their relative distance from 1 in float32; they are redone in float64 (1 in 1,000).
_NEAR_ONE = 1.0 - 2.0**-10
_CHUNK = 1 << 17


class GridNoise:
    """Makes draws of noise; holds scratch space, so each thread needs its own."""

    def __init__(self, sigma: float, size: int, dtype: Precision | None = None) -> None:
        """Prepare draws of ``size`` values with standard deviation ``sigma`` (units of [0, 1] pixels).

        Args:
            sigma: standard deviation, in (0, LARGEST_SIGMA].
            size: values in a draw (3 H W).
            dtype: precision of Box-Muller; the default is float32 where that is free of bias, else float64.

        Raises:
            ValueError: sigma out of range.
        """
        if not 0.0 < sigma <= LARGEST_SIGMA:
            raise ValueError(f"sigma must lie in (0, {LARGEST_SIGMA}], not {sigma}")
        if dtype is None:
            dtype = np.float32 if sigma <= _LARGEST_SIGMA_IN_FLOAT32 else np.float64
        self._kind = dtype
        self._size = size
        self._pairs = (size + 1) // 2
        # r is scaled to grid steps at once: (sigma / h) sqrt(-2 ln u) = sqrt(scale * ln u).
        self._scale = self._kind(-2.0 * (sigma / GRID_STEP) ** 2)
        chunk = min(_CHUNK, self._pairs)
        self._radius, self._angle, self._cosine = (np.empty(chunk, dtype) for _ in range(3))
        self._near = np.empty(chunk, np.bool_)

    def fill(self, out: npt.NDArray[np.float32], seed: int, stream: Stream, draw: int) -> None:
        """Write draw number ``draw`` of ``stream`` into the flat array ``out`` [size]."""
        words = DrawWords(seed, stream, draw)
        for start in range(0, self._pairs, _CHUNK):
            count = min(_CHUNK, self._pairs - start)
            halves = words.take(count).astype("<u8", copy=False).view("<u4")
            radius = self._radii(halves[::2])
            angle, cosine = self._angle[:count], self._cosine[:count]
            angle[...] = halves.view("<i4")[1::2]
            np.multiply(angle, self._kind(math.pi / 2.0**31), out=angle)
            np.cos(angle, out=cosine)
            sine = np.sin(angle, out=angle)
            self._round(cosine, radius, out[start : start + count])
            second = out[self._pairs + start : self._pairs + start + count]
            self._round(sine[: len(second)], radius[: len(second)], second)

    def _radii(self, low: npt.NDArray[np.uint32]) -> npt.NDArray[np.floating]:
        radius, near = self._radius[: len(low)], self._near[: len(low)]
        radius[...] = low
        np.add(radius, self._kind(1.0), out=radius)
        np.multiply(radius, self._kind(2.0**-32), out=radius)
        close = np.flatnonzero(np.greater(radius, self._kind(_NEAR_ONE), out=near))
        np.log(radius, out=radius)
        # ln((low + 1) / 2^32) = ln(1 - (2^32 - 1 - low) / 2^32), where the numerator is exact.
        radius[close] = np.log1p((low[close].astype(np.float64) - (2.0**32 - 1.0)) * 2.0**-32)
        np.multiply(radius, self._scale, out=radius)
        return np.sqrt(radius, out=radius)

    def _round(
        self, unit: npt.NDArray[np.floating], radius: npt.NDArray[np.floating], out: npt.NDArray[np.float32]
    ) -> None:
        np.multiply(unit, radius, out=unit)
        np.add(unit, self._kind(0.5), out=unit)
        np.floor(unit, out=unit)
        np.multiply(unit, self._kind(GRID_STEP), out=out, casting="same_kind")
