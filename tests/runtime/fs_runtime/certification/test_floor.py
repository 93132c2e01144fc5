"""The floor of theory section 11: nothing deterministic certifies a smaller angle."""

import math

import numpy as np
import pytest
from scipy import special

from fs_runtime.certification import AngleLaw, Cone, Fcsb, TailBounds, certify_cosines
from fs_runtime.certification.floor import draws_for_floor, floor_angle


@pytest.mark.parametrize(
    ("draws", "shift", "degrees"),
    [(512, 0.25, 1.5), (512, 0.5, 2.6), (512, 1.0, 7.3), (2048, 0.25, 0.4), (2048, 0.5, 0.8), (2048, 1.0, 2.6)],
)
def test_floor_angle_gives_published_degrees_when_alpha_is_a_thousandth(
    draws: int, shift: float, degrees: float
) -> None:
    assert math.degrees(floor_angle(draws, 0.001, shift)) == pytest.approx(degrees, abs=0.05)


def test_floor_angle_rises_when_shift_rises_or_draws_fall() -> None:
    assert floor_angle(512, 0.001, 0.5) < floor_angle(512, 0.001, 0.6) < floor_angle(300, 0.001, 0.6)
    assert floor_angle(512, 0.001, 0.5) < floor_angle(512, 0.0001, 0.5)


def test_floor_angle_is_pi_when_the_event_can_grow_to_a_half() -> None:
    # alpha^(1/n) = 1/2: the event is a half already without a shift.
    assert floor_angle(10, 2.0**-10, 0.0) == math.pi
    assert floor_angle(11, 2.0**-10, 0.0) < math.pi / 2.0
    assert floor_angle(512, 0.001, math.inf) == math.pi


@pytest.mark.parametrize("draws", [16, 64, 512, 4096])
@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_floor_angle_is_below_every_certificate_when_no_draw_strays(draws: int, shift: float) -> None:
    # The best that the angle law can ever say: one threshold, nothing beyond it.
    best = AngleLaw(TailBounds((1e-6,), (0,), draws, 0.001)).angle(shift)
    floor = floor_angle(draws, 0.001, shift)
    assert best >= floor
    assert best == math.pi if floor == math.pi else best == pytest.approx(floor, abs=3e-6)


def test_floor_uses_the_certificates_own_numbers_when_asked_of_a_curve() -> None:
    curve = certify_cosines([1.0] * 8, [1.0] * 300, sigma=0.1, alpha=0.01)
    assert curve.floor(0.05) == floor_angle(300, 0.01, 0.5)
    assert curve.floor(0.05) < curve.angle(0.05)


@pytest.mark.parametrize("shift", [0.1, 0.5, 1.0])
def test_floor_angle_is_the_largest_turn_of_the_hidden_event_when_it_is_the_cones(shift: float) -> None:
    unseen = 1.0 - 0.001 ** (1.0 / 128)
    grown = special.ndtr(special.ndtri(unseen) + shift)
    hidden = np.exp(1j * np.linspace(0.0, np.pi, 200_001))
    turned = np.angle((1.0 - grown + grown * hidden) / (1.0 - unseen + unseen * hidden))
    assert floor_angle(128, 0.001, shift, cone=True) == pytest.approx(turned.max(), rel=1e-8)


def test_floor_angle_is_zero_for_the_cone_when_there_is_no_shift() -> None:
    assert floor_angle(128, 0.001, 0.0, cone=True) == 0.0
    assert floor_angle(10, 2.0**-10, 0.0, cone=True) == math.pi
    assert floor_angle(512, 0.001, 4.0, cone=True) == math.pi


@pytest.mark.parametrize("draws", [64, 512, 4096])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 1.0, 1.5])
def test_floor_angle_is_below_every_certificate_of_the_mean_when_it_is_as_high_as_it_can_be(
    draws: int, shift: float
) -> None:
    # No lower bound of the score is above 1 - ln(1 / alpha) / n (section 1).
    best = 1.0 - math.log(1000.0) / draws
    assert Cone(2.0 * best - 1.0, 0.001).angle(shift) >= floor_angle(draws, 0.001, shift, cone=True)
    assert Fcsb(1.0, draws, 0.001, adaptive=best).angle(shift) >= floor_angle(draws, 0.001, shift)
    assert Fcsb(1.0, draws, 0.001).angle(shift) >= floor_angle(draws, 0.001, shift)


def test_floor_is_the_cones_own_when_the_curve_is_a_cones() -> None:
    curve = certify_cosines([1.0] * 8, [1.0] * 300, sigma=0.1, alpha=0.01, bound="cone")
    assert curve.floor(0.05) == floor_angle(300, 0.01, 0.5, cone=True)
    assert curve.floor(0.0) == curve.angle(0.0) == 0.0
    assert 0.0 < curve.floor(0.05) < curve.angle(0.05)


@pytest.mark.parametrize("cone", [False, True])
@pytest.mark.parametrize(("angle", "shift"), [(0.3, 0.0), (0.02, 0.5), (1.5, 0.5), (0.3, 2.0)])
def test_draws_for_floor_is_the_smallest_number_whose_floor_allows_the_angle(
    cone: bool, angle: float, shift: float
) -> None:
    needed = draws_for_floor(angle, 0.001, shift, cone=cone)
    assert needed is not None
    assert floor_angle(needed, 0.001, shift, cone=cone) <= angle
    assert floor_angle(needed - 1, 0.001, shift, cone=cone) > angle


def test_draws_for_floor_is_none_when_no_number_of_draws_will_do() -> None:
    assert draws_for_floor(0.1, 0.001, 50.0) is None
