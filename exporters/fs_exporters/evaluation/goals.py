"""What attacks want, what they make small for it, and when they have it."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from fs_exporters.evaluation.attack import Crops, Objective, OfMean, leaving, reaching, targeted, turning

Floats = npt.NDArray[np.float64]

Goal = Literal["turn", "untargeted", "targeted", "match", "match-crops"]
GOALS: tuple[Goal, ...] = get_args(Goal)
"""``turn``: the feature, away from the clean one. ``untargeted``: any other label. ``targeted``: the other image's one.
``match``: the other image's feature (AttackVLM, Zhao et al. 2023). ``match-crops``: the same with crops (M-Attack).
"""
LABEL_GOALS: tuple[Goal, ...] = ("untargeted", "targeted")
"""Those that cannot be without labels."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What a feature's label is: the nearest prototype.

    Attributes:
        vectors: [C, D] unit rows.
        names: [C].
    """

    vectors: Floats
    names: tuple[str, ...]

    def of(self, features: Floats) -> npt.NDArray[np.int64]:
        """The labels [N] of features [N, D] of any length; the first of equally near ones."""
        return np.asarray(np.argmax(features @ self.vectors.T, axis=1))


@dataclass(frozen=True, eq=False)
class Case:
    """One image to attack, and the image that attacks aim at.

    Attributes:
        clean: [D] the bare encoder's unit feature.
        label: that counts as right; None: there are no labels.
        other: [D] the other image's clean unit feature.
        other_crops: [D] the mean of the unit features of crops of the other image.
        other_label: its label.
    """

    clean: Floats
    label: int | None
    other: Floats
    other_crops: Floats
    other_label: int | None


@dataclass(frozen=True)
class Seen:
    """A smoothed feature, as far as goals ask.

    Attributes:
        label: of it; None: there are no labels.
        cosine: to the clean feature.
        cosine_other: to the other image's clean feature.
    """

    label: int | None
    cosine: float
    cosine_other: float

    @classmethod
    def made(cls, mean: Floats, case: Case, labels: Labels | None) -> "Seen":
        """Of the mean [D] of the draws' unit features."""
        length = float(np.linalg.norm(mean))
        label = None if labels is None else int(labels.of(mean[None])[0])
        return cls(label, float(mean @ case.clean) / length, float(mean @ case.other) / length)


def objective(goal: Goal, case: Case, labels: Labels | None, device: torch.device) -> Objective:
    """What an attack with this goal makes small."""

    def tensor(values: Floats) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)

    if goal == "turn":
        return OfMean(turning(tensor(case.clean)))
    if goal == "match":
        return OfMean(targeted(tensor(case.other)))
    if goal == "match-crops":
        return Crops(tensor(case.other), tensor(case.other_crops))
    assert labels is not None  # settings refuse these goals otherwise
    assert case.label is not None
    assert case.other_label is not None
    prototypes = tensor(labels.vectors)
    if goal == "untargeted":
        return OfMean(leaving(prototypes, case.label))
    return OfMean(reaching(prototypes, case.other_label))


def succeeded(goal: Goal, case: Case, before: Seen, after: Seen) -> bool | None:
    """Whether an attack had its goal, by the same system's features before and after; None: the image does not count.

    An image counts only if the goal was not there before: ``turn`` and ``untargeted`` want a wrong label of an image
    whose label was right, ``targeted`` the other image's label of one that had another, the others a feature nearer to
    the other image's clean feature than to its own.
    """
    if goal in ("match", "match-crops"):
        if before.cosine_other > before.cosine:
            return None
        return after.cosine_other > after.cosine
    if case.label is None:
        return None
    if goal == "targeted":
        return None if before.label == case.other_label else after.label == case.other_label
    return after.label != case.label if before.label == case.label else None
