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


class AtSigma(nn.Module):
    """A part that is conditioned on sigma, at one sigma: a constant of the graph."""

    def __init__(self, part: nn.Module, sigma: float) -> None:
        super().__init__()
        self.part = part
        self.register_buffer("sigma", torch.tensor([sigma], dtype=torch.float32))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The part's output."""
        made: torch.Tensor = self.part(values, self.get_buffer("sigma"))
        return made


def no_booster() -> Booster:
    """The empty slot: both parts are the identity and leave nothing in the graph."""
    return Booster(nn.Identity(), nn.Identity())


def booster_at(purifier: nn.Module | None, mapper: nn.Module | None, sigma: float) -> Booster:
    """Parts that are conditioned on sigma, in the slot at one sigma; None: the identity.

    Args:
        purifier: called with normalised pixels and sigma [1].
        mapper: called with raw features and sigma [1].
        sigma: noise standard deviation over [0, 1] pixels.
    """
    parts = (nn.Identity() if part is None else AtSigma(part, sigma) for part in (purifier, mapper))
    return Booster(*parts).eval().requires_grad_(False)
