"""Certificates hold as often as they promise, on encoders whose smoothed feature is known exactly (section 10)."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.adversarial_search import CASES, Case, Worst, loss, read_worst, run_case, search, write_worst
from helpers.simulated_certificates import BOUNDS, Violations, count_violations
from helpers.simulated_encoders import (
    SHIFTS,
    SimulatedEncoder,
    angle_between,
    edges_from_tails,
    planar,
    simulated_encoders,
)
from helpers.verdicts import SMALLEST_P_VALUE, p_value_of
from scipy import integrate, special, stats

from fs_runtime.certification import Bound, TailBounds, cone_angle
from fs_runtime.certification.confidence.binomial import clopper_pearson_upper
from fs_runtime.certification.confidence.score import ScoreSequence
from fs_runtime.certification.laws import cone, fcsb, gram_law, tails
from fs_runtime.certification.laws.tails import COSINE_SLACK, StepLaw

PILOT = 64
# Draws, alpha, looks, runs, one in how many is solved: a slice of what benchmarks/soundness.py runs.
SETTINGS = [(64, 0.05, 1, 24, 12), (384, 0.001, 1, 12, 12), (256, 0.05, 4, 6, 6)]
ENCODERS = [encoder.name for encoder in simulated_encoders(64, 0.05)]


def encoder_named(name: str, draws: int, alpha: float) -> SimulatedEncoder:
    return next(encoder for encoder in simulated_encoders(draws, alpha) if encoder.name == name)


def simulate(name: str, bound: Bound, draws: int, *, pilot: int = PILOT, runs: int = 100) -> Violations:
    encoder = encoder_named(name, draws, 0.05)
    rng = np.random.default_rng(77)
    result, _ = count_violations(encoder, rng, draws=draws, pilot=pilot, alpha=0.05, runs=runs, bounds=(bound,))
    return result


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(("draws", "alpha", "looks", "runs", "solve_every"), SETTINGS)
def test_certificates_break_no_oftener_than_alpha_when_truth_is_known(
    name: str, draws: int, alpha: float, looks: int, runs: int, solve_every: int
) -> None:
    rng = np.random.default_rng([draws, ENCODERS.index(name)])
    results = count_violations(
        encoder_named(name, draws, alpha),
        rng,
        draws=draws,
        pilot=PILOT,
        alpha=alpha,
        runs=runs,
        looks=looks,
        solve_every=solve_every,
    )
    assert [result.bound for result in results] == [*BOUNDS, "score"]
    for result in results:
        assert (result.runs, result.looks) == (runs, looks)
        assert result.solved >= runs // solve_every
        assert result.p_value > SMALLEST_P_VALUE, result


@pytest.mark.parametrize("name", ["two-sides", "aligned", "rare-outliers"])
@pytest.mark.parametrize(("draws", "looks"), [(16, 1), (64, 1), (64, 4)])
def test_confidence_bounds_fail_no_oftener_than_alpha_when_draws_are_few(name: str, draws: int, looks: int) -> None:
    for result in count_violations(
        encoder_named(name, draws, 0.05),
        np.random.default_rng([draws, looks]),
        draws=draws,
        pilot=PILOT,
        alpha=0.05,
        runs=150,
        bounds=("gram", "cone"),
        looks=looks,
        solve_every=150,
    ):
        assert p_value_of(result.failures, result.runs, result.alpha) > SMALLEST_P_VALUE, result


@pytest.mark.parametrize("bound", BOUNDS)
def test_certify_features_says_something_when_draws_are_many(bound: Bound) -> None:
    # A bound that is always vacuous would pass the test above.
    for name in ("rising", "two-sides", "scattered", "aligned", "likelihood-ratio"):
        result = simulate(name, bound, 256, runs=4)
        assert result.certified == 1.0
        assert math.radians(1.0) < result.slack < math.radians(60.0)


# --- the simulation catches bounds that are wrong


def test_simulation_catches_the_bound_when_frequencies_stand_for_clopper_pearson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tails, "clopper_pearson_upper", lambda count, draws, alpha: count / draws)
    for bound in ("angle-law", "gram"):
        assert simulate("hidden-turn", bound, 256, runs=40).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_bound_when_the_mean_off_axis_part_lacks_its_deviation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = property(lambda law: law.mean_norm)
    monkeypatch.setattr(gram_law.GramLaw, "mean", broken)
    result = simulate("two-sides", "gram", 4096, pilot=128, runs=40)
    assert result.p_value < SMALLEST_P_VALUE


def test_simulation_passes_the_gram_law_when_its_deviation_is_there() -> None:
    result = simulate("two-sides", "gram", 4096, pilot=128, runs=40)
    assert result.p_value > SMALLEST_P_VALUE


def test_simulation_catches_the_bound_when_the_second_moment_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram_law.GramLaw, "second_moment", property(lambda law: 0.0))
    assert simulate("likelihood-ratio", "gram", 4096, pilot=128, runs=20).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_angle_law_when_the_shift_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "shifted", lambda p, shift: p)
    assert simulate("rising", "angle-law", 256).p_value < SMALLEST_P_VALUE


def test_simulation_catches_fcsb_when_the_shift_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[[fcsb.Fcsb, float], float] = fcsb.Fcsb.angle
    monkeypatch.setattr(fcsb.Fcsb, "angle", lambda law, shift: original(law, 0.0))
    encoder = planar("swing", (1.0,), [0.0, 3.0])
    result, _ = count_violations(
        encoder, np.random.default_rng(1), draws=2_048, pilot=PILOT, alpha=0.05, runs=40, bounds=("fcsb",)
    )
    assert result.p_value < SMALLEST_P_VALUE
    assert result.certified == 1.0


def critical_encoder(level: float, draws: int) -> SimulatedEncoder:
    """An event that is unseen with probability level^1.1; the worst one at a shift of 1 where ``level`` bounds it."""
    event = -math.expm1(1.1 * math.log(level) / draws)
    grown = float(special.ndtr(special.ndtri(event) + 1.0))
    return planar("critical", edges_from_tails([event]), [0.0, math.pi / 2.0 + math.asin(grown / (1.0 - grown))])


@pytest.mark.parametrize("bound", ["angle-law", "gram"])
def test_simulation_catches_the_bound_when_tails_are_at_three_alpha_each(
    bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    def result() -> Violations:
        rng = np.random.default_rng(1)
        return count_violations(
            critical_encoder(0.15, 256),
            rng,
            draws=256,
            pilot=8,
            alpha=0.05,
            runs=500,
            bounds=(bound,),
            solve_every=500,
        )[0]

    assert result().p_value > 0.01
    monkeypatch.setattr(
        tails, "clopper_pearson_upper", lambda count, draws, _: clopper_pearson_upper(count, draws, 0.15)
    )
    broken = result()
    assert p_value_of(broken.violations, broken.runs, broken.alpha) < SMALLEST_P_VALUE


@pytest.mark.parametrize("bound", ["angle-law", "gram"])
def test_simulation_catches_the_bound_when_nothing_lies_beyond_the_last_threshold(
    bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_tail(bounds: TailBounds, shift: float) -> StepLaw:
        law = under_shift(bounds, shift)
        return StepLaw(np.minimum(law.knots, law.knots[-2]), law.masses)

    under_shift: Callable[[TailBounds, float], StepLaw] = TailBounds.under_shift
    monkeypatch.setattr(TailBounds, "under_shift", without_tail)
    assert simulate("hidden-turn", bound, 256, runs=60).p_value < SMALLEST_P_VALUE


@pytest.mark.parametrize("slack", [0.0, COSINE_SLACK])
def test_simulation_catches_the_tails_when_rounded_cosines_have_no_slack(
    slack: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "COSINE_SLACK", slack)
    # Every draw lies just beyond a threshold, whose cosine float32 gives to the draw as well.
    candidates = np.arange(0.01, 0.02, 1e-6) + 2e-8
    threshold = np.round(candidates, 6)
    rounded = np.cos(candidates).astype(np.float32).astype(np.float64)
    best = int(np.argmax(rounded >= np.cos(threshold)))
    assert threshold[best] < candidates[best]
    runs, draws, failed = 10, 64, 0
    for _ in range(runs):
        # The pilot's own thresholds keep clear of what draws repeat, but any fixed ones must be sound.
        thresholds = (float(threshold[best]),)
        counts = tails.count_beyond(np.full(draws, rounded[best]), thresholds)
        failed += bool((tails.TailBounds(thresholds, counts, draws, 0.05).upper < 1.0).any())
    assert (p_value_of(failed, runs, 0.05) < SMALLEST_P_VALUE) == (slack == 0.0)


@pytest.mark.parametrize("looks", [1, 6])
def test_simulation_catches_the_score_when_its_interval_is_a_fifth(looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def results() -> list[Violations]:
        encoder = encoder_named("two-clusters", 256, 0.05)
        return count_violations(
            encoder,
            np.random.default_rng(1),
            draws=256,
            pilot=PILOT,
            alpha=0.05,
            runs=100,
            bounds=("cone",),
            looks=looks,
            solve_every=100,
        )

    assert min(result.p_value for result in results()) > SMALLEST_P_VALUE
    width: Callable[[ScoreSequence, float], float] = ScoreSequence._width
    monkeypatch.setattr(ScoreSequence, "_width", lambda sequence, alpha: 0.2 * width(sequence, alpha))
    mean, score = results()
    assert p_value_of(score.violations, 100, 0.05) < SMALLEST_P_VALUE
    assert p_value_of(mean.failures, 100, 0.05) < SMALLEST_P_VALUE


def test_simulation_catches_the_cone_when_the_shift_is_understated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulate("two-sides", "cone", 4096, runs=12).p_value > SMALLEST_P_VALUE
    monkeypatch.setattr(cone, "cone_angle", lambda mean, shift: cone_angle(mean, 0.25 * shift))
    assert simulate("two-sides", "cone", 4096, runs=12).p_value < SMALLEST_P_VALUE


# --- the worst encoders that a search found


@pytest.mark.parametrize("worst", read_worst(), ids=lambda worst: f"{worst.case.name}-{worst.case.alpha:g}")
def test_certificates_hold_when_the_encoder_is_the_worst_that_was_found(worst: Worst) -> None:
    line = run_case(worst.case, worst.recipe, np.random.default_rng(5), runs=40, solve_every=40)
    assert line.runs == 40
    assert line.p_value > SMALLEST_P_VALUE, line


def test_read_worst_has_every_case_once() -> None:
    assert [worst.case for worst in read_worst()] == list(CASES)


def test_search_is_reproducible_and_never_worse_when_it_refines() -> None:
    case = Case("vote", 64, 0.05)
    first, again, unrefined = (search(case, 3, random=3, refined=refined, runs=20) for refined in (6, 6, 0))
    assert first == again

    def badness(worst: Worst) -> float:
        return loss(run_case(case, worst.recipe, np.random.default_rng(3), runs=20))

    assert badness(first) <= badness(unrefined)


def test_read_worst_gives_back_what_was_written(tmp_path: Path) -> None:
    found = read_worst()
    write_worst(found, tmp_path / "worst.json")
    assert read_worst(tmp_path / "worst.json") == found


# --- the simulation itself


def test_truth_tries_both_coordinates_when_an_event_needs_both() -> None:
    encoder = encoder_named("hidden-corner", 1024, 0.05)
    reference = encoder.smoothed(0.0)
    diagonal = encoder.smoothed(math.sqrt(0.5), math.sqrt(0.5))
    along = max(angle_between(encoder.smoothed(sign), reference) for sign in (-1.0, 1.0))
    truth = encoder.truth(reference)
    assert truth[SHIFTS.index(1.0)] >= angle_between(diagonal, reference) - 1e-12
    assert truth[SHIFTS.index(1.0)] >= along - 1e-12
    assert np.all(np.diff(truth) >= 0.0)


@pytest.mark.parametrize("name", ENCODERS)
def test_smoothed_equals_quadrature_when_the_shift_is_not_zero(name: str) -> None:
    encoder = encoder_named(name, 256, 0.05)
    means = np.einsum("u,cud->cd", encoder.weights().sum(axis=0), encoder.features)
    for shift in (-1.0, 0.5):
        expected = np.zeros(means.shape[1])
        edges = [-9.0 + shift, *encoder.edges, 9.0 + shift]
        for low, high, mean in zip(edges[:-1], edges[1:], means, strict=True):
            expected += mean * integrate.quad(lambda z, s=shift: stats.norm.pdf(z - s), low, high, epsabs=1e-13)[0]
        np.testing.assert_allclose(encoder.smoothed(shift), expected, atol=1e-10)


@pytest.mark.parametrize("name", ENCODERS)
def test_draw_has_the_smoothed_feature_as_its_mean_when_draws_are_many(name: str) -> None:
    encoder = encoder_named(name, 64, 0.05)
    drawn = encoder.draw(np.random.default_rng(3), 40_000)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, atol=1e-12)
    # Each coordinate has standard deviation at most 1: 5 sigma.
    np.testing.assert_allclose(drawn.mean(axis=0), encoder.smoothed(0.0), atol=5.0 / 200.0)


def test_truth_is_the_larger_of_both_directions_when_the_encoder_is_lopsided() -> None:
    encoder = planar("lopsided", (0.0,), [0.0, 1.0])
    reference = np.array([math.cos(0.5), math.sin(0.5)])
    truth = encoder.truth(reference)
    assert truth[0] == pytest.approx(0.0, abs=1e-12)
    assert truth[SHIFTS.index(2.0)] == pytest.approx(angle_between(encoder.smoothed(-2.0), reference))
    assert np.all(np.diff(truth) > 0.0)
