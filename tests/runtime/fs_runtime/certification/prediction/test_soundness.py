"""Labels stay as often as promised, on encoders whose smoothed feature is known exactly (section 10)."""

import math

import numpy as np
import pytest
from helpers.simulated_encoders import SIGMA, angle_between
from helpers.simulated_labels import (
    LabelledEncoder,
    LostLabels,
    certified,
    count_lost_labels,
    half_space,
    labelled_encoders,
    true_shift,
    vote_shift,
)
from helpers.verdicts import SMALLEST_P_VALUE, p_value_of
from scipy import optimize

from fs_runtime.certification.laws import tails
from fs_runtime.certification.prediction import Kind, LabelCone, MarginLaw, PredictionEstimator, Rivals, estimator, vote

PILOT = 64
# At right angles beyond the boundary between prototypes at 0 and 0.9: the worst feature for it.
FARTHEST = 0.45 + 0.5 * math.pi
KINDS: list[Kind] = ["cone", "margin", "vote"]
ENCODERS = [labelled.name for labelled in labelled_encoders(64, 0.05)]


def labelled_encoder(name: str, draws: int) -> LabelledEncoder:
    return next(each for each in labelled_encoders(draws, 0.05) if each.name == name)


def simulate(name: str, kind: Kind, draws: int, *, runs: int = 40, top_k: int = 1) -> LostLabels:
    rng = np.random.default_rng([draws, ENCODERS.index(name), KINDS.index(kind)])
    return count_lost_labels(
        labelled_encoder(name, draws), rng, kind=kind, draws=draws, pilot=PILOT, alpha=0.05, runs=runs, top_k=top_k
    )


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("draws", [64, 400])
def test_labels_are_lost_no_oftener_than_alpha_when_truth_is_known(name: str, kind: Kind, draws: int) -> None:
    result = simulate(name, kind, draws)
    assert result.p_value > SMALLEST_P_VALUE, result


@pytest.mark.parametrize("kind", KINDS)
def test_sets_are_lost_no_oftener_than_alpha_when_two_are_asked(kind: Kind) -> None:
    for name in ("rising", "scattered", "hidden-opposite"):
        result = simulate(name, kind, 400, top_k=2)
        assert result.p_value > SMALLEST_P_VALUE, result


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_certified_when_draws_are_many(kind: Kind) -> None:
    # A bound that is always vacuous would pass the tests above.
    for name in ("rising", "hidden-turn", "scattered", "label-hidden", "label-rising"):
        result = simulate(name, kind, 400, runs=8)
        assert result.certified >= 0.5, result
        assert result.shift > 0.3, result


@pytest.mark.parametrize("tail", [0.3, 0.05, 0.002])
def test_margin_comes_close_to_the_truth_when_draws_are_very_many(tail: float) -> None:
    # Inside and outside are as far from the boundary as can be: the theorem's worst case.
    labelled = half_space(tail, FARTHEST - math.pi, FARTHEST)
    rng = np.random.default_rng(3)
    pilot, drawn = labelled.encoder.draw(rng, 400), labelled.encoder.draw(rng, 100_000)
    found = certified("margin", pilot, drawn, labelled.prototypes, alpha=0.05)
    assert found[0] == (0,)
    assert 0.9 * true_shift(labelled) < found[1] < true_shift(labelled)


@pytest.mark.parametrize("tail", [0.3, 0.05, 0.002])
def test_vote_comes_close_to_the_truth_when_draws_are_very_many(tail: float) -> None:
    labelled = half_space(tail, 0.2, 0.7)
    rng = np.random.default_rng(3)
    pilot, drawn = labelled.encoder.draw(rng, 400), labelled.encoder.draw(rng, 100_000)
    found = certified("vote", pilot, drawn, labelled.prototypes, alpha=0.05)
    assert found[0] == (0,)
    assert 0.96 * vote_shift(tail) < found[1] < vote_shift(tail)


