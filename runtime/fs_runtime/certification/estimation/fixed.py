"""A number of draws fixed beforehand, taken block by block."""

import numpy.typing as npt

from fs_runtime.certification.curve import Bound, CertifiedCurve, Evidence
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.checks import check_draws
from fs_runtime.certification.estimation.counting import DrawCounts
from fs_runtime.certification.laws.angle_law import AngleLaw
from fs_runtime.certification.laws.cone import Cone
from fs_runtime.certification.laws.fcsb import Fcsb
from fs_runtime.certification.laws.gram_law import GramLaw
from fs_runtime.certification.laws.tails import COSINE_SLACK, TailBounds
from fs_runtime.certification.normal import Floats


class FixedDrawsEstimator:
    """Turns a number of draws that was fixed beforehand into a certificate, taking them block by block."""

    decided = None
    """It never stops early."""

    def __init__(
        self,
        pilot: npt.ArrayLike,
        reference: Floats | None,
        *,
        sigma: float,
        alpha: float,
        bound: Bound,
        draws: int,
    ) -> None:
        """Fix thresholds from the pilot's cosines [n0]; ``reference`` [D] is needed for ``bound="gram"`` only."""
        check_draws(draws, alpha, bound)
        self._counted = DrawCounts(pilot, reference, sigma=sigma, alpha=alpha, bound=bound, draws=draws)
        self._sigma = sigma
        self._alpha = alpha
        self._bound = bound
        self.most_draws = draws

    def update(self, cosines: npt.ArrayLike, features: npt.ArrayLike | None = None) -> None:
        """Add certifying draws: cosines [n] to the reference, and for the Gram law unit features [n, D]."""
        self._counted.update(cosines, features)

    def finish(self) -> CertifiedCurve:
        """The certificate.

        Raises:
            CertificationError: the number of draws taken is not the number fixed beforehand.
        """
        if self._counted.draws != self.most_draws:
            raise CertificationError(
                f"{self.most_draws} draws were announced but {self._counted.draws} were made: "
                "the number must be fixed before the draws"
            )
        return CertifiedCurve(
            bound=self._bound,
            sigma=self._sigma,
            alpha=self._alpha,
            draws=self.most_draws,
            pilot=len(self._counted.pilot),
            evidence=self._evidence(),
            score=self._counted.score.score(),
        )

    def _evidence(self) -> Evidence:
        counted, alpha = self._counted, self._alpha
        if self._bound == "fcsb":
            return Fcsb(counted.score.mean_cosine, self.most_draws, alpha)
        if self._bound == "cone":
            return Cone(2.0 * counted.score.lower(alpha) - 1.0 - COSINE_SLACK, alpha)
        counts = tuple(int(count) for count in counted.counts)
        if counted.moments is None:
            return AngleLaw(TailBounds(counted.plan.thresholds, counts, self.most_draws, alpha))
        return GramLaw(
            tails=TailBounds(counted.plan.thresholds, counts, self.most_draws, 0.5 * alpha),
            cut=counted.plan.cut,
            largest_eigenvalue=counted.moments.largest_eigenvalue,
            mean_norm=counted.moments.mean_norm,
            alpha=alpha,
        )
