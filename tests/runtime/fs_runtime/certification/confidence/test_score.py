"""The robustness score: empirical Bernstein, by formula and by coverage."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from fs_runtime.certification import RobustnessScore
from fs_runtime.certification.confidence.score import ScoreMoments

RUNS = 2_000


def score_of(cosines: npt.NDArray[np.float64], alpha: float) -> RobustnessScore:
    moments = ScoreMoments()
    moments.update(cosines)
    return moments.score(alpha)


def test_score_equals_maurer_and_pontil_when_computed_in_one_pass() -> None:
    cosines = np.random.default_rng(0).uniform(0.2, 0.7, 333)
    values = (1.0 + cosines) / 2.0
    budget = math.log(2.0 / (0.01 / 2.0))  # each side at alpha / 2
    width = math.sqrt(2.0 * values.var(ddof=1) * budget / 333) + 7.0 * budget / (3.0 * 332)
    score = score_of(cosines, 0.01)
    assert score.estimate == pytest.approx(values.mean(), rel=1e-12)
    assert score.lower == pytest.approx(values.mean() - width, rel=1e-12)
    assert score.upper == pytest.approx(values.mean() + width, rel=1e-12)


@pytest.mark.parametrize("split", [[333], [1] * 333, [332, 1], [1, 332], [0, 100, 0, 233]])
def test_score_is_the_same_when_draws_come_in_blocks(split: list[int]) -> None:
    cosines = 0.999 + 1e-4 * np.random.default_rng(0).standard_normal(333)
    moments = ScoreMoments()
    for block in np.split(cosines, np.cumsum(split)[:-1]):
        moments.update(block)
    whole = score_of(cosines, 0.01)
    assert moments.draws == 333
    assert moments.mean_cosine == pytest.approx(cosines.mean(), rel=1e-14)
    for name in ("estimate", "lower", "upper"):
        assert getattr(moments.score(0.01), name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_score_stays_in_the_unit_interval_when_draws_are_few() -> None:
    assert score_of(np.array([1.0, 1.0]), 0.01) == RobustnessScore(1.0, 0.0, 1.0)
    assert score_of(np.array([-1.0, -1.0]), 0.01) == RobustnessScore(0.0, 0.0, 1.0)


def test_score_is_vacuous_when_there_is_one_draw() -> None:
    assert score_of(np.array([0.5]), 0.01) == RobustnessScore(0.75, 0.0, 1.0)


LAWS = {
    "rare": lambda rng, shape: (rng.random(shape) >= 0.01).astype(float),
    "coin": lambda rng, shape: (rng.random(shape) >= 0.5).astype(float),
    "uniform": lambda rng, shape: rng.random(shape),
    "skewed": lambda rng, shape: rng.beta(9.0, 0.4, shape),
}
MEANS = {"rare": 0.99, "coin": 0.5, "uniform": 0.5, "skewed": 9.0 / 9.4}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("draws", [16, 64, 256])
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_score_interval_covers_when_the_law_of_the_cosine_varies(law: str, draws: int, alpha: float) -> None:
    values = LAWS[law](np.random.default_rng(draws), (RUNS, draws))
    scores = [score_of(2.0 * row - 1.0, alpha) for row in values]
    missed = sum(not score.lower <= MEANS[law] <= score.upper for score in scores)
    assert stats.binomtest(missed, RUNS, alpha, alternative="greater").pvalue > 1e-6


def test_coverage_check_catches_the_interval_when_the_variance_alone_is_used() -> None:
    values = LAWS["rare"](np.random.default_rng(16), (RUNS, 16))
    width = np.sqrt(2.0 * values.var(axis=1, ddof=1) * math.log(40.0) / 16)
    missed = int((np.abs(values.mean(axis=1) - 0.99) > width).sum())
    assert stats.binomtest(missed, RUNS, 0.1, alternative="greater").pvalue < 1e-6
