"""The label inside a certified cone: no draws and no level of its own (docs/theory.md Theorem 7)."""

import math
from dataclasses import dataclass
from typing import Protocol

from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.target import Target

# Covers the rounding of arcsin, cos and arccos on the way from the boundary's angle to a radius.
_ANGLE_SLACK = 1e-6


class Curve(Protocol):
    """A certified angle to a reference: a ``CertifiedCurve``, or a certificate that has one."""

    @property
    def bound(self) -> str:
        """Which theorem."""

    def angle(self, radius: float) -> float:
        """Certified angle in radians at an l2 ``radius``; pi where nothing is certified."""

    def radius(self, cosine: float) -> float:
        """The largest l2 radius at which at least ``cosine`` is certified; 0.0 where there is none."""


@dataclass(frozen=True)
class LabelCone:
    """Evidence of the kind ``cone``: how far the reference v is from the nearest boundary of its label.

    Guarantee: on the event on which the curve is right (probability at least 1 - its alpha), the label of the smoothed
    feature is that of v for every perturbation of l2 norm at most ``radius(curve)``. It holds for any prototypes, also
    chosen after the draws, and for as many sets of them as one likes.

    Attributes:
        margin: min over pairs of <v, t_a - t_b> / ||t_a - t_b||, rounded down (:meth:`Rivals.nearest`).
    """

    margin: float

    @property
    def angle(self) -> float:
        """Angle in radians from v to the nearest boundary; 0.0 where v is not inside."""
        return math.asin(min(self.margin, 1.0)) if self.margin > 0.0 else 0.0

    def target(self, radius: float) -> Target:
        """What a curve has to prove for the label to stay within an l2 ``radius``.

        Where v is not inside, that is an angle out of reach.
        """
        room = max(self.angle - _ANGLE_SLACK, 0.0)
        return Target(radius, min(math.cos(room), math.nextafter(1.0, 0.0)))

    def radius(self, curve: Curve, extra_angle: float = 0.0) -> float:
        """The largest l2 radius with angle(radius) + ``extra_angle`` below the boundary's; 0.0 where there is none.

        Args:
            curve: the certified angle to v, with its own alpha.
            extra_angle: radians. 0 for the label of the smoothed feature. For the label that a user *receives* at an
                attacked image x', that of a reference v' made of fresh draws there: the certified angle'(0) of the
                certificate at x'. The label of v' is then that of v for every x' within the radius whose own
                certificate says at most ``extra_angle`` at radius 0, with probability at least 1 - 2 alpha
                (docs/theory.md section 6).

        Raises:
            CertificationError: the curve's angle is not to v (bound ``cone``), or ``extra_angle`` is negative.
        """
        if curve.bound == "cone":
            raise CertificationError(
                'the angle of bound "cone" is not to the reference, so it says nothing about the label there: '
                'use "gram" or "angle-law"'
            )
        if not extra_angle >= 0.0:
            raise CertificationError(f"extra_angle must be a number >= 0, not {extra_angle}")
        room = self.angle - extra_angle - _ANGLE_SLACK
        if not room > 0.0:
            return 0.0
        radius = curve.radius(math.cos(room))
        return radius if curve.angle(radius) + extra_angle < self.angle else 0.0
