"""Telling a network how strong the noise is."""

import math

import torch
from torch import nn

_FREQUENCIES = 4
_HIDDEN = 32
_MIDDLE = 0.25  # the noise in the middle of the range that the waves spread over


class SigmaScale(nn.Module):
    """A scale and a shift for each channel, by sigma (FiLM); neither, when untrained.

    With a constant sigma both are constants, which an exporter folds into the convolution before them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = nn.Linear(2 * _FREQUENCIES, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 2 * channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """1 + scale and shift, each [B, channels], for sigma [B]."""
        scale, shift = self.out(torch.relu(self.hidden(_waves(sigma)))).split(self.channels, dim=1)
        return 1.0 + scale, shift


def _waves(sigma: torch.Tensor) -> torch.Tensor:
    """[B, 2 * frequencies] smooth functions of sigma, finite at zero."""
    place = sigma / (sigma + _MIDDLE)
    angles = place.unsqueeze(1) * torch.tensor(
        [math.pi * 0.5 * 2**k for k in range(_FREQUENCIES)], dtype=sigma.dtype, device=sigma.device
    )
    return torch.cat((torch.sin(angles), torch.cos(angles)), dim=1)
