"""A number of draws fixed beforehand, taken block by block."""

import numpy.typing as npt

from fs_runtime.certification.curve import Bound, CertifiedCurve
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.checks import check_draws
from fs_runtime.certification.estimation.counting import DrawCounts
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
        pilot_features: npt.ArrayLike | None = None,
    ) -> None:
        """Fix thresholds and bets from the pilot.

        Args:
            pilot: [n0] cosines to the reference.
            reference: [D]; needed for ``bound="gram"`` only.
            sigma: noise standard deviation.
            alpha: probability that the certificate fails.
            bound: which theorem.
            draws: certifying draws.
            pilot_features: [n0, D] unit rows; needed for ``bound="gram"`` only.

        Raises:
            CertificationError: malformed numbers, or too few draws.
        """
        check_draws(draws, alpha, bound)
        self._counted = DrawCounts(
            pilot,
            reference,
            sigma=sigma,
            alpha=alpha,
            bound=bound,
            draws=draws,
            fixed=True,
            pilot_features=pilot_features,
        )
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
        return self._counted.curve(self._counted.evidence())
