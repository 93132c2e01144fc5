"""Fitting a booster to a frozen encoder."""

from fs_models.gsb.fitting.fit import FitResult, fit_booster
from fs_models.gsb.fitting.photos import ENOUGH_PHOTOS, LEAST_PHOTOS
from fs_models.gsb.fitting.settings import DEFAULT_STEPS, FitProgress, FitRequest

__all__ = ["DEFAULT_STEPS", "ENOUGH_PHOTOS", "LEAST_PHOTOS", "FitProgress", "FitRequest", "FitResult", "fit_booster"]
