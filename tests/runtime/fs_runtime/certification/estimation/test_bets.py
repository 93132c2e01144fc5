"""Bets on the moments: from the pilot alone, and sharper than those for another encoder."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from fs_runtime.certification import GramLaw, certify_features, reference_of
from fs_runtime.certification.estimation.bets import plan_bets, sizes_up_to


def rows_of(count: int, seed: int, dimension: int = 64, spread: float = 0.05) -> np.ndarray:
    values = spread * np.random.default_rng(seed).standard_normal((count, dimension))
    values[:, 0] += 1.0
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def test_plan_bets_has_one_for_each_number_of_draws() -> None:
    pilot = rows_of(128, 1)
    v = reference_of(pilot.mean(axis=0))
    bets = plan_bets(pilot @ v, pilot, v, 0.6, 0.001, (128.0, 512.0, 2_048.0))
    for each in (bets.second_moment, bets.mean):
        assert len(each) == 3
        # More draws are bet on with less.
        assert 1.0 > each[0] >= each[1] > each[2] > 0.0


def test_plan_bets_is_small_when_the_pilot_is_spread_along_a_line() -> None:
    pilot = rows_of(128, 1)
    line = pilot.copy()
    line[:, 1] *= 10.0
    line /= np.linalg.norm(line, axis=1, keepdims=True)
    made = []
    for rows in (pilot, line):
        v = reference_of(rows.mean(axis=0))
        made.append(plan_bets(rows @ v, rows, v, 1.2, 0.001, (2_048.0,)))
    assert made[1].second_moment[0] < made[0].second_moment[0]
    assert made[1].mean[0] < made[0].mean[0]


def test_plan_bets_is_near_the_best_when_the_draws_are_like_the_pilot() -> None:
    law = certify_features(rows_of(128, 1), rows_of(512, 2), sigma=0.25, alpha=0.001).evidence
    assert isinstance(law, GramLaw)
    for name in ("second_moment", "mean"):
        best = min(
            getattr(replace(law, bets=replace(law.bets, **{name: (bet,)})), name) for bet in np.linspace(0.05, 0.98, 25)
        )
        assert getattr(law, name) <= 1.03 * best


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, (128.0,)), (256, (128.0,)), (2_000, (128.0, 512.0, 2_048.0)), (10**6, None)]
)
def test_sizes_up_to_reach_the_most_draws(most: int, sizes: tuple[float, ...] | None) -> None:
    found = sizes_up_to(most)
    assert sizes is None or found == sizes
    assert found[-1] >= most / 2.0
    assert len(found) <= 8
    assert all(math.isclose(later / earlier, 4.0) for earlier, later in itertools.pairwise(found))
