"""Target radii: what is refused, and how many draws could prove one at best."""

import math

import pytest

from fs_runtime.certification import CertificationError
from fs_runtime.certification.prediction import LabelTarget, VoteLaw


@pytest.mark.parametrize("radius", [0.0, -0.1, math.inf, math.nan])
def test_target_refuses_when_the_radius_is_no_positive_number(radius: float) -> None:
    with pytest.raises(CertificationError, match="must be a finite number > 0"):
        LabelTarget(radius)


@pytest.mark.parametrize(("radius", "sigma"), [(0.01, 0.1), (0.1, 0.1), (0.25, 0.1), (0.5, 0.25)])
@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-6])
def test_fewest_draws_is_what_the_best_vote_needs_when_all_draws_agree(
    radius: float, sigma: float, alpha: float
) -> None:
    fewest = LabelTarget(radius).fewest_draws(alpha, sigma)
    assert fewest is not None
    assert sigma * VoteLaw(fewest, fewest, alpha).shift() >= radius
    assert sigma * VoteLaw(fewest - 1, fewest - 1, alpha).shift() < radius


def test_check_reachable_names_the_draws_when_they_are_too_few() -> None:
    target = LabelTarget(0.2)
    fewest = target.fewest_draws(1e-3, 0.1)
    assert fewest is not None
    target.check_reachable(fewest, 1e-3, 0.1)
    with pytest.raises(CertificationError, match=f"2 sigma.*allow at least {fewest} draws"):
        target.check_reachable(fewest - 1, 1e-3, 0.1)
    with pytest.raises(CertificationError, match="ask for a smaller radius"):
        LabelTarget(5.0).check_reachable(10**9, 1e-3, 0.1)
