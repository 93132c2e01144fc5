"""An encoder of a few blocks on inputs of 32 x 32, with inner maps and smaller crops to fit on; or of one size only."""

from typing import Any

import torch
from torch import nn

from fs_models.encoders import EncoderAdapter, EncoderSpec, LoadRequest
from fs_runtime.preprocess import Exact, PreprocessRule

SIDE = 32
DIMENSION = 6


class BlocksAdapter(EncoderAdapter):
    """A strided convolution, three blocks and a linear layer over their mean: [B, 6] of inputs of any size."""

    family = "blocks"
    taps = ("pooled",)
    examples = ("blocks-32",)
    places = 1

    def __init__(self) -> None:
        super().__init__(
            EncoderSpec(
                model=self.examples[0],
                revision="r1",
                family=self.family,
                tap="pooled",
                feature_shape=(DIMENSION,),
                height=SIDE,
                width=SIDE,
                mean=(0.5, 0.4, 0.3),
                std=(0.2, 0.25, 0.5),
                preprocess=PreprocessRule(resize=Exact(SIDE, SIDE, "bilinear")),
            )
        )
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.stem = nn.Conv2d(3, 8, 4, stride=4)
            self.blocks = nn.Sequential(*(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(3)))
            self.linear = nn.Linear(8 * self.places, DIMENSION)

    @classmethod
    def load(cls, request: LoadRequest) -> Any:
        raise NotImplementedError

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        feature: torch.Tensor = self.linear(self.blocks(self.stem(normalised)).mean((2, 3)))
        return feature


class FixedBlocksAdapter(BlocksAdapter):
    """The same with a linear layer over all places, which takes inputs of 32 x 32 alone and says so as a ViT does."""

    places = 64

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        height, width = normalised.shape[2:]
        if (height, width) != (SIDE, SIDE):
            raise ValueError(f"Input image size ({height}*{width}) doesn't match model ({SIDE}*{SIDE}).")
        feature: torch.Tensor = self.linear(self.blocks(self.stem(normalised)).flatten(1))
        return feature


def flexible() -> BlocksAdapter:
    """It takes inputs of several sizes."""
    return BlocksAdapter().eval().requires_grad_(False)


def fixed() -> FixedBlocksAdapter:
    """It takes inputs of one size."""
    return FixedBlocksAdapter().eval().requires_grad_(False)
