"""Certificates hold as often as they promise, on encoders whose smoothed feature is known exactly (section 10)."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from helpers.simulated_certificates import BOUNDS, Violations, count_violations
from helpers.simulated_encoders import SHIFTS, SimulatedEncoder, angle_between, planar, simulated_encoders
from helpers.verdicts import SMALLEST_P_VALUE
from scipy import integrate, stats

from fs_runtime.certification import Bound
from fs_runtime.certification.laws import fcsb, gram_law, tails

PILOT = 64
# Draws, alpha, runs: 3 bounds and 9 encoders make 9,450 certificates.
SETTINGS = [(64, 0.05, 100), (256, 0.05, 150), (512, 0.001, 100)]
ENCODERS = [encoder.name for encoder in simulated_encoders(64, 0.05)]


def encoder_named(name: str, draws: int, alpha: float) -> SimulatedEncoder:
    return next(encoder for encoder in simulated_encoders(draws, alpha) if encoder.name == name)


def simulate(name: str, bound: Bound, draws: int, *, pilot: int = PILOT, runs: int = 100) -> Violations:
    encoder = encoder_named(name, draws, 0.05)
    rng = np.random.default_rng(77)
    [result] = count_violations(encoder, rng, draws=draws, pilot=pilot, alpha=0.05, runs=runs, bounds=(bound,))
    return result


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(("draws", "alpha", "runs"), SETTINGS)
def test_certify_features_breaks_no_oftener_than_alpha_when_truth_is_known(
    name: str, draws: int, alpha: float, runs: int
) -> None:
    rng = np.random.default_rng([draws, ENCODERS.index(name)])
    results = count_violations(encoder_named(name, draws, alpha), rng, draws=draws, pilot=PILOT, alpha=alpha, runs=runs)
    assert [result.bound for result in results] == list(BOUNDS)
    for result in results:
        assert result.p_value > SMALLEST_P_VALUE, result


@pytest.mark.parametrize("bound", BOUNDS)
def test_certify_features_says_something_when_draws_are_many(bound: Bound) -> None:
    # A bound that is always vacuous would pass the test above.
    for name in ("rising", "two-sides", "scattered", "aligned", "likelihood-ratio"):
        result = simulate(name, bound, 256, runs=10)
        assert result.certified == 1.0
        assert math.radians(1.0) < result.slack < math.radians(60.0)


# --- the simulation catches bounds that are wrong


def test_simulation_catches_the_bound_when_frequencies_stand_for_clopper_pearson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tails, "clopper_pearson_upper", lambda count, draws, alpha: count / draws)
    for bound in ("angle-law", "gram"):
        assert simulate("hidden-turn", bound, 256).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_bound_when_the_mean_off_axis_part_lacks_its_deviation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = property(lambda law: law.mean_norm)
    monkeypatch.setattr(gram_law.GramLaw, "mean", broken)
    result = simulate("two-sides", "gram", 4096, pilot=128)
    assert result.p_value < SMALLEST_P_VALUE


def test_simulation_passes_the_gram_law_when_its_deviation_is_there() -> None:
    result = simulate("two-sides", "gram", 4096, pilot=128)
    assert result.p_value > SMALLEST_P_VALUE


def test_simulation_catches_the_bound_when_the_second_moment_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram_law.GramLaw, "second_moment", property(lambda law: 0.0))
    assert simulate("likelihood-ratio", "gram", 4096, pilot=128).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_angle_law_when_the_shift_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "shifted", lambda p, shift: p)
    assert simulate("rising", "angle-law", 256).p_value < SMALLEST_P_VALUE


def test_simulation_catches_fcsb_when_the_shift_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[[fcsb.Fcsb, float], float] = fcsb.Fcsb.angle
    monkeypatch.setattr(fcsb.Fcsb, "angle", lambda law, shift: original(law, 0.0))
    encoder = planar("swing", (1.0,), [0.0, 3.0])
    [result] = count_violations(
        encoder, np.random.default_rng(1), draws=2_048, pilot=PILOT, alpha=0.05, runs=40, bounds=("fcsb",)
    )
    assert result.p_value < SMALLEST_P_VALUE
    assert result.certified == 1.0


# --- the simulation itself


@pytest.mark.parametrize("name", ENCODERS)
def test_smoothed_equals_quadrature_when_the_shift_is_not_zero(name: str) -> None:
    encoder = encoder_named(name, 256, 0.05)
    means = encoder.features.mean(axis=1)
    for shift in (-1.0, 0.5):
        expected = np.zeros(means.shape[1])
        edges = [-9.0 + shift, *encoder.edges, 9.0 + shift]
        for low, high, mean in zip(edges[:-1], edges[1:], means, strict=True):
            expected += mean * integrate.quad(lambda z, s=shift: stats.norm.pdf(z - s), low, high, epsabs=1e-13)[0]
        np.testing.assert_allclose(encoder.smoothed(shift), expected, atol=1e-10)


@pytest.mark.parametrize("name", ENCODERS)
def test_draw_has_the_smoothed_feature_as_its_mean_when_draws_are_many(name: str) -> None:
    encoder = encoder_named(name, 64, 0.05)
    drawn = encoder.draw(np.random.default_rng(3), 40_000)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, atol=1e-12)
    # Each coordinate has standard deviation at most 1: 5 sigma.
    np.testing.assert_allclose(drawn.mean(axis=0), encoder.smoothed(0.0), atol=5.0 / 200.0)


def test_truth_is_the_larger_of_both_directions_when_the_encoder_is_lopsided() -> None:
    encoder = planar("lopsided", (0.0,), [0.0, 1.0])
    reference = np.array([math.cos(0.5), math.sin(0.5)])
    truth = encoder.truth(reference)
    assert truth[0] == pytest.approx(0.0, abs=1e-12)
    assert truth[SHIFTS.index(2.0)] == pytest.approx(angle_between(encoder.smoothed(-2.0), reference))
    assert np.all(np.diff(truth) > 0.0)
