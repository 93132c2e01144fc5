"""Targets: what they accept, and when they are out of reach."""

import math
import re

import pytest

from fs_runtime.certification import CertificationError, Target


@pytest.mark.parametrize(("radius", "cosine"), [(-0.1, 0.5), (math.nan, 0.5), (math.inf, 0.5), (0.1, 0.0), (0.1, 1.0)])
def test_target_refuses_when_a_value_is_out_of_range(radius: float, cosine: float) -> None:
    with pytest.raises(CertificationError, match="target's"):
        Target(radius, cosine)


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


def test_check_reachable_asks_nothing_of_the_cone_when_the_radius_is_zero() -> None:
    # Both features are one there, while the reference may be off.
    target = Target(0.0, 0.9999)
    target.check_reachable(64, 0.001, 0.1, "cone")
    with pytest.raises(CertificationError, match="from 64 draws"):
        target.check_reachable(64, 0.001, 0.1, "gram")


def test_fewest_draws_is_the_number_that_a_refusal_names() -> None:
    for bound in ("gram", "cone"):
        needed = Target(0.2, 0.95).fewest_draws(0.001, 0.1, bound)  # type: ignore[arg-type]
        assert needed is not None
        with pytest.raises(CertificationError, match=f"at least {needed} draws"):
            Target(0.2, 0.95).check_reachable(needed - 1, 0.001, 0.1, bound)  # type: ignore[arg-type]
