"""Bets on the moments of the off-axis parts, chosen from the pilot."""

import math

from fs_runtime.certification.confidence.betting import bet_for
from fs_runtime.certification.estimation.moments import OffAxisMoments
from fs_runtime.certification.laws.gram_law import MomentBets
from fs_runtime.certification.normal import Floats

_FIRST_SIZE = 128.0
_SPACING = 4.0


def sizes_up_to(most_draws: int) -> tuple[float, ...]:
    """Numbers of draws 128, 512, 2048, ... to bet for where the draws may stop at any, up to about ``most_draws``."""
    count = max(1, math.ceil(math.log(max(2.0 * most_draws / _FIRST_SIZE, 1.0)) / math.log(_SPACING)))
    return tuple(_FIRST_SIZE * _SPACING**number for number in range(count))


def plan_bets(
    cosines: Floats, features: Floats, reference: Floats, cut: float, alpha: float, sizes: tuple[float, ...]
) -> MomentBets:
    """Bets near the best ones at the pilot's own moments; any that are fixed before the draws are valid.

    Args:
        cosines: [n0] of the pilot.
        features: [n0, D] of the pilot, unit rows.
        reference: [D].
        cut: tau in radians.
        alpha: of the certificate; each moment's bound may fail with probability alpha / 4.
        sizes: numbers of certifying draws to bet for.
    """
    pilot = OffAxisMoments(reference, cut)
    pilot.update(cosines, features)
    level, square = 0.25 * alpha / len(sizes), math.sin(cut) ** 2
    return MomentBets(
        second_moment=tuple(bet_for(pilot.fourth_moment / square**2, size, level) for size in sizes),
        mean=tuple(bet_for(pilot.largest_eigenvalue / square, size, level) for size in sizes),
    )
