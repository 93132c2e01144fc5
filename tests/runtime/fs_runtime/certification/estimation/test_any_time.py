"""Sequential certificates: that they stop when they may, are what they say, and hold wherever they stop."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from helpers.simulated_encoders import SHIFTS, SIGMA, SimulatedEncoder, angle_between, planar, simulated_encoders
from scipy import stats

from fs_runtime.certification import (
    AnyTimeEstimator,
    Bound,
    CertificationError,
    CertifiedCurve,
    Cone,
    Fcsb,
    GramLaw,
    Target,
    certify_features,
    reference_of,
)
from fs_runtime.certification.confidence.betting import betting_upper
from fs_runtime.certification.confidence.mixture import mixture_upper
from fs_runtime.certification.confidence.score import ScoreSequence
from fs_runtime.certification.estimation.moments import OffAxisMoments
from fs_runtime.certification.laws import tails

Floats = npt.NDArray[np.float64]
PILOT = 64


def encoder_named(name: str, draws: int, alpha: float) -> SimulatedEncoder:
    return next(encoder for encoder in simulated_encoders(draws, alpha) if encoder.name == name)


def started(
    pilot: Floats, *, bound: Bound, target: Target, draws: int, alpha: float
) -> tuple[AnyTimeEstimator, Floats]:
    reference = reference_of(pilot.mean(axis=0))
    estimator = AnyTimeEstimator(
        pilot @ reference,
        reference,
        sigma=SIGMA,
        alpha=alpha,
        bound=bound,
        target=target,
        draws=draws,
        pilot_features=pilot,
    )
    return estimator, reference


def shuffled(encoder: SimulatedEncoder, rng: np.random.Generator, count: int) -> Floats:
    return np.asarray(rng.permutation(encoder.draw(rng, count)))


@pytest.mark.parametrize("bound", ["gram", "angle-law", "cone", "fcsb"])
def test_estimator_stops_with_a_proof_when_the_target_is_easy(bound: Bound) -> None:
    encoder, rng = encoder_named("scattered", 256, 0.01), np.random.default_rng(0)
    target = Target(0.1 * SIGMA, 0.5)
    estimator, reference = started(shuffled(encoder, rng, PILOT), bound=bound, target=target, draws=5000, alpha=0.01)
    while estimator.decided is None:
        rows = shuffled(encoder, rng, 32)
        estimator.update(rows @ reference, rows)
    curve = estimator.finish()
    assert estimator.decided == "proved"
    assert curve.draws < 600
    assert curve.cosine(target.radius) >= 0.5
    estimator.update(rows @ reference, rows)  # more draws do no harm
    assert estimator.finish().draws == curve.draws + 32


@pytest.mark.parametrize("bound", ["gram", "angle-law", "cone", "fcsb"])
def test_estimator_gives_up_when_the_target_is_hopeless(bound: Bound) -> None:
    encoder, rng = planar("far", (0.0,), [-0.7, 0.7]), np.random.default_rng(0)
    target = Target(1.0 * SIGMA, 0.95)
    estimator, reference = started(shuffled(encoder, rng, PILOT), bound=bound, target=target, draws=50_000, alpha=0.01)
    while estimator.decided is None:
        rows = shuffled(encoder, rng, 32)
        estimator.update(rows @ reference, rows)
    assert estimator.decided == "hopeless"
    assert estimator.finish().draws <= 4096


def test_estimator_needs_hardly_more_draws_than_a_fixed_number_when_the_bound_is_gram() -> None:
    encoder, target = encoder_named("scattered", 2048, 0.001), Target(0.5 * SIGMA, 0.7)
    ratios = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        pilot, rows = shuffled(encoder, rng, 128), shuffled(encoder, rng, 4096)
        estimator, reference = started(pilot, bound="gram", target=target, draws=4096, alpha=0.001)
        for block in np.split(rows, 128):
            estimator.update(block @ reference, block)
            if estimator.decided is not None:
                break
        assert estimator.decided == "proved"
        fixed = next(
            n
            for n in range(32, 4096, 32)
            if certify_features(pilot, rows[:n], sigma=SIGMA, alpha=0.001).cosine(target.radius) >= 0.7
        )
        ratios.append(estimator.finish().draws / fixed)
    assert np.median(ratios) <= 1.5


def test_estimator_reports_its_own_evidence_when_it_stops() -> None:
    encoder, rng = encoder_named("aligned", 256, 0.01), np.random.default_rng(2)
    pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, 512)
    estimator, reference = started(pilot, bound="gram", target=Target(0.1, 0.9), draws=512, alpha=0.01)
    estimator.update(rows @ reference, rows)
    law = estimator.finish().evidence
    assert isinstance(law, GramLaw)
    assert law.tails.priors is not None
    assert (law.alpha, law.tails.alpha) == (0.01, 0.005)
    inside = np.arccos(np.clip(rows @ reference - 1e-6, -1.0, 1.0)) <= law.tails.thresholds[law.cut]
    off_axis = (rows - np.outer(rows @ reference, reference)) * inside[:, None]
    assert law.largest_eigenvalue == pytest.approx(np.linalg.eigvalsh(off_axis.T @ off_axis)[-1] / 512, rel=1e-9)
    assert law.mean_norm == pytest.approx(np.linalg.norm(off_axis.mean(axis=0)), rel=1e-9)
    seen = [int((pilot @ reference < math.cos(t) + 1e-6).sum()) for t in law.tails.thresholds]
    assert [(prior.a, prior.b) for prior in law.tails.priors] == [(k + 0.5, PILOT - k + 0.5) for k in seen]


def test_estimator_bounds_each_part_at_its_share_of_alpha() -> None:
    encoder, rng = encoder_named("scattered", 256, 0.01), np.random.default_rng(2)
    pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, 512)
    law = finished("gram", pilot, rows, 0.01).evidence
    assert isinstance(law, GramLaw)
    assert law.tails.priors is not None
    level = 0.005 / len(law.tails.thresholds)
    counted = zip(law.tails.counts, law.tails.priors, strict=True)
    expected = [mixture_upper(count, 512, level, prior) for count, prior in counted]
    np.testing.assert_allclose(law.tails.upper, np.minimum.accumulate(expected), rtol=1e-12)
    seen, fourth = law.largest_eigenvalue / law.rho**2, law.fourth_moment / law.rho**4
    moment = betting_upper(seen, fourth, 512, 0.0025, law.bets.second_moment)
    assert law.second_moment == pytest.approx(law.rho**2 * moment, rel=1e-12)
    mean = betting_upper(law.mean_norm / law.rho, seen, 512, 0.0025, law.bets.mean)
    assert law.mean == pytest.approx(law.rho * mean, rel=1e-12)


def test_estimator_takes_the_adaptive_bound_of_the_mean_when_it_is_for_the_cone_or_fcsb() -> None:
    encoder, rng = encoder_named("scattered", 256, 0.01), np.random.default_rng(2)
    pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, 512)
    reference = reference_of(pilot.mean(axis=0))
    sequence = ScoreSequence(pilot @ reference, 0.01, None)
    sequence.update(rows @ reference)
    # The slack of 1e-6 in a cosine is half as much in a score.
    lower = sequence.lower(0.01) - 0.5e-6
    cone, fcsb = (finished(bound, pilot, rows, 0.01).evidence for bound in ("cone", "fcsb"))
    assert isinstance(cone, Cone)
    assert isinstance(fcsb, Fcsb)
    assert cone.mean == pytest.approx(2.0 * lower - 1.0, rel=1e-12)
    assert fcsb.score_lower == pytest.approx(lower, rel=1e-12)


def test_estimator_refuses_when_the_target_is_out_of_reach() -> None:
    pilot = shuffled(encoder_named("scattered", 64, 0.01), np.random.default_rng(0), PILOT)
    with pytest.raises(CertificationError, match="whatever they show"):
        started(pilot, bound="angle-law", target=Target(1.5 * SIGMA, 0.99), draws=64, alpha=0.01)


def test_estimator_refuses_when_more_draws_come_than_announced() -> None:
    pilot = shuffled(encoder_named("scattered", 64, 0.01), np.random.default_rng(0), PILOT)
    estimator, reference = started(pilot, bound="angle-law", target=Target(0.0, 0.9), draws=100, alpha=0.01)
    with pytest.raises(CertificationError, match="announced"):
        estimator.finish()
    for _ in range(2):
        estimator.update(pilot @ reference, pilot)
    with pytest.raises(CertificationError, match="announced"):
        estimator.finish()


def test_estimator_gives_up_before_its_first_check_when_nothing_can_come_of_it() -> None:
    encoder, rng = encoder_named("scattered", 4096, 0.01), np.random.default_rng(4)
    pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, 1000)
    target = Target(0.5 * SIGMA, 0.9999)
    fewest = target.fewest_draws(0.01 / 6, SIGMA, "angle-law")
    assert fewest is not None
    assert fewest > 1000
    estimator, reference = started(pilot, bound="angle-law", target=target, draws=50 * fewest, alpha=0.01)
    for first in range(0, 1000, 8):
        estimator.update(rows[first : first + 8] @ reference)
        if estimator.decided is not None:
            break
    assert (estimator.decided, estimator._counted.draws) == ("hopeless", 256)


def test_estimator_calls_a_target_out_of_reach_hopeless_when_told_so() -> None:
    encoder, rng = encoder_named("scattered", 4096, 0.01), np.random.default_rng(4)
    pilot = shuffled(encoder, rng, PILOT)
    reference = reference_of(pilot.mean(axis=0))
    estimator = AnyTimeEstimator(
        pilot @ reference,
        reference,
        sigma=SIGMA,
        alpha=0.01,
        bound="angle-law",
        target=Target(SIGMA, 0.9999),
        draws=100,
        out_of_reach="hopeless",
    )
    assert estimator.decided == "hopeless"
    estimator.update(pilot @ reference)
    assert estimator.finish().draws == PILOT


def test_estimator_checks_at_numbers_of_draws_that_grow_geometrically(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, rng = encoder_named("scattered", 4096, 0.01), np.random.default_rng(4)
    pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, 4096)
    # Just out of reach, so that it looks to the end.
    target = Target(0.5 * SIGMA, finished("angle-law", pilot, rows, 0.01).cosine(0.5 * SIGMA) + 0.001)
    estimator, reference = started(pilot, bound="angle-law", target=target, draws=4096, alpha=0.01)
    checked: list[int] = []
    check = estimator._check
    monkeypatch.setattr(estimator, "_check", lambda: (checked.append(estimator._counted.draws), check()))
    monkeypatch.setattr(estimator, "_hopeless", lambda evidence: False)
    for row in rows:
        estimator.update([row @ reference])
    assert estimator.decided is None
    # With fewer draws the tails alone would forbid it (section 2.4).
    fewest = target.fewest_draws(0.01 / 6, SIGMA, "angle-law")
    assert fewest is not None
    assert checked[0] == fewest > 32
    assert checked[-1] == 4096
    ratios = np.array(checked[1:]) / np.array(checked[:-1])
    assert np.all(ratios[:-1] >= 1.07)
    assert np.all(ratios <= 2.01)
    assert ratios.min() < 1.1  # near the target it looks closely


def test_estimator_proves_by_the_eigenvalue_itself_when_the_lower_bound_is_far_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder, rng = encoder_named("scattered", 2048, 0.001), np.random.default_rng(0)
    monkeypatch.setattr(OffAxisMoments, "eigenvalue_from_below", lambda moments: 0.0)
    target = Target(0.5 * SIGMA, 0.97)
    estimator, reference = started(shuffled(encoder, rng, 128), bound="gram", target=target, draws=4096, alpha=0.001)
    misled = False
    while estimator.decided is None:
        rows = shuffled(encoder, rng, 32)
        estimator.update(rows @ reference, rows)
        law = estimator.finish().evidence
        assert isinstance(law, GramLaw)
        misled |= estimator.decided is None and replace(law, largest_eigenvalue=0.0).angle(0.5) < target.angle
    assert misled
    assert estimator.decided == "proved"
    assert estimator.finish().cosine(target.radius) >= 0.97


@pytest.mark.parametrize(
    ("bound", "name", "runs"),
    [("angle-law", "rising", 60), ("gram", "scattered", 8), ("cone", "rising", 20), ("fcsb", "rising", 20)],
)
def test_estimator_seldom_gives_up_when_the_target_is_within_reach(
    bound: Bound, name: str, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets that are proved with 600 to 4,000 of 4,000 draws, were nobody to give up: the hardest to tell."""
    encoder = encoder_named(name, 1024, 0.01)

    def outcome(pilot: Floats, rows: Floats, target: Target, *, patient: bool) -> tuple[str | None, int]:
        estimator, reference = started(pilot, bound=bound, target=target, draws=4000, alpha=0.01)
        if patient:
            monkeypatch.setattr(estimator, "_hopeless", lambda evidence: False)
        for block in np.split(rows, 125):
            estimator.update(block @ reference, block)
            if estimator.decided is not None:
                break
        return estimator.decided, estimator.finish().draws

    gave_up = within_reach = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, 4000)
        best = finished(bound, pilot, rows, 0.01).angle(0.5 * SIGMA)
        target = Target(0.5 * SIGMA, math.cos(1.02 * best))
        decided, draws = outcome(pilot, rows, target, patient=False)
        if decided == "hopeless":
            would, draws = outcome(pilot, rows, target, patient=True)
            gave_up += would == "proved" and draws > 600
            within_reach += would == "proved" and draws > 600
        else:
            within_reach += decided == "proved" and draws > 600
    assert within_reach > 0.7 * runs
    assert gave_up <= 0.05 * within_reach


