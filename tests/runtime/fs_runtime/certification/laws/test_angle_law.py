"""The angle law against quadrature, against encoders with exact truth, and its closed form."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers.simulated_encoders import SimulatedEncoder, angle_between, edges_from_tails, planar
from scipy import integrate, optimize, special, stats

from fs_runtime.certification import AngleLaw, BetaPrior, TailBounds
from fs_runtime.certification.laws.tails import COSINE_SLACK, count_beyond

TAILS = {
    "typical": TailBounds((0.1, 0.2, 0.3, 0.4, 0.46, 0.56), (300, 160, 40, 3, 1, 0), 512, 0.001),
    "one threshold": TailBounds((0.2,), (3,), 400, 0.01),
    "wide": TailBounds((0.3, 0.9, 1.4, 1.55, 1.9, 2.6), (900, 300, 20, 9, 2, 0), 4096, 0.05),
    "large n": TailBounds((0.05, 0.1), (40_000, 10), 1_000_000, 1e-6),
}
SHIFTS = [0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0]


def clopper_pearson(tails: TailBounds) -> list[float]:
    level = tails.alpha / len(tails.thresholds)
    return [float(stats.beta.isf(level, count + 1, tails.draws - count)) for count in tails.counts]


def angle_by_quadrature(tails: TailBounds, shift: float) -> float:
    """Where E_Z[G_theta(Q(Phi(Z + s)))] crosses zero, Q the quantile function of the unshifted step law."""
    upper = np.minimum.accumulate(clopper_pearson(tails))
    knots = np.array([*tails.thresholds, math.pi])
    # Q is the first knot whose tail is at most 1 - u; written in tails, so that rare ones keep their digits.
    jumps = [float(-special.ndtri(p)) - shift for p in upper]

    def quantile(z: float) -> float:
        return float(knots[int(np.searchsorted(jumps, z, side="left"))])

    def mean(theta: float) -> float:
        def integrand(z: float) -> float:
            return math.sin(min(quantile(z) - theta, math.pi / 2.0)) * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

        ends = [-9.0, *[min(max(jump, -9.0), 9.0) for jump in jumps], 9.0]
        return math.fsum(
            integrate.quad(integrand, a, b, epsabs=1e-13, epsrel=1e-12)[0] for a, b in pairwise(ends) if a < b
        )

    if mean(math.pi / 2.0) >= 0.0:
        return math.pi
    return float(optimize.brentq(mean, 0.0, math.pi / 2.0, xtol=1e-12))


@pytest.mark.parametrize("name", TAILS)
def test_angle_equals_quadrature_when_shifts_vary(name: str) -> None:
    tails = TAILS[name]
    certified = 0
    for shift in SHIFTS:
        expected = angle_by_quadrature(tails, shift)
        assert AngleLaw(tails).angle(shift) == pytest.approx(expected, abs=2e-7)
        certified += expected < math.pi
    assert certified >= 2


@pytest.mark.parametrize("name", TAILS)
def test_angle_rises_when_the_shift_rises(name: str) -> None:
    angles = np.array([AngleLaw(TAILS[name]).angle(shift) for shift in np.linspace(0.0, 4.0, 81)])
    assert np.all(np.diff(angles) >= 0.0)
    assert angles[0] < math.pi / 2.0
    assert angles[-1] == math.pi
    # Nothing lies between the largest meaningful angle and the vacuous one.
    assert not np.any((angles > math.pi / 2.0) & (angles < math.pi))


@pytest.mark.parametrize("name", TAILS)
def test_angle_is_proven_itself_when_bisection_ends(name: str) -> None:
    # Rounded upwards: Lambda_s is negative at the angle reported, not merely close to it.
    law = AngleLaw(TAILS[name])
    for shift in SHIFTS:
        angle = law.angle(shift)
        if angle < math.pi:
            step = law.tails.under_shift(shift)
            gains = [math.sin(min(knot - angle, math.pi / 2.0)) for knot in step.knots]
            assert math.fsum(m * g for m, g in zip(step.masses, gains, strict=True)) < 0.0


def test_angle_is_pi_when_every_draw_strays() -> None:
    assert AngleLaw(TailBounds((0.1, 0.2), (64, 64), 64, 0.01)).angle(0.0) == math.pi


def test_angle_is_pi_when_the_shift_is_infinite() -> None:
    assert AngleLaw(TAILS["typical"]).angle(math.inf) == math.pi


def test_angle_rises_when_a_count_rises() -> None:
    base = TAILS["typical"]
    for j in range(len(base.counts)):
        counts = tuple(count + 8 * (i <= j) for i, count in enumerate(base.counts))
        more = TailBounds(base.thresholds, counts, base.draws, base.alpha)
        assert AngleLaw(more).angle(0.5) > AngleLaw(base).angle(0.5)


@pytest.mark.parametrize(
    ("mean", "shift", "tight", "closed"),
    [(0.6, 0.5, 0.8079, 0.5725), (0.8, 0.5, 0.9344, 0.8280), (0.95, 1.0, 0.9249, 0.6966)],
)
def test_angle_beats_the_cone_when_features_point_along_or_against(
    mean: float, shift: float, tight: float, closed: float
) -> None:
    """Theory 3: psi is 0 or pi with E cos psi = m; the cone knows m alone, the angle law knows how it comes about."""
    draws = 10_000_000
    tails = TailBounds((1e-6,), (round(0.5 * (1.0 - mean) * draws),), draws, 0.5)
    q = float(special.ndtr(special.ndtri(0.5 * (1.0 - mean)) + shift))
    cosine = math.cos(AngleLaw(tails).angle(shift))
    assert cosine == pytest.approx(math.sqrt(1.0 - (q / (1.0 - q)) ** 2), abs=1e-3)
    assert cosine > tight > closed
    # The cone's closed form, as theory section 3 prints it: 2 Phi(Phi^-1((1 + m) / 2) - s) - 1 = 1 - 2 q.
    assert math.cos(math.atan((2.0 * special.ndtr(shift) - 1.0) / (1.0 - 2.0 * q))) == pytest.approx(closed, abs=6e-5)


# --- against the truth


def tails_from_truth(encoder: SimulatedEncoder, reference: np.ndarray, draws: int, alpha: float) -> TailBounds:
    """The counts that are expected with thresholds at the jumps of psi."""
    psi = np.array([angle_between(feature, reference) for feature in encoder.features[:, 0]])
    p = encoder.probabilities(0.0)
    thresholds = tuple(sorted({float(value) for value in psi if 0.0 < value < math.pi}))
    counts = tuple(round(draws * float(p[psi > threshold + 1e-12].sum())) for threshold in thresholds)
    return TailBounds(thresholds, counts, draws, alpha)


RISING = [
    planar("gentle", edges_from_tails([0.7, 0.4, 0.1, 0.01]), [0.05, 0.1, 0.2, 0.3, 0.45]),
    planar("steep", edges_from_tails([0.5, 0.2, 0.05, 0.01]), [0.2, 0.4, 0.7, 1.0, 1.5]),
    planar("two values", edges_from_tails([0.3]), [0.1, 0.6]),
    planar("rare swing", edges_from_tails([0.6, 0.02]), [0.3, 0.35, 1.7]),
    planar("fine", edges_from_tails([*np.linspace(0.95, 0.05, 19)]), [*np.linspace(0.1, 0.5, 20)]),
]
AXIS = np.array([1.0, 0.0])


@pytest.mark.parametrize("any_time", [False, True])
@pytest.mark.parametrize("encoder", RISING, ids=lambda encoder: encoder.name)
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.75])
def test_angle_is_within_a_percent_of_truth_when_draws_are_a_million(
    encoder: SimulatedEncoder, shift: float, any_time: bool
) -> None:
    tails = tails_from_truth(encoder, AXIS, 1_000_000, 0.001)
    if any_time:
        pilot = tails_from_truth(encoder, AXIS, 128, 0.001)
        tails = replace(tails, priors=tuple(BetaPrior.learned(count, 128) for count in pilot.counts))
    certified = AngleLaw(tails).angle(shift)
    truth = angle_between(encoder.smoothed(shift), AXIS)
    phi = np.arctan2(encoder.features[:, 0, 1], encoder.features[:, 0, 0])
    assert phi.max() < truth + math.pi / 2.0  # where theory section 10 promises it
    assert truth < certified < 1.01 * truth


@pytest.mark.parametrize("encoder", RISING, ids=lambda encoder: encoder.name)
def test_angle_is_within_a_percent_of_truth_when_a_million_draws_are_counted(encoder: SimulatedEncoder) -> None:
    rng = np.random.default_rng(6)
    psi = np.array([angle_between(feature, AXIS) for feature in encoder.features[:, 0]])
    probabilities = encoder.probabilities(0.0)
    # Just beyond each value, where a draw with that value does not count.
    thresholds = tuple(float(value) + 5e-5 for value in psi)
    cells = rng.multinomial(1_000_000, probabilities / probabilities.sum())
    cosines = np.cos(psi)
    counts = tuple(
        int(sum(cells[i] * count_beyond(cosines[i : i + 1], (threshold,))[0] for i in range(len(psi))))
        for threshold in thresholds
    )
    law = AngleLaw(TailBounds(thresholds, counts, 1_000_000, 0.001))
    for shift in (0.25, 0.5, 0.75):
        truth = angle_between(encoder.smoothed(shift), AXIS)
        assert truth < law.angle(shift) < 1.01 * truth


@pytest.mark.parametrize("encoder", RISING, ids=lambda encoder: encoder.name)
@pytest.mark.parametrize("draws", [256, 4096])
@pytest.mark.parametrize("reference", [0.0, 0.15, 0.4])
def test_angle_covers_truth_when_the_counts_are_the_expected_ones(
    encoder: SimulatedEncoder, draws: int, reference: float
) -> None:
    v = np.array([math.cos(reference), math.sin(reference)])
    law = AngleLaw(tails_from_truth(encoder, v, draws, 0.001))
    for shift in SHIFTS:
        for sign in (-1.0, 1.0):
            assert law.angle(shift) > angle_between(encoder.smoothed(sign * shift), v)


@pytest.mark.parametrize("draws", [16, 64, 512])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_angle_fails_as_often_as_alpha_when_an_event_is_critical(draws: int, alpha: float) -> None:
    """One threshold; features on the axis, but for an event at the worst angle: the exact failure probability."""
    worst = 0.0
    for factor in (0.3, 0.9, 1.02, 1.1, 1.5, 3.0):
        p = -math.expm1(factor * math.log(alpha) / draws)
        if p >= 0.4:
            continue
        counts = np.arange(draws + 1)
        seen = stats.binom.pmf(counts, draws, p)
        failure = 0.0
        for shift in (0.1, 0.5, 1.0):
            q = float(special.ndtr(special.ndtri(p) + shift))
            if q >= 0.49:
                continue
            phi = math.pi / 2.0 + math.asin(q / (1.0 - q))
            truth = math.atan2(q * math.sin(phi), 1.0 - q + q * math.cos(phi))
            broken = 0.0
            for count in counts[seen > 1e-12]:
                certified = AngleLaw(TailBounds((1e-5,), (int(count),), draws, alpha)).angle(shift)
                broken += float(seen[count]) * (certified < truth)
            failure = max(failure, broken)
        assert failure <= alpha
        worst = max(worst, failure)
    assert worst > 0.85 * alpha


# --- the tails it rests on


def test_upper_equals_clopper_pearson_at_a_share_of_alpha_when_counts_fall() -> None:
    tails = TAILS["typical"]
    np.testing.assert_allclose(tails.upper, clopper_pearson(tails), rtol=1e-7)
    assert np.all(np.diff(tails.upper) < 0.0)


def test_under_shift_is_a_law_on_the_thresholds_and_pi_when_shifted() -> None:
    tails = TAILS["wide"]
    for shift in SHIFTS:
        law = tails.under_shift(shift)
        np.testing.assert_array_equal(law.knots, [*tails.thresholds, math.pi])
        assert np.all(law.masses >= 0.0)
        assert law.masses.sum() == pytest.approx(1.0, abs=1e-14)
        grown = special.ndtr(special.ndtri(clopper_pearson(tails)) + shift)
        np.testing.assert_allclose(np.cumsum(law.masses[::-1])[::-1][1:], grown, rtol=1e-6)


def test_count_beyond_counts_cosines_below_the_cut_when_rounding_is_against_it() -> None:
    threshold = 0.5
    cut = math.cos(threshold)
    cosines = np.array([1.0, cut + 3e-6, cut + 1.01e-6, cut + 0.99e-6, cut, cut - 1e-9, 0.0, -1.0])
    assert count_beyond(cosines, (threshold,)) == (5,)
    assert count_beyond(cosines, (0.4, threshold, 1.6)) == (7, 5, 1)


def test_count_beyond_never_undercounts_when_cosines_are_rounded_to_float32() -> None:
    psi = np.random.default_rng(4).uniform(0.0, 0.02, 20_000)
    thresholds = (0.004, 0.0101, 0.0177)
    rounded = np.cos(psi).astype(np.float32).astype(np.float64)
    for counted, threshold in zip(count_beyond(rounded, thresholds), thresholds, strict=True):
        beyond = int((psi > threshold).sum())
        strip = int((psi > np.arccos(math.cos(threshold) + 1.2 * COSINE_SLACK)).sum())
        assert beyond <= counted <= strip
