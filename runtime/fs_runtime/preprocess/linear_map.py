"""The linear operator behind resizing and cropping, and its exact l2 norm (docs/theory.md section 7).

Resampling is separable: the whole map is ``A_h x A_w`` on each channel, and ``||A||_2 = ||A_h||_2 ||A_w||_2``
with only the rows that the crop keeps. A crop larger than the image adds zero rows, which change nothing. Padding
before the resize makes the map affine: the ground's colour adds a constant, which no two images differ in, and what is
linear has only the columns where the image lies. Each axis is small enough to measure rather than derive: its weights
are read off by resizing impulses with the same Pillow code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fs_runtime.preprocess.resample import Kernel, resize_plane
from fs_runtime.preprocess.rule import Geometry

# Radius of each kernel in source pixels at scale 1; Pillow widens it by the scale when shrinking.
_SUPPORT: dict[Kernel, float] = {
    "nearest": 0.5,
    "box": 0.5,
    "bilinear": 1.0,
    "hamming": 1.0,
    "bicubic": 2.0,
    "lanczos": 3.0,
}
_UNIT_ROUNDOFF = 2.0**-24  # fp32
_PROBE_FLOATS = 2**22
_BLOCK = 2048


@dataclass(frozen=True)
class _Axis:
    """Rows of one axis's matrix, each stored as a window: row i holds weights[i] from column starts[i] on."""

    starts: NDArray[np.int64]
    weights: NDArray[np.float64]
    source: int

    def dense(self, rows: slice, first: int, last: int) -> NDArray[np.float64]:
        """Columns `first` to `last` (excluded) of some rows."""
        weights = self.weights[rows]
        columns = self.starts[rows, np.newaxis] + np.arange(weights.shape[1]) - first
        inside = (columns >= 0) & (columns < last - first)
        matrix = np.zeros((weights.shape[0], last - first))
        matrix[np.nonzero(inside)[0], columns[inside]] = weights[inside]
        return matrix


@dataclass(frozen=True)
class _AxisNorms:
    """Operator norms of one axis: l2 (an upper bound, tight to 1e-6), and l-infinity."""

    spectral: float
    infinity: float


def axis_matrix(source: int, target: int, kernel: Kernel) -> NDArray[np.float64]:
    """Give the matrix that resamples one axis.

    Args:
        source: Pixels along the axis before.
        target: Pixels along the axis after.
        kernel: Pillow's name of the kernel.

    Returns:
        [target, source]; each entry is Pillow's weight rounded to fp32. Dense: 8 * target * source bytes.
    """
    return _probe(source, target, kernel).dense(slice(None), 0, source)


def operator_norm(geometry: Geometry) -> float:
    """Give the l2 norm of the linear part of the map from original pixels to the graph's pixels.

    A change of the original by r (l2 over [0, 1] pixels) changes the result by at most ``operator_norm * r``,
    up to `rounding_error`. The value is exact to 1e-6 and never below the true norm. Where both the kept rows
    and the source exceed 2,048 pixels on an axis, Schur's bound replaces that axis's norm: still an upper
    bound.
    """
    height, width = _axis_norms_of(geometry)
    return height.spectral * width.spectral


def rounding_error(geometry: Geometry) -> float:
    """Bound the l2 distance between the fp32 result and the exact linear map, for any image in [0, 1].

    Pillow accumulates in double precision and rounds to fp32 once after each of the two passes. Two images
    (the given and the attacked) pay it twice.
    """
    if not geometry.resizes:
        return 0.0
    height, width = _axis_norms_of(geometry)
    rows, columns = (last - first for first, last in (geometry.kept(0), geometry.kept(1)))
    # 1.001 covers second-order terms and the double-precision sums.
    largest = 2.0 * 1.001 * _UNIT_ROUNDOFF * height.infinity * width.infinity
    return largest * math.sqrt(3 * rows * columns)


