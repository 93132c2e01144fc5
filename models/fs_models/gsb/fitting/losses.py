"""What a booster is fitted by (arXiv 2601.16200, and a denser term of our own)."""

import torch
from torch.nn.functional import cosine_similarity

_TEMPERATURE = 0.1


def robust_loss(raw: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """1 - cosine of features with clean ones, in the mean.

    Args:
        raw: [B, ...] features of noisy images.
        clean: [B, ...] the bare encoder's of clean ones.
    """
    return 1.0 - cosine_similarity(raw.flatten(1).float(), clean.flatten(1).float(), dim=1).mean()


def inner_loss(maps: list[torch.Tensor], clean: list[torch.Tensor]) -> torch.Tensor:
    """1 - cosine at each place of the encoder's inner maps, in the mean over places and maps."""
    losses = [
        1.0 - cosine_similarity(noisy.float(), target.float(), dim=1 if noisy.ndim == 4 else 2).mean()
        for noisy, target in zip(maps, clean, strict=True)
    ]
    return torch.stack(losses).mean() if losses else torch.zeros(())


def pixel_loss(purified: torch.Tensor, clean: torch.Tensor, sigma: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Mean squared error in units of the noise's variance: 1 where nothing was purified.

    Args:
        purified: [B, 3, H, W] normalised.
        clean: likewise.
        sigma: [B] over [0, 1] pixels.
        std: [1, 3, 1, 1] of the normalisation.
    """
    left = (purified - clean) * std / sigma.view(-1, 1, 1, 1)
    return left.float().square().mean()


def statistics_loss(raw: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """How far mean and standard deviation of each coordinate, over the batch, are from the clean features'.

    Features are unit vectors here, so that the sums over coordinates are comparable for all dimensions.
    """
    unit, target = _unit(raw), _unit(clean)
    means = (unit.mean(0) - target.mean(0)).square().sum()
    return means + (unit.std(0) - target.std(0)).square().sum()


def contrast_loss(raw: torch.Tensor, clean: torch.Tensor, crops: torch.Tensor) -> torch.Tensor:
    """How badly a feature's own clean one is told from those of the batch's other crops (InfoNCE, arXiv 1807.03748).

    A mapper that only draws features together makes it larger, which 1 - cosine hardly notices.

    Args:
        raw: [B, ...] features of noisy crops.
        clean: [B, ...] the bare encoder's of the clean ones.
        crops: [B] which crop each is of: copies of one crop are no others of one another.
    """
    likeness = _unit(raw) @ _unit(clean).T / _TEMPERATURE
    same = crops[:, None] == crops[None, :]
    own = torch.eye(len(crops), dtype=torch.bool, device=crops.device)
    likeness = likeness.masked_fill(same & ~own, -torch.inf)
    return torch.nn.functional.cross_entropy(likeness, torch.arange(len(crops), device=crops.device))


def _unit(features: torch.Tensor) -> torch.Tensor:
    """[B, D] unit features of [B, ...] raw ones."""
    return torch.nn.functional.normalize(features.flatten(1).float(), dim=1, eps=1e-12)
