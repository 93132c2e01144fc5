"""Encoders in torch whose smoothed features and worst attacks are known in closed form."""

import math
from typing import Any, Self

import torch
from torch import nn

from fs_models.encoders import EncoderAdapter, EncoderSpec, LoadRequest
from fs_runtime.preprocess import Exact, PreprocessRule

SIDE = 4


def spec(side: int, feature_shape: tuple[int, ...], tap: Any = "pooled") -> EncoderSpec:
    """No normalisation, so that pixels are what the encoder sees."""
    return EncoderSpec(
        model="known",
        revision=None,
        family="known",
        tap=tap,
        feature_shape=feature_shape,
        height=side,
        width=side,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        preprocess=PreprocessRule(resize=Exact(side, side, "bilinear")),
    )


class Phase(EncoderAdapter):
    """(cos a.x, sin a.x): the angle is linear in the pixels.

    Smoothed it is exp(-sigma^2 |a|^2 / 2) (cos a.x, sin a.x), so a perturbation turns it by a.delta exactly: at most by
    |a|_2 r for l2 attacks and by |a|_1 r for l-inf ones.
    """

    family = "known"
    taps = ("pooled",)
    examples = ("known",)

    def __init__(self, *, speed: float = 1.0, side: int = SIDE) -> None:
        super().__init__(spec(side, (2,)))
        weights = torch.randn(3 * side * side, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        self.register_buffer("weights", (speed * weights / weights.norm()).float())

    @classmethod
    def load(cls, request: LoadRequest) -> Self:
        return cls()

    @property
    def direction(self) -> torch.Tensor:
        """a, as an image [1, 3, H, W]."""
        return self.get_buffer("weights").view(1, 3, self.spec.height, self.spec.width)

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        angle = normalised.flatten(1) @ self.get_buffer("weights")
        return torch.stack([angle.cos(), angle.sin()], 1)

    def smoothed(self, pixels: torch.Tensor, sigma: float) -> torch.Tensor:
        """[2] the smoothed feature of pixels [1, 3, H, W]."""
        length = math.exp(-0.5 * sigma**2 * float(self.get_buffer("weights").square().sum()))
        return length * self.encode(pixels)[0]


class Blur(nn.Module):
    """An artificial purifier: a 3 x 3 mean."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(nn.functional.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


class Rounded(nn.Module):
    """A purifier that no gradient passes."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.round(8.0 * pixels) / 8.0
