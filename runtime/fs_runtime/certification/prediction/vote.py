"""The vote: a certificate of the majority of the draws' own labels (Cohen et al., 2019; docs/theory.md Theorem 9)."""

from dataclasses import dataclass

from fs_runtime.certification.confidence.binomial import clopper_pearson_upper
from fs_runtime.certification.confidence.mixture import BetaPrior, mixture_upper
from fs_runtime.certification.normal import quantile

# The theorem's ball is open; so is what is left after rounding.
_INSIDE = 1.0 - 1e-9


@dataclass(frozen=True)
class VoteLaw:
    """Evidence of the kind ``vote``: how many draws have the set of k best labels that was fixed beforehand.

    Guarantee: with probability at least 1 - alpha over the draws, more than half of all noisy copies of x + delta have
    exactly these k best labels, for ||delta||_2 <= ``shift()`` sigma. It certifies **another function** than ``cone``
    and ``margin`` do: the majority vote over single draws, not the label of the smoothed feature.

    Attributes:
        count: draws that vote for the set: every member beats every other label, ties counting against it.
        draws: number of certifying draws.
        alpha: probability that the bound fails.
        prior: for a bound that holds at every number of draws; None: that number was fixed beforehand.
    """

    count: int
    draws: int
    alpha: float
    prior: BetaPrior | None = None

    @property
    def against(self) -> float:
        """Upper confidence bound of the probability that a draw votes otherwise."""
        others = self.draws - self.count
        if self.prior is None:
            return clopper_pearson_upper(others, self.draws, self.alpha)
        return mixture_upper(others, self.draws, self.alpha, self.prior)

    def shift(self) -> float:
        """The largest s = radius / sigma at which the vote is certified, rounded down; 0.0 where there is none."""
        return max(0.0, -quantile(self.against) * _INSIDE)
