"""From draws to certificates: what goes in, what is refused, and with which words."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.certification import (
    AngleLaw,
    Bound,
    CertificationError,
    Fcsb,
    FixedDrawsEstimator,
    GramLaw,
    TooFewDrawsError,
    certify_cosines,
    certify_features,
    reference_of,
    smallest_draws,
)

Floats = npt.NDArray[np.float64]
EVIDENCE: dict[Bound, type] = {"gram": GramLaw, "angle-law": AngleLaw, "fcsb": Fcsb}
BOUNDS = list(EVIDENCE)


def rows(count: int, seed: int, dimensions: int = 6, spread: float = 0.1) -> Floats:
    values = spread * np.random.default_rng(seed).standard_normal((count, dimensions))
    values[:, 0] += 1.0
    return np.asarray(values / np.linalg.norm(values, axis=1)[:, None])


PILOT, DRAWN = rows(40, 1), rows(300, 2)


def certify(pilot: Any = PILOT, features: Any = DRAWN, **changes: Any) -> Any:
    return certify_features(pilot, features, **({"sigma": 0.25, "alpha": 0.01} | changes))


# --- what comes out


@pytest.mark.parametrize("bound", BOUNDS)
def test_certify_features_states_its_facts_when_it_succeeds(bound: Bound) -> None:
    curve = certify(bound=bound)
    assert (curve.bound, curve.sigma, curve.alpha, curve.draws, curve.pilot) == (bound, 0.25, 0.01, 300, 40)
    assert isinstance(curve.evidence, EVIDENCE[bound])
    cosines = DRAWN @ reference_of(PILOT.mean(axis=0))
    assert curve.score.estimate == pytest.approx((0.5 * (1.0 + cosines)).mean(), rel=1e-12)
    assert curve.score.lower < curve.score.estimate < curve.score.upper


@pytest.mark.parametrize("bound", ["angle-law", "fcsb"])
def test_certify_cosines_equals_certify_features_when_given_their_cosines(bound: Bound) -> None:
    v = reference_of(PILOT.mean(axis=0))
    curves = certify_cosines(PILOT @ v, DRAWN @ v, sigma=0.25, alpha=0.01, bound=bound), certify(bound=bound)
    for radius in (0.0, 0.1, 0.2):
        assert curves[0].angle(radius) == pytest.approx(curves[1].angle(radius), rel=1e-9)
    assert curves[0].score.lower == pytest.approx(curves[1].score.lower, rel=1e-12)


def test_certify_features_uses_gram_and_certify_cosines_the_angle_law_when_no_bound_is_named() -> None:
    assert certify().bound == "gram"
    assert certify_cosines([0.9] * 9, [0.9] * 99, sigma=1.0, alpha=0.1).bound == "angle-law"


@pytest.mark.parametrize("bound", BOUNDS)
def test_certify_features_ignores_the_order_of_draws_when_they_are_shuffled(bound: Bound) -> None:
    shuffled = np.random.default_rng(0).permutation(DRAWN)
    assert certify(features=shuffled, bound=bound).angle(0.1) == pytest.approx(
        certify(bound=bound).angle(0.1), rel=1e-9
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_certify_features_hardly_changes_when_features_are_float32(bound: Bound) -> None:
    narrow = certify(PILOT.astype(np.float32), DRAWN.astype(np.float32), bound=bound)
    assert narrow.angle(0.1) == pytest.approx(certify(bound=bound).angle(0.1), abs=1e-5)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("ends", [[], [1], [100, 200], list(range(1, 300))])
def test_estimator_equals_certify_features_when_draws_come_in_blocks(bound: Bound, ends: list[int]) -> None:
    v = reference_of(PILOT.mean(axis=0))
    estimator = FixedDrawsEstimator(PILOT @ v, v, sigma=0.25, alpha=0.01, bound=bound, draws=300, pilot_features=PILOT)
    for block in np.split(DRAWN, ends):
        estimator.update(block @ v, block)
    whole, pieces = certify(bound=bound), estimator.finish()
    for radius in (0.0, 0.1, 0.2):
        assert pieces.angle(radius) == pytest.approx(whole.angle(radius), rel=1e-9)
    assert pieces.score.lower == pytest.approx(whole.score.lower, rel=1e-12)


@pytest.mark.parametrize("made", [299, 301])
def test_estimator_raises_when_the_number_of_draws_is_not_the_announced_one(made: int) -> None:
    estimator = FixedDrawsEstimator(np.ones(9), None, sigma=1.0, alpha=0.01, bound="angle-law", draws=300)
    estimator.update(np.full(made, 0.9))
    with pytest.raises(CertificationError, match=f"300 draws were announced but {made} were made"):
        estimator.finish()


def test_estimator_raises_when_the_gram_law_lacks_features() -> None:
    with pytest.raises(CertificationError, match="needs the reference and the pilot's features"):
        FixedDrawsEstimator(np.ones(9), None, sigma=1.0, alpha=0.01, bound="gram", draws=300)
    settings: Any = {"sigma": 1.0, "alpha": 0.01, "bound": "gram", "draws": 300}
    pilot = np.tile(np.eye(2)[0], (9, 1))
    with pytest.raises(CertificationError, match="9 cosines but 8 features"):
        FixedDrawsEstimator(np.ones(9), np.eye(2)[0], pilot_features=pilot[:8], **settings)
    estimator = FixedDrawsEstimator(np.ones(9), np.eye(2)[0], pilot_features=pilot, **settings)
    with pytest.raises(CertificationError, match="needs the features of every draw"):
        estimator.update(np.ones(300))


# --- too few draws


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-3, 1e-6])
def test_certify_features_succeeds_at_the_number_it_names_when_one_fewer_is_refused(bound: Bound, alpha: float) -> None:
    # The best that can happen: features spread just enough for all six thresholds, and none beyond the first.
    angles = np.linspace(0.005, 0.05, 40)
    pilot = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pilot = np.concatenate([pilot, pilot * [1.0, -1.0]])
    best = np.tile([1.0, 0.0], (smallest_draws(alpha, bound), 1))
    with pytest.raises(TooFewDrawsError, match=f"use at least {len(best)} draws") as caught:
        certify(pilot, best[:-1], alpha=alpha, bound=bound)
    assert caught.value.needed == len(best)
    assert f"{len(best) - 1} draws cannot certify anything at alpha={alpha:g}" in str(caught.value)
    curve = certify(pilot, best, alpha=alpha, bound=bound)
    if not isinstance(curve.evidence, Fcsb):
        assert len(curve.evidence.tails.thresholds) == 6
    assert curve.angle(0.0) < math.pi / 2.0


@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-3])
def test_smallest_draws_is_no_larger_than_needed_when_there_are_six_thresholds(alpha: float) -> None:
    for bound, level in (("angle-law", alpha), ("gram", alpha / 2.0)):
        n = smallest_draws(alpha, bound)  # type: ignore[arg-type]
        assert 1.0 - (level / 6.0) ** (1.0 / n) < 0.5 <= 1.0 - (level / 6.0) ** (1.0 / (n - 1))
    n = smallest_draws(alpha, "fcsb")
    assert 1.0 - math.sqrt(math.log(1.0 / alpha) / (2.0 * n)) > 0.5
    assert 1.0 - math.sqrt(math.log(1.0 / alpha) / (2.0 * (n - 1))) <= 0.5


def test_certify_cosines_succeeds_when_one_draw_is_enough() -> None:
    assert smallest_draws(0.99, "fcsb") == 1
    assert certify_cosines([1.0], [1.0], sigma=1.0, alpha=0.99, bound="fcsb").angle(0.0) < math.pi / 2.0


# --- what is refused


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
def test_certify_features_raises_when_alpha_is_out_of_range(bound: Bound, alpha: float) -> None:
    with pytest.raises(CertificationError, match="alpha must lie strictly between 0 and 1"):
        certify(alpha=alpha, bound=bound)


@pytest.mark.parametrize("sigma", [0.0, -0.25, math.nan, math.inf])
def test_certify_features_raises_when_sigma_is_not_positive(sigma: float) -> None:
    with pytest.raises(CertificationError, match="sigma must be a positive number"):
        certify(sigma=sigma)


@pytest.mark.parametrize("bound", ["auto", "Gram", "", "angle_law"])
def test_certify_features_raises_when_the_bound_is_unknown(bound: str) -> None:
    with pytest.raises(CertificationError, match="bound must be one of gram, angle-law, cone, fcsb"):
        certify(bound=bound)
    with pytest.raises(CertificationError, match="bound must be one of gram, angle-law, cone, fcsb"):
        certify_cosines([0.9] * 9, [0.9] * 99, sigma=1.0, alpha=0.1, bound=bound)  # type: ignore[arg-type]


def test_certify_cosines_raises_when_the_bound_is_gram() -> None:
    with pytest.raises(CertificationError, match="use certify_features"):
        certify_cosines([0.9] * 9, [0.9] * 99, sigma=1.0, alpha=0.1, bound="gram")


def with_value(array: Floats, value: float) -> Floats:
    changed = array.copy()
    changed.flat[7] = value
    return changed


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.empty(0), "non-empty 1-D"),
        (np.ones((10, 10)), "non-empty 1-D"),
        (np.float64(0.5), "non-empty 1-D"),
        (with_value(np.full(100, 0.9), math.nan), "1 values that are not finite"),
        (with_value(np.full(100, 0.9), math.inf), "1 values that are not finite"),
        (with_value(np.full(100, 0.9), 1.001), "cosine of magnitude 1.001"),
        (with_value(np.full(100, 0.9), -1.001), "cosine of magnitude 1.001"),
    ],
)
def test_certify_cosines_raises_when_the_pilot_or_the_draws_are_malformed(bad: Any, message: str) -> None:
    good = np.full(100, 0.9)
    with pytest.raises(CertificationError, match=message):
        certify_cosines(bad, good, sigma=1.0, alpha=0.1)
    with pytest.raises(CertificationError, match=message if np.size(bad) >= 100 else message + "|use at least"):
        certify_cosines(good, bad, sigma=1.0, alpha=0.1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.empty((0, 6)), "non-empty 2-D"),
        (np.empty((100, 0)), "non-empty 2-D"),
        (np.ones(100), "non-empty 2-D"),
        (np.ones((100, 2, 3)), "non-empty 2-D"),
        (1.01 * DRAWN, r"unit rows, but row \d+ has norm 1.01"),
        (DRAWN * np.where(np.arange(300) == 5, 0.99, 1.0)[:, None], "row 5 has norm 0.99"),
        (with_value(DRAWN, math.nan), "row 1 has norm nan"),
        (with_value(DRAWN, math.inf), "row 1 has norm inf"),
        (np.zeros((100, 6)), "row 0 has norm 0"),
    ],
)
def test_certify_features_raises_when_the_pilot_or_the_draws_are_malformed(bad: Any, message: str) -> None:
    with pytest.raises(CertificationError, match=f"pilot must .*{message}"):
        certify(pilot=bad)
    with pytest.raises(CertificationError, match=f"features must .*{message}"):
        certify(features=bad)


def test_certify_features_raises_when_dimensions_differ() -> None:
    with pytest.raises(CertificationError, match="pilot rows have 6 dimensions but features have 5"):
        certify(features=rows(300, 2, dimensions=5))


def test_certify_features_raises_when_the_pilot_cancels_out() -> None:
    with pytest.raises(CertificationError, match="points nowhere"):
        certify(pilot=np.array([[1.0, 0.0], [-1.0, 0.0]]), features=np.tile([1.0, 0.0], (300, 1)))


def test_certification_error_is_a_value_error_when_caught_outside() -> None:
    assert issubclass(CertificationError, ValueError)
    assert issubclass(TooFewDrawsError, CertificationError)


def test_certify_features_leaves_its_inputs_alone_when_called() -> None:
    pilot, drawn = PILOT.copy(), DRAWN.copy()
    certify(pilot, drawn)
    np.testing.assert_array_equal(pilot, PILOT)
    np.testing.assert_array_equal(drawn, DRAWN)


def test_certify_features_covers_the_truth_when_rows_are_a_little_too_long() -> None:
    # f is 0.012 rad to either side of the axis, by the sign of t; at s = 1 the mean turns to 0.0082 rad.
    half, draws = 0.012, 2_000_000
    sides = 1.00009 * np.array([[math.cos(half), math.sin(half)], [math.cos(half), -math.sin(half)]])
    curve = certify(np.tile(sides, (64, 1)), np.tile(sides, (draws // 2, 1)), alpha=1e-3, bound="angle-law")
    shifted = 0.5 * math.erfc(-1.0 / math.sqrt(2.0))
    truth = math.atan((2.0 * shifted - 1.0) * math.tan(half))
    assert curve.angle(0.25) >= truth
