"""Upper confidence bounds of a mean by betting, from the first two moments of the draws (docs/theory.md 11.2)."""

import math

from fs_runtime.certification.confidence.binomial import first_true

_LARGEST_BET = 0.98
_SMALLEST_SQUARE = 1e-9
# How much less to bet where the best rate is large: a draw at the far end costs -ln(1 - bet). Any value is valid; this
# one comes within 2.1 % of the best bet's bound at second moments from 0.002 to 0.2 and 128 to 8,192 draws.
_CAUTION = 0.8
# Absolute error of the exponents below, for all and, with bets of 0.004 or more, for each draw; it makes the level
# smaller.
_ROUNDING = 1e-9
_ROUNDING_PER_DRAW = 1e-14
_HALVINGS = 60
# Nearer to 1 the worst draws are lost in rounding; 1 is a bound in any case.
_ALL_ONE = 1.0 - 1e-6


def bet_for(mean_square: float, draws: float, alpha: float) -> float:
    """The bet in (0, 1) at which :func:`betting_upper` is about the sharpest for ``draws`` draws.

    Args:
        mean_square: of the draws, as known before them: from a pilot, say.
        draws: n.
        alpha: probability that the bound may fail.
    """
    rate = math.sqrt(-2.0 * math.log(alpha) / (draws * max(mean_square, _SMALLEST_SQUARE)))
    return min(_LARGEST_BET, rate / (1.0 + _CAUTION * rate))


def betting_upper(mean: float, mean_square: float, draws: int, alpha: float, bets: tuple[float, ...]) -> float:
    """Upper confidence bound of the mean of independent variables Y <= 1, from two moments of the first n of them.

    Guarantee: with probability at least 1 - alpha, for all n = 1, 2, ... together, the mean of Y is not above the value
    returned for the first n draws, if it lies in [0, 1); so one may stop whenever one likes. The moments may also be
    larger than those of the draws, such as their largest values over many directions (docs/theory.md Theorem 13). Each
    bet e on "the mean is mu" has the wealth prod (1 + e (mu - Y_i) / (1 - mu)), a martingale at the true mean; the
    least wealth that the two moments allow is compared with 1 / alpha (Ville's inequality).

    Args:
        mean: of the draws, or more; at least 0.
        mean_square: of the draws, or more.
        draws: n.
        alpha: probability that any of the bounds fails.
        bets: e in (0, 1), fixed before the draws; the average of their wealths counts.
    """
    if mean >= _ALL_ONE:
        return 1.0
    square = max(mean_square, mean * mean)
    budget = -math.log(alpha) + math.log(len(bets)) + _ROUNDING + _ROUNDING_PER_DRAW * draws

    def too_large(guess: float) -> bool:
        if guess >= 1.0:
            return True
        exponents = [draws * _least_growth(guess, mean, square, bet) for bet in bets]
        top = max(exponents)
        return top + math.log(sum(math.exp(exponent - top) for exponent in exponents)) >= budget

    return first_true(too_large, mean, 1.0)


def _least_growth(guess: float, mean: float, square: float, bet: float) -> float:
    """The least mean of ln(1 + bet (guess - y) / (1 - guess)) over draws y <= 1 with at most these moments.

    With r = bet / (1 - (1 - bet) guess) it is the mean of ln(1 - r y) and a constant. As a function of the mean alone
    it is convex, so its minimum over smaller means is at the given one or where it stops falling.
    """
    constant = math.log1p(-(1.0 - bet) * guess) - math.log1p(-guess)
    rate = bet / (1.0 - (1.0 - bet) * guess)
    end = math.log((1.0 - bet) * (1.0 - guess) / (1.0 - (1.0 - bet) * guess))
    if _slope(mean, square, rate, end) > 0.0:
        # Draws of a smaller mean, and of the same mean square, cost more.
        low, high = min(square, mean), mean
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if _slope(middle, square, rate, end) > 0.0 else (middle, high)
        mean = low
    near = _near(mean, square)
    share = (mean - near) / (1.0 - near)
    return constant + (1.0 - share) * math.log1p(-rate * near) + share * end


def _near(mean: float, square: float) -> float:
    """Of the two values, 1 and this one, of the draws that cost most (docs/theory.md Lemma E)."""
    return (mean - square) / (1.0 - mean)


def _slope(mean: float, square: float, rate: float, end: float) -> float:
    """Slope at 0 of the parabola below ln(1 - rate y) that touches it at ``near`` and meets it at 1."""
    near = _near(mean, square)
    value, slope = math.log1p(-rate * near), -rate / (1.0 - rate * near)
    bend = (end - value - slope * (1.0 - near)) / (1.0 - near) ** 2
    return slope - 2.0 * bend * near
