"""The floor of theory section 11: nothing deterministic certifies a smaller angle."""

import math

import pytest

from fs_runtime.certification import AngleLaw, TailBounds, certify_cosines
from fs_runtime.certification.floor import floor_angle


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