def _axis_norms_of(geometry: Geometry) -> tuple[_AxisNorms, _AxisNorms]:
    height, width = (
        _axis_norms(
            geometry.padded[axis], geometry.resized[axis], geometry.kernel, geometry.kept(axis), geometry.placed(axis)
        )
        for axis in (0, 1)
    )
    return height, width


@lru_cache(maxsize=256)
def _axis_norms(
    source: int, target: int, kernel: Kernel | None, kept: tuple[int, int], placed: tuple[int, int]
) -> _AxisNorms:
    """Norms of the rows ``kept``; the spectral one with the columns ``placed`` alone."""
    if kernel is None or source == target:
        return _AxisNorms(1.0, 1.0)  # Pillow copies an axis that keeps its size
    whole = _probe(source, target, kernel)
    starts, weights = whole.starts[slice(*kept)], whole.weights[slice(*kept)]
    # What is rounded is the whole image, so the bound on rounding counts every column.
    infinity = float(np.abs(weights).sum(axis=1).max())
    columns = starts[:, np.newaxis] + np.arange(weights.shape[1])
    weights = np.where((columns >= placed[0]) & (columns < placed[1]), weights, 0.0)
    magnitudes = np.abs(weights)
    one = float(np.bincount(columns.ravel(), magnitudes.ravel(), minlength=source).max())
    schur = math.sqrt(one * float(magnitudes.sum(axis=1).max()))
    spectral = _spectral_norm(_Axis(starts, weights, source)) if min(len(starts), source) <= _BLOCK else schur
    # The probe rounds each weight to fp32; its error, as a matrix, has at most this norm.
    return _AxisNorms(spectral + _UNIT_ROUNDOFF * schur, infinity)


def _probe(source: int, target: int, kernel: Kernel) -> _Axis:
    """Measure an axis by resizing combs of impulses.

    Impulses one window apart cannot meet in one output, so comb p gives, for every output at once, the weight
    of the one column in its window that is congruent to p.
    """
    scale = source / target
    support = _SUPPORT[kernel] * max(scale, 1.0)
    # A little wider than Pillow's own window on both sides, so that its rounding need not be copied here.
    window = min(source, math.ceil(2 * support) + 4)
    centers = (np.arange(target) + 0.5) * scale
    starts = np.clip(np.floor(centers - support).astype(np.int64) - 1, 0, source - window)
    weights = np.empty((target, window))
    chunk = max(1, _PROBE_FLOATS // max(source, target))
    for first in range(0, window, chunk):
        combs = np.arange(first, min(first + chunk, window))
        impulses = np.zeros((len(combs), source), np.float32)
        for row, comb in enumerate(combs):
            impulses[row, comb::window] = 1.0
        response = resize_plane(impulses, len(combs), target, kernel)
        offsets = (combs[:, np.newaxis] - starts) % window
        weights[np.arange(target), offsets] = response
    return _Axis(starts, weights, source)


def _spectral_norm(axis: _Axis) -> float:
    """Give the largest singular value, from the Gram matrix of the shorter side in blocks of the longer."""
    rows, window = axis.weights.shape
    gram = np.zeros((min(rows, axis.source),) * 2)
    if rows <= axis.source:
        for first in range(0, axis.source, _BLOCK):
            last = min(first + _BLOCK, axis.source)
            touched = slice(
                int(np.searchsorted(axis.starts, first - window, side="right")),
                int(np.searchsorted(axis.starts, last)),
            )
            block = axis.dense(touched, first, last)
            gram[touched, touched] += block @ block.T
    else:
        for row in range(0, rows, _BLOCK):
            group = slice(row, min(row + _BLOCK, rows))
            span = slice(int(axis.starts[group.start]), int(axis.starts[group.stop - 1]) + window)
            block = axis.dense(group, span.start, span.stop)
            gram[span, span] += block.T @ block
    return math.sqrt(max(0.0, float(np.linalg.eigvalsh(gram)[-1])))
