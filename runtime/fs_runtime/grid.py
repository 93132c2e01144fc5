"""The grid that images and noise share, so that adding them in fp32 is exact (docs/theory.md section 8)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRID_STEP = 2.0**-20
"""Distance between neighbouring grid points, in units of the [0, 1] pixel range."""


def to_grid(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Move every value to its nearest grid point; a tie goes up.

    The arithmetic is in float64: in fp32 the sum ``x / h + 1/2`` would round, and rounding half-even
    favours even grid points, which is what the theory forbids. Every grid point with magnitude below 16
    is an fp32 number, so the result is exact there.

    Args:
        values: Array of any shape, magnitudes below 16.

    Returns:
        Array of the same shape, ``floor(values / GRID_STEP + 1/2) * GRID_STEP`` in fp32. Values in [0, 1]
        stay in [0, 1].
    """
    index = np.floor(values.astype(np.float64) / GRID_STEP + 0.5)
    return (index * GRID_STEP).astype(np.float32)


def radius_cost(distance: float, values: int) -> float:
    """What the grid takes from every certified radius at the graph's input (docs/theory.md section 8).

    Args:
        distance: how far the grid moved the image, l2 over pixels in [0, 1].
        values: pixel values of the graph's input (3 H W): an attacked image is moved by at most half a step in each.

    Returns:
        An l2 distance.
    """
    return distance + 0.5 * GRID_STEP * math.sqrt(values)
