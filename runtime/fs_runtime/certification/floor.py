"""The smallest angle that any deterministic certificate can give (docs/theory.md section 11)."""

import math

from fs_runtime.certification.normal import cdf, quantile


def floor_angle(draws: int, alpha: float, shift: float) -> float:
    """Angle in radians below which nothing can be certified from ``draws`` draws; pi where nothing can at all.

    An event of probability 1 - alpha^(1 / draws) stays unseen with probability alpha, and a shift of ``shift`` standard
    deviations can raise it to q; features that are opposite on that event turn the mean by asin(q / (1 - q)).
    """
    unseen = -math.expm1(math.log(alpha) / draws)
    grown = cdf(quantile(unseen) + shift)
    return math.asin(grown / (1.0 - grown)) if grown < 0.5 else math.pi
