"""The robustness score: an empirical Bernstein confidence sequence, by formula and by coverage."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from fs_runtime.certification import RobustnessScore
from fs_runtime.certification.confidence.score import ScoreSequence

RUNS = 2_000


PILOT = np.linspace(0.1, 0.9, 9)
"""Cosines of a pilot that knows little."""


def score_of(
    cosines: npt.NDArray[np.float64],
    alpha: float,
    *,
    pilot: npt.NDArray[np.float64] = PILOT,
    any_time: bool = False,
) -> RobustnessScore:
    sequence = ScoreSequence(pilot, alpha, None if any_time else len(cosines))
    sequence.update(cosines)
    return sequence.score()


def test_score_equals_the_confidence_sequence_when_computed_draw_by_draw() -> None:
    cosines, pilot, alpha = np.random.default_rng(0).uniform(0.2, 0.7, 50), np.array([0.3, 0.6, 0.5]), 0.01
    seen = list((1.0 + pilot) / 2.0)
    squares = sum((value - np.mean(seen)) ** 2 for value in seen)
    bets = won = paid = 0.0
    for value in (1.0 + cosines) / 2.0:
        prediction, variance = np.mean(seen), squares / len(seen)
        room = math.log(2.0 / alpha) / (50 * variance)
        odds = room + math.sqrt(2.0 * room)
        bet = min(odds / (1.0 + odds), 0.999)
        bets, won = bets + bet, won + bet * value
        paid += (value - prediction) ** 2 * (-math.log(1.0 - bet) - bet)
        squares += (value - prediction) ** 2
        seen.append(value)
    width = (math.log(2.0 / alpha) + paid) / bets
    score = score_of(cosines, alpha, pilot=pilot)
    assert score.estimate == pytest.approx((1.0 + cosines.mean()) / 2.0, rel=1e-12)
    assert score.lower == pytest.approx(won / bets - width, rel=1e-9)
    assert score.upper == pytest.approx(won / bets + width, rel=1e-9)


@pytest.mark.parametrize("split", [[333], [1] * 333, [332, 1], [1, 332], [0, 100, 0, 233]])
@pytest.mark.parametrize("draws", [333, None])
def test_score_is_the_same_when_draws_come_in_blocks(split: list[int], draws: int | None) -> None:
    cosines = 0.999 + 1e-4 * np.random.default_rng(0).standard_normal(333)
    sequence = ScoreSequence(PILOT, 0.01, draws)
    for block in np.split(cosines, np.cumsum(split)[:-1]):
        sequence.update(block)
    whole = score_of(cosines, 0.01, any_time=draws is None)
    assert sequence.draws == 333
    assert sequence.mean_cosine == pytest.approx(cosines.mean(), rel=1e-14)
    for name in ("estimate", "lower", "upper"):
        assert getattr(sequence.score(), name) == pytest.approx(getattr(whole, name), rel=1e-9)


def test_score_is_vacuous_when_there_is_one_draw() -> None:
    assert score_of(np.array([0.5]), 0.01) == RobustnessScore(0.75, 0.0, 1.0)


def test_score_interval_is_narrow_when_draws_hardly_vary() -> None:
    rng = np.random.default_rng(1)
    cosines, pilot = (0.975 + 0.006 * rng.standard_normal(count) for count in (512, 128))
    score = score_of(cosines, 0.001, pilot=pilot)
    # Draws of variance zero would leave ln(2 / alpha) / n, no bet being above 1.
    assert math.log(2000.0) / 512 < score.estimate - score.lower < 1.1 * math.log(2000.0) / 512


def test_score_takes_cosines_for_one_when_rounding_left_them_above() -> None:
    exact = np.array([1.0, 0.5, 1.0, -1.0, 0.9] * 10)
    rounded = np.where(np.abs(exact) == 1.0, exact * (1.0 + 1e-7), exact)
    assert score_of(rounded, 0.01, pilot=rounded) == score_of(exact, 0.01, pilot=exact)


def test_lower_never_exceeds_what_its_bets_allow_when_every_draw_is_one() -> None:
    for draws in (16, 256, 4096):
        sequence = ScoreSequence(np.ones(32), 0.01, draws)
        sequence.update(np.ones(draws))
        assert 1.0 - 1.01 * math.log(100.0) / draws < sequence.lower(0.01) < 1.0 - math.log(100.0) / draws


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


@pytest.mark.parametrize("law", LAWS)
def test_score_interval_covers_when_one_stops_at_the_worst_time(law: str) -> None:
    alpha, runs, draws = 0.2, 500, 400
    values = LAWS[law](np.random.default_rng(5), (runs, draws))
    missed = 0
    for row in values:
        sequence = ScoreSequence(PILOT, alpha, None)
        for block in np.split(2.0 * row - 1.0, 40):
            sequence.update(block)
            score = sequence.score()
            if not score.lower <= MEANS[law] <= score.upper:
                missed += 1
                break
    assert stats.binomtest(missed, runs, alpha, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("law", LAWS)
def test_lower_covers_at_its_own_level_when_it_is_one_sided(law: str) -> None:
    values = LAWS[law](np.random.default_rng(7), (RUNS, 64))
    missed = 0
    for row in values:
        sequence = ScoreSequence(PILOT, 0.1, 64)
        sequence.update(2.0 * row - 1.0)
        missed += sequence.lower(0.3) > MEANS[law]
    assert stats.binomtest(missed, RUNS, 0.3, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("draws", [16, 200])
def test_lower_covers_at_its_own_level_when_one_stops_at_the_worst_time(law: str, draws: int) -> None:
    alpha, runs = 0.2, 500
    values = LAWS[law](np.random.default_rng(draws), (runs, draws))
    missed = 0
    for row in values:
        sequence = ScoreSequence(PILOT, alpha, None)
        for block in np.split(2.0 * row - 1.0, 8):
            sequence.update(block)
            if sequence.lower(alpha) > MEANS[law]:
                missed += 1
                break
    assert stats.binomtest(missed, runs, alpha, alternative="greater").pvalue > 1e-6
