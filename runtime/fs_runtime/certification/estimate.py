"""From draws to a certificate: select with the pilot, count with fresh draws, bound."""

import math

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.angle_law import AngleLaw
from fs_runtime.certification.curve import Bound, CertifiedCurve, Evidence
from fs_runtime.certification.errors import CertificationError, TooFewDrawsError
from fs_runtime.certification.fcsb import Fcsb
from fs_runtime.certification.gram_law import GramLaw
from fs_runtime.certification.moments import OffAxisMoments
from fs_runtime.certification.normal import Floats
from fs_runtime.certification.pilot import THRESHOLDS, plan_thresholds, reference_of
from fs_runtime.certification.score import ScoreMoments
from fs_runtime.certification.tails import TailBounds, count_beyond

# How far float32 features and cosines may stray from unit length before they are called wrong.
_UNIT_SLACK = 1e-4


def certify_cosines(
    pilot: npt.ArrayLike, cosines: npt.ArrayLike, *, sigma: float, alpha: float, bound: Bound = "angle-law"
) -> CertifiedCurve:
    """Certify from one cosine a draw, <f(x + eps), v>, with v fixed before the certifying draws.

    Args:
        pilot: [n0] cosines of the pilot's draws, independent of the others. They choose the thresholds.
        cosines: [n] cosines of the certifying draws, independent and identically distributed.
        sigma: noise standard deviation, in units of [0, 1] pixels.
        alpha: probability that the certificate may fail.
        bound: ``"angle-law"`` (docs/theory.md section 2) or ``"fcsb"`` (the baseline of arXiv 2601.16200).

    Returns:
        The certified curve; its guarantee is in its docstring.

    Raises:
        CertificationError: malformed numbers, or ``bound="gram"``, which needs the features.
        TooFewDrawsError: no outcome of so few draws could certify anything.
    """
    if bound == "gram":
        raise CertificationError('bound="gram" needs the features themselves: use certify_features')
    estimator = FixedDrawsEstimator(
        pilot, None, sigma=sigma, alpha=alpha, bound=bound, draws=np.size(np.asarray(cosines))
    )
    estimator.update(cosines)
    return estimator.finish()


def certify_features(
    pilot: npt.ArrayLike, features: npt.ArrayLike, *, sigma: float, alpha: float, bound: Bound = "gram"
) -> CertifiedCurve:
    """Certify from the unit features of the draws; the reference is the normalised mean of the pilot's.

    Args:
        pilot: [n0, D] unit rows, independent of the others.
        features: [n, D] unit rows of the certifying draws, independent and identically distributed.
        sigma: noise standard deviation, in units of [0, 1] pixels.
        alpha: probability that the certificate may fail.
        bound: ``"gram"`` (docs/theory.md section 11), ``"angle-law"`` or ``"fcsb"``.

    Returns:
        The certified curve; its guarantee is in its docstring.

    Raises:
        CertificationError: malformed numbers.
        TooFewDrawsError: no outcome of so few draws could certify anything.
    """
    rows = unit_rows(pilot, "pilot")
    drawn = unit_rows(features, "features")
    if rows.shape[1] != drawn.shape[1]:
        raise CertificationError(f"pilot rows have {rows.shape[1]} dimensions but features have {drawn.shape[1]}")
    reference = reference_of(rows.mean(axis=0))
    estimator = FixedDrawsEstimator(
        rows @ reference, reference, sigma=sigma, alpha=alpha, bound=bound, draws=len(drawn)
    )
    estimator.update(drawn @ reference, drawn)
    return estimator.finish()


def smallest_draws(alpha: float, bound: Bound) -> int:
    """The fewest draws with which an outcome at all thresholds certifies something (docs/theory.md section 2.4)."""
    if bound == "fcsb":
        # Even S_hat = 1 leaves 1 - sqrt(ln(1 / alpha) / 2n), which must exceed 1/2.
        return math.floor(2.0 * math.log(1.0 / alpha)) + 1
    # With no draw beyond any threshold 1 - (level / J)^(1/n) must stay below 1/2.
    level = alpha if bound == "angle-law" else 0.5 * alpha
    return math.floor(math.log(THRESHOLDS / level) / math.log(2.0)) + 1


def check_draws(draws: int, alpha: float, bound: Bound) -> None:
    """Refuse, before any draw is made, what cannot succeed.

    Raises:
        CertificationError: unknown bound, or alpha outside (0, 1).
        TooFewDrawsError: no outcome of so few draws could certify anything.
    """
    if bound not in ("gram", "angle-law", "fcsb"):
        raise CertificationError(f'bound must be "gram", "angle-law" or "fcsb", not {bound!r}')
    if not 0.0 < alpha < 1.0:
        raise CertificationError(f"alpha must lie strictly between 0 and 1, not {alpha}")
    needed = smallest_draws(alpha, bound)
    if draws < needed:
        raise TooFewDrawsError(draws, needed, alpha)


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
        cosines = _checked_cosines(pilot, "pilot")
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
        checked = _checked_cosines(cosines, "cosines")
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


def _checked_cosines(values: npt.ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise CertificationError(f"{name} must be a non-empty 1-D array of cosines, not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise CertificationError(f"{name} hold {int((~np.isfinite(array)).sum())} values that are not finite")
    worst = float(np.abs(array).max())
    if worst > 1.0 + _UNIT_SLACK:
        raise CertificationError(f"{name} hold a cosine of magnitude {worst:.6g}: features must be unit vectors")
    return array


def unit_rows(values: npt.ArrayLike | None, name: str) -> Floats:
    """Rows [n, D] in float64, normalised again: float32 leaves them up to 1e-7 too long or short.

    Raises:
        CertificationError: the rows are not unit vectors, by more than rounding explains.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise CertificationError(f"{name} must be a non-empty 2-D array of unit rows, not of shape {array.shape}")
    norms = np.linalg.norm(array, axis=1)
    off = np.abs(norms - 1.0)
    if not np.isfinite(norms).all() or float(off.max()) > _UNIT_SLACK:
        row = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
        raise CertificationError(f"{name} must have unit rows, but row {row} has norm {norms[row]:.6g}")
    # Rounding may leave a row too long, and a longer row would be certified as closer than it is.
    unit: Floats = array / norms[:, None]
    return unit
