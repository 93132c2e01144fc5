"""The Gaussian robustness score with its confidence interval (docs/theory.md section 1)."""

import math
from dataclasses import dataclass

import numpy as np

from fs_runtime.certification.normal import Floats


@dataclass(frozen=True)
class RobustnessScore:
    """S = E[(1 + cos(f(x + eps), v)) / 2] in [0, 1], estimated from the certifying draws.

    Guarantee: with probability at least 1 - alpha, ``lower <= S <= upper`` (empirical Bernstein, Maurer and Pontil
    2009, theorem 4, each side at alpha / 2). The interval is its own statement: it does not hold jointly with the
    angles.

    Attributes:
        estimate: the sample mean.
        lower: lower confidence bound.
        upper: upper confidence bound.
    """

    estimate: float
    lower: float
    upper: float


class ScoreMoments:
    """Mean and variance of (1 + cosine) / 2, kept as the draws come (Chan's parallel update)."""

    def __init__(self) -> None:
        self.draws = 0
        self._mean = 0.0
        self._squares = 0.0

    def update(self, cosines: Floats) -> None:
        """Add the cosines [n] of new draws."""
        values = 0.5 * (1.0 + cosines)
        count = len(values)
        if count == 0:
            return
        mean = float(values.mean())
        gap = mean - self._mean
        total = self.draws + count
        self._squares += float(np.square(values - mean).sum()) + gap * gap * self.draws * count / total
        self._mean += gap * count / total
        self.draws = total

    @property
    def mean_cosine(self) -> float:
        """Average cosine of all draws."""
        return 2.0 * self._mean - 1.0

    def score(self, alpha: float) -> RobustnessScore:
        """The score and its two-sided interval at level ``alpha``."""
        if self.draws < 2:
            return RobustnessScore(estimate=self._mean, lower=0.0, upper=1.0)
        budget = math.log(4.0 / alpha)
        variance = self._squares / (self.draws - 1)
        width = math.sqrt(2.0 * variance * budget / self.draws) + 7.0 * budget / (3.0 * (self.draws - 1))
        return RobustnessScore(
            estimate=self._mean, lower=max(0.0, self._mean - width), upper=min(1.0, self._mean + width)
        )
