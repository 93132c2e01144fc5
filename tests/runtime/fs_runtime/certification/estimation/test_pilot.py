"""Thresholds from the pilot are usable whatever the pilot shows."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.certification import Bound, CertificationError, certify_cosines, certify_features, reference_of
from fs_runtime.certification.estimation.pilot import THRESHOLDS, plan_thresholds
from fs_runtime.certification.laws.tails import count_beyond

rng = np.random.default_rng(12)
PILOTS = {
    "spread": np.cos(rng.uniform(0.1, 0.6, 128)),
    "wide": np.cos(np.linspace(0.1, 1.5, 50)),
    "everywhere": rng.uniform(-1.0, 1.0, 300),
    "beyond the equator": np.cos(rng.uniform(1.6, 3.1, 64)),
    "all equal": np.full(64, 0.83),
    "all one": np.ones(64),
    "all minus one": np.full(64, -1.0),
    "just above one": np.full(64, 1.0 + 5e-5),
    "orthogonal": np.zeros(64),
    "one draw": np.array([0.9]),
    "one far off": np.array([1.0] * 63 + [-1.0]),
    "two draws": np.array([1.0, 0.99999999]),
}


@pytest.mark.parametrize("cosines", PILOTS.values(), ids=PILOTS.keys())
def test_plan_thresholds_is_usable_when_the_pilot_is_anything(cosines: npt.NDArray[np.float64]) -> None:
    plan = plan_thresholds(cosines)
    thresholds = np.array(plan.thresholds)
    assert len(thresholds) >= 1
    assert np.all(np.diff(thresholds) > 0.0)
    assert thresholds[0] > 0.0
    assert thresholds[-1] < math.pi
    assert 0 <= plan.cut < len(thresholds)
    assert thresholds[plan.cut] < math.pi / 2.0
    # Numbers that survive JSON as they are.
    assert all(isinstance(value, float) and value == round(value, 6) for value in plan.thresholds)


def test_plan_thresholds_never_exceeds_its_documented_number_when_the_pilot_is_anything() -> None:
    assert max(len(plan_thresholds(cosines).thresholds) for cosines in PILOTS.values()) <= THRESHOLDS


def test_plan_thresholds_holds_quantiles_and_multiples_when_the_pilot_is_spread() -> None:
    angles = np.linspace(0.1, 0.6, 128)
    meant = np.array([*np.quantile(angles, [0.3, 0.6, 0.85]), 0.6, 1.15 * 0.6, 1.4 * 0.6])
    plan = plan_thresholds(np.cos(angles))
    # Beyond the angles that are meant, but by nothing that matters.
    np.testing.assert_allclose(plan.thresholds, np.arccos(np.cos(meant) - 4e-6), atol=1e-6)
    np.testing.assert_allclose(plan.thresholds, meant, rtol=1e-4)
    assert plan.thresholds[plan.cut] == pytest.approx(1.15 * 0.6, rel=1e-5)


SATURATED = {
    "all equal": [0.83],
    "two clusters": [0.95, 0.6],
    "two close clusters": [0.9, 0.89999],
    "three clusters": [0.99, 0.8, 0.3],
    "all one": [1.0],
    "one and nearly one": [1.0, 1.0 - 5e-6],
    # At, and on both sides of, the smallest threshold.
    "as far as the smallest threshold": [math.cos(0.004)],
    "just below the smallest threshold": [math.cos(0.0038)],
    "just above the smallest threshold": [math.cos(0.0042)],
}


def _repeated(values: list[float], count: int, seed: int) -> npt.NDArray[np.float64]:
    """Values that come again and again, rounded to float32 now in one way and now in another."""
    made = np.random.default_rng(seed)
    drawn = np.concatenate([values, made.choice(values, count - len(values))])
    return drawn + made.uniform(-2e-7, 2e-7, count)


@pytest.mark.parametrize("values", SATURATED.values(), ids=SATURATED.keys())
def test_plan_thresholds_lies_clear_of_repeated_angles_when_the_encoder_saturates(values: list[float]) -> None:
    plan = plan_thresholds(_repeated(values, 128, 1))
    drawn = _repeated(values, 2000, 2)
    # The draws of a value count all or not at all, and none counts as beyond the largest angle seen.
    shares = {0, *(int((drawn < value - 1e-6).sum()) for value in values)}
    counts = count_beyond(drawn, plan.thresholds)
    assert {*counts} <= shares
    assert counts[-1] == counts[plan.cut] == 0


@pytest.mark.parametrize("values", SATURATED.values(), ids=SATURATED.keys())
@pytest.mark.parametrize("bound", ["gram", "angle-law"])
def test_certify_features_certifies_when_the_encoder_saturates(values: list[float], bound: Bound) -> None:
    made = np.random.default_rng(3)

    def features(count: int) -> npt.NDArray[np.float64]:
        cosines = made.choice(values, count)
        sines = np.sqrt(1.0 - cosines**2) * made.choice([-1.0, 1.0], count)
        return np.stack([cosines, sines, np.zeros(count)], axis=1).astype(np.float32).astype(np.float64)

    curve = certify_features(features(128), features(1000), sigma=0.25, alpha=1e-3, bound=bound)
    # Were every draw counted as beyond its own angle, nothing would be certified.
    assert curve.angle(0.0) < math.acos(min(values)) + 0.03
    assert curve.angle(0.05) < 1.5


def test_certify_cosines_stays_above_the_truth_when_all_draws_are_equal() -> None:
    for cosine in (0.5, 0.83, 0.99, math.cos(0.004), math.cos(0.001)):
        curve = certify_cosines(np.full(64, cosine), np.full(600, cosine), sigma=0.25, alpha=1e-3)
        # Lined up, the mean is that far off the axis.
        assert math.acos(cosine) < curve.angle(0.0) < math.acos(cosine) + 0.02


def test_plan_thresholds_ignores_order_when_the_pilot_is_shuffled() -> None:
    cosines = PILOTS["spread"]
    assert plan_thresholds(cosines[::-1]) == plan_thresholds(cosines)


def test_reference_of_is_a_float64_unit_vector_when_given_a_float32_sum() -> None:
    total = rng.standard_normal(512).astype(np.float32) * 100.0
    reference = reference_of(total)
    assert reference.dtype == np.float64
    assert np.linalg.norm(reference) == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(reference * np.linalg.norm(total.astype(np.float64)), total, rtol=1e-12)


@pytest.mark.parametrize("direction", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_reference_of_raises_when_the_mean_points_nowhere(direction: list[float]) -> None:
    with pytest.raises(CertificationError, match="points nowhere"):
        reference_of(direction)
