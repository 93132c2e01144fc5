"""From arrays of draws to a certificate: select with the pilot, count with fresh draws, bound."""

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.curve import Bound, CertifiedCurve
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.checks import unit_rows
from fs_runtime.certification.estimation.fixed import FixedDrawsEstimator
from fs_runtime.certification.estimation.pilot import reference_of


def certify_cosines(
    pilot: npt.ArrayLike, cosines: npt.ArrayLike, *, sigma: float, alpha: float, bound: Bound = "angle-law"
) -> CertifiedCurve:
    """Certify from one cosine a draw, <f(x + eps), v>, with v fixed before the certifying draws.

    Args:
        pilot: [n0] cosines of the pilot's draws, independent of the others. They choose the thresholds.
        cosines: [n] cosines of the certifying draws, independent and identically distributed.
        sigma: noise standard deviation, in units of [0, 1] pixels.
        alpha: probability that the certificate may fail.
        bound: ``"angle-law"`` (docs/theory.md section 2), ``"cone"`` (section 3: the angle to f_hat(x), not to v) or
            ``"fcsb"`` (the baseline of arXiv 2601.16200).

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
        bound: ``"gram"`` (docs/theory.md section 11), ``"angle-law"``, ``"cone"`` (the angle to f_hat(x), not to
            the reference) or ``"fcsb"``.

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
        rows @ reference,
        reference,
        sigma=sigma,
        alpha=alpha,
        bound=bound,
        draws=len(drawn),
        pilot_features=rows,
    )
    estimator.update(drawn @ reference, drawn)
    return estimator.finish()