@pytest.mark.parametrize("tail", [0.3, 0.05, 0.002])
def test_cone_equals_the_truth_when_the_curve_is_exact(tail: float) -> None:
    labelled = half_space(tail, -0.2, FARTHEST)
    reference = np.array([math.cos(0.1), math.sin(0.1)])

    class Exact:
        bound = "angle-law"

        def angle(self, radius: float) -> float:
            return angle_between(labelled.encoder.smoothed(radius / SIGMA), reference)

        def radius(self, cosine: float) -> float:
            target = math.acos(cosine)
            return float(optimize.brentq(lambda radius: self.angle(radius) - target, 1e-6, 8.0 * SIGMA, xtol=1e-12))

    # The feature turns from the other side of the reference towards the boundary, in one plane with both prototypes.
    cone = LabelCone(Rivals(labelled.prototypes, (0,)).nearest(reference).margin)
    assert cone.angle == pytest.approx(0.35)
    shift = cone.radius(Exact()) / SIGMA
    assert true_shift(labelled) - 1e-4 < shift < true_shift(labelled)


def test_share_is_the_one_of_the_half_space_when_it_is_moved() -> None:
    labelled = half_space(0.05, 0.2, 0.7)
    assert labelled.share((0,), 0.0) == pytest.approx(0.95)
    assert labelled.share((0,), vote_shift(0.05)) == pytest.approx(0.5)
    assert not labelled.outvoted((0,), vote_shift(0.05) - 1e-6)
    assert labelled.outvoted((0,), vote_shift(0.05) + 1e-6)


# --- the simulation catches bounds that are wrong


@pytest.mark.parametrize("kind", ["cone", "margin"])
def test_simulation_catches_the_bound_when_frequencies_stand_for_clopper_pearson(
    monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    monkeypatch.setattr(tails, "clopper_pearson_upper", lambda count, draws, alpha: count / draws)
    assert simulate("label-hidden", kind, 400).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_vote_when_frequencies_stand_for_clopper_pearson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vote, "clopper_pearson_upper", lambda count, draws, alpha: max(count / draws, 1e-9))
    assert simulate("label-hidden", "vote", 400).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_margin_when_the_shift_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "shifted", lambda p, shift: p)
    assert simulate("label-rising", "margin", 400).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_margin_when_the_last_knot_is_the_last_threshold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_kind(law: MarginLaw, shift: float) -> float:
        step = law.tails.under_shift(shift)
        knots = np.minimum(step.knots, step.knots[-2])
        return float(step.masses @ np.cos(knots))

    monkeypatch.setattr(MarginLaw, "mean", too_kind)
    assert simulate("label-hidden", "margin", 400).p_value < SMALLEST_P_VALUE


def test_simulation_catches_the_vote_when_its_label_is_not_fixed_by_the_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    def best_of_both(counter: object, draws: int, alpha: float, any_time: bool) -> vote.VoteLaw:
        count = counter._count  # type: ignore[attr-defined]
        return vote.VoteLaw(max(count, draws - count), draws, alpha)

    # Neither label has a majority, so any that is certified is lost.
    labelled = half_space(0.5, 0.2, 0.7)

    def result() -> LostLabels:
        rng = np.random.default_rng(5)
        return count_lost_labels(labelled, rng, kind="vote", draws=1_000, pilot=1, alpha=0.5, runs=60)

    assert result().p_value > SMALLEST_P_VALUE
    monkeypatch.setattr(estimator._VoteCounter, "evidence", best_of_both)
    assert result().p_value < SMALLEST_P_VALUE


@pytest.mark.parametrize("any_time", [False, True])
def test_simulation_catches_draws_that_stop_when_the_bound_is_for_a_fixed_number(any_time: bool) -> None:
    # Neither label has a majority. A look after every few draws, to stop at the first that seems certain.
    labelled = half_space(0.5, 0.2, 0.7)
    rng = np.random.default_rng(9)
    wrong, runs = 0, 60
    for _ in range(runs):
        pilot = labelled.encoder.draw(rng, 65)
        made = PredictionEstimator(
            pilot, labelled.prototypes, sigma=0.25, alpha=0.2, draws=1_000, kinds=("vote",), any_time=any_time
        )
        [counter] = made._counters
        fresh = rng.permutation(labelled.encoder.draw(rng, 1_000))
        stopped = False
        for draws in range(10, 1_001, 10):
            counter.add(counter.rivals.margins(fresh[draws - 10 : draws]))
            stopped = stopped or counter.evidence(draws, 0.2, any_time).shift() > 0.0
        wrong += stopped
    p_value = p_value_of(wrong, runs, 0.2)
    if any_time:
        assert p_value > 0.01
    else:
        assert p_value < SMALLEST_P_VALUE
