"""From draws to claims: what the pilot fixes, what is counted, what is refused."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.certification import BetaPrior, CertificationError, TooFewDrawsError
from fs_runtime.certification.prediction import (
    LabelClaim,
    MarginLaw,
    PredictionEstimator,
    Rivals,
    VoteLaw,
    divided_alpha,
    estimator,
    smallest_draws,
)

Floats = npt.NDArray[np.float64]


def rows(count: int, seed: int, spread: float = 0.2, dimensions: int = 6) -> Floats:
    values = spread * np.random.default_rng(seed).standard_normal((count, dimensions)) + np.eye(dimensions)[0]
    return np.asarray(values / np.linalg.norm(values, axis=1)[:, None])


PROTOTYPES = np.concatenate([rows(9, 3, 1.0), np.eye(6)[:1]])
PILOT, DRAWN = rows(60, 1), rows(300, 2)


def start(pilot: Any = PILOT, prototypes: Any = PROTOTYPES, **changes: Any) -> PredictionEstimator:
    return PredictionEstimator(pilot, prototypes, **({"sigma": 0.25, "alpha": 0.01, "draws": 300} | changes))


def claims(drawn: Any = DRAWN, **changes: Any) -> tuple[LabelClaim, ...]:
    made = start(**changes)
    made.update(drawn)
    return made.finish()


# --- what is counted


@pytest.mark.parametrize("k", [1, 2])
def test_finish_counts_margins_and_votes_when_draws_are_made(k: int) -> None:
    margin, vote = claims(top_k=k)
    found = Rivals(PROTOTYPES, margin.members).margins(DRAWN)
    assert isinstance(margin.evidence, MarginLaw)
    tails = margin.evidence.tails
    assert tails.counts == tuple(int((found < math.cos(t) + 1e-6).sum()) for t in tails.thresholds)
    assert (tails.draws, tails.alpha, tails.priors) == (300, 0.01, None)
    assert vote.evidence == VoteLaw(int((found > 1e-6).sum()), 300, 0.01)
    assert len(margin.members) == len(vote.members) == k
    assert (margin.kind, vote.kind) == ("margin", "vote")
    assert 0 < tails.counts[-1] + tails.counts[0] < 600


def test_finish_is_the_same_when_draws_come_block_by_block() -> None:
    made = start()
    for first in (0, 1, 40, 41, 150):
        last = {0: 1, 1: 40, 40: 41, 41: 150, 150: 300}[first]
        made.update(DRAWN[first:last].astype(np.float32))
    assert made.draws == 300
    assert made.finish() == claims()


@pytest.mark.parametrize("kind", ["margin", "vote"])
def test_finish_gives_one_claim_when_one_kind_is_asked(kind: Any) -> None:
    [claim] = claims(kinds=(kind,))
    assert claim in claims()
    assert claim.kind == kind


def test_draws_on_the_boundary_count_against_the_label_when_rounding_could_decide() -> None:
    prototypes = np.eye(2)
    pilot = np.repeat([[0.8, 0.6]], 10, axis=0)

    def at(margin: float) -> Floats:
        angle = 0.25 * math.pi - math.asin(margin)
        return np.repeat([[math.cos(angle), math.sin(angle)]], 100, axis=0)

    for margin, votes in ((2e-6, 100), (0.9e-6, 0), (0.0, 0), (-1e-3, 0)):
        [claim] = claims(at(margin), pilot=pilot, prototypes=prototypes, kinds=("vote",), draws=100)
        assert isinstance(claim.evidence, VoteLaw)
        assert claim.evidence.count == votes
    [claim] = claims(at(0.1), pilot=pilot, prototypes=prototypes, kinds=("margin",), draws=100)
    assert isinstance(claim.evidence, MarginLaw)
    first = math.cos(claim.evidence.tails.thresholds[0])
    for off, count in ((2e-6, 0), (0.9e-6, 100), (-1e-5, 100)):
        [moved] = claims(at(first + off), pilot=pilot, prototypes=prototypes, kinds=("margin",), draws=100)
        assert isinstance(moved.evidence, MarginLaw)
        assert moved.evidence.tails.counts[0] == count


# --- what the pilot fixes


def test_labels_are_the_pilots_when_the_draws_say_otherwise() -> None:
    margin, vote = claims(np.repeat(np.eye(6)[1:2], 300, axis=0))
    assert margin.members == vote.members == (9,)
    assert isinstance(vote.evidence, VoteLaw)
    assert vote.evidence.count == 0
    assert margin.evidence.shift() == vote.evidence.shift() == 0.0


def test_kinds_take_their_own_labels_when_mean_and_majority_differ() -> None:
    near, far = np.array([0.75, 0.6, 0.28]), np.array([0.0, 1.0, 0.0])
    near /= np.linalg.norm(near)
    pilot, drawn = np.stack([near] * 6 + [far] * 4), np.stack([near] * 180 + [far] * 120)
    margin, vote = claims(drawn, pilot=pilot, prototypes=np.eye(3), alpha=0.05)
    assert (margin.members, vote.members) == ((1,), (0,))
    assert isinstance(vote.evidence, VoteLaw)
    assert vote.evidence.count == 180
    assert isinstance(margin.evidence, MarginLaw)
    # <near, e1 - e0> / sqrt(2) < 0 and <far, e1 - e0> / sqrt(2) > 0.7.
    assert margin.evidence.tails.counts[0] == 180
    assert margin.evidence.tails.counts[-1] == 0


def test_margin_takes_the_label_of_the_reference_when_one_is_given() -> None:
    margin, vote = claims(reference=3.0 * PROTOTYPES[4])
    assert margin.members == (4,)
    assert vote.members == (9,)


def test_twins_are_named_when_prototypes_are_equal() -> None:
    margin, vote = claims(prototypes=np.concatenate([PROTOTYPES, np.eye(6)[:1]]))
    assert {*margin.members, *margin.twins} == {*vote.members, *vote.twins} == {9, 10}
    plain = claims()
    assert (margin.evidence, vote.evidence) == (plain[0].evidence, plain[1].evidence)


def test_priors_are_learned_from_the_pilot_when_draws_may_stop_anywhere() -> None:
    margin, vote = claims(any_time=True)
    found = Rivals(PROTOTYPES, margin.members).margins(PILOT)
    assert isinstance(margin.evidence, MarginLaw)
    tails = margin.evidence.tails
    counts = [int((found < math.cos(t) + 1e-6).sum()) for t in tails.thresholds]
    assert tails.priors == tuple(BetaPrior(count + 0.5, 60.5 - count) for count in counts)
    assert isinstance(vote.evidence, VoteLaw)
    against = 60 - int((found > 1e-6).sum())
    assert vote.evidence.prior == BetaPrior(against + 0.5, 60.5 - against)
    fixed = claims()
    assert fixed[1].evidence.shift() > vote.evidence.shift() > 0.0


def test_thresholds_do_not_depend_on_the_draws_when_these_are_odd() -> None:
    plain, odd = claims()[0].evidence, claims(rows(300, 8, 2.0))[0].evidence
    assert isinstance(plain, MarginLaw)
    assert isinstance(odd, MarginLaw)
    assert plain.tails.thresholds == odd.tails.thresholds
    assert plain.tails.counts != odd.tails.counts


# --- what is refused


def test_finish_refuses_when_the_number_of_draws_is_not_the_one_announced() -> None:
    made = start()
    made.update(DRAWN[:299])
    with pytest.raises(CertificationError, match="300 draws were announced but 299"):
        made.finish()
    with pytest.raises(CertificationError, match="300 draws were announced but 301"):
        made.update(DRAWN[:2])
    made.update(DRAWN[299:])
    made.finish()


def test_finish_gives_a_claim_at_any_number_when_draws_may_stop_anywhere() -> None:
    made = start(any_time=True)
    with pytest.raises(CertificationError, match="300 draws were announced but 0"):
        made.finish()
    made.update(DRAWN[:120])
    _, early = made.finish()
    made.update(DRAWN[120:])
    _, late = made.finish()
    assert isinstance(early.evidence, VoteLaw)
    assert isinstance(late.evidence, VoteLaw)
    assert (early.evidence.draws, late.evidence.draws) == (120, 300)
    assert early.evidence.shift() < late.evidence.shift()


@pytest.mark.parametrize("kind", ["margin", "vote"])
def test_estimator_names_the_draws_needed_when_they_are_too_few(kind: Any) -> None:
    with pytest.raises(TooFewDrawsError) as caught:
        start(kinds=(kind,), draws=5, alpha=0.001)
    needed = caught.value.needed
    assert needed == {"vote": 10, "margin": 14}[kind]
    made = start(np.repeat(np.eye(6)[:1], 60, axis=0), kinds=(kind,), draws=needed, alpha=0.001)
    made.update(np.repeat(np.eye(6)[:1], needed, axis=0))
    assert made.finish()[0].evidence.shift() >= 0.0
    with pytest.raises(TooFewDrawsError):
        start(kinds=(kind,), draws=needed - 1, alpha=0.001)
    with pytest.raises(TooFewDrawsError, match="at least 14"):
        start(draws=13, alpha=0.001)
    assert VoteLaw(10, 10, 0.001).shift() > 0.0
    assert VoteLaw(9, 9, 0.001).shift() == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"sigma": math.nan}, "sigma"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("vote", "vote")}, "kinds"),
        ({"kinds": ("cone",)}, "kinds"),
        ({"kinds": ("best",)}, "kinds"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 10}, "top_k"),
        ({"kinds": ("vote",), "top_k": 10}, "top_k"),
        ({"pilot": PILOT[:, :5] / np.linalg.norm(PILOT[:, :5], axis=1)[:, None]}, "6 dimensions"),
        ({"pilot": 1.1 * PILOT}, "pilot must have unit rows"),
        ({"pilot": np.concatenate([np.eye(6), -np.eye(6)])}, "points nowhere"),
        ({"prototypes": 2.0 * PROTOTYPES}, "prototypes must have unit rows"),
        ({"prototypes": np.repeat(PROTOTYPES[:1], 4, axis=0)}, "no other label"),
        ({"reference": np.zeros(6)}, "points nowhere"),
        ({"reference": np.ones(5)}, "6 dimensions"),
    ],
)
def test_estimator_refuses_when_a_setting_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CertificationError, match=message):
        start(**changes)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (DRAWN[:, :5] / np.linalg.norm(DRAWN[:, :5], axis=1)[:, None], "6 dimensions"),
        (1.1 * DRAWN, "features must have unit rows"),
        (DRAWN[0], "2-D"),
    ],
)
def test_update_refuses_when_features_are_wrong(features: Floats, message: str) -> None:
    made = start()
    with pytest.raises(CertificationError, match=message):
        made.update(features)
    assert made.draws == 0


# --- levels


def test_divided_alpha_is_an_even_share_when_several_kinds_are_asked() -> None:
    assert divided_alpha(0.03, ("cone",)) == 0.03
    assert divided_alpha(0.03, ("cone", "margin", "vote")) == pytest.approx(0.01)
    for kinds in ((), ("vote", "vote"), ("best",)):
        with pytest.raises(CertificationError, match="kinds must be some of cone, margin, vote"):
            divided_alpha(0.03, kinds)  # type: ignore[arg-type]
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(CertificationError, match="alpha"):
            divided_alpha(alpha, ("cone",))


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_smallest_draws_refuses_when_alpha_is_no_probability(alpha: float) -> None:
    with pytest.raises(CertificationError, match="alpha"):
        smallest_draws(alpha, "vote", 100)


def test_margins_are_computed_once_when_both_kinds_are_about_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = estimator.Rivals.margins
    monkeypatch.setattr(estimator.Rivals, "margins", lambda self, rows: calls.append(len(rows)) or original(self, rows))
    made = start()
    calls.clear()
    made.update(DRAWN)
    assert calls == [300]
