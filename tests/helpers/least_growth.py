"""The bound by betting, with the worst draws found by linear programming."""

import math

import numpy as np
from scipy import optimize


def least_growth(guess: float, mean: float, square: float, bet: float) -> float:
    """Of draws on a fine grid in [-1, 1] with at most these moments: a linear program."""
    near = (mean - square) / (1.0 - mean)
    y = np.append(np.linspace(-1.0, 1.0, 2_001), near if near > -1.0 else 0.0)
    growth = np.log1p(bet * (guess - y) / (1.0 - guess))
    solved = optimize.linprog(
        growth, A_ub=[y, y * y], b_ub=[mean, square], A_eq=[np.ones_like(y)], b_eq=[1.0], bounds=(0.0, None)
    )
    return float(solved.fun)


def betting_bound(mean: float, square: float, draws: int, alpha: float, bets: tuple[float, ...]) -> float:
    """Where the average of the least wealths reaches 1 / alpha."""

    def missing(guess: float) -> float:
        exponents = np.array([draws * least_growth(guess, mean, square, bet) for bet in bets])
        return float(np.logaddexp.reduce(exponents)) - math.log(len(bets) / alpha)

    return float(optimize.brentq(missing, mean, 1.0 - 1e-9, xtol=1e-12))
