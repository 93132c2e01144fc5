"""A number of draws fixed beforehand, taken block by block."""

import math

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.confidence.score import ScoreMoments
from fs_runtime.certification.curve import Bound, CertifiedCurve, Evidence
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.checks import check_draws, checked_cosines, unit_rows
from fs_runtime.certification.estimation.moments import OffAxisMoments
from fs_runtime.certification.estimation.pilot import plan_thresholds
from fs_runtime.certification.laws.angle_law import AngleLaw
from fs_runtime.certification.laws.fcsb import Fcsb
from fs_runtime.certification.laws.gram_law import GramLaw
from fs_runtime.certification.laws.tails import TailBounds, count_beyond
from fs_runtime.certification.normal import Floats


class FixedDrawsEstimator:
    """Turns a number of draws that was fixed beforehand into a certificate, taking them block by block."""

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
        if not 0.0 < sigma < math.inf:
            raise CertificationError(f"sigma must be a positive number, not {sigma}")
        cosines = checked_cosines(pilot, "pilot")
        self._plan = plan_thresholds(cosines)
        self._pilot = len(cosines)
        self._sigma = sigma
        self._alpha = alpha
        self._bound = bound
        self._draws = draws
        self._counts = np.zeros(len(self._plan.thresholds), dtype=np.int64)
        self._score = ScoreMoments()
        self._moments: OffAxisMoments | None = None
        if bound == "gram":
            if reference is None:
                raise CertificationError('bound="gram" needs the reference and the features')
            self._moments = OffAxisMoments(reference, self._plan.thresholds[self._plan.cut])

    def update(self, cosines: npt.ArrayLike, features: npt.ArrayLike | None = None) -> None:
        """Add certifying draws: cosines [n] to the reference, and for the Gram law unit features [n, D]."""
        checked = checked_cosines(cosines, "cosines")
        self._counts += np.array(count_beyond(checked, self._plan.thresholds))
        self._score.update(checked)
        if self._moments is not None:
            if features is None:
                raise CertificationError('bound="gram" needs the features of every draw')
            rows = unit_rows(features, "features")
            if len(rows) != len(checked):
                raise CertificationError(f"there are {len(checked)} cosines but {len(rows)} features")
            self._moments.update(checked, rows)

    def finish(self) -> CertifiedCurve:
        """The certificate.

        Raises:
            CertificationError: the number of draws taken is not the number fixed beforehand.
        """
        if self._score.draws != self._draws:
            raise CertificationError(
                f"{self._draws} draws were announced but {self._score.draws} were made: "
                "the number must be fixed before the draws"
            )
        return CertifiedCurve(
            bound=self._bound,
            sigma=self._sigma,
            alpha=self._alpha,
            draws=self._draws,
            pilot=self._pilot,
            evidence=self._evidence(),
            score=self._score.score(self._alpha),
        )

    def _evidence(self) -> Evidence:
        if self._bound == "fcsb":
            return Fcsb(self._score.mean_cosine, self._draws, self._alpha)
        counts = tuple(int(count) for count in self._counts)
        if self._moments is None:
            return AngleLaw(TailBounds(self._plan.thresholds, counts, self._draws, self._alpha))
        return GramLaw(
            tails=TailBounds(self._plan.thresholds, counts, self._draws, 0.5 * self._alpha),
            cut=self._plan.cut,
            largest_eigenvalue=self._moments.largest_eigenvalue,
            mean_norm=self._moments.mean_norm,
            alpha=self._alpha,
        )
