"""The dual of the Gram law: against linear programs, quadrature, its two special cases, and the truth (theory 11.3)."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from helpers.gram_dual_solvers import angle_by_linear_program, constraints_of, random_constraints
from helpers.simulated_encoders import SIGMA, SimulatedEncoder, angle_between, simulated_encoders
from helpers.usual_gram_law import usual_gram_law
from scipy import integrate, special, stats

from fs_runtime.certification import AngleLaw, GramLaw, TailBounds, certify_features
from fs_runtime.certification.laws import gram_law
from fs_runtime.certification.laws.chord_law import chord_law
from fs_runtime.certification.laws.gram_dual import GramConstraints, GramDual
from fs_runtime.certification.laws.gram_law import dual_angle

Floats = npt.NDArray[np.float64]

# The first two are like EfficientNet-Lite0's on photos, at sigma 0.1 and 0.25.
LAWS = {
    "n = 512": usual_gram_law(
        TailBounds((0.198112, 0.213723, 0.237226, 0.283944, 0.326536, 0.397522), (325, 191, 58, 4, 0, 0), 512, 0.0005),
        4, 0.00340, 0.0270, 0.001,
    ),
    "n = 2048": usual_gram_law(
        TailBounds((0.29, 0.33, 0.38, 0.45, 0.51, 0.62), (1354, 825, 258, 15, 1, 0), 2048, 0.0005),
        4, 0.0110, 0.0200, 0.001,
    ),
    "wide": usual_gram_law(TailBounds((0.5, 0.8, 1.2, 1.5, 2.0), (300, 90, 20, 4, 1), 600, 0.005), 3, 0.06, 0.05, 0.01),
    "cut first": usual_gram_law(TailBounds((0.3, 0.4, 0.6), (9, 2, 0), 1000, 0.005), 0, 0.02, 0.01, 0.01),
    "one threshold": usual_gram_law(TailBounds((0.4,), (0,), 400, 0.005), 0, 0.03, 0.02, 0.01),
}  # fmt: skip


def known_angle(law: GramLaw, shift: float) -> float:
    return min(AngleLaw(law.tails).angle(shift), law.closed_form(shift))


# --- against a linear program: other nodes, other discretisation, other solver


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("shift", [0.25, 0.5, 1.0])
def test_dual_angle_is_within_a_percent_of_the_linear_program_when_constraints_vary(name: str, shift: float) -> None:
    law = LAWS[name]
    found = law.angle(shift)
    best = angle_by_linear_program(constraints_of(law), shift)
    # The program's own discretisation makes it too small, by up to half a percent.
    assert best * 0.9999 <= found <= best * 1.01
    if name not in ("cut first", "one threshold"):
        assert found < 0.98 * known_angle(law, shift)


# --- the bound of F


def integral(known: GramConstraints, shift: float, q: Floats) -> float:
    """F / sqrt(1 + C^2) = H(theta), as Theorem 14 writes it, by the trapezoidal rule on 8001 points."""
    theta = math.atan2(1.0, float(q[0]))
    mu, kappa, nu = q[1] * math.sin(theta), q[2] * math.sin(theta), q[3:] * math.sin(theta)
    z = np.linspace(-8.0, 8.0 + 2.0 * shift, 8001)
    y = np.exp(shift * z - 0.5 * shift * shift)
    best = np.full(len(z), -np.inf)
    for j, t in enumerate([*known.thresholds, math.pi]):
        if t <= known.thresholds[known.cut]:
            gain = math.cos(theta) * y - mu
            r = math.sin(t)
            # The maximum of a concave parabola: at an end, or at its top if that is inside.
            options = [gain * r - kappa * r * r, -gain * r - kappa * r * r]
            if kappa > 0.0:
                options.append(np.where(np.abs(gain) <= 2.0 * kappa * r, gain * gain / (4.0 * kappa), -np.inf))
            h = -math.sin(theta) * math.cos(t) * y + np.max(options, axis=0)
        else:
            h = math.sin(min(t - theta, math.pi / 2.0)) * y
        best = np.maximum(best, h - nu[:j].sum())
    mean = float(integrate.trapezoid(best * stats.norm.pdf(z), z))
    return mean + mu * known.mean + kappa * known.second_moment + float(nu @ known.tails)


def test_bound_is_just_above_the_integral_when_multipliers_are_random() -> None:
    rng = np.random.default_rng(8)
    excess = []
    for _ in range(1000):
        known = random_constraints(rng)
        shift = float(rng.choice([0.05, 0.25, 0.5, 1.0, 2.0, 3.0]))
        q = rng.exponential(1.0, 3 + len(known.thresholds)) * 10.0 ** rng.uniform(-2.0, 1.0, 3 + len(known.thresholds))
        q[rng.random(len(q)) < 0.1] = 0.0
        value, magnitude, _ = GramDual(known, chord_law(shift)).bound(q)
        scale = magnitude / math.hypot(1.0, q[0])
        excess.append((value / math.hypot(1.0, q[0]) - integral(known, shift, q)) / scale)
    assert min(excess) > -1e-6  # the trapezoidal rule at the kinks
    assert np.quantile(excess, 0.9) < 1e-3
    assert max(excess) < 0.02


def test_bound_is_exact_when_the_shift_is_zero() -> None:
    rng = np.random.default_rng(9)
    for _ in range(50):
        known = random_constraints(rng)
        q = rng.exponential(1.0, 3 + len(known.thresholds))
        value, _, _ = GramDual(known, chord_law(0.0)).bound(q)
        assert value / math.hypot(1.0, q[0]) == pytest.approx(integral(known, 0.0, q), abs=1e-9)


def test_bound_states_its_derivative_in_the_cotangent_when_multipliers_are_random() -> None:
    rng = np.random.default_rng(10)
    for _ in range(50):
        known = random_constraints(rng)
        dual = GramDual(known, chord_law(0.7))
        q = rng.exponential(1.0, 3 + len(known.thresholds))
        step = np.zeros_like(q)
        step[0] = 1e-6
        slope = (dual.bound(q + step)[0] - dual.bound(q - step)[0]) / 2e-6
        assert dual.bound(q)[2] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_proved_cotangent_holds_by_its_own_bound_when_multipliers_are_poor() -> None:
    rng = np.random.default_rng(11)
    law = LAWS["n = 512"]
    dual = GramDual(constraints_of(law), chord_law(0.5))
    proofs = 0
    for _ in range(100):
        q = dual.guess(0.5, known_angle(law, 0.5)) * np.exp(rng.normal(0.0, 0.15, 9))
        proved = dual.proved_cotangent(q)
        if proved is None:
            grid = [np.array([c, *q[1:]]) for c in np.linspace(0.0, 2.0 * q[0], 50)]
            assert min(dual.bound(other)[0] for other in grid) > -0.01
            continue
        proofs += 1
        q[0] = proved
        assert dual.bound(q)[0] < 0.0
        q[0] *= 1.001
        assert dual.bound(q)[0] > 0.0
        assert math.atan2(1.0, proved) > 0.999 * law.angle(0.5)
    assert 20 < proofs < 100


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_proved_cotangent_proves_nothing_when_a_multiplier_is_not_finite(bad: float) -> None:
    dual = GramDual(constraints_of(LAWS["n = 512"]), chord_law(0.5))
    for index in range(9):
        q = dual.guess(0.5, 0.2)
        q[index] = bad
        assert dual.proved_cotangent(q) is None


# --- the chord law


@pytest.mark.parametrize("shift", [1e-9, 0.01, 0.05, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_chord_law_prices_calls_at_its_nodes_exactly_when_shifts_vary(shift: float) -> None:
    law = chord_law(shift)
    assert np.all(law.masses >= 0.0)
    assert np.all(np.diff(law.nodes) > 0.0)
    assert law.masses.sum() == pytest.approx(1.0, abs=1e-12)
    assert 0.0 <= law.beyond < 1e-10
    # E (l - k)^+ is Black and Scholes' formula; a chord law is exact where the kink is a node.
    for strike in law.nodes[1::7]:
        d = (math.log(strike) - 0.5 * shift * shift) / shift
        call = special.ndtr(-d) - strike * special.ndtr(-d - shift)
        ours = float(law.masses @ np.maximum(law.nodes - strike, 0.0))
        assert call - 2.0 * law.beyond - 1e-12 <= ours <= call + 1e-11


def test_chord_law_never_falls_when_the_shift_rises() -> None:
    rng = np.random.default_rng(12)
    lines = rng.normal(size=(5, 2))
    shifts = np.linspace(0.0, 3.0, 61)
    means = [
        law.masses @ np.max(lines[:, :1] * law.nodes + lines[:, 1:], axis=0) + law.beyond * max(lines[:, 0].max(), 0.0)
        for law in map(chord_law, map(float, shifts))
    ]
    assert np.all(np.diff(means) >= -1e-10)
    assert means[-1] > means[0] + 0.1


# --- its special cases


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("shift", [0.25, 0.5, 1.0])
def test_dual_angle_equals_the_angle_law_when_the_moments_say_nothing(name: str, shift: float) -> None:
    law = LAWS[name]
    alone = replace(constraints_of(law), mean=10.0, second_moment=10.0)
    angle_law = AngleLaw(law.tails).angle(shift)
    found = dual_angle(alone, shift, min(1.1 * angle_law, 1.5))
    assert angle_law - 1e-8 <= found <= 1.01 * angle_law


@pytest.mark.parametrize("name", LAWS)
def test_angle_is_the_smallest_of_the_three_when_shifts_vary(name: str) -> None:
    law = LAWS[name]
    for shift in (0.0, 0.02, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5):
        known = known_angle(law, shift)
        assert law.angle(shift) == min(known, dual_angle(constraints_of(law), shift, known))
        assert law.angle(shift) <= known


@pytest.mark.parametrize("name", LAWS)
def test_angle_rises_when_the_shift_rises_from_zero_to_vacuous(name: str) -> None:
    angles = np.array([LAWS[name].angle(float(shift)) for shift in np.linspace(0.0, 4.0, 41)])
    assert np.all(np.diff(angles) >= -1e-7)
    assert angles[0] < 0.8
    assert angles[-1] == math.pi


def test_angle_is_the_same_number_when_asked_again() -> None:
    law = LAWS["wide"]
    first = law.angle(0.37)
    dual_angle.cache_clear()
    assert law.angle(0.37) == first


# --- edges


@pytest.mark.parametrize("shift", [10.0, 26.0, 60.0, math.inf])
def test_angle_is_pi_when_the_shift_is_far_too_large(shift: float) -> None:
    for law in LAWS.values():
        assert law.angle(shift) == math.pi


def test_dual_angle_is_valid_and_no_worse_when_constraints_are_extreme() -> None:
    base = LAWS["n = 512"]
    cases = {
        "first tail is everything": replace(base, tails=replace(base.tails, counts=(512, 191, 58, 4, 0, 0))),
        "nothing seen off the axis": replace(base, largest_eigenvalue=0.0, mean_norm=0.0),
        "all aligned": replace(base, largest_eigenvalue=0.1, mean_norm=0.3),
        "cut last": replace(base, cut=5),
        "cut first": replace(base, cut=0),
    }
    for name, shift in product(cases, (0.0, 0.01, 0.25, 0.5, 1.0, 2.0)):
        law = cases[name]
        known = known_angle(law, shift)
        found = dual_angle(constraints_of(law), shift, known)
        if shift in (0.25, 0.5, 1.0):
            # Where the moments say nothing the angle law is the dual's optimum.
            assert found < known or name == "all aligned", name
            # No certificate from these constraints can be below an event that only the last tail bounds.
            q = float(special.ndtr(special.ndtri(law.tails.upper[-1]) + shift))
            assert found > math.asin(q / (1.0 - q)), name


def test_dual_angle_stays_finite_when_a_bound_is_zero() -> None:
    free = replace(constraints_of(LAWS["n = 512"]), mean=0.0, second_moment=0.0)
    for shift in (0.25, 0.5, 1.0):
        nearly = replace(free, mean=1e-5, second_moment=1e-10)
        found = dual_angle(free, shift, 0.6)
        assert 0.0 < found <= dual_angle(nearly, shift, 0.6) * (1.0 + 1e-6) < 0.6


def test_dual_angle_proves_right_angles_when_the_known_one_nearly_is() -> None:
    law = LAWS["n = 2048"]
    last = max(shift for shift in np.linspace(1.0, 3.5, 500) if law.closed_form(float(shift)) < math.pi)
    assert known_angle(law, float(last)) > 1.4
    assert law.angle(float(last)) <= known_angle(law, float(last))
    assert dual_angle(constraints_of(law), 1.0, 0.5 * math.pi) == pytest.approx(law.angle(1.0), rel=1e-4)
    assert dual_angle(constraints_of(law), 1.0, math.pi) == math.pi


# --- against the truth


def encoder_named(name: str, draws: int) -> SimulatedEncoder:
    return next(encoder for encoder in simulated_encoders(draws, 0.05) if encoder.name == name)


def count_false(name: str, draws: int, runs: int, shift: float = 0.5) -> tuple[int, int]:
    """How many dual angles at ``shift`` are below the truth there or at a smaller shift, and how many say something."""
    encoder = encoder_named(name, draws)
    rng = np.random.default_rng([draws, len(name)])
    false = said = 0
    for _ in range(runs):
        first, fresh = encoder.draw(rng, 64), encoder.draw(rng, draws)
        law = certify_features(first, fresh, sigma=SIGMA, alpha=0.05).evidence
        assert isinstance(law, GramLaw)
        # The dual by itself, which is not helped by the other two.
        angle = dual_angle(constraints_of(law), shift, known_angle(law, shift))
        reference = first.mean(axis=0)
        smaller = np.linspace(-shift, shift, 9)
        truth = max(angle_between(encoder.smoothed(float(at)), reference) for at in smaller)
        false += angle < truth - 1e-9
        said += angle < math.pi
    return false, said


@pytest.mark.parametrize("name", ["rising", "two-sides", "two-sides-rare", "scattered", "aligned", "likelihood-ratio"])
def test_dual_angle_fails_no_oftener_than_alpha_when_truth_is_known(name: str) -> None:
    false, said = count_false(name, 256, 90)
    assert said > 80
    assert stats.binomtest(false, 90, 0.05, alternative="greater").pvalue > 1e-6


def test_simulation_catches_the_dual_when_the_shift_is_understated(monkeypatch: pytest.MonkeyPatch) -> None:
    dual_angle.cache_clear()
    monkeypatch.setattr(gram_law, "chord_law", lambda shift: chord_law(0.25 * shift))
    false, said = count_false("likelihood-ratio", 4096, 30)
    dual_angle.cache_clear()
    assert said == 30
    assert stats.binomtest(false, 30, 0.05, alternative="greater").pvalue < 1e-6
