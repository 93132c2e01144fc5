"""Upper confidence bounds of a mean that hold at every number of draws at once (docs/theory.md section 2.3)."""

import math
from dataclasses import dataclass

from fs_runtime.certification.confidence.binomial import first_true

# Absolute error of the logarithms below (lgamma dominates, for draws and prior together). The level is shrunk by it, so
# that rounding can only widen a bound.
_ROUNDING = 1e-9
_ROUNDING_PER_DRAW = 2e-14


@dataclass(frozen=True)
class BetaPrior:
    """The Beta(a, b) law that a mixture spreads its bets by; fixed before the draws, and valid whatever it is.

    Attributes:
        a: > 0.
        b: > 0.
    """

    a: float
    b: float

    @classmethod
    def learned(cls, total: float, draws: int) -> "BetaPrior":
        """What ``draws`` earlier draws with sum ``total`` teach (Jeffreys' posterior): bets lie near the truth."""
        return cls(total + 0.5, max(draws - total, 0.0) + 0.5)


def mixture_upper(total: float, draws: int, alpha: float, prior: BetaPrior) -> float:
    """Upper confidence bound of the mean of draws in [0, 1] from their sum, valid at all numbers of draws at once.

    Guarantee: with probability at least 1 - alpha, for all n = 1, 2, ... together, the mean is not above the value
    returned for the first n draws; so one may stop whenever one likes. ``total`` may also be larger than the sum. It is
    sup {p : W_n(p) < 1 / alpha} for the beta-binomial mixture W_n, by Ville's inequality (Robbins, 1970; docs/theory.md
    Theorem 4).

    Args:
        total: sum of the draws, or more.
        draws: n.
        alpha: probability that any of the bounds fails.
        prior: of the mixture.
    """
    if total >= draws:
        return 1.0
    budget = -math.log(alpha) + _ROUNDING + _ROUNDING_PER_DRAW * (draws + prior.a + prior.b)
    gain = _log_beta(prior.a + total, prior.b + draws - total) - _log_beta(prior.a, prior.b)

    def too_large(p: float) -> bool:
        if p >= 1.0:
            return True
        seen = total * math.log(p) if total > 0.0 else 0.0
        return gain - seen - (draws - total) * math.log1p(-p) >= budget

    return first_true(too_large, total / draws, 1.0)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
