"""The Feature Cosine Similarity Bound of arXiv 2601.16200, kept as the baseline (docs/theory.md section 1)."""

import math
from dataclasses import dataclass

from fs_runtime.certification.laws.tails import COSINE_SLACK
from fs_runtime.certification.normal import cdf, quantile


@dataclass(frozen=True)
class Fcsb:
    """Evidence of the bound ``fcsb``: the mean cosine.

    Guarantee: with probability at least 1 - alpha over the draws, for every shift s >= 0 at once,
    cos(f_hat(x + delta), v) >= 2 Phi(Phi^-1(S) - s) - 1 wherever the right side is positive, for ||delta|| <= s sigma,
    with S the lower bound of the Gaussian robustness score E[(1 + cos) / 2].

    Attributes:
        mean_cosine: average over the draws.
        draws: number of certifying draws.
        alpha: probability that the bound fails.
        adaptive: lower confidence bound of the score that adapts to the draws' variance (empirical Bernstein), valid at
            every number of draws; None: Hoeffding's, as in the paper, for a number fixed beforehand.
    """

    mean_cosine: float
    draws: int
    alpha: float
    adaptive: float | None = None

    @property
    def score_lower(self) -> float:
        """Lower confidence bound of the Gaussian robustness score."""
        if self.adaptive is not None:
            return self.adaptive
        # The slack covers float32 rounding of the cosines.
        mean = 0.5 * (1.0 + self.mean_cosine - COSINE_SLACK)
        return mean - math.sqrt(math.log(1.0 / self.alpha) / (2.0 * self.draws))

    def angle(self, shift: float) -> float:
        """Certified angle in radians at ``shift`` = radius / sigma; pi where nothing is certified."""
        bound = 2.0 * cdf(quantile(self.score_lower) - shift) - 1.0
        return math.acos(min(1.0, bound)) if bound > 0.0 else math.pi
