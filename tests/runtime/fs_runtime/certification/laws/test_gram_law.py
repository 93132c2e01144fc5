"""The Gram law's closed form recomputed from raw features with SciPy (theory section 11)."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from helpers.least_growth import betting_bound
from helpers.usual_gram_law import usual_gram_law
from scipy import special, stats

from fs_runtime.certification import AngleLaw, CertifiedCurve, GramLaw, TailBounds, certify_features
from fs_runtime.certification.laws.tails import COSINE_SLACK

Floats = npt.NDArray[np.float64]
SIGMA = 0.5
ALPHA = 0.01
SHIFTS = [0.0, 0.1, 0.25, 0.5, 1.0, 1.5]


def scattered(count: int, dimensions: int, spread: float, rare: float, seed: int) -> Floats:
    """Features around one axis, a few of them far from it."""
    rng = np.random.default_rng(seed)
    rows = spread / math.sqrt(dimensions) * rng.standard_normal((count, dimensions))
    rows[:, 0] += 1.0
    rows[rng.random(count) < rare, 1] += 1.5
    return np.asarray(rows / np.linalg.norm(rows, axis=1)[:, None])


# pilot, draws, dimensions, spread, share of draws far off
CASES = {
    "n > D": (100, 600, 16, 0.3, 0.0),
    "n > D, far off": (100, 1500, 16, 0.3, 0.004),
    "n < D": (40, 150, 400, 0.4, 0.0),
    "n < D, far off": (40, 250, 400, 0.4, 0.01),
    "plane": (30, 400, 2, 0.2, 0.002),
}


def closed_form(curve: CertifiedCurve, pilot: Floats, features: Floats, shift: float) -> float:
    """Angle from the formulas of theory section 11, with thresholds and cut as the certificate states them."""
    assert isinstance(curve.evidence, GramLaw)
    thresholds = np.array(curve.evidence.tails.thresholds)
    tau = thresholds[curve.evidence.cut]
    n = len(features)
    mean = pilot.mean(axis=0)
    v = mean / math.sqrt(float(mean @ mean))
    cosines = features @ v
    level = (ALPHA / 2.0) / len(thresholds)
    counts = [int((cosines < math.cos(t) + COSINE_SLACK).sum()) for t in thresholds]
    p = np.minimum.accumulate([float(stats.beta.isf(level, k + 1, n - k)) for k in counts])
    q = special.ndtr(special.ndtri(p) + shift)
    knots = np.append(thresholds, math.pi)
    masses = np.append(1.0, q) - np.append(q, 0.0)
    a = float(masses @ np.cos(knots))
    if a <= 0.0:
        return math.pi

    rho = math.sin(tau)
    u = (features - np.outer(cosines, v)) * (cosines >= math.cos(tau) + COSINE_SLACK)[:, None]
    seen = float(np.linalg.norm(u, 2)) ** 2 / n / rho**2
    blocks = [u[np.any(u != 0.0, axis=1)][i : i + 512] for i in range(0, n, 512)]
    fourth = sum(float(np.linalg.norm(np.square(block @ block.T), 2)) for block in blocks) / n / rho**4
    # It is bounded from above, and near: power iteration is slow where no direction stands out.
    assert fourth <= curve.evidence.fourth_moment / rho**4 * (1.0 + 1e-9) <= 1.02 * fourth
    fourth, bets = curve.evidence.fourth_moment / rho**4, curve.evidence.bets
    eigenvalue = rho**2 * betting_bound(seen, fourth, n, ALPHA / 4.0, bets.second_moment)
    beta = rho * betting_bound(float(np.linalg.norm(u.mean(axis=0))) / rho, seen, n, ALPHA / 4.0, bets.mean)
    tail = sum(m * math.sin(min(t, math.pi / 2.0)) for m, t in zip(masses, knots, strict=True) if t > tau)
    b = beta + math.sqrt(eigenvalue * (math.exp(shift * shift) - 1.0)) + tail
    return math.atan2(b, a)


@pytest.mark.parametrize("name", CASES)
def test_closed_form_equals_theory_when_recomputed_from_features(name: str) -> None:
    n0, n, dimensions, spread, rare = CASES[name]
    pilot = scattered(n0, dimensions, spread, rare, seed=1)
    features = scattered(n, dimensions, spread, rare, seed=2)
    curve = certify_features(pilot, features, sigma=SIGMA, alpha=ALPHA)
    assert isinstance(curve.evidence, GramLaw)
    for shift in SHIFTS:
        expected = closed_form(curve, pilot, features, shift)
        assert curve.evidence.closed_form(shift) == pytest.approx(expected, rel=1e-7)
        # The dual may only lower it.
        assert curve.angle(shift * SIGMA) <= min(expected, AngleLaw(curve.evidence.tails).angle(shift)) * (1.0 + 1e-7)


def test_angle_is_below_both_bounds_when_either_is_the_better_one() -> None:
    n0, n, dimensions, spread, rare = CASES["n > D"]
    pilot, features = scattered(n0, dimensions, spread, rare, 1), scattered(n, dimensions, spread, rare, 2)
    law = certify_features(pilot, features, sigma=SIGMA, alpha=ALPHA).evidence
    assert isinstance(law, GramLaw)
    assert law.tails.alpha == ALPHA / 2.0
    assert law.angle(0.25) < 0.8 * AngleLaw(law.tails).angle(0.25)
    assert law.closed_form(0.25) < AngleLaw(law.tails).angle(0.25)
    assert law.closed_form(1.5) > AngleLaw(law.tails).angle(1.5) > law.angle(1.5)


def test_angle_is_far_below_the_angle_law_when_features_scatter_over_many_dimensions() -> None:
    pilot, features = scattered(256, 256, 0.4, 0.0, 1), scattered(2048, 256, 0.4, 0.0, 2)
    gram, angle_law = (
        certify_features(pilot, features, sigma=SIGMA, alpha=0.001, bound=bound) for bound in ("gram", "angle-law")
    )
    assert gram.angle(0.25 * SIGMA) < 0.4 * angle_law.angle(0.25 * SIGMA)


def test_angle_rises_when_the_shift_rises() -> None:
    for n0, n, dimensions, spread, rare in CASES.values():
        pilot, features = scattered(n0, dimensions, spread, rare, 1), scattered(n, dimensions, spread, rare, 2)
        law = certify_features(pilot, features, sigma=SIGMA, alpha=ALPHA).evidence
        angles = np.array([law.angle(shift) for shift in np.linspace(0.0, 4.0, 41)])
        assert np.all(np.diff(angles) >= -1e-9)
        assert angles[0] < math.pi / 2.0
        assert angles[-1] == math.pi


def test_angle_is_pi_when_the_shift_is_infinite_or_overflows() -> None:
    law = usual_gram_law(TailBounds((0.1, 0.2), (20, 0), 500, 0.005), 1, 0.002, 0.01, 0.01)
    assert law.angle(40.0) == math.pi
    assert law.angle(math.inf) == math.pi


def test_angle_is_pi_when_every_draw_is_far_off() -> None:
    pilot = np.tile(np.eye(3)[0], (20, 1))
    features = np.tile(np.eye(3)[1], (100, 1))
    assert certify_features(pilot, features, sigma=SIGMA, alpha=ALPHA).angle(0.0) == math.pi


def test_second_moment_never_exceeds_its_range_when_every_draw_is_at_the_cut() -> None:
    law = usual_gram_law(TailBounds((0.3,), (0,), 50, 0.005), 0, math.sin(0.3) ** 2 * (1.0 + 1e-9), 0.1, 0.01)
    assert law.second_moment == pytest.approx(math.sin(0.3) ** 2, rel=1e-12)
