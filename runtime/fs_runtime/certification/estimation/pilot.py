"""What the pilot fixes before the certifying draws: the reference, the thresholds and the cut."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.laws.tails import threshold_beyond
from fs_runtime.certification.normal import Floats

# Upper quantiles of the pilot's angles, then multiples of the largest, and the cut. More thresholds follow the tail
# more closely but each takes its share of alpha.
_QUANTILES = (0.3, 0.6, 0.85)
_MULTIPLES = (1.0, 1.4)
_CUT_MULTIPLE = 1.15
# Angles below it cannot be told from zero at the slack of float32 cosines (tails.COSINE_SLACK).
_SMALLEST_THRESHOLD = 0.004
_LARGEST_THRESHOLD = 3.1
_LARGEST_CUT = 1.55
THRESHOLDS = len(_QUANTILES) + len(_MULTIPLES) + 1
"""The most thresholds that a pilot can lead to, the cut among them."""


@dataclass(frozen=True)
class PilotPlan:
    """Thresholds in radians, strictly rising, and the index of the Gram law's cut tau among them."""

    thresholds: tuple[float, ...]
    cut: int


def plan_thresholds(cosines: Floats) -> PilotPlan:
    """Choose thresholds from the pilot's cosines ([n0], to the reference).

    The choice cannot harm validity, only tightness: the pilot's draws are independent of the certifying ones. Each lies
    just clear of the angle it is meant for, as an encoder that saturates gives that angle again and again.
    """
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    largest = max(float(angles.max()), _SMALLEST_THRESHOLD)
    cut = min(_CUT_MULTIPLE * largest, _LARGEST_CUT)
    wanted = [float(np.quantile(angles, q)) for q in _QUANTILES] + [m * largest for m in _MULTIPLES]
    thresholds = tuple(sorted({_threshold(angle) for angle in (*wanted, cut)}))
    return PilotPlan(thresholds=thresholds, cut=thresholds.index(_threshold(cut)))


def _threshold(angle: float) -> float:
    beyond = threshold_beyond(math.cos(min(angle, _LARGEST_THRESHOLD)))
    # Rounding keeps the numbers short in JSON and merges near-equal thresholds; any fixed values are valid.
    return round(min(max(beyond, _SMALLEST_THRESHOLD), _LARGEST_THRESHOLD), 6)


def reference_of(direction: npt.ArrayLike) -> Floats:
    """The unit vector [D] (float64) along ``direction``, the sum or mean of the pilot's unit features.

    Raises:
        CertificationError: the vector is zero or not finite, so it has no direction.
    """
    vector = np.asarray(direction, dtype=np.float64)
    norm = float(np.linalg.norm(vector))
    if not math.isfinite(norm) or norm == 0.0:
        raise CertificationError(
            f"the pilot's mean feature has norm {norm}, so it points nowhere: the encoder gives no stable feature "
            "for this image at this sigma"
        )
    return vector / norm
