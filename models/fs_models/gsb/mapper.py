"""Smoothness mappers: what repairs a feature after the encoder, knowing how strong the noise was."""

import msgspec
import torch
from torch import nn

from fs_models.gsb.conditioning import SigmaScale

_DROPOUT = 0.5
"""In training: a mapper has far more weights than there are photos to learn from."""


class PooledMapperSizes(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="pooled", tag_field="kind"
):
    """Width D of the feature and of the hidden layers of a :class:`PooledMapper`."""

    dimension: int
    hidden: int = 256


class PooledMapper(nn.Module):
    """``z + sigma * (gain * z + |z| * net(z, sigma))`` for pooled and cls features: at sigma = 0 it changes nothing.

    ``gain`` is one number for each coordinate. ``|z|`` is the mean of the feature's magnitudes, so that the map keeps
    to the feature's scale.
    """

    def __init__(self, sizes: PooledMapperSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.norm = nn.LayerNorm(sizes.dimension)
        self.enter = nn.Linear(sizes.dimension, sizes.hidden)
        self.scale = SigmaScale(sizes.hidden)
        self.middle = nn.Linear(sizes.hidden, sizes.hidden)
        self.leave = nn.Linear(sizes.hidden, sizes.dimension)
        self.gain = nn.Parameter(torch.zeros(sizes.dimension))
        self.dropout = nn.Dropout(_DROPOUT)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, raw: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Mapped features [B, D] of raw ones, for sigma [B] or [1]."""
        scale, shift = self.scale(sigma)
        hidden = torch.relu(self.enter(self.dropout(self.norm(raw))) * scale + shift)
        hidden = hidden + torch.relu(self.middle(hidden))
        added = self.gain * raw + raw.abs().mean(1, keepdim=True) * self.leave(self.dropout(hidden))
        mapped: torch.Tensor = raw + sigma.unsqueeze(1) * added
        return mapped


class TokenMapperSizes(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="tokens", tag_field="kind"
):
    """Tokens L, channels C, and the inner width and heads of a :class:`TokenMapper`."""

    tokens: int
    channels: int
    hidden: int = 128
    heads: int = 4


class TokenMapper(nn.Module):
    """``z + sigma * (gain * z + |z| * net(z, sigma))`` for tokens [B, L, C]: at sigma = 0 it changes nothing.

    Inside a narrow space: attention over the tokens of one image, a depthwise convolution along them, an MLP, with a
    scale by sigma between (arXiv 2601.16200). Nothing acts across the batch.
    """

    def __init__(self, sizes: TokenMapperSizes) -> None:
        super().__init__()
        if sizes.hidden % sizes.heads:
            raise ValueError(f"hidden {sizes.hidden} is no multiple of heads {sizes.heads}")
        self.sizes = sizes
        self.norm = nn.LayerNorm(sizes.channels)
        self.enter = nn.Linear(sizes.channels, sizes.hidden)
        self.scale = SigmaScale(sizes.hidden)
        self.attention_norm = nn.LayerNorm(sizes.hidden)
        self.query_key_value = nn.Linear(sizes.hidden, 3 * sizes.hidden)
        self.attended = nn.Linear(sizes.hidden, sizes.hidden)
        self.along = nn.Conv1d(sizes.hidden, sizes.hidden, 3, padding=1, groups=sizes.hidden)
        self.mlp_norm = nn.LayerNorm(sizes.hidden)
        self.mlp = nn.Sequential(
            nn.Linear(sizes.hidden, 2 * sizes.hidden), nn.GELU(), nn.Linear(2 * sizes.hidden, sizes.hidden)
        )
        self.leave = nn.Linear(sizes.hidden, sizes.channels)
        self.gain = nn.Parameter(torch.zeros(sizes.channels))
        self.dropout = nn.Dropout(_DROPOUT)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, raw: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Mapped tokens [B, L, C] of raw ones, for sigma [B] or [1]."""
        scale, shift = self.scale(sigma)
        hidden = self.enter(self.dropout(self.norm(raw))) * scale.unsqueeze(1) + shift.unsqueeze(1)
        hidden = hidden + self.attended(self._attention(self.attention_norm(hidden)))
        hidden = hidden + self.along(hidden.transpose(1, 2)).transpose(1, 2)
        hidden = hidden + self.mlp(self.mlp_norm(hidden))
        size = raw.abs().mean((1, 2), keepdim=True)
        mapped: torch.Tensor = raw + sigma.view(-1, 1, 1) * (self.gain * raw + size * self.leave(self.dropout(hidden)))
        return mapped

    def _attention(self, hidden: torch.Tensor) -> torch.Tensor:
        """Written out: engines know softmax and products, not all of them the fused operator."""
        batch, tokens, width = hidden.shape
        heads = self.sizes.heads
        parts = self.query_key_value(hidden).view(batch, tokens, 3, heads, width // heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(query @ key.transpose(-2, -1) * (width // heads) ** -0.5, dim=-1)
        mixed: torch.Tensor = (weights @ value).transpose(1, 2).reshape(batch, tokens, width)
        return mixed
