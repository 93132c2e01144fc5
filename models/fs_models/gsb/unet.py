"""A light purifier: a U-Net over blocks of 4 x 4 pixels that predicts the noise."""

import msgspec
import torch
from torch import nn

from fs_models.gsb.conditioning import SigmaScale

_BLOCK = 4
_STRIDE = 16
_PIXELS = 3 * _BLOCK**2


class UNetSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="unet", tag_field="kind"):
    """Channels of a :class:`UNetPurifier` at strides 4, 8 and 16, and its residual blocks there.

    Multiples of 32 channels are what kernels on CPUs and GPUs are fast at.
    """

    channels: tuple[int, int, int] = (32, 64, 128)
    blocks: tuple[int, int, int] = (1, 1, 2)


class UNetPurifier(nn.Module):
    """``x - sigma * net(x, sigma)``: the noisy pixels less the predicted noise, so that sigma = 0 changes nothing.

    Nothing runs at strides 1 and 2, where a CPU spends more on moving the maps than on the products. There is no
    normalisation layer and nothing acts across the batch. Rectifiers and the scales by sigma are folded into the
    convolutions by whoever runs the graph.
    """

    def __init__(self, sizes: UNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        first, second, third = sizes.channels
        at_4, at_8, at_16 = sizes.blocks
        self.stem = nn.Conv2d(3, _PIXELS, 2 * _BLOCK, stride=_BLOCK, padding=_BLOCK // 2)
        self.enter = nn.Conv2d(_PIXELS, first, 1)
        self.down = nn.ModuleList(
            nn.Conv2d(wide, narrow, 2, stride=2) for wide, narrow in ((first, second), (second, third))
        )
        self.falling = nn.ModuleList((_blocks(first, at_4), _blocks(second, at_8), _blocks(third, at_16)))
        self.up = nn.ModuleList(nn.Conv2d(narrow, 4 * wide, 1) for narrow, wide in ((third, second), (second, first)))
        self.rising = nn.ModuleList((_blocks(second, at_8), _blocks(first, at_4)))
        self.head = nn.Conv2d(first, _PIXELS, 3, padding=1)
        # The trunk has fewer channels than a block of pixels has values: the noise's rest must find another way.
        self.past = nn.Conv2d(_PIXELS, _PIXELS, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, normalised: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Purified pixels.

        Args:
            normalised: noisy pixels [B, 3, H, W] after the encoder's own normalisation; any sides.
            sigma: [B] or [1], noise standard deviation over [0, 1] pixels.
        """
        return normalised - sigma.view(-1, 1, 1, 1) * self.noise(normalised, sigma)

    def noise(self, normalised: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Predicted noise [B, 3, H, W], in units of sigma."""
        height, width = normalised.shape[2:]
        below, right = -height % _STRIDE, -width % _STRIDE
        if below or right:
            normalised = nn.functional.pad(normalised, (0, right, 0, below), mode="replicate")
        entered = self.stem(normalised)
        hidden = self.enter(torch.relu(entered))
        passed = []
        for place, blocks in enumerate(self.falling):
            if place:
                passed.append(hidden)
                hidden = self.down[place - 1](hidden)
            for block in blocks:  # type: ignore[attr-defined]  # a ModuleList
                hidden = block(hidden, sigma)
        for up, blocks in zip(self.up, self.rising, strict=True):
            hidden = nn.functional.pixel_shuffle(up(hidden), 2) + passed.pop()
            for block in blocks:  # type: ignore[attr-defined]  # a ModuleList
                hidden = block(hidden, sigma)
        found = nn.functional.pixel_shuffle(self.head(torch.relu(hidden)) + self.past(entered), _BLOCK)
        return found[..., :height, :width] if below or right else found


class _Block(nn.Module):
    """Two convolutions beside the trunk, with the scale by sigma between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = SigmaScale(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.3)

    def forward(self, hidden: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        scale, shift = self.scale(sigma)
        beside = self.first(hidden) * scale[:, :, None, None] + shift[:, :, None, None]
        added: torch.Tensor = hidden + self.second(torch.relu(beside))
        return added


def _blocks(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(_Block(channels) for _ in range(count))
