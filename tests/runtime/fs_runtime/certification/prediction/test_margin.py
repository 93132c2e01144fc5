"""The margin's bound: as the theorem writes it, and the thresholds it is counted at."""

import math

import numpy as np
import pytest
from scipy import stats

from fs_runtime.certification.confidence.mixture import BetaPrior
from fs_runtime.certification.laws.tails import TailBounds, count_beyond
from fs_runtime.certification.prediction import MarginLaw
from fs_runtime.certification.prediction.margin import bulk_thresholds, most_thresholds, plan_margin_thresholds

MARGINS = (0.3, 0.2, 0.05, -0.1)
COUNTS = (400, 150, 8, 1)


def law(margins=MARGINS, counts=COUNTS, draws=1000, alpha=0.01, priors=None):
    return MarginLaw(TailBounds(tuple(math.acos(m) for m in margins), counts, draws, alpha, priors))


def written_out(shift, margins=MARGINS, counts=COUNTS, draws=1000, alpha=0.01):
    """The left-hand side of Theorem 8."""
    p = [stats.beta.ppf(1.0 - alpha / len(counts), k + 1, draws - k) for k in counts]
    q = stats.norm.cdf(stats.norm.ppf(p) + shift)
    middle = sum((q[j] - q[j + 1]) * margins[j + 1] for j in range(len(q) - 1))
    return (1.0 - q[0]) * margins[0] + middle - q[-1]


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 2.5])
def test_mean_equals_the_theorem_when_written_out(shift):
    assert law().mean(shift) == pytest.approx(written_out(shift), abs=1e-9)
    assert law().mean(shift) < written_out(shift) + 1e-12


def test_mean_falls_when_the_shift_grows():
    means = [law().mean(shift) for shift in np.linspace(0.0, 6.0, 61)]
    assert (np.diff(means) < 0.0).all()
    assert means[-1] == pytest.approx(-1.0, abs=1e-3)


def test_shift_is_the_largest_when_the_mean_stays_positive():
    shift = law().shift()
    assert 0.5 < shift < 2.0
    assert law().mean(shift) > 0.0
    assert law().mean(shift + 1e-9) < 0.0
    assert written_out(shift) > 0.0
    assert written_out(shift + 1e-8) < 0.0


def test_shift_is_found_when_it_is_beyond_the_first_bracket():
    far = law((0.9,), (0,), 10**6, 0.01)
    assert written_out(far.shift(), (0.9,), (0,), 10**6, 0.01) > 0.0
    assert far.shift() == pytest.approx(stats.norm.ppf(0.9 / 1.9) - stats.norm.ppf(1 - 0.01 ** (1e-6)), abs=1e-6)
    assert far.shift() > 4.0


@pytest.mark.parametrize("counts", [(1000, 1000, 1000, 1000), (1000, 700, 300, 200), (990, 980, 500, 50)])
def test_shift_is_zero_when_the_mean_is_not_positive(counts):
    assert law(counts=counts).shift() == 0.0


def test_shift_is_smaller_when_it_holds_at_every_number_of_draws():
    priors = tuple(BetaPrior.learned(0.1 * count, 100) for count in COUNTS)
    assert 0.5 * law().shift() < law(priors=priors).shift() < law().shift()


def test_shift_grows_when_thresholds_follow_the_margins():
    few = law((0.2, 0.05), (150, 8)).shift()
    assert law((0.3, 0.2, 0.1, 0.05), (400, 150, 20, 8)).shift() > few


# --- thresholds


def test_thresholds_rise_from_the_margins_bulk_to_below_the_smallest_when_planned():
    margins = np.random.default_rng(1).normal(0.2, 0.05, 200)
    thresholds = plan_margin_thresholds(margins, 1000)
    found = np.cos(thresholds)
    assert list(thresholds) == sorted(set(thresholds))
    assert len(thresholds) == most_thresholds(1000) == bulk_thresholds(1000) + 5
    assert found[0] == pytest.approx(np.quantile(margins, 0.955), abs=2e-5)
    assert found[-6] == pytest.approx(np.quantile(margins, 0.011), abs=2e-5)
    below = margins.min() - np.array([0.0, 0.2, 0.5, 1.0, 2.0]) * (np.median(margins) - margins.min())
    assert found[-5:] == pytest.approx(below, abs=2e-5)
    assert found[-1] < 0.0


@pytest.mark.parametrize("margin", [-1.0, -0.999, 0.0, 0.5, 1.0])
def test_thresholds_stay_inside_when_all_margins_are_equal(margin):
    thresholds = plan_margin_thresholds(np.full(64, margin), 1000)
    assert 1 <= len(thresholds) <= 6
    assert all(0.0 < low < high < math.pi for low, high in zip(thresholds, (*thresholds[1:], 3.11), strict=True))


@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.02, 0.5, 0.9])
def test_thresholds_lie_just_below_the_margins_when_these_repeat(margin):
    margins = np.full(64, margin)
    thresholds = plan_margin_thresholds(margins, 1000)
    assert count_beyond(margins, thresholds) == (0,) * len(thresholds)
    assert math.cos(thresholds[0]) == pytest.approx(margin, abs=1e-5)


def test_thresholds_are_more_when_draws_are_more():
    assert [bulk_thresholds(draws) for draws in (1, 100, 1000, 10_000, 10**6)] == [6, 6, 11, 32, 32]
