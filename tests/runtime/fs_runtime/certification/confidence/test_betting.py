"""Betting on two moments: against the worst draws by linear programming, and by coverage under optional stopping."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from helpers.least_growth import least_growth
from scipy import stats

from fs_runtime.certification.confidence.betting import bet_for, betting_upper

Floats = npt.NDArray[np.float64]


@pytest.mark.parametrize(
    ("mean", "square", "draws", "bets"),
    [
        (0.044, 0.007, 512, (0.8,)),
        (0.057, 0.044, 512, (0.5,)),
        (0.0, 0.03, 300, (0.3,)),
        (0.6, 0.5, 200, (0.9,)),  # the mean given is not the worst one
        (0.6, 0.4, 200, (0.95,)),
        (0.2, 0.2, 1_000, (0.2, 0.6)),
    ],
)
def test_betting_upper_is_where_the_least_wealth_reaches_the_level(
    mean: float, square: float, draws: int, bets: tuple[float, ...]
) -> None:
    bound = betting_upper(mean, square, draws, 1e-3, bets)
    assert mean < bound < 1.0

    def wealth(guess: float) -> float:
        return float(np.mean([math.exp(draws * least_growth(guess, mean, square, bet)) for bet in bets]))

    # The grid holds the worst draws but where the mean given is not the worst one.
    assert wealth(bound) == pytest.approx(1e3, rel=2e-3)
    assert wealth(bound - 1e-3) < 1e3


def test_betting_upper_is_closed_form_when_nothing_is_seen() -> None:
    # ln(1 + e mu / (1 - mu)) n = ln(1 / alpha)
    odds = math.expm1(math.log(1_000.0) / 400) / 0.9
    assert betting_upper(0.0, 0.0, 400, 1e-3, (0.9,)) == pytest.approx(odds / (1.0 + odds), rel=1e-9)


@pytest.mark.parametrize("mean", [1.0 - 1e-7, 1.0 - 1e-10, 1.0, 1.0 + 1e-9])
@pytest.mark.parametrize("square", [0.0, 1.0, 2.0])
def test_betting_upper_is_one_when_the_draws_are_all_one(mean: float, square: float) -> None:
    assert betting_upper(mean, square, 50, 0.01, (0.5, 1.0 - 1e-9)) == 1.0


@pytest.mark.parametrize(("mean", "square"), [(0.03, 0.004), (0.3, 0.2), (0.7, 0.6)])
def test_betting_upper_rises_when_a_moment_does(mean: float, square: float) -> None:
    def bound(mean: float, square: float) -> float:
        return betting_upper(mean, square, 256, 0.01, (0.9,))

    assert bound(mean, square) < bound(mean + 0.01, square + 0.02) <= bound(mean + 0.02, square + 0.02)
    assert bound(mean, square) < bound(mean, square + 0.01)


def test_betting_upper_takes_the_square_of_the_mean_when_less_is_given() -> None:
    assert betting_upper(0.3, 0.01, 256, 0.01, (0.5,)) == betting_upper(0.3, 0.09, 256, 0.01, (0.5,))


@pytest.mark.parametrize("draws", [128, 512, 2_048, 8_192])
@pytest.mark.parametrize("square", [0.002, 0.02, 0.2])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_bet_for_is_near_the_best_bet(draws: int, square: float, share: float) -> None:
    mean = share * math.sqrt(square)
    made = betting_upper(mean, square, draws, 2.5e-4, (bet_for(square, draws, 2.5e-4),))
    best = min(betting_upper(mean, square, draws, 2.5e-4, (bet,)) for bet in np.linspace(0.02, 0.98, 33))
    assert made <= 1.021 * best


@pytest.mark.parametrize("square", [0.0, 1e-12, 1.0])
def test_bet_for_is_a_bet_when_the_pilot_is_extreme(square: float) -> None:
    assert all(0.0 < bet_for(square, draws, alpha) < 1.0 for draws in (1, 10**7) for alpha in (0.5, 1e-9))


# --- coverage

LAWS = {
    "signs": lambda rng, shape: np.where(rng.random(shape) < 0.6, 1.0, -1.0),
    "rare": lambda rng, shape: np.where(rng.random(shape) < 0.02, 1.0, 0.0),
    "even": lambda rng, shape: rng.uniform(-0.3, 1.0, shape),
    "squares": lambda rng, shape: np.minimum(0.1 * rng.standard_normal(shape) ** 2, 1.0),
}
MEANS = {"signs": 0.2, "rare": 0.02, "even": 0.35}
MEANS["squares"] = 0.1 * stats.chi2.cdf(10.0, 3) + stats.chi2.sf(10.0, 1)


def missed(law: str, draws: int, alpha: float, bets: tuple[float, ...], runs: int, looks: list[int]) -> int:
    """How many of ``runs`` sequences have a bound below the true mean at any of the looks."""
    drawn = LAWS[law](np.random.default_rng(draws), (runs, draws))
    counts = np.arange(1, draws + 1)
    means, squares = np.cumsum(drawn, axis=1) / counts, np.cumsum(drawn**2, axis=1) / counts
    return sum(
        any(
            betting_upper(max(float(m[n - 1]), 0.0), float(s[n - 1]), n, alpha, bets) < MEANS[law] - 1e-12
            for n in looks
        )
        for m, s in zip(means, squares, strict=True)
    )


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("draws", [16, 64, 400])
@pytest.mark.parametrize("alpha", [0.2, 0.01])
def test_betting_upper_covers_when_the_number_of_draws_is_fixed(law: str, draws: int, alpha: float) -> None:
    bets = (bet_for(0.1, draws, alpha),)
    found = missed(law, draws, alpha, bets, 1_000, [draws])
    assert stats.binomtest(found, 1_000, alpha, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("law", LAWS)
def test_betting_upper_covers_when_one_stops_at_the_worst_time(law: str) -> None:
    bets = tuple(bet_for(0.1, n, 0.2) for n in (16, 64, 256))
    looks = [n for n in range(1, 257) if n < 16 or n % 8 == 0]
    assert stats.binomtest(missed(law, 256, 0.2, bets, 200, looks), 200, 0.2, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("law", ["signs", "rare"])
def test_betting_upper_is_not_idle_when_the_draws_are_the_worst_ones(law: str) -> None:
    # Draws of two values, 1 and another, are those that the bound is made for.
    assert missed(law, 400, 0.2, (bet_for(1.0 if law == "signs" else 0.02, 400, 0.2),), 1_000, [400]) > 20


def exact_failure(p: float, draws: int, bet: float, alpha: float) -> float:
    """Probability that the bound fails at any of the numbers of draws, where a draw is 1 with probability p, else 0."""
    laws = np.zeros(draws + 1)
    laws[0], failed = 1.0, 0.0
    for n in range(1, draws + 1):
        laws[1:] = laws[1:] * (1.0 - p) + laws[:-1] * p
        laws[0] *= 1.0 - p
        shares = np.arange(n + 1) / n
        below = [betting_upper(share, share, n, alpha, (bet,)) < p - 1e-12 for share in shares]
        failed += float(laws[: n + 1][below].sum())
        laws[: n + 1][below] = 0.0
    return failed


@pytest.mark.parametrize(("p", "bet"), [(0.6, 0.9), (0.1, 0.9)])
def test_betting_upper_fails_with_little_less_than_alpha_when_one_stops_at_the_worst_time(p: float, bet: float) -> None:
    assert 0.5 * 0.05 < exact_failure(p, 80, bet, 0.05) <= 0.05
    # A bound that is for twice as much is noticed.
    assert exact_failure(p, 80, bet, 0.1) > 0.05
