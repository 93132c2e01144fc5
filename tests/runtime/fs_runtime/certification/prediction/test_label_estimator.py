"""All kinds from the same draws: the claims are the single estimators', and targets stop the draws when they may."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers.predictions import about
from scipy import stats

from fs_runtime.certification import AnyTimeEstimator, CertificationError, FixedDrawsEstimator, reference_of
from fs_runtime.certification.prediction import (
    KINDS,
    Kind,
    LabelCone,
    LabelEstimator,
    LabelTarget,
    MarginLaw,
    PredictionEstimator,
    Rivals,
    VoteLaw,
    drawn_radius,
)
from fs_runtime.certification.prediction.label_estimator import optimistic

Floats = npt.NDArray[np.float64]
SIGMA, ALPHA, GRID = 0.25, 0.03, 1e-3
AXIS = np.eye(6)[0]
PROTOTYPES = np.concatenate([AXIS[None], about(AXIS, 5, 3, 2.0)])


def started(pilot: Floats, **changes: Any) -> tuple[LabelEstimator, Floats]:
    reference = reference_of(pilot.mean(axis=0))
    asked: dict[str, Any] = {
        "sigma": SIGMA,
        "alpha": ALPHA,
        "draws": 600,
        "kinds": KINDS,
        "bound": "gram",
        "pilot_features": pilot,
        "grid_cost": GRID,
    } | changes
    return LabelEstimator(pilot @ reference, reference, asked.pop("prototypes", PROTOTYPES), **asked), reference


def drawn(estimator: LabelEstimator, reference: Floats, rows: Floats, block: int = 32) -> LabelEstimator:
    """Blocks of draws, until it has decided."""
    for first in range(0, len(rows), block):
        features = rows[first : first + block]
        estimator.update(features @ reference, features)
        if estimator.decided is not None:
            break
    return estimator


PILOT, ROWS = about(AXIS, 64, 1, 0.6), about(AXIS, 4000, 2, 0.6)


@pytest.mark.parametrize("kinds", [KINDS, ("margin", "vote"), ("cone",), ("vote",), ("cone", "margin")])
@pytest.mark.parametrize("target", [None, LabelTarget(9.0 * SIGMA)])
def test_finish_gives_what_each_estimator_gives_alone_when_kinds_share_alpha(
    kinds: tuple[Kind, ...], target: LabelTarget | None
) -> None:
    estimator, reference = started(PILOT, kinds=kinds, target=target)
    for first in range(0, 600, 100):
        rows = ROWS[first : first + 100]
        estimator.update(rows @ reference, rows)
    evidence = estimator.finish()
    share = ALPHA / len(kinds)
    singles = tuple(kind for kind in kinds if kind != "cone")
    if singles:
        alone = PredictionEstimator(
            PILOT, PROTOTYPES, sigma=SIGMA, alpha=share, draws=600, kinds=singles, any_time=target is not None
        )
        alone.update(ROWS[:600])
        assert evidence.claims == alone.finish()
    else:
        assert evidence.claims == ()
    if "cone" not in kinds:
        assert evidence.curve is evidence.cone_target is None
        return
    assert evidence.curve is not None
    settings: dict[str, Any] = {"sigma": SIGMA, "alpha": share, "bound": "gram", "draws": 600}
    if target is None:
        fixed = FixedDrawsEstimator(PILOT @ reference, reference, pilot_features=PILOT, **settings)
        for first in range(0, 600, 100):
            rows = ROWS[first : first + 100]
            fixed.update(rows @ reference, rows)
        assert evidence.curve == fixed.finish()
        assert evidence.cone_target is None
    else:
        assert evidence.cone_target is not None
        stopping = AnyTimeEstimator(
            PILOT @ reference,
            reference,
            pilot_features=PILOT,
            target=evidence.cone_target,
            out_of_reach="hopeless",
            **settings,
        )
        for first in range(0, 600, 100):
            rows = ROWS[first : first + 100]
            stopping.update(rows @ reference, rows)
        assert evidence.curve == stopping.finish()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_stop_with_a_proof_when_the_radius_is_easy(kind: Kind) -> None:
    target = LabelTarget(0.05)
    estimator, reference = started(PILOT, kinds=(kind,), target=target, draws=4000)
    drawn(estimator, reference, ROWS)
    assert estimator.decided == "proved"
    assert 32 <= estimator.draws < 1000
    evidence = estimator.finish()
    if kind == "cone":
        assert evidence.curve is not None
        margin = Rivals(PROTOTYPES, (0,)).nearest(reference).margin
        assert LabelCone(margin).radius(evidence.curve) - GRID >= target.radius - 1e-9
        # One block less proved nothing yet.
        earlier, _ = started(PILOT, kinds=(kind,), target=target, draws=4000)
        drawn(earlier, reference, ROWS[: estimator.draws - 32])
        assert earlier.decided is None
        return
    [claim] = evidence.claims
    assert drawn_radius(claim.evidence, SIGMA, GRID) >= target.radius
    assert isinstance(claim.evidence, MarginLaw | VoteLaw)


def test_draws_stop_at_the_kind_that_proves_first_when_several_are_asked() -> None:
    target = LabelTarget(0.15)
    estimator, reference = started(PILOT, kinds=("margin", "vote"), target=target, draws=4000)
    drawn(estimator, reference, ROWS)
    assert estimator.decided == "proved"
    radii = {claim.kind: drawn_radius(claim.evidence, SIGMA, GRID) for claim in estimator.finish().claims}
    assert radii["vote"] >= target.radius > radii["margin"]


@pytest.mark.parametrize("kinds", [("margin",), ("vote",), ("cone",), KINDS])
def test_draws_stop_without_a_proof_when_it_is_hopeless(kinds: tuple[Kind, ...]) -> None:
    spread = about(AXIS, 6000, 5, 3.0)
    estimator, reference = started(spread[:128], kinds=kinds, target=LabelTarget(1.5 * SIGMA), draws=5000)
    drawn(estimator, reference, spread[128:])
    assert estimator.decided == "hopeless"
    assert estimator.draws < 1000


def test_draws_go_on_when_more_of_them_may_prove_it() -> None:
    """The futility rule gives up nothing that the most draws prove."""
    for seed in range(3):
        pilot, rows = about(AXIS, 128, 100 + seed, 0.6), about(AXIS, 4000, 200 + seed, 0.6)
        whole, reference = started(pilot, kinds=("margin", "vote"), target=LabelTarget(9.0), draws=4000)
        for first in range(0, 4000, 500):
            whole.update(rows[first : first + 500] @ reference, rows[first : first + 500])
        for claim in whole.finish().claims:
            reached = drawn_radius(claim.evidence, SIGMA, GRID)
            assert reached > 0.02
            target = LabelTarget(0.97 * reached)
            estimator, _ = started(pilot, kinds=(claim.kind,), target=target, draws=4000)
            assert drawn(estimator, reference, rows).decided == "proved"


def test_nothing_is_hopeless_when_all_draws_are_made() -> None:
    estimator, reference = started(PILOT, kinds=("vote",), target=LabelTarget(0.9), draws=320)
    drawn(estimator, reference, np.concatenate([ROWS[:300], -ROWS[:20]]), block=320)
    assert estimator.decided is None


def test_a_vote_for_other_labels_is_hopeless_when_it_is_alone() -> None:
    near, far = np.array([0.75, 0.6, 0.28]), np.array([0.0, 1.0, 0.0])
    near /= np.linalg.norm(near)
    pilot = np.stack([near] * 6 + [far] * 4)
    estimator, reference = started(
        pilot, prototypes=np.eye(3), kinds=("vote",), target=LabelTarget(0.01), draws=4000, alpha=0.05
    )
    drawn(estimator, reference, np.stack([near] * 4000))
    # Most draws have the label 0, but the reference has the label 1.
    assert estimator.decided == "hopeless"
    assert estimator.draws < 100


@pytest.mark.parametrize("bound", ["gram", "angle-law"])
def test_a_cone_is_hopeless_at_once_when_the_reference_is_on_the_boundary(bound: Any) -> None:
    prototypes = np.array([[1.0, 1.0, 0, 0, 0, 0], [1.0, -1.0, 0, 0, 0, 0]]) / math.sqrt(2.0)
    estimator, reference = started(
        np.repeat(AXIS[None], 40, axis=0), prototypes=prototypes, kinds=("cone",), target=LabelTarget(0.1), bound=bound
    )
    drawn(estimator, reference, np.repeat(AXIS[None], 600, axis=0))
    assert (estimator.decided, estimator.draws) == ("hopeless", 32)
    evidence = estimator.finish()
    assert evidence.curve is not None
    assert evidence.cone_target is not None
    assert evidence.cone_target.angle < 1e-6


def test_optimistic_takes_two_standard_errors_off_when_draws_are_few() -> None:
    vote = optimistic(VoteLaw(300, 400, 0.01), 4000)
    assert vote == VoteLaw(4000 - 800, 4000, 0.01)
    estimator, reference = started(PILOT, kinds=("margin",), draws=400)
    evidence = drawn(estimator, reference, about(AXIS, 400, 9, 0.6)).finish().claims[0].evidence
    assert isinstance(evidence, MarginLaw)
    later = optimistic(evidence, 4000)
    assert isinstance(later, MarginLaw)
    assert later.tails.draws == 4000
    counts = evidence.tails.counts
    assert later.tails.counts == tuple(math.floor(10 * max(0.0, each - 2.0 * math.sqrt(each))) for each in counts)
    assert later.shift() > evidence.shift()


# --- wherever the draws stop, the claims hold


def test_claims_hold_wherever_the_draws_stop_when_the_truth_is_known() -> None:
    """Features at three angles; the label is lost from a shift on that is known exactly.

    Draws stop at a target that is false, and as late as possible: what a stopping rule could do at its worst.
    """
    angles = np.array([0.0, 0.5, 2.4])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    edges = np.array([1.0, 2.0])
    prototypes = np.array([[1.0, 0.0], [math.cos(0.9), math.sin(0.9)]])
    difference = (prototypes[0] - prototypes[1]) / np.linalg.norm(prototypes[0] - prototypes[1])

    def masses(shift: float) -> Floats:
        above = stats.norm.sf(edges - shift)
        return np.array([1.0 - above[0], above[0] - above[1], above[1]])

    margins = features @ difference
    shifts = np.linspace(0.0, 3.0, 3001)
    lost = shifts[np.argmax([masses(shift) @ margins <= 0.0 for shift in shifts])]
    outvoted = shifts[np.argmax([masses(shift)[margins > 0.0].sum() <= 0.5 for shift in shifts])]
    alpha, runs, rng = 0.1, 60, np.random.default_rng(11)
    failures = proved = 0
    for _ in range(runs):
        z = rng.standard_normal(64 + 1000)
        rows = features[np.searchsorted(edges, z)]
        target = LabelTarget(SIGMA * 1.01 * min(lost, outvoted))
        estimator, reference = started(
            rows[:64], prototypes=prototypes, kinds=("margin", "vote"), alpha=alpha, target=target, draws=1000,
            grid_cost=0.0,
        )  # fmt: skip
        drawn(estimator, reference, rows[64:], block=50)
        claims = {claim.kind: claim.evidence.shift() for claim in estimator.finish().claims}
        failures += claims["margin"] > lost or claims["vote"] > outvoted
        proved += claims["margin"] > 0.3 * lost and claims["vote"] > 0.3 * outvoted
    assert stats.binomtest(failures, runs, alpha, alternative="greater").pvalue > 1e-6, f"{failures} of {runs}"
    assert proved > runs // 2, "too few claims say anything: nothing was tested"


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bound": None}, 'the kind "cone" needs the bound'),
        ({"pilot_features": None}, "margin and vote need the features"),
        ({"kinds": ()}, "kinds must be some of"),
        ({"kinds": ("vote", "best")}, "kinds must be some of"),
        ({"alpha": 0.0}, "alpha"),
        ({"draws": 5}, "use at least"),
        ({"top_k": 6}, "top_k"),
        ({"prototypes": 2.0 * PROTOTYPES}, "unit rows"),
    ],
)
def test_estimator_refuses_when_a_setting_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CertificationError, match=message):
        started(PILOT, **changes)


def test_update_refuses_when_features_are_missing() -> None:
    estimator, reference = started(PILOT, kinds=("vote",))
    with pytest.raises(CertificationError, match="need the features of every draw"):
        estimator.update(ROWS[:10] @ reference)
