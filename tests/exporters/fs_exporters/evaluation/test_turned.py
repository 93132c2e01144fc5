"""The attacked angle: free of the draws' scatter on average, and its lower bound rarely too large."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from fs_exporters.evaluation.turned import exactly, turned

Floats = npt.NDArray[np.float64]
REFERENCE = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
DRAWS = 16


def drawn(truth: float, scatter: float, rng: np.random.Generator) -> Floats:
    """Unit rows, whose mean direction has the angle ``truth`` to the reference; they scatter in every direction."""
    middle = np.array([math.cos(truth), math.sin(truth), 0.0, 0.0, 0.0])
    aside = scatter * rng.standard_normal((DRAWS, 5))
    aside -= np.outer(aside @ middle, middle)
    rows = middle + aside
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize("truth", [0.3, 0.8, 1.4])
def test_turned_estimates_the_angle_without_the_scatter_when_draws_are_few(truth: float) -> None:
    rng = np.random.default_rng(1)
    estimates, plain = [], []
    for _ in range(400):
        rows = drawn(truth, 1.0, rng)
        estimates.append(turned(rows[:4], rows[4:], REFERENCE, 0.1).estimate)
        plain.append(exactly(rows.mean(axis=0), REFERENCE).estimate)
    error = np.std(estimates) / math.sqrt(len(estimates))
    # The root and the arctangent bend a little; what is unbiased is the square.
    assert np.mean(estimates) == pytest.approx(math.degrees(truth), abs=4.0 * error + 0.7)
    if truth < 1.0:
        assert np.mean(plain) > np.mean(estimates) + 1.0


def test_turned_estimates_zero_about_half_the_time_when_nothing_turned() -> None:
    rng = np.random.default_rng(2)
    rows = [drawn(0.0, 1.0, rng) for _ in range(300)]
    estimates = np.array([turned(each[:4], each[4:], REFERENCE, 0.1).estimate for each in rows])
    assert 0.3 < np.mean(estimates == 0.0) < 0.7


@pytest.mark.parametrize("truth", [0.0, 0.2, 1.0, 1.55])
def test_turned_lower_bound_exceeds_the_truth_seldom_when_repeated(truth: float) -> None:
    rng = np.random.default_rng(3)
    beyond = 0
    for _ in range(300):
        rows = np.concatenate([drawn(truth, 0.5, rng) for _ in range(4)])
        beyond += turned(rows[:DRAWS], rows[DRAWS:], REFERENCE, 0.1).lower > math.degrees(truth)
    assert beyond <= 30


def test_turned_lower_bound_comes_near_when_draws_are_many() -> None:
    rng = np.random.default_rng(4)
    rows = np.concatenate([drawn(0.8, 0.5, rng) for _ in range(250)])
    found = turned(rows[:1000], rows[1000:], REFERENCE, 1e-3)
    assert math.degrees(0.8) - 5.0 < found.lower < math.degrees(0.8)
    assert found.estimate == pytest.approx(math.degrees(0.8), abs=1.0)


def test_turned_gives_a_lower_bound_of_zero_when_all_draws_are_the_reference() -> None:
    rows = np.tile(REFERENCE, (DRAWS, 1))
    found = turned(rows[:4], rows[4:], REFERENCE, 0.1)
    assert (found.estimate, found.lower) == (0.0, 0.0)


@pytest.mark.parametrize("truth", [0.0, 1e-4, 1.0, 2.5, math.pi])
def test_exactly_measures_any_angle_when_there_is_no_noise(truth: float) -> None:
    feature = 3.0 * np.array([math.cos(truth), math.sin(truth), 0.0, 0.0, 0.0])
    assert exactly(feature, REFERENCE).estimate == pytest.approx(math.degrees(truth), abs=1e-9)
