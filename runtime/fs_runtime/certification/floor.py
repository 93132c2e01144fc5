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


def draws_for_floor(angle: float, alpha: float, shift: float) -> int | None:
    """The fewest draws with a floor of at most ``angle`` radians (in (0, pi / 2)) at ``shift``; None: beyond 10^18."""
    grown = math.sin(angle) / (1.0 + math.sin(angle))
    unseen = cdf(quantile(grown) - shift)
    if unseen <= 0.0 or (needed := math.log(alpha) / math.log1p(-unseen)) > 1e18:
        return None
    # One more where rounding left it just short.
    draws = max(1, math.floor(needed))
    return next(n for n in range(draws, draws + 1000) if floor_angle(n, alpha, shift) <= angle)
