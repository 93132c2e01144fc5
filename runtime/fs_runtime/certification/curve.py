"""The certified angle as a function of the radius: what every bound ends in."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fs_runtime.certification.confidence.score import RobustnessScore
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.floor import floor_angle
from fs_runtime.certification.laws.angle_law import AngleLaw
from fs_runtime.certification.laws.cone import Cone
from fs_runtime.certification.laws.fcsb import Fcsb
from fs_runtime.certification.laws.gram_law import GramLaw

Bound = Literal["gram", "angle-law", "cone", "fcsb"]
"""Which theorem. ``cone`` is about the angle to f_hat(x) without the perturbation, the others that to the reference."""
BOUNDS: tuple[Bound, ...] = ("gram", "angle-law", "cone", "fcsb")
Evidence = GramLaw | AngleLaw | Cone | Fcsb

_LARGEST_SHIFT = 64.0
_SHIFT_RESOLUTION = 1e-10


@dataclass(frozen=True)
class CertifiedCurve:
    """How far the smoothed feature can turn from its reference, for every radius at once.

    Guarantee: with probability at least 1 - alpha over the certifying draws, for all radii r together, the angle
    between f_hat(x + delta) and the reference is at most ``angle(r)`` for every ||delta||_2 <= r. Asking for more radii
    spends no further alpha. With the bound ``cone`` it is the angle between f_hat(x + delta) and f_hat(x) instead.

    Attributes:
        bound: which theorem (docs/theory.md sections 1, 2, 3, 11).
        sigma: noise standard deviation, in units of [0, 1] pixels.
        alpha: probability that the certificate fails.
        draws: certifying draws (the pilot's are not among them).
        pilot: pilot draws, which fixed the reference and the thresholds.
        evidence: the sufficient statistics.
        score: Gaussian robustness score with its own interval.
    """

    bound: Bound
    sigma: float
    alpha: float
    draws: int
    pilot: int
    evidence: Evidence
    score: RobustnessScore

    def angle(self, radius: float) -> float:
        """Certified angle in radians at an l2 ``radius`` over [0, 1] pixels; pi where nothing is certified.

        Raises:
            CertificationError: the radius is negative or not a number.
        """
        return self.evidence.angle(self._shift(radius))

    def cosine(self, radius: float) -> float:
        """Certified cosine at ``radius``; -1.0, the true vacuous bound, where nothing is certified."""
        return math.cos(self.angle(radius))

    def radius(self, cosine: float) -> float:
        """The largest l2 radius at which at least ``cosine`` is certified; 0.0 where there is none.

        Raises:
            CertificationError: the cosine is outside [-1, 1].
        """
        if not -1.0 <= cosine <= 1.0:
            raise CertificationError(f"cosine must lie in [-1, 1], not {cosine}")
        if cosine == -1.0:
            return math.inf
        target = math.acos(cosine)

        def excess(shift: float) -> float:
            return self.evidence.angle(shift) - target

        low, high = 0.0, 1.0
        at_low = excess(low)
        if at_low > 0.0:
            return 0.0
        while (at_high := excess(high)) <= 0.0 and high < _LARGEST_SHIFT:
            low, high, at_low = high, 2.0 * high, at_high
        return _last_not_positive(excess, (low, at_low), (high, at_high)) * self.sigma

    def floor(self, radius: float) -> float:
        """The angle in radians that no certificate from as many draws can go below (docs/theory.md section 11.4).

        It is the floor of the angle that this bound is about: ``cone`` has its own.
        """
        return floor_angle(self.draws, self.alpha, self._shift(radius), cone=self.bound == "cone")

    def _shift(self, radius: float) -> float:
        if not radius >= 0.0:
            raise CertificationError(f"radius must be a number >= 0, not {radius}")
        return radius / self.sigma


def _last_not_positive(
    function: Callable[[float], float], low: tuple[float, float], high: tuple[float, float]
) -> float:
    """Where a rising function passes zero, to 1e-10 on the side where it is not positive.

    Both ends are (argument, value). The ITP method (Oliveira and Takahashi, 2020): about ten evaluations where the
    function is smooth, which matters as each may be an optimisation, and never more than halving takes, plus one.
    """
    (a, at_a), (b, at_b) = low, high
    shrink = 0.2 / (b - a)
    room = _SHIFT_RESOLUTION * 2.0 ** math.ceil(math.log2((b - a) / _SHIFT_RESOLUTION))
    while b - a > _SHIFT_RESOLUTION * max(1.0, b):
        middle = 0.5 * (a + b)
        crossing = (at_b * a - at_a * b) / (at_b - at_a) if at_b > at_a else middle
        towards = math.copysign(min(shrink * (b - a) ** 2, abs(middle - crossing)), middle - crossing)
        reach = max(room - 0.5 * (b - a), 0.0)
        argument = min(max(crossing + towards, middle - reach), middle + reach)
        value = function(argument)
        if value <= 0.0:
            a, at_a = argument, value
        else:
            b, at_b = argument, value
        room *= 0.5
    return a
