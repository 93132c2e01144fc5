"""Upper bounds on the tails of psi, the angle between one draw's feature and the reference.

Every certificate here rests on them: a tail of probability p can grow at most to Phi(Phi^-1(p) + s) under any shift
of the noise by s standard deviations (Cohen et al., 2019; docs/theory.md section 2).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fs_runtime.certification.confidence.binomial import clopper_pearson_upper
from fs_runtime.certification.confidence.mixture import BetaPrior, mixture_upper
from fs_runtime.certification.normal import Floats, shifted

# A draw counts as beyond a threshold t already at cosine < cos(t) + COSINE_SLACK. It covers float32 rounding of the
# cosines and of the reference, and errs on the safe side only.
COSINE_SLACK = 1e-6
# A threshold lies so far below a cosine that draws repeat, so that they do not count as beyond it in spite of the slack
# and of rounding. Saturated encoders repeat a few values exactly.
_CLEARANCE = 4e-6


@dataclass(frozen=True)
class StepLaw:
    """A law on finitely many angles that dominates psi under a shift.

    Attributes:
        knots: [J + 1] angles in radians, rising, the last one pi.
        masses: [J + 1] probabilities, summing to 1.
    """

    knots: Floats
    masses: Floats


@dataclass(frozen=True)
class TailBounds:
    """Counts of draws beyond thresholds that were fixed before those draws.

    Attributes:
        thresholds: angles in radians, strictly rising, in (0, pi).
        counts: for each threshold, how many of the draws lie beyond it.
        draws: number of certifying draws.
        alpha: probability that any of the bounds fails.
        priors: one a threshold, for bounds that hold at every number of draws; None: that number was fixed beforehand.
    """

    thresholds: tuple[float, ...]
    counts: tuple[int, ...]
    draws: int
    alpha: float
    priors: tuple[BetaPrior, ...] | None = None

    @cached_property
    def upper(self) -> Floats:
        """[J] upper bounds of P(psi > threshold), all valid together with probability at least 1 - alpha."""
        level = self.alpha / len(self.thresholds)
        if self.priors is None:
            bounds = [clopper_pearson_upper(count, self.draws, level) for count in self.counts]
        else:
            counted = zip(self.counts, self.priors, strict=True)
            bounds = [mixture_upper(count, self.draws, level, prior) for count, prior in counted]
        return np.minimum.accumulate(np.array(bounds))

    @cached_property
    def knots(self) -> Floats:
        """[J + 1] the thresholds, then pi."""
        return np.array([*self.thresholds, math.pi])

    def under_shift(self, shift: float) -> StepLaw:
        """The dominating law of psi when the noise is moved by ``shift`` standard deviations."""
        grown = shifted(self.upper, shift)
        masses = np.concatenate(([1.0], grown)) - np.concatenate((grown, [0.0]))
        return StepLaw(knots=self.knots, masses=masses)


def threshold_beyond(cosine: float) -> float:
    """The smallest angle in radians beyond which draws with this very cosine do not count."""
    return math.acos(min(max(cosine - _CLEARANCE, -1.0), 1.0))


def cut_cosine(threshold: float) -> float:
    """The cosine below which a draw counts as beyond ``threshold``; one decision for counts and moments alike."""
    return math.cos(threshold) + COSINE_SLACK


def count_beyond(cosines: Floats, thresholds: tuple[float, ...]) -> tuple[int, ...]:
    """How many cosines (1-D) lie beyond each threshold angle, rounding counted against the certificate."""
    cuts = np.array([cut_cosine(threshold) for threshold in thresholds])
    return tuple(int(count) for count in (cosines[None, :] < cuts[:, None]).sum(axis=1))
