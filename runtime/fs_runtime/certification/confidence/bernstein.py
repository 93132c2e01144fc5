"""Upper confidence bounds of the norm of a mean vector, from a bound of its second moment (docs/theory.md 11.2)."""

import math

from fs_runtime.certification.confidence.binomial import first_true

# Absolute error of the exponents below; it makes the level smaller.
_ROUNDING = 1e-9


def bernstein_upper(norm: float, second_moment: float, largest: float, draws: int, alpha: float) -> float:
    """Upper confidence bound of beta = ||E U|| from the norm of the sample mean of a number of draws fixed beforehand.

    Guarantee: with probability at least 1 - alpha, beta is not above it (Bernstein with the uncentred second moment, in
    the one direction of E U; docs/theory.md Theorem 13).

    Args:
        norm: of the sample mean.
        second_moment: upper bound of the largest eigenvalue of E[U U^T].
        largest: bound of ||U||.
        draws: n.
        alpha: probability that it fails.
    """
    budget = -math.log(alpha) / draws
    return norm + math.sqrt(2.0 * second_moment * budget) + largest * budget / 3.0


def bernstein_rate(second_moment: float, largest: float, draws: float, alpha: float) -> float:
    """The rate eta at which the exponential bound is sharpest for about ``draws`` draws."""
    rate = math.sqrt(-2.0 * math.log(alpha) / (draws * second_moment))
    return rate / (1.0 + rate * largest / 3.0)


def any_time_bernstein_upper(
    norm: float, second_moment: float, largest: float, draws: int, alpha: float, rates: tuple[float, ...]
) -> float:
    """The same, valid at all numbers of draws at once (docs/theory.md Theorem 16).

    Guarantee: with probability at least 1 - alpha, for all n together, beta is not above the value for the first n
    draws: each rate eta gives a supermartingale exp(eta (n beta - sum) - n E_eta), and Ville's inequality bounds their
    average.

    Args:
        norm: of the sample mean.
        second_moment: upper bound of the largest eigenvalue of E[U U^T].
        largest: bound of ||U||.
        draws: n.
        alpha: probability that any of the bounds fails.
        rates: eta > 0, fixed before the draws.
    """
    budget = -math.log(alpha) + math.log(len(rates)) + _ROUNDING
    relative = second_moment / (largest * largest)
    costs = [relative * (math.expm1(rate * largest) - rate * largest) for rate in rates]

    def too_large(beta: float) -> bool:
        exponents = [draws * (rate * (beta - norm) - cost) for rate, cost in zip(rates, costs, strict=True)]
        top = max(exponents)
        return top + math.log(sum(math.exp(exponent - top) for exponent in exponents)) >= budget

    return first_true(too_large, norm, max(norm, largest))
