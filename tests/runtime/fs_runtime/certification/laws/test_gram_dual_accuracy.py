"""The dual's numbers: its quadrature error is bounded and added, and its angles are the best ones (theory 11.3)."""

import math
from itertools import pairwise

import numpy as np
import pytest
from helpers.gram_dual_solvers import angle_by_linear_program, constraints_of, exact_value, random_constraints
from helpers.simulated_encoders import Floats
from helpers.usual_gram_law import usual_gram_law
from scipy import integrate, special

from fs_runtime.certification import AngleLaw, GramLaw, TailBounds
from fs_runtime.certification.laws.chord_law import ChordLaw, chord_law
from fs_runtime.certification.laws.gram_dual import GramConstraints, GramDual
from fs_runtime.certification.laws.gram_law import dual_angle

SHIFTS = (0.05, 0.25, 0.5, 1.0, 2.0)
_ROUNDING = 1e-10


def random_multipliers(rng: np.random.Generator, known: GramConstraints) -> Floats:
    size = 3 + len(known.thresholds)
    return np.asarray(rng.exponential(1.0, size) * 10.0 ** rng.uniform(-1.5, 1.0, size) + 1e-6)


def mean_law(shift: float) -> ChordLaw:
    """The likelihood ratio replaced by its means between the chord law's nodes: a lower bound for convex functions."""
    nodes = chord_law(shift).nodes
    z = np.concatenate(([-np.inf], np.log(nodes[1:]) / shift + 0.5 * shift, [np.inf]))
    masses, means = np.diff(special.ndtr(z)), np.diff(special.ndtr(z - shift))
    kept = masses > 1e-15
    return ChordLaw(means[kept] / masses[kept], masses[kept], 0.0)


# --- the exact value, which the rest is compared with


