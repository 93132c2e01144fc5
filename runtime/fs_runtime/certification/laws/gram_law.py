"""The Gram law: what the draws' features tell about each other (docs/theory.md section 11).

The angle law must assume that the off-axis parts of all draws line up. Real encoders scatter them over many
directions; the second moments of the off-axis parts show how far.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from fs_runtime.certification.confidence.betting import betting_upper
from fs_runtime.certification.laws.angle_law import AngleLaw
from fs_runtime.certification.laws.chord_law import chord_law
from fs_runtime.certification.laws.dual_search import search
from fs_runtime.certification.laws.gram_dual import GramConstraints, GramDual
from fs_runtime.certification.laws.tails import TailBounds

_HALF_PI = 0.5 * math.pi
_SMALLEST_SHIFT = 0.03


@dataclass(frozen=True)
class MomentBets:
    """What the pilot fixes for the bounds of the moments (docs/theory.md Theorem 13), each in (0, 1).

    Attributes:
        second_moment: bets on lambda; their wealths are averaged.
        mean: bets on beta, likewise.
    """

    second_moment: tuple[float, ...]
    mean: tuple[float, ...]


@dataclass(frozen=True)
class GramLaw:
    """Evidence of the bound ``gram``: tails, and moments of U = (f - <f, v> v) 1{psi <= cut}.

    Guarantee: with probability at least 1 - alpha over the draws, for every shift s >= 0 at once, the smoothed feature
    lies within ``angle(s)`` of the reference under any perturbation of l2 norm at most s sigma. Tails hold at
    alpha / 2, the two moments at alpha / 4 each, without a union over directions (docs/theory.md section 11). The angle
    law, the closed form and the dual hold on the same event, so the smallest of their angles is reported.

    Attributes:
        tails: bounds at level alpha / 2.
        cut: index of the threshold tau; draws beyond it enter through the tails alone.
        largest_eigenvalue: of the sample mean of U U^T.
        fourth_moment: upper bound of the sample mean of <U, w>^4 in every unit direction w.
        mean_norm: norm of the sample mean of U.
        bets: on the moments. Their bounds hold at every number of draws, whether that was fixed beforehand or not.
        alpha: probability that the certificate fails.
    """

    tails: TailBounds
    cut: int
    largest_eigenvalue: float
    fourth_moment: float
    mean_norm: float
    bets: MomentBets
    alpha: float

    @property
    def rho(self) -> float:
        """Bound of ||U||: sin(tau)."""
        return math.sin(self.tails.thresholds[self.cut])

    @cached_property
    def second_moment(self) -> float:
        """Upper confidence bound of lambda, the largest eigenvalue of E[U U^T]."""
        square = self.rho**2
        mean, mean_square = self.largest_eigenvalue / square, self.fourth_moment / square**2
        return square * self._bounded(mean, mean_square, self.bets.second_moment)

    @cached_property
    def mean(self) -> float:
        """Upper confidence bound of beta = ||E U||."""
        mean, mean_square = self.mean_norm / self.rho, self.largest_eigenvalue / self.rho**2
        return self.rho * self._bounded(mean, mean_square, self.bets.mean)

    def _bounded(self, mean: float, mean_square: float, bets: tuple[float, ...]) -> float:
        return betting_upper(mean, mean_square, self.tails.draws, 0.25 * self.alpha, bets)

    @property
    def _constraints(self) -> GramConstraints:
        return GramConstraints(
            thresholds=self.tails.thresholds,
            tails=tuple(float(bound) for bound in self.tails.upper),
            cut=self.cut,
            mean=self.mean,
            second_moment=self.second_moment,
        )

    def angle(self, shift: float) -> float:
        """Certified angle in radians at ``shift`` = radius / sigma; pi where nothing is certified."""
        known = min(AngleLaw(self.tails).angle(shift), self.closed_form(shift))
        return min(known, dual_angle(self._constraints, shift, known))

    def closed_form(self, shift: float) -> float:
        """Angle of Theorem 12 in radians, which the dual starts from; pi where it certifies nothing."""
        law = self.tails.under_shift(shift)
        along = float(law.masses @ np.cos(law.knots))
        if along <= 0.0:
            return math.pi
        beyond = law.knots > self.tails.thresholds[self.cut]
        tail = float(law.masses[beyond] @ np.sin(np.minimum(law.knots[beyond], _HALF_PI)))
        # Cauchy-Schwarz against the likelihood ratio, whose variance is exp(s^2) - 1.
        bulk = self.mean + math.sqrt(self.second_moment * math.expm1(min(shift * shift, 700.0)))
        return math.atan2(bulk + tail, along)


@lru_cache(maxsize=1024)
def dual_angle(constraints: GramConstraints, shift: float, known: float) -> float:
    """The smallest angle in radians found and proved at ``shift`` = radius / sigma; pi if it is not below ``known``.

    Guarantee: where the constraints hold, the smoothed feature turns by less than the returned angle under any
    perturbation of l2 norm at most ``shift`` sigma (docs/theory.md Theorem 14). The search works in floating point and
    may end anywhere; the proof is one evaluation of F at the multipliers it ended with, by the chord law's upper bound
    and with a margin for rounding. A bad search makes the angle larger, never wrong.

    Args:
        constraints: upper bounds, as the draws gave them.
        shift: s >= 0.
        known: an angle that is already proved, from which the search starts. If it is above pi / 2 there is nothing to
            find: at theta = pi / 2 the best dual is the angle law.
    """
    if known > _HALF_PI:
        return math.pi
    # What is proved at a larger shift holds at a smaller one, and at s = 0 the program has no unique optimum.
    shift = max(shift, _SMALLEST_SHIFT)
    dual = GramDual(constraints, chord_law(shift))
    proved = dual.proved_cotangent(search(dual, dual.guess(shift, known)))
    angle = math.pi if proved is None else math.atan2(1.0, proved)
    return angle if angle < known else math.pi
