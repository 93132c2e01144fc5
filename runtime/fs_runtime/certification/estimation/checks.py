"""What draws and settings must be before anything is made of them."""

import math

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.curve import BOUNDS, Bound
from fs_runtime.certification.errors import CertificationError, TooFewDrawsError
from fs_runtime.certification.estimation.pilot import THRESHOLDS
from fs_runtime.certification.normal import Floats

# How far float32 features and cosines may stray from unit length before they are called wrong.
UNIT_SLACK = 1e-4


def smallest_draws(alpha: float, bound: Bound) -> int:
    """The fewest draws with which an outcome at all thresholds certifies something (docs/theory.md section 2.4)."""
    if bound in ("fcsb", "cone"):
        # More than half of the score must remain. Even S_hat = 1 leaves fcsb 1 - sqrt(ln(1 / alpha) / 2n), and bets of
        # one on scores of one leave the cone 1 - ln(1 / alpha) / n.
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
    if bound not in BOUNDS:
        raise CertificationError(f"bound must be one of {', '.join(BOUNDS)}, not {bound!r}")
    if not 0.0 < alpha < 1.0:
        raise CertificationError(f"alpha must lie strictly between 0 and 1, not {alpha}", argument="alpha")
    needed = smallest_draws(alpha, bound)
    if draws < needed:
        raise TooFewDrawsError(draws, needed, alpha)


def checked_cosines(values: npt.ArrayLike, name: str) -> Floats:
    """Cosines [n] in float64.

    Raises:
        CertificationError: they are no 1-D array of finite numbers in [-1, 1], by more than rounding explains.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise CertificationError(f"{name} must be a non-empty 1-D array of cosines, not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise CertificationError(f"{name} hold {int((~np.isfinite(array)).sum())} values that are not finite")
    worst = float(np.abs(array).max())
    if worst > 1.0 + UNIT_SLACK:
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
    if not np.isfinite(norms).all() or float(off.max()) > UNIT_SLACK:
        row = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
        raise CertificationError(f"{name} must have unit rows, but row {row} has norm {norms[row]:.6g}")
    # Rounding may leave a row too long, and a longer row would be certified as closer than it is.
    unit: Floats = array / norms[:, None]
    return unit
