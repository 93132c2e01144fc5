"""Exact confidence bounds of a probability."""

import math
from collections.abc import Callable

# Relative error of the incomplete beta function below (its lgamma terms dominate). Levels are shrunk by it, so
# that rounding can only widen a bound.
_ROUNDING = 1e-9
_ROUNDING_PER_DRAW = 2e-14


def clopper_pearson_upper(count: int, draws: int, alpha: float) -> float:
    """Upper confidence bound of a probability from ``count`` events in ``draws`` independent draws.

    Guarantee: with probability at least 1 - alpha the true probability is not above the returned value
    (Clopper and Pearson, 1934).
    """
    if count >= draws:
        return 1.0
    target = alpha * (1.0 - _ROUNDING - _ROUNDING_PER_DRAW * draws)
    if count == 0:
        return -math.expm1(math.log(target) / draws)
    # P(Binomial(draws, p) <= count) falls as p grows; the bound is where it reaches alpha.
    return first_true(lambda p: _binomial_cdf(count, draws, p) <= target, count / draws, 1.0)


def first_true(predicate: Callable[[float], bool], low: float, high: float) -> float:
    """Where a monotone predicate turns true in [low, high], rounded upwards."""
    while high - low > 1e-15 + 1e-13 * low:
        middle = 0.5 * (low + high)
        if predicate(middle):
            high = middle
        else:
            low = middle
    return high


def _binomial_cdf(count: int, draws: int, p: float) -> float:
    """P(Binomial(draws, p) <= count) = I_{1-p}(draws - count, count + 1)."""
    if p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    return _incomplete_beta(draws - count, count + 1, 1.0 - p, p)


def _incomplete_beta(a: int, b: int, x: float, y: float) -> float:
    """Regularised incomplete beta function I_x(a, b), with y = 1 - x given exactly.

    The continued fraction of DLMF 8.17.22 by Lentz's method, on the side where it converges quickly.
    """
    if x * (a + b + 2) >= a + 1:
        return 1.0 - _incomplete_beta_fraction(b, a, y, x)
    return _incomplete_beta_fraction(a, b, x, y)


def _incomplete_beta_fraction(a: int, b: int, x: float, y: float) -> float:
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y) - math.log(a)
    tiny = 1e-300
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    result = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            result *= d * c
        if abs(d * c - 1.0) < 1e-15:
            return min(1.0, math.exp(log_front) * result)
    raise ArithmeticError(f"incomplete beta did not converge at a={a}, b={b}, x={x}")  # pragma: no cover
