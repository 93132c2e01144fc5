"""The claims of feature-space smoothing, measured: ``fs-export evaluate``.

``attack/`` holds the attacks, free of everything else here; ``smoothness`` and ``attacking`` measure one image, without
attack and under it; ``run`` goes over a folder, ``store`` keeps its results, ``summary`` and ``tables`` say what they
mean.
"""

from fs_exporters.evaluation.goals import GOALS
from fs_exporters.evaluation.model import evaluate_model
from fs_exporters.evaluation.run import Evaluation, Watch, evaluate_encoder
from fs_exporters.evaluation.settings import EFFORTS, NORMS, Effort, EvaluationPlaces, EvaluationSettings
from fs_exporters.evaluation.tables import Grid, grids, headline, warnings

__all__ = [
    "EFFORTS",
    "GOALS",
    "NORMS",
    "Effort",
    "Evaluation",
    "EvaluationPlaces",
    "EvaluationSettings",
    "Grid",
    "Watch",
    "evaluate_encoder",
    "evaluate_model",
    "grids",
    "headline",
    "warnings",
]
