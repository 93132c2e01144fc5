"""How far a graph may differ from the original module, for each precision."""

from dataclasses import dataclass

from fs_runtime.bundle.manifest import Precision


@dataclass(frozen=True)
class Thresholds:
    """What the gate lets through.

    Attributes:
        smallest_cosine: least cosine between the two features of any one draw.
        mean_cosine: least mean of these cosines.
        largest_difference: for each output, the largest |difference|; ``raw_norm`` relative to the norm,
            ``feature_sum`` divided by the number of its draws.
        angle_change: largest change of the certified angle at radius sigma / 2, in radians.
    """

    smallest_cosine: float
    mean_cosine: float
    largest_difference: dict[str, float]
    angle_change: float


THRESHOLDS: dict[Precision, Thresholds] = {
    "fp32": Thresholds(
        smallest_cosine=0.99999,
        mean_cosine=0.99999,
        largest_difference={"cosine": 1e-4, "feature_sum": 1e-4, "raw_norm": 1e-3, "features": 1e-3},
        angle_change=1e-3,
    ),
    "fp16": Thresholds(
        smallest_cosine=0.999,
        mean_cosine=0.999,
        largest_difference={"cosine": 1e-2, "feature_sum": 1e-2, "raw_norm": 2e-2, "features": 2e-2},
        angle_change=1e-2,
    ),
    "bf16": Thresholds(
        smallest_cosine=0.99,
        mean_cosine=0.995,
        largest_difference={"cosine": 5e-2, "feature_sum": 5e-2, "raw_norm": 5e-2, "features": 1e-1},
        angle_change=5e-2,
    ),
    "int8": Thresholds(
        smallest_cosine=0.8,
        mean_cosine=0.9,
        largest_difference={"cosine": 0.2, "feature_sum": 0.2, "raw_norm": 0.5, "features": 0.5},
        angle_change=0.2,
    ),
}
