"""The vision tower of Qwen2-VL and Qwen2.5-VL at one resolution, on plain pixels, image by image.

transformers cuts the images into patches outside the model and runs the patches of all images as one sequence, whose
bounds it reads from data. Here every image has the same shape, so that the bounds are constants and the images a batch.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class QwenVision(nn.Module):
    """Pixels [B, 3, H, W] to hidden states or merged tokens. The weights are the tower's own."""

    def __init__(self, visual: Any, height: int, width: int) -> None:
        super().__init__()
        config = visual.config
        self.blocks, self.merger = visual.blocks, visual.merger
        self.patch, self.merge = config.patch_size, config.spatial_merge_size
        # A still image is every frame of its clip, so the frames' weights add up.
        weight = visual.patch_embed.proj.weight.detach().sum(2)
        self.register_buffer("patch_weight", weight)
        rows, columns = height // self.patch, width // self.patch
        order, windows = _window_order(rows // self.merge, columns // self.merge, self._window(config))
        self.register_buffer("order", order)
        self.register_buffer("inverse", torch.argsort(order))
        self.windows = windows
        cos, sin = _rotation(config, rows, columns)
        self.register_buffer("cos", self._ordered(cos[None])[0])
        self.register_buffer("sin", self._ordered(sin[None])[0])
        whole = getattr(config, "fullatt_block_indexes", None)
        self.whole = range(len(self.blocks)) if whole is None else whole
        sizes = torch.tensor(windows) * self.merge**2
        member = torch.repeat_interleave(torch.arange(len(windows)), sizes)
        self.register_buffer("together", member[:, None] == member[None, :])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Hidden states [B, L, C] before the merger, in the order of windows."""
        grid = functional.conv2d(pixels, self.get_buffer("patch_weight"), stride=self.patch)
        cells = _cut(_cut(grid, 3, (-1, self.merge)), 2, (-1, self.merge))  # [B, C, rows, m, columns, m]
        hidden = self._ordered(cells.permute(0, 2, 4, 3, 5, 1).flatten(1, 4))
        for index, block in enumerate(self.blocks):
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), whole=index in self.whole)
            hidden = hidden + block.mlp(block.norm2(hidden))
        return hidden

    def merged(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the decoder reads, [B, L / m^2, D], row by row."""
        merged: torch.Tensor = _cut(self.merger(hidden.flatten(0, 1).contiguous()), 0, (len(hidden), -1))
        return merged[:, self.get_buffer("inverse")]

    def _attend(self, attention: Any, hidden: torch.Tensor, *, whole: bool) -> torch.Tensor:
        heads: int = attention.num_heads
        query, key, value = _cut(attention.qkv(hidden), 2, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # [B, h, L, d]
        query, key = self._rotated(query), self._rotated(key)
        if whole or len(self.windows) == 1:
            mixed = functional.scaled_dot_product_attention(query, key, value)
        elif len(set(self.windows)) == 1:
            windows = (len(self.windows), -1)
            query, key, value = (_cut(part, 2, windows).flatten(1, 2) for part in (query, key, value))
            mixed = _cut(functional.scaled_dot_product_attention(query, key, value), 1, (heads, -1)).flatten(2, 3)
        else:
            mask = self.get_buffer("together")
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        projected: torch.Tensor = attention.proj(mixed.transpose(1, 2).flatten(2))
        return projected

    def _rotated(self, vectors: torch.Tensor) -> torch.Tensor:
        first, second = vectors.chunk(2, dim=-1)
        return vectors * self.get_buffer("cos") + torch.cat((-second, first), dim=-1) * self.get_buffer("sin")

    def _ordered(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [B, L, C], cell after cell, in the order of windows."""
        cells = _cut(tokens, 1, (-1, self.merge**2))
        return cells[:, self.get_buffer("order")].flatten(1, 2)

    def _window(self, config: Any) -> int | None:
        """Side of an attention window, in cells of merged patches; None where all attention is whole."""
        size = getattr(config, "window_size", None)
        return None if size is None else int(size) // self.patch // self.merge


def _window_order(rows: int, columns: int, window: int | None) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Cells window after window, and how many each window has."""
    cells = torch.arange(rows * columns).reshape(rows, columns)
    if window is None:
        return cells.flatten(), (rows * columns,)
    parts = [part.flatten() for band in torch.split(cells, window) for part in torch.split(band, window, dim=1)]
    return torch.cat(parts), tuple(len(part) for part in parts)


def _rotation(config: Any, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [L, d] of each patch's place, cell after cell: half for its row, half for its column."""
    merge, width = config.spatial_merge_size, getattr(config, "embed_dim", None) or config.hidden_size
    half = width // config.num_heads // 2
    theta = (getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10000.0)
    frequencies = 1.0 / theta ** (torch.arange(0, half, 2, dtype=torch.float32) / half)
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).reshape(
        rows // merge, merge, columns // merge, merge, 2
    )
    cells = places.permute(0, 2, 1, 3, 4).flatten(0, 3)
    angles = (cells[:, :, None] * frequencies).flatten(1)
    both = torch.cat((angles, angles), dim=1)
    return both.cos(), both.sin()


def _cut(tensor: torch.Tensor, dimension: int, sizes: tuple[int, ...]) -> torch.Tensor:
    """Tensor.unflatten, which carries no types."""
    cut: torch.Tensor = tensor.unflatten(dimension, sizes)  # type: ignore[no-untyped-call]
    return cut
