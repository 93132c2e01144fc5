"""Streaming moments of the off-axis parts against the batch computation."""

import math
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.certification.estimation.moments import OffAxisMoments
from fs_runtime.certification.laws.tails import COSINE_SLACK, count_beyond

Floats = npt.NDArray[np.float64]


def features_around(axis: Floats, count: int, spread: float, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    scale = spread / math.sqrt(len(axis)) * rng.uniform(0.3, 2.5, (count, 1))
    rows = axis + scale * (rng.standard_normal((count, len(axis))) + 0.2)
    return np.asarray(rows / np.linalg.norm(rows, axis=1)[:, None])


def off_axis(features: Floats, axis: Floats, cut: float) -> Floats:
    """U = (f - <f, v> v) 1{psi <= cut}, row by row."""
    cosines = features @ axis
    return np.array(
        [
            feature - cosine * axis if cosine >= math.cos(cut) + COSINE_SLACK else np.zeros(len(axis))
            for feature, cosine in zip(features, cosines, strict=True)
        ]
    )


@pytest.mark.parametrize(("draws", "dimensions"), [(40, 64), (64, 64), (65, 64), (300, 24), (200, 2)])
@pytest.mark.parametrize("blocks", ["whole", "singles", "uneven", "with empty ones"])
def test_moments_equal_batch_computation_when_draws_come_in_blocks(draws: int, dimensions: int, blocks: str) -> None:
    axis = np.eye(dimensions)[0]
    features = features_around(axis, draws, 0.4)
    cut = float(np.quantile(np.arccos(features @ axis), 0.8))
    u = off_axis(features, axis, cut)
    assert 0 < (u != 0.0).any(axis=1).sum() < draws
    ends = {
        "whole": [],
        "singles": list(range(1, draws)),
        "uneven": [1, 3, draws // 3, draws - 1],
        "with empty ones": [0, 7, 7, draws // 2],
    }[blocks]
    moments = OffAxisMoments(axis, cut)
    for block in np.split(features, ends):
        moments.update(block @ axis, block)
    assert moments.draws == draws
    assert moments.mean_norm == pytest.approx(float(np.linalg.norm(u.mean(axis=0))), rel=1e-11)
    assert moments.largest_eigenvalue == pytest.approx(
        float(np.linalg.svd(u, compute_uv=False)[0] ** 2 / draws), rel=1e-11
    )


def test_moments_keep_little_when_draws_outnumber_dimensions() -> None:
    axis = np.eye(256)[0]
    block = features_around(axis, 150, 0.4)
    cosines = block @ axis
    tracemalloc.start()
    try:
        moments = OffAxisMoments(axis, 1.0)
        for _ in range(5):
            moments.update(cosines, block)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The second moment takes 512 kB, and the fourth one's block 3.1 MB, however many draws there are; the 750 rows
    # would take 1.5 MB, those up to the change 600 kB.
    assert kept < 700_000 + 3_200_000


def test_moments_are_zero_when_no_draw_lies_inside_the_cut() -> None:
    axis = np.eye(5)[0]
    moments = OffAxisMoments(axis, 0.1)
    moments.update(np.zeros(7), np.tile(np.eye(5)[1], (7, 1)))
    assert (moments.mean_norm, moments.largest_eigenvalue, moments.draws) == (0.0, 0.0, 7)


def test_moments_take_exactly_the_draws_that_tails_do_not_when_cosines_are_at_the_cut() -> None:
    cut = 0.7
    cosine = math.cos(cut) + COSINE_SLACK
    below, above = np.nextafter(cosine, 0.0), np.nextafter(cosine, 1.0)
    around = [math.cos(cut), below, cosine, above, cosine + 1e-9, cosine - 1e-9, 1.0, -1.0]
    inside = 0
    for value in around:
        feature = np.array([[value, math.sqrt(1.0 - value * value)]])
        moments = OffAxisMoments(np.array([1.0, 0.0]), cut)
        moments.update(np.array([value]), feature)
        counted_inside = moments.largest_eigenvalue > 0.0 or value == 1.0
        assert counted_inside != bool(count_beyond(np.array([value]), (cut,))[0])
        inside += counted_inside
    assert inside == 4


@pytest.mark.parametrize(("draws", "dimensions"), [(40, 64), (300, 64)])
def test_eigenvalue_from_below_is_near_the_largest_when_asked_again_and_again(draws: int, dimensions: int) -> None:
    axis = np.eye(dimensions)[0]
    features = features_around(axis, draws, 0.4)
    moments = OffAxisMoments(axis, 1.0)
    for block in np.array_split(features, 20):
        moments.update(block @ axis, block)
        lower = moments.eigenvalue_from_below()
        assert 0.9 * moments.largest_eigenvalue < lower <= moments.largest_eigenvalue * (1.0 + 1e-12)


def test_eigenvalue_from_below_is_zero_when_every_draw_is_the_reference() -> None:
    moments = OffAxisMoments(np.eye(3)[0], 0.5)
    moments.update(np.ones(4), np.tile(np.eye(3)[0], (4, 1)))
    assert moments.eigenvalue_from_below() == moments.largest_eigenvalue == 0.0
    assert moments.mean_square == 0.0


def test_mean_square_equals_batch_computation_when_draws_lie_beyond_the_cut() -> None:
    axis = np.eye(16)[0]
    features = features_around(axis, 50, 0.4)
    moments = OffAxisMoments(axis, 0.35)
    moments.update(features @ axis, features)
    expected = np.square(off_axis(features, axis, 0.35)).sum() / 50
    assert moments.mean_square == pytest.approx(expected, rel=1e-12)
