"""Gram laws made of numbers instead of draws."""

import math

from fs_runtime.certification import GramLaw, MomentBets, TailBounds
from fs_runtime.certification.confidence.betting import bet_for

_USUAL_SHARE = 5.0
"""Fourth moment over the square of the largest eigenvalue, as in real encoders."""


def usual_gram_law(tails: TailBounds, cut: int, largest_eigenvalue: float, mean_norm: float, alpha: float) -> GramLaw:
    """A law with a usual fourth moment, and bets as a pilot with its moments would choose them."""
    square = math.sin(tails.thresholds[cut]) ** 2
    fourth = min(_USUAL_SHARE * largest_eigenvalue**2, largest_eigenvalue * square)
    level = 0.25 * alpha
    return GramLaw(
        tails=tails,
        cut=cut,
        largest_eigenvalue=largest_eigenvalue,
        fourth_moment=fourth,
        mean_norm=mean_norm,
        bets=MomentBets(
            second_moment=(bet_for(fourth / square**2, tails.draws, level),),
            mean=(bet_for(largest_eigenvalue / square, tails.draws, level),),
        ),
        alpha=alpha,
    )
