"""The label inside a certified cone."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from fs_runtime.certification import CertificationError, certify_features
from fs_runtime.certification.prediction import LabelCone


@dataclass(frozen=True)
class Line:
    """angle(radius) = start + radius, up to pi / 2."""

    start: float
    bound: str = "gram"

    def angle(self, radius: float) -> float:
        angle = self.start + radius
        return angle if angle <= 0.5 * math.pi else math.pi

    def radius(self, cosine: float) -> float:
        return max(0.0, math.acos(cosine) - self.start)


@pytest.mark.parametrize("angle", [0.01, 0.2, 1.0, 1.5])
def test_radius_ends_just_below_the_boundary_when_the_curve_rises(angle: float) -> None:
    cone = LabelCone(math.sin(angle))
    assert cone.angle == pytest.approx(angle, rel=1e-12)
    radius = cone.radius(Line(0.005))
    assert radius == pytest.approx(angle - 0.005, abs=2e-6)
    assert Line(0.005).angle(radius) < cone.angle


def test_radius_is_zero_when_the_boundary_is_inside_the_cone() -> None:
    for angle in (0.1, 0.1 + 1e-9, 0.05, 1e-9):
        assert LabelCone(math.sin(angle)).radius(Line(0.1)) == 0.0


@pytest.mark.parametrize("margin", [0.0, -1e-12, -0.5, -1.0])
def test_radius_is_zero_when_the_reference_is_not_inside(margin: float) -> None:
    assert LabelCone(margin).angle == 0.0
    assert LabelCone(margin).radius(Line(0.0)) == 0.0


def test_angle_is_a_right_one_when_rounding_lifts_the_margin() -> None:
    assert LabelCone(1.0 + 1e-12).angle == 0.5 * math.pi
    assert LabelCone(1.0).radius(Line(0.0)) == pytest.approx(0.5 * math.pi, abs=2e-6)


def test_radius_is_zero_when_a_curve_contradicts_itself() -> None:
    class Wrong(Line):
        def angle(self, radius: float) -> float:
            return 1.0

    assert LabelCone(math.sin(0.5)).radius(Wrong(0.0)) == 0.0


def test_radius_is_smaller_when_the_user_draws_again() -> None:
    cone = LabelCone(math.sin(0.5))
    assert cone.radius(Line(0.1), extra_angle=0.15) == pytest.approx(0.25, abs=2e-6)
    assert cone.radius(Line(0.1), extra_angle=0.4) == 0.0
    assert cone.radius(Line(0.1), extra_angle=math.pi) == 0.0
    for wrong in (-0.1, math.nan):
        with pytest.raises(CertificationError, match="extra_angle"):
            cone.radius(Line(0.1), extra_angle=wrong)


def test_radius_refuses_when_the_angle_is_not_to_the_reference() -> None:
    with pytest.raises(CertificationError, match='"cone" is not to the reference'):
        LabelCone(0.5).radius(Line(0.1, bound="cone"))


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
def test_radius_is_the_largest_when_the_curve_is_a_real_one(bound: str) -> None:
    rng = np.random.default_rng(1)
    rows = 0.05 * rng.standard_normal((600, 8)) + np.eye(8)[0]
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    curve = certify_features(rows[:100], rows[100:], sigma=0.25, alpha=0.01, bound=bound)  # type: ignore[arg-type]
    cone = LabelCone(math.sin(0.9))
    radius = cone.radius(curve)
    assert radius > 0.01
    assert curve.angle(radius) < 0.9
    assert curve.angle(radius + 1e-4) > 0.9
