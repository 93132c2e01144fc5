"""The Gaussian Smoothness Booster."""

from fs_models.gsb.booster import Booster, no_booster

__all__ = ["Booster", "no_booster"]
