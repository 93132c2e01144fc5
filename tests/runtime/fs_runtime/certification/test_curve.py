"""The certified curve: angle, cosine and radius agree with each other, and say when they say nothing."""

import math

import numpy as np
import pytest

from fs_runtime.certification import Bound, CertificationError, CertifiedCurve, certify_features

SIGMA = 0.25
BOUNDS: list[Bound] = ["gram", "angle-law", "fcsb"]


def curve_of(bound: Bound, *, draws: int = 400, spread: float = 0.2) -> CertifiedCurve:
    rng = np.random.default_rng(3)
    rows = 0.5 * spread * rng.standard_normal((64 + draws, 8)) / math.sqrt(2.0)
    rows[:, 0] += 1.0
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return certify_features(rows[:64], rows[64:], sigma=SIGMA, alpha=0.001, bound=bound)


@pytest.mark.parametrize("bound", BOUNDS)
def test_radius_inverts_cosine_when_something_is_certified(bound: Bound) -> None:
    curve = curve_of(bound)
    tried = 0
    for target in np.linspace(0.05, 0.99, 25):
        radius = curve.radius(float(target))
        if radius == 0.0:
            assert curve.cosine(0.0) < target
            continue
        tried += 1
        # What is promised holds, and a slightly larger radius would not.
        assert curve.cosine(radius) >= target - 1e-12
        assert curve.cosine(radius * (1.0 + 1e-6)) < target
    assert tried >= 10


@pytest.mark.parametrize("bound", BOUNDS)
def test_cosine_inverts_radius_when_radii_vary(bound: Bound) -> None:
    curve = curve_of(bound)
    for radius in (0.01, 0.1, 0.2, 0.3):
        cosine = curve.cosine(radius)
        assert cosine > 0.0
        # The angle law bisects to 1e-9 radians, so the cosine itself may be missed by that much.
        assert radius <= curve.radius(cosine - 1e-8) <= radius * (1.0 + 1e-4)


@pytest.mark.parametrize("bound", BOUNDS)
def test_angle_is_monotone_in_the_radius_when_radii_rise(bound: Bound) -> None:
    curve = curve_of(bound)
    radii = np.linspace(0.0, 1.5, 61)
    angles = np.array([curve.angle(float(radius)) for radius in radii])
    assert np.all(np.diff(angles) >= 0.0)
    np.testing.assert_allclose(np.cos(angles), [curve.cosine(float(radius)) for radius in radii])


@pytest.mark.parametrize("bound", BOUNDS)
def test_curve_depends_on_radius_over_sigma_alone_when_sigma_changes(bound: Bound) -> None:
    curve = curve_of(bound)
    doubled = CertifiedCurve(bound, 2.0 * SIGMA, curve.alpha, curve.draws, curve.pilot, curve.evidence, curve.score)
    assert doubled.angle(0.2) == curve.angle(0.1)
    assert doubled.radius(0.7) == pytest.approx(2.0 * curve.radius(0.7), rel=1e-12)


@pytest.mark.parametrize("bound", BOUNDS)
def test_curve_is_vacuous_when_the_radius_is_too_large(bound: Bound) -> None:
    curve = curve_of(bound)
    for radius in (100.0 * SIGMA, math.inf):
        assert curve.angle(radius) == math.pi
        assert curve.cosine(radius) == -1.0


@pytest.mark.parametrize("bound", BOUNDS)
def test_curve_certifies_nothing_when_features_point_anywhere(bound: Bound) -> None:
    curve = curve_of(bound, spread=500.0)
    assert curve.angle(0.0) == math.pi
    assert curve.cosine(0.0) == -1.0
    for target in (-0.999, 0.0, 0.5, 1.0):
        assert curve.radius(target) == 0.0


@pytest.mark.parametrize("bound", BOUNDS)
def test_radius_is_infinite_when_any_cosine_will_do(bound: Bound) -> None:
    assert curve_of(bound).radius(-1.0) == math.inf


@pytest.mark.parametrize("bound", BOUNDS)
def test_radius_is_where_the_bound_turns_vacuous_when_the_cosine_is_negative(bound: Bound) -> None:
    curve = curve_of(bound)
    radius = curve.radius(-0.5)
    assert curve.angle(radius) <= math.pi / 2.0
    assert curve.angle(radius * (1.0 + 1e-6)) == math.pi


@pytest.mark.parametrize("bound", BOUNDS)
def test_radius_is_zero_when_the_cosine_is_one(bound: Bound) -> None:
    assert curve_of(bound).radius(1.0) == 0.0


@pytest.mark.parametrize("bound", BOUNDS)
def test_radius_ends_when_asked_for_the_cosine_at_zero(bound: Bound) -> None:
    curve = curve_of(bound)
    assert 0.0 <= curve.radius(curve.cosine(0.0)) < 1e-6


@pytest.mark.parametrize("radius", [-1e-12, -1.0, -math.inf, math.nan])
def test_angle_raises_when_the_radius_is_not_a_number_from_zero_up(radius: float) -> None:
    curve = curve_of("angle-law")
    for method in (curve.angle, curve.cosine, curve.floor):
        with pytest.raises(CertificationError, match="radius must be a number >= 0"):
            method(radius)


@pytest.mark.parametrize("cosine", [-1.0000001, 1.0000001, math.inf, math.nan])
def test_radius_raises_when_the_cosine_is_out_of_range(cosine: float) -> None:
    with pytest.raises(CertificationError, match=r"cosine must lie in \[-1, 1\]"):
        curve_of("angle-law").radius(cosine)
