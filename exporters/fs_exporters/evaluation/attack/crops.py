"""Matching local crops besides the whole image, as M-Attack (Li et al. 2025) and FOA (Jia et al. 2025) do."""

from dataclasses import dataclass

import torch
from torch.nn.functional import affine_grid, cosine_similarity, grid_sample

_SMALLEST = 0.5
"""Share of the image's area."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Towards another image's feature, by the whole image and by random crops of it, half of the draws each.

    The crops differ from step to step. M-Attack matches each with a crop of the other image; the mean over the other
    image's crops is the expectation of that. FOA's optimal transport between tokens is not here: it needs more than one
    feature an image.

    Attributes:
        whole: [D] the other image's feature.
        local: [D] the mean of the unit features of crops of the other image.
    """

    whole: torch.Tensor
    local: torch.Tensor

    def views(self, attacked: torch.Tensor, draws: int, generator: torch.Generator) -> torch.Tensor:
        """[draws, 3, H, W]: the image, half of them, then crops, enlarged to its size."""
        whole = attacked.expand(draws - draws // 2, -1, -1, -1)
        return torch.cat([whole, random_crops(attacked, draws // 2, generator)])

    def loss(self, features: torch.Tensor) -> torch.Tensor:
        """Minus the mean cosine of the smoothed feature and of the crops."""
        half = len(features) - len(features) // 2
        whole = cosine_similarity(features[:half].mean(0), self.whole, dim=0)
        local = cosine_similarity(features[half:], self.local.unsqueeze(0), dim=1).mean()
        return -0.5 * (whole + local)


def random_crops(image: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Random crops [count, 3, H, W] of an image [1, 3, H, W], of half its area or more, enlarged to its size.

    Differentiable; bilinear.
    """
    uniform = torch.rand((3, count), generator=generator, device=image.device)
    scale = (_SMALLEST + (1.0 - _SMALLEST) * uniform[0]).sqrt()
    shift = (1.0 - scale) * (2.0 * uniform[1:] - 1.0)
    nothing = torch.zeros_like(scale)
    rows = torch.stack([scale, nothing, shift[0]], 1), torch.stack([nothing, scale, shift[1]], 1)
    grid = affine_grid(torch.stack(rows, 1), [count, *image.shape[1:]], align_corners=False)
    return grid_sample(image.expand(count, -1, -1, -1), grid, padding_mode="border", align_corners=False)
