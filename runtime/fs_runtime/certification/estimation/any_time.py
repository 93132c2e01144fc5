"""Draws that stop as soon as a target is proved, or hopeless (docs/theory.md sections 2.3 and 11.5)."""

import math
from dataclasses import replace
from typing import Literal

import numpy.typing as npt

from fs_runtime.certification.confidence.mixture import BetaPrior
from fs_runtime.certification.curve import Bound, CertifiedCurve, Evidence
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.checks import check_draws
from fs_runtime.certification.estimation.counting import DrawCounts
from fs_runtime.certification.estimation.moments import OffAxisMoments
from fs_runtime.certification.estimation.target import Target
from fs_runtime.certification.laws.angle_law import AngleLaw
from fs_runtime.certification.laws.cone import Cone
from fs_runtime.certification.laws.fcsb import Fcsb
from fs_runtime.certification.laws.gram_law import GramLaw
from fs_runtime.certification.laws.tails import TailBounds, count_beyond
from fs_runtime.certification.normal import Floats

Decision = Literal["proved", "hopeless"]

_FIRST_CHECK = 32
_FIRST_DOUBT = 256
_CLOSEST_CHECK, _FARTHEST_CHECK, _BLIND_STEP = 1.07, 2.0, 1.5
# Frequencies are taken this many standard errors low before a target is given up.
_OPTIMISM = 2.0


