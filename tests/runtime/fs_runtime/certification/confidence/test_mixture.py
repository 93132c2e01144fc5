"""The beta-binomial mixture: by formula, by coverage under optional stopping, and that the check can fail."""

import math

import numpy as np
import pytest
from scipy import special, stats

from fs_runtime.certification.confidence.binomial import clopper_pearson_upper
from fs_runtime.certification.confidence.mixture import BetaPrior, mixture_upper

PRIOR = BetaPrior(0.5, 128.5)


def log_mixture(p: float, total: float, draws: int, prior: BetaPrior) -> float:
    gain = special.betaln(prior.a + total, prior.b + draws - total) - special.betaln(prior.a, prior.b)
    return float(gain - special.xlogy(total, p) - special.xlog1py(draws - total, -p))


@pytest.mark.parametrize("total", [0, 1, 7, 0.37, 40.5])
@pytest.mark.parametrize("prior", [PRIOR, BetaPrior(1.0, 1.0), BetaPrior(30.5, 98.5)])
def test_mixture_upper_is_the_largest_mean_that_is_not_refuted(total: float, prior: BetaPrior) -> None:
    bound = mixture_upper(total, 64, 0.01, prior)
    assert total / 64 < bound < 1.0
    # Just inside its own rounding it is refuted no more.
    assert log_mixture(bound, total, 64, prior) >= math.log(100.0)
    assert log_mixture(bound - 1e-8 * (1.0 - bound) - 1e-12, total, 64, prior) < math.log(100.0)


def test_mixture_upper_errs_upwards_when_draws_are_many() -> None:
    draws, total, prior = 200_000, 1234, BetaPrior(2.5, 126.5)
    bound = mixture_upper(total, draws, 1e-4, prior)
    # W_n as a product of rational factors, its logarithm summed without rounding.
    gains = [math.log((prior.a + i) / (prior.a + prior.b + i)) for i in range(total)]
    gains += [math.log((prior.b + i) / (prior.a + prior.b + total + i)) for i in range(draws - total)]
    log_w = math.fsum(gains) - total * math.log(bound) - (draws - total) * math.log1p(-bound)
    assert math.log(1e4) < log_w < math.log(1e4) + 1e-7


def test_mixture_upper_is_one_when_every_draw_was_an_event() -> None:
    assert mixture_upper(16, 16, 0.1, PRIOR) == 1.0


@pytest.mark.parametrize(("draws", "nats"), [(64, 0.3), (512, 0.9), (2048, 1.5)])
def test_mixture_upper_costs_little_more_than_clopper_pearson_when_nothing_was_seen(draws: int, nats: float) -> None:
    fixed, any_time = clopper_pearson_upper(0, draws, 1e-4), mixture_upper(0, draws, 1e-4, PRIOR)
    extra = -draws * (math.log1p(-any_time) - math.log1p(-fixed))
    assert 0.0 < extra < nats


def test_mixture_upper_rises_when_the_total_is_overestimated() -> None:
    bounds = [mixture_upper(total, 200, 0.01, BetaPrior(4.8, 124.2)) for total in np.linspace(0.0, 150.0, 300)]
    assert np.all(np.diff(bounds) > 0.0)


def worst_stops(p: float, bounds: np.ndarray, runs: int, draws: int) -> int:
    """Runs in which the bound was below the truth at any number of draws; bounds[k, n - 1] for k events in n."""
    events = np.cumsum(np.random.default_rng(int(1000 * p)).random((runs, draws)) < p, axis=1)
    return int((bounds[events, np.arange(draws)] < p).any(axis=1).sum())


def table_of_bounds(draws: int, bound) -> np.ndarray:  # type: ignore[no-untyped-def]
    table = np.ones((draws + 1, draws))
    for n in range(1, draws + 1):
        for k in range(n):
            table[k, n - 1] = bound(k, n)
    return table


DRAWS, ALPHA, RUNS = 64, 0.1, 4000


@pytest.mark.parametrize("prior", [BetaPrior(0.5, 20.5), BetaPrior(5.5, 15.5)])
def test_mixture_upper_covers_when_one_stops_at_the_worst_time(prior: BetaPrior) -> None:
    table = table_of_bounds(DRAWS, lambda k, n: mixture_upper(k, n, ALPHA, prior))
    for p in (0.02, 0.1, 0.3, 0.7):
        missed = worst_stops(p, table, RUNS, DRAWS)
        assert stats.binomtest(missed, RUNS, ALPHA, alternative="greater").pvalue > 1e-6


def test_coverage_check_catches_clopper_pearson_when_one_stops_at_the_worst_time() -> None:
    table = table_of_bounds(DRAWS, lambda k, n: clopper_pearson_upper(k, n, ALPHA))
    missed = worst_stops(0.3, table, RUNS, DRAWS)
    assert stats.binomtest(missed, RUNS, ALPHA, alternative="greater").pvalue < 1e-6


def test_mixture_upper_covers_when_draws_are_fractions_and_one_stops_at_the_worst_time() -> None:
    prior, runs = BetaPrior(4.5, 16.5), 400
    values = np.random.default_rng(3).beta(0.5, 1.5, (runs, DRAWS))
    missed = 0
    for row in np.cumsum(values, axis=1):
        missed += any(mixture_upper(float(total), n, 0.3, prior) < 0.25 for n, total in enumerate(row, 1))
    assert stats.binomtest(missed, runs, 0.3, alternative="greater").pvalue > 1e-6
