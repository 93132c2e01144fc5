"""Upper bounds of E g(l_s(Z)) for convex g, l_s the likelihood ratio of a shift (docs/theory.md section 11.3)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fs_runtime.certification.normal import Floats, cdf

# Nodes at ln y = _SPREAD sinh(_STEP k): even steps near y = 1, growing with the distance from it, so that one grid
# serves every shift.
_STEP, _SPREAD, _LAST = 0.07, 0.08, 100.0
# What lies outside the outermost nodes has probability Phi(-7), about 1e-12.
_REACH = 7.0


@dataclass(frozen=True)
class ChordLaw:
    """A law on finitely many points that bounds means of convex functions of l_s(Z) = exp(s Z - s^2 / 2).

    Guarantee: for every convex g on [0, inf) whose slope never exceeds L >= 0,
    E g(l_s(Z)) <= sum_i masses_i g(nodes_i) + beyond L.

    Attributes:
        nodes: [m] rising, the first one 0 (for s = 0: 1 alone).
        masses: [m] nonnegative, summing to 1.
        beyond: bound of E[l_s(Z); l_s(Z) > last node].
    """

    nodes: Floats
    masses: Floats
    beyond: float


@lru_cache(maxsize=8)
def _log_nodes(step: float) -> Floats:
    count = math.floor(math.asinh(_LAST / _SPREAD) / step)
    return np.asarray(_SPREAD * np.sinh(step * np.arange(-count, count + 1)))


@lru_cache(maxsize=64)
def chord_law(shift: float, step: float = _STEP) -> ChordLaw:
    """The chord law at ``shift`` in [0, 8], on a grid that does not depend on it; a smaller ``step`` makes it finer.

    On each cell a convex function lies below its chord, and the chord's mean follows from P(cell) and E[l; cell], both
    differences of Phi: there is no quadrature error to estimate. On one grid the bound never falls as s rises (Lemma D,
    applied to the piecewise linear interpolant); which far nodes are left out depends on s, and moves it by rounding.
    """
    if shift == 0.0:
        return ChordLaw(np.ones(1), np.ones(1), 0.0)
    log_nodes = _log_nodes(step)
    z = (log_nodes + 0.5 * shift * shift) / shift
    first = max(int(np.searchsorted(z, -_REACH)) - 1, 0)
    last = min(int(np.searchsorted(z, _REACH + shift)), len(z) - 1)
    z = z[first : last + 1]
    nodes = np.concatenate(([0.0], np.exp(log_nodes[first : last + 1])))
    probability, mean = _cells(z), _cells(z - shift)
    width = np.diff(nodes)
    # The two masses at the ends of a cell that have its probability and its mean.
    upper = np.maximum((mean - nodes[:-1] * probability) / width, 0.0)
    lower = np.maximum((nodes[1:] * probability - mean) / width, 0.0)
    masses = np.append(lower, cdf(-float(z[-1])))
    masses[1:] += upper
    return ChordLaw(nodes, masses, cdf(shift - float(z[-1])))


def _cells(z: Floats) -> Floats:
    """[m] probabilities of (-inf, z_1], (z_1, z_2] .. (z_{m-1}, z_m], from the smaller tail, which keeps the digits."""
    below = np.array([0.0, *(cdf(float(value)) for value in z)])
    above = np.array([1.0, *(cdf(-float(value)) for value in z)])
    return np.asarray(np.where(z <= 0.0, np.diff(below), -np.diff(above)))
