"""The cone: reference values, order of the forms, and an encoder that reaches it."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from fs_runtime.certification import Cone, certify_cosines, closed_cone_angle, cone_angle


@pytest.mark.parametrize(
    ("mean", "shift", "best", "closed"),
    [(0.6, 0.5, 0.8079, 0.5725), (0.8, 0.5, 0.9344, 0.8280), (0.95, 1.0, 0.9249, 0.6966)],
)
def test_cone_angle_equals_the_reference_values(mean: float, shift: float, best: float, closed: float) -> None:
    assert math.cos(cone_angle(mean, shift)) == pytest.approx(best, abs=1e-4)
    assert math.cos(closed_cone_angle(mean, shift)) == pytest.approx(closed, abs=1e-4)


def best_angle(mean: float, shift: float) -> float:
    """Where the dual of Theorem 5 crosses zero, by fine quadrature and quasi-Newton steps over lambda."""
    z = np.linspace(-9.0, 9.0, 18_001)
    weight = np.exp(-z * z / 2.0)
    weight /= weight.sum()
    ratio = np.exp(shift * z - shift * shift / 2.0)

    def smallest(theta: float) -> float:
        x, y = -math.sin(theta) * ratio, math.cos(theta) * ratio

        def value(point: np.ndarray) -> tuple[float, np.ndarray]:
            a, b = x - point[0], y - point[1]
            length = np.maximum(np.hypot(a, b), 1e-14)
            gradient = np.array([mean - weight @ (a / length), -(weight @ (b / length))])
            return float(weight @ length) + mean * point[0], gradient

        start = [-0.9 * math.sin(theta), 0.9 * math.cos(theta)]
        return float(optimize.minimize(value, start, jac=True, method="BFGS", options={"gtol": 1e-9}).fun)

    return float(optimize.brentq(smallest, 0.01, math.pi / 2.0 - 1e-3, xtol=1e-8))


@pytest.mark.parametrize(("mean", "shift"), [(0.6, 0.5), (0.8, 0.5), (0.95, 1.0), (0.3, 0.1), (0.99, 1.5)])
def test_cone_angle_is_just_above_the_best_when_that_is_found_by_quadrature(mean: float, shift: float) -> None:
    best = best_angle(mean, shift)
    assert best < cone_angle(mean, shift) < best * (1.0 + 1e-4)


def test_cone_angle_never_exceeds_the_closed_form_and_is_monotone() -> None:
    means = np.array([*np.linspace(0.05, 0.999, 12), 0.99999, 1.0 - 1e-7, 1.0])
    shifts = np.linspace(0.0, 3.0, 13)
    angles = np.array([[cone_angle(float(mean), float(shift)) for shift in shifts] for mean in means])
    closed = np.array([[closed_cone_angle(float(mean), float(shift)) for shift in shifts] for mean in means])
    assert np.all(angles <= closed)
    assert np.all(np.diff(angles, axis=1) >= -1e-6)
    assert np.all(np.diff(angles, axis=0) <= 1e-6)
    assert np.all(angles[:, 0] == 0.0)
    assert (angles < closed - 0.05).sum() > 20


@pytest.mark.parametrize("mean", [0.0, -0.3])
def test_cone_angle_is_vacuous_when_the_mean_may_be_zero(mean: float) -> None:
    assert cone_angle(mean, 0.0) == cone_angle(mean, 0.5) == math.pi


@pytest.mark.parametrize(("mean", "shift"), [(0.8, 0.5), (0.95, 1.0), (0.5, 0.25)])
def test_cone_angle_is_above_what_an_encoder_of_the_plane_turns(mean: float, shift: float) -> None:
    # Directions of n l - lambda at the multipliers of a dual point: the worst encoders have this shape.
    t = np.linspace(-8.0, 8.0, 4001)
    weight = np.exp(-t * t / 2.0)
    weight /= weight.sum()
    ratio = np.exp(shift * t - shift * shift / 2.0)
    worst = 0.0
    for theta in np.linspace(0.05, 1.5, 25):
        for first in np.linspace(-6.0, -0.2, 30):
            x, y = -math.sin(theta) * ratio - first, math.cos(theta) * ratio
            y = y - np.median(y)
            f = np.stack([x, y]) / np.hypot(x, y)
            before, after = f @ weight, f @ (weight * ratio)
            if np.hypot(*before) < mean:
                continue
            cosine = before @ after / (np.hypot(*before) * np.hypot(*after))
            worst = max(worst, math.acos(min(1.0, cosine)))
    assert 0.3 * cone_angle(mean, shift) < worst <= cone_angle(mean, shift) + 1e-6


def test_certify_cosines_bounds_the_mean_when_the_bound_is_the_cone() -> None:
    rng = np.random.default_rng(0)
    pilot, cosines = (0.9 + 0.02 * rng.standard_normal(count) for count in (64, 20_000))
    curve = certify_cosines(pilot, cosines, sigma=0.5, alpha=0.001, bound="cone")
    assert isinstance(curve.evidence, Cone)
    assert 0.895 < curve.evidence.mean < 0.9
    assert curve.angle(0.25) == cone_angle(curve.evidence.mean, 0.5)
    assert curve.angle(0.0) == 0.0
    fcsb = 2.0 * special.ndtr(special.ndtri(0.95) - 0.5) - 1.0
    assert curve.cosine(0.25) > fcsb + 0.1
