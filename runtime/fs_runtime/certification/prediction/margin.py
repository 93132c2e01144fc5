"""The margin: a certificate of the smoothed feature's label from one number a draw (docs/theory.md Theorem 8)."""

import math
from dataclasses import dataclass

import numpy as np

from fs_runtime.certification.laws.tails import TailBounds, threshold_beyond
from fs_runtime.certification.normal import Floats, quantile

_LARGEST_SHIFT = 64.0
_SHIFT_RESOLUTION = 1e-10
# Covers the rounding of a sum of as many terms as there are thresholds.
_MEAN_SLACK = 1e-12
# The bulk's thresholds: more of them follow the margins more closely, but each takes its share of alpha, which costs
# little where draws are many.
_BULK_PER_ROOT_DRAW, _FEWEST_BULK, _MOST_BULK = 0.35, 6, 32
_LOWEST_QUANTILE, _HIGHEST_QUANTILE = 0.011, 0.955
# Below the pilot's smallest margin, in units of its distance from the median.
_BEYOND = (0.0, 0.2, 0.5, 1.0, 2.0)
_SMALLEST_SPREAD = 0.004
_SMALLEST_THRESHOLD, _LARGEST_THRESHOLD = 0.004, 3.1


@dataclass(frozen=True)
class MarginLaw:
    """Evidence of the kind ``margin``: the tails of arccos(M), where M is the smallest margin of a draw over all pairs.

    Guarantee: with probability at least 1 - ``tails.alpha`` over the draws, the set of the k best labels of the
    smoothed feature f_hat(x + delta) is the set that the margins are about, for ||delta||_2 <= ``shift()`` sigma. Set,
    prototypes and thresholds must be fixed before the draws. There is no union over rivals: E min <= min E.

    Attributes:
        tails: bounds of P(arccos(M) > t), with thresholds t_j = arccos(m_j) for the m_1 > ... > m_J of the theorem.
    """

    tails: TailBounds

    def mean(self, shift: float) -> float:
        """Lower bound of E[M] when the noise is moved by up to ``shift`` standard deviations."""
        law = self.tails.under_shift(shift)
        return float(law.masses @ np.cos(law.knots)) - _MEAN_SLACK

    def shift(self) -> float:
        """The largest s = radius / sigma at which the label is certified, rounded down; 0.0 where there is none."""
        if not self.mean(0.0) > 0.0:
            return 0.0
        low, high = 0.0, 1.0
        while self.mean(high) > 0.0 and high < _LARGEST_SHIFT:
            low, high = high, 2.0 * high
        while high - low > _SHIFT_RESOLUTION * max(1.0, low):
            middle = 0.5 * (low + high)
            if self.mean(middle) > 0.0:
                low = middle
            else:
                high = middle
        return low


def plan_margin_thresholds(margins: Floats, draws: int) -> tuple[float, ...]:
    """Thresholds arccos(m_j) in radians, rising, for ``draws`` draws, from the pilot's margins [n0].

    Quantiles at even steps of the normal scale, then values below the smallest margin. The choice cannot harm validity,
    only tightness.
    """
    bulk = bulk_thresholds(draws)
    low, high = quantile(_LOWEST_QUANTILE), quantile(_HIGHEST_QUANTILE)
    levels = [0.5 * math.erfc(-z / math.sqrt(2.0)) for z in np.linspace(low, high, bulk)]
    smallest = float(margins.min())
    spread = max(float(np.median(margins)) - smallest, _SMALLEST_SPREAD)
    wanted = [float(value) for value in np.quantile(margins, levels)] + [smallest - by * spread for by in _BEYOND]
    angles = (threshold_beyond(margin) for margin in wanted)
    bounded = (min(max(angle, _SMALLEST_THRESHOLD), _LARGEST_THRESHOLD) for angle in angles)
    # Rounding keeps the numbers short in JSON and merges near-equal thresholds; any fixed values are valid.
    return tuple(sorted({round(angle, 6) for angle in bounded}))


def bulk_thresholds(draws: int) -> int:
    """How many thresholds lie among the pilot's margins."""
    return min(_MOST_BULK, max(_FEWEST_BULK, round(_BULK_PER_ROOT_DRAW * math.sqrt(draws))))


def most_thresholds(draws: int) -> int:
    """The most thresholds that a pilot can lead to."""
    return bulk_thresholds(draws) + len(_BEYOND)
