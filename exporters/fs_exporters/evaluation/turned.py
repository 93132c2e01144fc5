"""How far a smoothed feature has turned from a reference, from a finite number of draws."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.confidence.score import ScoreSequence

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Turned:
    """The angle in degrees from a reference to the smoothed feature at some pixels.

    Attributes:
        estimate: the draws' scatter, which would make the angle of their mean too large, is taken out.
        lower: lower confidence bound.
    """

    estimate: float
    lower: float


def turned(directing: Floats, measuring: Floats, reference: Floats, alpha: float) -> Turned:
    """The angle to ``reference``, from unit features of draws that are independent of it and of the pixels' choice.

    The estimate takes every pair of different draws: their mean inner product across the reference is an unbiased
    estimate of the squared length of what lies across, where the squared length of the mean is too large by the
    scatter / n. The bound: ``directing`` chooses a direction w across the reference v; ``measuring`` bounds two fixed
    numbers, <f_hat, w> from below, which the part of f_hat across v is no shorter than, and <f_hat, v> from above, each
    at alpha / 2.

    Args:
        directing: [n0, D] unit features.
        measuring: [n, D] unit features.
        reference: [D] unit vector.
        alpha: probability that the lower bound is too large.
    """
    rows = np.concatenate([directing, measuring])
    lower = _lower(directing, measuring, reference, alpha)
    return Turned(estimate=math.degrees(_estimate(rows, reference)), lower=math.degrees(lower))


def exactly(feature: Floats, reference: Floats) -> Turned:
    """The angle of a feature [D] that no noise is in."""
    along = float(feature @ reference)
    angle = math.degrees(math.atan2(float(np.linalg.norm(feature - along * reference)), along))
    return Turned(estimate=angle, lower=angle)


def _estimate(rows: Floats, reference: Floats) -> float:
    count = len(rows)
    along = rows @ reference
    mean = rows.mean(axis=0)
    across = max(0.0, float(mean @ mean) - float(along.mean()) ** 2)
    scatter = float(np.mean(np.square(rows).sum(axis=1) - np.square(along)))
    squared = (count * across - scatter) / (count - 1)
    return math.atan2(math.sqrt(max(0.0, squared)), float(along.mean()))


def _lower(directing: Floats, measuring: Floats, reference: Floats, alpha: float) -> float:
    across = directing.mean(axis=0)
    across = across - (across @ reference) * reference
    length = float(np.linalg.norm(across))
    if length == 0.0:
        return 0.0
    bounds = []
    for vector in (across / length, reference):
        sequence = ScoreSequence(directing @ vector, alpha, len(measuring))
        sequence.update(measuring @ vector)
        bounds.append(sequence.score())
    shortest, longest = 2.0 * bounds[0].lower - 1.0, 2.0 * bounds[1].upper - 1.0
    return math.atan2(shortest, max(longest, 0.0)) if shortest > 0.0 else 0.0
