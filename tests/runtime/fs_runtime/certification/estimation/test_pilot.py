"""Thresholds from the pilot are usable whatever the pilot shows."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.certification import CertificationError, reference_of
from fs_runtime.certification.estimation.pilot import THRESHOLDS, plan_thresholds

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
    expected = [*np.quantile(angles, [0.3, 0.6, 0.85]), 0.6, 1.15 * 0.6, 1.4 * 0.6]
    plan = plan_thresholds(np.cos(angles))
    np.testing.assert_allclose(plan.thresholds, expected, atol=1e-6)
    assert plan.thresholds[plan.cut] == pytest.approx(1.15 * 0.6, abs=1e-6)


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
