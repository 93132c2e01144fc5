"""Bounds of a mean vector's norm: by formula, and by coverage under optional stopping."""

import math

import numpy as np
import pytest
from scipy import stats

from fs_runtime.certification.confidence.bernstein import any_time_bernstein_upper, bernstein_rate, bernstein_upper

RATES = tuple(bernstein_rate(0.02, 0.3, n, 0.03) for n in (32, 128, 512))


def test_bernstein_upper_equals_the_formula() -> None:
    budget = math.log(1.0 / 0.01) / 500
    expected = 0.02 + math.sqrt(2.0 * 0.004 * budget) + 0.3 * budget / 3.0
    assert bernstein_upper(0.02, 0.004, 0.3, 500, 0.01) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rates", [RATES, RATES[:1]])
def test_any_time_bernstein_upper_is_where_the_averaged_bets_reach_the_level(rates: tuple[float, ...]) -> None:
    bound = any_time_bernstein_upper(0.02, 0.004, 0.3, 500, 0.01, rates)
    bets = [
        math.exp(500 * (rate * (bound - 0.02) - 0.004 / 0.09 * (math.exp(rate * 0.3) - 1.0 - rate * 0.3)))
        for rate in rates
    ]
    assert np.mean(bets) == pytest.approx(100.0, rel=1e-6)
    assert bound > bernstein_upper(0.02, 0.004, 0.3, 500, 0.01)


def test_any_time_bernstein_upper_is_the_largest_norm_when_draws_are_few() -> None:
    assert any_time_bernstein_upper(0.1, 0.09, 0.3, 1, 0.01, RATES) == 0.3


def missed_at_the_worst_time(bound, alpha: float, runs: int, draws: int) -> int:  # type: ignore[no-untyped-def]
    """U is 0.3 or -0.3 along an axis, with mean 0.06: the second moment is 0.09."""
    rng = np.random.default_rng(11)
    signs = np.where(rng.random((runs, draws)) < 0.6, 0.3, -0.3)
    means = np.abs(np.cumsum(signs, axis=1) / np.arange(1, draws + 1))
    # A bound that would only break between these numbers of draws breaks at them in other runs.
    looks = [n for n in range(1, draws + 1) if n < 16 or n % 4 == 0]
    return sum(any(bound(row[n - 1], n) < 0.06 for n in looks) for row in means)


def test_any_time_bernstein_upper_covers_when_one_stops_at_the_worst_time() -> None:
    rates = tuple(bernstein_rate(0.09, 0.3, n, 0.2) for n in (16, 64, 256))
    missed = missed_at_the_worst_time(
        lambda mean, n: any_time_bernstein_upper(mean, 0.09, 0.3, n, 0.2, rates), 0.2, 250, 256
    )
    assert stats.binomtest(missed, 250, 0.2, alternative="greater").pvalue > 1e-6
    assert missed > 0  # the bound is not idle


def test_coverage_check_catches_a_bound_that_leaves_the_deviation_out() -> None:
    missed = missed_at_the_worst_time(lambda mean, n: mean + 0.05 / math.sqrt(n), 0.2, 250, 256)
    assert stats.binomtest(missed, 250, 0.2, alternative="greater").pvalue < 1e-6


LAWS = {
    "signs": lambda rng, shape: np.where(rng.random(shape) < 0.6, 0.3, -0.3),
    "rare": lambda rng, shape: np.where(rng.random(shape) < 0.02, 0.3, 0.0),
    "even": lambda rng, shape: rng.uniform(-0.1, 0.3, shape),
}
MEANS = {"signs": 0.06, "rare": 0.006, "even": 0.1}
SQUARES = {"signs": 0.09, "rare": 0.0018, "even": 0.1**2 + 0.4**2 / 12.0}


def missed_at_a_fixed_number(bound, law: str, draws: int) -> int:  # type: ignore[no-untyped-def]
    """How many of 4,000 bounds from the norm of a mean in the line are below the true one."""
    means = np.abs(LAWS[law](np.random.default_rng(draws), (4_000, draws)).mean(axis=1))
    return int(sum(bound(float(mean)) < MEANS[law] for mean in means))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("draws", [16, 64, 400])
@pytest.mark.parametrize("alpha", [0.2, 0.01])
def test_bernstein_upper_covers_when_the_number_of_draws_is_fixed(law: str, draws: int, alpha: float) -> None:
    missed = missed_at_a_fixed_number(lambda mean: bernstein_upper(mean, SQUARES[law], 0.3, draws, alpha), law, draws)
    assert stats.binomtest(missed, 4_000, alpha, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("law", ["signs", "even"])
def test_coverage_check_catches_bernstein_when_it_has_a_third_of_its_deviation(law: str) -> None:
    def third(mean: float) -> float:
        return mean + (bernstein_upper(mean, SQUARES[law], 0.3, 400, 0.01) - mean) / 3.0

    missed = missed_at_a_fixed_number(third, law, 400)
    assert stats.binomtest(missed, 4_000, 0.01, alternative="greater").pvalue < 1e-6
