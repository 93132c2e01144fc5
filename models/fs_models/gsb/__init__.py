"""The Gaussian Smoothness Booster."""

from fs_models.gsb.booster import Booster, booster_at, no_booster
from fs_models.gsb.checkpoint import GsbCheckpoint, GsbConfig, read_checkpoint
from fs_models.gsb.shipped import DEFAULT, NONE, ChosenBooster, choose_booster, shipped, shipped_for

__all__ = [
    "DEFAULT",
    "NONE",
    "Booster",
    "ChosenBooster",
    "GsbCheckpoint",
    "GsbConfig",
    "booster_at",
    "choose_booster",
    "no_booster",
    "read_checkpoint",
    "shipped",
    "shipped_for",
]
