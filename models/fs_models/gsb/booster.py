"""The slot for a Gaussian Smoothness Booster (arXiv 2601.16200): a purifier before the encoder, a mapper after it."""

import torch
from torch import nn


class Booster(nn.Module):
    """A purifier of normalised noisy pixels and a mapper of raw features, around a frozen encoder."""

    def __init__(self, purifier: nn.Module, mapper: nn.Module) -> None:
        super().__init__()
        self.purifier = purifier
        self.mapper = mapper

    def purify(self, normalised: torch.Tensor) -> torch.Tensor:
        """Normalised pixels [B, 3, H, W], closer to clean ones."""
        purified: torch.Tensor = self.purifier(normalised)
        return purified

    def map(self, raw: torch.Tensor) -> torch.Tensor:
        """Raw features [B, *feature_shape], closer to those of clean images."""
        mapped: torch.Tensor = self.mapper(raw)
        return mapped


def no_booster() -> Booster:
    """The empty slot: both parts are the identity and leave nothing in the graph."""
    return Booster(nn.Identity(), nn.Identity())