def finished(bound: Bound, pilot: Floats, rows: Floats, alpha: float) -> CertifiedCurve:
    estimator, reference = started(pilot, bound=bound, target=Target(0.0, 0.01), draws=len(rows), alpha=alpha)
    estimator.update(rows @ reference, rows)
    return estimator.finish()


@pytest.mark.parametrize("name", ["hidden-turn", "hidden-critical", "rising", "likelihood-ratio"])
def test_cone_holds_when_one_stops_at_the_worst_time(name: str) -> None:
    runs, draws, alpha = 40, 512, 0.2
    encoder, broken, said = encoder_named(name, draws, alpha), 0, 0
    truth = [
        max(angle_between(encoder.smoothed(sign * s), encoder.smoothed(0.0)) for sign in (-1.0, 1.0)) for s in SHIFTS
    ]
    for run in range(runs):
        rng = np.random.default_rng([run, draws])
        pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, draws)
        estimator, reference = started(pilot, bound="cone", target=Target(0.0, 0.01), draws=draws, alpha=alpha)
        curves = []
        for block in np.split(rows, 4):
            estimator.update(block @ reference)
            curves.append(estimator.finish())
        said += curves[-1].angle(0.25 * SIGMA) < 1.0
        broken += any(
            curve.angle(s * SIGMA) < true - 1e-9 for curve in curves for s, true in zip(SHIFTS, truth, strict=True)
        )
    assert said == runs
    assert stats.binomtest(broken, runs, alpha, alternative="greater").pvalue > 1e-6


