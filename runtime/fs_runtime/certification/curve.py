"""The certified angle as a function of the radius: what every bound ends in."""

import math
from dataclasses import dataclass
from typing import Literal

from fs_runtime.certification.angle_law import AngleLaw
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.fcsb import Fcsb
from fs_runtime.certification.floor import floor_angle
from fs_runtime.certification.gram_law import GramLaw
from fs_runtime.certification.score import RobustnessScore

Bound = Literal["gram", "angle-law", "fcsb"]
Evidence = GramLaw | AngleLaw | Fcsb

_LARGEST_SHIFT = 64.0


@dataclass(frozen=True)
class CertifiedCurve:
    """How far the smoothed feature can turn from its reference, for every radius at once.

    Guarantee: with probability at least 1 - alpha over the certifying draws, for all radii r together, the angle
    between f_hat(x + delta) and the reference is at most ``angle(r)`` for every ||delta||_2 <= r. Asking for more radii
    spends no further alpha.

    Attributes:
        bound: which theorem (docs/theory.md sections 1, 2, 11).
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
        if self.evidence.angle(0.0) > math.acos(cosine):
            return 0.0
        low, high = 0.0, 1.0
        while high < _LARGEST_SHIFT and self._certifies(high, cosine):
            low, high = high, 2.0 * high
        while high - low > 1e-9 * high:
            middle = 0.5 * (low + high)
            if self._certifies(middle, cosine):
                low = middle
            else:
                high = middle
        return low * self.sigma

    def floor(self, radius: float) -> float:
        """The angle in radians that no certificate from as many draws can go below (docs/theory.md section 11)."""
        return floor_angle(self.draws, self.alpha, self._shift(radius))

    def _certifies(self, shift: float, cosine: float) -> bool:
        return self.evidence.angle(shift) <= math.acos(cosine)

    def _shift(self, radius: float) -> float:
        if not radius >= 0.0:
            raise CertificationError(f"radius must be a number >= 0, not {radius}")
        return radius / self.sigma
