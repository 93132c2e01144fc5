"""Confidence bounds of probabilities and means: against SciPy, and by their coverage."""

import math

import numpy as np
import pytest
from scipy import special, stats

from fs_runtime.certification.confidence.binomial import clopper_pearson_upper

ALPHAS = [1e-2, 1e-3, 1e-5, 1e-7]


def interesting_counts(draws: int) -> list[int]:
    wanted = {0, 1, 2, 3, 7, draws // 1000, draws // 50, draws // 5, draws // 2, (4 * draws) // 5, draws - 2, draws - 1}
    return sorted(count for count in wanted if 0 <= count < draws)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("draws", [1, 2, 3, 16, 64, 129, 512, 2048, 10_000, 100_000, 1_000_000])
def test_clopper_pearson_upper_equals_beta_quantile_when_counts_vary(draws: int, alpha: float) -> None:
    for count in interesting_counts(draws):
        bound = clopper_pearson_upper(count, draws, alpha)
        expected = float(stats.beta.isf(alpha, count + 1, draws - count))
        assert bound == pytest.approx(expected, rel=1e-7)
        # On the safe side of the exact value, but for rounding: that of lgamma grows with n.
        assert bound >= expected * (1.0 - (1e-12 if draws <= 100_000 else 1e-9))


@pytest.mark.parametrize("draws", [1, 2, 5, 16, 40])
def test_clopper_pearson_upper_equals_beta_quantile_at_every_count_when_draws_are_few(draws: int) -> None:
    for count in range(draws):
        for alpha in ALPHAS:
            expected = float(stats.beta.ppf(1.0 - alpha, count + 1, draws - count))
            assert clopper_pearson_upper(count, draws, alpha) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("draws", [1, 16, 512, 1_000_000])
def test_clopper_pearson_upper_is_one_when_every_draw_counts(draws: int) -> None:
    assert clopper_pearson_upper(draws, draws, 1e-3) == 1.0


@pytest.mark.parametrize("draws", [16, 512, 100_000])
def test_clopper_pearson_upper_is_closed_form_when_nothing_counts(draws: int) -> None:
    for alpha in ALPHAS:
        expected = -math.expm1(math.log(alpha) / draws)
        assert clopper_pearson_upper(0, draws, alpha) == pytest.approx(expected, rel=1e-8)
        assert clopper_pearson_upper(0, draws, alpha) >= expected


def test_clopper_pearson_upper_rises_when_counts_rise_or_alpha_falls() -> None:
    bounds = np.array([[clopper_pearson_upper(count, 60, alpha) for count in range(61)] for alpha in ALPHAS])
    assert np.all(np.diff(bounds[:, :-1], axis=1) > 0.0)
    assert np.all(np.diff(bounds[:, :-1], axis=0) > 0.0)


def test_clopper_pearson_upper_keeps_its_level_when_draws_are_a_million() -> None:
    for count in (0, 1, 3, 5, 100, 10_000, 100_000):
        bound = clopper_pearson_upper(count, 1_000_000, 1e-3)
        # The exact distribution function at the bound; relative accuracy of SciPy's here: about 1e-12.
        assert special.bdtr(count, 1_000_000, bound) <= 1e-3 * (1.0 + 1e-11)


@pytest.mark.parametrize("draws", [16, 64, 300])
@pytest.mark.parametrize("alpha", [0.05, 1e-3])
def test_clopper_pearson_upper_covers_exactly_when_the_probability_is_any(draws: int, alpha: float) -> None:
    counts = np.arange(draws + 1)
    bounds = np.array([clopper_pearson_upper(int(count), draws, alpha) for count in counts])
    # Just above each bound is where failure is likeliest: there it reaches alpha, and nowhere exceeds it.
    worst = [float(stats.binom.pmf(counts, draws, p)[bounds < p].sum()) for p in bounds[:-1] + 1e-12]
    assert max(worst) <= alpha
    assert min(worst) >= alpha * (1.0 - 1e-6)
