"""Certificates of labels under the cosine measure, one file a theorem (docs/theory.md section 5).

A label is the prototype with the largest inner product; a set of labels is the k best. ``cone`` follows from the
certified curve of a feature, ``margin`` and ``vote`` take the features of the draws.
"""

from fs_runtime.certification.prediction.estimator import (
    KINDS,
    Kind,
    LabelClaim,
    PredictionEstimator,
    divided_alpha,
    smallest_draws,
)
from fs_runtime.certification.prediction.label_cone import LabelCone
from fs_runtime.certification.prediction.label_estimator import LabelEstimator, LabelEvidence, drawn_radius
from fs_runtime.certification.prediction.margin import MarginLaw
from fs_runtime.certification.prediction.rivals import RivalPair, Rivals, best_labels, same_labels, voted_labels
from fs_runtime.certification.prediction.target import LabelTarget
from fs_runtime.certification.prediction.vote import VoteLaw

__all__ = [
    "KINDS",
    "Kind",
    "LabelClaim",
    "LabelCone",
    "LabelEstimator",
    "LabelEvidence",
    "LabelTarget",
    "MarginLaw",
    "PredictionEstimator",
    "RivalPair",
    "Rivals",
    "VoteLaw",
    "best_labels",
    "divided_alpha",
    "drawn_radius",
    "same_labels",
    "smallest_draws",
    "voted_labels",
]
