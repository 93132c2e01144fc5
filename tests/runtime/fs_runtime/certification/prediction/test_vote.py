"""The vote's radius: Cohen et al.'s formula on the safe side."""

import pytest
from scipy import stats

from fs_runtime.certification.confidence.mixture import BetaPrior
from fs_runtime.certification.normal import quantile
from fs_runtime.certification.prediction import VoteLaw


@pytest.mark.parametrize(("count", "draws"), [(1000, 1000), (990, 1000), (700, 1000), (70, 100), (99_995, 100_000)])
def test_shift_is_the_quantile_of_the_lower_bound_when_most_draws_agree(count, draws):
    lower = stats.beta.ppf(0.001, count, draws - count + 1)
    found = VoteLaw(count, draws, 0.001).shift()
    assert found == pytest.approx(stats.norm.ppf(lower), rel=1e-7)
    assert found < stats.norm.ppf(lower)
    # The ball is open.
    assert found < -quantile(VoteLaw(count, draws, 0.001).against)


def test_shift_equals_the_closed_form_when_all_draws_agree():
    assert VoteLaw(1000, 1000, 0.001).shift() == pytest.approx(stats.norm.ppf(0.001**0.001), rel=1e-7)


@pytest.mark.parametrize("count", [0, 300, 500, 540])
def test_shift_is_zero_when_no_majority_is_certain(count):
    assert VoteLaw(count, 1000, 0.001).shift() == 0.0


def test_shift_is_smaller_when_it_holds_at_every_number_of_draws():
    prior = BetaPrior.learned(1, 100)
    assert 0.8 * VoteLaw(990, 1000, 0.01).shift() < VoteLaw(990, 1000, 0.01, prior).shift()
    assert VoteLaw(990, 1000, 0.01, prior).shift() < VoteLaw(990, 1000, 0.01).shift()
