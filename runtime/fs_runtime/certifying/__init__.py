"""Certificates of images: what is asked of their draws, how the draws are made, what becomes of them.

A task says what to draw and what certificate follows; the certifier runs tasks over images, one or many.
"""

from fs_runtime.certifying.bare import BareEncoder
from fs_runtime.certifying.certifier import Certifier, ImageResult, ManyProgress, image_facts
from fs_runtime.certifying.feature_task import FeatureTask
from fs_runtime.certifying.prediction_task import PredictionTask
from fs_runtime.certifying.task import Task

__all__ = [
    "BareEncoder",
    "Certifier",
    "FeatureTask",
    "ImageResult",
    "ManyProgress",
    "PredictionTask",
    "Task",
    "image_facts",
]