def test_exact_value_equals_adaptive_quadrature_when_multipliers_are_random() -> None:
    rng = np.random.default_rng(1)
    for _ in range(6):
        known, shift = random_constraints(rng), 0.7
        q = random_multipliers(rng, known)

        def integrand(z: float, known: GramConstraints = known, q: Floats = q, shift: float = shift) -> float:
            at = ChordLaw(np.array([math.exp(shift * z - 0.5 * shift * shift)]), np.ones(1), 0.0)
            top = float(GramDual(known, at).pieces(q).values.max())
            return top * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

        cells = np.linspace(-9.0, 10.0, 40)
        mean = math.fsum(
            integrate.quad(integrand, low, high, epsabs=1e-10, limit=100)[0] for low, high in pairwise(cells)
        )
        costs = q[1] * known.mean + q[2] * known.second_moment + q[3:] @ np.array(known.tails)
        assert exact_value(known, shift, q) == pytest.approx(mean + costs, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("shift", SHIFTS)
def test_bound_covers_the_quadrature_error_when_multipliers_are_random(shift: float) -> None:
    rng = np.random.default_rng(round(100 * shift))
    law, lower = chord_law(shift), mean_law(shift)
    missed = 0
    for _ in range(150):
        known = random_constraints(rng)
        q = random_multipliers(rng, known)
        exact = exact_value(known, shift, q)
        value, magnitude, _ = GramDual(known, law).bound(q)
        assert value >= exact - _ROUNDING * magnitude
        # A rule with as many nodes and no bound added is too low: there is an error to cover.
        missed += GramDual(known, lower).bound(q)[0] < exact - _ROUNDING * magnitude
    # At small shifts few of the kinks lie where the likelihood ratio does.
    assert missed > (100 if shift >= 0.25 else 20)


@pytest.mark.parametrize("shift", SHIFTS)
def test_bound_falls_towards_the_exact_value_when_the_grid_is_halved(shift: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        known = random_constraints(rng)
        q = random_multipliers(rng, known)
        exact = exact_value(known, shift, q)
        # Halving sinh's argument keeps the old nodes, and a chord over part of a cell is lower.
        values = [GramDual(known, chord_law(shift, 0.07 / 2**power)).bound(q)[0] for power in range(4)]
        magnitude = GramDual(known, chord_law(shift)).bound(q)[1]
        assert np.all(np.diff(values) <= _ROUNDING * magnitude)
        assert exact - _ROUNDING * magnitude <= values[-1]
        assert values[-1] - exact <= 0.1 * (values[0] - exact) + 1e-6 * magnitude


def test_check_catches_a_law_that_leaves_the_error_out() -> None:
    rng = np.random.default_rng(4)
    lower = mean_law(0.5)
    too_low = 0
    for _ in range(50):
        known = random_constraints(rng)
        q = random_multipliers(rng, known)
        value, magnitude, _ = GramDual(known, lower).bound(q)
        too_low += value < exact_value(known, 0.5, q) - _ROUNDING * magnitude
    assert too_low > 25


# --- the best angles


@pytest.mark.slow
def test_dual_angle_is_within_two_percent_of_the_linear_program_when_constraints_are_random() -> None:
    rng = np.random.default_rng(21)
    compared = 0
    for _ in range(24):
        draws = int(rng.choice([256, 1024, 4096]))
        largest = float(rng.uniform(0.1, 0.9))
        thresholds = tuple(float(largest * share) for share in (0.6, 0.75, 0.9, 1.0, 1.15, 1.4))
        counts = (*(int(draws * share) for share in (0.6, 0.3, 0.1)), int(rng.integers(1, 8)), 0, 0)
        rho = math.sin(thresholds[4])
        eigenvalue = float(10.0 ** rng.uniform(-2.0, -0.3)) * rho**2
        mean = float(rng.uniform(0.0, 0.3)) * math.sqrt(eigenvalue)
        law = usual_gram_law(TailBounds(thresholds, counts, draws, 0.0005), 4, eigenvalue, mean, 0.001)
        shift = float(rng.choice([0.25, 0.5, 1.0]))
        known = min(AngleLaw(law.tails).angle(shift), law.closed_form(shift))
        if known > 0.5 * math.pi:
            continue
        found, best = dual_angle(constraints_of(law), shift, known), angle_by_linear_program(constraints_of(law), shift)
        if known < best:
            continue
        assert 0.999 * best <= found <= 1.02 * best
        compared += 1
    assert compared >= 12


# Photo A of the published measurements at sigma 0.1: degrees of the angle law, the closed form and the dual.
PUBLISHED = {
    512: {0.5: (17.1, 9.5, 8.1), 1.0: (23.7, 23.2, 16.6)},
    2048: {0.5: (14.6, 5.0, 4.6), 1.0: (17.8, 11.5, 9.3)},
}


class KnownMoments(GramLaw):
    """A law whose bounds of the moments are given."""

    second_moment = 0.0
    mean = 0.0


def with_bounds(tails: TailBounds, second_moment: float, mean: float) -> GramLaw:
    law = usual_gram_law(tails, 4, 0.0, 0.0, 0.001)
    made = KnownMoments(tails, 4, 0.0, 0.0, 0.0, law.bets, 0.001)
    made.__dict__.update(second_moment=second_moment, mean=mean)
    return made


# Draws that show the published angle laws and closed forms: thresholds and counts like EfficientNet-Lite0's, whose
# scale, and the bounds of both moments, were fitted to those two columns alone.
PHOTO_A = {
    512: with_bounds(
        TailBounds((0.19658, 0.21207, 0.23539, 0.28175, 0.32401, 0.39445), (325, 191, 58, 4, 0, 0), 512, 0.0005),
        0.00884862, 0.0384089,
    ),
    2048: with_bounds(
        TailBounds((0.18183, 0.20691, 0.23826, 0.28215, 0.31977, 0.38874), (1354, 825, 258, 15, 1, 0), 2048, 0.0005),
        0.00523131, 0.0234957,
    ),
}  # fmt: skip


@pytest.mark.parametrize("draws", PUBLISHED)
def test_dual_angle_is_within_two_percent_of_the_published_one_when_the_other_laws_are_as_published(draws: int) -> None:
    law = PHOTO_A[draws]
    for shift, degrees in PUBLISHED[draws].items():
        angles = AngleLaw(law.tails).angle(shift), law.closed_form(shift), law.angle(shift)
        for angle, published, tolerance in zip(angles, degrees, (0.01, 0.015, 0.02), strict=True):
            assert math.degrees(angle) == pytest.approx(published, rel=tolerance)
