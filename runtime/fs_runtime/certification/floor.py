"""The smallest angle that any deterministic certificate can give (docs/theory.md section 11.4)."""

import math

from fs_runtime.certification.normal import cdf, quantile

_MOST_DRAWS = 10**18


def floor_angle(draws: int, alpha: float, shift: float, *, cone: bool = False) -> float:
    """Angle in radians below which nothing can be certified from ``draws`` draws; pi where nothing can at all.

    An event of probability p = 1 - alpha^(1 / draws) stays unseen with probability alpha, and a shift of ``shift``
    standard deviations can raise it to q. Features that are opposite on that event turn the mean away from the
    reference by asin(q / (1 - q)) (docs/theory.md Theorem 15).

    Args:
        draws: n.
        alpha: probability that the certificate may fail.
        shift: radius / sigma.
        cone: the angle is the one that ``cone`` certifies, between the means with the shift and without, of which the
            event turns the second as well.
    """
    unseen = -math.expm1(math.log(alpha) / draws)
    grown = cdf(quantile(unseen) + shift)
    if not grown < 0.5:
        return math.pi
    if cone:
        # Rounding may leave the event smaller than it was.
        return math.atan(max(grown - unseen, 0.0) / math.sqrt((1.0 - 2.0 * unseen) * (1.0 - 2.0 * grown)))
    return math.asin(grown / (1.0 - grown))


def draws_for_floor(angle: float, alpha: float, shift: float, *, cone: bool = False) -> int | None:
    """The fewest draws with a floor of at most ``angle`` radians (in (0, pi / 2)) at ``shift``; None: beyond 10^18."""

    def allows(draws: int) -> bool:
        return floor_angle(draws, alpha, shift, cone=cone) <= angle

    high = 1
    while not allows(high):
        high *= 2
        if high > _MOST_DRAWS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if allows(middle) else (middle, high)
    return high