class AnyTimeEstimator:
    """Takes draws until a target is decided. Every bound holds at all numbers of draws together.

    So a certificate made wherever the draws stop, for whatever reason, holds with probability at least 1 - alpha: tails
    by beta-binomial mixtures (docs/theory.md Theorem 4), the Gram law's moments by betting (Theorem 13), ``cone`` and
    ``fcsb`` by the score's confidence sequence.

    Checks come at numbers of draws that grow by 7 % or more, from the first that could prove the target on
    (docs/theory.md section 2.3).

    Futility: a target is hopeless when it would be missed even at the most draws and with every frequency two standard
    errors below the one seen, the sample's share in the moments taken off. It is asked at 256 draws and at each
    doubling, and stopping early cannot break a certificate.
    """

    def __init__(
        self,
        pilot: npt.ArrayLike,
        reference: Floats | None,
        *,
        sigma: float,
        alpha: float,
        bound: Bound,
        target: Target,
        draws: int,
        pilot_features: npt.ArrayLike | None = None,
        out_of_reach: Literal["refuse", "hopeless"] = "refuse",
    ) -> None:
        """Fix thresholds, priors and bets from the pilot.

        Args:
            pilot: [n0] cosines to the reference.
            reference: [D]; needed for ``bound="gram"`` only.
            sigma: noise standard deviation.
            alpha: probability that the certificate fails, wherever it stops.
            bound: which theorem.
            target: what to stop at.
            draws: the most certifying draws.
            pilot_features: [n0, D] unit rows; needed for ``bound="gram"`` only.
            out_of_reach: what to do of a target out of reach of so many draws: refuse it, or call it hopeless, as where
                it was made from the pilot and something else may go on.

        Raises:
            CertificationError: malformed numbers, or a target out of reach.
        """
        check_draws(draws, alpha, bound)
        if out_of_reach == "refuse":
            target.check_reachable(draws, alpha, sigma, bound)
        self._counted = DrawCounts(
            pilot,
            reference,
            sigma=sigma,
            alpha=alpha,
            bound=bound,
            draws=draws,
            fixed=False,
            pilot_features=pilot_features,
        )
        self._sigma = sigma
        self._alpha = alpha
        self._bound = bound
        self._target = target
        self._shift = target.radius / sigma
        self.most_draws = draws
        self.decided: Decision | None = None if target.is_reachable(draws, alpha, sigma, bound) else "hopeless"
        cosines, plan = self._counted.pilot, self._counted.plan
        counts = count_beyond(cosines, plan.thresholds)
        self._priors = tuple(BetaPrior.learned(count, len(cosines)) for count in counts)
        self._next_check = self._first_check = min(max(_FIRST_CHECK, self._fewest_draws() or draws), draws)
        self._next_doubt = _FIRST_DOUBT

    def update(self, cosines: npt.ArrayLike, features: npt.ArrayLike | None = None) -> None:
        """Add certifying draws: cosines [n] to the reference, and for the Gram law unit features [n, D]."""
        self._counted.update(cosines, features)
        draws = self._counted.draws
        # Nothing is proved before the first check, but much can be hopeless.
        doubt = self._next_doubt <= draws < self._first_check
        if self.decided is None and (draws >= self._next_check or doubt):
            self._check()

    def finish(self) -> CertifiedCurve:
        """The certificate from the draws so far.

        Raises:
            CertificationError: there were none, or more than announced.
        """
        if not 1 <= self._counted.draws <= self.most_draws:
            raise CertificationError(f"between 1 and {self.most_draws} draws were announced, not {self._counted.draws}")
        return self._counted.curve(self._evidence())

    def _fewest_draws(self) -> int | None:
        # Tails are bounded at their share of alpha, and no event at all is the best that they can show.
        share = {"gram": 0.5, "angle-law": 1.0}.get(self._bound)
        level = self._alpha if share is None else self._alpha * share / len(self._counted.plan.thresholds)
        return self._target.fewest_draws(level, self._sigma, self._bound)

    def _check(self) -> None:
        moments = self._counted.moments
        # With an eigenvalue that is too small the angle is too small: what this misses, the evidence misses too.
        evidence = self._evidence(None if moments is None else moments.eigenvalue_from_below())
        angle = evidence.angle(self._shift)
        if angle <= self._target.angle and moments is not None:
            angle = self._evidence().angle(self._shift)
        if angle <= self._target.angle:
            self.decided = "proved"
        elif self._counted.draws >= self._next_doubt and self._hopeless(evidence):
            self.decided = "hopeless"
        else:
            if self._counted.draws >= self._next_doubt:
                self._next_doubt = 2 * self._counted.draws
            # An angle falls no faster than one over the draws, or little faster.
            factor = _BLIND_STEP if angle == math.pi else angle / self._target.angle
            step = min(max(factor, _CLOSEST_CHECK), _FARTHEST_CHECK)
            self._next_check = min(max(math.ceil(self._counted.draws * step), self._first_check), self.most_draws)

    def _evidence(self, eigenvalue: float | None = None) -> Evidence:
        return self._counted.evidence(priors=self._priors, eigenvalue=eigenvalue)

    def _hopeless(self, evidence: Evidence) -> bool:
        counted, draws, most = self._counted, self._counted.draws, self.most_draws
        if draws >= most:
            return False  # it has simply not been proved
        if isinstance(evidence, Cone | Fcsb):
            return self._hopeless_score(evidence)
        tails = evidence.tails
        low = [max(0.0, count - _OPTIMISM * math.sqrt(count)) for count in tails.counts]
        later = replace(tails, counts=tuple(math.floor(count * most / draws) for count in low), draws=most)
        if isinstance(evidence, AngleLaw):
            return AngleLaw(later).angle(self._shift) > self._target.angle
        assert counted.moments is not None
        return _optimistic(evidence, later, counted.moments).angle(self._shift) > self._target.angle

    def _hopeless_score(self, evidence: Cone | Fcsb) -> bool:
        # The interval can shrink to the mean, and the mean may be as high as the interval's other end; but no lower
        # bound from so many draws exceeds the second number (docs/theory.md section 1).
        best = min(self._counted.score.score().upper, 1.0 + math.log(self._alpha) / self.most_draws)
        if isinstance(evidence, Cone):
            return Cone(2.0 * best - 1.0, self._alpha).angle(self._shift) > self._target.angle
        return replace(evidence, adaptive=best).angle(self._shift) > self._target.angle


def _optimistic(evidence: GramLaw, later: TailBounds, moments: OffAxisMoments) -> GramLaw:
    """What the most draws might show: the sample's own share in the mean's norm and in the eigenvalue is taken off."""
    share = moments.mean_square / moments.draws
    norm = math.sqrt(max(0.0, evidence.mean_norm**2 - share))
    low = 1.0 - _OPTIMISM / math.sqrt(moments.draws)
    eigenvalue = max(0.0, evidence.largest_eigenvalue * low - share)
    fourth = evidence.fourth_moment * low
    return replace(evidence, tails=later, mean_norm=norm, largest_eigenvalue=eigenvalue, fourth_moment=fourth)
