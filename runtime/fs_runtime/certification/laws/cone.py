"""The cone: a certificate from the mean cosine alone (docs/theory.md section 3).

Its angle is between the smoothed features of the attacked and of the given image, unlike that of every other bound,
which is to the reference.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fs_runtime.certification.laws.chord_law import ChordLaw, chord_law
from fs_runtime.certification.normal import Floats, cdf, quantile

# Finer than the dual's grid: angles come out within 1e-5 of the exact ones.
_STEP = 0.01
_MARGIN = 1e-9
_LARGEST_SHIFT = 8.0
# Nearer to one the best multipliers grow without end. What holds for a shorter mean holds for a longer one.
_LARGEST_MEAN = 1.0 - 1e-6


@dataclass(frozen=True)
class Cone:
    """Evidence of the bound ``cone``: how long the smoothed feature is at least.

    Guarantee: with probability at least 1 - alpha over the draws, for every shift s >= 0 at once, f_hat(x + delta) lies
    within ``angle(s)`` of f_hat(x) for ||delta||_2 <= s sigma. It says nothing about the reference, which serves to
    bound ||f_hat(x)|| >= <f_hat(x), v> from below.

    Attributes:
        mean: lower confidence bound of <f_hat(x), v>, valid at every number of draws.
        alpha: probability that it fails.
    """

    mean: float
    alpha: float

    def angle(self, shift: float) -> float:
        """Certified angle in radians at ``shift`` = radius / sigma; pi where nothing is certified."""
        return cone_angle(self.mean, shift)


def closed_cone_angle(mean: float, shift: float) -> float:
    """Angle of docs/theory.md Theorem 6 in radians, from 0 < mean <= ||f_hat(x)||; pi where it certifies nothing."""
    if not mean > 0.0:
        return math.pi
    along = 2.0 * cdf(quantile(0.5 * (1.0 + mean)) - shift) - 1.0
    return math.atan2(2.0 * cdf(shift) - 1.0, along) if along > 0.0 else math.pi


@lru_cache(maxsize=1024)
def cone_angle(mean: float, shift: float) -> float:
    """The best angle in radians that 0 < mean <= ||f_hat(x)|| allows (docs/theory.md Theorem 5); pi where none does.

    With C = cot(theta) and lambda / sin(theta) = (-p, q), what must be negative is
    F = E ||(p - l, C l - q)|| - mean p, convex in (C, p, q) jointly, so the smallest angle is one convex program. The
    search proves nothing: F is evaluated once more where it ends, from above by the chord law, with a margin for
    rounding.
    """
    mean = min(mean, _LARGEST_MEAN)
    known = closed_cone_angle(mean, shift)
    if not mean > 0.0 or shift == 0.0 or shift > _LARGEST_SHIFT:
        return known
    dual = _Dual(mean, chord_law(shift, _STEP))
    start = 1.0 / math.tan(known) if known < math.pi else 0.0
    proved = dual.proved(*dual.search(start))
    return known if proved is None else min(known, math.atan2(1.0, proved))


class _Dual:
    def __init__(self, mean: float, law: ChordLaw) -> None:
        self._mean = mean
        self._law = law

    def value(self, cotangent: float, point: Floats) -> tuple[float, float]:
        """An upper bound of F, less rounding, and its derivative in C."""
        _, across, length = self._vectors(cotangent, point)
        rest = self._law.beyond * math.hypot(1.0, cotangent)
        slope = self._law.masses @ (self._law.nodes * across / length)
        return float(self._law.masses @ length) + rest - self._mean * float(point[0]), float(slope)

    def search(self, cotangent: float) -> tuple[float, Floats]:
        """C and (p, q) with F about 0, C as large as possible."""
        point = np.array([0.95, 0.9 * cotangent])
        for _ in range(30):
            point = self._smallest(cotangent, point)
            value, slope = self.value(cotangent, point)
            step = -value / slope if slope > 0.0 else 0.0
            cotangent = max(cotangent + step, 0.0)
            if abs(step) <= 1e-10 * max(1.0, cotangent):
                break
        return cotangent, self._smallest(cotangent, point)

    def proved(self, cotangent: float, point: Floats) -> float | None:
        """A C just below the one given at which F < 0 is certain."""
        for back in (1e-9, 1e-7, 1e-5, 1e-3):
            lower = cotangent * (1.0 - back)
            value, _ = self.value(lower, point)
            scale = math.hypot(1.0, lower) + float(np.abs(point).sum())
            if value < -_MARGIN * scale:
                return lower
        return None

    def _smallest(self, cotangent: float, point: Floats) -> Floats:
        """(p, q) with the smallest F, by Newton's method with steps halved until they help."""
        masses = self._law.masses
        value, _ = self.value(cotangent, point)
        for _ in range(40):
            along, across, length = self._vectors(cotangent, point)
            gradient = np.array([masses @ (along / length) - self._mean, -(masses @ (across / length))])
            weight = masses / length**3
            mixed = float(weight @ (along * across))
            hessian = np.array([[weight @ across**2, mixed], [mixed, weight @ along**2]])
            hessian += 1e-12 * np.trace(hessian) * np.eye(2)
            step = np.linalg.solve(hessian, gradient)
            scale = 1.0
            while scale > 1e-6:
                moved = point - scale * step
                found, _ = self.value(cotangent, moved)
                if found < value:
                    break
                scale *= 0.5
            else:
                return point
            gain, point, value = value - found, moved, found
            if gain < 1e-14 * max(1.0, abs(value)):
                return point
        return point

    def _vectors(self, cotangent: float, point: Floats) -> tuple[Floats, Floats, Floats]:
        along = float(point[0]) - self._law.nodes
        across = cotangent * self._law.nodes - float(point[1])
        # A node may lie exactly at the kink, where any slope will do.
        return along, across, np.maximum(np.hypot(along, across), 1e-12)
