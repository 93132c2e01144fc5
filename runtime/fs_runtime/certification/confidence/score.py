"""The Gaussian robustness score with its confidence interval (docs/theory.md section 1)."""

import math
from dataclasses import dataclass

import numpy as np

from fs_runtime.certification.normal import Floats

# Bets stay below 1, where psi_E is infinite.
_LARGEST_BET = 0.999
_SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True)
class RobustnessScore:
    """S = E[(1 + cos(f(x + eps), v)) / 2] in [0, 1], estimated from the certifying draws.

    Guarantee: with probability at least 1 - alpha, ``lower <= S <= upper``, wherever the draws stopped (empirical
    Bernstein confidence sequence, Waudby-Smith and Ramdas 2024, theorem 2, each side at alpha / 2). The interval is its
    own statement: it does not hold jointly with the angles.

    Attributes:
        estimate: the sample mean.
        lower: lower confidence bound.
        upper: upper confidence bound.
    """

    estimate: float
    lower: float
    upper: float


class ScoreSequence:
    """Bounds of the mean of (1 + cosine) / 2, kept as the draws come.

    Draw i is predicted by the mean of the draws before it, and bet on with lambda_i in (0, 1), which depends on those
    draws only: that makes the bounds valid at every number of draws (docs/theory.md section 1). The pilot counts among
    "the draws before", so that bets are right from the first draw on.
    """

    def __init__(self, pilot: Floats, alpha: float, draws: int | None) -> None:
        """Start from the pilot's cosines [n0].

        Args:
            pilot: cosines.
            alpha: level that the bets are sized for.
            draws: number of draws that the bets are sized for; None: any.
        """
        scores = _scores(pilot)
        self.draws = 0
        self._alpha = alpha
        self._horizon = draws
        self._pilot = len(scores)
        self._predictor_sum = float(scores.sum())
        self._squares = float(np.square(scores - scores.mean()).sum())
        self._total = 0.0
        self._bets = 0.0
        self._won = 0.0
        self._paid = 0.0

    def update(self, cosines: Floats) -> None:
        """Add the cosines [n] of new draws."""
        scores = _scores(cosines)
        if len(scores) == 0:
            return
        before = self._pilot + self.draws + np.arange(len(scores))
        sums = self._predictor_sum + np.concatenate(([0.0], np.cumsum(scores[:-1])))
        surprise = np.square(scores - sums / before)
        squares = self._squares + np.concatenate(([0.0], np.cumsum(surprise[:-1])))
        bets = self._sized(np.maximum(squares / before, _SMALLEST_VARIANCE))
        self._bets += float(bets.sum())
        self._won += float(bets @ scores)
        self._paid += float(surprise @ (-np.log1p(-bets) - bets))
        self._predictor_sum += float(scores.sum())
        self._squares += float(surprise.sum())
        self._total += float(scores.sum())
        self.draws += len(scores)

    @property
    def mean_cosine(self) -> float:
        """Average cosine of all draws."""
        return 2.0 * self._total / self.draws - 1.0

    def lower(self, alpha: float) -> float:
        """Lower confidence bound of the score at level ``alpha``, one-sided; valid at every number of draws."""
        return self._won / self._bets - self._width(alpha)

    def score(self) -> RobustnessScore:
        """The score and its two-sided interval."""
        centre, width = self._won / self._bets, self._width(0.5 * self._alpha)
        estimate = self._total / self.draws
        # The plain mean is the better estimate; the interval is about the weighted one.
        return RobustnessScore(
            estimate=estimate,
            lower=min(estimate, max(0.0, centre - width)),
            upper=max(estimate, min(1.0, centre + width)),
        )

    def _width(self, alpha: float) -> float:
        return (self._paid - math.log(alpha)) / self._bets

    def _sized(self, variance: Floats) -> Floats:
        """Bets [n] near those that make the interval narrowest for draws of these variances."""
        if self._horizon is None:
            index = self.draws + np.arange(1, len(variance) + 1)
            horizon = index * np.log1p(index)
        else:
            horizon = np.full(len(variance), float(self._horizon))
        room = -math.log(0.5 * self._alpha) / (horizon * variance)
        # Solves x / (1 - x) + ln(1 - x) = room at both ends of its range, and nearly so between.
        odds = room + np.sqrt(2.0 * room)
        return np.asarray(np.minimum(odds / (1.0 + odds), _LARGEST_BET))


def _scores(cosines: Floats) -> Floats:
    # Rounding may leave a cosine outside [-1, 1], and the proof needs scores in [0, 1].
    return np.asarray(0.5 * (1.0 + np.clip(cosines, -1.0, 1.0)))