def broken_at_the_worst_time(name: str, bound: Bound, alpha: float, *, runs: int, draws: int, checks: int) -> int:
    """Runs in which the certified curve was below the truth at any of ``checks`` numbers of draws."""
    encoder, broken = encoder_named(name, draws, alpha), 0
    for run in range(runs):
        rng = np.random.default_rng([run, draws])
        pilot, rows = shuffled(encoder, rng, PILOT), shuffled(encoder, rng, draws)
        truth = encoder.truth(pilot.mean(axis=0))
        estimator, reference = started(pilot, bound=bound, target=Target(0.0, 0.01), draws=draws, alpha=alpha)
        for block in np.array_split(rows, checks):
            estimator.update(block @ reference, block)
            curve = estimator.finish()
            if any(curve.angle(s * SIGMA) < true - 1e-9 for s, true in zip(SHIFTS, truth, strict=True)):
                broken += 1
                break
    return broken


@pytest.mark.parametrize("name", ["hidden-turn", "hidden-critical", "two-sides", "likelihood-ratio", "scattered"])
@pytest.mark.parametrize("bound", ["angle-law", "gram"])
def test_certificates_hold_when_one_stops_at_the_worst_time(name: str, bound: Bound) -> None:
    runs, checks = (200, 8) if bound == "angle-law" else (25, 4)
    broken = broken_at_the_worst_time(name, bound, 0.1, runs=runs, draws=240, checks=checks)
    assert stats.binomtest(broken, runs, 0.1, alternative="greater").pvalue > 1e-6


def test_the_worst_time_catches_frequencies_that_stand_for_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "mixture_upper", lambda total, draws, alpha, prior: total / draws)
    broken = broken_at_the_worst_time("hidden-turn", "angle-law", 0.1, runs=100, draws=240, checks=8)
    assert stats.binomtest(broken, 100, 0.1, alternative="greater").pvalue < 1e-6
