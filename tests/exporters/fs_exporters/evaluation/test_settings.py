"""What an evaluation refuses before it does anything."""

from dataclasses import replace
from typing import Any

import pytest

from fs_exporters.evaluation import EFFORTS, GOALS, EvaluationSettings
from fs_exporters.evaluation.attack import L2, Linf
from fs_runtime.certification import CertificationError
from fs_runtime.errors import InputError

GOOD = EvaluationSettings(sigmas=(0.25,))


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"sigmas": ()}, "--sigma names no noise"),
        ({"sigmas": (0.0,)}, "--sigma must lie in"),
        ({"sigmas": (0.25, -0.1)}, "--sigma must lie in"),
        ({"sigmas": (float("nan"),)}, "--sigma must lie in"),
        ({"sigmas": (0.25, 0.25)}, "--sigma names something twice"),
        ({"norms": ("l1",)}, "--attacks takes some of l2, linf with commas between, not 'l1'"),
        ({"norms": ("l2", "l2")}, "--attacks names something twice"),
        ({"goals": ("win",)}, "--goals takes some of turn, .* not 'win'"),
        ({"radius": (0.0,)}, "--radius must be positive"),
        ({"linf": 0.0}, "--linf must lie in"),
        ({"batch": 0}, "--noise-batch must lie in"),
        ({"seed": -1}, "seed must lie in"),
    ],
)
def test_check_refuses_and_names_the_flag_when_a_setting_is_wrong(changes: dict[str, Any], flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        replace(GOOD, **changes).check()


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"images": 1}, "--images must lie in 2"),
        ({"pilot": 1}, "--pilot"),
        ({"steps": 0}, "--steps"),
        ({"measuring": 4}, "--measuring"),
        ({"attack_draws": 3}, "--attack-draws must be even"),
        ({"attack_draws": 0}, "--attack-draws"),
    ],
)
def test_check_refuses_and_names_the_flag_when_an_effort_is_wrong(changes: dict[str, int], flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        replace(GOOD, effort=replace(GOOD.effort, **changes)).check()


def test_check_refuses_when_draws_cannot_certify_anything() -> None:
    with pytest.raises(CertificationError):
        replace(GOOD, effort=replace(GOOD.effort, draws=5)).check()


@pytest.mark.parametrize("size", EFFORTS)
def test_check_accepts_every_size_when_nothing_else_is_given(size: Any) -> None:
    settings = replace(GOOD, effort=EFFORTS[size])
    settings.check()
    assert settings.weak == (size == "small")


def test_radii_are_shares_of_sigma_and_levels_when_made() -> None:
    settings = replace(GOOD, radius=(0.5, 1.0), linf=8.0)
    assert settings.radii(0.5) == (L2(0.25), L2(0.5), Linf(8.0 / 255.0))


def test_with_goals_takes_all_that_are_possible_when_none_is_named() -> None:
    assert GOOD.with_goals(labels=True).goals == GOALS
    assert GOOD.with_goals(labels=False).goals == ("turn", "match", "match-crops")


@pytest.mark.parametrize("goal", ["untargeted", "targeted"])
def test_with_goals_refuses_when_a_goal_needs_labels_that_are_not_there(goal: Any) -> None:
    with pytest.raises(InputError, match=f"--goals {goal} needs labels: give --prototypes"):
        replace(GOOD, goals=("turn", goal)).with_goals(labels=False)
