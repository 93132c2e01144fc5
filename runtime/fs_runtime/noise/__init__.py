"""Replayable Gaussian noise on the pixel grid: Philox words, Box-Muller, blocks made ahead of the graph."""

from fs_runtime.noise.blocks import DrawKey, NoiseBlocks
from fs_runtime.noise.gaussian import LARGEST_SIGMA, GridNoise
from fs_runtime.noise.philox import Stream
from fs_runtime.noise.seed import Seed

GENERATOR = "philox4x64-10/box-muller-32/1"
"""Name and version of the stream; it changes whenever the same seed would give other noise."""

__all__ = ["GENERATOR", "LARGEST_SIGMA", "DrawKey", "GridNoise", "NoiseBlocks", "Seed", "Stream"]
