"""What is kept of the certifying draws, whichever bound they are for."""

import math

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.confidence.mixture import BetaPrior
from fs_runtime.certification.confidence.score import ScoreSequence
from fs_runtime.certification.curve import Bound, CertifiedCurve, Evidence
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.bets import plan_bets, sizes_up_to
from fs_runtime.certification.estimation.checks import checked_cosines, unit_rows
from fs_runtime.certification.estimation.moments import OffAxisMoments
from fs_runtime.certification.estimation.pilot import plan_thresholds
from fs_runtime.certification.laws.angle_law import AngleLaw
from fs_runtime.certification.laws.cone import Cone
from fs_runtime.certification.laws.fcsb import Fcsb
from fs_runtime.certification.laws.gram_law import GramLaw, MomentBets
from fs_runtime.certification.laws.tails import COSINE_SLACK, TailBounds, count_beyond
from fs_runtime.certification.normal import Floats


class DrawCounts:
    """Counts beyond the pilot's thresholds, the score, and for the Gram law the off-axis moments.

    Attributes:
        plan: thresholds and cut, from the pilot.
        pilot: the pilot's cosines [n0].
        counts: [J] draws beyond each threshold.
        score: bounds of the mean cosine.
        bets: for ``bound="gram"``.
        moments: for ``bound="gram"``.
    """

    def __init__(
        self,
        pilot: npt.ArrayLike,
        reference: Floats | None,
        *,
        sigma: float,
        alpha: float,
        bound: Bound,
        draws: int,
        fixed: bool,
        pilot_features: npt.ArrayLike | None,
    ) -> None:
        """Fix thresholds and bets from the pilot: its cosines [n0], and for the Gram law its unit features [n0, D].

        ``draws`` is their number, or the most of them where that is not ``fixed`` beforehand.
        """
        if not 0.0 < sigma < math.inf:
            raise CertificationError(f"sigma must be a positive number, not {sigma}")
        self._sigma = sigma
        self._alpha = alpha
        self._bound = bound
        self._fixed = fixed
        self.pilot = checked_cosines(pilot, "pilot")
        self.plan = plan_thresholds(self.pilot)
        self.counts = np.zeros(len(self.plan.thresholds), dtype=np.int64)
        self.score = ScoreSequence(self.pilot, alpha, draws if fixed else None)
        self.bets: MomentBets | None = None
        self.moments: OffAxisMoments | None = None
        if bound == "gram":
            if reference is None or pilot_features is None:
                raise CertificationError('bound="gram" needs the reference and the pilot\'s features')
            cut = self.plan.thresholds[self.plan.cut]
            rows = unit_rows(pilot_features, "pilot")
            if len(rows) != len(self.pilot):
                raise CertificationError(f"the pilot has {len(self.pilot)} cosines but {len(rows)} features")
            sizes = (float(draws),) if fixed else sizes_up_to(draws)
            self.bets = plan_bets(self.pilot, rows, reference, cut, alpha, sizes)
            self.moments = OffAxisMoments(reference, cut)

    @property
    def draws(self) -> int:
        """Draws so far."""
        return self.score.draws

    def update(self, cosines: npt.ArrayLike, features: npt.ArrayLike | None) -> None:
        """Add certifying draws: cosines [n] to the reference, and for the Gram law unit features [n, D]."""
        checked = checked_cosines(cosines, "cosines")
        rows: Floats | None = None
        if self.moments is not None:
            if features is None:
                raise CertificationError('bound="gram" needs the features of every draw')
            rows = unit_rows(features, "features")
            if len(rows) != len(checked):
                raise CertificationError(f"there are {len(checked)} cosines but {len(rows)} features")
        self.counts += np.array(count_beyond(checked, self.plan.thresholds))
        self.score.update(checked)
        if self.moments is not None and rows is not None:
            self.moments.update(checked, rows)

    def evidence(
        self,
        *,
        priors: tuple[BetaPrior, ...] | None = None,
        eigenvalue: float | None = None,
    ) -> Evidence:
        """The evidence of the draws so far.

        Args:
            priors: one a threshold, where the number of draws was not fixed beforehand.
            eigenvalue: in place of the largest one of the moments.
        """
        score, alpha = self.score, self._alpha
        if self._bound == "fcsb":
            # Hoeffding's inequality needs a number of draws that was fixed.
            adaptive = None if self._fixed else score.lower(alpha) - 0.5 * COSINE_SLACK
            return Fcsb(score.mean_cosine, self.draws, alpha, adaptive)
        if self._bound == "cone":
            return Cone(2.0 * score.lower(alpha) - 1.0 - COSINE_SLACK, alpha)
        counts = tuple(int(count) for count in self.counts)
        level = alpha if self.moments is None else 0.5 * alpha
        tails = TailBounds(self.plan.thresholds, counts, self.draws, level, priors)
        if self.moments is None or self.bets is None:
            return AngleLaw(tails)
        return GramLaw(
            tails=tails,
            cut=self.plan.cut,
            largest_eigenvalue=self.moments.largest_eigenvalue if eigenvalue is None else eigenvalue,
            fourth_moment=self.moments.fourth_moment,
            mean_norm=self.moments.mean_norm,
            bets=self.bets,
            alpha=alpha,
        )

    def curve(self, evidence: Evidence) -> CertifiedCurve:
        """The certificate that rests on ``evidence``."""
        return CertifiedCurve(
            bound=self._bound,
            sigma=self._sigma,
            alpha=self._alpha,
            draws=self.draws,
            pilot=len(self.pilot),
            evidence=evidence,
            score=self.score.score(),
        )
