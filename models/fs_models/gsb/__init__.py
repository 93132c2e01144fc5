"""The Gaussian Smoothness Booster."""

from fs_models.gsb.booster import Booster, booster_at, no_booster
from fs_models.gsb.checkpoint import GsbCheckpoint, GsbConfig, read_checkpoint

__all__ = ["Booster", "GsbCheckpoint", "GsbConfig", "booster_at", "no_booster", "read_checkpoint"]
