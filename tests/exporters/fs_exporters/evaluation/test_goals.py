"""When an attack has what it wanted, and which images count for that."""

from typing import Any

import numpy as np
import pytest

from fs_exporters.evaluation.goals import Case, Goal, Labels, Seen, succeeded

LABELS = Labels(np.eye(3), ("zero", "one", "two"))
ORIGIN = np.array([1.0, 0.0, 0.0])


def case(label: int | None = 0, other_label: int | None = 1) -> Case:
    return Case(ORIGIN, label, np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0]), other_label)


def seen(label: int | None, cosine: float = 0.9, cosine_other: float = 0.1) -> Seen:
    return Seen(label, cosine, cosine_other)


@pytest.mark.parametrize("goal", ["turn", "untargeted"])
@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [(0, 0, False), (0, 1, True), (0, 2, True), (2, 2, None), (2, 0, None), (2, 1, None)],
)
def test_succeeded_counts_right_labels_made_wrong_when_untargeted(
    goal: Goal, before: int, after: int, outcome: Any
) -> None:
    """An image that was labelled wrong before any attack counts for nothing, whatever comes of it."""
    assert succeeded(goal, case(), seen(before), seen(after)) is outcome


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [(0, 1, True), (0, 2, False), (0, 0, False), (2, 1, True), (2, 2, False), (1, 1, None), (1, 0, None)],
)
def test_succeeded_counts_the_target_alone_when_targeted(before: int, after: int, outcome: Any) -> None:
    assert succeeded("targeted", case(), seen(before), seen(after)) is outcome


@pytest.mark.parametrize("goal", ["match", "match-crops"])
@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [((0.9, 0.1), (0.3, 0.5), True), ((0.9, 0.1), (0.5, 0.3), False), ((0.2, 0.4), (0.1, 0.9), None)],
)
def test_succeeded_compares_with_both_clean_features_when_matching(
    goal: Goal, before: tuple[float, float], after: tuple[float, float], outcome: Any
) -> None:
    for label in (None, 0):
        made = [seen(label, *cosines) for cosines in (before, after)]
        assert succeeded(goal, case(label), *made) is outcome


@pytest.mark.parametrize("goal", ["turn", "untargeted", "targeted"])
def test_succeeded_is_unknown_when_there_are_no_labels(goal: Goal) -> None:
    assert succeeded(goal, case(None, None), seen(None), seen(None)) is None


def test_seen_takes_the_nearest_prototype_and_cosines_when_the_mean_is_short() -> None:
    found = Seen.made(0.1 * np.array([0.6, 0.8, 0.0]), case(), LABELS)
    assert found.label == 1
    assert (found.cosine, found.cosine_other) == pytest.approx((0.6, 0.8))


def test_labels_take_the_first_when_two_prototypes_are_equally_near() -> None:
    labels = Labels(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), ("a", "b", "c"))
    assert labels.of(np.array([[2.0, 0.0]])).tolist() == [1]
