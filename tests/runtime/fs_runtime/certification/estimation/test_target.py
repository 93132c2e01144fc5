"""Targets: what they accept, and when they are out of reach."""

import math
import re

import pytest

from fs_runtime.certification import CertificationError, Target
from fs_runtime.certification.floor import draws_for_floor, floor_angle


@pytest.mark.parametrize(("radius", "cosine"), [(-0.1, 0.5), (math.nan, 0.5), (math.inf, 0.5), (0.1, 0.0), (0.1, 1.0)])
def test_target_refuses_when_a_value_is_out_of_range(radius: float, cosine: float) -> None:
    with pytest.raises(CertificationError, match="target's"):
        Target(radius, cosine)


@pytest.mark.parametrize("angle", [0.02, 0.3, 1.5])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_draws_for_floor_is_the_smallest_number_whose_floor_allows_the_angle(angle: float, shift: float) -> None:
    needed = draws_for_floor(angle, 0.001, shift)
    assert needed is not None
    assert floor_angle(needed, 0.001, shift) <= angle
    assert needed == 1 or floor_angle(needed - 1, 0.001, shift) > angle


def test_check_reachable_names_the_draws_when_they_are_too_few() -> None:
    target = Target(0.2, 0.95)
    with pytest.raises(CertificationError, match=r"from 50 draws .* allow at least \d+ draws") as caught:
        target.check_reachable(50, 0.001, 0.1)
    needed = int(re.findall(r"least (\d+) draws", str(caught.value))[0])
    target.check_reachable(needed, 0.001, 0.1)
    with pytest.raises(CertificationError):
        target.check_reachable(needed - 1, 0.001, 0.1)


def test_check_reachable_asks_for_less_when_no_number_of_draws_will_do() -> None:
    with pytest.raises(CertificationError, match="smaller radius or cosine"):
        Target(20.0, 0.99).check_reachable(10**8, 0.001, 0.1)
