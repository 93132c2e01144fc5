"""What is kept of the certifying draws, whichever bound they are for."""

import math

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.confidence.score import ScoreSequence
from fs_runtime.certification.curve import Bound
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.checks import checked_cosines, unit_rows
from fs_runtime.certification.estimation.moments import OffAxisMoments
from fs_runtime.certification.estimation.pilot import plan_thresholds
from fs_runtime.certification.laws.tails import count_beyond
from fs_runtime.certification.normal import Floats


class DrawCounts:
    """Counts beyond the pilot's thresholds, the score, and for the Gram law the off-axis moments.

    Attributes:
        plan: thresholds and cut, from the pilot.
        pilot: the pilot's cosines [n0].
        counts: [J] draws beyond each threshold.
        score: bounds of the mean cosine.
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
        draws: int | None,
    ) -> None:
        """Fix thresholds from the pilot's cosines; ``draws`` None: their number is not fixed beforehand."""
        if not 0.0 < sigma < math.inf:
            raise CertificationError(f"sigma must be a positive number, not {sigma}")
        self.pilot = checked_cosines(pilot, "pilot")
        self.plan = plan_thresholds(self.pilot)
        self.counts = np.zeros(len(self.plan.thresholds), dtype=np.int64)
        self.score = ScoreSequence(self.pilot, alpha, draws)
        self.moments: OffAxisMoments | None = None
        if bound == "gram":
            if reference is None:
                raise CertificationError('bound="gram" needs the reference and the features')
            self.moments = OffAxisMoments(reference, self.plan.thresholds[self.plan.cut])

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
