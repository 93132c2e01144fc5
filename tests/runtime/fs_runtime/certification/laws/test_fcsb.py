"""The paper's bound, by its formula (theory section 1), and where it says nothing."""

import math

import numpy as np
import pytest
from scipy import special

from fs_runtime.certification import Fcsb, certify_cosines
from fs_runtime.certification.laws.tails import COSINE_SLACK

# The paper's bound, theory section 3: m = 2 S - 1, s, cosine.
PUBLISHED = [(0.6, 0.5, 0.2674), (0.8, 0.5, 0.5655), (0.95, 1.0, 0.6629)]


def evidence(score_lower: float) -> Fcsb:
    """Evidence whose lower bound of the score is ``score_lower``, at 512 draws."""
    deviation = math.sqrt(math.log(1000.0) / 1024.0)
    return Fcsb(mean_cosine=2.0 * (score_lower + deviation) - 1.0 + COSINE_SLACK, draws=512, alpha=0.001)


@pytest.mark.parametrize(("mean", "shift", "cosine"), PUBLISHED)
def test_angle_gives_published_cosine_when_the_mean_is_known(mean: float, shift: float, cosine: float) -> None:
    assert math.cos(evidence((1.0 + mean) / 2.0).angle(shift)) == pytest.approx(cosine, abs=6e-5)


def test_angle_equals_the_papers_formula_when_computed_from_draws() -> None:
    cosines = np.random.default_rng(0).uniform(0.85, 0.95, 700)
    curve = certify_cosines(cosines[:100], cosines[100:], sigma=0.25, alpha=0.01, bound="fcsb")
    score = ((1.0 + cosines[100:] - COSINE_SLACK) / 2.0).mean() - math.sqrt(math.log(100.0) / 1200.0)
    for radius in (0.0, 0.05, 0.1, 0.2):
        expected = 2.0 * special.ndtr(special.ndtri(score) - radius / 0.25) - 1.0
        assert expected > 0.0
        assert curve.cosine(radius) == pytest.approx(expected, rel=1e-10)
    # The radius for cosine > 1/2 of the paper: sigma (Phi^-1(S) - Phi^-1(3/4)).
    assert curve.radius(0.5) == pytest.approx(0.25 * (special.ndtri(score) - special.ndtri(0.75)), rel=1e-7)


def test_angle_is_pi_when_the_bound_is_not_positive() -> None:
    law = evidence(0.9)
    edge = special.ndtri(0.9)  # there the bound reaches zero
    assert law.angle(edge - 1e-6) < math.pi / 2.0
    assert law.angle(edge + 1e-6) == math.pi
    assert law.angle(math.inf) == math.pi


def test_angle_is_pi_when_the_score_is_below_its_deviation() -> None:
    assert Fcsb(mean_cosine=-1.0, draws=64, alpha=0.001).score_lower < 0.0
    assert Fcsb(mean_cosine=-1.0, draws=64, alpha=0.001).angle(0.0) == math.pi
