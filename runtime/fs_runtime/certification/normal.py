"""The standard normal distribution, accurate in both tails."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STANDARD = NormalDist()
_ROOT_HALF = math.sqrt(0.5)


def cdf(x: float) -> float:
    """Phi(x), with full relative accuracy in the lower tail."""
    return 0.5 * math.erfc(-x * _ROOT_HALF)


def quantile(p: float) -> float:
    """Phi^-1(p) for p in [0, 1]; -inf and inf at the ends."""
    if p <= 0.0:
        return -math.inf
    if p >= 1.0:
        return math.inf
    return _STANDARD.inv_cdf(p)


def shifted(p: Floats, shift: float) -> Floats:
    """Phi(Phi^-1(p) + shift), elementwise: what probability p can grow to under a shift (in units of sigma)."""
    return np.array([cdf(quantile(float(value)) + shift) for value in p])
