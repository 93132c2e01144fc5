"""The angle law: a certificate from one cosine per draw (docs/theory.md section 2)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fs_runtime.certification.laws.tails import TailBounds

_HALF_PI = 0.5 * math.pi


@dataclass(frozen=True)
class AngleLaw:
    """Evidence of the bound ``angle-law``: the tails of the angle to the reference.

    Guarantee: with probability at least 1 - ``tails.alpha`` over the draws, for every shift s >= 0 at once,
    the smoothed feature turns less than ``angle(s)`` away from the reference under any perturbation of l2 norm at
    most s sigma (theorem of docs/theory.md section 2).

    Attributes:
        tails: bounds of P(psi > t), psi being the angle between a draw's feature and the reference.
    """

    tails: TailBounds

    def angle(self, shift: float) -> float:
        """Certified angle in radians at ``shift`` = radius / sigma; pi where nothing is certified."""
        law = self.tails.under_shift(shift)

        def proves(theta: float) -> bool:
            # Lambda_s(theta) < 0, with G_theta(t) = sin(min(t - theta, pi / 2)).
            return float(law.masses @ np.sin(np.minimum(law.knots - theta, _HALF_PI))) < 0.0

        return smallest_angle(proves)


def smallest_angle(proves: Callable[[float], bool]) -> float:
    """The smallest angle in [0, pi / 2] that a monotone proof accepts, rounded upwards; pi if it accepts none."""
    low, high = 0.0, _HALF_PI
    if not proves(high):
        return math.pi
    while high - low > 1e-9:
        middle = 0.5 * (low + high)
        if proves(middle):
            high = middle
        else:
            low = middle
    return high
