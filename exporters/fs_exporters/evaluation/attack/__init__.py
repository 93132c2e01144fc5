"""White-box attacks on features: projected gradient descent through the whole smoothed pipeline."""

from fs_exporters.evaluation.attack.crops import Crops, random_crops
from fs_exporters.evaluation.attack.errors import NoGradientError
from fs_exporters.evaluation.attack.losses import Loss, leaving, reaching, targeted, turning
from fs_exporters.evaluation.attack.norms import L2, Linf, Norm
from fs_exporters.evaluation.attack.pgd import Encoder, Objective, OfMean, Pgd

__all__ = [
    "L2",
    "Crops",
    "Encoder",
    "Linf",
    "Loss",
    "NoGradientError",
    "Norm",
    "Objective",
    "OfMean",
    "Pgd",
    "leaving",
    "random_crops",
    "reaching",
    "targeted",
    "turning",
]
